"""Engines of training together: each process does its share, and all make the same of the sum."""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import checkpoint
from .. import rng as _rng
from ..training.engines import Epoch, GradientEngine, LBFGSEngine, by_update
from ..training.evaluation import Evaluation
from ..training.pacing import FLUSH, Pacing
from .compiled import Share
from .exchange import Exchange
from .sampling import Part, Shards

Array = npt.NDArray[Any]

#: What rank 0 tells by the first flag: that the epoch ends before this batch, or the run.
END, INTERRUPT = 1, 2


def merged(evaluation: Evaluation, totals: Array, exchange: Exchange) -> dict[str, float]:
    """Get monitors of sums and counts over all processes, and of the metrics of each.

    All processes have to call it. It leaves the metrics as they are.
    """
    found = copy.copy(evaluation)
    if found.measures:
        file = io.BytesIO()
        checkpoint.write(file, found.measures.state(), {})
        everyone = exchange.gather(file.getvalue())
        found.measures = found.measures.anew()
        for data in everyone:
            arrays, _ = checkpoint.read(io.BytesIO(data))
            found.measures.merge(arrays)
    return found.summary(totals)


class GroupEngine(GradientEngine):
    """One update of the parameters for each batch, of which each process has a part.

    Parameters
    ----------
    share : Share
        The compiled update, in two.
    optimizer : FirstOrder
        Hyper-parameters and schedule.
    shards : Shards
        What is trained on.
    seed : int
        Seed of noise: each shard has its own at the start of each epoch.
    """

    step: Any
    data: Any

    def __init__(self, share: Share, optimizer: Any, shards: Shards, seed: int) -> None:
        self.exchange, self._seed = shards.exchange, seed
        super().__init__(share, optimizer, shards, seed)  # type: ignore[arg-type]

    def _start(self, seed: int) -> None:
        """Find the mean counts."""
        self._generators: dict[int, dict[str, Any]] = {}
        step: Share = self.step

        def measured(batch: tuple[Any, ...]) -> Array:
            pairs = step.split(_vector(step.function(*batch))).astype(float)[1::2]
            return pairs[: step.num_losses + step.num_penalties]

        step.counts.find(self.data, measured)

    def epoch(self, epoch: int, update: int, limit: float, pacing: Pacing | None) -> Epoch:
        """Update once for each batch."""
        step: Share = self.step
        schedule, exchange = self.optimizer.schedule, self.exchange
        each = by_update(schedule)
        if not each:
            self._set_rate(schedule.factor(update, epoch))
        step.start()
        self._reseed(update)
        looks = pacing if exchange.first else None
        totals = np.zeros(2 * len(step.names))
        start, looked, finite, flag = update, update, True, 0
        batches = self.data.parts(limit - update)
        told = False
        try:
            for _ in range(int(min(self.data.batches, limit - update))):
                if each:
                    self._set_rate(schedule.factor(update, epoch))
                vector = self._sum(batches, flag)
                if vector[0]:
                    # Those that had not heard of it have done this for nothing.
                    exchange.interrupted |= bool(vector[0] >= INTERRUPT)
                    break
                further = step.apply(vector)
                totals[: step.num_terms] += step.split(vector)
                totals[step.num_terms :] += further
                update += 1
                if (update - start) % FLUSH == 0:
                    finite = self._finite(totals)
                    if not finite:
                        break
                if looks is not None and update - looked >= looks.size:
                    looked = update
                    flag = END if looks(update) else 0
            finite = self._finite(totals)
            monitors = merged(step, totals, exchange)
            told = True
        finally:
            batches.close()
            if not told:  # an exception: what the others have is not known any more
                finite, monitors = self._finite(totals), step.summary(totals)
            self.partial = Epoch(update - start, monitors, finite)
        return self.partial

    def _sum(self, batches: Iterator[Part], flag: int) -> Array:
        """Get the sum of the vectors of all processes for the next batch."""
        step, exchange = self.step, self.exchange
        error: BaseException | None = None
        vector = None
        if exchange.first and exchange.interrupted:
            flag = INTERRUPT
        try:
            exchange.check()
            if not flag:
                part = next(batches)
                rows = step.counts.rows
                rows.container.storage[0] = np.asarray(part.rows, rows.dtype)
                vector = self._own(part)
        except BaseException as caught:
            error = caught
        if vector is None:
            vector = np.zeros(step.size, step.counts.rows.dtype)
        vector[0], vector[1] = flag, error is not None
        found = exchange.sum(vector)
        if found[1]:
            exchange.fail(error)
        return found

    def _own(self, part: Part) -> Array | None:
        """Get the sum of the vectors of the shards of this process."""
        step, found = self.step, None
        for number, batch in part.own:
            generators = self._generators.get(number, {})
            for name, generator in generators.items():
                step.generators[name].set_value(generator, borrow=True)
            vector = step.vector(batch)
            for name in generators:
                generators[name] = step.generators[name].get_value(borrow=True)
            if found is None:
                found = vector
            else:
                found += vector
        return found

    def _reseed(self, update: int) -> None:
        """Give each shard noise of its own, that depends on how many updates there were."""
        self._generators = {
            number: {
                name: _rng.generator(self._seed, "noise", name, number, update)
                for name in self.step.generators
            }
            for number in self.data.own
        }

    def generators(self) -> dict[str, Any]:
        """Get nothing: all begin anew with each epoch."""
        return {}


def _vector(results: Any) -> Array:
    return np.asarray(results[0] if isinstance(results, (list, tuple)) else results)


class GroupLBFGS(LBFGSEngine):
    """One iteration of L-BFGS on the data of all processes for each epoch.

    Each runs the same iterations, on the same sums.
    """

    data: Any

    def _total(self) -> tuple[Array, Array]:
        totals, gradient = 2 * len(self.evaluation.names), sum(map(math.prod, self._shapes))
        found = self.data.exchange.total(
            totals + gradient, lambda: np.concatenate(super(GroupLBFGS, self)._total())
        )
        return found[:totals], found[totals:]

    def _total_counts(self) -> Array:
        size = 2 * len(self.evaluation.names)
        found: Array = self.data.exchange.total(
            size, lambda: super(GroupLBFGS, self)._total_counts()
        )
        return found

    def epoch(self, epoch: int, update: int, limit: float, pacing: Pacing | None) -> Epoch:
        """Run one iteration."""
        return super().epoch(epoch, update, limit, pacing if self.data.exchange.first else None)
