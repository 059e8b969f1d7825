"""The loop of training: epochs, validation, early stopping, checkpoints, callbacks."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any, TypeVar

from .. import process
from ..callbacks import Callback, Callbacks
from ..data import Dataset
from ..errors import ConfigurationError, ExhaustedError, interrupted
from .averaging import Averages
from .criterion import LOSS, Criterion
from .engines import Engine, Epoch
from .evaluation import Evaluation
from .limits import Limits
from .pacing import Pacing
from .resume import Checkpoint
from .standing import Monitors, Standing
from .task import Datasets

log = logging.getLogger("theanets")

T = TypeVar("T")


class Run(Standing):
    """One run of training; what callbacks get, see `Standing`.

    Parameters
    ----------
    engine : Engine
        What changes the parameters.
    params : list of shared variables
        Parameters and state.
    limits : Limits
        When to validate, and when to stop.
    evaluation : Evaluation
        What validates.
    data : Datasets
        What is trained and validated on.
    callbacks : list of Callback
        What is called meanwhile.
    network : Network
        The network that callbacks get.
    checkpoint : Checkpoint, optional
        The file that the run is kept in.
    criterion : Criterion
        What says which parameters are the best.
    initial : bool
        Whether the parameters at the start may be the best.
    averages : Averages, optional
        What is validated, and kept, in place of the parameters.

    Attributes
    ----------
    alone : callable
        Calls a function while nobody else trains the network.
    before : Run or None
        That of the algorithm before in the same call of ``train``.
    continued : bool
        Whether it has gone on from a checkpoint, by an epoch at least.
    """

    def __init__(
        self,
        engine: Engine,
        params: Sequence[Any],
        limits: Limits,
        *,
        evaluation: Evaluation,
        data: Datasets,
        callbacks: Sequence[Callback] = (),
        network: Any = None,
        checkpoint: Checkpoint | None = None,
        criterion: Criterion = LOSS,
        initial: bool = True,
        averages: Averages | None = None,
    ) -> None:
        self._checkpoint = Checkpoint() if checkpoint is None else checkpoint
        if self._checkpoint.path is not None and not engine.resumable:
            raise ConfigurationError("l-bfgs cannot continue from a checkpoint; leave it out")
        super().__init__(engine, params, limits, evaluation, network, criterion)
        self.batches = data.train.batches
        self.alone: Callable[[Callable[[], Any]], Any] = lambda do: do()
        self.before: Run | None = None
        self.continued = False
        self.averages = Averages(None, ()) if averages is None else averages
        self._data = data
        self._initial = initial
        self._callbacks = Callbacks(callbacks)
        always = any(callback.each_batch for callback in self._callbacks.batchwise)
        self._pacing = Pacing(self._look, always)
        self._skips = self._resumed = False
        self._in_epoch = False
        self._finished = self._busy = False

    # ---- the loop ----------------------------------------------------------------

    def iterate(self) -> Generator[tuple[Monitors, Monitors], None, None]:
        """Train, and yield the monitors of training and validation after each epoch.

        However it ends, the parameters are then the best that were validated.
        """
        self._started = time.perf_counter()
        try:
            self.alone(partial(self._busily, self._begin))
            while not self._over():
                if self.alone(partial(self._busily, self._one_epoch)):
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

    def _busily(self, do: Callable[[], T]) -> T:
        """Do a part of the run, in which no other run of the network may begin."""
        self._busy = True
        try:
            return do()
        finally:
            self._busy = False

    def leave(self) -> None:
        """Finish, since another run of the network begins.

        Raises
        ------
        ConfigurationError
            If that is in a callback of this one, whose parameters it would change.
        """
        if self._busy:
            raise ConfigurationError(
                "a callback of a network that trains cannot train it too: end this run first, by "
                "run.stop(), or train a copy, copy.deepcopy(net)"
            )
        self.finish()

    def _begin(self) -> None:
        if not all(evaluation.used for evaluation in self.evaluations):
            log.info(
                "compiling, or reading from the cache, what this network needs: where it is new, "
                "this may take half a minute; progress=True shows it, and theanets.warmup() "
                "compiles ahead what common networks need"
            )
        self._callbacks.prepare(self)
        if self._checkpoint.begin(self):
            self._resumed, self._skips = True, self.cut
            if self.before is not None and self.before.continued:
                log.warning(
                    "the algorithm before has gone on from its checkpoint, and this one goes on "
                    "from where that had ended earlier: it is not bit for bit a run with these "
                    "limits from the start"
                )
        else:
            if self._initial:
                self._validate()
            self.history.initial = dict(self.valid)
            # Now, so that a place that cannot be written to is known at once.
            self._checkpoint.save(self)
        self._callbacks.start(self)

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
        pacing = (
            self._pacing if self._callbacks.batchwise or limits.max_seconds is not None else None
        )
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
        self.averages.epoch(self.epoch, self.updates)
        if self.epoch % limits.validate_every == 0:
            self._validate()
        self._record()
        # The validation that follows may be a success.
        if self._over(patient=True):
            self._validate_last()
        self._callbacks.epoch(self)
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
        self._callbacks.batch(self)
        limit = self.limits.max_seconds
        if limit is not None and self.seconds >= limit:
            self.stop("time")
        return self.stop_reason is not None

    def _count(self, done: Epoch) -> None:
        """Count what was done in an epoch, or in the part of it that there was."""
        self._in_epoch = False
        self.updates = self._before + done.updates
        if done.updates:
            self.epoch += 1
            self.continued = self._resumed
            self.train = done.monitors
        if done.first:
            self.best.begin(done.first)
        if not done.finite:
            self.stop("diverged")

    def _over(self, patient: bool = False) -> bool:
        """Tell whether this was the last epoch; if patient, but for validations that failed."""
        # Until there is an average, nothing says what it will come to.
        failures = 0 if patient or self.averages.waits else self.best.failures
        reason = self.limits.reached(self.epoch, self.updates, failures, self.seconds)
        if reason is not None:
            self.stop(reason)
        return self.stop_reason is not None

    # ---- validation ----------------------------------------------------------------

    def _validate(self) -> bool:
        """Validate unless that is done, and keep the parameters if they are the best so far."""
        if self.best.updates == self.updates:
            return False
        with self.averages.shown():
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
                # Averages are compared with averages.
                anew=self.averages.active and self.best.updates < self.averages.began,
            )
        if sound and self.updates:
            self.engine.observe(self.criterion.figure(valid))
        # Before the first update, a loss that is infinite may still come down.
        elif not sound and (self.updates or not self.criterion.diverged(valid)):
            self.stop("diverged")
        return True

    def _evaluate(self, data: Dataset | None) -> Monitors | None:
        return None if data is None else self.criterion.clean(self._evaluation.run(data))

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
        # Where Python itself ends, nobody sees them, and modules are half gone.
        if self._finished or sys.is_finalizing():
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
            if self.averages.waits:
                log.warning(
                    "training ended before averaging began: the parameters are those of one moment"
                )
            if self.stop_reason == "diverged":
                log.warning(
                    "the loss or a parameter became NaN or infinite; the best parameters are "
                    "restored"
                )
            self._busily(self._end)

    def _end(self) -> None:
        try:
            self._callbacks.end(self)
        finally:
            self._checkpoint.end()

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
