"""Series as data: windows of arrays, and padding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import rng as _rng
from ..errors import DataError
from ..ops.sparse import is_sparse
from ..options import whole_number
from .fields import agree
from .tables import is_table, plain

Array = npt.NDArray[Any]


def pad(series: Sequence[Any], value: float = 0) -> tuple[Array, Array]:
    """Put series of different lengths into one array.

    Parameters
    ----------
    series : list of array_like
        Each of shape (steps, ...), alike in all but the steps.
    value : float
        What comes after the end of a series.

    Returns
    -------
    (array, lengths) : ndarrays
        Of shape (series, most steps, ...), and the steps of each.

    Raises
    ------
    DataError
        If there are none, or they do not have the same further axes.
    """
    arrays = of_series(series)
    lengths = np.array([len(array) for array in arrays])
    # Of what has no entries, the type says nothing: [] would be of floats.
    dtype = np.result_type(*([array for array in arrays if array.size] or arrays))
    padded = np.full((len(arrays), lengths.max(), *arrays[0].shape[1:]), value, dtype)
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    return padded, lengths


def of_steps(weights: Any, lengths: Array, steps: int, names: tuple[str, str]) -> Any:
    """Make weights those of the steps of series: 0 for steps that do not exist.

    Parameters
    ----------
    weights : array_like or list of array_like
        One for each series, or for each step or entry of it: an array, or a
        list of series.
    lengths : ndarray of int
        Numbers of steps.
    steps : int
        Length of the time axis of what is weighed.
    names : (str, str)
        What weights and what they weigh are called in messages.

    Returns
    -------
    ndarray
        (series, steps or 1, ...); what fits neither is returned as it is.

    Raises
    ------
    DataError
        If the weights are series of other lengths.
    """
    if is_ragged(weights):
        weighing, weighed = names
        weights, own = pad(of_series(weights, weighing))
        if not np.array_equal(own, lengths):
            raise DataError(
                f"the series {weighing!r} differ in length from {weighed!r}: {short(own)}, but "
                f"{short(lengths)}; a weight for each series is an array of one number for each"
            )
    found: Any = plain(weights)
    if not found.ndim or len(found) != len(lengths) or found.dtype.kind not in "biuf":
        return weights
    found = found.reshape(found.shape + (1,) * (found.ndim == 1))
    if found.shape[1] not in (1, steps):
        return weights
    exists = np.arange(steps) < lengths[:, None]
    return np.where(exists.reshape(exists.shape + (1,) * (found.ndim - 2)), found, 0)


def short(lengths: Array) -> str:
    """Write lengths for a message."""
    first = ", ".join(map(str, lengths[:6]))
    return f"({first}{', ...' if len(lengths) > 6 else ''})"


class Padded(dict[str, Any]):
    """Arrays by name, of which some hold series that end before the array does.

    Attributes
    ----------
    lengths : ndarray of int, or None
        Steps of each example, after which there is nothing but padding.
    timed : tuple of str
        Names of the arrays whose second axis is the time.
    """

    lengths: Array | None = None
    timed: tuple[str, ...] = ()


def of_series(
    series: Sequence[Any], name: str = "", shapes: Sequence[Sequence[int | None]] = ()
) -> list[Array]:
    """Get a list of series as arrays that differ only in their steps.

    Parameters
    ----------
    series : list of array_like
        Each of shape (steps, ...).
    name : str
        What they are for, in messages.
    shapes : list of tuple of (int or None)
        What they may be, all of them one of these, with None for any length; by default what
        most of them are.

    Raises
    ------
    DataError
        Names the first one that is none, or of another shape, and its place in the list.
    """
    arrays = []
    many = f"of {len(series)}{f' of {name!r}' if name else ''}, counted from 0,"
    for i, one in enumerate(series):
        try:
            arrays.append(plain(one))
        except (DataError, TypeError, ValueError, RuntimeError, OverflowError) as error:
            said = str(error) if isinstance(error, DataError) else f"not one array: {error}"
            of = f" of {one.dtype}" if hasattr(one, "dtype") else ""
            raise DataError(f"series {i} {many} is a {type(one).__name__}{of}, {said}") from None
    if not arrays:
        raise DataError(f"there are no series{f' {name!r}' if name else ''}")
    given = shapes or [(None, *Counter(a.shape[1:] for a in arrays).most_common(1)[0][0])]
    wanted = next((shape for shape in given if len(shape) == arrays[0].ndim), given[0])
    for i, array in enumerate(arrays):
        if array.ndim != len(wanted) or not agree(array.shape[1:], wanted[1:]):
            axes = ["time", *("any" if n is None else str(n) for n in wanted[1:])]
            raise DataError(
                f"series {i} {many} has the shape {array.shape}; expected "
                f"({', '.join(axes)}{',' * (len(axes) == 1)})"
                + ("" if shapes else ": series differ only in their first axis, the time")
            )
    return arrays


def is_array(value: Any) -> bool:
    """Tell whether something is an array with axes: a table, a sparse matrix, any library's."""
    if isinstance(value, np.ndarray) or is_table(value) or is_sparse(value):
        return bool(value.ndim)
    return hasattr(value, "__array__") and getattr(value, "ndim", 0) > 0


