"""Runs of training together: what one process decides, and all do."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Any

import numpy as np

from ..callbacks import Callback, Callbacks
from ..data import Dataset
from ..errors import GroupError
from ..training import Run, resume
from ..training.resume import Checkpoint
from ..training.standing import Monitors
from .engines import merged
from .exchange import Exchange


class _Guarded(Callbacks):
    """Callbacks of rank 0 whose exceptions are kept until all can be told."""

    def __init__(self, callbacks: Iterable[Callback], exchange: Exchange) -> None:
        super().__init__(callbacks)
        self._exchange = exchange

    def _guard(self, call: Callable[[Run], None], run: Run) -> None:
        try:
            call(run)
        except KeyboardInterrupt:
            self._exchange.interrupted = True
        except BaseException as error:
            self._exchange.later(error)
            run.stop("error")

    def prepare(self, run: Run) -> None:
        self._guard(super().prepare, run)

    def start(self, run: Run) -> None:
        self._guard(super().start, run)

    def batch(self, run: Run) -> None:
        self._guard(super().batch, run)

    def epoch(self, run: Run) -> None:
        self._guard(super().epoch, run)

    def end(self, run: Run) -> None:
        self._guard(super().end, run)


class GroupCheckpoint(Checkpoint):
    """The file of a run of several processes, which rank 0 writes, and reads for all."""

    def __init__(self, exchange: Exchange, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._exchange = exchange

    def begin(self, run: Run) -> bool:
        """Put the run of each process where the file of rank 0 is; tell whether there is one."""
        exchange = self._exchange

        def read() -> bytes:
            if not super(GroupCheckpoint, self).begin(run):
                return b""
            file = io.BytesIO()
            resume.save(run, file, self.identity)
            return file.getvalue()

        data = exchange.decide(read)
        if data and not exchange.first:
            exchange.agree(lambda: resume.restore(run, io.BytesIO(data), self.identity))
            if self.seed is not None:
                run.network.reseed(self.seed)
        elif data:
            exchange.agree(lambda: None)
        return bool(data)

    def save(self, run: Run) -> None:
        """Write the file, in rank 0."""
        if self._exchange.first:
            try:
                super().save(run)
            except Exception as error:
                self._exchange.later(error)

    def end(self) -> None:
        """Let other runs use the file."""
        if self._exchange.first:
            super().end()


class GroupRun(Run):
    """A run of several processes, each of which has one like it.

    Rank 0 alone has callbacks, looks at the clock and writes files; whether to stop is what it
    says. All else is computed by all, from the same sums.

    Parameters
    ----------
    *arguments, **keywords
        Those of `Run`.
    exchange : Exchange
        With the other processes.
    """

    def __init__(
        self,
        *arguments: Any,
        exchange: Exchange,
        callbacks: Iterable[Callback] = (),
        **keywords: Any,
    ) -> None:
        called = list(callbacks)
        super().__init__(*arguments, callbacks=called, **keywords)
        self.exchange = exchange
        self._callbacks = _Guarded(called, exchange)

    def _over(self, patient: bool = False) -> bool:
        failures = 0 if patient or self.averages.waits else self.best.failures

        def said() -> bytes:
            reason = self.limits.reached(self.epoch, self.updates, failures, self.seconds)
            if reason is not None:
                self.stop(reason)
            return json.dumps([self.stop_reason, self.exchange.interrupted]).encode()

        self.stop_reason, interrupted = json.loads(self.exchange.decide(said))
        if interrupted:
            self.exchange.interrupted = False
            self.stop_reason = None
            raise KeyboardInterrupt
        return self.stop_reason is not None

    def _evaluate(self, data: Dataset | None) -> Monitors | None:
        if data is None:
            return None
        evaluation = self._evaluation.anew()

        def compute() -> Any:
            with closing(evaluation.results(data)) as results:
                found = evaluation.added(results)
            number = self._number()
            return [number, number**2, *found]

        many, squares, *_ = totals = self.exchange.total(2 + 2 * len(evaluation.names), compute)
        # A mean square is the square of the mean where all are alike only.
        if squares * self.exchange.group.size != many**2:
            self.exchange.leave(
                GroupError(
                    "the networks of the processes do not have the same parameters any more: "
                    "callbacks, which rank 0 alone calls, must not change them"
                )
            )
        return self.criterion.clean(merged(evaluation, totals[2:], self.exchange))

    def _number(self) -> int:
        """Get a number, below 2**16, that is another one for other parameters."""
        found = 0
        for value in self._values():
            found = zlib.crc32(np.ascontiguousarray(value).data, found)
        return found & 0xFFFF

    def _settle(self) -> None:
        # Where the group has failed nobody validates any more; the best are restored all the same.
        if self.stop_reason != "error" and self.exchange.sound:
            super()._settle()
            return
        if self._in_epoch:
            self._count(self.engine.partial)
        if self.epoch > len(self.history):
            self._record()

    def finish(self) -> None:
        """Restore the best parameters, and say why the run ended; once."""
        done = self._finished
        super().finish()
        if done or self.stop_reason == "error" or not self.exchange.sound:
            return
        # What went wrong at the very end is told to all too.
        self.exchange.decide(bytes)
