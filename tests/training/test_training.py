"""Training: monitors and history."""

import itertools

import numpy as np
import pytensor.tensor as pt
import pytest
from training_cases import TINY, regression, regressor, values

import theanets
from theanets.errors import ConfigurationError


def labels(n=70, seed=0):
    x, y = regression(n, seed)
    return x, (y[:, 0] > 0).astype("int32") + (y[:, 1] > 0)


@pytest.fixture(scope="module")
def used():
    net = regressor()
    return net, values(net)


@pytest.fixture
def net(used):
    """A network as new, but for functions that it may have compiled before."""
    net, start = used
    for param in net.params:
        param.set_value(start[param.name])
    net._runs, net.history = 0, theanets.History()
    return net


def forward(net, x):
    """The twin of ``[4, (5, 'tanh'), 2]``."""
    p = {k: v.astype("float64") for k, v in values(net).items()}
    return np.tanh(x @ p["hid1.w"] + p["hid1.b"]) @ p["out.w"] + p["out.b"]


# ---- monitors ------------------------------------------------------------


def test_monitors_of_training_are_exact_over_unequal_batches(net):
    x, y = regression()
    y[64:] += 9  # so that the last, smaller batch matters
    out = forward(net, x)
    w = net.find("hid1.w").get_value().astype("float64")
    penalty = 0.3 * 2 * np.mean(w**2)
    (train, _) = next(
        net.itertrain(
            [x, y],
            algo="sgd",
            learning_rate=TINY,
            batch_size=64,
            train_batches=2,
            weight_l2={"hid1.w": 0.3},
            penalty_scale=2,
        )
    )
    # Twice, since an epoch is shuffled: the smaller batch is another one each time.
    mse = np.mean((out - y) ** 2)
    np.testing.assert_allclose([train["mse"], train["err"]], [mse, mse], rtol=1e-5)
    np.testing.assert_allclose(train["loss"], mse + penalty, rtol=1e-5)


def test_weighted_monitors_are_exact_over_unequal_batches():
    x, y = labels()
    w = np.random.default_rng(1).integers(0, 4, size=len(x)).astype("float32")
    net = theanets.Classifier([4, (5, "tanh"), 3], weighted=True)
    logits = forward(net, x)
    logp = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    xe = np.average(-logp[np.arange(len(x)), y], weights=w)
    acc = np.average(logits.argmax(axis=1) == y, weights=w)
    train, _ = next(net.itertrain([x, y, w], algo="sgd", learning_rate=TINY, batch_size=16))
    for found in (train, net.evaluate([x, y, w], batch_size=9)):
        np.testing.assert_allclose([found["loss"], found["acc"]], [xe, acc], rtol=1e-5)


def test_validation_is_clean(net):
    x, y = regression()
    clean = np.mean((forward(net, x) - y) ** 2)
    noisy = dict(hidden_dropout=0.5, input_noise=1.0, weight_l2=10.0, hidden_l1=3.0)
    pairs = net.itertrain([x, y], algo="sgd", learning_rate=TINY, **noisy)
    (train, valid), _ = itertools.islice(pairs, 2)
    np.testing.assert_allclose([valid["loss"], valid["err"], valid["mse"]], clean, rtol=1e-5)
    assert [*valid] == ["loss", "err", "mse"]
    assert abs(train["err"] - clean) > 0.05
    assert train["loss"] > train["err"] + 1


def test_validation_is_as_prediction():
    x, y = regression()
    net = theanets.Regressor([4, (5, "tanh"), "batch_norm", 2])
    pairs = net.itertrain([x, y], algo="sgd", learning_rate=0.05, epochs=3)
    for train, valid in pairs:
        error = np.mean((net.predict(x) - y) ** 2)
        np.testing.assert_allclose(valid["loss"], error, rtol=1e-5)
        assert abs(train["loss"] - error) > 1e-3


def test_penalties_at_evaluation_if_asked(net):
    x, y = regression()
    mse = np.mean((forward(net, x) - y) ** 2)
    found = net.evaluate([x, y], weight_l2={"out.w": 0.5}, penalty_scale=3)
    penalty = 0.5 * np.mean(net.find("out.w").get_value().astype("float64") ** 2)
    np.testing.assert_allclose(found["loss"], mse + 3 * penalty, rtol=1e-5)
    np.testing.assert_allclose([found["err"], found["weight_l2"]], [mse, penalty], rtol=1e-5)
    assert net.evaluate([x, y])["loss"] == pytest.approx(mse, rel=1e-5)


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"train_batches": 2},
        {"validate_every": 3},
        {"hidden_dropout": 0.4, "weight_l1": 0.1},
        {"algo": "sgd", "learning_rate": 3.0},
        {"epochs": 0},
        {"algo": "l-bfgs"},
    ],
)
@pytest.mark.parametrize("separate", [False, True])
def test_returned_monitors_are_those_of_the_parameters(kwargs, separate, net):
    data, valid = regression(), regression(30, seed=1) if separate else None
    returned = net.train(data, valid, **{"epochs": 5, **kwargs})
    assert returned[0] == net.evaluate(data)
    assert returned[1] == net.evaluate(valid or data)
    if len(net.history):
        column = [loss for loss in net.history["valid_loss"] if loss is not None]
        assert returned[1]["loss"] <= min(column)


