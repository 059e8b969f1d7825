"""The contractive penalty against the Jacobian, by finite differences, in all its forms."""

import itertools

import numpy as np
import pytensor
import pytest

import theanets
from theanets import convolution, recurrent
from theanets.errors import ConfigurationError, UnknownNameError

RNG = np.random.default_rng(3)
STEP = 1e-6


def jacobian(net, xs, name, which=None):
    """The Jacobian of an output for each example, (batch, entries of h, entries of x)."""
    xs = [np.array(x, dtype=float) for x in xs]
    columns = []
    for k in range(len(xs)) if which is None else which:
        flat = xs[k].reshape(len(xs[k]), -1)
        for i in range(flat.shape[1]):
            ends = []
            for step in (STEP, -STEP):
                flat[:, i] += step
                ends.append(net.feed_forward(xs)[name].reshape(len(flat), -1))
                flat[:, i] -= step
            columns.append((ends[0] - ends[1]) / (2 * STEP))
    return np.stack(columns, axis=-1)


def frobenius(net, xs, name, which=None):
    return (jacobian(net, xs, name, which) ** 2).sum(axis=(1, 2)).mean()


def regressor(layers, **kwargs):
    return theanets.Regressor(layers, dtype="float64", **{"rng": 13, **kwargs})


def data(net, xs):
    """Add zeros as the targets."""
    shape = [xs[0].shape[1] if n is None else n for n in net.fields[-1].shape]
    return [*xs, np.zeros((len(xs[0]), *shape))]


def away(net):
    """Move parameters away from where they start."""
    for param in net.params:
        param.set_value(param.get_value() + 0.3 * RNG.normal(size=param.get_value().shape))
    return net


ELEMENTWISE = [
    "linear",
    "logistic",
    "tanh",
    "softplus",
    "relu",
    "rect:minmax",
    "prelu",
    "lgrelu",
    "elu",
    "gelu",
    "tanh+elu",
    lambda x: x**3 + 2 * x,
]


@pytest.mark.parametrize("activation", ELEMENTWISE)
def test_closed_form(activation):
    net = away(regressor([4, (5, activation), 3]))
    x = RNG.normal(size=(7, 4))
    expected = frobenius(net, [x], "hid1:out")
    for size in (512, 5, 5):
        found = net.evaluate(data(net, [x]), contractive=0.5, batch_size=size)
        assert found["contractive"] == pytest.approx(0.5 * expected, rel=1e-6)
        assert found["loss"] == pytest.approx(found["err"] + found["contractive"])


def test_closed_form_of_several_inputs():
    second = {"form": "input", "size": 2, "name": "my-b"}
    hidden = {"size": 5, "inputs": ("in", "my-b", "in"), "name": "my-h", "activation": "tanh"}
    net = away(regressor([4, second, hidden, 3]))
    xs = [RNG.normal(size=(6, 4)), RNG.normal(size=(6, 2))]
    for wrt, which in ((None, None), ("my-b", [1]), ("in:out", [0]), (["in", "my-*"], None)):
        how = {"weight": 1, "wrt": wrt}
        found = net.evaluate(data(net, xs), contractive=how)["contractive"]
        assert found == pytest.approx(frobenius(net, xs, "my-h:out", which), rel=1e-6)
        how["pattern"] = "my-h:pre"
        found = net.evaluate(data(net, xs), contractive=how)["contractive"]
        assert found == pytest.approx(frobenius(net, xs, "my-h:pre", which), rel=1e-6)


NETS = {
    "deep": (lambda: regressor([3, (4, "tanh"), (2, "tanh"), 1]), (3,), "hid2:out"),
    "softmax": (lambda: regressor([3, (2, "softmax"), 1]), (3,), "hid1:out"),
    "glu": (lambda: regressor([3, (2, "glu"), 1]), (3,), "hid1:out"),
    "maxout": (lambda: regressor([3, (2, "maxout:2"), 1]), (3,), "hid1:out"),
    "batch_norm": (lambda: regressor([3, (2, "tanh"), "batch_norm", 1]), (3,), "hid2:out"),
    "convolution": (
        lambda: convolution.Regressor(
            [(2, 3, 1), dict(form="conv2", size=1, filter_size=2, activation="tanh"), "flat", 1],
            dtype="float64",
        ),
        (2, 3, 1),
        "hid1:out",
    ),
    "recurrent": (
        lambda: recurrent.Regressor([1, (1, "rnn", "tanh"), 1], dtype="float64"),
        (2, 1),
        "hid1:out",
    ),
}


