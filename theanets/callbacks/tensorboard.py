"""A callback for TensorBoard."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConfigurationError, naming
from .base import Callback

if TYPE_CHECKING:
    from ..training import Run


class TensorBoard(Callback):
    """Writes what is measured to event files, which TensorBoard shows.

    The monitors ``loss/train`` and ``loss/valid`` share a chart, as do those of
    any other monitor; ``learning_rate`` has one. Steps are epochs. Needs the
    extra ``tensorboard``, which is tensorboardX, or PyTorch and TensorBoard.

    Parameters
    ----------
    directory : path
        Where the files go. A run that continues from its checkpoint replaces
        the epochs that it repeats.
    histograms : bool or int
        Whether to write the distributions of all parameters too: after each
        epoch, or each so many.

    Raises
    ------
    ImportError
        If there is nothing to write the files with; says what to install.
    ConfigurationError
        If ``histograms`` is negative or not an integer.
    """

    def __init__(self, directory: str | os.PathLike[str], histograms: bool | int = False) -> None:
        if not isinstance(histograms, (bool, int)) or histograms < 0:
            raise ConfigurationError(f"histograms={histograms!r} is not a number of epochs")
        self.directory = os.fspath(directory)
        self.histograms = int(histograms)
        self._make = _writer_class()
        self._writer: Any = None
        self._offset = self._epoch = 0
        self._written: set[str] = set()

    def start(self, run: Run) -> None:
        """Open a file."""
        # Runs of the same object come after each other.
        self._offset, self._epoch = self._offset + self._epoch, run.epoch
        purge = {"purge_step": self._offset + run.epoch + 1} if run.epoch else {}
        with naming(self.directory):
            self._writer = self._make(self.directory, **purge)

    def epoch(self, run: Run) -> None:
        """Write the epoch."""
        if run.epoch != self._epoch:
            self._written = set()
        self._epoch = run.epoch
        step = self._offset + run.epoch
        row = run.history.rows[-1]
        for column in [c for c in row if c not in self._written]:
            tag = _tag(column)
            if tag is not None:
                self._writer.add_scalar(tag, float(row[column]), step)
        if self.histograms and run.epoch % self.histograms == 0 and not self._written:
            for param in run.params:
                values = np.asarray(param.get_value(borrow=True))
                if values.size and np.isfinite(values).all():
                    self._writer.add_histogram(param.name, values, step)
        self._written.update(row)
        self._writer.flush()

    def end(self, run: Run) -> None:
        """Write what was measured last, and close the file."""
        if self._writer is None:
            return
        try:
            if run.history.rows and run.history.rows[-1]["epoch"] > 0 and self._new(run):
                self.epoch(run)
        finally:
            self._writer.close()
            self._writer = None

    def _new(self, run: Run) -> bool:
        return run.epoch != self._epoch or not {*run.history.rows[-1]} <= self._written


def _tag(column: str) -> str | None:
    """Get what a column is called, or None for those that say what the steps are."""
    if column in ("epoch", "updates", "seconds"):
        return None
    part, _, name = column.partition("_")
    return f"{name}/{part}" if part in ("train", "valid") and name else column


def _writer_class() -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ImportError(
                "TensorBoard needs tensorboardX to write its files; install it with: "
                "pip install 'theanets[tensorboard]'"
            ) from None
    return SummaryWriter
