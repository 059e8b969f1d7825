"""Monitors: their names, and that they are exact over batches of different sizes."""

import numpy as np
import pytensor.tensor as pt
import pytest

import theanets
from theanets import monitors
from theanets.errors import ConfigurationError

RNG = np.random.default_rng(2)
X = RNG.normal(size=(20, 4))
Y = RNG.normal(size=(20, 3))
LABELS = RNG.integers(0, 3, 20)


def make(**kwargs):
    return theanets.Regressor([4, (5, "tanh"), 3], dtype="float64", **{"rng": 13, **kwargs})


def hidden(net, x=X):
    return np.tanh(x @ net.find("hid1", "w").get_value() + net.find("hid1", "b").get_value())


def loss(target, output):
    return pt.sqr(target - output)


def acc(target, output):
    return pt.abs(target - output)


NAMES = [
    ([{"form": "mse"}], ["mse"]),
    ([{"form": "mse"}, {"form": "mae"}], ["mse", "mae"]),
    ([{"form": "mse"}, {"form": "mse", "output_name": "b", "target": "y"}], ["mse:out", "mse:b"]),
    ([{"form": "mse", "output_name": "b", "target": "y"}], ["mse"]),
    ([{"form": "mae"}, {"form": "mse", "output_name": "b", "target": "y"}], ["mae", "mse:b"]),
    ([{"form": "mse"}, {"form": "mse"}], ["mse:out:target:1", "mse:out:target:2"]),
    ([{"form": "mse"}, {"form": "mse", "target": "y"}], ["mse:out:target", "mse:out:y"]),
    (
        [{"form": "mse", "output_name": "b:pre", "target": "y"}, {"form": "mae"}],
        ["mse:b.pre", "mae"],
    ),
    # Names that every network has already.
    ([{"form": loss}], ["loss:out"]),
    ([{"form": loss}, {"form": acc}], ["loss:out", "acc:out"]),
]


@pytest.mark.parametrize(("specs", "expected"), NAMES)
def test_names_of_losses(specs, expected):
    losses = [theanets.Loss.build(spec) for spec in specs]
    assert monitors.loss_names(losses) == expected


def test_a_loss_called_loss_does_not_hide_the_total():
    net = make(loss=loss)
    net.add_loss(acc, weight=2)
    found = net.evaluate([X, Y], weight_l2=3, regularizers=[theanets.penalty(err, "hid1.w")])
    error = net.predict(X) - Y
    square, absolute = (error**2).mean(), np.abs(error).mean()
    penalty = found["weight_l2"] + found["err:2"]
    assert found["loss:out"] == pytest.approx(square)
    assert found["acc:out"] == pytest.approx(absolute)
    assert found["err"] == pytest.approx(square + 2 * absolute)
    assert found["loss"] == pytest.approx(square + 2 * absolute + penalty)
    assert found["err:2"] == pytest.approx(net.find("hid1", "w").get_value().sum())


def err(w):
    return w.sum()


def test_the_total_comes_first_and_metrics_last():
    net = theanets.Classifier([4, (5, "tanh"), 3])
    found = net.evaluate([X, LABELS], weight_l2=1, monitors={"hid1": 0.1})
    assert list(found) == ["loss", "err", "xe", "weight_l2", "acc", "hid1<0.1"]


def test_accuracy_is_of_each_output_with_labels():
    layers = [4, (5, "tanh"), {"size": 2, "name": "b", "activation": "softmax"}]
    net = theanets.Classifier([*layers, {"size": 3, "name": "out", "inputs": "hid1"}])
    net.add_loss("xe", output_name="b", target="kind")
    net.add_loss("hinge", weight=0.1)
    kinds = LABELS > 0
    found = net.evaluate([X, LABELS, kinds], batch_size=7)
    outputs = net.feed_forward(X)
    assert found["acc"] == pytest.approx((outputs["out:out"].argmax(1) == LABELS).mean())
    assert found["acc:b"] == pytest.approx((outputs["b:out"].argmax(1) == kinds).mean())
    assert {"xe:out", "xe:b", "hinge"} <= set(found)
    assert "acc" not in make().evaluate([X, Y])


def spread(h):
    return h.max() - h.min()


def double(h):
    return 2 * h


