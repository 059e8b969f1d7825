"""Coercion and validation of data, and the batches that are made of them."""

import json
import re
from itertools import chain

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

import theanets.data.coerce as coercion
from theanets.data import Dataset, Field, chunks, gather, prepare
from theanets.data import batches as data
from theanets.data.coerce import coerce
from theanets.errors import ConfigurationError, DataError

X = Field("in", "input", "float32", (4,))
Y = Field("target", "target", "float32", (3,))
COLUMN = Field("target", "target", "float32", (1,))
LABELS = Field("target", "target", "int32", (), classes=5)
IGNORING = Field("target", "target", "int32", (), classes=5, ignore=-1)
TOKENS = Field("in", "input", "int32", (None,), classes=7)
SEQ = Field("in", "input", "float32", (None, 4))
WY = Field("target", "target", "float32", (3,), weighted_by="weights")
W = Field("weights", "weights", "float32", (3,), weighs="target")
WSEQ = Field("target", "target", "float32", (None, 3), weighted_by="weights")
W3 = Field("weights", "weights", "float32", (None, 3), weighs="target")
AUTO = Field("in", "input", "float32", (4,), weighted_by="weights", impute=True)
WAUTO = Field("weights", "weights", "float32", (4,), weighs="in")
INT_DTYPES = ["bool", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i4", ">i8"]
FLOAT_DTYPES = ["f2", "f4", "f8", "longdouble", ">f4", ">f8"]


def generator(seed=0):
    return np.random.default_rng(seed)


def dataset(fields, values, **kwargs):
    kwargs.setdefault("seed_rng", generator())
    return Dataset(fields, values, **kwargs)


def arrays(n, t=None):
    middle = () if t is None else (t,)
    rng = generator(99)
    return (
        rng.normal(size=(n, *middle, 4)).astype("float32"),
        rng.normal(size=(n, *middle, 3)).astype("float32"),
    )


def numbered(n):
    """Make data whose every row says which it is."""
    return (
        np.arange(n, dtype="float32")[:, None].repeat(4, axis=1),
        np.arange(n, dtype="float32")[:, None].repeat(3, axis=1),
    )


def seen(batches):
    return [batch[0][:, 0].astype(int).tolist() for batch, _ in batches]


def joined(lists):
    return list(chain.from_iterable(lists))


def flat(batches):
    return joined(seen(batches))


def refused(*parts):
    """Expect an error whose message has all of the parts."""
    return pytest.raises(DataError, match="".join(f"(?=.*{re.escape(part)})" for part in parts))


def check_batch(fields, batch, size):
    assert isinstance(batch, tuple)
    for field, array in zip(fields, batch, strict=True):
        assert type(array) is np.ndarray
        assert array.dtype == np.dtype(field.dtype)
        assert array.dtype.isnative
        assert array.flags.c_contiguous
        assert array.ndim == 1 + len(field.shape)
        assert len(array) == size > 0


# Coercion of one array.


@pytest.mark.parametrize("dtype", INT_DTYPES + FLOAT_DTYPES)
@pytest.mark.parametrize("wanted", ["float32", "float64"])
def test_any_real_number_becomes_a_float(dtype, wanted):
    field = Field("in", "input", wanted, (4,))
    value = np.arange(8).reshape(2, 4).astype(dtype)
    array = coerce(field, value, "x")
    check_batch([field], (array,), 2)
    np.testing.assert_array_equal(array, value.astype("float64"))


@pytest.mark.parametrize("dtype", INT_DTYPES)
def test_any_integer_becomes_int32(dtype):
    value = np.array([0, 1, 4, 2]).astype(dtype)
    array = coerce(LABELS, value, "y")
    check_batch([LABELS], (array,), 4)
    np.testing.assert_array_equal(array, value.astype("int64"))


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_float_labels_are_refused(dtype):
    with refused("here", f"dtype {np.dtype(dtype)}", "(3,)", "[0, 5)", "y.astype(int)"):
        coerce(LABELS, np.array([0, 1, 2], dtype), "here")


@pytest.mark.parametrize(
    "value",
    [
        np.ones((2, 4), complex),
        np.array([["1"] * 4] * 2),
        np.array([[None] * 4] * 2),
        np.array([[b"1"] * 4] * 2),
        np.ones((2, 4), "M8[s]"),
        np.ones((2, 4), "m8[s]"),
        np.ones((2, 4), [("a", "f4")]),
        [["1", "2", "3", "4"]],
        None,
        "data",
        {1, 2},
        object(),
    ],
)
@pytest.mark.parametrize("field", [X, TOKENS])
def test_what_is_not_a_number_is_refused(field, value):
    with refused("here has shape", f"dtype {np.asarray(value).dtype}", "expected 'in' (n, "):
        coerce(field, value, "here")


def test_ragged_lists_are_refused():
    with refused("here is a list that is not one array"):
        coerce(X, [[1, 2], [3]], "here")


def test_masked_arrays_are_refused():
    with refused("here is a masked array", "weights"):
        coerce(X, np.ma.masked_invalid(np.ones((2, 4))), "here")


class Frame:
    """A minimal data frame, whose values are not C-contiguous."""

    shape = (3, 4)

    def __array__(self, dtype=None, copy=None):
        return np.arange(12.0).reshape(4, 3).T


@pytest.mark.parametrize(
    "value",
    [
        [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]],
        ([0, 3, 6, 9], (1, 4, 7, 10), np.array([2, 5, 8, 11])),
        Frame(),
        np.asfortranarray(np.arange(12).reshape(4, 3).T),
        np.arange(12).reshape(4, 3)[::-1].T[:, ::-1],
        np.matrix(np.arange(12).reshape(4, 3).T),
    ],
)
def test_whatever_is_like_an_array(value):
    array = coerce(X, value, "x")
    check_batch([X], (array,), 3)
    np.testing.assert_array_equal(array, np.arange(12).reshape(4, 3).T)


