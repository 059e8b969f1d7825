"""Training: data, monitors, reproducibility, compilation, schedules, algorithms."""

import itertools
import warnings

import numpy as np
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode

import theanets
from theanets import activations, backends
from theanets.errors import ConfigurationError, DataError

TINY = 1e-30  # a learning rate that leaves float32 parameters as they are


def regression(n=70, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4)).astype("float32")
    y = np.stack([np.sin(x.sum(axis=1)), x[:, 0] * x[:, 1]], axis=1).astype("float32")
    return x, y


def labels(n=70, seed=0):
    x, y = regression(n, seed)
    return x, (y[:, 0] > 0).astype("int32") + (y[:, 1] > 0)


def regressor(**kwargs):
    return theanets.Regressor([4, (5, "tanh"), 2], **{"rng": 13, **kwargs})


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


def values(net):
    return {p.name: p.get_value() for p in net.params}


def forward(net, x):
    """The twin of ``[4, (5, 'tanh'), 2]``."""
    p = {k: v.astype("float64") for k, v in values(net).items()}
    return np.tanh(x @ p["hid1.w"] + p["hid1.b"]) @ p["out.w"] + p["out.b"]


def same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def rows(net):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in net.history]


# ---- data ------------------------------------------------------------


def test_forms_of_data_are_the_same_data():
    x, y = regression()
    trained = []
    for data in ([x, y], (x, y), {"target": y, "in": x}, [x.astype("float64"), y.tolist()]):
        net = regressor()
        net.train(data, epochs=2, algo="sgd")
        trained.append(values(net))
    for other in trained[1:]:
        same(trained[0], other)


def test_several_inputs_and_targets_in_the_order_of_variables():
    net = theanets.Regressor(
        [dict(size=2, name="a"), dict(size=3, activation="tanh", name="hid1")], loss=None
    )
    net.add_layer(form="input", size=1, name="b")
    net.add_layer(size=2, name="one", inputs="hid1", activation="linear")
    net.add_layer(size=1, name="two", inputs="b", activation="linear")
    net.add_loss("mse", output_name="one", target="y1")
    net.add_loss("mae", output_name="two", target="y2", weight=0.5)
    assert [v.name for v in net.variables] == ["a", "b", "y1", "y2"]
    rng = np.random.default_rng(0)
    data = [rng.normal(size=(9, k)) for k in (2, 1, 2, 1)]
    found = net.evaluate(dict(zip(["a", "b", "y1", "y2"], data)))
    assert found == net.evaluate(data)
    p = {k: v.astype("float64") for k, v in values(net).items()}
    one = np.tanh(data[0] @ p["hid1.w"] + p["hid1.b"]) @ p["one.w"] + p["one.b"]
    two = data[1] @ p["two.w"] + p["two.b"]
    mse, mae = np.mean((one - data[2]) ** 2), np.mean(abs(two - data[3]))
    assert [*found][:2] == ["loss", "err"]
    np.testing.assert_allclose(list(found.values()), [mse + mae / 2] * 2 + [mse, mae], rtol=1e-5)


def batch_source(calls, n=8):
    def draw():
        calls.append(1)
        return regression(n, seed=len(calls))

    return draw


def test_callable(net):
    calls = []
    net.train(batch_source(calls), regression(), epochs=3, train_batches=4)
    assert len(calls) == 12
    assert net.history["updates"] == [4, 8, 12]
    assert net.history.stop_reason == "epochs"


def test_callable_that_ends(net):
    batches = iter([regression(8, seed=i) for i in range(5)])
    net.train(lambda: next(batches), regression(), train_batches=2)
    assert net.history["updates"] == [2, 4, 5]
    assert net.history.stop_reason == "data"


def test_generator_is_consumed_across_epochs(net):
    drawn = []

    def generate():
        for i in itertools.count():
            drawn.append(i)
            yield regression(8, seed=i)

    net.train(generate(), regression(), epochs=3, train_batches=4)
    assert drawn == list(range(12))
    net.train(generate(), regression(), max_updates=5)
    assert len(drawn) == 17


def test_generator_that_ends(net):
    net.train((regression(8, seed=i) for i in range(7)), regression(), train_batches=3)
    assert net.history["updates"] == [3, 6, 7]
    assert net.history.stop_reason == "data"
    net.train((regression(8, seed=i) for i in range(7)), regression())
    assert net.history["updates"] == [7]
    with pytest.raises(DataError, match="0 batches"):
        net.train(iter([]), regression())