def is_ragged(data: Any) -> bool:
    """Tell whether something is a list of series of different lengths."""
    if not isinstance(data, (list, tuple)) or len(data) < 2:
        return False
    if not all(isinstance(one, (list, tuple)) or is_array(one) for one in data):
        return False
    return len({count(one) for one in data}) > 1


def count(series: Any) -> int:
    """Get how many steps a series has."""
    return int(series.shape[0]) if is_sparse(series) else len(series)


def batches(
    arrays: Any, steps: int = 100, batch_size: int = 64, rng: _rng.Seed = None
) -> Callable[[], list[Array]]:
    """Draw windows at random places of long series, as batches to train on.

    Parameters
    ----------
    arrays : array, list of arrays, or list of lists of series
        Arrays of the same number of steps, (steps, ...) each, of which the
        same windows are drawn: inputs, targets, weights. Each may also be a
        list of several series, in which a window lies within one of them.
    steps : int
        Length of a window.
    batch_size : int
        Windows in a batch.
    rng : int, Generator or None
        Source of randomness.

    Returns
    -------
    callable
        Each call returns a list of arrays (batch_size, steps, ...). All
        windows are equally probable.

    Raises
    ------
    DataError
        If arrays differ in length, or no series has so many steps.
    """
    whole_number("steps", steps)
    whole_number("batch_size", batch_size)
    given = [arrays] if isinstance(arrays, np.ndarray) or is_table(arrays) else list(arrays)
    columns = [_column(one, f"arrays[{i}]") for i, one in enumerate(given)]
    lengths = [[len(one) for one in column] for column in columns]
    if any(found != lengths[0] for found in lengths):
        raise DataError(f"arrays of different lengths: {lengths}")
    windows = np.maximum(0, np.array(lengths[0]) - steps + 1)
    total = int(windows.sum())
    if not total:
        raise DataError(f"no series has steps={steps} steps; the longest has {max(lengths[0])}")
    ends = np.cumsum(windows)
    generator = np.random.default_rng(_rng.as_seed(rng))

    def draw() -> list[Array]:
        places = generator.integers(total, size=batch_size)
        which = np.searchsorted(ends, places, side="right")
        starts = places - (ends - windows)[which]
        pairs = list(zip(which, starts, strict=True))
        return [np.stack([column[i][s : s + steps] for i, s in pairs]) for column in columns]

    return draw


def _column(given: Any, name: str) -> list[Array]:
    """Get the series of one of the arrays that are cut alike."""
    listed = isinstance(given, (list, tuple))
    several = listed and any(isinstance(one, (list, tuple)) or is_array(one) for one in given)
    return of_series(given if several else [given], name)


def buckets(lengths: Sequence[int], batch_size: int, rng: _rng.Seed = None) -> Iterator[Array]:
    """Group series of similar lengths, so that little of a batch is padding.

    Parameters
    ----------
    lengths : list of int
        Steps of each series.
    batch_size : int
        Series in a batch.
    rng : int, Generator or None
        Shuffles series of the same length, and the order of the batches.

    Yields
    ------
    ndarray of int
        Indices of the series of a batch; each series is in one.
    """
    whole_number("batch_size", batch_size)
    generator = np.random.default_rng(_rng.as_seed(rng))
    order = np.lexsort((generator.random(len(lengths)), np.asarray(lengths)))
    parts = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    for i in generator.permutation(len(parts)):
        yield parts[i]


#: By what part series may seem longer than they are, where they are sorted for training.
BLUR = 0.2


def similar(lengths: Array, batch_size: int, generator: np.random.Generator) -> Array:
    """Get a random order of series in which those of a batch have similar lengths.

    Series are sorted by their lengths, each of which seems longer at random,
    so that batches differ from epoch to epoch; then the batches are shuffled.
    The last batch, if it is smaller, is of any lengths.

    Parameters
    ----------
    lengths : ndarray of int
        Steps of each series.
    batch_size : int
        Series in a batch.
    generator : Generator
        Source of randomness.

    Returns
    -------
    ndarray of int
        Indices of the series.
    """
    order = generator.permutation(len(lengths))
    whole = len(order) - len(order) % batch_size
    first, rest = order[:whole], order[whole:]
    seeming = lengths[first] * (1 + BLUR * generator.random(whole))
    parts = first[np.argsort(seeming, kind="stable")].reshape(-1, batch_size)
    return np.concatenate([parts[generator.permutation(len(parts))].ravel(), rest])
