"""The inputs of a network to compute with: checked, and computed some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..options import whole_number
from .coerce import load
from .fields import Field


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
