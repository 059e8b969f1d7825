"""Networks of every registered layer as PyTensor's users take expressions.

`test_as_expressions` has those with operations of their own; here are all others.
"""

import pickle
from functools import partial

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from onnx_forms import FORMS, RECURRENT, recurrent_layer
from pytensor.compile.mode import Mode
from pytensor.gradient import hessian, pullback, pushforward
from pytensor.graph.replace import clone_replace, vectorize_graph

import theanets

#: Layers without parameters stand behind one that has some.
BEFORE = {
    form: dict(form="conv1", size=2, filter_size=2) for form in ("pool1", "upsample1", "pad1")
}
BEFORE |= {
    form: dict(form="conv2", size=2, filter_size=2) for form in ("pool2", "upsample2", "pad2")
}
LAYERS = {
    **{form: next(iter(cases.values())) for form, cases in FORMS.items()},
    **{form: recurrent_layer(form, **next(iter(c.values()))) for form, c in RECURRENT.items()},
    "lengths": [
        (None, 4),
        dict(form="lengths", name="n"),
        dict(form="gru", size=2, inputs="in"),
        3,
    ],
    "crf": [(None, 4), dict(form="crf", size=3)],
}
for form, layer in BEFORE.items():
    LAYERS[form] = [LAYERS[form][0], layer, *LAYERS[form][1:]]
#: Forms that are looked at elsewhere.
ELSEWHERE = {"feedforward", "batch_norm", "tied", "conv2", "pool2", "embedding", "symbols", "rnn"}
ELSEWHERE |= {"gru", "lstm", "mut1", "clockwork", "bidirectional", "crf"}
#: Graphs are computed as they are built, with nothing rewritten.
function = partial(
    pytensor.function, mode=Mode(linker="py", optimizer="merge"), on_unused_input="ignore"
)
#: Compiled by PyTensor's own functions too: those with operations of our own, and a plain one for
#: the C linker, which has no others. JAX wants lengths that it knows where PyTensor reshapes for a
#: product of series and weights; with an operation of ours in the graph, as in the loss of a crf,
#: it knows them.
COMPILED = [
    *(("NUMBA", form) for form in ("embedding", "pool2", "gru", "crf")),
    *(("JAX", form) for form in ("embedding", "pool2", "gru")),
    ("CVM", "feedforward"),
]


def built(form):
    """A network, a cost of its outputs, its first parameter, and data."""
    net = theanets.Network(LAYERS[form], loss=None, dtype="float64", rng=1)
    rng = np.random.default_rng(2)
    for p in net.params:
        p.set_value(rng.normal(size=p.get_value().shape) / 2)
    outputs = net.outputs()
    # What a chain of labels puts out are labels; its scores are what has derivatives.
    values = outputs["out:pre" if form == "crf" else net.output_name]
    cost = pt.sqr(values - 0.3).sum()
    data = []
    for layer in (layer for layer in net.layers if layer.is_input):
        shape = (2, *(4 if n is None else n for n in layer.output_shape))
        if layer.holds_lengths:
            data.append(np.array([4, 2], "int32"))
        elif hasattr(layer, "classes"):
            data.append(rng.integers(layer.classes, size=shape).astype("int32"))
        else:
            data.append(rng.normal(size=shape))
    return net, cost, net.params[0], data


def test_every_form_is_in_the_table():
    registry = theanets.Layer.registry
    forms = {registry[name]: name for name in reversed(registry.names())}
    own = {name for kind, name in forms.items() if kind.__module__.startswith("theanets.")}
    assert own == set(LAYERS) and own >= ELSEWHERE


@pytest.mark.slow
@pytest.mark.parametrize("form", sorted({*LAYERS} - ELSEWHERE))
def test_what_pytensor_does_with_expressions(form):
    net, cost, param, data = built(form)
    inputs, value = net.inputs, param.get_value()
    rng = np.random.default_rng(4)
    slope = pytensor.grad(cost, param)
    plain = function(inputs, [cost, slope])

    def at(new):
        param.set_value(new)
        found = plain(*data)
        param.set_value(value)
        return found

    # Several values at once, with the gradient of each.
    draws = value + rng.normal(size=(2, *value.shape))
    new = pt.tensor("new", dtype="float64", shape=(None, *param.type.shape))
    several = vectorize_graph([cost, slope], {param: new})
    found = function([*inputs, new], several)(*data, draws)
    for i, draw in enumerate(draws):
        for one, other in zip(found, at(draw), strict=True):
            np.testing.assert_allclose(one[i], other, rtol=1e-8, atol=1e-10)
    # Another variable in its place, and a graph that was kept.
    other = param.type("other")
    replaced = clone_replace(cost, {param: other - 1})
    found = function([*inputs, other], replaced)(*data, draws[0] + 1)
    np.testing.assert_allclose(found, at(draws[0])[0], rtol=1e-9)
    variables, kept = pickle.loads(pickle.dumps((inputs, cost)))
    np.testing.assert_allclose(function(variables, kept)(*data), at(value)[0], rtol=1e-12)
    # Derivatives along three directions: forward, backward and twice.
    directions, step = rng.normal(size=(3, *value.shape)), 1e-5
    flat = pt.vector("flat", shape=(3,))
    moved = param + pt.tensordot(flat, pt.as_tensor(directions), axes=1)
    along = clone_replace(cost, {param: pt.specify_shape(moved, value.shape)})
    derivatives = [
        pushforward(along, flat, pt.as_tensor(np.array([1.0, 0, 0]))),
        pullback(along, flat, pt.as_tensor(np.asarray(2.0))),
        hessian(along, flat),
    ]
    forward, backward, twice = function([*inputs, flat], derivatives)(*data, np.zeros(3))
    ends = [[at(value + sign * step * d) for sign in (1, -1)] for d in directions]
    slopes = np.array([(up[0] - down[0]) / (2 * step) for up, down in ends])
    np.testing.assert_allclose(forward, slopes[0], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(backward, 2 * slopes, rtol=1e-6, atol=1e-6)
    seconds = [
        [((up[1] - down[1]) * e).sum() / (2 * step) for e in directions] for up, down in ends
    ]
    np.testing.assert_allclose(twice, seconds, rtol=1e-5, atol=1e-5)
    assert np.abs(twice).max() > 1e-3


@pytest.mark.slow
@pytest.mark.linker
@pytest.mark.parametrize("mode, form", COMPILED)
@pytest.mark.filterwarnings("ignore:Skipping Assert:UserWarning")
def test_functions_of_pytensor_on_linkers(mode, form):
    if mode == "JAX":
        pytest.importorskip("jax")
    net, cost, param, data = built(form)
    outputs = [cost, pytensor.grad(cost, param)]
    found = pytensor.function(net.inputs, outputs, mode=mode)(*data)
    expected = pytensor.function(net.inputs, outputs, mode="FAST_COMPILE")(*data)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.asarray(one), other, rtol=1e-8, atol=1e-10)
