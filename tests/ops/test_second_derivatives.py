"""Derivatives of each Op of ours, first and second, backward and forward: those of differences.

Differences are of the gradient that PyTensor's `grad` makes, along random directions.
"""

import importlib
import pkgutil

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from op_cases import DISCRETE, SMOOTH, applied, cost_of, floats
from pytensor.gradient import pushforward
from pytensor.graph.op import Op

import theanets
import theanets.ops
from theanets.errors import DerivativeError, Error
from theanets.ops.draws import Draws
from theanets.ops.kernels import (
    Axes,
    Entrywise,
    Fill,
    Joined,
    Length,
    MatMul,
    Parts,
    Positions,
    RowArgmax,
    Rows,
    RowSoftmax,
    Shaped,
    Sums,
    Vector,
)

RNG = np.random.default_rng(2)

#: Those of `test_recurrent_derivatives`.
RECURRENT = {"RecurrentForward", "RecurrentBackward"}
#: What stands in for PyTensor's Ops once gradients are made.
MATRIX = pt.matrix("x", dtype="float64")
STAND_INS = [
    (MatMul(), [MATRIX, MATRIX]),
    (RowSoftmax(), [MATRIX]),
    (Sums("last"), [MATRIX]),
    (Fill((3,)), [MATRIX.sum(), 3]),
    (Rows(), [MATRIX[:1], 3]),
    (Axes((1, 0), 2), [MATRIX]),
    (Positions("int64"), [MATRIX]),
    (RowArgmax(), [MATRIX]),
    (Entrywise.of(pt.exp(MATRIX).owner), [MATRIX]),
    (Shaped(1), [MATRIX, -1]),
    (Length(0), [MATRIX]),
    (Parts(1, 2), [MATRIX, [1, 2]]),
    (Joined(0, 2), [MATRIX, MATRIX]),
    (Vector("float64", 2), [MATRIX.sum(), MATRIX.sum()]),
]
#: Bases; stand-ins; what cells are traced by; what is put back before anything is computed; the
#: gradient of attention, of which `Attend` has the derivatives, as what it is given of the sums is
#: no input of its own; what writes keys and values over others.
OTHERS = {
    "AttendGradient",
    "Keep",
    *(
        "KernelOp",
        "ChainOp",
        "CtcOp",
        "WindowOp",
        "_Grouped",
        "Pooling",
        "SparseOp",
        "_Recurrent",
        "Higher",
    ),
    *(type(op).__name__ for op, _ in STAND_INS),
    "Draws",
    "Settled",
    *("RowOp", "RowSum", "RowMax", "RowSize", "Early", "FromKey"),
}


def difference(function, values, moved, step=1e-5):
    """Differences of a function's results along directions of some arguments."""
    ends = []
    for sign in (1, -1):
        at = list(values)
        for i, direction in moved.items():
            at[i] = values[i] + sign * step * direction
        ends.append(function(*at))
    return [(a - b) / (2 * step) for a, b in zip(*ends)]


def subclasses(kind):
    for sub in kind.__subclasses__():
        yield sub
        yield from subclasses(sub)


def test_all_operations_are_here():
    for module in pkgutil.walk_packages(theanets.ops.__path__, "theanets.ops."):
        if not any(library in module.name for library in ("jax", "torch")):
            importlib.import_module(module.name)
    ours = {op for op in subclasses(Op) if op.__module__.startswith("theanets.")}
    tested = {type(op) for op, *_ in [*SMOOTH.values(), *DISCRETE.values()]}
    assert {op.__name__ for op in ours - tested} - OTHERS <= RECURRENT


@pytest.mark.parametrize("name", SMOOTH)
def test_second_derivatives_are_those_of_differences(name):
    op, arguments, which = SMOOTH[name]
    symbols, values, outputs = applied(op, arguments)
    moving = floats(symbols)
    wrt = [symbols[i] for i in moving]
    options = dict(disconnected_inputs="ignore")
    gradient = pytensor.grad(cost_of(outputs[which]), wrt, **options)
    directions = [RNG.normal(size=values[i].shape) for i in moving]
    slope = sum((g * d).sum() for g, d in zip(gradient, directions))
    second = pytensor.grad(slope, wrt, **options)
    first = pytensor.function(symbols, gradient, on_unused_input="ignore")
    found = pytensor.function(symbols, second, on_unused_input="ignore")(*values)
    expected = difference(first, values, dict(zip(moving, directions)))
    for a, b in zip(found, expected):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)
    assert any(np.abs(b).max() > 1e-3 for b in expected)


