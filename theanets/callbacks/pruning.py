"""A callback that ends trials of a search which promise little."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from .watching import Watching

if TYPE_CHECKING:
    from ..training import Run


class Prune(Watching):
    """Reports each epoch to a trial of Optuna, and ends training if the trial is to be pruned.

    Then ``train`` raises ``optuna.TrialPruned``, by which Optuna knows it; before
    that the network gets its best parameters, as always::

        def objective(trial):
            net = theanets.Regressor([4, trial.suggest_int("units", 4, 64), 1])
            _, valid = net.train(data, valid_data, callbacks=Prune(trial))
            return valid["loss"]

    Optuna itself is not needed for anything else: a trial is whatever has
    ``report(value, step)`` and ``should_prune()``.

    Parameters
    ----------
    trial : optuna.trial.Trial
        The trial.
    monitor : str
        What is reported, with the epoch as the step: a monitor of the
        validation, such as ``'loss'`` or ``'acc'``, or a column of the history,
        such as ``'train_loss'``. Whether less of it is better, or more, is what
        the study says.
    exception : type, optional
        What is raised; by default the ``TrialPruned`` of the package that the
        trial is from.

    Raises
    ------
    ConfigurationError
        If ``trial`` is no trial, or it is not known what to raise.
    UnknownNameError
        If the monitor is not measured.
    """

    def __init__(
        self, trial: Any, monitor: str = "loss", exception: type[Exception] | None = None
    ) -> None:
        super().__init__(monitor)
        if not all(callable(getattr(trial, key, None)) for key in ("report", "should_prune")):
            raise ConfigurationError(
                f"trial={trial!r} is not a trial: it has no report(value, step) and should_prune()"
            )
        self.trial = trial
        self.exception = _pruned(trial) if exception is None else exception
        self._pruned = False

    def start(self, run: Run) -> None:
        """Begin a run."""
        super().start(run)
        self._pruned = False

    def epoch(self, run: Run) -> None:
        """Report the epoch, and end training if that is asked for."""
        value = self.measured(run)
        if value is None:
            return
        self.trial.report(value, run.epoch)
        if self.trial.should_prune():
            self._pruned = True
            run.stop("pruned")

    def end(self, run: Run) -> None:
        """Say that it was pruned, once the best parameters are there."""
        if self._pruned and run.stop_reason == "pruned":
            raise self.exception(f"the trial was pruned at epoch {run.epoch}")


def _pruned(trial: Any) -> type[Exception]:
    """Find the exception by which a search knows that a trial was pruned."""
    for base in type(trial).__mro__:
        package = sys.modules.get(base.__module__.partition(".")[0])
        found = getattr(package, "TrialPruned", None)
        if isinstance(found, type) and issubclass(found, Exception):
            return found
    raise ConfigurationError(
        f"trial={trial!r} is not from a package with an exception TrialPruned, as Optuna has; give "
        "exception="
    )
