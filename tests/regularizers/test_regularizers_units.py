"""Penalties and limits on the weights of units, against NumPy, for all shapes of weights."""

import copy

import numpy as np
import pytensor
import pytest

import theanets
from theanets import backends, convolution, optimizers, recurrent
from theanets.errors import ConfigurationError, UnknownNameError
from theanets.regularizers import MaxNorm, Regularizer

RNG = np.random.default_rng(11)
X = RNG.normal(size=(10, 4))
Y = RNG.normal(size=(10, 3))


def make(**kwargs):
    return theanets.Regressor(
        [4, (5, "tanh"), (2, "sigmoid"), 3], dtype="float64", **{"rng": 13, **kwargs}
    )


def convolutional():
    layers = [(4, 4, 2), (3, "conv2", "relu"), (2, "conv2_transposed"), "flat", 3]
    for i in (1, 2):
        layers[i] = {"form": layers[i][1], "size": layers[i][0], "filter_size": (2, 3)}
    return convolution.Regressor(layers, dtype="float64")


def symbols():
    source = dict(form="symbols", shape=(2,), classes=6)
    layers = [source, dict(form="embedding", size=3, name="e"), "flat", 3]
    return theanets.Regressor(layers, dtype="float64")


def units(name, w):
    """The weights of the units as rows."""
    return w.reshape(len(w), -1) if w.ndim > 2 or name == "e.w" else w.T


def inputs(name, w):
    """The weights of the inputs as rows."""
    if w.ndim == 2:
        return w.T if name == "e.w" else w
    return np.swapaxes(w, 0, 1).reshape(w.shape[1], -1)


def squares(rows):
    return (rows**2).sum(axis=1)


def inverse(name, w, total, epsilon=1e-8):
    values = 1 / (squares(units(name, w)) + epsilon)
    return values.sum() if total else values.mean()


def orthogonal(name, w, total):
    rows = units(name, w)
    rows = rows if len(rows) <= rows.shape[1] else rows.T
    values = (rows @ rows.T - np.eye(len(rows))) ** 2
    return values.sum() if total else values.mean()


def lasso(name, w, total, groups=units):
    rows = groups(name, w)
    values = np.sqrt(rows.shape[1]) * np.linalg.norm(rows, axis=1)
    return values.sum() / (1 if total else w.size)


PENALTIES = {
    "weight_inverse": [({}, inverse), ({"epsilon": 0.5}, lambda *a: inverse(*a, epsilon=0.5))],
    "orthogonal": [({}, orthogonal)],
    "group_lasso": [({}, lasso), ({"groups": "inputs"}, lambda *a: lasso(*a, groups=inputs))],
}
CASES = [(name, how, twin) for name, forms in PENALTIES.items() for how, twin in forms]
NETS = {"dense": make, "convolution": convolutional, "embedding": symbols}


def values(net):
    return {p.name: p.get_value() for p in net.params if p.ndim > 1}


def expression(net, **keywords):
    """A function that computes penalties and their gradients."""
    params = net.params
    total = net.loss(**keywords) - net.loss()
    found = [total, *pytensor.grad(total, params, disconnected_inputs="ignore")]
    function = pytensor.function(net.variables, found, on_unused_input="ignore")
    data = nothing(net)
    return lambda: function(*data)


def nothing(net):
    return [np.zeros((1, *field.shape), field.dtype) for field in net.fields]


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("norm", ["mean", "sum"])
def test_penalties_and_gradients(net, norm):
    net = NETS[net]()
    every = [{"form": name, "weight": 0.5, "norm": norm, **how} for name, how, _ in CASES]
    twins = [twin for _, _, twin in CASES]
    join = getattr(np, norm)

    def expected():
        v = values(net).items()
        return [0.5 * join([twin(name, w, norm == "sum") for name, w in v]) for twin in twins]

    found = net.evaluate(nothing(net), regularizers=every)
    names = [name for name in found if name.partition(":")[0] in PENALTIES]
    assert [found[name] for name in names] == pytest.approx(expected(), rel=1e-9)
    total, *slopes = expression(net, regularizers=every)()
    assert total == pytest.approx(sum(expected()), rel=1e-9)
    for param, slope in zip(net.params, slopes):
        start = param.get_value()
        along = RNG.normal(size=start.shape)
        ends = []
        for step in (1e-6, -1e-6):
            param.set_value(start + step * along)
            ends.append(sum(expected()))
        param.set_value(start)
        difference = (ends[0] - ends[1]) / 2e-6
        assert (slope * along).sum() == pytest.approx(difference, rel=1e-5, abs=1e-6)


