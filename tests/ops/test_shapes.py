"""Shapes, lengths and parts of arrays, compiled: against NumPy, for all layouts and lengths."""

import pickle
import re

import numba
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from numba.core.runtime import _nrt_python, rtsys

from theanets import backends
from theanets.ops.kernels.shapes import Joined, Length, Parts, Shaped, Vector

pytestmark = pytest.mark.linker


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def compiled(op):
    """Get the Op's kernel as a function of arrays as they lie."""
    return numba.njit(op.kernel()[0].py_func)


def plain(op, *arrays):
    """Compute with it without a compiler."""
    inputs = [pt.tensor(dtype=x.dtype, shape=(None,) * x.ndim) for x in arrays]
    return pytensor.function(inputs, op(*inputs), mode="FAST_COMPILE")(*arrays)


def shapes_of(op, *arrays):
    """Get what PyTensor says of the shapes of the outputs."""
    inputs = [pt.tensor(dtype=x.dtype, shape=(None,) * x.ndim) for x in arrays]
    outputs = op(*inputs, return_list=True)
    found = op.shapes_of(inputs, [tuple(x.shape) for x in inputs])
    assert [len(shape) for shape in found] == [x.ndim for x in outputs]
    lengths = [pt.as_tensor(n, dtype="int64") for shape in found for n in shape]
    if not lengths:
        return [() for _ in found]
    values = pytensor.function(inputs, lengths, mode="FAST_COMPILE", on_unused_input="ignore")
    rest = iter([int(n) for n in values(*arrays)])
    return [tuple(next(rest) for _ in shape) for shape in found]


def layouts(whole):
    """Get arrays of the same entries that lie in other ways."""
    yield np.ascontiguousarray(whole)
    yield np.asfortranarray(whole)
    if whole.ndim:
        yield np.repeat(whole, 2, axis=-1)[..., ::2]
        yield np.ascontiguousarray(whole[..., ::-1])[..., ::-1]


def integers(*numbers, dtype="int64"):
    return [np.asarray(n, dtype) for n in numbers]


@pytest.mark.parametrize("dtype", ["float32", "bool"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((2, 3, 4), (6, 4)),
        ((2, 3, 4), (24,)),
        ((2, 3, 4), (2, -1)),
        ((2, 3, 4), (-1, 3, 2, 2)),
        ((0, 3), (3, 0)),
        ((0, 3), (-1, 3)),
        ((1, 1), ()),
        ((), (1, 1)),
        ((), (-1,)),
        ((5,), (5,)),
    ],
)
def test_other_shapes(before, after, dtype, rng):
    whole = rng.integers(0, 9, before).astype(dtype)
    op = Shaped(len(after))
    function = compiled(op)
    expected = whole.reshape(after)
    for x in layouts(whole):
        for kind in ("int64", "int8"):
            found = function(x, *integers(*after, dtype=kind))
            assert found.flags.c_contiguous
            np.testing.assert_array_equal(found, expected)
        if x.flags.c_contiguous and x.size:
            assert np.shares_memory(found, x)
    np.testing.assert_array_equal(plain(op, whole, *integers(*after)), expected)
    assert shapes_of(op, whole, *integers(*after)) == [expected.shape]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((2, 3), (4,)),
        ((2, 3), (-1, 4)),
        ((2, 3), (-1, -1)),
        ((2, 3), (-2, -3)),
        ((2, 3), (0, -1)),
        ((0, 3), (0, -1)),
        ((0, 3), (2,)),
        ((1,), (-1, -1)),
        ((2, 3), ()),
        ((0,), (0, -5)),
    ],
)
def test_shapes_for_other_numbers_of_entries_are_refused(before, after):
    x = np.zeros(before)
    with pytest.raises(ValueError, match="another number of entries"):
        compiled(Shaped(len(after)))(x, *integers(*after))


def test_what_cannot_be_written_stays_so():
    x = np.arange(6.0)
    x.flags.writeable = False
    found = compiled(Shaped(2))(x, *integers(2, 3))
    assert not found.flags.writeable


@pytest.mark.parametrize("axis", range(3))
def test_lengths(axis, rng):
    x = rng.normal(size=(4, 0, 3))
    function = compiled(Length(axis))
    for view in layouts(x):
        found = function(view)
        assert found.shape == () and found.dtype == "int64" and found == x.shape[axis]
    assert plain(Length(axis), x) == x.shape[axis]
    assert shapes_of(Length(axis), x) == [()]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int8", "bool"])
