"""The Ops of `sparse` for Numba: loops over the entries that are stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from pytensor.link.numba.dispatch.basic import numba_njit

from ..base import Array


def _njit(function: Callable[..., Any]) -> Any:
    return numba_njit(function, fastmath=False)


@_njit
def _check(data: Array, indices: Array, indptr: Array, size: int) -> None:
    """Refuse vectors that are not those of a matrix: what they point at would be anything."""
    count = indices.size
    if indptr.size < 1 or indptr[0] != 0 or data.size != count:
        raise ValueError("indptr, indices and data are not those of a sparse matrix")
    for i in range(indptr.size - 1):
        if indptr[i + 1] < indptr[i] or indptr[i + 1] > count:
            raise ValueError("indptr, indices and data are not those of a sparse matrix")
    for k in range(count):
        if indices[k] < 0 or indices[k] >= size:
            raise ValueError("a column of a sparse matrix is out of range")


@_njit
def _add(factor: float, source: Array, target: Array) -> None:
    for q in range(target.size):
        target[q] += factor * source[q]


@_njit
def dense(data: Array, indices: Array, indptr: Array, size: Array) -> Array:
    """Make the matrix itself."""
    n = np.int64(size.item())
    _check(data, indices, indptr, n)
    x = np.zeros((indptr.size - 1, n), data.dtype)
    for i in range(indptr.size - 1):
        for k in range(indptr[i], indptr[i + 1]):
            x[i, indices[k]] += data[k]
    return x


@_njit
def product(data: Array, indices: Array, indptr: Array, w: Array) -> Array:
    """Compute X @ w."""
    size, units = w.shape
    _check(data, indices, indptr, size)
    y = np.zeros((indptr.size - 1, units), w.dtype)
    source, target = np.ascontiguousarray(w).reshape(w.size), y.reshape(y.size)
    for i in range(indptr.size - 1):
        row = target[i * units : (i + 1) * units]
        for k in range(indptr[i], indptr[i + 1]):
            at = np.int64(indices[k]) * units
            _add(data[k], source[at : at + units], row)
    return y


@_njit
def transposed_product(data: Array, indices: Array, indptr: Array, y: Array, size: Array) -> Array:
    """Compute X.T @ y."""
    n, units = np.int64(size.item()), y.shape[1]
    _check(data, indices, indptr, n)
    if y.shape[0] != indptr.size - 1:
        raise ValueError("a sparse matrix and a dense one do not have equally many rows")
    w = np.zeros((n, units), y.dtype)
    source, target = np.ascontiguousarray(y).reshape(y.size), w.reshape(w.size)
    for i in range(indptr.size - 1):
        row = source[i * units : (i + 1) * units]
        for k in range(indptr[i], indptr[i + 1]):
            at = np.int64(indices[k]) * units
            _add(data[k], row, target[at : at + units])
    return w
