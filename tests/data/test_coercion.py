"""What becomes of one array of values: numbers, shapes, and what is refused."""

import numpy as np
import pytest
from data_cases import (
    COLUMN,
    LABELS,
    SEQ,
    W3,
    WY,
    W,
    X,
    Y,
    check_batch,
    refused,
)

from theanets.data import Field
from theanets.data.coerce import coerce
from theanets.errors import DataError

IGNORING = Field("target", "target", "int32", (), classes=5, ignore=-1)
TOKENS = Field("in", "input", "int32", (None,), classes=7)
INT_DTYPES = ["bool", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i4", ">i8"]
FLOAT_DTYPES = ["f2", "f4", "f8", "longdouble", ">f4", ">f8"]


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
        np.arange(12).reshape(4, 3).T.view(np.matrix),
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