WATCHED = [
    ({"hid1": 0.1}, {"hid1<0.1": lambda h, w: (h < 0.1).mean()}),
    ({"hid1:out": np.float32(0.25)}, {"hid1:out<0.25": lambda h, w: (h < 0.25).mean()}),
    (
        {"hid1": [-0.5, 0, 1]},
        {
            "hid1<-0.5": lambda h, w: (h < -0.5).mean(),
            "hid1<0": lambda h, w: (h < 0).mean(),
            "hid1<1": lambda h, w: 1,
        },
    ),
    ([("hid1", (0, 0.5))], {"hid1<0": lambda h, w: (h < 0).mean(), "hid1<0.5": None}),
    # Any sequence of numbers, in an array for instance.
    (
        {"hid1": np.linspace(-0.5, 0.5, 3)},
        {"hid1<-0.5": None, "hid1<0": lambda h, w: (h < 0).mean(), "hid1<0.5": None},
    ),
    ({"hid1": np.array(0.25)}, {"hid1<0.25": lambda h, w: (h < 0.25).mean()}),
    ({"hid1.w": range(2)}, {"hid1.w<0": None, "hid1.w<1": lambda h, w: (w < 1).mean()}),
    ({"hid1": double}, {"hid1:double": lambda h, w: 2 * h.mean()}),
    ({"hid1": ("twice", double)}, {"hid1:twice": lambda h, w: 2 * h.mean()}),
    (
        {"hid1": {"twice": double, "mean": lambda h: h.mean()}},
        {"hid1:twice": lambda h, w: 2 * h.mean(), "hid1:mean": lambda h, w: h.mean()},
    ),
    (
        {"hid1": [double, ("abs", pt.abs)]},
        {"hid1:double": None, "hid1:abs": lambda h, w: abs(h).mean()},
    ),
    # A scalar counts for as many examples as its batch has.
    (
        {"hid1": spread},
        {
            "hid1:spread": lambda h, w: (
                sum(np.ptp(h[i : i + 7]) * len(h[i : i + 7]) for i in (0, 7, 14)) / 20
            )
        },
    ),
    ({"hid1": abs}, {"hid1:abs": lambda h, w: abs(h).mean()}),
    # What does not depend on it is an expression too.
    ({"hid1": {"shape": lambda h: h.shape[1]}}, {"hid1:shape": lambda h, w: 5}),
    # Parameters and globs.
    ({"hid1.w": 0.0}, {"hid1.w<0": lambda h, w: (w < 0).mean()}),
    ({"hid1.w": double}, {"hid1.w:double": lambda h, w: 2 * w.mean()}),
    ({"hid?, *.w": ("m", double)}, {"hid1:m": None, "hid1.w:m": None, "out.w:m": None}),
    (
        {"*:out": 0},
        {"in:out<0": lambda h, w: (X < 0).mean(), "hid1:out<0": None, "out:out<0": None},
    ),
    ({"hid1:pre": ("tanh", pt.tanh)}, {"hid1:pre:tanh": lambda h, w: h.mean()}),
]


@pytest.mark.parametrize(("spec", "expected"), WATCHED)
def test_what_the_user_watches(spec, expected):
    net = make()
    found = net.evaluate([X, Y], monitors=spec, batch_size=7)
    assert set(found) - {"loss", "err", "mse"} == set(expected)
    h, w = hidden(net), net.find("hid1", "w").get_value()
    for name, function in expected.items():
        if function is not None:
            assert found[name] == pytest.approx(function(h, w), rel=1e-9), name


def test_monitors_of_training():
    net = make()
    ((train, valid),) = net.itertrain([X, Y], epochs=1, monitors={"hid1": 0.1}, weight_l2=0.1)
    assert list(train) == ["loss", "err", "mse", "weight_l2", "hid1<0.1"]
    assert list(valid) == ["loss", "err", "mse", "hid1<0.1"]
    assert {"train_hid1<0.1", "valid_hid1<0.1"} <= set(net.history.columns)


def test_norms_of_gradients():
    net = make()
    h, error = hidden(net), net.predict(X) - Y
    gradient = h.T @ (2 * error / error.size)
    ((train, _),) = net.itertrain([X, Y], epochs=1, batch_size=20, monitor_gradients=True)
    assert train["grad(out.w)"] == pytest.approx(np.linalg.norm(gradient), rel=1e-9)
    assert train["grad(out.b)"] == pytest.approx(np.linalg.norm(2 * error.sum(0) / error.size))