def test_unaligned_arrays_are_aligned():
    value = np.frombuffer(b"\0" + np.arange(8, dtype="f4").tobytes(), "f4", offset=1).reshape(2, 4)
    assert not value.flags.aligned
    array = coerce(X, value, "x")
    assert array.flags.aligned
    np.testing.assert_array_equal(array, np.arange(8).reshape(2, 4))


def test_what_fits_is_not_copied():
    x = np.ones((3, 4), "float32")
    assert np.shares_memory(coerce(X, x, "x"), x)


@pytest.mark.parametrize(
    ("field", "given", "wanted"),
    [
        (COLUMN, (6,), (6, 1)),
        (COLUMN, (6, 1), (6, 1)),
        (LABELS, (6, 1), (6,)),
        (TOKENS, (6, 2, 1), (6, 2)),
        (TOKENS, (6, 9), (6, 9)),
        (SEQ, (6, 1, 4), (6, 1, 4)),
        (X, (1, 4), (1, 4)),
        (W, (6,), (6,)),
        (W, (6, 1), (6, 1)),
        (W3, (6, 2), (6, 2)),
        (W3, (6, 1, 3), (6, 1, 3)),
        (Field("w", "weights", "float32", (), weighs="y"), (6, 1), (6,)),
        (Field("w", "weights", "float32", (1,), weighs="y"), (6,), (6,)),
    ],
)
def test_shapes(field, given, wanted):
    assert coerce(field, np.ones(given, "int64"), "x").shape == wanted


@pytest.mark.parametrize(
    ("field", "shape", "parts"),
    [
        (X, (3, 5), ["expected 'in' (n, 4) float32"]),
        (X, (3, 4, 1), ["expected 'in' (n, 4) float32"]),
        (X, (5,), ["expected 'in' (n, 4) float32"]),
        (X, (), ["expected 'in' (n, 4) float32"]),
        (X, (4,), ["expected", "x[None]"]),
        (SEQ, (7, 4), ["expected 'in' (n, any, 4)", "x[None]"]),
        (SEQ, (2, 7, 3), ["expected 'in' (n, any, 4)"]),
        (TOKENS, (7,), ["expected 'in' (n, any) int32 in [0, 7)", "x[None]"]),
        (LABELS, (3, 2), ["expected 'target' (n,) int32 in [0, 5)"]),
        (LABELS, (3, 5), ["one-hot", "argmax"]),
        (IGNORING, (3, 2), ["[0, 5) or -1"]),
        (COLUMN, (3, 2), ["(n, 1)"]),
        (Y, (3, 1), ["(n, 3)"]),
        (W, (6, 2), ["trailing axes"]),
        (W, (6, 3, 1, 1), ["expected"]),
        (W3, (6, 2, 2), ["trailing axes"]),
        (Field("w", "weights", "float32", (3,)), (6,), ["(n, 3)"]),
    ],
)
def test_wrong_shapes_are_refused(field, shape, parts):
    with refused("here", f"shape {shape}", "dtype int64", *parts):
        coerce(field, np.ones(shape, "int64"), "here")


def test_float_one_hot_labels_get_the_right_hint():
    with pytest.raises(DataError, match="argmax") as caught:
        coerce(LABELS, np.eye(5), "here")
    assert "astype" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "shape"),
    [(X, (0, 4)), (LABELS, (0,)), (COLUMN, (0,)), (SEQ, (2, 0, 4)), (W, (0,))],
)
def test_empty_data_are_refused(field, shape):
    with refused("here has shape", "empty", "at least one example"):
        coerce(field, np.ones(shape, "int64"), "here")


@pytest.mark.parametrize(
    ("field", "values", "parts"),
    [
        (LABELS, [0, 5, 1], ["largest is 5", "[0, 5)"]),
        (LABELS, [0, -1, 1], ["smallest is -1", "[0, 5)"]),
        (LABELS, [-7, 9], ["largest is 9"]),
        (LABELS, [2**32], ["largest is 4294967296"]),
        (LABELS, np.array([2**63], "uint64"), ["largest is 9223372036854775808"]),
        (IGNORING, [-1, 5], ["largest is 5", "[0, 5) or -1"]),
        (IGNORING, [-1, -2, 3], ["smallest is -2"]),
        (Field("y", "target", "int32", (), classes=1), [0, 1], ["[0, 1)", "one output unit per"]),
        (Field("y", "target", "int32", ()), [2**31], ["largest is 2147483648", "int32"]),
        (Field("y", "target", "int32", ()), [-(2**31) - 1], ["smallest is -2147483649"]),
    ],
)
def test_integers_out_of_range_are_refused(field, values, parts):
    with refused("here", *parts):
        coerce(field, np.asarray(values), "here")


@pytest.mark.parametrize("ignore", [-1, 5, 255])
def test_ignored_labels(ignore):
    field = Field("y", "target", "int32", (), classes=5, ignore=ignore)
    for values in ([0, 4, ignore], [ignore, ignore]):
        np.testing.assert_array_equal(coerce(field, values, "y"), values)
    np.testing.assert_array_equal(coerce(field, np.array([0, 4], "uint8"), "y"), [0, 4])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("field", [X, Field("y", "target", "float64", (4,))])
def test_not_finite_is_refused(field, bad):
    value = np.zeros((3, 4))
    value[1, 2] = value[2, 0] = bad
    with refused("here has 2 entries that are", f"first is {bad} at [1, 2]", "weights"):
        coerce(field, value, "here")


