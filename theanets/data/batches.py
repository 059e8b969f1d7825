"""Mini-batches: arrays, callables and iterables of batches, as validated arrays in order.

Values are checked once, when they come in; drawing a batch then costs little
more than taking a slice, since rows are gathered for several batches at once.
"""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from itertools import chain, islice, repeat
from typing import Any

import numpy as np

from ..errors import ConfigurationError, DataError, ExhaustedError, is_integer
from ..ops.sparse import is_sparse
from ..options import number, whole_number
from . import sparse
from .coerce import is_lazy, load, locate, take
from .fields import Field
from .fingerprint import fingerprint, row_bytes
from .finite import refuse_not_finite
from .prefetch import prefetched
from .series import Padded, similar
from .streams import Batch, Intake, calls, example_shapes, is_stream, length

#: Rows are gathered in chunks of about this size, which the caches still hold.
CHUNK_BYTES = 2**21

#: Batches in an epoch of a callable that does not say how many it has.
CALLABLE_BATCHES = 100

#: Why a batch may have too few examples.
FEW = (
    "the network has a layer, such as batch_norm, that normalizes over the examples of a batch to "
    "train on, so there must be at least {}"
)

#: The least steps of a batch of series where the steps are rounded up.
ROUNDED_STEPS = 16


class Dataset:
    """Batches of data for the variables of a network.

    Parameters
    ----------
    fields : sequence of Field
        The arrays that the network needs, in order.
    data : list, tuple, dict, array_like, callable or iterable
        Arrays in the order of the fields or by name, or one array if one is
        needed; a callable that returns a batch; or an iterable of batches. A
        batch has one of the forms that arrays have. An iterator is consumed
        across epochs, any other iterable is started anew by each.
    batch_size : int, optional
        Examples per batch, if the data are arrays; the last may have fewer.
    batches : int, optional
        Batches per epoch. By default an epoch is all of the data, and for a
        callable its ``len()`` or 100. With shuffled arrays, an epoch continues
        where the last one stopped; without shuffling it is always the first
        ``batches`` ones.
    seed_rng : numpy.random.Generator
        Shuffles. It must not be used elsewhere.
    shuffle : bool, optional
        Whether arrays are shuffled anew each time that all were used.
    axis : int, optional
        Which axis of every array is the batch. One-dimensional arrays have
        only one, whatever this says.
    where : str, optional
        Describes the data in error messages.
    buckets : bool
        Whether batches are of series of similar length, where data are
        shuffled lists of series, see `theanets.data.series.similar`. In any case
        batches are no longer than their longest series.
    rounded : bool
        Whether they may be longer than that, so that there are few different
        lengths: powers of two, and the longest of all series.
    prefetch : int, optional
        How many batches a thread prepares ahead. The batches are the same,
        copied if they came in from a callable or an iterable. The data are
        then read in that thread, a new one for each epoch; and
        where an epoch is left early, so many more may have been drawn from
        an iterator.
    least : int
        Examples that a batch has at least. Of arrays, a last batch of fewer
        is joined to the one before; a batch that comes in is refused.

    sizes : callable, optional
        Checks the shapes of one example of each array, and gets what the data
        are called in messages.

    Attributes
    ----------
    examples : int or None
        Number of rows, if the data are arrays.
    batches : int or None
        Batches per epoch, if known.
    buckets : bool or None
        Whether batches are of series of similar length; None where that has
        no meaning.
    replayable : bool
        Whether there can be any number of epochs.

    Raises
    ------
    DataError
        If the data are not what the network needs; for callables and
        iterables, when a batch is drawn.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        data: Any,
        *,
        batch_size: int = 32,
        batches: int | None = None,
        seed_rng: np.random.Generator,
        shuffle: bool = True,
        axis: int = 0,
        where: str = "train data",
        buckets: bool = True,
        rounded: bool = False,
        prefetch: int = 0,
        least: int = 1,
        sizes: Callable[[Sequence[Any], str], None] | None = None,
    ) -> None:
        self.fields = tuple(fields)
        self._lengths: Any = None
        self._timed: list[int] = []
        if isinstance(data, Padded):
            names = [field.name for field in self.fields]
            # Of one that is sparse, a batch has three vectors.
            places = np.cumsum([0, *(3 if field.sparse else 1 for field in self.fields)])
            self._timed = [int(places[names.index(name)]) for name in data.timed]
            self._lengths = data.lengths
            if axis:
                raise ConfigurationError(f"axis={axis}: series in lists have the time first")
        self.buckets = bool(buckets) if shuffle and self._lengths is not None else None
        self.batch_size, self.least = whole_number("batch_size", batch_size), least
        if self.batch_size < least:
            raise ConfigurationError(f"batch_size={batch_size}: {FEW.format(least)}")
        self.shuffle, self.rounded = shuffle, rounded
        if not is_integer(axis):
            raise ConfigurationError(f"axis={axis!r} is not an integer")
        self.axis = axis
        self.sizes = sizes
        self.where = where
        off = prefetch == 0 and not isinstance(prefetch, bool)
        self.prefetch = 0 if off else whole_number("prefetch", prefetch)
        self.examples: int | None = None
        self.batches: int | None = None if batches is None else whole_number("batches", batches)
        self._asked = self.batches
        self._rows: Any = None  # those of the arrays that there are; None for all
        self.replayable = not hasattr(data, "__next__")
        self._rng = seed_rng
        self._before = seed_rng.bit_generator.state
        self._order: Any = None
        self._row = 0  # the next row of the order; at its end, a new order is drawn
        self._drawn = 0  # batches so far, of data that are not arrays
        self._data = data
        if is_stream(data):
            self._set_stream_length()
        else:
            self._set_arrays()

    def _set_stream_length(self) -> None:
        known = length(self._data, self.where)
        if known == 0:
            raise DataError(f"{self.where} has no batches: its len() is 0")
        if callable(self._data):
            self.batches = self.batches or known or CALLABLE_BATCHES
        elif known is not None:
            self.batches = min(self.batches or known, known)

    def _set_arrays(self) -> None:
        self._places = locate(self.fields, self.where)
        arrays = load(self.fields, self._data, self.where, axis=self.axis)
        for i, field in enumerate(self.fields):
            if field.classes is not None and not is_lazy(field, arrays[i]):
                # Labels that the caller changes later would not be checked again.
                arrays[i] = arrays[i].copy()
        if self.sizes is not None:
            self.sizes([array.shape[1:] for array in arrays], self.where)
        self._data = None
        self._arrays = arrays
        self._late = [i for i, field in enumerate(self.fields) if is_lazy(field, arrays[i])]
        names = [field.name for field in self.fields]
        self._spread = [
            (i, names.index(field.weighs))
            for i, field in enumerate(self.fields)
            if field.weighs in names
            and arrays[i].shape[1:] != arrays[names.index(field.weighs)].shape[1:]
        ]
        self._set_sizes()

    def _set_sizes(self) -> None:
        arrays = self._arrays
        rows = int(arrays[0].shape[0]) if self._rows is None else len(self._rows)
        self.examples = self._row = rows
        if rows < self.least:
            raise DataError(f"{self.where} has {rows} example: {FEW.format(self.least)}")
        available = self._count(rows)
        self.batches = self.batches or available
        if not self.shuffle:
            self.batches = min(self.batches, available)
        spread = dict(self._spread)
        size = sum(
            row_bytes(field, arrays[spread.get(i, i)]) for i, field in enumerate(self.fields)
        )
        self._chunk = self.batch_size * max(1, int(CHUNK_BYTES // (size * self.batch_size)))
        # Of those that are read-only, batches are copies.
        plain = not any(is_sparse(array) or not array.flags.writeable for array in arrays)
        if plain and not (self.shuffle or self._late or self._spread or self._rows is not None):
            self._chunk = rows

    def ordered(self, batch_size: int) -> Dataset:
        """Get all of the same arrays in their order, in batches of another size."""
        other = copy.copy(self)
        other.shuffle, other.batches, other.least = False, None, 1
        other.batch_size = whole_number("batch_size", batch_size)
        other._set_sizes()
        return other

    def split(self, fraction: float, rng: np.random.Generator) -> tuple[Dataset, Dataset]:
        """Get two that have different rows of the same arrays: most of them, and a random part.

        Parameters
        ----------
        fraction : float
            The size of the part, between 0 and 1.
        rng : numpy.random.Generator
            Chooses the rows.

        Raises
        ------
        ConfigurationError
            If the fraction is not such a number, or the data are not arrays.
        DataError
            If one of the two would be empty.
        """
        fraction = number("validation_split", fraction, "inner")
        if self.examples is None:
            raise ConfigurationError(
                f"validation_split={fraction!r}: {self.where} are batches that come in, which "
                "cannot be split; expected arrays, or data to validate on"
            )
        held = round(fraction * self.examples)
        if not 0 < held < self.examples:
            raise DataError(
                f"validation_split={fraction!r} of {self.examples} examples leaves "
                f"{self.examples - held} to train on and {held} to validate on"
            )
        order = rng.permutation(self.examples)
        return self._of(order[held:]), self._of(order[:held])

    def _of(self, rows: Any) -> Dataset:
        other = copy.copy(self)
        other._rows, other.batches = np.sort(rows), self._asked
        other._set_sizes()
        return other

    def fingerprint(self) -> dict[str, str] | None:
        """Get what tells the arrays from others, by name; None for other data."""
        if self.examples is None:
            return None
        each = zip(self.fields, self._arrays, self._places, strict=True)
        return {field.name: fingerprint(field, array, place) for field, array, place in each}

    def __len__(self) -> int:
        if self.batches is None:
            raise TypeError(f"{self.where}: the number of batches per epoch is not known")
        return self.batches

    def __bool__(self) -> bool:
        return True

    def epoch(self, most: float = math.inf) -> Generator[Batch, None, None]:
        """Draw the batches of one epoch.

        Parameters
        ----------
        most : int, optional
            How many will be used: no more are prepared ahead. Close the
            generator if it is left early.

        Yields
        ------
        (tuple of ndarray, int)
            C-contiguous, writeable arrays in the order of the fields, three
            vectors for one that is sparse (see `theanets.ops.sparse`), and the
            number of examples in them. Without shuffling they may be views of the
            caller's arrays.
        """
        if self.examples is None:
            batches = self._streamed()
        else:
            batches = self._shuffled() if self.shuffle else self._ordered()
        return prefetched(batches, self.prefetch, most) if self.prefetch else batches

    def _shuffled(self) -> Generator[Batch, None, None]:
        assert self.examples is not None and self.batches is not None
        left = self.batches
        while left:
            if self._row >= self.examples:
                self._draw()
            start, stop = self._row, self._end(self._row + left * self.batch_size, self.examples)
            left -= self._count(stop - start)
            # Now, so that an epoch that is left early does not come back.
            self._row, order = stop, self._order
            for first, last in self._chunks(start, stop):
                yield from self._cut(order[first:last])

    def _ordered(self) -> Generator[Batch, None, None]:
        assert self.examples is not None and self.batches is not None
        stop = self._end(self.batches * self.batch_size, self.examples)
        for first, last in self._chunks(0, stop):
            rows = slice(first, last)
            yield from self._cut(rows if self._rows is None else self._rows[rows])

    def _count(self, rows: int) -> int:
        """Get the number of batches of some rows."""
        whole, rest = divmod(rows, self.batch_size)
        return whole + (rest >= self.least)

    def _end(self, row: int, stop: int) -> int:
        """Get where to cut: at a row, unless it leaves too few before the stop."""
        return stop if stop - row < self.least else row

    def _chunks(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Generate the ranges of rows that are gathered at once."""
        while start < stop:
            last = self._end(start + self._chunk, stop)
            yield start, last
            start = last

    def _draw(self) -> None:
        assert self.examples is not None
        self._before = self._rng.bit_generator.state
        rows = slice(None) if self._rows is None else self._rows
        if self.buckets:
            order = similar(self._lengths[rows], self.batch_size, self._rng)
        else:
            order = self._rng.permutation(self.examples)
        self._order = order if self._rows is None else self._rows[order]
        self._row = 0

    def _cut(self, rows: Any) -> Iterator[Batch]:
        """Gather rows, and cut them into batches."""
        parts = [
            take(field, array, rows, place)
            for field, array, place in zip(self.fields, self._arrays, self._places, strict=True)
        ]
        if self._late:
            parts = refuse_not_finite(self.fields, parts, self._places, rows, self._late)
        for i, j in self._spread:
            parts[i] = np.ascontiguousarray(np.broadcast_to(parts[i], parts[j].shape))
        lengths = None if self._lengths is None else self._lengths[rows]
        size = self.batch_size
        rows = parts[0].shape[0]
        # If too few are left for the last batch, it has those of the one before too.
        whole = self._count(rows) - (rows % size != 0)
        rest = rows - whole * size
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
        return found if lengths is None else self._trimmed(found, lengths)

    def _trimmed(self, batches: Iterator[Batch], lengths: Any) -> Iterator[Batch]:
        """Cut off the steps at the end that no series of a batch has."""
        for i, (arrays, count) in enumerate(batches):
            first = i * self.batch_size
            steps = max(1, int(lengths[first : first + count].max()))
            if self.rounded:
                steps = max(ROUNDED_STEPS, 1 << (steps - 1).bit_length())
            cut = list(arrays)
            for j in self._timed:
                cut[j] = np.ascontiguousarray(arrays[j][:, :steps])
            yield tuple(cut), count

    def _streamed(self) -> Generator[Batch, None, None]:
        drawn = 0
        # Unless a thread draws ahead, a batch is used before the next one comes in.
        intake = Intake(self.fields, self.axis, own=self.prefetch > 0)
        source = calls(self._data) if callable(self._data) else self._data
        for item in islice(source, self.batches):
            drawn += 1
            self._drawn += 1
            batch = intake(item, self.where, self._drawn)
            if batch[1] < self.least:
                raise DataError(
                    f"{self.where}, batch {self._drawn} has {batch[1]} example: "
                    f"{FEW.format(self.least)}; leave it out, or join it to another"
                )
            if self.sizes is not None:
                self.sizes(example_shapes(self.fields, batch[0]), f"{self.where}, batch {drawn}")
            yield batch
        if drawn:
            return
        if self.replayable and not (callable(self._data) and self._drawn):
            raise DataError(f"{self.where} gave no batch")
        kind = ExhaustedError if self._drawn else DataError
        raise kind(
            f"{self.where} is exhausted: the iterator ended after {self._drawn} batches; "
            "give arrays, a callable or an iterable that can start anew, or ask for fewer "
            "epochs"
        )

    def state(self) -> dict[str, Any]:
        """Get the position at the end of an epoch, as what JSON can hold.

        Of data that are not arrays, the position is up to the caller.
        """
        between = self.examples is None or self._row >= self.examples
        generator = self._rng.bit_generator.state if between else self._before
        return {"generator": _plain(generator), "row": 0 if between else self._row}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a position that `state` returned.

        Raises
        ------
        DataError
            If the position does not belong to such data.
        """
        try:
            row = operator.index(state["row"])
            self._rng.bit_generator.state = state["generator"]
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{self.where}: cannot continue from this position: {error}") from error
        if self.examples is None:
            return
        if not 0 <= row < self.examples:
            raise DataError(
                f"{self.where}: cannot continue at row {row}: there are {self.examples} examples"
            )
        self._row = self.examples
        if row:
            self._draw()
            self._row = row


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


def chunks(n: int, batch_size: int | None = None) -> Iterator[slice]:
    """Cut rows into consecutive batches.

    Parameters
    ----------
    n : int
        Number of rows.
    batch_size : int, optional
        Rows per batch, the last may have fewer; by default all are one batch.

    Returns
    -------
    iterator of slice
    """
    size = max(n, 1) if batch_size is None else whole_number("batch_size", batch_size)
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
