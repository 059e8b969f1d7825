"""What callbacks that look at one monitor have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ConfigurationError, unknown
from .base import Callback

if TYPE_CHECKING:
    from ..training import Run


class Watching(Callback):
    """Base class of callbacks that look at one monitor after each epoch.

    Parameters
    ----------
    monitor : str
        A monitor of the validation, such as ``'loss'`` or ``'acc'``, or a
        column of the history, such as ``'train_loss'``.

    Attributes
    ----------
    column : str
        Its column of the history.
    """

    def __init__(self, monitor: str) -> None:
        if not isinstance(monitor, str):
            raise ConfigurationError(f"monitor={monitor!r} is not the name of a monitor")
        self.monitor = monitor
        part, _, name = monitor.partition("_")
        self._part, self._name = (part, name) if part in ("train", "valid") else ("valid", monitor)
        self.column = f"{self._part}_{self._name}"

    def start(self, run: Run) -> None:
        """Refuse a monitor that is not measured, as far as that is known."""
        if run.valid and self._name not in run.valid and self._part == "valid":
            raise unknown("monitor", self.monitor, run.valid)

    def measured(self, run: Run) -> float | None:
        """Get what the last epoch says; None where it was not validated."""
        row = run.history.rows[-1]
        names = [key for key in row if key.startswith(f"{self._part}_")]
        if names and self.column not in row:
            raise unknown("monitor", self._name, [key.partition("_")[2] for key in names])
        found: float | None = row.get(self.column)
        return found