def test_loss_is_the_weighted_sum_of_losses():
    x, y = regression()
    net = regressor()
    net.add_loss("mae", weight=2)
    err = forward(net, x) - y
    parts = {"mse": np.mean(err**2), "mae": np.mean(abs(err))}
    for weight in (2, 0.5):
        net.losses[1].weight = weight
        total = parts["mse"] + weight * parts["mae"]
        found = net.evaluate([x, y])
        np.testing.assert_allclose(
            [found[k] for k in ("loss", "err", "mse", "mae")],
            [total, total, *parts.values()],
            rtol=1e-5,
        )
        train, _ = next(net.itertrain([x, y], algo="sgd", learning_rate=TINY))
        np.testing.assert_allclose(train["loss"], total, rtol=1e-5)


def positive(x):
    return pt.gt(x, 0)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"hid1:out": 0.2}, {"hid1:out<0.2": lambda h, p: np.mean(h < 0.2)}),
        (
            {"hid1": (0, 0.5)},
            {"hid1<0": lambda h, p: np.mean(h < 0), "hid1<0.5": lambda h, p: np.mean(h < 0.5)},
        ),
        ([("hid1.w", 0.1)], {"hid1.w<0.1": lambda h, p: np.mean(p["hid1.w"] < 0.1)}),
        (
            {"*.w": positive},
            {
                "hid1.w:positive": lambda h, p: np.mean(p["hid1.w"] > 0),
                "out.w:positive": lambda h, p: np.mean(p["out.w"] > 0),
            },
        ),
        ({"hid1:out": ("square", pt.sqr)}, {"hid1:out:square": lambda h, p: np.mean(h**2)}),
        (
            {
                "hid?:out": {
                    "top": lambda x: x.max(axis=1),
                    "all": lambda x: pt.sum(x * 0 + 1) * 0 + 3,
                }
            },
            {
                "hid1:out:top": lambda h, p: np.mean(h.max(axis=1)),
                "hid1:out:all": lambda h, p: 3,
            },
        ),
    ],
)
def test_watched_by_glob(spec, expected, net):
    x, y = regression()
    p = values(net)
    h = np.tanh(x @ p["hid1.w"] + p["hid1.b"])
    wanted = {name: f(h, p) for name, f in expected.items()}
    kwargs = dict(monitors=spec, batch_size=32)
    train, valid = next(net.itertrain([x, y], algo="sgd", learning_rate=TINY, **kwargs))
    for found in (train, valid, net.evaluate([x, y], **kwargs)):
        extra = {k: v for k, v in found.items() if k not in ("loss", "err", "mse")}
        assert extra == pytest.approx(wanted, rel=1e-5)


def test_watched_patterns_must_match():
    with pytest.raises(ConfigurationError, match="hud1"):
        regressor().train(regression(), monitors={"hud1:out": 0.1})


def test_a_monitor_that_is_not_finite_is_no_divergence(net):
    net.train(regression(), epochs=2, monitors={"out": ("inf", lambda x: pt.log(x * 0))})
    assert net.history.stop_reason == "epochs"
    assert net.history["train_out:inf"] == [-np.inf] * 2


def test_gradient_norms():
    x, y = regression(40)
    net = regressor(dtype="float64")
    train, valid = next(
        net.itertrain([x, y], algo="sgd", learning_rate=TINY, batch_size=40, monitor_gradients=True)
    )
    for param in net.params:
        start, norm = param.get_value(), 0.0
        for i in np.ndindex(start.shape):
            losses = []
            for step in (1e-5, -1e-5):
                moved = start.copy()
                moved[i] += step
                param.set_value(moved)
                losses.append(np.mean((forward(net, x) - y) ** 2))
            norm += ((losses[0] - losses[1]) / 2e-5) ** 2
        param.set_value(start)
        assert train[f"grad({param.name})"] == pytest.approx(np.sqrt(norm), rel=1e-5)
    assert not [name for name in valid if name.startswith("grad")]


# ---- history ------------------------------------------------------------


def test_history(tmp_path, net):
    assert len(net.history) == 0
    assert net.history.stop_reason is None
    net.train(regression(), epochs=4, validate_every=3, batch_size=35, algo="sgd")
    history = net.history
    names = [f"{which}_{name}" for which in ("train", "valid") for name in ("loss", "err", "mse")]
    assert sorted(history.columns) == sorted(
        ["epoch", "updates", "seconds", "learning_rate", *names]
    )
    assert history["epoch"] == [1, 2, 3, 4]
    assert history["updates"] == [2, 4, 6, 8]
    assert [v is None for v in history["valid_loss"]] == [True, True, False, False]
    assert history["seconds"] == sorted(history["seconds"])
    assert "train_mse" in history
    assert "train_mae" not in history
    with pytest.raises(KeyError, match="train_loss"):
        history["train_los"]
    history.to_csv(tmp_path / "history.csv")
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert len(lines) == 5
    table = [dict(zip(lines[0].split(","), line.split(","))) for line in lines[1:]]
    assert [row["valid_loss"] == "" for row in table] == [True, True, False, False]
    assert [float(row["train_loss"]) for row in table] == history["train_loss"]
    net.train(regression(), epochs=1)
    assert len(net.history) == 1
