"""The loop of training: epochs, validation, early stopping, checkpoints, callbacks."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

from .. import callbacks as _callbacks
from .. import process
from ..data import Dataset
from ..data.finite import all_finite
from ..errors import ConfigurationError, ExhaustedError, interrupted, whole_number
from ..history import History
from ..locks import LockFile
from . import resume
from .compiled import Evaluation
from .criterion import LOSS, Criterion
from .engines import Engine, Epoch
from .limits import Limits
from .pacing import Pacing
from .task import Datasets

log = logging.getLogger("theanets")

Monitors = dict[str, float]


class Run:
    """One run of training; what callbacks get.

    Attributes
    ----------
    epoch, updates : int
        Epochs and updates that are done.
    seconds : float
        Time since the start, that of an interrupted run before included.
    train, valid : dict
        The last monitors; `train` is empty before the first epoch, `valid`
        before the first validation.
    criterion : Criterion
        Which monitor decides what is best.
    best_value, best_loss, best_epoch
        That monitor and the loss in the best validation so far, and when it
        was.
    best_values : list of ndarray
        Values of the parameters then.
    learning_rate : float
        The current one.
    stop_reason : str or None
        Why the run ended or is about to end; see `History`.
    history : History
        One row for each epoch.
    network : Any
        The network that trains.
    limits : Limits
        When the run will stop.
    alone : callable
        Calls a function while nobody else trains the network.
    batches : int or None
        Updates in an epoch, if known.
    cut : bool
        Whether the last epoch ended before all its batches.
    """

    def __init__(
        self,
        engine: Engine,
        params: Sequence[Any],
        limits: Limits,
        *,
        evaluation: Evaluation,
        data: Datasets,
        callbacks: Sequence[_callbacks.Callback] = (),
        network: Any = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int | None = None,
        identity: Any = None,
        seed: int | None = None,
        criterion: Criterion = LOSS,
        initial: bool = True,
    ) -> None:
        every = 1 if checkpoint_every is None else checkpoint_every
        self._checkpoint_every = whole_number("checkpoint_every", every)
        if checkpoint is not None and not engine.resumable:
            raise ConfigurationError("l-bfgs cannot continue from a checkpoint; leave it out")
        self.engine = engine
        self.params = list(params)
        self.limits = limits
        self.network = network
        self.criterion = criterion
        self.alone: Callable[[Callable[[], Any]], Any] = lambda do: do()
        self.history = History()
        self.epoch = 0
        self.updates = 0
        self.train: Monitors = {}
        self.valid: Monitors = {}
        self.best_loss = math.inf
        self.best_epoch = 0
        self.best_values = self._values()
        self._finite = [all_finite(value) for value in self.best_values]
        self.batches = data.train.batches
        self.stop_reason: str | None = None
        self.identity = identity
        self._adopted = seed
        self.resumed_seconds = 0.0
        self._best_train: Monitors = {}
        self._best_valid: Monitors = {}
        self._evaluation = evaluation
        self._data = data
        self._initial = initial
        self._callbacks = list(callbacks)
        self._by_batch = [c for c in self._callbacks if _callbacks.overrides(c, "batch")]
        self._pacing = Pacing(self._look, any(c.each_batch for c in self._by_batch))
        self._started_callbacks: list[_callbacks.Callback] = []
        self._best = self._last_success = math.inf
        self._failures = 0
        self._validated = self._saved = -1
        self.cut = self._skips = False
        self._checkpoint = None if checkpoint is None else Path(checkpoint)
        self._started = time.perf_counter()
        self._in_epoch = False
        self._finished = False
        self._lock: LockFile | None = None

    @property
    def seconds(self) -> float:
        """Time since the start of the run."""
        return self.resumed_seconds + time.perf_counter() - self._started

    @property
    def best_value(self) -> float:
        """The criterion in the best validation so far."""
        return self.criterion.shown(self._best)

    @property
    def evaluations(self) -> list[Evaluation]:
        """What the run has compiled: its validation, and its step if there is one."""
        return [self._evaluation, *filter(None, [getattr(self.engine, "step", None)])]

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics that were asked for."""
        return list(self._evaluation.measures.directions)

    @property
    def directions(self) -> dict[str, str | None]:
        """Which is better of each monitor, ``'min'`` or ``'max'``; None where that is not known."""
        return {**self._evaluation.directions, "objective": "min"}

    @property
    def learning_rate(self) -> float:
        """The current learning rate."""
        return self.engine.rate

    def stop(self, reason: str = "callback") -> None:
        """End the run after the current batch or epoch.

        A run that a callback stopped goes on if it is called again with its
        checkpoint.
        """
        self.stop_reason = self.stop_reason or str(reason)

    # ---- the loop ----------------------------------------------------------------

    def iterate(self) -> Generator[tuple[Monitors, Monitors], None, None]:
        """Train, and yield the monitors of training and validation after each epoch.

        However it ends, the parameters are then the best that were validated.
        """
        self._started = time.perf_counter()
        try:
            self.alone(self._begin)
            while not self._over():
                if self.alone(self._one_epoch):
                    yield self.train, self.valid
        except (KeyboardInterrupt, SystemError) as error:
            self.stop_reason = "interrupted" if interrupted(error) else "error"
            if self.stop_reason == "error":
                raise
        except GeneratorExit:
            self.stop_reason = "closed"
            raise
        except BaseException:
            self.stop_reason = "error"
            raise
        finally:
            self.finish()

    def _begin(self) -> None:
        if not all(evaluation.used for evaluation in self.evaluations):
            log.info(
                "compiling, or reading from the cache, what this network needs: where it is new, "
                "this may take half a minute; progress=True shows it, and theanets.warmup() "
                "compiles ahead what common networks need"
            )
        for callback in self._callbacks:
            if _callbacks.overrides(callback, "prepare"):
                self._started_callbacks.append(callback)
                callback.prepare(self)
        if self._checkpoint is not None:
            self._lock = resume.lock(self._checkpoint)
        resumed = self._checkpoint is not None and resume.restore(self, self._checkpoint)
        if resumed:
            if self._adopted is not None:
                self.network.seed = self.network.graph.seed = self._adopted
            log.info("continuing from %s, epoch %d", self._checkpoint, self.epoch)
            self._skips = self.cut
        else:
            if self._initial:
                self._validate()
            self.history.initial = dict(self.valid)
            if self._checkpoint is not None:
                # Now, so that a place that cannot be written to is known at once.
                resume.save(self, self._checkpoint)
        for callback in self._callbacks:
            if all(callback is not started for started in self._started_callbacks):
                self._started_callbacks.append(callback)
            callback.start(self)

    def _one_epoch(self) -> bool:
        """Train for an epoch; tell whether it had any updates."""
        limits = self.limits
        if self._skips:
            self._skips = False
            log.warning(
                "the run had ended after update %d, in the middle of an epoch, of which the rest "
                "is skipped: it is not bit for bit a run with these limits from the start",
                self.updates,
            )
        pacing = self._pacing if self._by_batch or limits.max_seconds is not None else None
        limit = math.inf if limits.max_updates is None else limits.max_updates
        self._in_epoch, self._before = True, self.updates
        self._pacing.start(self.updates)
        try:
            done = self.engine.epoch(self.epoch, self.updates, limit, pacing)
        except ExhaustedError:
            if not self.updates:
                raise
            self.stop("data")
            done = Epoch(0, {})
        self._count(done)
        if done.converged:
            self.stop("converged")
        if not done.updates:
            return False
        self.cut = self.batches is not None and done.updates < self.batches
        if self.epoch % limits.validate_every == 0:
            self._validate()
        self._record()
        if self._stopping():
            self._validate_last()
        for callback in self._callbacks:
            callback.epoch(self)
        # A callback may have ended the run.
        if self._over():
            self._validate_last()
        if self._saved != self.updates and (
            self._over() or self.epoch % self._checkpoint_every == 0
        ):
            self._save()
        return True

    def _save(self) -> None:
        if self._checkpoint is not None:
            resume.save(self, self._checkpoint)
            self._saved = self.updates

    def _validate_last(self) -> None:
        """Validate at the end of a run where it is not due.

        The checkpoint does not know of it, so that with limits that were raised the run is what
        it had been with them from the start.
        """
        if self._validated != self.updates:
            self._save()
            if self._validate():
                self._record()

    def _look(self, updates: int) -> bool:
        self.updates = updates
        for callback in self._by_batch:
            callback.batch(self)
        return self._out_of_time() or self.stop_reason is not None

    def _count(self, done: Epoch) -> None:
        """Count what was done in an epoch, or in the part of it that there was."""
        self._in_epoch = False
        self.updates = self._before + done.updates
        if done.updates:
            for evaluation in self.evaluations:
                evaluation.used = True
            self.epoch += 1
            self.train = done.monitors
        if done.first and not self.best_epoch and not self._best_train:
            self._best_train = done.first
        if not done.finite:
            self.stop("diverged")

    def _out_of_time(self) -> bool:
        limit = self.limits.max_seconds
        if limit is not None and self.seconds >= limit:
            self.stop("time")
            return True
        return False

    def _over(self) -> bool:
        limits = self.limits
        if self.stop_reason is None:
            if limits.epochs is not None and self.epoch >= limits.epochs:
                self.stop("epochs")
            elif limits.max_updates is not None and self.updates >= limits.max_updates:
                self.stop("updates")
            elif limits.patience is not None and self._failures > limits.patience:
                self.stop("patience")
            else:
                self._out_of_time()
        return self.stop_reason is not None

    def _stopping(self) -> bool:
        """Tell whether this was the last epoch, as far as that is known now."""
        failures, self._failures = self._failures, 0
        over = self._over()
        self._failures = failures
        return over

    # ---- validation ----------------------------------------------------------------

    def _validate(self) -> bool:
        """Validate unless that is done, and keep the parameters if they are the best so far."""
        if self._validated == self.updates:
            return False
        valid = self._evaluate(self._data.valid)
        if valid is None:
            if not self.updates or not self.train:
                return False
            valid = self.criterion.trained(self.train)
        self._validated = self.updates
        self.valid = valid
        figure = self.criterion.figure(valid)
        finite = math.isfinite(figure)
        first = not math.isfinite(self._best)
        better = finite and (first or figure < self._best)
        if not self._best_valid:
            self._best_train, self._best_valid = dict(self.train), dict(valid)
        if self.criterion.diverged(valid):
            if self.updates:
                self.stop("diverged")
            return True
        if first and not finite:
            raise self.criterion.undefined(valid)
        if better:
            values = self._values()
            broken = self._not_finite(values)
            if broken:
                # The loss may not show it: what is divided by an infinite variance is 0.
                log.warning("%s became NaN or infinite", ", ".join(broken))
                self.stop("diverged")
                return True
            self._best, self.best_loss, self.best_epoch = figure, valid["loss"], self.epoch
            self.best_values = values
            self._best_train, self._best_valid = dict(self.train), dict(valid)
        goal = self._last_success
        if first or goal - figure > abs(goal) * self.limits.min_improvement:
            self._last_success = figure
            self._failures = 0
        else:
            self._failures += 1
        if self.updates:
            self.engine.observe(figure)
        return True

    def _evaluate(self, data: Dataset | None) -> Monitors | None:
        return None if data is None else self.criterion.clean(self._evaluation.run(data.epoch()))

    def _values(self) -> list[Any]:
        with process.hold(self.params):
            return [p.get_value(borrow=False) for p in self.params]

    def _not_finite(self, values: Sequence[Any]) -> list[str]:
        """Get the names of the parameters that are not finite, but were when the run began."""
        return [
            str(param.name)
            for param, value, finite in zip(self.params, values, self._finite, strict=True)
            if finite and not all_finite(value)
        ]

    def _record(self) -> None:
        facts = {
            "epoch": self.epoch,
            "updates": self.updates,
            "seconds": round(self.seconds, 6),
            "learning_rate": self.learning_rate,
        }
        fresh = self.valid if self._validated == self.updates else {}
        if len(self.history) < self.epoch:
            self.history.append(facts, self.train, fresh)
        else:  # It has been validated in the meantime.
            self.history.rows[-1].update({f"valid_{key}": value for key, value in fresh.items()})

    # ---- the end -------------------------------------------------------------------

    def finish(self) -> None:
        """Restore the best parameters, and say why the run ended; once."""
        if self._finished:
            return
        self._finished = True
        self.stop("closed")
        try:
            self.engine.close()
            self._settle()
        finally:
            with process.hold(self.params):
                for param, value in zip(self.params, self.best_values, strict=True):
                    param.set_value(value, borrow=False)
            self.history.stop_reason = self.stop_reason
            self.history.best_epoch = self.best_epoch
            log.info(
                "training stopped: %s, after %d epochs and %d updates; best %s %g, epoch %d",
                self.stop_reason,
                self.epoch,
                self.updates,
                self.criterion.name,
                self.best_value,
                self.best_epoch,
            )
            if self.stop_reason == "diverged":
                log.warning(
                    "the loss or a parameter became NaN or infinite; the best parameters are "
                    "restored"
                )
            # In their order, and each of them even if one before fails.
            with contextlib.ExitStack() as stack:
                if self._lock is not None:
                    stack.callback(self._lock.release)
                for callback in reversed(self._started_callbacks):
                    stack.callback(callback.end, self)

    def _settle(self) -> None:
        """Validate after the last update, also if that was in the middle of an epoch."""
        if self._in_epoch:
            self._count(self.engine.partial)
        if not self.updates:
            return
        try:
            validated = self._validate()
        except Exception as error:
            if self.stop_reason != "error":
                raise
            log.warning("the last parameters could not be validated: %s", error)
            validated = False
        if validated or self.epoch > len(self.history):
            self._record()

    def result(self) -> tuple[Monitors, Monitors]:
        """Get the monitors, on training and validation data, of the restored parameters.

        Of training data that are not arrays, those of the batches of the best epoch.
        """
        train, data = self._best_train, self._data
        if data.whole is not None:
            same = data.valid is data.whole and self._best_valid
            train = self._best_valid if same else self._evaluate(data.whole) or {}
        return dict(train), dict(self._best_valid)
