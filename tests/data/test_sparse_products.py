"""Products of sparse matrices and their derivatives, and what is refused before it gets there."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose
from sparse_cases import SIZE, compiled, entries, pair, refuse_broken, shuffled

from theanets.data import sparse
from theanets.errors import DataError
from theanets.ops.sparse import products as ops


@pytest.mark.parametrize("units", [1, 4])
def test_products_and_two_derivatives(units, rng):
    matrix = shuffled(entries(rng), rng)
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    data, indices, indptr = pt.dvector(), pt.ivector(), pt.ivector()
    w = pt.dmatrix()
    product = ops.Product()(data, indices, indptr, w)
    zeros = pt.zeros((matrix.shape[0], SIZE), dtype="float64")
    dense = pt.dot(pt.inc_subtensor(zeros[rows, indices], data), w)
    found = []
    for y in (product, dense):
        cost = pt.sqr(pt.tanh(y)).sum()
        first = pytensor.grad(cost, [data, w])
        second = pytensor.grad(sum(pt.sin(g).sum() for g in first), [data, w])
        found.append(compiled([y, *first, *second], [data, indices, indptr, w], "FAST_COMPILE"))
    arguments = [matrix.data, matrix.indices.astype("int32"), matrix.indptr.astype("int32")]
    arguments.append(rng.normal(size=(SIZE, units)))
    ours, theirs = (function(*arguments) for function in found)
    assert_allclose(ours[0], matrix.toarray() @ arguments[3], atol=1e-12)
    for a, b in zip(ours, theirs, strict=True):
        assert_allclose(a, b, atol=1e-12)


def test_the_matrix_itself_and_its_derivative(rng):
    matrix = shuffled(entries(rng), rng)
    x = ops.placeholder("x", "float64", SIZE)
    assert x.type.shape == (None, SIZE)
    data, *_ = ops.vectors(x)
    weights = rng.normal(size=matrix.shape)
    grad = pytensor.grad((x * weights).sum(), data)
    values, found = compiled([x, grad], [x], "FAST_COMPILE")(*sparse.vectors(matrix))
    assert_allclose(values, matrix.toarray(), atol=1e-14)
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    assert_allclose(found, weights[rows, matrix.indices])
    assert ops.vectors(x + 0) is None


def test_broken_vectors_are_refused():
    refuse_broken("FAST_COMPILE")


@pytest.mark.parametrize("wrong", ["int data", "float index", "int64 index", "w"])
def test_types(wrong):
    data = pt.lvector() if wrong == "int data" else pt.dvector()
    indices = {"float index": pt.dvector, "int64 index": pt.lvector}.get(wrong, pt.ivector)()
    w = pt.fmatrix() if wrong == "w" else pt.dmatrix()
    with pytest.raises(TypeError):
        ops.Product()(data, indices, pt.ivector(), w)


# What is refused before it gets there.
@pytest.mark.parametrize("form", ["csr", "csc", "bsr", "coo"])
@pytest.mark.parametrize("index", [-1, SIZE])
@pytest.mark.parametrize("kind", [False, True])
def test_indices_out_of_range(form, index, kind, rng):
    matrix = sp.csr_array(entries(rng, SIZE)).asformat(form)
    (matrix.col if form == "coo" else matrix.indices)[3] = index
    net = pair()[kind]
    with pytest.raises(DataError, match=rf"x, array 1 of 1 .*{index}.*\[0, {SIZE}\)"):
        net.predict(matrix)


@pytest.mark.parametrize("change", ["first", "fall", "last"])
def test_row_starts_that_are_wrong(change, rng):
    matrix = sp.csr_array(entries(rng))
    where, value = {"first": (0, 1), "fall": (5, 99), "last": (-1, 9999)}[change]
    matrix.indptr[where] = value
    with pytest.raises(DataError, match="is not a valid csr matrix: indptr must rise from 0"):
        pair()[1].predict(matrix)


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (sp.csr_array((0, SIZE)), "it is empty"),
        (np.zeros((0, SIZE)), "it is empty"),
        (sp.csr_array((4, SIZE + 1)), r"shape \(4, 12\)"),
        (sp.csr_array(np.full((4, SIZE), np.nan)), "44 entries that are NaN"),
        (np.full((4, SIZE), np.inf), "44 entries that are NaN or infinite"),
        (sp.csr_array((4, SIZE), dtype=complex), "complex128"),
    ],
    ids=str,
)
def test_data_that_are_refused(value, part):
    with pytest.raises(DataError, match=part):
        pair()[1].train([value, np.zeros(value.shape[0], int)], epochs=1)


def test_the_users_matrix_is_left_alone(rng):
    matrix = shuffled(entries(rng), rng)
    before = [a.copy() for a in (matrix.data, matrix.indices, matrix.indptr)]
    pair()[1].train([matrix, rng.integers(3, size=23)], epochs=2)
    for a, b in zip(before, (matrix.data, matrix.indices, matrix.indptr), strict=True):
        np.testing.assert_array_equal(a, b)