def test_patterns():
    net = make()
    v = values(net)
    both = {name: {"weight": 0.5, "pattern": "hid*.w"} for name in PENALTIES}
    found = net.evaluate([X, Y], **both)
    each = {name: {"hid1.w": 0.5, "out.w": 2} for name in PENALTIES}
    several = net.evaluate([X, Y], **each)
    for name, [(_, twin), *_] in PENALTIES.items():
        plain = {n: twin(n, w, False) for n, w in v.items()}
        mean = (plain["hid1.w"] + plain["hid2.w"]) / 2
        assert found[name] == pytest.approx(0.5 * mean, rel=1e-9)
        assert several[name] == pytest.approx(0.5 * plain["hid1.w"], rel=1e-9)
        assert several[f"{name}:2"] == pytest.approx(2 * plain["out.w"], rel=1e-9)


def test_gradients_are_finite_at_zero():
    net = make()
    for param in net.params:
        param.set_value(0 * param.get_value())
    found, *slopes = expression(net, **dict.fromkeys(PENALTIES, 1))()
    assert np.isfinite(found)
    assert all((slope == 0).all() for slope in slopes)


def test_group_lasso_is_weight_l1_of_weights_of_one_size():
    net = make()
    for param in net.params:
        param.set_value(np.where(RNG.normal(size=param.get_value().shape) < 0, -0.3, 0.3))
    for groups in ("units", "inputs"):
        found = net.evaluate([X, Y], group_lasso={"weight": 2, "groups": groups}, weight_l1=2)
        assert found["group_lasso"] == pytest.approx(found["weight_l1"])


def test_orthonormal_weights_have_no_penalty():
    net = make()
    tall, wide = np.linalg.qr(RNG.normal(size=(5, 2)))[0], np.linalg.qr(RNG.normal(size=(5, 4)))[0]
    net.find("hid1.w").set_value(wide.T)
    net.find("hid2.w").set_value(tall)
    found = net.evaluate([X, Y], orthogonal={"weight": 1, "pattern": "hid*.w"})
    assert found["orthogonal"] == pytest.approx(0, abs=1e-25)


def test_weights_are_not_those_of_activations_nor_of_wholes():
    """Slopes of a maxout have an axis of units first; a bidirectional layer has two halves."""
    net = theanets.Regressor([4, (5, "maxout:2"), 3], dtype="float64")
    v = values(net)
    assert set(v) == {"hid1.w", "hid1.slope", "hid1.intercept", "out.w"}
    found = net.evaluate([X, Y], weight_inverse=1)["weight_inverse"]
    assert found == pytest.approx(np.mean([inverse(n, v[n], 0) for n in ("hid1.w", "out.w")]))
    found = net.evaluate([X, Y], weight_inverse={"hid1.slope": 1})["weight_inverse"]
    assert found == pytest.approx(inverse("hid1.slope", v["hid1.slope"].T, 0))

    layers = [4, dict(form="bidirectional", worker="rnn", size=6), 3]
    net = recurrent.Regressor(layers, dtype="float64")
    data = [np.zeros((1, 2, 4)), np.zeros((1, 2, 3))]
    v = values(net)
    assert len(v) == 5
    found = net.evaluate(data, weight_inverse=1)["weight_inverse"]
    assert found == pytest.approx(np.mean([inverse(n, w, 0) for n, w in v.items()]))


