"""Networks of each kind of layer as PyTensor's users take expressions.

A parameter is drawn several times (`vectorize_graph`), replaced (`clone_replace`), differentiated
in a direction and twice; a graph is kept by `pickle`; all is compiled by `pytensor.function`.
"""

import pickle
from functools import partial

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.gradient import hessian, pullback, pushforward
from pytensor.graph.replace import clone_replace, vectorize_graph

import theanets

RNG = np.random.default_rng(3)
ROWS = RNG.normal(size=(3, 4))
SERIES = RNG.normal(size=(3, 4, 2))
IMAGES = RNG.normal(size=(3, 5, 4, 2))
LABELS = RNG.integers(3, size=(3, 4)).astype("int32")
PATHS = np.array([[1, 2], [1, -1], [2, 1]], "int32")
SYMBOLS = dict(form="symbols", classes=5, shape=(None,))


def rows(*layers):
    return theanets.Regressor, [4, *layers, 2], ROWS, RNG.normal(size=(3, 2))


def images(*layers):
    return theanets.convolution.Regressor, [(5, 4, 2), *layers, "flat", 2], IMAGES, ROWS[:, :2]


def series(*layers):
    return theanets.recurrent.Regressor, [2, *layers, 2], SERIES, SERIES[..., ::-1]


CONVOLUTION = dict(form="conv2", size=2, filter_size=2, activation="tanh")
KINDS = {
    "dense": rows((3, "tanh")),
    "layer norm": rows((3, "tanh+norm:z")),
    "batch norm": rows((3, "tanh"), "batch_norm"),
    "tied": (theanets.Autoencoder, [4, (3, "tanh"), ("tied",)], ROWS, None),
    "convolution": images(CONVOLUTION),
    "max pooling": images(CONVOLUTION, dict(form="pool2", pool_size=2)),
    "mean pooling": images(CONVOLUTION, dict(form="pool2", pool_size=2, mode="mean")),
    "embedding": (
        theanets.recurrent.Regressor,
        [SYMBOLS, (2, "embedding"), (2, "rnn"), 2],
        LABELS,
        RNG.normal(size=(3, 4, 2)),
    ),
    **{form: series(dict(form=form, size=2)) for form in ("rnn", "gru", "lstm", "mut1")},
    "clockwork": series(dict(form="clockwork", size=2, periods=(1, 2))),
    "bidirectional": series(dict(form="bidirectional", size=4, worker="gru")),
    "ctc": (partial(theanets.recurrent.Classifier, loss="ctc"), [2, (2, "rnn"), 3], SERIES, PATHS),
    "crf": (theanets.recurrent.Classifier, [2, dict(form="crf", size=3)], SERIES, LABELS),
}
#: Of which second derivatives do not take seconds to compile.
QUICK = ("dense", "max pooling", "rnn", "gru")


def built(kind):
    """A network, its loss, a parameter of its first layer, and data."""
    model, layers, x, y = KINDS[kind]
    net = model(layers, rng=1, dtype="float64")
    data = [x] if y is None else [x, y]
    param = next(p for p in net.params if p.name.startswith(("hid1.", "out.")))
    return net, net.loss(), param, [np.ascontiguousarray(a) for a in data]


def at(param, values, function, data):
    """Values of a function of data where a parameter has several values."""
    before, found = param.get_value(), []
    for value in values:
        param.set_value(value)
        found.append(function(*data))
    param.set_value(before)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_draws_of_a_parameter(kind):
    """Vectorized over values, with the gradient of each."""
    net, loss, param, data = built(kind)
    gradient = pytensor.grad(loss, param)
    new = pt.tensor("new", dtype=param.dtype, shape=(None, *param.type.shape))
    several = vectorize_graph([loss, gradient], {param: new})
    draws = RNG.normal(size=(2, *param.get_value().shape))
    found = pytensor.function([*net.variables, new], several)(*data, draws)
    plain = pytensor.function(net.variables, [loss, gradient])
    for i, expected in enumerate(at(param, draws, plain, data)):
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_replaced_and_kept(kind):
    net, loss, param, data = built(kind)
    other = param.type("other")
    replaced = clone_replace(loss, {param: 2 * other})
    plain = pytensor.function(net.variables, loss)
    value = RNG.normal(size=param.get_value().shape)
    found = pytensor.function([*net.variables, other], replaced)(*data, value)
    (expected,) = at(param, [2 * value], plain, data)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    variables, kept = pickle.loads(pickle.dumps((net.variables, loss)))
    np.testing.assert_allclose(pytensor.function(variables, kept)(*data), plain(*data), rtol=1e-12)


@pytest.mark.parametrize(
    "kind",
    [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS],
)
def test_derivatives(kind):
    """In a direction, backward, and twice: those of differences."""
    net, _, param, data = built(kind)
    value = param.get_value()
    flat = pt.vector("flat", dtype=param.dtype)
    loss = net.loss(replace={param.name: flat.reshape(value.shape)})
    direction = RNG.normal(size=value.size)
    slope = pushforward(loss, flat, pt.as_tensor(direction))
    back = pullback(loss, flat, pt.as_tensor(np.asarray(2.0)))
    function = pytensor.function([*net.variables, flat], [slope, back, hessian(loss, flat)])
    gradient = pytensor.function([*net.variables, flat], [loss, pytensor.grad(loss, flat)])
    found = function(*data, value.ravel())
    ends = [gradient(*data, value.ravel() + step * direction) for step in (1e-5, -1e-5)]
    (up, g_up), (down, g_down) = ends
    np.testing.assert_allclose(found[0], (up - down) / 2e-5, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found[1] @ direction, (up - down) / 1e-5, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found[2] @ direction, (g_up - g_down) / 2e-5, rtol=1e-5, atol=1e-8)
    assert np.abs(found[2]).max() > 1e-4


@pytest.mark.linker
@pytest.mark.parametrize("kind, mode", [("rnn", "CVM"), ("crf", "JAX")])
@pytest.mark.filterwarnings("ignore:Skipping Assert:UserWarning")
def test_draws_of_a_parameter_on_linkers(kind, mode):
    """Outside of our own functions."""
    if mode == "JAX":
        pytest.importorskip("jax")
    net, loss, param, data = built(kind)
    new = pt.tensor("new", dtype=param.dtype, shape=(None, *param.type.shape))
    several = vectorize_graph(loss, {param: new})
    draws = RNG.normal(size=(2, *param.get_value().shape))
    found = pytensor.function([*net.variables, new], several, mode=mode)(*data, draws)
    plain = pytensor.function(net.variables, loss, mode="FAST_COMPILE")
    np.testing.assert_allclose(np.asarray(found), at(param, draws, plain, data), rtol=1e-9)
