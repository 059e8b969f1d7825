"""The recurrent core: against steps that are unrolled, in all its forms."""

import pickle

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from recurrent_cases import CELLS, Case, close, rnn

from theanets.ops.recurrent import operation as core
from theanets.ops.recurrent.trace import NotElementwiseError, trace


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_values_and_gradients_are_those_of_unrolled_steps(cell, reverse):
    case = Case(cell)
    expected = case.stepwise(reverse)
    close(case.run(*case.fast(reverse=reverse)), expected, 1e-10)


@pytest.mark.parametrize("cell", ["tanh", "lstm", "gru", "clock"])
def test_gradients_of_the_output_alone(cell):
    case = Case(cell)
    expected = case.stepwise(names=["out"], ends=False)
    close(case.run(*case.fast(), names=["out"], ends=False), expected, 1e-10)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_limit_cuts_gradients(limit, reverse):
    case = Case("lstm", steps=5, lengths=(5, 4, 1))
    expected = case.stepwise(reverse, limit)
    close(case.run(*case.fast(reverse=reverse, limit=limit)), expected, 1e-10)
    free = case.run(*case.fast(reverse=reverse))
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(free, expected))


@pytest.mark.slow
@pytest.mark.parametrize("cell, reverse", [("tanh", False), ("gru", True)])
def test_scan_agrees(cell, reverse):
    case = Case(cell, steps=3, lengths=(3, 2, 0))
    expected = case.stepwise(reverse, 2)
    close(case.run(*case.by_scan(reverse=reverse, limit=2)), expected, 1e-10)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("steps, lengths", [(0, (0, 0)), (1, (1,)), (1, (0,)), (3, (3,))])
def test_short_series(steps, lengths, reverse):
    case = Case("lstm", steps=steps, lengths=lengths)
    found = case.run(*case.fast(reverse=reverse))
    if steps:
        close(found, case.stepwise(reverse), 1e-10)
    else:
        assert found[0].shape == (2, 0, 5)
        np.testing.assert_array_equal(found[2], case.values[1])


def test_steps_that_do_not_exist_may_be_anything():
    case = Case("gru")
    clean = case.run(*case.fast())
    case.arguments[0][1, 2:] = np.nan
    case.arguments[0][2] = np.inf
    found = case.run(*case.fast())
    close(found, clean, 1e-12)
    assert not found[0][1, 2:].any() and not found[3][1, 2:].any()


@pytest.mark.parametrize("lengths", [(-1, 0, 0, 0), (5, 4, 4, 4), (4, 4, 4)])
def test_wrong_lengths_are_refused(lengths):
    case = Case("tanh")
    outputs, _ = case.fast()
    function = pytensor.function(case.inputs, outputs["out"])
    case.arguments[1] = np.array(lengths)
    with pytest.raises(ValueError, match="lengths"):
        function(*case.arguments)


def test_what_is_not_elementwise_is_refused_with_its_name():
    layout, step = rnn(lambda x: pt.cumsum(x, axis=-1))
    with pytest.raises(NotElementwiseError, match="Cumsum"):
        trace(layout, step, "float64")


def test_outputs_that_nothing_uses_are_not_made():
    case = Case("lstm")
    outputs, _ = case.fast()
    function = pytensor.function(case.inputs, outputs["out"])
    (node,) = (
        n for n in function.maker.fgraph.toposort() if isinstance(n.op, core.RecurrentForward)
    )
    assert sum(node.op.kept) == 1


def test_operations_are_equal_by_content_and_can_be_pickled():
    a, b = (Case("gru").fast()[0]["out"].owner.op for _ in range(2))
    other = Case("tanh").fast()[0]["out"].owner.op
    assert a == b and hash(a) == hash(b) and a != other
    assert pickle.loads(pickle.dumps(a)) == a


@pytest.mark.linker
@pytest.mark.parametrize("cell, reverse", [("lstm", False), ("many", True)])
def test_numba_agrees(cell, reverse):
    case = Case(cell, lengths=(4, 2, 0, 4))
    expected = case.run(*case.fast(reverse=reverse), mode="FAST_COMPILE")
    close(case.run(*case.fast(reverse=reverse), mode="NUMBA"), expected, 1e-10)


@pytest.mark.linker
def test_numba_in_single_precision():
    case = Case("gru", "float32", steps=30, lengths=(30, 7, 1))
    expected = case.run(*case.fast(), mode="FAST_COMPILE")
    close(case.run(*case.fast(), mode="NUMBA"), expected, 2e-5)


@pytest.mark.linker
def test_exponential_functions_of_numba():
    from numba import njit

    from theanets.ops.recurrent.exponentials import FUNCTIONS

    tanh, sigmoid = FUNCTIONS["float32"].tanh, FUNCTIONS["float32"].sigmoid

    @njit
    def both(x, y, z):
        for i in range(len(x)):
            y[i], z[i] = tanh(x[i]), sigmoid(x[i])

    grids = [np.linspace(-a, a, 200_001) for a in (0.7, 12, 85)]
    x = np.concatenate([*grids, [0, np.inf, -np.inf, np.nan, 1e-30, 1e4]]).astype("float32")
    y, z = np.empty_like(x), np.empty_like(x)
    both(x, y, z)
    wide = x.astype(float)
    for found, exact, most in ((y, np.tanh(wide), 1.3), (z, 1 / (1 + np.exp(-wide)), 2.2)):
        usual = np.isfinite(x) & (np.abs(x) <= 85)
        unit = np.spacing(np.abs(exact[usual]).astype("float32"))
        assert (np.abs(found[usual] - exact[usual]) / unit).max() <= most
        assert np.isnan(found[-3])
    np.testing.assert_allclose(y[[-5, -4]], [1, -1])
    np.testing.assert_allclose(z[[-5, -4]], [1, 0], atol=1e-37)
