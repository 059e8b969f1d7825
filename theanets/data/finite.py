"""Data that are not finite: refused, unless weights of 0 make them irrelevant."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import DataError
from ..ops.sparse import is_sparse
from .fields import Field


def refuse_not_finite(
    fields: Sequence[Field],
    arrays: Sequence[Any],
    places: Sequence[str],
    rows: Any = None,
    only: Iterable[int] | None = None,
) -> list[Any]:
    """Refuse NaN and inf, except where weights of 0 make them irrelevant, or series have ended.

    ``rows`` tells which rows of the data the arrays hold, ``only`` which of
    the arrays to look at. Arrays with replaced entries are copies.
    """
    found = list(arrays)
    named = {field.name: array for field, array in zip(fields, arrays, strict=True)}
    for i in range(len(fields)) if only is None else only:
        field, array = fields[i], arrays[i]
        if field.limits != (None, None) and not is_sparse(array):
            _check_limits(field, array, named, places[i], rows)
        if all_finite(array.data if is_sparse(array) else array):
            continue
        index, flat = _not_finite(array)
        wrong = np.ones(len(flat), bool)
        if field.weighted_by in named:
            wrong = _entries(named[field.weighted_by], index) != 0
        elif field.weighted_by is not None:
            wrong[:] = False
        elif field.role == "input":
            wrong = _row_counts(fields, arrays, index[0])
        padding = _padding(field, named, index)
        wrong &= ~padding
        if wrong.any():
            first = int(np.argmax(wrong))
            entry = tuple(int(axis[first]) for axis in index)
            value = (array.data if is_sparse(array) else array.reshape(-1))[flat[first]]
            raise DataError(_not_finite_message(field, places[i], wrong, entry, value, rows))
        unweighted = field.role == "input" and field.weighted_by is None
        if field.impute or unweighted or padding.any():
            found[i] = array.copy()
            (found[i].data if is_sparse(array) else found[i].reshape(-1))[flat] = 0
    return found


def _steps(field: Field, named: Mapping[str, Any], shape: Sequence[int]) -> Any:
    """Get how many steps the series of an array have, (series,); None if nothing says it."""
    if field.lengths is not None and field.lengths in named:
        return np.ravel(named[field.lengths])
    weights = named.get(field.ended_by or "")
    if weights is None or is_sparse(weights) or len(shape) < 2:
        return None
    weights = np.asarray(weights)
    # One weight for all steps of a series does not say when it ends.
    if weights.dtype.kind not in "biuf" or weights.shape[:2] != (shape[0], shape[1]):
        return None
    positive = (weights > 0).reshape(*weights.shape[:2], -1).any(axis=2)
    return np.where(positive, np.arange(1, shape[1] + 1), 0).max(axis=1, initial=0)


def clear_padding(fields: Sequence[Field], values: Sequence[Any]) -> list[Any]:
    """Make integers 0 in steps that do not exist: they may be anything, as floats may be NaN.

    Parameters
    ----------
    fields : sequence of Field
        The arrays.
    values : sequence
        What was given for each, in order. What is no array of integers is left as it is.

    Returns
    -------
    list
        Arrays with replaced entries are copies.
    """
    found = list(values)
    named = {field.name: value for field, value in zip(fields, values, strict=True)}
    for i, field in enumerate(fields):
        if not field.integral or not {field.lengths, field.ended_by} & {*named}:
            continue
        try:
            array = np.asarray(values[i])
            lengths = _steps(field, named, array.shape)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            continue  # the one that is no array is refused later
        if lengths is None or array.dtype.kind not in "iu" or lengths.dtype.kind not in "iu":
            continue
        if array.ndim < 2 or len(array) != len(lengths) or isinstance(values[i], np.memmap):
            continue
        ended = np.arange(array.shape[1]) >= lengths[:, None]
        if array[ended].any():
            found[i] = array.copy()
            found[i][ended] = 0
    return found


def _check_limits(
    field: Field, array: Any, named: Mapping[str, Any], place: str, rows: Any
) -> None:
    """Refuse numbers that the losses of a target have no meaning for, where they count."""
    low, high = field.limits
    beyond = outside(field, array)
    if not beyond.any():
        return
    index = np.nonzero(beyond)
    wrong = ~_padding(field, named, index)
    if field.weighted_by is not None:
        if field.weighted_by not in named:
            return
        wrong &= _entries(named[field.weighted_by], index) != 0
    if wrong.any():
        first = int(np.argmax(wrong))
        entry = tuple(int(axis[first]) for axis in index)
        span = f"[{'-inf' if low is None else low}, {'inf' if high is None else high}]"
        raise DataError(
            f"{place} has {array[entry]:g} at {_located(entry, rows)}; its loss is of numbers in "
            f"{span}, except where weights are 0"
        )


def outside(field: Field, array: Any) -> Any:
    """Tell which entries are beyond the limits of a field; NaN is not."""
    low, high = field.limits
    with np.errstate(invalid="ignore"):
        return (array < (-np.inf if low is None else low)) | (
            array > (np.inf if high is None else high)
        )


def _located(entry: tuple[int, ...], rows: Any) -> list[int]:
    if rows is None:
        return list(entry)
    row = (rows.start or 0) + entry[0] if isinstance(rows, slice) else int(rows[entry[0]])
    return [row, *entry[1:]]


def _not_finite_message(
    field: Field, place: str, wrong: Any, entry: tuple[int, ...], value: Any, rows: Any
) -> str:
    count, located = int(wrong.sum()), _located(entry, rows)
    message = (
        f"{place} has {count} {'entry' if count == 1 else 'entries'} that "
        f"{'is' if count == 1 else 'are'} NaN or infinite, the first is {value} at {located}"
    )
    if np.isinf(value) and field.dtype == "float32":
        message += " (in float32, all numbers beyond 3.4e38 are)"
    if field.role == "array":
        return f"{message}; leave these out, or have an array more that masks them"
    if field.role == "weights":
        return f"{message}; weights must be finite (0 masks an entry)"
    if field.weighted_by is not None:
        return f"{message}; that is allowed only where {field.weighted_by!r} is 0"
    if field.role == "input":
        ended = " and in steps after the last weight of a series" if field.ended_by else ""
        return f"{message}; that is allowed only in examples whose weights are all 0{ended}"
    return f"{message}; remove these, or mask them by a weighted loss and weights of 0"


def all_finite(array: Any) -> bool:
    """Tell whether an array has neither NaN nor inf."""
    if array.dtype.kind != "f":
        return True
    # The fastest sum of all, without a second array or warnings, as other products have them.
    # Only its overflow calls for the exact test.
    return math.isfinite(np.vdot(array, array)) or bool(np.isfinite(array).all())


def _not_finite(array: Any) -> tuple[tuple[Any, ...], Any]:
    """Find the entries that are not finite: their indices, and positions in the flat values."""
    if not is_sparse(array):
        flat = np.flatnonzero(~np.isfinite(array))
        return np.unravel_index(flat, array.shape), flat
    flat = np.flatnonzero(~np.isfinite(array.data))
    return (np.searchsorted(array.indptr, flat, side="right") - 1, array.indices[flat]), flat


def _padding(field: Field, named: Mapping[str, Any], index: tuple[Any, ...]) -> Any:
    """Tell which entries are of steps that do not exist."""
    lengths = _steps(field, named, named[field.name].shape)
    if lengths is None or len(index) < 2:
        return np.zeros(len(index[0]), bool)
    return index[1] >= lengths[index[0]]


def _entries(weights: Any, index: tuple[Any, ...]) -> Any:
    """Get the weights of entries of what is weighed, as if they were broadcast to it."""
    lengths = weights.shape[1:]
    inner = (
        i if length > 1 else np.zeros_like(i) for i, length in zip(index[1:], lengths, strict=True)
    )
    entries = weights[(index[0], *inner)]
    return entries.toarray().reshape(-1) if is_sparse(entries) else np.asarray(entries).ravel()


def _row_counts(fields: Sequence[Field], arrays: Sequence[Any], rows: Any) -> Any:
    """Find out which examples have an influence: a nonzero weight, or an unweighted target."""
    counts = np.zeros(len(rows), bool)
    weights = [
        array for field, array in zip(fields, arrays, strict=True) if field.role == "weights"
    ]
    targets = [field for field in fields if field.role == "target" or field.impute]
    if not weights or any(field.weighted_by is None for field in targets):
        return ~counts
    different, where = np.unique(rows, return_inverse=True)
    for array in weights:
        part = array[different]
        part = part.toarray() if is_sparse(part) else part
        counts |= (part != 0).reshape(len(different), -1).any(axis=1)[where]
    return counts
