"""The loop of training: epochs, validation, early stopping, checkpoints, callbacks."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any

from .. import callbacks as _callbacks
from .. import process
from ..data import Dataset
from ..errors import ConfigurationError, ExhaustedError, interrupted
from ..history import History
from .best import Best
from .compiled import Evaluation
from .criterion import LOSS, Criterion
from .engines import Engine, Epoch
from .limits import Limits
from .pacing import Pacing
from .resume import Checkpoint
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
    best : Best
        The best validation so far; of it come ``best_value`` (that monitor),
        ``best_loss``, ``best_epoch``, and ``best_values`` (of the parameters).
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
        checkpoint: Checkpoint | None = None,
        criterion: Criterion = LOSS,
        initial: bool = True,
    ) -> None:
        self._checkpoint = Checkpoint() if checkpoint is None else checkpoint
        if self._checkpoint.path is not None and not engine.resumable:
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
        names = [str(param.name) for param in self.params]
        self.best = Best(dict(zip(names, self._values(), strict=True)), criterion)
        self.batches = data.train.batches
        self.stop_reason: str | None = None
        self.resumed_seconds = 0.0
        self._evaluation = evaluation
        self._data = data
        self._initial = initial
        self._callbacks = list(callbacks)
        self._by_batch = [c for c in self._callbacks if _callbacks.overrides(c, "batch")]
        self._pacing = Pacing(self._look, any(c.each_batch for c in self._by_batch))
        self._started_callbacks: list[_callbacks.Callback] = []
        self.cut = self._skips = False
        self._started = time.perf_counter()
        self._in_epoch = False
        self._finished = False

    @property
    def seconds(self) -> float:
        """Time since the start of the run."""
        return self.resumed_seconds + time.perf_counter() - self._started

    @property
    def best_value(self) -> float:
        """The criterion in the best validation so far."""
        return self.best.value

    @property
    def best_loss(self) -> float:
        """The loss in the best validation so far."""
        return self.best.loss

    @property
    def best_epoch(self) -> int:
        """When that was."""
        return self.best.epoch

    @property
    def best_values(self) -> list[Any]:
        """Values of the parameters then."""
        return self.best.values

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
        if self._checkpoint.begin(self):
            self._skips = self.cut
        else:
            if self._initial:
                self._validate()
            self.history.initial = dict(self.valid)
            # Now, so that a place that cannot be written to is known at once.
            self._checkpoint.save(self)
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
        # The validation that follows may be a success.
        if self._over(patient=True):
            self._validate_last()
        for callback in self._callbacks:
            callback.epoch(self)
        # A callback may have ended the run.
        if self._over():
            self._validate_last()
        if self._over() or self.epoch % self._checkpoint.every == 0:
            self._checkpoint.save(self)
        return True

    def _validate_last(self) -> None:
        """Validate at the end of a run where it is not due.

        The checkpoint does not know of it, so that with limits that were raised the run is what
        it had been with them from the start.
        """
        if self.best.updates != self.updates:
            self._checkpoint.save(self)
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
        if done.first:
            self.best.begin(done.first)
        if not done.finite:
            self.stop("diverged")

    def _out_of_time(self) -> bool:
        limit = self.limits.max_seconds
        if limit is not None and self.seconds >= limit:
            self.stop("time")
            return True
        return False

    def _over(self, patient: bool = False) -> bool:
        """Tell whether this was the last epoch; if patient, but for validations that failed."""
        limits, failures = self.limits, self.best.failures
        if self.stop_reason is None:
            if limits.epochs is not None and self.epoch >= limits.epochs:
                self.stop("epochs")
            elif limits.max_updates is not None and self.updates >= limits.max_updates:
                self.stop("updates")
            elif limits.patience is not None and failures > limits.patience and not patient:
                self.stop("patience")
            else:
                self._out_of_time()
        return self.stop_reason is not None

    # ---- validation ----------------------------------------------------------------

    def _validate(self) -> bool:
        """Validate unless that is done, and keep the parameters if they are the best so far."""
        if self.best.updates == self.updates:
            return False
        valid = self._evaluate(self._data.valid)
        if valid is None:
            if not self.updates or not self.train:
                return False
            valid = self.criterion.trained(self.train)
        self.valid = valid
        sound = self.best.consider(
            valid,
            self.train,
            epoch=self.epoch,
            updates=self.updates,
            values=self._values,
            min_improvement=self.limits.min_improvement,
        )
        if sound and self.updates:
            self.engine.observe(self.criterion.figure(valid))
        # Before the first update, a loss that is infinite may still come down.
        elif not sound and (self.updates or not self.criterion.diverged(valid)):
            self.stop("diverged")
        return True

    def _evaluate(self, data: Dataset | None) -> Monitors | None:
        return None if data is None else self.criterion.clean(self._evaluation.run(data.epoch()))

    def _values(self) -> list[Any]:
        with process.hold(self.params):
            return [p.get_value(borrow=False) for p in self.params]

    def _record(self) -> None:
        facts = {
            "epoch": self.epoch,
            "updates": self.updates,
            "seconds": round(self.seconds, 6),
            "learning_rate": self.learning_rate,
        }
        fresh = self.valid if self.best.updates == self.updates else {}
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
                stack.callback(self._checkpoint.end)
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
        train, valid, data = self.best.train, self.best.valid, self._data
        if data.whole is not None:
            same = data.valid is data.whole and valid
            train = valid if same else self._evaluate(data.whole) or {}
        return dict(train), dict(valid)