class Batches:
    def __init__(self, n):
        self.n, self.started = n, 0

    def __len__(self):
        return self.n

    def __iter__(self):
        self.started += 1
        return (regression(8, seed=i) for i in range(self.n))


def test_iterable_starts_anew(net):
    data, valid = Batches(3), Batches(2)
    net.train(data, valid, epochs=4)
    assert net.history["updates"] == [3, 6, 9, 12]
    assert data.started == 4
    assert valid.started == 5
    everything = [np.concatenate(parts) for parts in zip(*Batches(2))]
    np.testing.assert_allclose(
        net.history["valid_loss"][-1], net.evaluate(everything)["loss"], rtol=1e-5
    )


def test_without_validation_data_streams_are_judged_by_their_own_monitors(net):
    train, valid = net.train(Batches(3), epochs=3)
    assert net.history["valid_loss"] == net.history["train_loss"]
    assert train == valid
    assert train["loss"] == min(net.history["train_loss"])


def test_iterator_to_validate_on(net):
    batches = (regression(8, seed=i) for i in itertools.count())
    net.train(regression(), batches, epochs=3, valid_batches=2)
    everything = [np.concatenate(parts) for parts in zip(*Batches(2))]
    np.testing.assert_allclose(
        net.history["valid_loss"][-1], net.evaluate(everything)["loss"], rtol=1e-5
    )
    with pytest.raises(ConfigurationError, match="valid_batches"):
        net.train(regression(), batches)


def test_train_batches_and_valid_batches(net):
    x, y = regression()
    seen = []
    net.train(
        [x, y],
        epochs=7,
        batch_size=10,
        train_batches=2,
        valid_batches=3,
        callbacks=lambda run: seen.append(run.updates),
    )
    assert seen == [2, 4, 6, 8, 10, 12, 14]
    # Always the same first ones.
    first = net.evaluate([x[:30], y[:30]])
    np.testing.assert_allclose(net.history["valid_loss"][-1], first["loss"], rtol=1e-5)


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


# ---- exact numbers of steps ------------------------------------------------------------


def linear(n=40):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 3))
    return x, x @ rng.normal(size=(3, 2)) + rng.normal(size=(n, 2))


def descended(net, x, y, updates, rate):
    """Gradient descent on the mean squared error, on all data at once."""
    p = values(net)
    w, b = p["out.w"].copy(), p["out.b"].copy()
    for _ in range(updates):
        err = 2 * (x @ w + b - y) / y.size
        w, b = w - rate * x.T @ err, b - rate * err.sum(axis=0)
    return {"out.w": w, "out.b": b}


@pytest.mark.parametrize("count", [0, 1, 2, 7])
@pytest.mark.parametrize("limit", ["epochs", "max_updates"])
def test_so_many_updates_as_asked_for(count, limit):
    x, y = linear()
    net = theanets.Regressor([3, 2], dtype="float64")
    wanted = descended(net, x, y, count, 0.1)
    net.train([x, y], algo="sgd", learning_rate=0.1, batch_size=40, **{limit: count})
    for name, value in wanted.items():
        np.testing.assert_allclose(values(net)[name], value, rtol=1e-10)
    assert len(net.history) == count


@pytest.mark.parametrize(
    ("limits", "updates", "reason"),
    [
        ({"max_updates": 13}, [5, 10, 13], "updates"),
        ({"max_updates": 10}, [5, 10], "updates"),
        ({"max_updates": 13, "epochs": 2}, [5, 10], "epochs"),
        ({"max_updates": 3, "epochs": 2, "validate_every": 5}, [3], "updates"),
        ({"max_updates": 0}, [], "updates"),
        ({"epochs": 0}, [], "epochs"),
        ({"epochs": 2, "max_updates": float("inf")}, [5, 10], "epochs"),
        ({"epochs": np.int64(1)}, [5], "epochs"),
    ],
)
@pytest.mark.parametrize("watched", [False, True])
def test_limits_are_exact(limits, updates, reason, watched, net):
    class Counter(theanets.Callback):
        count = 0

        def batch(self, run):
            self.count += 1
            assert run.updates == self.count

    counter = Counter()
    net.train(regression(), batch_size=16, callbacks=counter if watched else None, **limits)
    assert (net.history["updates"] if updates else []) == updates
    assert net.history.stop_reason == reason
    assert len(net.history) == len(updates)
    if watched:
        assert counter.count == (updates[-1] if updates else 0)
    if updates:
        assert net.history["valid_loss"][-1] is not None