@pytest.mark.parametrize("which", NETS)
def test_estimate_is_the_projection_by_signs(which):
    """Of two entries of an output, there are two estimates; their mean is the penalty."""
    build, shape, name = NETS[which]
    net = away(build())
    x = RNG.normal(size=(1, *shape))
    (j,) = jacobian(net, [x], name)
    assert len(j) == 2
    expected = sorted([((j[0] + j[1]) ** 2).sum(), ((j[0] - j[1]) ** 2).sum()])
    assert np.mean(expected) == pytest.approx((j**2).sum())
    how = {"weight": 1, "pattern": name}
    found = [net.evaluate(data(net, [x]), contractive=how)["contractive"] for _ in range(25)]
    assert min(found) == pytest.approx(expected[0], rel=1e-5, abs=1e-9)
    assert max(found) == pytest.approx(expected[1], rel=1e-5)
    nearest = np.abs(np.subtract.outer(found, expected)).min(axis=1)
    np.testing.assert_allclose(nearest, 0, atol=1e-5 * expected[1])
    # Of three samples, their mean.
    how["samples"] = 3
    found = [net.evaluate(data(net, [x]), contractive=how)["contractive"] for _ in range(25)]
    means = [np.mean(c) for c in itertools.combinations_with_replacement(expected, 3)]
    nearest = np.abs(np.subtract.outer(found, means)).argmin(axis=1)
    assert {1, 2} <= set(nearest)
    np.testing.assert_allclose(found, np.array(means)[nearest], rtol=1e-5, atol=1e-12)


def test_estimate_is_unbiased():
    """Over many examples, each with signs of its own, and several layers."""
    net = away(regressor([3, (4, "tanh"), (5, "tanh"), (4, "softmax"), 1]))
    one = RNG.normal(size=(1, 3))
    rows = 4000
    found = net.evaluate(data(net, [np.repeat(one, rows, axis=0)]), contractive=1, batch_size=rows)
    parts, variance = [], 0.0
    for name in ("hid1:out", "hid2:out", "hid3:out"):
        (j,) = jacobian(net, [one], name)
        parts.append((j**2).sum())
        if name != "hid1:out":  # Which is exact.
            products = (j @ j.T) ** 2
            variance += 2 * (products.sum() - np.trace(products)) / 9
    assert abs(found["contractive"] - np.mean(parts)) < 5 * np.sqrt(variance / rows)
    assert 0 < np.sqrt(variance / rows) < 0.02 * np.mean(parts)


def test_estimate_of_one_of_two_inputs():
    second = {"form": "input", "size": 2, "name": "b"}
    hidden = {"size": 3, "inputs": ("in", "b"), "name": "h", "activation": "tanh"}
    net = away(regressor([4, second, hidden, {"size": 1, "name": "k", "activation": "tanh"}, 1]))
    xs = [RNG.normal(size=(6, 4)), RNG.normal(size=(6, 2))]
    for wrt, which in ((None, None), ("b", [1]), ("in", [0])):
        how = {"weight": 1, "pattern": "k", "wrt": wrt}
        found = net.evaluate(data(net, xs), contractive=how)["contractive"]
        # Of a single unit, it is exact.
        assert found == pytest.approx(frobenius(net, xs, "k:out", which), rel=1e-6)


@pytest.mark.parametrize("activation", ["tanh", "prelu", "softmax"])
def test_gradient(activation):
    """Of the estimate too, while its signs stay the same."""
    net = away(regressor([3, (3, activation), (3, "tanh"), 2]))
    xs = data(net, [RNG.normal(size=(6, 3))])
    total = net.loss(contractive=0.5) - net.loss()
    found = [total, *pytensor.grad(total, net.params, disconnected_inputs="ignore")]
    function = pytensor.function(net.variables, found)
    _, *slopes = function(*xs)
    start = [p.get_value() for p in net.params]
    assert any(np.abs(slope).max() > 1e-3 for slope in slopes)
    for _ in range(3):
        along = [RNG.normal(size=p.shape) for p in start]
        ends = []
        for step in (STEP, -STEP):
            for param, value, direction in zip(net.params, start, along):
                param.set_value(value + step * direction)
            ends.append(function(*xs)[0])
        slope = sum((g * d).sum() for g, d in zip(slopes, along))
        assert slope == pytest.approx((ends[0] - ends[1]) / (2 * STEP), rel=1e-5)


def test_training_draws_signs_anew_and_repeats_them_from_a_seed():
    x = RNG.normal(size=(8, 3))
    how = {"weight": 1, "pattern": "hid2"}
    keywords = {"algo": "sgd", "learning_rate": 1e-12, "batch_size": 8, "epochs": 4}

    def run():
        net = regressor([3, (4, "tanh"), (4, "tanh"), 2])
        net.train([x, np.zeros((8, 2))], contractive=how, **keywords)
        return net.history["train_contractive"]

    found = run()
    assert len(set(np.round(found, 6))) == 4
    assert run() == found


