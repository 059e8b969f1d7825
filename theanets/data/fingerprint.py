"""Fingerprints of data: whether they are the same as at another time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..ops.sparse import is_sparse
from . import sparse
from .coerce import take
from .fields import Field

#: Of an array whose batches have more bytes than this, a sample is looked at, ...
WHOLE_BYTES = 2**26
#: ... which has about so many, in so many places.
SAMPLE_BYTES, PLACES = 2**23, 64
#: Rows are converted in parts of about so many bytes.
PART_BYTES = 2**21


def fingerprint(field: Field, array: Any, where: str) -> str:
    """Get what tells an array from others, without reading all of one that is large.

    It is of the rows as batches have them, so that an array and a memory map
    of the same numbers, of whatever type, have the same.

    Parameters
    ----------
    field : Field
        What the array was coerced for.
    array : ndarray or csr_array
        As coerced.
    where : str
        Describes the array in error messages.
    """
    found = hashlib.blake2b(repr(tuple(array.shape)).encode(), digest_size=8)
    for rows in _rows(array.shape[0], max(row_bytes(field, array), 1.0)):
        part = take(field, array, rows, where)
        for vector in sparse.vectors(part) if field.sparse else [part]:
            found.update(np.ascontiguousarray(vector).data)
    return found.hexdigest()


def _rows(count: int, row_bytes: float) -> Iterator[slice]:
    most = max(1, int(PART_BYTES / row_bytes))
    if count * row_bytes <= WHOLE_BYTES:
        for first in range(0, count, most):
            yield slice(first, min(first + most, count))
        return
    length = min(count, max(1, int(SAMPLE_BYTES / PLACES / row_bytes)))
    for first in np.linspace(0, count - length, min(PLACES, count), dtype=int).tolist():
        yield slice(first, first + length)


def row_bytes(field: Field, array: Any) -> float:
    """Get about how many bytes a row of an array takes in a batch."""
    size = np.dtype(field.dtype).itemsize
    if field.sparse and is_sparse(array):
        return 4 + (size + 4) * array.nnz / array.shape[0]
    return float(np.prod(array.shape[1:])) * size
