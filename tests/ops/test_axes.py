"""Other orders of axes under Numba, against NumPy."""

from itertools import combinations, permutations

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from theanets import backends
from theanets.ops.kernels.operations import Axes, MatMul

pytestmark = pytest.mark.linker


def orders(shape):
    """Get all orders of axes that leave any axes of length 1 out, with up to one added."""
    units = [axis for axis, length in enumerate(shape) if length == 1]
    for n in range(len(units) + 1):
        for dropped in combinations(units, n):
            kept = [axis for axis in range(len(shape)) if axis not in dropped]
            for order in permutations(kept):
                yield order
                for at in range(len(order) + 1):
                    yield (*order[:at], "x", *order[at:])


def expected(value, order):
    """Do the same by NumPy's means."""
    kept = [axis for axis in order if axis != "x"]
    dropped = [axis for axis in range(value.ndim) if axis not in kept]
    moved = value.transpose(*kept, *dropped).reshape([value.shape[axis] for axis in kept])
    return np.expand_dims(moved, [i for i, axis in enumerate(order) if axis == "x"])


@pytest.mark.parametrize("shape", [(), (3,), (1, 3), (3, 1, 2)])
def test_orders(shape):
    found = [order for order in orders(shape) if order != tuple(range(len(shape)))]
    found = found[:: 1 + len(found) // 8]  # each takes a moment to compile
    static = tuple(1 if length == 1 else None for length in shape)
    x = pt.tensor(dtype="float64", shape=static)
    # Compiled code that goes by a wrong layout would read other entries.
    expressions = [Axes(order, len(shape))(x) for order in found]
    expressions += [expression * 2 for expression in expressions]
    values = np.arange(np.prod(shape, dtype=int)).reshape(shape) + 1.0
    apart = np.stack([values, -values], axis=-1)[..., 0]  # not side by side
    by_columns = np.asarray(values, order="F")
    for mode in ("NUMBA", "FAST_COMPILE"):
        function = backends.function([x], expressions, mode=mode, dtype="float64")
        for value in (values, apart, by_columns):
            wanted = [expected(value, order) for order in found]
            for result, array in zip(function(value), [*wanted, *(2 * a for a in wanted)]):
                np.testing.assert_array_equal(result, array)


def test_what_is_left_out_has_length_1():
    x = pt.matrix("x", dtype="float64")
    narrowed = pt.specify_broadcastable(x, 0)
    function = backends.function([narrowed], narrowed[0] * 2, mode="NUMBA", dtype="float64")
    np.testing.assert_array_equal(function(np.ones((1, 3))), [2, 2, 2])
    squeezed = Axes((1,), 2)
    x = pt.tensor(dtype="float64", shape=(1, None))
    function = backends.function([x], squeezed(x) * 2, mode="NUMBA", dtype="float64")
    with pytest.raises(ValueError, match="other than 1"):
        function(np.ones((2, 3)))  # arguments are not checked, see backends.function


def test_where_they_are_used():
    vector, matrix = pt.vector(dtype="float32"), pt.matrix(dtype="float32")
    expressions = [matrix + vector, vector[:, None] * 2, matrix[None] * 2]
    for mode in ("NUMBA", "FAST_COMPILE"):
        function = backends.function([vector, matrix], expressions, mode=mode)
        assert any(isinstance(n.op, Axes) for n in function.maker.fgraph.toposort()) == (
            mode == "NUMBA"
        )
    function = backends.function([matrix], pt.dot(matrix.T, matrix), mode="NUMBA")
    assert [type(node.op) for node in function.maker.fgraph.toposort()] == [MatMul]


def test_a_view_is_copied_before_its_array_is_changed():
    shared = pytensor.shared(np.arange(3.0))
    doubled = backends.function(
        [], shared[None] * 2, {shared: shared + 1}, mode="NUMBA", dtype="float64"
    )
    np.testing.assert_array_equal(doubled(), [[0, 2, 4]])
    np.testing.assert_array_equal(doubled(), [[2, 4, 6]])
    row = backends.function([], shared[None], {shared: shared + 1}, mode="NUMBA", dtype="float64")
    np.testing.assert_array_equal(row(), [[2, 3, 4]])
