"""The loop of training: epochs, validation, early stopping, checkpoints, callbacks."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import callbacks as _callbacks
from . import checkpoint as _checkpoint
from .compiled import Evaluation
from .data import Dataset
from .engines import Engine
from .errors import ConfigurationError, FileError
from .history import History

log = logging.getLogger("theanets")

Monitors = dict[str, float]


@dataclass
class Limits:
    """When to validate, and when to stop.

    Attributes
    ----------
    epochs : int, optional
        Passes over the training data.
    max_updates : int, optional
        Updates of the parameters, exactly.
    max_seconds : float, optional
        Wall-clock time; checked after each update.
    patience : int
        How many validations in a row may fail to improve the loss; one more
        ends training.
    min_improvement : float
        A validation succeeds if the loss falls by more than this fraction of
        the best so far.
    validate_every : int
        Epochs between validations. There is always one before the first and
        after the last update.
    """

    epochs: int | None = None
    max_updates: int | None = None
    max_seconds: float | None = None
    patience: int = 10
    min_improvement: float = 0.0
    validate_every: int = 1

    def __post_init__(self) -> None:
        for name in ("epochs", "max_updates", "max_seconds", "patience", "min_improvement"):
            value = getattr(self, name)
            number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
            if value is not None and not (number and value >= 0):
                raise ConfigurationError(f"{name}={value!r} is not a number of at least 0")
        for name in ("epochs", "max_updates", "patience", "validate_every"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or value != int(value)):
                raise ConfigurationError(f"{name}={value!r} is not an integer")
        if self.validate_every < 1:
            raise ConfigurationError(f"validate_every={self.validate_every} is not at least 1")


class Run:
    """One run of training; what callbacks get.

    Attributes
    ----------
    epoch, updates : int
        Epochs and updates that are done.
    seconds : float
        Time since the start, that of an interrupted run before included.
    train, valid : dict
        The last monitors; `valid` is empty before the first validation.
    best_loss, best_epoch
        Loss of the best validation so far, and when it was.
    learning_rate : float
        The current one.
    history : History
        One row for each epoch.
    network : Any
        The network that trains.
    limits : Limits
        When the run will stop.
    batches : int or None
        Updates in an epoch, if known.
    """

    def __init__(
        self,
        engine: Engine,
        params: Sequence[Any],
        limits: Limits,
        *,
        evaluation: Evaluation,
        train_data: Dataset,
        valid_data: Dataset | None,
        callbacks: Sequence[_callbacks.Callback] = (),
        network: Any = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int = 1,
        identity: Any = None,
    ) -> None:
        if isinstance(checkpoint_every, bool) or checkpoint_every != int(checkpoint_every):
            raise ConfigurationError(f"checkpoint_every={checkpoint_every!r} is not an integer")
        if checkpoint_every < 1:
            raise ConfigurationError(f"checkpoint_every={checkpoint_every} is not at least 1")
        if checkpoint is not None and not engine.resumable:
            raise ConfigurationError("l-bfgs cannot continue from a checkpoint; leave it out")
        self.engine = engine
        self.params = list(params)
        self.limits = limits
        self.network = network
        self.history = History()
        self.epoch = 0
        self.updates = 0
        self.train: Monitors = {}
        self.valid: Monitors = {}
        self.best_loss = math.inf
        self.best_epoch = 0
        self.batches = train_data.batches
        self._best_train: Monitors = {}
        self._best_valid: Monitors = {}
        self._best = self._values()
        self._evaluation = evaluation
        self._train_data = train_data
        self._valid_data = valid_data
        self._callbacks = list(callbacks)
        self._failures = 0
        self._validated = -1
        self._reason: str | None = None
        self._checkpoint = None if checkpoint is None else Path(checkpoint)
        self._checkpoint_every = checkpoint_every
        self._identity = identity
        self._before = 0.0
        self._started = time.perf_counter()
        self._idle = False
        self._seen = 0

    @property
    def seconds(self) -> float:
        """Time since the start of the run."""
        return self._before + time.perf_counter() - self._started

    @property
    def learning_rate(self) -> float:
        """The current learning rate."""
        return self.engine.rate

    def stop(self, reason: str = "callback") -> None:
        """End the run after the current batch or epoch."""
        self._reason = self._reason or reason

    # ---- the loop ----------------------------------------------------------------

    def iterate(self) -> Iterator[tuple[Monitors, Monitors]]:
        """Train, and yield the monitors of training and validation after each epoch.

        However it ends, the parameters are then the best that were validated.
        """
        self._started = time.perf_counter()
        try:
            self._begin()
            while not self._over():
                self._one_epoch()
                if self._idle:
                    continue
                if self._stopping() or self.epoch % self.limits.validate_every == 0:
                    self._validate()
                self._record()
                for callback in self._callbacks:
                    callback.epoch(self)
                self._save_if_due()
                yield self.train, self.valid
        except KeyboardInterrupt:
            self._reason = "interrupted"
        except GeneratorExit:
            self._reason = "closed"
            raise
        except BaseException:
            self._reason = "error"
            raise
        finally:
            self._finish()

    def _begin(self) -> None:
        resumed = self._checkpoint is not None and self._resume()
        if not resumed:
            self._validate()
            if self._checkpoint is not None:
                # Now, so that a place that cannot be written to is known at once.
                self.save(self._checkpoint)
        for callback in self._callbacks:
            callback.start(self)

    def _one_epoch(self) -> None:
        limits = self.limits
        watch = None
        if limits.max_seconds is not None or _callbacks.uses_batches(self._callbacks):
            watch = self._watch
        limit = math.inf if limits.max_updates is None else limits.max_updates
        done = self.engine.epoch(self.epoch, self.updates, limit, watch)
        if done.converged:
            self.stop("converged")
            if done.updates == 0:
                self._idle = True
                return
        self.updates = self.updates + done.updates if watch is None else self._counted(done.updates)
        self.epoch += 1
        self.train = done.monitors
        if not done.finite:
            self.stop("diverged")

    def _watch(self, updates: int) -> bool:
        self.updates = updates
        self._seen += 1
        for callback in self._callbacks:
            callback.batch(self)
        return self._out_of_time() or self._reason is not None

    def _counted(self, updates: int) -> int:
        # `_watch` counts while the epoch runs.
        missing = updates - self._seen
        self._seen = 0
        return self.updates + missing

    def _out_of_time(self) -> bool:
        limit = self.limits.max_seconds
        if limit is not None and self.seconds >= limit:
            self.stop("time")
            return True
        return False

    def _over(self) -> bool:
        limits = self.limits
        if self._reason is None:
            if limits.epochs is not None and self.epoch >= limits.epochs:
                self._reason = "epochs"
            elif limits.max_updates is not None and self.updates >= limits.max_updates:
                self._reason = "updates"
            elif self._failures > limits.patience:
                self._reason = "patience"
            else:
                self._out_of_time()
        return self._reason is not None

    def _stopping(self) -> bool:
        """Tell whether this was the last epoch, as far as that is known now."""
        failures, self._failures = self._failures, 0
        over = self._over()
        self._failures = failures
        return over

    # ---- validation ----------------------------------------------------------------

    def _validate(self) -> None:
        """Evaluate, and keep the parameters if they are the best so far."""
        if self._validated == self.updates:
            return
        valid = self._evaluate(self._valid_data)
        if valid is None:
            if not self.updates:
                return
            valid = dict(self.train)
        self._validated = self.updates
        self.valid = valid
        loss = valid["loss"]
        if not math.isfinite(loss):
            if self.updates:
                self.stop("diverged")
            return
        first = not math.isfinite(self.best_loss)
        better = self.best_loss - loss
        if first or better > abs(self.best_loss) * self.limits.min_improvement:
            self._failures = 0
        else:
            self._failures += 1
        if first or better > 0:
            self.best_loss, self.best_epoch = loss, self.epoch
            self._best = self._values()
            self._best_train, self._best_valid = dict(self.train), dict(valid)
        if self.updates:
            self.engine.observe(loss)

    def _evaluate(self, data: Dataset | None) -> Monitors | None:
        if data is None or not data.replayable:
            return None
        return self._evaluation.run(data.epoch())

    def _values(self) -> list[Any]:
        return [p.get_value(borrow=False) for p in self.params]

    def _record(self) -> None:
        facts = {
            "epoch": self.epoch,
            "updates": self.updates,
            "seconds": round(self.seconds, 6),
            "learning_rate": self.learning_rate,
        }
        fresh = self.valid if self._validated == self.updates else {}
        self.history.append(facts, self.train, fresh)

    def _finish(self) -> None:
        """Restore the best parameters, and say why the run ended."""
        try:
            self.engine.close()
            if self._reason in ("closed", "interrupted") and self.updates:
                self._validate()
        finally:
            for param, value in zip(self.params, self._best, strict=True):
                param.set_value(value, borrow=False)
            self.history.stop_reason = self._reason
            self.history.best_epoch = self.best_epoch
            log.info(
                "training stopped: %s, after %d epochs and %d updates; best loss %g, epoch %d",
                self._reason,
                self.epoch,
                self.updates,
                self.best_loss,
                self.best_epoch,
            )
            if self._reason == "diverged":
                log.warning("the loss became NaN or infinite; the best parameters are restored")
            for callback in self._callbacks:
                callback.end(self)

    def result(self) -> tuple[Monitors, Monitors]:
        """Get the monitors, on training and validation data, of the restored parameters."""
        train: Monitors | None = dict(self._best_train)
        if self._train_data.examples is not None:
            train = self._evaluate(self._train_data)
        return train or {}, dict(self._best_valid)

    # ---- checkpoints ---------------------------------------------------------------

    def _save_if_due(self) -> None:
        if self._checkpoint is None:
            return
        if self._over() or self.epoch % self._checkpoint_every == 0:
            self.save(self._checkpoint)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all that is needed to continue the run bit for bit."""
        arrays = {f"param/{p.name}": p.get_value(borrow=True) for p in self.params}
        for param, value in zip(self.params, self._best, strict=True):
            arrays[f"best/{param.name}"] = value
        for name, variable in self.engine.arrays().items():
            arrays[f"state/{name}"] = np.asarray(variable.get_value(borrow=True))
        header = {
            "kind": "checkpoint",
            "identity": self._identity,
            "engine": self.engine.state(),
            "generators": {
                name: generator.get_value(borrow=True).bit_generator.state
                for name, generator in self.engine.generators().items()
            },
            "counters": {key: getattr(self, key) for key in _COUNTERS},
            "seconds": self.seconds,
            "history": self.history.rows,
            "stop_reason": self._reason,
        }
        _checkpoint.write(path, arrays, header)

    def _resume(self) -> bool:
        """Continue from the checkpoint, if there is one."""
        path = self._checkpoint
        assert path is not None
        try:
            arrays, header = _checkpoint.read(path)
        except FileNotFoundError:
            return False
        self._check(path, header)
        try:
            self._restore(arrays, header)
        except (KeyError, TypeError, AttributeError) as error:
            raise FileError(f"{path}: the checkpoint is incomplete: {error!r}") from error
        log.info("continuing from %s, epoch %d", path, self.epoch)
        return True

    def _check(self, path: Path, header: Mapping[str, Any]) -> None:
        if header.get("kind") != "checkpoint":
            raise FileError(f"{path}: this is a {header.get('kind')} file, not a checkpoint")
        was, now = header.get("identity"), _plain(self._identity)
        for key in now:
            if not isinstance(was, Mapping) or was.get(key) != now[key]:
                old = was.get(key) if isinstance(was, Mapping) else was
                raise FileError(
                    f"{path}: the checkpoint belongs to another run: {key} was {old!r}, now is "
                    f"{now[key]!r}; delete the file to start anew"
                )

    def _restore(self, arrays: _checkpoint.Arrays, header: Mapping[str, Any]) -> None:
        for param in self.params:
            param.set_value(arrays[f"param/{param.name}"])
        self._best = [arrays[f"best/{param.name}"] for param in self.params]
        for name, variable in self.engine.arrays().items():
            variable.set_value(arrays[f"state/{name}"])
        for name, generator in self.engine.generators().items():
            value = generator.get_value(borrow=False)
            value.bit_generator.state = header["generators"][name]
            generator.set_value(value, borrow=True)
        self.engine.restore(header["engine"])
        for key, value in header["counters"].items():
            if key in _COUNTERS:
                setattr(self, key, value)
        self.history.rows = list(header["history"])
        self._before = header["seconds"]
        # A run that ended by itself stays ended; one that was cut off goes on.
        if header["stop_reason"] in _FINAL:
            self._reason = header["stop_reason"]


_COUNTERS = (
    "epoch",
    "updates",
    "train",
    "valid",
    "best_loss",
    "best_epoch",
    "_best_train",
    "_best_valid",
    "_failures",
    "_validated",
)
_FINAL = ("diverged", "converged")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value