@pytest.mark.parametrize(
    "kwargs",
    [
        {"epochs": -1},
        {"epochs": 1.5},
        {"epochs": "3"},
        {"epochs": True},
        {"max_updates": float("nan")},
        {"max_seconds": -1},
        {"patience": 2.5},
        {"min_improvement": "x"},
        {"validate_every": 0},
        {"validate_every": "x"},
        {"checkpoint_every": 0},
        {"checkpoint_every": "x"},
        {"save_every": -1, "save_progress": "x"},
        {"save_every": 2},
        {"callbacks": 3},
        {"callbacks": "x"},
        {"callbacks": [theanets.Callback]},
        {"progress": "yes"},
        {"batch_size": 0},
        {"train_batches": 1.5},
        {"lerning_rate": 0.1},
        {"min_improvment": 0.1},
        {"hiden_dropout": 0.1},
        {"name": "valid"},
        {"algo": []},
        {"algo": ["sgd", "adam"], "beta3": 1},
    ],
)
def test_arguments_without_meaning_are_refused(kwargs, net):
    before = values(net)
    with pytest.raises(ConfigurationError) as caught:
        net.train(regression(), **{"epochs": 1, **kwargs})
    assert str(next(reversed(kwargs))).split("_")[0] in str(caught.value)
    same(values(net), before)


@pytest.mark.parametrize("algo", ["sdg", ["adam", "sdg"]])
def test_unknown_algorithms_are_refused_at_once(algo, net):
    with pytest.raises(ConfigurationError, match=r"'sdg' \(did you mean 'sgd'"):
        net.train(regression(), algo=algo, epochs=1)
    assert len(net.history) == 0


def test_none_is_not_given(net):
    other = regressor()
    names = "epochs max_seconds min_improvement validate_every checkpoint monitors mode rng"
    more = "save_every save_progress checkpoint_every callbacks progress learning_rate weight_l2"
    net.train(regression(), max_updates=9, **dict.fromkeys([*names.split(), *more.split()]))
    other.train(regression(), max_updates=9)
    same(values(net), values(other))


# ---- one seed ------------------------------------------------------------


NOISY = dict(algo="sgd", momentum=0.5, hidden_dropout=0.2, input_noise=0.1, epochs=4, batch_size=8)


def test_same_seed_same_bits():
    nets = [regressor(rng=3), regressor(rng=3), regressor(rng=4)]
    for net in nets:
        net.train(regression(), **NOISY)
    same(values(nets[0]), values(nets[1]))
    assert rows(nets[0]) == rows(nets[1])
    assert rows(nets[0]) != rows(nets[2])


def test_a_second_call_is_another_run_and_reproducible():
    nets = [regressor(), regressor()]
    start = values(nets[0])
    for net in nets:
        net.train(regression(), **NOISY)
    first = rows(nets[0])
    for net in nets:
        for param in net.params:
            param.set_value(start[param.name])
        net.train(regression(), **NOISY)
    assert rows(nets[0]) == rows(nets[1])
    assert rows(nets[0]) != first
    same(values(nets[0]), values(nets[1]))


def test_seed_of_a_run(net):
    found = []
    start = values(net)
    for seed in (5, 5, 6):
        for param in net.params:
            param.set_value(start[param.name])
        net.train(regression(), rng=seed, **NOISY)
        found.append(rows(net))
    assert found[0] == found[1] != found[2]


def test_two_networks_do_not_disturb_each_other():
    alone = regressor()
    alone.train(regression(), **NOISY)
    net, other = regressor(), regressor(rng=8)
    np.random.seed(1)
    for _ in zip(net.itertrain(regression(), **NOISY), other.itertrain(regression(), **NOISY)):
        np.random.random()
        other.predict(regression()[0], hidden_dropout=0.5)
        net.evaluate(regression(), hidden_dropout=0.5)
    same(values(alone), values(net))
    assert rows(alone) == rows(net)


def test_a_run_that_was_left_open_does_not_come_back(net):
    left = net.itertrain(regression())
    next(left)
    net.train(regression(), epochs=5)
    after = values(net)
    assert list(left) == []
    left.close()
    same(values(net), after)
    assert net.history.stop_reason == "epochs"


# ---- compilation ------------------------------------------------------------


@pytest.fixture
def compiled(monkeypatch):
    names = []
    make = backends.function

    def spy(*args, **kwargs):
        names.append(kwargs.get("name"))
        return make(*args, **kwargs)

    monkeypatch.setattr(backends, "function", spy)
    return names