def test_vectors(dtype):
    numbers = [np.asarray(3, "int8"), np.asarray(1.0, "float32"), np.asarray(1, "int64")]
    expected = np.array([3, 1, 1]).astype(dtype)
    found = compiled(Vector(dtype, 3))(*numbers)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(plain(Vector(dtype, 3), *numbers), expected)
    np.testing.assert_array_equal(compiled(Vector(dtype, 3))(*numbers[:2], 1), expected)
    assert shapes_of(Vector(dtype, 3), *numbers) == [(3,)]


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("sizes", [[2, 4], [6], [0, 1, 5], [3, 0, 0, 3]])
def test_parts(axis, sizes, rng):
    shape = [2, 3, 5]
    shape[axis] = 6
    whole = rng.normal(size=shape).astype("float32")
    op = Parts(axis, len(sizes))
    function = compiled(op)
    expected = np.split(whole, np.cumsum(sizes)[:-1], axis=axis)
    for x in layouts(whole):
        for dtype in ("int64", "uint8"):
            found = function(x, np.array(sizes, dtype))
            found = [found] if len(sizes) == 1 else list(found)
            assert len(found) == len(sizes)
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one, other)
                assert not one.size or np.shares_memory(one, x)
    twice = np.repeat(sizes, 2)[::2]
    found = function(whole, twice)
    np.testing.assert_array_equal(found if len(sizes) == 1 else found[0], expected[0])
    found = plain(op, whole, np.array(sizes))
    for one, other in zip([found] if len(sizes) == 1 else found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert shapes_of(op, whole, np.array(sizes)) == [x.shape for x in expected]


def test_parts_that_do_not_add_up_are_refused():
    x = np.zeros((2, 6))
    function = compiled(Parts(1, 2))
    for sizes in ([2, 3], [7, -1], [6], [2, 2, 2], [], [-3, 9]):
        with pytest.raises(ValueError, match="do not add up"):
            function(x, np.array(sizes, "int64"))
        with pytest.raises(ValueError, match=re.escape("axis of length 6")):
            plain(Parts(1, 2), x, np.array(sizes, "int64"))


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("lengths", [(2, 3), (1,), (0, 2, 1), (0, 0)])
@pytest.mark.parametrize("dtype", ["float64", "bool"])
def test_joined(axis, lengths, dtype, rng):
    wholes = []
    for n in lengths:
        shape = [2, 4, 3]
        shape[axis] = n
        wholes.append(rng.integers(0, 2, shape).astype(dtype))
    op = Joined(axis, len(lengths))
    function = compiled(op)
    expected = np.concatenate(wholes, axis=axis)
    mixed = [list(layouts(x))[i] for i, x in enumerate(wholes)]
    for arrays in (*zip(*map(layouts, wholes), strict=True), mixed):
        found = function(*arrays)
        assert found.flags.c_contiguous and found.dtype == dtype
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(plain(op, *wholes), expected)
    assert shapes_of(op, *wholes) == [expected.shape]


def test_arrays_that_do_not_fit_are_not_joined():
    function = compiled(Joined(1, 2))
    for shape in ((3, 2), (1, 2), (0, 2)):
        with pytest.raises(ValueError, match="other lengths"):
            function(np.zeros((2, 2)), np.zeros(shape))


@pytest.fixture
def counted():
    """Have Numba count what it allocates."""
    _nrt_python.memsys_enable_stats()
    yield rtsys.get_allocation_stats
    _nrt_python.memsys_disable_stats()


def test_an_array_is_let_go_of_with_the_last_of_its_parts(counted):
    """Numba counts who uses an array: not once too often, nor too seldom."""
    shaped, parts, joined = compiled(Shaped(1)), compiled(Parts(0, 2)), compiled(Joined(0, 2))

    def once():
        x = np.arange(24.0).reshape(4, 6)
        for view in (x, x.T, x[:, ::-1]):
            flat = shaped(view, np.asarray(-1))
            first, second = parts(flat, np.array([10, 14]))
            del flat
            found = joined(second, first[::-1])
            expected = view.ravel()
            np.testing.assert_array_equal(found, np.concatenate([expected[10:], expected[9::-1]]))

    once()
    before = counted()
    for _ in range(5):
        once()
    after = counted()
    assert after.mi_alloc - before.mi_alloc == after.mi_free - before.mi_free
    assert after.alloc - before.alloc == after.free - before.free


def test_they_stand_in_for_pytensors(rng):
    x, n, sizes = pt.tensor3("x"), pt.lscalar("n"), pt.lvector("sizes")
    first, second = pt.split(x, sizes, n_splits=2, axis=-2)
    outputs = [
        *(x.reshape((n, -1)), x.transpose(2, 0, 1).reshape((-1, n)) * 2, first * 2, second),
        *(pt.join(-1, x, x * n), pt.stack([x.shape[0] * n, n]), x.shape[1] + n),
    ]
    function = backends.function([x, n, sizes], outputs, mode="NUMBA", dtype="float64")
    graph = function.maker.fgraph
    kinds = {type(node.op).__name__ for node in graph.toposort()}
    assert {"Shaped", "Parts", "Joined", "Vector", "Length"} <= kinds
    assert not {"Reshape", "Split", "Join", "MakeVector", "Shape_i"} & kinds
    value = rng.normal(size=(4, 6, 3))
    found = function(value, np.asarray(2), np.array([1, 5]))
    expected = [
        *(value.reshape(2, -1), value.transpose(2, 0, 1).reshape(-1, 2) * 2, value[:, :1] * 2),
        *(value[:, 1:], np.concatenate([value, value * 2], axis=-1), [8, 2], 8),
    ]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    with pytest.raises(ValueError, match="do not add up"):
        function(value, np.asarray(2), np.array([1, 4]))
    with pytest.raises(ValueError, match="number of entries"):
        function(value, np.asarray(5), np.array([1, 5]))
    for node in graph.toposort():
        assert pickle.loads(pickle.dumps(node.op)) == node.op


def test_a_vector_of_lengths_that_is_given_is_left(rng):
    x, shape = pt.vector("x"), pt.lvector("shape")
    function = backends.function(
        [x, shape], x.reshape(shape, ndim=2), mode="NUMBA", dtype="float64"
    )
    value = rng.normal(size=6)
    np.testing.assert_array_equal(function(value, np.array([3, 2])), value.reshape(3, 2))


def test_arrays_of_other_types_are_joined_as_before(rng):
    x, y = pt.fvector("x"), pt.dvector("y")
    function = backends.function([x, y], pt.join(0, x, y), mode="NUMBA", dtype="float64")
    found = function(np.ones(2, "float32"), np.zeros(1))
    assert found.dtype == "float64"
    np.testing.assert_array_equal(found, [1, 1, 0])
