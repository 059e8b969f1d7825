"""Exact numbers of steps, one seed, and what is compiled."""

import numpy as np
import pytest
from pytensor.compile.mode import Mode
from training_cases import linear, regression, regressor, same, values

import theanets
from theanets import activations, backends
from theanets.errors import ConfigurationError


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


def rows(net):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in net.history]


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
