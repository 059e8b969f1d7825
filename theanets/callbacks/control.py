"""Callbacks that keep the best network, and that end training."""

from __future__ import annotations

import io
import math
import os
from typing import TYPE_CHECKING

from .. import atomic
from ..errors import ConfigurationError
from ..monitors import DIRECTIONS, improves
from ..options import Choice, Number, number
from .base import Callback
from .watching import Watching

if TYPE_CHECKING:
    from ..training import Run


class SaveBest(Callback):
    """Saves the network whenever a validation is the best so far.

    What is best is what ``train(criterion=)`` says. The file, which
    ``Network.load`` reads, is written atomically: at every moment it holds
    the best network, or the one before. When training ends it holds what the
    network then has.

    Parameters
    ----------
    path : path
        The file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path
        self._saved: int | None = None

    def start(self, run: Run) -> None:
        """Find out whether the network can be saved."""
        self._saved = run.best_epoch if run.updates and os.path.exists(self.path) else None
        run.network.save(io.BytesIO())
        atomic.check_writable(self.path)

    def epoch(self, run: Run) -> None:
        """Save the network if it is better than before."""
        if run.best_epoch == run.epoch:
            with run.averages.shown():
                self._save(run)

    def end(self, run: Run) -> None:
        """Save the network unless that was done."""
        if self._saved != run.best_epoch and math.isfinite(run.best_value):
            self._save(run)

    def _save(self, run: Run) -> None:
        run.network.save(self.path)
        self._saved = run.best_epoch


class EarlyStop(Watching):
    """Ends training when a monitor no longer improves, or is good enough.

    What ``train(patience=)`` and ``train(criterion=)`` do for the one figure
    that says what is best, this does for any. The network still gets the
    parameters that the criterion says are best.

    Parameters
    ----------
    monitor : str
        A monitor of the validation, such as ``'loss'`` or ``'acc'``, or a
        column of the history, such as ``'train_loss'``.
    patience : int, optional
        How many epochs in a row may fail to improve it, beginning with the
        validation before the first update; one more ends training. None for
        no limit. Epochs in which it is not measured do not count.
    mode : {'min', 'max'}, optional
        Which is better; by default what is known of the monitor.
    threshold : float, optional
        Training ends when the monitor is at least as good as this.
    min_improvement : float
        An epoch succeeds if the monitor is better than in the last one that
        did, by more than this fraction of its absolute value.

    Raises
    ------
    ConfigurationError
        If a value has no meaning, or nobody says which direction is better.
    UnknownNameError
        If the monitor is not measured.
    """

    def __init__(
        self,
        monitor: str = "loss",
        patience: int | None = 10,
        mode: str | None = None,
        threshold: float | None = None,
        min_improvement: float = 0.0,
    ) -> None:
        super().__init__(monitor)
        self.mode: str | None = Choice(None, tuple(DIRECTIONS)).check("mode", mode)
        if patience == math.inf:
            patience = None
        if patience is None and threshold is None:
            raise ConfigurationError("patience=None needs threshold=, or nothing ends training")
        self.patience = Number(None, "nonnegative").check("patience", patience)
        self.threshold = Number(None, "any").check("threshold", threshold)
        self.min_improvement = number("min_improvement", min_improvement, "nonnegative")
        self._sign, self._last, self._failures = 1.0, math.inf, 0

    def start(self, run: Run) -> None:
        """Find the monitor, and go through the epochs of a run that continues."""
        super().start(run)
        self._sign = -1.0 if self._direction(run) == "max" else 1.0
        self._last, self._failures = math.inf, 0
        if self._part == "valid":
            # As for train(patience=), the first to be better than is what training begins with.
            figure = self._sign * run.history.initial.get(self._name, math.inf)
            self._last = figure if math.isfinite(figure) else math.inf
        for row in run.history.rows:
            self._look(row.get(self.column))

    def epoch(self, run: Run) -> None:
        """Look at the epoch, and end training if it is enough."""
        reason = self._look(self.measured(run))
        if reason:
            run.stop(reason)

    def _direction(self, run: Run) -> str:
        found = self.mode or run.directions.get(self._name)
        if found is None:
            raise ConfigurationError(
                f"EarlyStop({self.monitor!r}) does not say whether less is better, or more; give "
                "mode='min' or mode='max'"
            )
        return found

    def _look(self, value: float | None) -> str:
        """Count whether an epoch is better; get the reason to stop, or nothing."""
        if value is None:
            return ""
        figure = self._sign * value
        if self.threshold is not None and figure <= self._sign * self.threshold:
            return f"{self.monitor} reached {self.threshold:g}"
        if improves(figure, self._last, self.min_improvement):
            self._last, self._failures = figure, 0
        else:
            self._failures += 1
        enough = self.patience is not None and self._failures > self.patience
        return f"{self.monitor} no longer improves" if enough else ""
