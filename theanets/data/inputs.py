"""The inputs of a network to compute with: checked, and computed some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..options import whole_number
from .coerce import integers, load
from .fields import Field
from .finite import all_finite


def prepare(fields: Sequence[Field], data: Any, where: str) -> list[Any]:
    """Coerce and check the inputs of a network, without cutting them into batches.

    Parameters
    ----------
    fields : sequence of Field
        Those with the role ``'input'`` are used.
    data : array_like, list, tuple or dict
        One array if there is one input; else arrays in the order of the
        inputs, or by name.
    where : str
        Describes the data in error messages.

    Returns
    -------
    list
        One array per input, as `coerce` returns them; get rows by `gather`.
    """
    return load([field for field in fields if field.role == "input"], data, where)


class Ready:
    """Makes of data what `prepare` and then `gather` of all rows would, where that is simple.

    That is where they are arrays, or lists of numbers, of the right shape: the data of a service
    that answers rows. All that `prepare` checks is checked, without a word about what is wrong.

    Parameters
    ----------
    fields : sequence of Field
        Those of inputs.
    """

    def __init__(self, fields: Sequence[Field]) -> None:
        # What is to be sparse, or has limits, is for `prepare`.
        self._simple = not any(field.sparse or field.limits != (None, None) for field in fields)
        self._fields = [
            (
                np.dtype(field.dtype),
                1 + len(field.shape),
                [(axis, n) for axis, n in enumerate(field.shape, 1) if n is not None],
                integers(field) if field.integral else None,
            )
            for field in fields
        ]
        self._names = [field.name for field in fields]

    def __call__(self, data: Any) -> list[Any] | None:
        """Get the arrays, in the order of the fields.

        Returns
        -------
        list of ndarray, or None
            They have as many rows each, at least one. None where there is more to be done, or
            to be refused.
        """
        if not self._simple:
            return None
        values: list[Any] = [data]
        if type(data) is dict:
            values = [data.get(name) for name in self._names]
            if len(data) != len(values):
                return None
        elif len(self._fields) > 1:
            values = list(data) if type(data) in (list, tuple) else []
        if len(values) != len(self._fields):
            return None
        rows, found = None, []
        for value, (dtype, ndim, lengths, limits) in zip(values, self._fields, strict=True):
            array = value if type(value) is np.ndarray else _listed(value, ndim)
            if array is None or array.ndim != ndim or not array.flags.carray:
                return None
            shape = array.shape
            rows = shape[0] if rows is None else rows
            if shape[0] != rows or 0 in shape:
                return None
            for axis, length in lengths:
                if shape[axis] != length:
                    return None
            if array.dtype.kind not in ("biuf" if limits is None else "biu"):
                return None
            if limits is not None and not limits[0] <= array.min() <= array.max() <= limits[1]:
                return None
            if array.dtype != dtype:
                with np.errstate(all="ignore"):
                    array = array.astype(dtype)
            if limits is None and not all_finite(array):
                return None
            found.append(array)
        return found


def _listed(value: Any, ndim: int) -> Any:
    """Get an array of a list of numbers, or of lists of them; None of anything else."""
    kinds = {list} if ndim > 1 else {int, float}
    if type(value) is not list or not value or not kinds.issuperset(map(type, value)):
        return None
    try:
        return np.asarray(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None  # `prepare` says what is wrong with it


def chunks(n: int, batch_size: int | None = None, least: int = 1) -> Iterator[slice]:
    """Cut rows into consecutive batches.

    Parameters
    ----------
    n : int
        Number of rows.
    batch_size : int, optional
        Rows per batch, the last may have fewer; by default all are one batch.
    least : int
        Rows of the last one, at least: fewer are joined to the batch before.

    Returns
    -------
    iterator of slice
    """
    size = max(n, 1) if batch_size is None else whole_number("batch_size", batch_size)
    starts = range(0, max(n - least + 1, min(n, 1)), size)
    return (slice(start, n if start == starts[-1] else start + size) for start in starts)
