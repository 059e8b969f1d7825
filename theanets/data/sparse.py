"""Sparse matrices among the data: what is checked of them, and how they are cut into batches.

SciPy does not check indices when it computes, nor do compiled functions: one
that is out of range reads and writes what is not the matrix's.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import process
from ..errors import DataError
from ..ops.sparse import is_sparse
from .fields import behaved

Array = npt.NDArray[Any]

#: Values, columns and row starts, as `theanets.ops.sparse` takes them.
Vectors = tuple[Array, Array, Array]

#: So many entries are the most that int32 can count.
MOST = np.iinfo(np.int32).max


def as_csr(matrix: Any, where: str) -> Any:
    """Get a sparse matrix of any format, checked, with sorted columns and each entry once.

    Parameters
    ----------
    matrix : sparse matrix or array of two axes
        It is not changed.
    where : str
        Describes it in error messages.

    Returns
    -------
    csr_array
        It may share memory with ``matrix``.

    Raises
    ------
    DataError
        If its indices are out of range.
    """
    if matrix.format in ("csr", "csc", "bsr"):
        _check_compressed(matrix, where)
    elif matrix.format == "coo":
        for index, length, axis in zip((matrix.row, matrix.col), matrix.shape, "01", strict=True):
            _check_range(index, length, f"{where}: its indices along axis {axis}")
    sp = process.lazily("scipy.sparse")
    found = sp.csr_array(matrix)
    if matrix.format != "csr":
        _check_compressed(found, where)
    if not found.has_canonical_format:
        # Only sums of duplicate entries can be checked; and the matrix is the user's.
        found = found.copy()
        found.sum_duplicates()
    return found


def _check_compressed(matrix: Any, where: str) -> None:
    lengths = matrix.shape
    if matrix.format == "bsr":
        lengths = tuple(n // b for n, b in zip(lengths, matrix.blocksize, strict=True))
    rows, columns = reversed(lengths) if matrix.format == "csc" else lengths
    starts, indices = matrix.indptr, matrix.indices
    if (
        len(starts) != rows + 1
        or starts[0] != 0
        or (np.diff(starts) < 0).any()
        or not starts[-1] <= len(indices) == len(matrix.data)
    ):
        raise DataError(
            f"{where} is not a valid {matrix.format} matrix: indptr must rise from 0 to the "
            f"number of entries, {len(indices)}, in {rows + 1} steps"
        )
    _check_range(indices, columns, f"{where}: the indices of its entries")


def _check_range(indices: Any, length: int, what: str) -> None:
    if len(indices) and not (indices.min() >= 0 and indices.max() < length):
        raise DataError(
            f"{what} go from {indices.min()} to {indices.max()}; expected is [0, {length})"
        )


def vectors(matrix: Any) -> Vectors:
    """Get the vectors of a matrix that has rows; see `cut`."""
    return cut(matrix, matrix.shape[0])[0]


def cut(matrix: Any, size: int, whole: int | None = None) -> list[Vectors]:
    """Cut a matrix into batches.

    Parameters
    ----------
    matrix : csr_array, or ndarray of two axes
        Valid, as `as_csr` makes it.
    size : int
        Rows in a batch.
    whole : int, optional
        How many batches have so many rows; what is left is one more. By
        default as many as there can be.

    Returns
    -------
    list of (data, indices, indptr)
        Contiguous, writeable vectors, with indices of int32.

    Raises
    ------
    DataError
        If a batch has more entries than int32 can count.
    """
    if not is_sparse(matrix):
        sp = process.lazily("scipy.sparse")
        matrix = sp.csr_array(matrix)
    rows = matrix.shape[0]
    whole = rows // size if whole is None else whole
    starts = [*range(0, whole * size + 1, size)]
    starts += [rows] * (starts[-1] < rows)
    indices = matrix.indices.astype(np.int32, copy=False)
    found = []
    for first, last in pairwise(starts):
        a, b = matrix.indptr[first], matrix.indptr[last]
        if b - a > MOST:
            raise DataError(
                f"a batch of {last - first} rows has {b - a} entries that are not 0; the most are "
                f"{MOST}: use a smaller batch_size"
            )
        indptr = (matrix.indptr[first : last + 1] - a).astype(np.int32, copy=False)
        found.append((behaved(matrix.data[a:b]), behaved(indices[a:b]), indptr))
    return found


def flat(fields: Sequence[Any], arrays: Sequence[Any]) -> list[Array]:
    """Get what a compiled function takes: arrays, and three vectors for each sparse one.

    Parameters
    ----------
    fields : list of Field
        What the arrays are for.
    arrays : list of ndarray or csr_array
        One batch.
    """
    found: list[Array] = []
    for field, array in zip(fields, arrays, strict=True):
        found.extend(vectors(array) if field.sparse else [array])
    return found


def joined(fields: Sequence[Any], arrays: Sequence[Array]) -> list[Any]:
    """Get one array or csr_array for each field, of what `flat` returned."""
    left = iter(arrays)
    found: list[Any] = []
    for field in fields:
        array = next(left)
        if field.sparse:
            parts = (array, next(left), next(left))
            sp = process.lazily("scipy.sparse")
            array = sp.csr_array(parts, shape=(len(parts[2]) - 1, field.shape[0]))
        found.append(array)
    return found
