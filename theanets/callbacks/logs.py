"""A callback that writes the history to a file while it comes about."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import naming
from ..history import History
from .base import Callback

if TYPE_CHECKING:
    from ..training import Run


class CSVLogger(Callback):
    """Writes the history to a file of comma-separated values, epoch by epoch.

    The file is as `History.to_csv` would write it, and is complete after each
    epoch, whatever happens to the process. A run that continues from its
    checkpoint continues the file; any other begins it anew, unless the same
    object wrote it: several algorithms of one call of ``train`` come after
    each other.

    Parameters
    ----------
    path : path
        The file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._before: list[dict[str, Any]] = []
        self._columns: list[str] = []
        self._last: dict[str, Any] | None = None
        self._count = 0
        self._run: Any = None

    def start(self, run: Run) -> None:
        """Begin the file, with the epochs of the run before if it continues."""
        self._before, self._run = [*self._before, *self._rows()], run
        self._rewrite()

    def epoch(self, run: Run) -> None:
        """Write the epoch."""
        rows = run.history.rows
        new = rows[self._count :]
        # A column may come up later, and an epoch that was written get a validation.
        same = not self._count or rows[self._count - 1] == self._last
        if not same or not {key for row in new for key in row} <= {*self._columns}:
            self._rewrite()
            return
        with naming(self.path), self.path.open("a", newline="", encoding="utf-8") as handle:
            csv.DictWriter(handle, self._columns).writerows(new)
        self._wrote(rows)

    def end(self, run: Run) -> None:
        """Write what was measured last."""
        if run is self._run:
            self.epoch(run)

    def _rows(self) -> list[dict[str, Any]]:
        return [] if self._run is None else self._run.history.rows

    def _rewrite(self) -> None:
        rows = self._rows()
        whole = History()
        whole.rows = [*self._before, *rows]
        whole.to_csv(self.path)
        self._columns = whole.columns
        self._wrote(rows)

    def _wrote(self, rows: list[dict[str, Any]]) -> None:
        self._count, self._last = len(rows), dict(rows[-1]) if rows else None