def test_a_script_may_define_its_own_weight_inverse(monkeypatch):
    registry = Regularizer.registry
    for attribute in ("_items", "_canonical"):
        monkeypatch.setattr(registry, attribute, copy.copy(getattr(registry, attribute)))

    class WeightInverse(theanets.Regularizer):
        def loss(self, layers, outputs):
            every = (p for layer in layers for p in layer.params if p.ndim == 2)
            return sum((1 / (p * p).sum(axis=0)).sum() for p in every)

    net = make()
    found = net.evaluate([X, Y], weightinverse=0.1)["weightinverse"]
    ours = net.evaluate([X, Y], weight_inverse={"weight": 0.1, "norm": "sum", "epsilon": 1e-30})
    assert found == pytest.approx(ours["weight_inverse"], rel=1e-9)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"weight_inverse": {"weight": 1, "epsilon": 0}}, "epsilon=0 is not a positive number"),
        (
            {"group_lasso": {"weight": 1, "groups": "rows"}},
            "'rows' is not one of 'units', 'inputs'",
        ),
        ({"orthogonal": {"weight": 1, "norm": "max"}}, "norm='max' is not one of 'mean', 'sum'"),
        ({"orthogonal": {"hid1.*": 1}}, r"matches 'hid1.b', which is a vector"),
        ({"max_norm": {"hid1.b": 1}}, r"matches 'hid1.b', which is a vector"),
        ({"max_norm": -1}, "weight=-1 is not a number of at least 0"),
    ],
)
def test_refused(keywords, message):
    with pytest.raises(ConfigurationError, match=message):
        make().train([X, Y], epochs=1, **keywords)


def test_a_pattern_without_a_match_names_the_nearest():
    with pytest.raises(UnknownNameError, match=r"did you mean 'hid1.w'"):
        make().train([X, Y], max_norm={"hd1.w": 1})


# ---- limits ----------------------------------------------------------------------------------


class Norms(theanets.Callback):
    """Keeps the norms of all units after each update."""

    def __init__(self):
        self.found = []

    def batch(self, run):
        self.found.append(norms(run.network))


def norms(net):
    return {name: np.linalg.norm(units(name, w), axis=1) for name, w in values(net).items()}


FIRST_ORDER = [
    n for n in optimizers.Optimizer.registry if optimizers.Optimizer.registry[n].first_order
]


@pytest.mark.parametrize("algo", FIRST_ORDER)
def test_max_norm_holds_after_each_update(algo):
    net = make()
    watch = Norms()
    keywords = {"learning_rate": 0.5, "batch_size": 5, "epochs": 3, "max_norm": 0.7}
    net.train([X, 9 * Y], algo=algo, callbacks=watch, momentum=0.5, **keywords)
    assert len(watch.found) == 6
    every = np.array([np.concatenate([*found.values()]) for found in watch.found])
    assert (every <= 0.7 * (1 + 1e-14)).all()
    assert np.isclose(every, 0.7).any(axis=1).sum() > 3
    assert max(map(max, norms(net).values())) <= 0.7 * (1 + 1e-14)