BASE = dict(algo="sgd", learning_rate=0.1, weight_l2=0.1, hidden_dropout=0.1, epochs=1)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"learning_rate": 0.2},
        {"weight_l2": 0.2},
        {"hidden_dropout": 0.3},
        {"penalty_scale": 2},
        {"batch_size": 7},
        {"epochs": 2, "patience": 3, "validate_every": 2},
        {"learning_rate_schedule": {"form": "exponential", "decay": 0.5}},
        {"train_batches": 2, "callbacks": print},
        {"rng": 4},
    ],
)
def test_nothing_is_compiled_again(compiled, change):
    net = regressor()
    net.train(regression(), **BASE)
    assert sorted(compiled) == ["evaluate", "step"]
    net.train(regression(30, seed=1), regression(9), **{**BASE, **change})
    net.evaluate(regression())
    assert len(compiled) == 2


def test_weights_of_losses_change_without_compiling(compiled):
    net = regressor()
    x, y = regression()
    for i, weight in enumerate((1.0, 0.25)):
        net.losses[0].weight = weight
        start = values(net)
        kwargs = dict(algo="sgd", learning_rate=0.5, batch_size=70, epochs=1)
        train, _ = next(net.itertrain([x, y], **kwargs))
        out = {k: v.astype("float64") for k, v in start.items()}
        h = np.tanh(x @ out["hid1.w"] + out["hid1.b"])
        err = 2 * (h @ out["out.w"] + out["out.b"] - y) / y.size
        assert train["err"] == pytest.approx(weight * train["mse"])
        moved = (start["out.b"] - net.find("out.b").get_value()) / 0.5
        np.testing.assert_allclose(moved, weight * err.sum(axis=0), rtol=1e-3, atol=1e-6)
        assert len(compiled) == 2, i


def test_strengths_are_those_of_the_last_call():
    x, y = regression()
    for strength in (0.5, 2.0):
        fresh, used = regressor(), regressor()
        start = values(used)
        used.train([x, y], weight_l2=1.0, learning_rate=0.1, algo="sgd", epochs=1)
        for param in used.params:
            param.set_value(start[param.name])
        kwargs = dict(weight_l2=strength, learning_rate=0.3, algo="sgd", epochs=2, rng=1)
        fresh.train([x, y], **kwargs)
        used.train([x, y], **kwargs)
        same(values(fresh), values(used))


@pytest.mark.parametrize(
    "change",
    [
        lambda net, kwargs: net.add_loss("mae"),
        lambda net, kwargs: net.set_loss("mae"),
        lambda net, kwargs: kwargs.update(momentum=0.9),
        lambda net, kwargs: kwargs.update(algo="adam"),
        lambda net, kwargs: kwargs.update(weight_l1=0.1),
        lambda net, kwargs: kwargs.pop("hidden_dropout"),
        lambda net, kwargs: kwargs.update(weight_l2=dict(weight=0.1, pattern="hid1.w")),
        lambda net, kwargs: kwargs.update(monitors={"hid1:out": 0.1}),
        lambda net, kwargs: kwargs.update(monitor_gradients=True),
        lambda net, kwargs: kwargs.update(max_global_norm=1.0),
        lambda net, kwargs: kwargs.update(mode=Mode(linker="py", optimizer=None)),
        lambda net, kwargs: setattr(net.layers[1], "activation", activations.build("relu")),
    ],
)
def test_what_shapes_the_graph_is_compiled(compiled, change):
    net = regressor()
    kwargs = dict(BASE)
    net.train(regression(), **kwargs)
    change(net, kwargs)
    net.train(regression(), **kwargs)
    assert compiled.count("step") == 2


# ---- the learning rate ------------------------------------------------------------


def test_schedule_per_epoch(net):
    net.train(
        regression(),
        algo="sgd",
        learning_rate=0.25,
        learning_rate_schedule={"form": "step", "every": 2, "factor": 0.5},
        epochs=5,
    )
    assert net.history["learning_rate"] == [0.25, 0.25, 0.125, 0.125, 0.0625]


@pytest.mark.parametrize(
    "schedule",
    [
        {"form": "exponential", "decay": 0.5, "unit": "update"},
        lambda update, epoch: 0.5**update,
        {"form": "warmup", "updates": 1, "after": lambda update, epoch: 0.5**update},
    ],
)
def test_schedule_per_update(schedule):
    x, y = linear(20)
    net = theanets.Regressor([3, 2], dtype="float64")
    wanted = values(net)
    for update in range(4):  # x and y repeat, so that all batches are the same
        err = 2 * (x @ wanted["out.w"] + wanted["out.b"] - y) / y.size
        rate = 0.1 * 0.5**update
        wanted = {
            "out.w": wanted["out.w"] - rate * x.T @ err,
            "out.b": wanted["out.b"] - rate * err.sum(axis=0),
        }
    net.train(
        lambda: (x, y),
        [x, y],
        train_batches=2,
        algo="sgd",
        learning_rate=0.1,
        learning_rate_schedule=schedule,
        epochs=2,
    )
    for name, value in wanted.items():
        np.testing.assert_allclose(values(net)[name], value, rtol=1e-6)
    # That of the last update.
    np.testing.assert_allclose(net.history["learning_rate"], [0.05, 0.0125])