def test_training_contracts():
    net = regressor([3, (6, "tanh"), (6, "tanh"), 2])
    x = RNG.normal(size=(64, 3))
    before = [frobenius(net, [x], f"{name}:out") for name in ("hid1", "hid2")]
    net.train([x, x[:, :2]], contractive={"hid2": 1}, learning_rate=0.01, epochs=10, patience=99)
    after = frobenius(net, [x], "hid2:out")
    assert after < 0.5 * before[1]


# ---- steps that do not exist, and noise ------------------------------------------------------


@pytest.mark.parametrize("lengths", [(3, 3, 3), (3, 1, 2), (2, 0, 3)])
@pytest.mark.parametrize("form", ["exact", "estimate"])
def test_steps_that_do_not_exist_do_not_count(form, lengths):
    # Of one unit without recurrence, each step has one derivative: the estimate is exact.
    layers = [2, (3, "tanh"), 2] if form == "exact" else [2, (3, "tanh"), (1, "tanh"), 2]
    net = away(recurrent.Regressor(layers, weighted=True, dtype="float64"))
    name = "hid1:out" if form == "exact" else "hid2:out"
    x = RNG.normal(size=(3, 3, 2))
    exists = np.arange(3) < np.array(lengths)[:, None]
    w = np.repeat(exists[:, :, None], 2, axis=2).astype(float)
    found = net.evaluate([x, 0 * x, w], contractive={name: 0.5})["contractive"]
    j = jacobian(net, [x], name).reshape(3, 3, -1, 3, 2)
    norms = [(j[n, :k, :, :k] ** 2).sum() for n, k in enumerate(lengths) if k]
    assert found == pytest.approx(0.5 * np.mean(norms), rel=1e-6)


def test_noise_of_the_input_is_not_part_of_it_that_of_the_layer_is():
    net = away(regressor([3, (1, "linear"), 2]))
    x = RNG.normal(size=(1, 3))
    size = (net.find("hid1.w").get_value() ** 2).sum()
    for noise in ({"input_dropout": 0.5}, {"input_noise": 1}, {"hidden_noise": 1}):
        found = net.evaluate(data(net, [x]), contractive=1, **noise)["contractive"]
        assert found == pytest.approx(size)
    for what in ("out", "pre"):
        name = f"hid1:{what}"
        noise = {"contractive": {name: 1}, "dropout": {name: 0.5}}
        found = [net.evaluate(data(net, [x]), **noise)["contractive"] for _ in range(20)]
        assert min(found) == 0
        assert max(found) == pytest.approx(4 * size)


def test_float32_stays():
    net = theanets.Regressor([3, (4, "relu"), (4, "softmax"), 2])
    assert net.loss(contractive=1).dtype == "float32"
    x = RNG.normal(size=(8, 3))
    net.train([x, x[:, :2]], contractive=1, epochs=1)


# ---- what is refused -------------------------------------------------------------------------


def test_refused():
    net = regressor([3, (4, "tanh"), 2])
    x = data(net, [RNG.normal(size=(2, 3))])
    for how, error, message in (
        ({"wrt": "im"}, UnknownNameError, r"unknown input pattern 'im:out' \(did you mean 'in:"),
        ({"wrt": "hid1"}, UnknownNameError, "unknown input pattern 'hid1:out'"),
        ({"pattern": "hid2"}, UnknownNameError, "did you mean 'hid1:out'"),
        ({"samples": 0}, ConfigurationError, "samples=0 is not an integer of at least 1"),
        ({"samples": 1.5}, ConfigurationError, "samples=1.5 is not an integer"),
        ({"sample": 2}, ConfigurationError, "did you mean 'samples'"),
    ):
        with pytest.raises(error, match=message):
            net.evaluate(x, contractive={"weight": 1, **how})
    with pytest.raises(ConfigurationError, match="no hidden layer"):
        regressor([3, 2]).evaluate(x, contractive=1)
    source = dict(form="symbols", shape=(2,), classes=6)
    net = regressor([source, dict(form="embedding", size=3), "flat", 3])
    with pytest.raises(ConfigurationError, match=r"no input .* floating-point"):
        net.evaluate([np.zeros((2, 2), int), np.zeros((2, 3))], contractive=1)


def test_sparse_inputs_have_the_closed_form_only():
    source = dict(form="input", size=3, sparse=True)
    net = away(regressor([source, (4, "tanh"), (4, "tanh"), 2]))
    x = RNG.normal(size=(5, 3)) * (RNG.random((5, 3)) < 0.5)
    same = regressor([3, (4, "tanh"), (4, "tanh"), 2])
    for mine, other in zip(same.params, net.params):
        mine.set_value(other.get_value())
    found = net.evaluate(data(net, [x]), contractive={"hid1": 1})["contractive"]
    assert found == pytest.approx(frobenius(same, [x], "hid1:out"), rel=1e-6)
    with pytest.raises(ConfigurationError, match=r"'hid2:out', since input 'in:out' is sparse"):
        net.evaluate(data(net, [x]), contractive=1)