def test_opposite_infinities_are_found():
    with refused("2 entries"):
        coerce(X, [[np.inf, -np.inf, 0, 0]], "here")


def test_finite_sums_that_overflow_are_accepted():
    x = np.full((9, 4), 3e38, "float32")
    assert np.shares_memory(coerce(X, x, "x"), x)
    with refused("1 entry", "[9, 0]"):
        coerce(X, np.vstack([x, [[np.nan, 0, 0, 0]]]), "x")


def test_what_float32_cannot_hold_is_refused():
    with refused("1 entry that is", "first is inf at [0, 3]", "float32"):
        coerce(X, [[0, 1, 2, 1e300]], "here")


def test_not_finite_weights_are_refused():
    with refused("here", "weights must be finite"):
        coerce(W, [1, np.nan], "here")


def test_weighted_targets_are_left_to_their_weights():
    assert np.isnan(coerce(WY, [[1, np.nan, 2]], "y")[0, 1])


# Sparse matrices.

FORMATS = ["bsr", "coo", "csc", "csr", "dia", "dok", "lil"]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("make", [sp.coo_array, sp.coo_matrix])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "bool"])
def test_sparse(form, make, dtype):
    dense = (generator().random((7, 4)) < 0.4).astype(dtype)
    value = make(dense).asformat(form)
    array = coerce(X, value, "x")
    assert isinstance(array, sp.csr_array)
    assert array.dtype == np.float32
    for rows in (slice(2, 5), np.array([6, 0, 3])):
        part = gather(X, array, rows, "x")
        check_batch([X], (part,), 3)
        np.testing.assert_array_equal(part, dense[rows].astype("float32"))


def test_sparse_batches():
    x, y = numbered(50)
    ds = dataset([X, Y], [sp.csr_matrix(x), sp.coo_array(y)], batch_size=8)
    batches = list(ds.epoch())
    assert sorted(flat(batches)) == list(range(50))
    for batch, size in batches:
        check_batch([X, Y], batch, size)
        np.testing.assert_array_equal(batch[0][:, :3], batch[1])
    np.testing.assert_array_equal(
        np.concatenate(
            [b[0] for b, _ in dataset([X], sp.csc_array(x.T), axis=1, shuffle=False).epoch()]
        ),
        x,
    )


def test_sparse_is_checked():
    value = sp.csr_array(np.array([[0, 0, 1.0, 0], [0, np.inf, 0, 0]]))
    with refused("1 entry", "first is inf at [1, 1]"):
        coerce(X, value, "here")
    with refused("1 entry", "first is inf at [0, 1]", "float32"):
        coerce(X, sp.csr_array([[0, 1e300, 1, 0]]), "here")
    with refused("shape (2, 5)"):
        coerce(X, sp.csr_array((2, 5)), "here")
    with refused("shape (2, 4)"):
        coerce(SEQ, sp.csr_array((2, 4)), "here")
    with refused("complex128"):
        coerce(X, sp.csr_array((2, 4), dtype=complex), "here")


def test_sparse_labels():
    np.testing.assert_array_equal(coerce(LABELS, sp.csr_array([[0], [4]]), "y"), [0, 4])
    with refused("largest is 7"):
        coerce(LABELS, sp.csr_array([[0], [7]]), "y")
    with refused("largest is 8"):
        coerce(TOKENS, sp.csr_array([[0, 8]]), "y")
    assert coerce(TOKENS, sp.csr_array((2, 3), dtype=int), "y").nnz == 0


def test_sparse_duplicates_are_summed_before_the_check():
    value = sp.csr_array((np.array([4, 4]), np.array([1, 1]), np.array([0, 2])), shape=(1, 3))
    with refused("largest is 8"):
        coerce(TOKENS, value, "y")
    assert value.nnz == 2


def test_sparse_targets_and_weights():
    x, y = arrays(5)
    y[:, 1] = np.nan
    w = np.ones((5, 3))
    w[:, 1] = 0
    sparse_y, sparse_w = sp.csr_array(y), sp.csr_array(w)
    for target, weights in [(sparse_y, w), (y, sparse_w), (sparse_y, sparse_w)]:
        ((batch, _),) = dataset([X, WY, W], [x, target, weights], shuffle=False).epoch()
        check_batch([X, WY, W], batch, 5)
        np.testing.assert_array_equal(batch[1], y)
        np.testing.assert_array_equal(batch[2], w)
    w[3, 1] = 1
    with refused("1 entry", "at [3, 1]"):
        dataset([X, WY, W], [x, sparse_y, sp.csr_array(w)])


# The forms that data may have.


@pytest.mark.parametrize("form", [list, tuple, lambda v: {"target": v[1], "in": v[0]}])
def test_collections_of_arrays(form):
    x, y = arrays(5)
    ((batch, size),) = dataset([X, Y], form([x, y]), shuffle=False).epoch()
    assert size == 5
    np.testing.assert_array_equal(batch[0], x)
    np.testing.assert_array_equal(batch[1], y)


@pytest.mark.parametrize(
    "form",
    [
        lambda x: x,
        lambda x: [x],
        lambda x: (x,),
        lambda x: {"in": x},
        lambda x: x.tolist(),
        lambda x: list(x),
        lambda x: tuple(map(tuple, x)),
    ],
)
def test_one_field(form):
    x, _ = arrays(5)
    ((batch, _),) = dataset([X], form(x), shuffle=False).epoch()
    np.testing.assert_array_equal(batch[0], x)
    np.testing.assert_array_equal(prepare([X, Y], form(x), "x")[0], x)