@pytest.mark.parametrize("name", SMOOTH)
def test_first_derivatives_of_all_outputs(name):
    """Backward and forward; the latter takes the derivative of the former."""
    op, arguments, which = SMOOTH[name]
    symbols, values, outputs = applied(op, arguments)
    # Of the largest entries, only the place counts.
    moving = floats(symbols)[name in ("MaxGather", "MaxScatter") :]
    wrt = [symbols[i] for i in moving]
    options = dict(disconnected_inputs="ignore")
    directions = [RNG.normal(size=values[i].shape) for i in moving]
    moved = dict(zip(moving, directions))
    cost = cost_of(outputs)
    gradient = pytensor.grad(cost, wrt, **options)
    slope = sum((g * d).sum() for g, d in zip(gradient, directions))
    given = (outputs[which], wrt, [pt.as_tensor(d) for d in directions])
    results = [slope, *pushforward(*given), *pushforward(*given, use_op_pushforward=True)]
    function = pytensor.function(symbols, results, on_unused_input="ignore")
    expected = [cost, *outputs[which], *outputs[which]]
    plain = pytensor.function(symbols, expected, on_unused_input="ignore")
    for a, b in zip(function(*values), difference(plain, values, moved)):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", [*SMOOTH, *DISCRETE])
def test_what_is_declared_disconnected_has_no_influence(name):
    op, arguments, *_ = {**SMOOTH, **DISCRETE}[name]
    symbols, values, outputs = applied(op, arguments)
    function = pytensor.function(symbols, outputs, on_unused_input="ignore")
    node = outputs[0].owner
    default = [[True] * len(outputs)] * len(node.inputs)
    pattern = getattr(op, "connection_pattern", lambda node: default)(node)
    for i in floats(symbols):
        slopes = difference(function, values, {i: RNG.normal(size=values[i].shape)})
        row = pattern[node.inputs.index(symbols[i])]
        for connected, slope in zip(row, slopes, strict=True):
            # Labels and the like do not move at all.
            assert connected or not slope.any(), (i, row)


@pytest.mark.parametrize("op, inputs", STAND_INS)
def test_what_stands_in_says_when_to_differentiate(op, inputs):
    node = op.make_node(*map(pt.as_tensor, inputs))
    with pytest.raises(DerivativeError, match="differentiate the expression first"):
        op.pullback(node.inputs, node.outputs, [pt.zeros_like(o) for o in node.outputs])
    assert issubclass(DerivativeError, Error)


def test_draws_have_no_derivative():
    node = Draws("random", 1, "float64").make_node(
        pytensor.shared(np.random.default_rng()), pt.as_tensor([3])
    )
    with pytest.raises(DerivativeError, match="has no derivative"):
        node.op.pullback(node.inputs, node.outputs, node.outputs)


# ---- networks --------------------------------------------------------------------

X = RNG.normal(size=(4, 4, 3))
ALIGNMENT = np.array([[1, 2], [1, -1], [2, -1], [-1, -1]])


def ctc_network(**options):
    return theanets.recurrent.Classifier(
        [3, (4, "tanh"), 3], loss="ctc", dtype="float64", **options
    )


def test_esgd_of_ctc_learns_by_its_hessian():
    """The products that it averages are those of differences."""
    net = ctc_network(rng=1)
    params = net.params
    cost = net.loss()
    gradient = pytensor.grad(cost, params)
    directions = [RNG.normal(size=p.get_value().shape) for p in params]
    slope = sum((g * d).sum() for g, d in zip(gradient, directions))
    second = pytensor.grad(slope, params)
    variables = net.variables
    first, found = (
        pytensor.function(variables, values, on_unused_input="ignore")
        for values in (gradient, second)
    )
    data = [X, ALIGNMENT.astype("int32")]
    found, ends = found(*data), []
    start = [p.get_value() for p in params]
    for sign in (1e-5, -1e-5):
        for p, value, direction in zip(params, start, directions):
            p.set_value(value + sign * direction)
        ends.append(first(*data))
    for a, up, down in zip(found, *ends):
        np.testing.assert_allclose(a, (up - down) / 2e-5, rtol=1e-6, atol=1e-8)
    for p, value in zip(params, start):
        p.set_value(value)
    before = net.evaluate([X, ALIGNMENT])["loss"]
    net.train([X, ALIGNMENT], algo="esgd", epochs=5, learning_rate=0.01)
    assert net.evaluate([X, ALIGNMENT])["loss"] < before
