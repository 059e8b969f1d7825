"""Recurrences by PyTorch's own kernels: the numbers of the others, and where they are taken."""

import numpy as np
import pytensor
import pytest

import theanets
from theanets import backends

torch = pytest.importorskip("torch")

from pytensor.link.pytorch.dispatch import pytorch_funcify  # noqa: E402

from theanets.ops.recurrent.torch_kernels import Kernel, KernelGradient  # noqa: E402

pytestmark = [
    pytest.mark.linker,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of PyTorch, about itself
]

TAKEN = {
    "relu": dict(form="rnn"),
    "tanh backward": dict(form="rnn", activation="tanh", direction="backward"),
    "gru": dict(form="gru", reset_after=True),
    "lstm": dict(form="lstm", peepholes=False),
    "lstm backward": dict(form="lstm", peepholes=False, direction="backward"),
}
LEFT = {
    "another activation": dict(form="rnn", activation="sigmoid"),
    "reset before": dict(form="gru"),
    "peepholes": dict(form="lstm"),
    "normalized": dict(form="lstm", peepholes=False, normalized=True),
    "cut off": dict(form="lstm", peepholes=False, bptt_limit=2),
    "zoneout": dict(form="rnn", zoneout=0.1),
}
RNG = np.random.default_rng(0)
SERIES = [RNG.normal(size=(length, 3)) for length in (5, 2, 1, 4)]


def compiled(net, mode):
    """Get loss and gradients of a net as a function of a padded batch."""
    loss = net.loss()
    gradients = pytensor.grad(loss, net.params)
    return backends.function(net.variables, [loss, *gradients], mode=mode, dtype="float64")


def kinds(function):
    return {type(node.op) for node in function.maker.fgraph.apply_nodes}


def products(function):
    """Tell which kernels have a product with weights in them."""
    nodes = function.maker.fgraph.apply_nodes
    return [node.op.product for node in nodes if isinstance(node.op, Kernel)]


def make(layer, **options):
    layers = [3, dict(size=4, **layer), 2]
    return theanets.recurrent.Regressor(layers, rng=3, dtype="float64", weighted=True, **options)


@pytest.mark.parametrize("name", TAKEN)
def test_gradients(name):
    net = make(TAKEN[name])
    for variable in net.params:  # biases too
        variable.set_value(RNG.normal(size=variable.get_value().shape))
    ours, theirs = (compiled(net, mode) for mode in ("PYTORCH", "FAST_COMPILE"))
    assert {Kernel, KernelGradient} <= kinds(ours)
    assert all(yes for yes in products(ours))
    x, target = RNG.normal(size=(4, 5, 3)), RNG.normal(size=(4, 5, 2))
    for lengths in ([5, 2, 1, 4], [5, 5, 5, 5], [0, 5, 3, 0]):
        weights = (np.arange(5) < np.array(lengths)[:, None]).astype(float)[..., None]
        weights = np.broadcast_to(weights, target.shape).copy()
        for found, wanted in zip(ours(x, target, weights), theirs(x, target, weights), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["gru", "lstm backward"])
def test_what_is_behind_the_end_of_a_series_is_not_read(name):
    function = compiled(make(TAKEN[name]), "PYTORCH")
    x, target = RNG.normal(size=(3, 5, 3)), RNG.normal(size=(3, 5, 2))
    weights = (np.arange(5) < np.array([[5], [2], [0]])).astype(float)[..., None]
    given = target, np.broadcast_to(weights, target.shape).copy()
    wanted = function(x * weights, *given)
    results = function(np.where(weights > 0, x, np.nan), *given)
    for found, other in zip(results, wanted, strict=True):
        np.testing.assert_allclose(found, other, rtol=1e-9, atol=1e-12)


def test_the_last_state_of_a_series_without_steps_is_its_first():
    others = [RNG.normal(size=size) for size in ((3, 4), (4,), (4, 4))]
    z = RNG.normal(size=(3, 5, 4))
    behind = np.arange(5) >= np.array([[5], [2], [0]])
    z[behind] = np.nan
    tensors = [torch.as_tensor(array) for array in (z, np.array([5, 2, 0]), *others)]
    out, last, tape = pytorch_funcify(Kernel("rnn_tanh", False, True, ()))(*tensors)
    dz, dh, *rest = pytorch_funcify(KernelGradient((0, 1), ()))(tape, out, last)
    np.testing.assert_array_equal(dz[torch.as_tensor(behind)], 0)
    np.testing.assert_array_equal(dh[2], last[2])
    assert all(bool(torch.isfinite(g).all()) for g in (dz, dh, *rest))
    h, b, hh = others
    for series, length in enumerate((5, 2, 0)):
        state = h[series]
        for t in range(length):
            state = np.tanh(z[series, t] + b + state @ hh)
            np.testing.assert_allclose(out[series, t], state)
        np.testing.assert_allclose(last[series], state)
        np.testing.assert_array_equal(out[series, length:], 0)


@pytest.mark.parametrize("name", LEFT)
def test_other_equations_are_left_alone(name):
    assert not {Kernel, KernelGradient} & kinds(compiled(make(LEFT[name]), "PYTORCH"))


STACKS = {
    "two layers": [3, dict(form="lstm", size=4, peepholes=False), (5, "rnn"), 2],
    "both ways": [3, dict(form="bidirectional", size=4, worker="rnn"), 2],
}


@pytest.mark.parametrize("name", STACKS)
def test_gradients_of_what_comes_before(name):
    net = theanets.recurrent.Regressor(STACKS[name], rng=3, dtype="float64")
    ours, theirs = (compiled(net, mode) for mode in ("PYTORCH", "FAST_COMPILE"))
    assert products(ours) == [True, True]
    x, target = RNG.normal(size=(4, 5, 3)), RNG.normal(size=(4, 5, 2))
    for found, wanted in zip(ours(x, target), theirs(x, target), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


def test_a_product_that_something_else_needs_is_left_alone():
    net = theanets.recurrent.Regressor([3, (4, "rnn"), 2], rng=3, dtype="float64")
    x = net.inputs[0]
    flat = x.reshape((-1, 3)) @ net.find("hid1", "xh")
    outputs = [net.loss(), flat.sum(axis=0)]
    pairs = [
        backends.function(
            net.variables,
            [*outputs, *pytensor.grad(sum(map(total, outputs)), net.params)],
            mode=mode,
            dtype="float64",
        )
        for mode in ("PYTORCH", "FAST_COMPILE")
    ]
    x, target = RNG.normal(size=(4, 5, 3)), RNG.normal(size=(4, 5, 2))
    for found, wanted in zip(*(function(x, target) for function in pairs), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


def total(x):
    return x.sum()
