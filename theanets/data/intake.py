"""Batches that come in, from callables and iterables; each is checked when it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from ..errors import DataError, check_weights
from ..expressions import check_takes
from ..ops.sparse import is_sparse
from . import sparse
from .coerce import integers, load
from .fields import Field, agree, behaved
from .finite import all_finite, outside
from .tables import is_dask

#: Arrays for a compiled function, and the number of examples in them.
Batch: TypeAlias = "tuple[tuple[Any, ...], int]"


def comes_in_batches(data: Any) -> bool:
    """Tell callables and iterables of batches from arrays and collections of them."""
    if isinstance(data, (list, tuple, str, bytes, Mapping)) or is_sparse(data) or is_dask(data):
        return False
    return not hasattr(data, "__array__") and (callable(data) or hasattr(data, "__iter__"))


def calls(function: Callable[[], Any]) -> Iterator[Any]:
    """Generate what a function of the user's returns, as long as it does.

    Raises
    ------
    ConfigurationError
        If it needs arguments.
    """
    check_takes(f"data: {function!r}", function, [])
    while True:
        try:
            batch = function()
        except StopIteration:  # as of `lambda: next(iterator)`
            return
        yield batch


def length(data: Any, where: str) -> int | None:
    """Get how many batches data say that there are, None if they do not.

    Raises
    ------
    DataError
        If what they say is no length.
    """
    if not hasattr(type(data), "__len__"):
        return None
    try:
        return len(data)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"{where}: the len() of the {type(data).__name__} fails: {error}"
        ) from error


def example_shapes(fields: Sequence[Field], arrays: Sequence[Any]) -> list[tuple[int | None, ...]]:
    """Get the shape of one example of each array of a batch, of which sparse ones are three."""
    found: list[tuple[int | None, ...]] = []
    place = 0
    for field in fields:
        found.append(field.shape if field.sparse else arrays[place].shape[1:])
        place += 3 if field.sparse else 1
    return found


class Intake:
    """Checks batches that come in, and gets them as a compiled function takes them.

    Parameters
    ----------
    fields : sequence of Field
        The arrays of a batch.
    axis : int, optional
        Which axis of the arrays is the batch.
    own : bool, optional
        Whether batches share no memory with what comes in: the next one may
        come in the same buffer before this one is used.
    """

    def __init__(self, fields: Sequence[Field], axis: int = 0, own: bool = False) -> None:
        self.fields, self.axis, self.own = tuple(fields), axis, own
        self._names = [field.name for field in self.fields]
        quick = axis == 0 and not any(field.sparse for field in self.fields)
        self._quick = [_quick(field, own) for field in self.fields] if quick else []
        self._weighs = [
            (i, self._names.index(field.weighs))
            for i, field in enumerate(self.fields)
            if field.weighs in self._names
        ]

    def __call__(self, batch: Any, where: str, number: int) -> Batch:
        """Check a batch, the one of this number of the data that ``where`` describes.

        Raises
        ------
        DataError
            If it is not what the fields need.
        """
        found = self._plain(batch)
        return self._any(batch, f"{where}, batch {number}") if found is None else found

    def _plain(self, batch: Any) -> Batch | None:
        """Get a batch that is made of arrays as the fields say; None is one to be looked at."""
        values = batch if isinstance(batch, (list, tuple, dict)) else [batch]
        if not self._quick or len(values) != len(self._quick):
            return None
        if isinstance(values, dict):
            values = [values.get(name) for name in self._names]
        arrays = []
        for value, quick in zip(values, self._quick, strict=True):
            array = quick(value)
            if array is None:
                return None
            arrays.append(array)
        rows = len(arrays[0])
        for array in arrays:
            if len(array) != rows:
                return None
        for i, j in self._weighs:
            weights, shape = arrays[i], arrays[j].shape
            if weights.shape != shape:
                if not agree(weights.shape[1:], shape[1:], ones=True):
                    return None
                arrays[i] = np.empty(shape, weights.dtype)
                arrays[i][:] = weights.reshape(weights.shape + (1,) * (len(shape) - weights.ndim))
        return tuple(arrays), rows

    def _any(self, batch: Any, where: str) -> Batch:
        if hasattr(batch, "__next__"):
            raise DataError(
                f"{where} is a {type(batch).__name__}, not a batch; to draw batches from a "
                "generator, pass it itself, not a function that makes it"
            )
        arrays = load(self.fields, batch, where, axis=self.axis, lazy=False)
        arrays = [
            array.toarray() if is_sparse(array) and not field.sparse else array
            for field, array in zip(self.fields, arrays, strict=True)
        ]
        for i, j in self._weighs:
            arrays[i] = np.ascontiguousarray(np.broadcast_to(arrays[i], arrays[j].shape))
        found = sparse.flat(self.fields, arrays)
        # What shares memory cannot be told of all that has an __array__().
        ready = tuple(array.copy() if self.own else behaved(array) for array in found)
        return ready, arrays[0].shape[0]


def _quick(field: Field, own: bool) -> Callable[[Any], Any]:
    """Get a function that checks an array as `load` does, in a fraction of the time.

    It returns None for all but an array in memory, or in a file, that has the shape and the
    kind of dtype that the field needs, and whose values are finite and in range.
    """
    dtype, shape, rank = np.dtype(field.dtype), field.shape, 1 + len(field.shape)
    # Weights may lack axes at the end.
    weights = field.weighs is not None
    ranks = range(1 if weights else rank, rank + 1)
    floats = dtype.kind == "f"
    kinds = "biuf" if floats else "biu"
    low, high = integers(field)
    limited = field.limits != (None, None)

    def quick(value: Any) -> Any:
        if type(value) is not np.ndarray:
            if type(value) is not np.memmap:
                return None
            value = np.asarray(value)
        lengths, given = value.shape, value.dtype
        if len(lengths) not in ranks or not value.size or given.kind not in kinds:
            return None
        if lengths[1:] != shape and not agree(lengths[1:], shape, weights):
            return None
        if not floats and not (low <= int(value.min()) and int(value.max()) <= high):
            return None
        if field.blank is not None and (value == field.blank).any():
            return None
        if limited and outside(field, value).any():
            return None
        if weights:
            try:
                check_weights(value, dtype, field.name)
            except DataError:
                return None
        if given != dtype and given.kind != "f":
            value = value.astype(dtype, order="C")
        elif given != dtype:
            # Too large a number becomes inf.
            with np.errstate(all="ignore"):
                value = value.astype(dtype, order="C")
        elif own or not value.flags.carray:
            value = value.copy()
        return value if not floats or all_finite(value) else None

    return quick