def test_reduced_on_plateaus(net):
    net.train(
        regression(),
        algo="sgd",
        learning_rate=TINY,
        learning_rate_schedule={"form": "plateau", "factor": 0.5, "patience": 1},
        epochs=8,
    )
    # Nothing improves. The first validation after an update sets the best.
    factors = np.array(net.history["learning_rate"]) / TINY
    np.testing.assert_allclose(factors, [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.125])


def test_a_schedule_starts_anew_with_each_run(net):
    schedule = theanets.optimizers.schedules.build({"form": "plateau", "patience": 0})
    optimizer = theanets.optimizers.build(
        "sgd", learning_rate=TINY, learning_rate_schedule=schedule
    )
    for _ in range(2):
        net.train(regression(), algo=optimizer, epochs=3)
        np.testing.assert_allclose(np.array(net.history["learning_rate"]) / TINY, [1, 1, 0.1])


# ---- algorithms ------------------------------------------------------------


def test_one_algorithm_after_the_other():
    net, twin = regressor(), regressor()
    net.train(regression(), algo=["sgd", None, "l-bfgs"], epochs=2, momentum=0.5, beta1=0.8)
    twin.train(regression(), algo="sgd", epochs=2, momentum=0.5)
    twin.train(regression(), algo="adam", epochs=2, momentum=0.5, beta1=0.8)
    twin.train(regression(), algo="l-bfgs", epochs=2)
    same(values(net), values(twin))
    pairs = list(regressor().itertrain(regression(), algo=("sgd", "adam"), epochs=2))
    assert len(pairs) == 4


def test_an_interruption_ends_all_algorithms():
    def interrupt(run):
        raise KeyboardInterrupt

    for train in (lambda net, **k: net.train(**k), lambda net, **k: list(net.itertrain(**k))):
        net = regressor()
        train(net, train=regression(), algo=["sgd", "adam"], epochs=3, callbacks=interrupt)
        assert net.history.stop_reason == "interrupted"
        assert len(net.history) == 1
        assert net._runs == 1


def test_trainer_object():
    class Trainer:
        def itertrain(self, train, valid=None, **kwargs):
            self.got = train, valid, kwargs
            yield {"loss": 2.0}, {"loss": 3.0}
            yield {"loss": 1.0}, {"loss": 4.0}

    trainer, net, data = Trainer(), regressor(), regression()
    assert net.train(data, algo=trainer, level=3) == ({"loss": 1.0}, {"loss": 4.0})
    assert trainer.got == (data, None, {"level": 3})
    assert len(list(net.itertrain(data, data, algo=trainer))) == 2
    net.train(data, algo=[trainer, "sgd"], epochs=2)
    assert len(net.history) == 2


def test_deprecated_name():
    net, twin = regressor(), regressor()
    with pytest.warns(DeprecationWarning, match="algo="):
        net.train(regression(), algorithm=("sgd",), epochs=1)
    with pytest.warns(DeprecationWarning, match="algo="):
        list(net.itertrain(regression(), algorithm="sgd", epochs=1))
    twin.train(regression(), algo="sgd", epochs=1)
    twin.train(regression(), algo="sgd", epochs=1)
    same(values(net), values(twin))


def test_optimizer_instance_and_class():
    nets = [regressor() for _ in range(3)]
    built = theanets.optimizers.build("adam")
    for net, algo in zip(nets, (built, theanets.optimizers.Adam, "ADAM")):
        net.train(regression(), algo=algo, epochs=2)
    same(values(nets[0]), values(nets[1]))
    same(values(nets[0]), values(nets[2]))
    with pytest.raises(ConfigurationError, match="learning_rate"):
        nets[0].train(regression(), algo=built, learning_rate=0.1)


def test_parameters_that_cannot_move():
    net = theanets.Regressor([4, (5, "tanh"), 2], loss=lambda target, output: pt.sign(output))
    before = values(net)
    with pytest.warns(theanets.ZeroGradientWarning, match=r"hid1\.w"):
        net.train(regression(), epochs=1, algo="sgd")
    same(values(net), before)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.train(regression(), epochs=1, algo="sgd")


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