def test_max_norm_is_a_projection_of_the_new_weights():
    net = make()
    start = {p.name: p.get_value() for p in net.params}
    slopes = pytensor.function(net.variables, pytensor.grad(net.loss(), net.params))(X, Y)
    w = start["out.w"] - 0.3 * slopes[4]
    limit = np.sort(np.linalg.norm(w, axis=0))[1]
    limit *= 0.999  # Two of three units are beyond it; none is so at first.
    scale = 0.5 * limit / np.linalg.norm(start["out.w"], axis=0).max()
    net.find("out.w").set_value(start["out.w"] * scale)
    start["out.w"] = start["out.w"] * scale
    slopes = pytensor.function(net.variables, pytensor.grad(net.loss(), net.params))(X, Y)
    rate = 0.9 * limit / np.linalg.norm(slopes[4], axis=0).min()

    class Stop(theanets.Callback):
        def batch(self, run):
            self.found = {p.name: p.get_value() for p in run.params}
            run.stop()

    stop = Stop()
    keywords = {"algo": "sgd", "learning_rate": rate, "batch_size": 10, "callbacks": stop}
    net.train([X, Y], max_norm={"out.w": limit}, penalty_scale=7, **keywords)
    for param, slope in zip(net.params, slopes):
        expected = start[param.name] - rate * slope
        if param.name == "out.w":
            length = np.linalg.norm(expected, axis=0)
            assert 0 < (length > limit).sum() < 3
            expected = expected * np.where(length > limit, limit / length, 1)
        np.testing.assert_allclose(stop.found[param.name], expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("net", ["convolution", "embedding"])
def test_max_norm_of_filters_and_vectors(net):
    x = RNG.integers(6, size=(8, 2)) if net == "embedding" else RNG.normal(size=(8, 4, 4, 2))
    net = NETS[net]()
    watch = Norms()
    limit = {name: 0.9 * length.min() for name, length in norms(net).items()}
    keywords = {"algo": "sgd", "learning_rate": 0.1, "epochs": 3, "batch_size": 4}
    data = [x, RNG.normal(size=(8, *net.fields[1].shape))]
    net.train(data, max_norm=limit, callbacks=watch, **keywords)
    assert len(watch.found) == 6
    for name, most in limit.items():
        every = np.array([found[name] for found in watch.found])
        assert (every <= most * (1 + 1e-14)).all()
        assert np.isclose(every, most).any()


def test_max_norm_of_tied_weights():
    """They are the partner's, of whose units the limit is."""
    net = theanets.Autoencoder([6, (4, "tanh"), (6, "tied")])
    watch = Norms()
    x = RNG.normal(size=(20, 6))
    net.train(x, max_norm=0.5, learning_rate=0.1, epochs=3, callbacks=watch)
    assert [*watch.found[0]] == ["hid1.w"]
    for found in watch.found:
        assert (found["hid1.w"] <= 0.5 * (1 + 1e-6)).all()
        assert np.isclose(found["hid1.w"], 0.5, rtol=1e-6).any()
    h = np.tanh(x @ net.find("hid1.w").get_value() + net.find("hid1.b").get_value())
    decoded = h @ net.find("hid1.w").get_value().T + net.find("out.b").get_value()
    np.testing.assert_allclose(net.predict(x), decoded, rtol=1e-4, atol=1e-5)


def test_the_parameters_at_the_start_are_limited_too():
    """They may be the best."""
    net = make()
    net.find("hid1.w").set_value(RNG.normal(size=(4, 5)) * 10)
    direction = net.find("hid1.w").get_value()
    net.train([X, net.predict(X)], algo="sgd", learning_rate=5, epochs=1, max_norm=2)
    assert (norms(net)["hid1.w"] <= 2 * (1 + 1e-14)).all()
    net.find("hid1.w").set_value(direction)
    net.train([X, Y], epochs=0, max_norm={"hid1.w": 2})
    expected = direction / np.linalg.norm(direction, axis=0) * 2
    np.testing.assert_allclose(net.find("hid1.w").get_value(), expected, rtol=1e-14)


def test_another_limit_compiles_nothing(monkeypatch):
    compiled = []
    function = backends.function

    def spy(*args, **kwargs):
        compiled.append(kwargs["name"])
        return function(*args, **kwargs)

    monkeypatch.setattr(backends, "function", spy)
    net = make()
    keywords = {"learning_rate": 1, "epochs": 2}
    net.train([X, Y], max_norm=1, **keywords)
    before = list(compiled)
    assert "step" in before
    net.train([X, Y], max_norm=0.25, **keywords)
    assert compiled == before
    for length in norms(net).values():
        assert (length <= 0.25 * (1 + 1e-14)).all()
    # No limit is another function.
    net.train([X, Y], max_norm=0, **keywords)
    assert len(compiled) == len(before) + 1


def test_max_norm_adds_nothing_to_the_loss():
    net = make()
    clean = net.evaluate([X, Y])
    assert net.evaluate([X, Y], max_norm=0.1) == clean
    np.testing.assert_array_equal(net.predict(X, max_norm=0.1), net.predict(X))


def test_l_bfgs_refuses_a_limit():
    net = make()
    before = values(net)
    with pytest.raises(ConfigurationError, match=r"l-bfgs .* cannot be used with max_norm"):
        net.train([X, Y], algo="l-bfgs", regularizers=[MaxNorm(0.1)])
    for name, value in values(net).items():
        np.testing.assert_array_equal(value, before[name])
