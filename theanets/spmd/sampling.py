"""Shards: the parts of data that several processes have, and their way through them together."""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import rng as _rng
from ..data import Dataset
from ..data.intake import Batch
from ..data.prefetch import prefetched
from ..data.series import similar
from ..errors import DataError, is_integer
from ..options import whole_number
from .exchange import Exchange

Array = npt.NDArray[Any]

#: Examples whose order over all shards is found at once.
BLOCK = 2**20


class Part(NamedTuple):
    """What a process has of a batch.

    Attributes
    ----------
    rows : int
        Examples of the whole batch, in all processes.
    own : list of (int, tuple of ndarray)
        The number of a shard and its arrays, for each of its own that has any.
    """

    rows: int
    own: list[tuple[int, tuple[Any, ...]]]


def cuts(sizes: Sequence[int], batch_size: int, own: Sequence[int]) -> Array:
    """Find where shards are cut so that all end together, in batches that are all full.

    The k-th example of a shard of n has its turn at (k + 1/2) / n; in that order, a batch
    after the other is filled. So each has of each shard a share that fits, to one example.

    Parameters
    ----------
    sizes : sequence of int
        Examples of all shards.
    batch_size : int
        Examples of a batch. The last has what is left.
    own : sequence of int
        The shards that are asked for.

    Returns
    -------
    ndarray of int
        For each batch, and the end, how many of each of these shards come before.
    """
    several, total = np.asarray(sizes), sum(sizes)
    found = np.zeros((-(-total // batch_size) + 1, len(own)), np.int64)
    blocks = max(1, total // BLOCK)
    before, place = np.zeros_like(several), 0
    for block in range(1, blocks + 1):
        # Those whose turn is before this part of the whole.
        until = (2 * several * block + blocks - 1) // (2 * blocks)
        turns = [(np.arange(a, b) + 0.5) / n for a, b, n in zip(before, until, sizes, strict=True)]
        shard = np.repeat(np.arange(len(several)), until - before)
        shard = shard[np.argsort(np.concatenate(turns), kind="stable")]
        batch = (place + np.arange(len(shard))) // batch_size
        if not len(batch):
            continue
        for j, number in enumerate(own):
            counts = np.bincount(batch[shard == number] - batch[0])
            found[batch[0] + 1 : batch[0] + 1 + len(counts), j] += counts
        before, place = until, place + len(shard)
    return np.cumsum(found, axis=0)


class Shards:
    """The shards of a process, and what is known of those of the others.

    What comes of training depends on them, and not on which process has which.

    Parameters
    ----------
    own : dict of int to Dataset
        Its own shards, by their numbers.
    exchange : Exchange
        With the other processes.
    batch_size : int
        Examples in a batch, over all.
    batches : int, optional
        Batches in an epoch; by default all of the data. An epoch goes on where the one before
        has ended.
    seed : int
        Seed of the order.
    buckets : bool
        Whether parts of batches are of series of similar length, where data are series.
    prefetch : int
        How many parts of batches a thread prepares ahead.
    where : str
        What the data are in messages.

    Attributes
    ----------
    sizes : list of int
        Examples of all shards.
    examples : int
        Of all together.

    Raises
    ------
    DataError
        If the numbers of the shards of all processes are not 0, 1, 2, ...
    """

    replayable = True

    def __init__(
        self,
        own: Mapping[int, Dataset],
        exchange: Exchange,
        *,
        batch_size: int,
        batches: int | None = None,
        seed: int = 0,
        buckets: bool = True,
        prefetch: int = 0,
        where: str = "train data",
    ) -> None:
        self.own, self.exchange, self.where = dict(sorted(own.items())), exchange, where
        self.sizes = self._sizes()
        self.examples = sum(self.sizes)
        self.batch_size = whole_number("batch_size", batch_size)
        self._each = math.ceil(self.examples / self.batch_size)
        self.batches = self._each if batches is None else whole_number("batches", batches)
        series = any(data.lengths is not None for data in self.own.values())
        self.buckets = bool(buckets) if series else None
        self.prefetch = prefetch
        self._seed = seed
        self._cuts: Any = None
        self._orders: dict[int, Array] = {}
        self._pass, self._batch = -1, self._each
        self._values: dict[str, Any] = {}

    def _sizes(self) -> list[int]:
        numbers = list(self.own)
        many = int(self.exchange.total(1, lambda: [len(numbers)])[0])

        def known() -> Array:
            found = np.zeros((2, many))
            for number, data in self.own.items():
                if not is_integer(number, 0) or number >= many:
                    raise DataError(
                        f"{self.where}: a shard has the number {number!r}, but there are {many} "
                        f"in all processes, so that they are 0 to {many - 1}"
                    )
                assert data.examples is not None
                found[:, number] = 1, data.examples
            return found.ravel()

        times, sizes = self.exchange.total(2 * many, known).reshape(2, many).astype(int)

        def check() -> None:
            if (times != 1).any():
                number = int(np.argmax(times != 1))
                raise DataError(
                    f"{self.where}: {times[number]} processes have the shard {number}; expected one"
                )

        self.exchange.agree(check)
        return list(map(int, sizes))

    # ---- training --------------------------------------------------------------------

    def parts(self, most: float = math.inf) -> Generator[Part, None, None]:
        """Get what this process has of each batch of an epoch, of so many at most."""
        found = self._drawn()
        return prefetched(found, self.prefetch, most) if self.prefetch else found

    def _drawn(self) -> Generator[Part, None, None]:
        left = self.batches
        while left:
            if self._batch >= self._each:
                self._pass, self._batch, self._orders = self._pass + 1, 0, {}
            orders = self._orders = self._orders or self._draw(self._pass)
            first, last = self._batch, min(self._batch + left, self._each)
            # Now, so that an epoch that is left early does not come back.
            self._batch, left = last, left - (last - first)
            for batch in range(first, last):
                yield self._part(batch, orders)

    def _part(self, batch: int, orders: Mapping[int, Array]) -> Part:
        size = self.batch_size
        starts, ends = self._cuts[batch], self._cuts[batch + 1]
        own = [
            (number, data.take(orders[number][start:end])[0])
            for (number, data), start, end in zip(self.own.items(), starts, ends, strict=True)
            if end > start
        ]
        return Part(min(size, self.examples - batch * size), own)

    def _draw(self, number: int) -> dict[int, Array]:
        """Get the orders of a pass through all data."""
        if self._cuts is None:
            self._cuts = cuts(self.sizes, self.batch_size, list(self.own))
        found = {}
        for shard, data in self.own.items():
            generator = _rng.generator(self._seed, "shuffle", shard, number)
            examples = self.sizes[shard]
            if self.buckets and data.lengths is not None:
                share = max(1, round(self.batch_size * examples / self.examples))
                found[shard] = similar(data.lengths, share, generator)
            else:
                found[shard] = generator.permutation(examples)
        return found

    def state(self) -> dict[str, int]:
        """Get the position at the end of an epoch, as what JSON can hold."""
        return {"pass": self._pass, "batch": self._batch}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a position that `state` returned.

        Raises
        ------
        DataError
            If the position does not belong to such data.
        """
        number, batch = state.get("pass"), state.get("batch")
        valid = is_integer(number, -1) and is_integer(batch, 0)
        if not valid or int(batch) > self._each:  # type: ignore[arg-type]
            raise DataError(f"{self.where}: cannot continue from this position: {state!r:.100}")
        self._pass, self._batch, self._orders = int(number), int(batch), {}  # type: ignore[arg-type]

    # ---- all of it -------------------------------------------------------------------

    def ordered(self, batch_size: int) -> Shards:
        """Get itself: its `epoch` is in order."""
        return self

    def epoch(self) -> Iterator[Batch]:
        """Get all batches of this process, in order."""
        for data in self.own.values():
            with closing(data.epoch()) as batches:
                yield from batches

    def identify(self) -> None:
        """Find out, in all processes, what tells the arrays from others; it reads all data."""
        own = self.exchange.agree(lambda: {i: data.fingerprint() for i, data in self.own.items()})
        self._values = _joined(self.exchange, own)

    def fingerprint(self) -> dict[str, Any]:
        """Get what `identify` has found, by the names of the arrays: that of each shard."""
        return self._values


def _joined(exchange: Exchange, own: Mapping[int, Any]) -> dict[str, Any]:
    """Join descriptions of shards by name: each then has those of all shards, in order."""
    every: dict[int, Any] = {}
    for text in exchange.gather(json.dumps(list(own.items())).encode()):
        every.update(json.loads(text))
    names: dict[str, Any] = next(iter(every.values()), {})
    return {name: [every[number][name] for number in sorted(every)] for name in names}