def test_wrong_number_of_arrays():
    x, y = arrays(5)
    with refused("train data has 1 array, but 2 are expected", "'in' (n, 4)", "'target' (n, 3)"):
        dataset([X, Y], [x])
    with refused("has 3 arrays"):
        dataset([X, Y], [x, y, y])
    with refused("has 2 arrays, but 1 is expected", "'in' (n, 4)"):
        dataset([X], [x, y])
    with refused("is one ndarray of shape (5, 4), but 2 arrays"):
        dataset([X, Y], x)
    with refused("is one NoneType, but 2 arrays"):
        dataset([X, Y], None)
    with refused("the weights are missing: 'weights' (n, 3)"):
        dataset([X, WY, W], [x, y])
    with pytest.raises(DataError) as caught:
        dataset([X, WY, W], [x])
    assert "missing" not in str(caught.value)
    with pytest.raises(DataError) as caught:
        dataset([X, Y], [])
    assert "missing" not in str(caught.value)


def test_wrong_names():
    x, y = arrays(5)
    with refused("lacks 'target'", "expected: 'in' (n, 4) float32, 'target' (n, 3)"):
        dataset([X, Y], {"in": x})
    with refused("unknown array 'tarkget' (did you mean 'target'?)", "lacks 'target'"):
        dataset([X, Y], {"in": x, "tarkget": y})
    with refused("unknown array 7"):
        dataset([X, Y], {"in": x, "target": y, 7: y})
    with refused("lacks 'weights' (the weights)"):
        dataset([X, WY, W], {"in": x, "target": y})


def test_different_lengths():
    x, y = arrays(5)
    with refused("differ in length", "'in' has 5", "'target' has 4"):
        dataset([X, Y], [x, y[:4]])


def test_messages_say_where():
    x, y = arrays(5)
    with refused("valid data, array 2 of 2 ('target')"):
        dataset([X, Y], [x, y[:, :2]], where="valid data")
    y[2, 1] = np.nan
    with refused("valid data, array 2 of 2 ('target')", "[2, 1]"):
        dataset([X, Y], [x, y], where="valid data")
    with refused("input, array 1 of 1 ('in')", "x[None]"):
        prepare([X, Y], x[0], "input")


@pytest.mark.parametrize("axis", [1, -2])
@pytest.mark.parametrize("field", [WSEQ, LABELS])
def test_axis(field, axis):
    x, y = arrays(6, t=3)
    y = y if field is WSEQ else np.arange(6) % 5
    given = [x.swapaxes(0, 1), y.swapaxes(0, 1) if field is WSEQ else y]
    for (xs, ys), size in dataset([SEQ, field], given, axis=axis, batch_size=4).epoch():
        check_batch([SEQ, field], (xs, ys), size)
        for row, target in zip(xs, ys, strict=True):
            (i,) = np.flatnonzero((x == row).all(axis=(1, 2)))
            np.testing.assert_array_equal(target, y[i])


def test_axis_of_batches():
    x, _ = numbered(6)
    ds = dataset([X], lambda: x.T, batches=1, axis=1)
    ((batch, size),) = ds.epoch()
    check_batch([X], batch, size)
    np.testing.assert_array_equal(batch[0], x)


def test_axis_that_is_not_there():
    with refused("shape (2, 4)", "no axis=2"):
        dataset([X], np.ones((2, 4)), axis=2)


# Batches of arrays.


