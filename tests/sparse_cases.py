"""Sparse matrices with twins that are dense, for the tests of sparse inputs."""

import numpy as np
import pytensor.tensor as pt
import pytest
import scipy.sparse as sp

import theanets
from theanets import backends
from theanets.ops.sparse import products as ops

SIZE = 11


def entries(rng, rows=23, size=SIZE):
    """Make a matrix with empty rows and an empty column."""
    x = rng.normal(size=(rows, size)) * (rng.random((rows, size)) < 0.3)
    x[[0, 7, rows - 1]] = 0
    x[:, size // 2 - 1] = 0
    return x


def shuffled(x, rng):
    """Get a csr_array of unsorted columns, some entries as two, some zeros stored."""
    rows, columns = np.nonzero(x)
    part = rng.normal(size=len(rows))
    rows, columns = np.r_[rows, rows, 1, 2], np.r_[columns, columns, 4, 4]
    values = np.r_[part, x[np.nonzero(x)] - part, 0, 0]
    order = rng.permutation(len(rows))
    order = order[np.argsort(rows[order], kind="stable")]
    starts = np.searchsorted(rows[order], np.arange(len(x) + 1))
    return sp.csr_array((values[order], columns[order], starts), shape=x.shape)


def pair(form=theanets.Classifier, layers=((5, "tanh"), 3), **keywords):
    """Make a network with a dense input, and the same with a sparse one."""
    keywords = {"dtype": "float64", "rng": 3, **keywords}
    return [form([dict(size=SIZE, sparse=kind), *layers], **keywords) for kind in (False, True)]


def compiled(outputs, inputs, mode):
    return backends.function(inputs, outputs, mode=mode, dtype="float64")


BROKEN = [
    ([1.0], [SIZE], [0, 1]),
    ([1.0], [-1], [0, 1]),
    ([1.0], [0], [0, 2]),
    ([1.0], [0], [1, 1]),
    ([1.0, 1.0], [0, 1], [0, 2, 1]),
    ([1.0], [0, 1], [0, 2]),
    ([], [], []),
]


def refuse_broken(mode):
    x, w = ops.placeholder("x", "float64", SIZE), pt.dmatrix()
    data, indices, indptr = ops.vectors(x)
    transposed = ops.TransposedProduct()(data, indices, indptr, w, SIZE)
    product = compiled(ops.dot(x, w), [x, w], mode)
    functions = [
        lambda *a: product(*a, np.ones((SIZE, 2))),
        lambda *a: compiled_transposed(*a, np.ones((max(len(a[2]) - 1, 0), 2))),
        compiled(x, [x], mode),
    ]
    compiled_transposed = compiled(transposed, [x, w], mode)
    for parts in BROKEN:
        arguments = [np.array(p, d) for p, d in zip(parts, ("f8", "i4", "i4"), strict=True)]
        for function in functions:
            with pytest.raises(ValueError, match="sparse matrix"):
                function(*arguments)
