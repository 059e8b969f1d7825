"""What becomes of sparse matrices, and the forms that data may have."""

import numpy as np
import pytest
import scipy.sparse as sp
from data_cases import (
    LABELS,
    SEQ,
    WY,
    W,
    X,
    Y,
    arrays,
    check_batch,
    dataset,
    flat,
    generator,
    numbered,
    refused,
)

from theanets.data import Field, gather, prepare
from theanets.data.coerce import coerce
from theanets.errors import DataError

TOKENS = Field("in", "input", "int32", (None,), classes=7)

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
