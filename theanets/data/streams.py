"""Batches that come in, from callables and iterables; each is checked when it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from ..errors import DataError
from ..ops.sparse import is_sparse
from . import sparse
from .coerce import load
from .fields import Field, behaved

#: Arrays for a compiled function, and the number of examples in them.
Batch: TypeAlias = "tuple[tuple[Any, ...], int]"


def is_stream(data: Any) -> bool:
    """Tell callables and iterables of batches from arrays and collections of them."""
    if isinstance(data, (list, tuple, str, bytes, Mapping)) or is_sparse(data):
        return False
    return not hasattr(data, "__array__") and (callable(data) or hasattr(data, "__iter__"))


def calls(function: Callable[[], Any]) -> Iterator[Any]:
    """Generate what a function of the user's returns, as long as it does."""
    while True:
        try:
            batch = function()
        except StopIteration:  # as of `lambda: next(iterator)`
            return
        yield batch


def accept(
    fields: Sequence[Field], batch: Any, where: str, axis: int = 0, own: bool = False
) -> Batch:
    """Check a batch, and get it as a compiled function takes it.

    With ``own``, it shares no memory with what came in: the next batch may come in the same
    buffer before this one is used.
    """
    if hasattr(batch, "__next__"):
        raise DataError(
            f"{where} is a {type(batch).__name__}, not a batch; to draw batches from a "
            "generator, pass it itself, not a function that makes it"
        )
    arrays = load(fields, batch, where, axis=axis, lazy=False)
    arrays = [
        array.toarray() if is_sparse(array) and not field.sparse else array
        for field, array in zip(fields, arrays, strict=True)
    ]
    shapes = {field.name: array.shape for field, array in zip(fields, arrays, strict=True)}
    for i, field in enumerate(fields):
        if field.weighs in shapes:
            spread = np.broadcast_to(arrays[i], shapes[field.weighs])
            arrays[i] = np.ascontiguousarray(spread)
    found = sparse.flat(fields, arrays)
    # What shares memory cannot be told of all that has an __array__().
    ready = tuple(array.copy() if own else behaved(array) for array in found)
    return ready, arrays[0].shape[0]
