"""Derivatives of recurrences beyond the first: those of differences, and of unrolled steps."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.gradient import DisconnectedType, pushforward
from recurrent_cases import CELLS, ROWS, Case, close

from theanets.ops.recurrent.tangent import Moving, tangent

ALL = {**CELLS, **ROWS}


@pytest.fixture(autouse=True)
def _all_cells(monkeypatch):
    for name, cell in ROWS.items():
        monkeypatch.setitem(CELLS, name, cell)


def curved(case, outputs, final):
    """A cost that is linear in nothing."""
    rng = np.random.default_rng(5)
    cost = 0
    for value in outputs.values():
        cost += (pt.sin(value) * rng.normal(size=(1, case.steps, 1)).astype(case.dtype)).sum()
    for value in final:
        cost += (pt.sqr(value) * rng.normal(size=(len(case.values[0]), 1)).astype(case.dtype)).sum()
    return cost


def directions(case, seed):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=case.values[i].shape).astype(case.dtype) for i in moving(case)]


def moving(case):
    return [i for i, s in enumerate(case.symbols) if any(s is t for t in case.trained)]


def along(case, cost, seed):
    """The gradient of a cost, and its derivative along a direction as another cost."""
    gradient = pytensor.grad(cost, case.trained, disconnected_inputs="ignore")
    pairs = zip(gradient, directions(case, seed))
    return gradient, sum((g * d).sum() for g, d in pairs)


def derivatives(case, cost, order):
    """Gradients of a cost, of its slope along a direction, of that along another, ..."""
    found = []
    for seed in range(order):
        gradient, cost = along(case, cost, seed)
        found.append(gradient)
    return found


def run(case, results, mode=None):
    function = pytensor.function(case.inputs, results, mode=mode, on_unused_input="ignore")
    return lambda *values: function(*values)


def differences(case, function, seed, step=1e-6):
    """Differences of a function's results along a direction."""
    ends = []
    for sign in (1, -1):
        values = [v.copy() for v in case.values]
        for i, d in zip(moving(case), directions(case, seed)):
            values[i] = values[i] + sign * step * d
        ends.append(function(values[0], case.arguments[1], *values[1:]))
    return [(a - b) / (2 * step) for a, b in zip(*ends)]


# Largest entries and jumps have differences too, where nothing is at one.
@pytest.mark.parametrize("cell", ALL)
def test_second_derivatives_are_those_of_differences(cell):
    case = Case(cell, steps=3, lengths=(3, 2, 0), seed=3)
    reverse = len(cell) % 2 == 0
    first, second = derivatives(case, curved(case, *case.fast(reverse=reverse)), 2)
    function = run(case, first)
    found = run(case, second)(*case.arguments)
    expected = differences(case, function, 0)
    scale = max(np.abs(x).max() for x in expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7 * scale)
    assert scale > 1e-2


@pytest.mark.parametrize("cell, options", [("tanh", {}), ("clock", dict(limit=2, reverse=True))])
def test_second_derivatives_are_those_of_unrolled_steps(cell, options):
    case = Case(cell, steps=5, lengths=(5, 4, 0, 1))
    found, expected = (
        run(case, derivatives(case, curved(case, *outputs), 2)[1])(*case.arguments)
        for outputs in (case.fast(**options), case.unrolled(**options))
    )
    close(found, expected, 1e-10)


def test_limits_cut_second_derivatives_too():
    case = Case("tanh", steps=5, lengths=(5, 4))
    free, cut = (
        run(case, derivatives(case, curved(case, *case.fast(limit=limit)), 2)[1])(*case.arguments)
        for limit in (0, 2)
    )
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(free, cut))


@pytest.mark.parametrize("cell", ["gru", "norm:mean"])
def test_third_derivatives(cell):
    case = Case(cell, steps=3, lengths=(3, 2), seed=3)
    _, second, third = derivatives(case, curved(case, *case.fast()), 3)
    found = run(case, third)(*case.arguments)
    expected = differences(case, run(case, second), 1)
    scale = max(np.abs(x).max() for x in expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7 * scale)


@pytest.mark.parametrize("by_op", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "mrnn", "attention"])
def test_derivatives_in_a_direction(cell, by_op):
    """Of outputs and of gradients."""
    case = Case(cell, steps=3, lengths=(3, 0, 2), seed=3)
    outputs, final = case.fast()
    shown = [*outputs.values(), *final]
    gradient = derivatives(case, curved(case, outputs, final), 1)[0]
    given = [pt.as_tensor(d) for d in directions(case, 0)]
    # PyTensor takes what others are computed from for fixed, if it is asked for both at once.
    found = [
        change
        for values in (shown, gradient)
        for change in pushforward(values, case.trained, given, use_op_pushforward=by_op)
    ]
    values = [*shown, *gradient]
    results = run(case, found)(*case.arguments)
    expected = differences(case, run(case, values), 0)
    scale = max(np.abs(x).max() for x in expected)
    for a, b in zip(results, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7 * scale)


def test_what_does_not_move_costs_nothing():
    """Along a direction of the input alone there are no products with directions of matrices."""
    case = Case("tanh")
    cell = case.fast()[0]["out"].owner.op.cell
    found = tangent(cell, Moving(True, (False,), (False,)), 0, "float64")
    assert found.matrices == ((0, False), (0, False)) and len(found.cell.vectors) == 1


def test_directions_that_nothing_depends_on_are_disconnected():
    case = Case("tanh")
    node = case.fast()[0]["out"].owner
    nothing = [DisconnectedType()() for _ in node.inputs]
    along_z = [pt.ones_like(case.z), *nothing[1:]]
    found = node.op.pushforward(node.inputs, node.outputs, along_z)
    assert [x.type.ndim for x in found] == [3, 3, 2]
    backward = node.op.pullback(node.inputs, node.outputs, [o.ones_like() for o in node.outputs])
    (of_z, *_) = backward
    pattern = of_z.owner.op.connection_pattern(of_z.owner)
    reads = [row[0] for row in pattern]
    # z, states, vectors, weights; not lengths, nor the outputs; then three cotangents.
    assert reads == [True, False, True, True, True, False, True, True, True]


def test_single_precision():
    single, double = Case("gru", "float32"), Case("gru", "float64")
    double.values = [v.astype("float64") for v in single.values]
    double.arguments = [a.astype("float64") if a.ndim > 1 else a for a in single.arguments]
    found, expected = (
        run(case, derivatives(case, curved(case, *case.fast()), 2)[1])(*case.arguments)
        for case in (single, double)
    )
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == "float32"
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4 * np.abs(b).max())


@pytest.mark.linker
@pytest.mark.parametrize("mode", ["NUMBA", "JAX"])
def test_linkers(mode):
    if mode == "JAX":
        pytest.importorskip("jax")
    case = Case("tanh", steps=3, lengths=(3, 2, 0))
    second = derivatives(case, curved(case, *case.fast()), 2)[1]
    found = [np.asarray(x) for x in run(case, second, mode)(*case.arguments)]
    close(found, run(case, second)(*case.arguments), 1e-9)
