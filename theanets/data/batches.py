"""Mini-batches: arrays, callables and iterables of batches, as validated arrays in order.

Values are checked once, when they come in; drawing a batch then costs little
more than taking a slice, since rows are gathered for several batches at once.
"""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Callable, Generator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from ..errors import ConfigurationError, DataError, ExhaustedError, is_integer
from ..options import number, whole_number
from ..rng import in_json
from .fields import Field
from .intake import Batch, Intake, calls, comes_in_batches, example_shapes, length
from .prefetch import prefetched
from .series import Padded, similar
from .whole import Arrays, Cutting, Resident, Rows

#: Rows are gathered in chunks of about this size, which the caches still hold.
CHUNK_BYTES = 2**21

#: Batches in an epoch of a callable that does not say how many it has.
CALLABLE_BATCHES = 100

#: Why a batch may have too few examples.
FEW = (
    "the network has a layer, such as batch_norm, that in training normalizes over the examples of "
    "a batch, so there must be at least {}"
)


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
        How many batches a thread prepares ahead. The batches are the same, copied if they came
        in from a callable or an iterable. The data are then read in that thread, a new one for
        each epoch; and where one is left early, so many more may have been drawn from an iterator.
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
    watch : callable or None
        Is given the arrays of each batch that comes in, and what it is called in messages.

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
        series = isinstance(data, Padded) and data.lengths is not None
        self.buckets = bool(buckets) if shuffle and series else None
        self.batch_size, self.least = whole_number("batch_size", batch_size), least
        if self.batch_size < least:
            raise ConfigurationError(f"batch_size={batch_size}: {FEW.format(least)}")
        self.shuffle, self.rounded = shuffle, rounded
        if not is_integer(axis):
            raise ConfigurationError(f"axis={axis!r} is not an integer")
        self.axis = axis
        self.sizes = sizes
        self.watch: Callable[[Sequence[Any], str], None] | None = None
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
        if comes_in_batches(data):
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
        self._arrays = Arrays(self.fields, self._data, self.where, self.axis, self.rounded)
        if self.sizes is not None:
            self.sizes(self._arrays.shapes, self.where)
        self._data = None
        self._set_sizes()

    def _set_sizes(self) -> None:
        arrays = self._arrays
        rows = arrays.rows if self._rows is None else len(self._rows)
        self.examples = self._row = rows
        if rows < self.least:
            raise DataError(f"{self.where} has {rows} example: {FEW.format(self.least)}")
        self._cutting = Cutting(self.batch_size, self.least)
        available = self._cutting.count(rows)
        self.batches = self.batches or available
        if not self.shuffle:
            self.batches = min(self.batches, available)
        size = arrays.row_bytes * self.batch_size
        self._chunk = self.batch_size * max(1, int(CHUNK_BYTES // size))
        if arrays.plain and not self.shuffle and self._rows is None:
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

    def row(self, position: int) -> int:
        """Get the row of the arrays of an example, by its position in their order."""
        return position if self._rows is None else int(self._rows[position])

    def take(self, positions: Any) -> Batch:
        """Get the batch of some examples of arrays, by an array of their positions."""
        rows = positions if self._rows is None else self._rows[positions]
        return next(self._arrays.cut(rows, Cutting(len(rows), 1)))

    @property
    def lengths(self) -> Any:
        """The steps of each example, where arrays are series; else None."""
        found = self._arrays.lengths
        return found if found is None or self._rows is None else found[self._rows]

    def fingerprint(self) -> dict[str, str] | None:
        """Get what tells the arrays from others, by name; None for other data."""
        if self.examples is None:
            return None
        return self._arrays.fingerprint()

    def __len__(self) -> int:
        if self.batches is None:
            raise TypeError(f"{self.where}: the number of batches per epoch is not known")
        return self.batches

    def __bool__(self) -> bool:
        return True

    def epoch(
        self, most: float = math.inf, ahead: Callable[[Any], Any] | None = None
    ) -> Generator[Batch, None, None]:
        """Draw the batches of one epoch.

        Parameters
        ----------
        most : int, optional
            How many will be used: no more are prepared ahead. Close the generator to leave early.
        ahead : callable, optional
            What the thread that prepares batches ahead does with the arrays of each, see
            `theanets.backends.ahead`.

        Yields
        ------
        (tuple of ndarray, int)
            C-contiguous, writeable arrays in the order of the fields, three
            vectors for one that is sparse (see `theanets.ops.sparse`), and the
            number of examples in them. Without shuffling they may be views of the
            caller's arrays.
        """
        batches = self._streamed() if self.examples is None else self._gathered()
        return prefetched(batches, self.prefetch, most, ahead) if self.prefetch else batches

    @property
    def resident(self) -> Resident | None:
        """The arrays, where all are there to be held on a device."""
        return None if self.examples is None else self._arrays.resident

    def rows(self) -> Generator[Rows, None, None]:
        """Draw the rows of the arrays that the batches of one epoch have, instead of these."""
        for rows in self._chunks():
            yield from self._arrays.divide(rows, self._cutting)

    def batch(self, rows: Any) -> Batch:
        """Get the batch of some rows."""
        return next(self._arrays.cut(rows, Cutting(len(rows), 1)))

    def _gathered(self) -> Generator[Batch, None, None]:
        for rows in self._chunks():
            yield from self._arrays.cut(rows, self._cutting)

    def _chunks(self) -> Generator[Any, None, None]:
        return self._shuffled() if self.shuffle else self._ordered()

    def _shuffled(self) -> Generator[Any, None, None]:
        assert self.examples is not None and self.batches is not None
        left, cutting = self.batches, self._cutting
        while left:
            if self._row >= self.examples:
                self._draw()
            start, stop = self._row, cutting.end(self._row + left * self.batch_size, self.examples)
            left -= cutting.count(stop - start)
            # Now, so that an epoch that is left early does not come back.
            self._row, order = stop, self._order
            for first, last in cutting.chunks(start, stop, self._chunk):
                yield order[first:last]

    def _ordered(self) -> Generator[Any, None, None]:
        assert self.examples is not None and self.batches is not None
        cutting = self._cutting
        stop = cutting.end(self.batches * self.batch_size, self.examples)
        for first, last in cutting.chunks(0, stop, self._chunk):
            rows = slice(first, last)
            yield rows if self._rows is None else self._rows[rows]

    def _draw(self) -> None:
        assert self.examples is not None
        self._before = self._rng.bit_generator.state
        rows = slice(None) if self._rows is None else self._rows
        if self.buckets:
            order = similar(self._arrays.lengths[rows], self.batch_size, self._rng)
        else:
            order = self._rng.permutation(self.examples)
        self._order = order if self._rows is None else self._rows[order]
        self._row = 0

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
            if self.watch is not None:
                self.watch(batch[0], f"{self.where}, batch {self._drawn}")
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
        return {"generator": in_json(generator), "row": 0 if between else self._row}

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