@given(
    n=st.integers(1, 40),
    size=st.integers(1, 50),
    seed=st.integers(0, 5),
    chunk=st.sampled_from([1, 100, 500, 2**21]),
    shuffle=st.booleans(),
)
def test_every_epoch_has_every_row_once(n, size, seed, chunk, shuffle):
    x, y = numbered(n)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "CHUNK_BYTES", chunk)
        ds = dataset([X, Y], [x, y], batch_size=size, seed_rng=generator(seed), shuffle=shuffle)
    assert ds.examples == n
    assert len(ds) == -(-n // size)
    for _ in range(3):
        batches = list(ds.epoch())
        assert [count for _, count in batches] == [size] * (n // size) + [n % size] * (n % size > 0)
        assert sorted(flat(batches)) == list(range(n))
        assert shuffle or flat(batches) == list(range(n))
        for batch, count in batches:
            check_batch([X, Y], batch, count)
            np.testing.assert_array_equal(batch[0][:, :3], batch[1])


def test_examples_are_mixed_between_batches():
    ds = dataset([X], numbered(100)[0], batch_size=10)
    one, two = seen(ds.epoch()), seen(ds.epoch())
    assert joined(one) != joined(two)
    assert sorted(map(sorted, one)) != sorted(map(sorted, two))


def test_the_seed_decides_the_order():
    def order(seed):
        ds = dataset([X], numbered(100)[0], seed_rng=generator(seed))
        return [flat(ds.epoch()) for _ in range(3)]

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_without_shuffling_arrays_are_not_copied():
    x, y = arrays(10)
    for batch, _ in dataset([X, Y], [x, y], batch_size=4, shuffle=False).epoch():
        assert np.shares_memory(batch[0], x)
        assert np.shares_memory(batch[1], y)


def test_labels_that_the_caller_changes_later_do_no_harm():
    labels = np.zeros(4, "int32")
    ds = dataset([LABELS], labels, shuffle=False)
    labels[:] = 1000
    ((batch, _),) = ds.epoch()
    np.testing.assert_array_equal(batch[0], 0)


def test_an_epoch_of_some_batches_goes_on_where_the_last_one_stopped():
    ds = dataset([X], numbered(10)[0], batch_size=3, batches=2)
    assert len(ds) == 2
    epochs = [seen(ds.epoch()) for _ in range(6)]
    assert [len(batches) for batches in epochs] == [2] * 6
    sizes = [len(batch) for batches in epochs for batch in batches]
    assert sizes == [3, 3, 3, 1] * 3
    order = [row for batches in epochs for batch in batches for row in batch]
    passes = [order[i : i + 10] for i in range(0, 30, 10)]
    assert all(sorted(rows) == list(range(10)) for rows in passes)
    assert passes[0] != passes[1] != passes[2]


def test_an_epoch_may_have_more_batches_than_the_data():
    ds = dataset([X], numbered(10)[0], batch_size=4, batches=7)
    assert len(ds) == 7
    batches = seen(ds.epoch())
    assert [len(batch) for batch in batches] == [4, 4, 2, 4, 4, 2, 4]
    assert sorted(joined(batches[:3])) == sorted(joined(batches[3:6])) == list(range(10))
    assert sorted(joined(batches[6:]) + flat(ds.epoch())[:6]) == list(range(10))


@pytest.mark.parametrize(("batches", "rows"), [(2, 8), (3, 10), (9, 10)])
def test_without_shuffling_an_epoch_has_the_first_batches(batches, rows):
    ds = dataset([X], numbered(10)[0], batch_size=4, batches=batches, shuffle=False)
    for _ in range(3):
        epoch = seen(ds.epoch())
        assert len(epoch) == len(ds) == min(batches, 3)
        assert joined(epoch) == list(range(rows))


def test_an_epoch_that_is_left_early_is_over():
    ds = dataset([X], numbered(50)[0], batch_size=10)
    next(ds.epoch())
    assert sorted(flat(ds.epoch())) == list(range(50))


@pytest.mark.parametrize("name", ["batch_size", "batches"])
@pytest.mark.parametrize("value", [0, -1, 2.5, "3", True])
def test_sizes_are_checked(name, value):
    with pytest.raises(ConfigurationError, match=f"{name}={value!r}"):
        dataset([X], numbered(3)[0], **{name: value})


def test_sizes_may_be_numpy_integers():
    assert len(dataset([X], numbered(9)[0], batch_size=np.int64(2), batches=np.int8(3))) == 3


@given(
    n=st.integers(1, 20),
    size=st.integers(1, 8),
    batches=st.none() | st.integers(1, 12),
    before=st.integers(0, 4),
    bits=st.sampled_from(["PCG64", "MT19937", "Philox", "SFC64"]),
)
def test_restored_datasets_continue_identically(n, size, batches, before, bits):
    def make(seed):
        rng = np.random.Generator(getattr(np.random, bits)(seed))
        return dataset([X], numbered(n)[0], batch_size=size, batches=batches, seed_rng=rng)

    ds, other = make(1), make(2)
    for _ in range(before):
        list(ds.epoch())
    list(other.epoch())
    state = json.loads(json.dumps(ds.state()))
    other.restore(state)
    assert other.state() == state
    for _ in range(4):
        assert seen(other.epoch()) == seen(ds.epoch())
    assert other.state() == ds.state()


def test_asking_for_the_state_changes_nothing():
    one = dataset([X], numbered(10)[0], batch_size=3, batches=2)
    two = dataset([X], numbered(10)[0], batch_size=3, batches=2)
    for _ in range(5):
        one.state()
        assert seen(one.epoch()) == seen(two.epoch())


@pytest.mark.parametrize(
    "change",
    [
        {"row": 10},
        {"row": -1},
        {"row": "a"},
        {"generator": {"bit_generator": "X"}},
        {"generator": 3},
    ],
)
def test_states_that_do_not_fit_are_refused(change):
    ds = dataset([X], numbered(10)[0])
    with refused("train data: cannot continue"):
        ds.restore({**ds.state(), **change})
    with refused("cannot continue"):
        ds.restore({})


def test_states_without_arrays():
    x, _ = numbered(3)
    for value in (lambda: x, iter([x])):
        ds = dataset([X], value)
        ds.restore(json.loads(json.dumps(ds.state())))
        assert len(next(ds.epoch())[0][0]) == 3


# Callables and iterables.


class Batches:
    """A callable that knows how many batches an epoch has."""

    def __init__(self, length):
        self.length = length
        self.calls = 0

    def __len__(self):
        return self.length

    def __call__(self):
        self.calls += 1
        return np.full((2, 4), self.calls)


class Iterable:
    def __init__(self, *batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


class Sized(Iterable):
    def __len__(self):
        return len(self.batches)


def test_callables():
    source = Batches(3)
    ds = dataset([X], source)
    assert source.calls == 0
    assert (len(ds), ds.examples, ds.replayable) == (3, None, True)
    assert seen(ds.epoch()) == [[1, 1], [2, 2], [3, 3]]
    assert seen(ds.epoch()) == [[4, 4], [5, 5], [6, 6]]
    assert source.calls == 6


def test_the_number_of_calls():
    def draw():
        return np.ones((1, 4))

    assert len(dataset([X], draw)) == len(list(dataset([X], draw).epoch())) == 100
    assert len(list(dataset([X], draw, batches=4).epoch())) == 4
    assert len(list(dataset([X], Batches(3), batches=4).epoch())) == 4
    with refused("no batches"):
        dataset([X], Batches(0))


@pytest.mark.parametrize(
    "form", [list, tuple, lambda v: {"target": v[1], "in": v[0]}, lambda v: [v[0].tolist(), v[1]]]
)
def test_batches_are_coerced(form):
    x, y = arrays(5)
    given = form([x.astype("float64"), np.asfortranarray(y)])
    for source in (lambda: given, iter([given]), Iterable(given)):
        ((batch, size),) = dataset([X, Y], source, batches=1).epoch()
        check_batch([X, Y], batch, size)
        np.testing.assert_array_equal(batch[0], x)
        np.testing.assert_array_equal(batch[1], y)


@pytest.mark.parametrize(
    ("batch", "parts"),
    [
        ([np.ones((2, 5)), [1, 2]], ["array 1 of 2 ('in')", "(2, 5)"]),
        ([np.ones((2, 4)), [1, 5]], ["array 2 of 2 ('target')", "largest is 5"]),
        ([np.ones((2, 4)), [1, 2, 3]], ["'in' has 2", "'target' has 3"]),
        ([np.full((2, 4), np.nan), [1, 2]], ["8 entries"]),
        ([np.ones((0, 4)), []], ["empty"]),
        ([np.ones((2, 4))], ["has 1 array, but 2"]),
        (iter([1]), ["list_iterator", "pass it itself"]),
    ],
)
def test_batches_are_checked(batch, parts):
    good = [np.ones((2, 4)), [0, 4]]
    epoch = dataset([X, LABELS], iter([good, batch])).epoch()
    next(epoch)
    with refused("train data, batch 2", *parts):
        next(epoch)


def test_memory_maps_as_batches(tmp_path):
    x = np.memmap(tmp_path / "x", "float64", "w+", shape=(6, 4))
    x[:] = numbered(6)[0]
    ((batch, size),) = dataset([X], iter([x[2:4]])).epoch()
    check_batch([X], batch, size)
    np.testing.assert_array_equal(batch[0][:, 0], [2, 3])


def test_sparse_batches_of_a_callable():
    x, y = arrays(4)
    ((batch, size),) = dataset([X, Y], lambda: (sp.csr_array(x), y), batches=1).epoch()
    check_batch([X, Y], batch, size)
    np.testing.assert_array_equal(batch[0], x)


def stream(count):
    for i in range(count):
        yield np.full((1, 4), i)


def test_generators_run_to_their_end_once():
    ds = dataset([X], stream(3))
    assert (ds.examples, ds.replayable, bool(ds)) == (None, False, True)
    with pytest.raises(TypeError, match="not known"):
        len(ds)
    assert flat(ds.epoch()) == [0, 1, 2]
    for _ in range(2):
        with refused("train data is exhausted", "after 3 batches"):
            list(ds.epoch())


def test_generators_are_consumed_across_epochs():
    source = stream(7)
    ds = dataset([X], source, batches=3)
    assert len(ds) == 3
    assert flat(ds.epoch()) == [0, 1, 2]
    assert next(source)[0, 0] == 3
    assert flat(ds.epoch()) == [4, 5, 6]
    with refused("exhausted", "after 6 batches"):
        list(ds.epoch())


def test_the_last_epoch_of_a_generator_may_be_short():
    ds = dataset([X], stream(3), batches=2)
    assert flat(ds.epoch()) == [0, 1]
    assert flat(ds.epoch()) == [2]
    with refused("exhausted"):
        list(ds.epoch())


def test_empty_sources():
    with refused("exhausted", "after 0 batches"):
        list(dataset([X], stream(0)).epoch())
    with refused("gave no batch"):
        list(dataset([X], Iterable()).epoch())
    with refused("no batches"):
        dataset([X], Sized())


def test_iterables_start_anew():
    given = [np.full((1, 4), i) for i in range(4)]
    for kind in (Iterable, Sized):
        ds = dataset([X], kind(*given))
        assert ds.replayable
        assert flat(ds.epoch()) == flat(ds.epoch()) == [0, 1, 2, 3]
        ds = dataset([X], kind(*given), batches=3)
        assert len(ds) == 3
        assert flat(ds.epoch()) == flat(ds.epoch()) == [0, 1, 2]
    assert len(dataset([X], Sized(*given))) == 4
    assert len(dataset([X], Sized(*given), batches=9)) == 4


# Weights.


@pytest.mark.parametrize(
    ("fields", "time", "shapes"),
    [
        ([X, WY, W], None, [(), (1,), (3,)]),
        ([SEQ, WSEQ, W3], 6, [(), (1,), (6,), (6, 1), (6, 3), (1, 3), (1, 1)]),
    ],
)
@pytest.mark.parametrize("shuffle", [True, False])
def test_weights_are_broadcast(fields, time, shapes, shuffle, monkeypatch):
    monkeypatch.setattr(data, "CHUNK_BYTES", 500)
    x, y = arrays(23, time)
    y[:, ..., 0] = np.arange(23).reshape(-1, *[1] * (y.ndim - 2))
    for shape in shapes:
        w = generator(5).random((23, *shape))
        full = w.reshape(23, *shape, *[1] * (y.ndim - 1 - len(shape)))
        full = np.broadcast_to(full, y.shape).astype("float32")
        order = []
        for batch, size in dataset(fields, [x, y, w], batch_size=4, shuffle=shuffle).epoch():
            check_batch(fields, batch, size)
            rows = batch[1].reshape(size, -1)[:, 0].astype(int)
            order += rows.tolist()
            np.testing.assert_array_equal(batch[2], full[rows])
        assert sorted(order) == list(range(23))
        ((batch, size),) = dataset(fields, lambda given=(x, y, w): given, batches=1).epoch()
        check_batch(fields, batch, size)
        np.testing.assert_array_equal(batch[2], full)


def test_weights_of_labels():
    field = Field("weights", "weights", "float32", (), weighs="target")
    ((batch, _),) = dataset([X, LABELS, field], [numbered(2)[0], [1, 2], [[3], [4]]]).epoch()
    assert sorted(batch[2]) == [3, 4]


def test_weights_that_do_not_broadcast_are_refused():
    x, y = arrays(5, 6)
    with refused("array 3 of 3 ('weights')", "(5, 2)", "does not broadcast", "(5, 6, 3)"):
        dataset([SEQ, WSEQ, W3], [x, y, np.ones((5, 2))])
    with refused("differ in length"):
        dataset([SEQ, WSEQ, W3], [x, y, np.ones((1, 6, 3))])
    with refused("array 3 of 3 ('weights')"):
        dataset([SEQ, WSEQ, W3], [x, y, np.ones((5, 6, 2))])


# NaN and inf.


@pytest.mark.parametrize("shape", [(), (1,), (3,)])
def test_targets_may_be_nan_where_the_weight_is_zero(shape):
    x, y = arrays(6)
    w = np.ones((6, *shape))
    w[4] = 0
    y[4, 1:] = np.nan, np.inf
    ((batch, _),) = dataset([X, WY, W], [x, y, w], shuffle=False).epoch()
    np.testing.assert_array_equal(batch[1], y)
    y[5, 2] = np.inf
    with refused("array 2 of 3 ('target')", "1 entry", "[5, 2]", "'weights' is 0"):
        dataset([X, WY, W], [x, y, w])


@pytest.mark.parametrize("shape", [(), (4,), (4, 1), (4, 3), (1, 3)])
def test_nan_in_sequences(shape):
    x, y = arrays(6, 4)
    y[2, 3, 1] = np.nan
    w = np.ones((6, *shape))
    with refused("1 entry", "[2, 3, 1]"):
        dataset([SEQ, WSEQ, W3], [x, y, w])
    index = {(): (2,), (4,): (2, 3), (4, 1): (2, 3, 0), (4, 3): (2, 3, 1), (1, 3): (2, 0, 1)}
    w[index[shape]] = 0
    dataset([SEQ, WSEQ, W3], [x, y, w])


def test_inputs_may_be_nan_in_examples_without_weight():
    x, y = arrays(6)
    x[4, 2] = np.nan
    given = x.copy()
    w = np.ones((6, 3))
    w[4, :2] = 0
    with refused("array 1 of 3 ('in')", "[4, 2]", "examples whose weights are all 0"):
        dataset([X, WY, W], [x, y, w])
    w[4] = 0
    ((batch, _),) = dataset([X, WY, W], [x, y, w], shuffle=False).epoch()
    np.testing.assert_array_equal(batch[0], np.nan_to_num(x))
    np.testing.assert_array_equal(x, given)
    sparse = sp.csr_array(x)
    ((batch, _),) = dataset([X, WY, W], [sparse, y, w], shuffle=False).epoch()
    np.testing.assert_array_equal(batch[0], np.nan_to_num(x))
    assert np.isnan(sparse.data).sum() == 1
    with refused("array 1 of 3 ('in')"):
        dataset([X, WY, W], [x, y, np.ones(6)])


def test_inputs_of_an_unweighted_target_must_be_finite():
    x, y = arrays(3)
    x[1, 2] = np.nan
    other = Field("y2", "target", "float32", (3,))
    with refused("('in')", "[1, 2]"):
        dataset([X, WY, other, W], [x, y, y, np.zeros(3)])


def test_all_weights_must_be_zero():
    x, y = arrays(3)
    x[1, 2] = np.nan
    other = Field("y2", "target", "float32", (3,), weighted_by="w2")
    weights = Field("w2", "weights", "float32", (3,), weighs="y2")
    fields = [X, WY, W, other, weights]
    with refused("('in')", "[1, 2]"):
        dataset(fields, [x, y, np.zeros(3), y, np.ones(3)])
    with refused("('in')", "[1, 2]"):
        dataset(fields, [x, y, np.ones(3), y, np.zeros(3)])
    dataset(fields, [x, y, np.zeros(3), y, [1, 0, 1]])


def test_labels_are_in_range_also_where_the_weight_is_zero():
    field = Field("target", "target", "int32", (), classes=5, weighted_by="weights")
    weights = Field("weights", "weights", "float32", (), weighs="target")
    with refused("largest is 9"):
        dataset([X, field, weights], [numbered(2)[0], [0, 9], [1, 0]])


@pytest.mark.parametrize("streamed", [False, True])
def test_imputed_inputs(streamed):
    x, _ = arrays(3)
    x[0, 1], x[2, 3] = np.nan, np.inf
    given = x.copy()
    w = np.ones((3, 4))
    w[0, 1] = w[2, 3] = 0
    values = (lambda: (x, w)) if streamed else (x, w)
    ((batch, _),) = dataset([AUTO, WAUTO], values, shuffle=False, batches=1).epoch()
    np.testing.assert_array_equal(batch[0], np.where(np.isfinite(x), x, 0))
    np.testing.assert_array_equal(x, given)
    w[2, 3] = 0.5
    with refused("1 entry", "[2, 3]", "'weights' is 0"):
        list(dataset([AUTO, WAUTO], values, batches=1).epoch())


def test_other_inputs_that_are_weighted_keep_their_nan():
    field = Field("in", "input", "float32", (4,), weighted_by="weights")
    x, _ = arrays(3)
    x[1] = np.nan
    ((batch, _),) = dataset([field, WAUTO], [x, [1, 0, 1]], shuffle=False).epoch()
    np.testing.assert_array_equal(batch[0], x)


def test_imputed_inputs_without_weights():
    x, _ = arrays(3)
    x[0, 1] = np.nan
    (array,) = prepare([AUTO, WAUTO], x, "x")
    np.testing.assert_array_equal(array, np.nan_to_num(x))
    assert np.isnan(x[0, 1])
    with refused("NaN"):
        prepare([X], x, "x")


# Memory maps and very large arrays.


@pytest.fixture
def mapped(tmp_path):
    def make(array, dtype):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        out = np.memmap(path, dtype, "w+", shape=array.shape)
        out[:] = array
        return out

    return make


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", ">f4"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_memory_maps_stay_on_disk(mapped, dtype, shuffle):
    x, y = numbered(50)
    source = mapped(x, dtype)
    ds = dataset([X, Y], [source, y], batch_size=8, shuffle=shuffle)
    assert isinstance(ds._arrays[0], np.memmap)
    assert np.shares_memory(ds._arrays[0], source)
    for _ in range(2):
        batches = list(ds.epoch())
        assert sorted(flat(batches)) == list(range(50))
        for batch, size in batches:
            check_batch([X, Y], batch, size)
            np.testing.assert_array_equal(batch[0][:, :3], batch[1])


def test_memory_maps_of_other_shapes(mapped):
    x, _ = numbered(6)
    ds = dataset([COLUMN], mapped(np.arange(6), "int64"), shuffle=False)
    assert isinstance(ds._arrays[0], np.memmap)
    np.testing.assert_array_equal(next(ds.epoch())[0][0], np.arange(6)[:, None])
    ds = dataset([X], mapped(x.T, "float64"), axis=1, shuffle=False)
    assert isinstance(ds._arrays[0], np.memmap)
    np.testing.assert_array_equal(next(ds.epoch())[0][0], x)
    with refused("shape (6, 5)"):
        dataset([X], mapped(np.ones((6, 5)), "float64"))


@pytest.mark.parametrize("shuffle", [True, False])
def test_memory_maps_are_checked_by_the_batch(mapped, monkeypatch, shuffle):
    monkeypatch.setattr(data, "CHUNK_BYTES", 1)
    x, _ = numbered(20)
    x[13, 2] = np.nan
    ds = dataset([X], mapped(x, "float64"), batch_size=4, shuffle=shuffle)
    with refused("array 1 of 1 ('in')", "first is nan at [13, 2]"):
        list(ds.epoch())
    ds = dataset([LABELS], mapped(np.arange(20), "int64"), batch_size=4, shuffle=shuffle)
    with refused("array 1 of 1 ('target')", "largest is"):
        list(ds.epoch())


def test_memory_maps_and_weights(mapped):
    x, y = arrays(6)
    x[4] = y[4, 1] = np.nan
    w = np.ones((6, 3))
    w[4] = 0
    maps = [mapped(x, "f8"), mapped(y, "f8"), mapped(w, "f8")]
    for which in range(1, 8):
        given = [maps[i] if which & 1 << i else (x, y, w)[i] for i in range(3)]
        ds = dataset([X, WY, W], given, shuffle=False)
        ((batch, _),) = ds.epoch()
        check_batch([X, WY, W], batch, 6)
        np.testing.assert_array_equal(batch[0], np.nan_to_num(x))
        np.testing.assert_array_equal(batch[1], y)
    maps[2][4, 1] = 1
    with refused("('in')", "[4, 0]"):
        list(dataset([X, WY, W], [x, y, maps[2]]).epoch())
    with refused("('target')", "[4, 1]"):
        list(dataset([X, WY, W], [np.nan_to_num(x), y, maps[2]]).epoch())


def test_prepared_memory_maps_are_checked_by_gather(mapped):
    x, _ = numbered(6)
    x[5, 1] = np.nan
    (array,) = prepare([X], mapped(x, "float64"), "x")
    assert isinstance(array, np.memmap)
    part = gather(X, array, slice(0, 5), "x")
    check_batch([X], (part,), 5)
    with refused("at [5, 1]"):
        gather(X, array, slice(4, 6), "x")
    assert gather(AUTO, array, slice(4, 6), "x")[1, 1] == 0


def test_large_arrays_are_not_converted_as_a_whole(monkeypatch):
    monkeypatch.setattr(coercion, "LAZY_BYTES", 100)
    x = numbered(20)[0]
    wide = x.astype("float64")
    ds = dataset([X], wide, batch_size=4)
    assert np.shares_memory(ds._arrays[0], wide)
    for batch, size in ds.epoch():
        check_batch([X], batch, size)
    wide[3, 1] = np.nan
    with refused("at [3, 1]"):
        list(ds.epoch())
    x[3, 1] = np.nan
    with refused("at [3, 1]"):
        dataset([X], x)
    with refused("largest is 39"):
        dataset([LABELS], np.arange(40, dtype="int32"))


# Prediction.


def test_prepare_takes_inputs_only():
    x, y = arrays(5)
    second = Field("second", "input", "float64", (3,))
    got = prepare([X, WY, second, W], {"second": y, "in": x}, "x")
    assert [array.dtype for array in got] == ["float32", "float64"]
    np.testing.assert_array_equal(got[1], y)
    with refused("has 1 array, but 2 are expected: 'in'", "'second'"):
        prepare([X, WY, second, W], [x], "x")
    with refused("differ in length"):
        prepare([X, second], [x, y[:2]], "x")


@given(n=st.integers(0, 30), size=st.none() | st.integers(1, 40))
def test_chunks(n, size):
    parts = list(chunks(n, size))
    assert [i for part in parts for i in range(n)[part]] == list(range(n))
    assert all(0 < part.stop - part.start <= (size or n) for part in parts)
    assert len(parts) == (-(-n // size) if size else min(n, 1))


def test_chunks_checks_its_size():
    with pytest.raises(ConfigurationError, match="batch_size=0"):
        chunks(3, 0)
