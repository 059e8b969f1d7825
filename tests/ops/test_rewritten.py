"""Graphs that were rewritten before they are differentiated, as PyMC does it."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from op_cases import SMOOTH, applied, cost_of, floats
from pytensor.graph.rewriting.utils import rewrite_graph
from recurrent_cases import CELLS, Case, close

import theanets
from theanets.ops.recurrent.operation import RecurrentForward


def rewritten(cost):
    """Rewrite a cost, which changes its graph in place."""
    return rewrite_graph(cost, include=("canonicalize", "stabilize"))


def compare(inputs, cost, wrt, values, tolerance=1e-10):
    """Compare the gradients of a cost before and after it is rewritten; get the function after."""
    options = dict(disconnected_inputs="ignore")
    function = pytensor.function(inputs, [cost, *pytensor.grad(cost, wrt, **options)], **UNUSED)
    cost = rewritten(cost)
    other = pytensor.function(inputs, [cost, *pytensor.grad(cost, wrt, **options)], **UNUSED)
    found, expected = other(*values), function(*values)
    close(found, expected, tolerance)
    assert any(np.abs(gradient).max() > 1e-3 for gradient in expected[1:])
    return other


UNUSED = dict(on_unused_input="ignore")


@pytest.mark.parametrize("name", SMOOTH)
def test_operations(name):
    op, arguments, _ = SMOOTH[name]
    symbols, values, outputs = applied(op, arguments)
    moving = floats(symbols)[name in ("MaxGather", "MaxScatter") :]
    compare(symbols, cost_of(outputs), [symbols[i] for i in moving], values)


@pytest.mark.parametrize("which", ["out", "final", "both"])
@pytest.mark.parametrize("cell", CELLS)
def test_recurrences(cell, which):
    """Of which the rewrite leaves what is used: an output, the states, or both."""
    case = Case(cell)
    options = dict(reverse=which == "final", limit=2 if which == "out" else 0)
    outputs, final = case.fast(**options)
    used = ([outputs["out"]] if which != "final" else []) + (final if which != "out" else [])
    cost = cost_of(used)
    wrt = [v for v in case.trained if v in pytensor.graph.traversal.ancestors([cost])]
    with pytensor.config.change_flags(floatX=case.dtype):
        gradients = pytensor.grad(
            cost, wrt, disconnected_inputs="ignore", return_disconnected="none"
        )
        wrt = [v for v, g in zip(wrt, gradients) if g is not None]
        function = compare(case.inputs, cost, wrt, case.arguments)
    # The steps are run once, though there were two operations for a while.
    nodes = function.maker.fgraph.apply_nodes
    assert sum(isinstance(node.op, RecurrentForward) for node in nodes) == 1


LENGTHS = dict(form="lengths", name="n")
NETS = {
    "gru": ([3, (4, "gru"), 2], {}),
    "two": ([3, (4, "lstm"), (3, "rnn"), 2], {}),
    "lengths": ([3, LENGTHS, dict(form="gru", size=4, inputs="in", last=True), 2], {}),
    "weights": ([3, (4, "lstm"), 2], dict(weighted=True)),
    "bidirectional": ([3, dict(form="bidirectional", size=4, worker="gru"), 2], {}),
    "stateful": ([3, dict(form="gru", size=4, stateful=True), 2], {}),
    "normalized": ([3, dict(form="lstm", size=4, normalized=True), 2], {}),
    "truncated": ([3, dict(form="rnn", size=4, bptt_limit=2), 2], {}),
}


@pytest.mark.parametrize("name", NETS)
def test_networks(name, rng):
    layers, options = NETS[name]
    net = theanets.recurrent.Regressor(layers, rng=1, dtype="float64", **options)
    variables = net.variables
    values = []
    for v in variables:
        shape = [{0: 4, 1: 5}.get(i, n) if n is None else n for i, n in enumerate(v.type.shape)]
        if v.dtype.startswith("int"):
            values.append(np.array([5, 3, 1, 4], v.dtype))
        else:
            values.append(rng.normal(size=shape))
    if options:
        values[-1] = (np.arange(5) < np.array([5, 3, 1, 4])[:, None]).astype(float)
        values[-1] = np.repeat(values[-1][:, :, None], 2, axis=2)
    compare(variables, net.loss(training=True), net.params, values)


def test_outputs_that_random_variables_stand_in(rng):
    """A model's log-density, as PyMC has it: parameters and inputs are variables of the user's."""
    net = theanets.recurrent.Regressor([3, (4, "gru"), 1], rng=1, dtype="float64")
    symbols = {p.name: p.type() for p in net.params}
    x = rng.normal(size=(2, 5, 3))
    out = net.outputs(replace={**symbols, "in": pt.as_tensor(x)})["out:out"]
    logp = -pt.sqr(out - 1).sum() - sum(pt.sqr(v).sum() for v in symbols.values())
    values = [p.get_value() for p in net.params]
    compare(list(symbols.values()), logp, list(symbols.values()), values)
