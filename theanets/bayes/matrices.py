"""Matrices of curvature: eigenvalues, and Kronecker products of two."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def as_matrix(shape: tuple[int, ...]) -> tuple[int, int]:
    """Get the shape of a parameter as a matrix, all axes but the last being one."""
    if not shape:
        return 1, 1
    return int(np.prod(shape[:-1])), shape[-1]


def eigen(matrix: Array) -> tuple[Array, Array]:
    """Get eigenvalues, of which none is negative, and eigenvectors."""
    values, vectors = np.linalg.eigh(matrix)
    return np.maximum(values, 0), vectors


def kronecker(inputs: Array, outputs: Array) -> tuple[Array, Any]:
    """Get eigenvalues and eigenvectors of the Kronecker product with the trace of its factors."""
    (left, left_vectors), (right, right_vectors) = eigen(inputs), eigen(outputs)
    trace = left.sum()
    values = np.outer(left, right) / (trace if trace > 0 else 1.0)
    return values.ravel(), (left_vectors, right_vectors)
