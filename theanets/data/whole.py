"""Arrays that are all there: what is found out once, and how rows of them become batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, repeat
from typing import Any, TypeAlias

import numpy as np

from ..errors import ConfigurationError
from ..ops.sparse import is_sparse
from . import sparse
from .coerce import is_lazy, load, locate, take
from .fields import Field
from .fingerprint import fingerprint, row_bytes
from .finite import refuse_not_finite
from .intake import Batch
from .series import Padded

#: The rows of a batch, and the steps of its series, if it has some.
Rows: TypeAlias = tuple[Any, int | None]

#: The least steps of a batch of series where the steps are rounded up.
ROUNDED_STEPS = 16


@dataclass(frozen=True)
class Cutting:
    """Where rows are cut.

    Attributes
    ----------
    size : int
        Rows of a batch.
    least : int
        Rows of the last one, at least: fewer are joined to the batch before.
    """

    size: int
    least: int

    def count(self, rows: int) -> int:
        """Get the number of batches of some rows."""
        whole, rest = divmod(rows, self.size)
        return whole + (rest >= self.least)

    def end(self, row: int, stop: int) -> int:
        """Get where to cut: at a row, unless it leaves too few before the stop."""
        return stop if stop - row < self.least else row

    def chunks(self, start: int, stop: int, rows: int) -> Iterator[tuple[int, int]]:
        """Generate the ranges of about so many rows that are gathered at once."""
        while start < stop:
            last = self.end(start + rows, stop)
            yield start, last
            start = last


@dataclass(frozen=True)
class Resident:
    """Arrays that may lie on a device as they are, where rows of them become batches.

    Attributes
    ----------
    arrays : list of ndarray
        With a row for each example.
    spread : tuple of (int, int)
        Which of a batch's arrays have to be given the shape of which others.
    timed : tuple of int
        Which are cut to the steps of a batch of series, before that.
    placed : dict
        What linkers have made of the arrays, by device.
    """

    arrays: Sequence[Any]
    spread: tuple[tuple[int, int], ...]
    timed: tuple[int, ...]
    placed: dict[Any, Any] = dataclasses.field(default_factory=dict, compare=False, repr=False)

    @property
    def nbytes(self) -> int:
        """The size of all."""
        return sum(array.nbytes for array in self.arrays)


def resident(
    fields: Sequence[Field],
    arrays: Sequence[Any],
    spread: Sequence[tuple[int, int]] = (),
    timed: Sequence[int] = (),
) -> Resident | None:
    """Get arrays as a device may hold them; None where rows are made when they are gathered.

    Parameters
    ----------
    fields : sequence of Field
        What they are.
    arrays : sequence
        As `load` returns them.
    spread, timed : sequence
        See `Resident`.
    """
    for field, array in zip(fields, arrays, strict=True):
        if field.sparse or is_sparse(array) or is_lazy(field, array):
            return None
    return Resident(arrays, tuple(spread), tuple(timed))


class Arrays:
    """The arrays of some fields, checked.

    Parameters
    ----------
    fields : sequence of Field
        What they are.
    data : list, tuple, dict or array_like
        The arrays.
    where : str
        Describes them in messages.
    axis : int
        Which axis is that of the examples.
    rounded : bool
        Whether few lengths of series are wanted.

    Attributes
    ----------
    rows : int
        The number of examples.
    arrays : list
        The arrays, in the order of the fields.
    lengths : ndarray or None
        The steps of each, where they are series.
    late : list of int
        Which arrays are checked only when their rows are gathered.

    Raises
    ------
    DataError
        If the data are not what the fields say.
    """

    def __init__(
        self, fields: Sequence[Field], data: Any, where: str, axis: int, rounded: bool
    ) -> None:
        self.fields, self.rounded = fields, rounded
        self.lengths: Any = None
        self._timed: list[int] = []
        names = [field.name for field in fields]
        if isinstance(data, Padded):
            # Of one that is sparse, a batch has three vectors.
            places = np.cumsum([0, *(3 if field.sparse else 1 for field in fields)])
            self._timed = [int(places[names.index(name)]) for name in data.timed]
            self.lengths = data.lengths
            if axis:
                raise ConfigurationError(f"axis={axis}: series in lists have the time first")
        self._places = locate(fields, where)
        arrays = load(fields, data, where, axis=axis)
        for i, field in enumerate(fields):
            if field.classes is not None and not is_lazy(field, arrays[i]):
                # Labels that the caller changes later would not be checked again.
                arrays[i] = arrays[i].copy()
        self.arrays = arrays
        self.rows = int(arrays[0].shape[0])
        self.late = [i for i, field in enumerate(fields) if is_lazy(field, arrays[i])]
        self._spread = [
            (i, names.index(field.weighs))
            for i, field in enumerate(fields)
            if field.weighs in names
            and arrays[i].shape[1:] != arrays[names.index(field.weighs)].shape[1:]
        ]

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of one example of each."""
        return [array.shape[1:] for array in self.arrays]

    @property
    def row_bytes(self) -> float:
        """The size of an example, as it is in a batch."""
        arrays, spread = self.arrays, dict(self._spread)
        each = [arrays[spread.get(i, i)] for i in range(len(arrays))]
        return sum(map(row_bytes, self.fields, each))

    @property
    def plain(self) -> bool:
        """Whether rows in their order may be views: of what is read-only, batches are copies."""
        fixed = any(is_sparse(array) or not array.flags.writeable for array in self.arrays)
        return not (fixed or self.late or self._spread)

    @cached_property
    def resident(self) -> Resident | None:
        """The arrays as a device may hold them, see `resident`."""
        return resident(self.fields, self.arrays, self._spread, self._timed)

    def fingerprint(self) -> dict[str, str]:
        """Get what tells the arrays from others, by name."""
        each = zip(self.fields, self.arrays, self._places, strict=True)
        return {field.name: fingerprint(field, array, place) for field, array, place in each}

    def divide(self, rows: Any, cutting: Cutting) -> Iterator[Rows]:
        """Get what `cut` makes batches of: their rows, and the steps of the series in them."""
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(self.rows))
        start, stop = 0, len(rows)
        while start < stop:
            last = cutting.end(min(start + cutting.size, stop), stop)
            part = rows[start:last]
            yield part, None if self.lengths is None else self._steps(self.lengths[part])
            start = last

    def cut(self, rows: Any, cutting: Cutting) -> Iterator[Batch]:
        """Gather rows, and cut them into batches."""
        parts = [
            take(field, array, rows, place)
            for field, array, place in zip(self.fields, self.arrays, self._places, strict=True)
        ]
        if self.late:
            parts = refuse_not_finite(self.fields, parts, self._places, rows, self.late)
        for i, j in self._spread:
            parts[i] = np.ascontiguousarray(np.broadcast_to(parts[i], parts[j].shape))
        number = parts[0].shape[0]
        size = min(cutting.size, max(1, number))  # of no more is anything made
        # If too few are left for the last batch, it has those of the one before too.
        whole = cutting.count(number) - (number % size != 0)
        rest = number - whole * size
        views: list[Any] = []
        last: list[Any] = []
        for field, part in zip(self.fields, parts, strict=True):
            if field.sparse:
                batches = sparse.cut(part, size, whole)
                views += [[batch[i] for batch in batches[:whole]] for i in range(3)]
                last += batches[-1]
            else:
                # Iterating over a new leading axis is the cheapest way to get equal slices.
                views.append(part[: whole * size].reshape(whole, size, *part.shape[1:]))
                last.append(part[whole * size :])
        final: list[Batch] = [(tuple(last), rest)] if rest else []
        found = chain(zip(zip(*views, strict=True), repeat(size), strict=False), final)
        return found if self.lengths is None else self._trimmed(found, self.lengths[rows], size)

    def _trimmed(self, batches: Iterator[Batch], lengths: Any, size: int) -> Iterator[Batch]:
        """Cut off the steps at the end that no series of a batch has."""
        for i, (arrays, count) in enumerate(batches):
            steps = self._steps(lengths[i * size : i * size + count])
            cut = list(arrays)
            for j in self._timed:
                cut[j] = np.ascontiguousarray(arrays[j][:, :steps])
            yield tuple(cut), count

    def _steps(self, lengths: Any) -> int:
        """Get how many steps a batch of series has."""
        steps = max(1, int(lengths.max()))
        return max(ROUNDED_STEPS, 1 << (steps - 1).bit_length()) if self.rounded else steps