@pytest.mark.parametrize("size", [1, 3, 7, 19, 20, 100])
def test_evaluation_is_exact_over_unequal_batches(size):
    net = make(weighted=True)
    net.add_loss("mae", weight=2)
    weights = RNG.uniform(size=(20, 3)) * (RNG.uniform(size=(20, 3)) < 0.5)
    found = net.evaluate([X, Y, weights], batch_size=size, hidden_l2=3, batches=None)
    error = net.predict(X) - Y
    square = (weights * error**2).sum() / weights.sum()
    absolute = (weights * np.abs(error)).sum() / weights.sum()
    assert found["mse"] == pytest.approx(square, rel=1e-12)
    assert found["mae"] == pytest.approx(absolute, rel=1e-12)
    assert found["err"] == pytest.approx(square + 2 * absolute, rel=1e-12)
    assert found["hidden_l2"] == pytest.approx(3 * (hidden(net) ** 2).mean(), rel=1e-12)
    summed = {"weight": 3, "norm": "sum"}
    found = net.evaluate([X, Y, weights], batch_size=size, hidden_l2=summed)
    assert found["hidden_l2"] == pytest.approx(3 * (hidden(net) ** 2).sum() / 20, rel=1e-12)


def test_a_monitor_that_is_as_a_loss_is_called():
    net = make(loss="mse")
    found = net.evaluate([X, Y], monitors={"hid1": {"w": double}, "hid1.w": {"w": double}})
    assert {"hid1:w", "hid1.w:w"} <= set(found)
    layers = [4, (5, "tanh"), {"size": 2, "name": "b", "activation": "softmax"}]
    net = theanets.Classifier([*layers, {"size": 3, "name": "out", "inputs": "hid1"}])
    net.add_loss(acc, output_name="b", target="y")
    found = net.evaluate([X, LABELS, Y[:, :2]])
    assert found["acc:b"] == pytest.approx(np.abs(net.feed_forward(X)["b:out"] - Y[:, :2]).mean())
    net = theanets.Classifier([*layers, {"size": 3, "name": "out", "inputs": "hid1"}])
    net.add_loss(acc, output_name="b", target="y")
    net.add_loss("xe", output_name="b", target="kind")
    found = net.evaluate([X, LABELS, Y[:, :2], LABELS > 0])
    probabilities = net.feed_forward(X)["b:out"]
    assert found["acc:b"] == pytest.approx(np.abs(probabilities - Y[:, :2]).mean())
    assert found["acc:b:2"] == pytest.approx((probabilities.argmax(1) == (LABELS > 0)).mean())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"hid9": 0.1}, "hid9.*hid1"),
        ({"hid1": "x"}, "'x' is not a number, a callable"),
        ({"hid1": True}, "True is not a number"),
        ({"hid1": ("x", 3)}, "3, labelled 'x', is not callable"),
        ({"hid1": {"x": 3}}, "3, labelled 'x', is not callable"),
        ("hid1", "monitors='hid1' is neither a dict"),
        (0.5, "monitors=0.5 is neither a dict"),
        (["hid1"], "'hid1' is not a pair"),
        ({"hid1": lambda h: "x"}, "returned 'x'; expected an expression"),
    ],
)
def test_what_is_no_monitor(spec, message):
    net = make()
    for call in (net.evaluate, net.train):
        with pytest.raises(ConfigurationError, match=message):
            call([X, Y], monitors=spec)


@pytest.mark.parametrize("weighted", [False, True])
def test_score_is_of_each_variable(weighted):
    reference = pytest.importorskip("sklearn.metrics")
    net, w = make(), RNG.uniform(size=20) if weighted else None
    y = Y * [1, 10, 0.1] + [0, 5, -2]
    expected = reference.r2_score(y, net.predict(X), sample_weight=w)
    assert net.score(X, y, w) == pytest.approx(expected, rel=1e-9)
    column = theanets.Regressor([4, 1], dtype="float64")
    expected = reference.r2_score(y[:, 0], column.predict(X)[:, 0], sample_weight=w)
    assert column.score(X, y[:, 0], w) == pytest.approx(expected, rel=1e-9)


def test_a_penalty_without_any_loss():
    net = make(loss=None)
    kwargs = dict(epochs=2, algo="sgd", learning_rate=0.1)
    with pytest.warns(theanets.ZeroGradientWarning, match=r"hid1\.b, out\.b"):
        train, valid = net.train([X], weight_l2=1.0, **kwargs)
    squares = np.mean([(net.find(n, "w").get_value() ** 2).mean() for n in ("hid1", "out")])
    assert valid["loss"] == valid["weight_l2"] == pytest.approx(squares, rel=1e-9)
    assert train == valid
    assert net.history["valid_loss"][1] < net.history["valid_loss"][0]
