"""The history of a run of training: a table with a row for each epoch."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from . import atomic
from .errors import ConfigurationError, FileError, naming
from .markup import clean, table

#: Epochs that notebooks show, first and last ones each.
SHOWN = 10


class History:
    """What a run of training reported, epoch by epoch.

    ``history['valid_loss']`` is a column; ``len(history)`` the number of
    epochs; iterating gives the rows as dicts.

    Attributes
    ----------
    rows : list of dict
        ``epoch``, ``updates``, ``seconds``, ``learning_rate``, then the
        monitors as ``train_<name>`` and, where there was a validation,
        ``valid_<name>``.
    initial : dict
        Monitors of the validation before the first update; empty if there was none.
    stop_reason : str or None
        Why the run ended: ``'patience'``, ``'epochs'``, ``'updates'``,
        ``'time'``, ``'interrupted'``, ``'diverged'``, ``'converged'``,
        ``'closed'``, ``'data'``, ``'error'``, or what a callback said. None
        while it runs.
    best_epoch : int or None
        The epoch whose parameters the network got back; 0 are the initial
        ones.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.initial: dict[str, float] = {}
        self.stop_reason: str | None = None
        self.best_epoch: int | None = None
        self._lines: list[bytes] = []

    @property
    def columns(self) -> list[str]:
        """Names of all columns, in the order in which they came up."""
        return list(dict.fromkeys(key for row in self.rows for key in row))

    def __getitem__(self, column: str) -> list[Any]:
        """Get a column, with None where an epoch has no value."""
        if column not in self.columns:
            raise KeyError(f"no column {column!r}; columns: {', '.join(self.columns)}")
        return [row.get(column) for row in self.rows]

    def __contains__(self, column: object) -> bool:
        return column in self.columns

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def append(
        self, facts: Mapping[str, Any], train: Mapping[str, float], valid: Mapping[str, float]
    ) -> None:
        """Add the row of an epoch."""
        row = dict(facts)
        row.update({f"train_{key}": value for key, value in train.items()})
        row.update({f"valid_{key}": value for key, value in valid.items()})
        self.rows.append(row)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the table to a file of comma-separated values, with a header.

        At every moment there is the old file or the new one.
        """
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns)
        writer.writeheader()
        writer.writerows(self.rows)
        atomic.write(path, text.getvalue().encode())

    def to_frame(self) -> Any:
        """Get the table as a pandas ``DataFrame``, with a row for each epoch.

        Where an epoch has no value, it is NaN.

        Raises
        ------
        ConfigurationError
            If pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise ConfigurationError(
                "history.to_frame() needs pandas, which is not installed: pip install pandas"
            ) from None
        return pandas.DataFrame(self.rows, columns=self.columns)

    def to_bytes(self) -> npt.NDArray[np.uint8]:
        """Get the rows as text, JSON of one in each line.

        A row is written once, when another follows it, so that a checkpoint in each epoch
        costs little more in a long run than in a short one.
        """
        # The last one may have been recorded again.
        del self._lines[max(0, min(len(self._lines), len(self.rows)) - 1) :]
        for row in self.rows[len(self._lines) :]:
            self._lines.append(json.dumps(row, allow_nan=True).encode())
        return np.frombuffer(b"\n".join(self._lines), np.uint8)

    def read_bytes(self, text: Any) -> None:
        """Take the rows that `to_bytes` wrote.

        Raises
        ------
        ValueError
            If it is not rows.
        """
        lines = np.asarray(text, np.uint8).tobytes().splitlines()
        rows = [json.loads(line) for line in lines]
        if not all(isinstance(row, dict) for row in rows):
            raise ValueError("the history has a line that is no row")
        self.rows, self._lines = rows, []

    @classmethod
    def from_csv(cls, path: str | os.PathLike[str]) -> History:
        """Read a table that `to_csv` wrote; why the run ended is not in it.

        Raises
        ------
        FileError
            If there is no such file, or it is not such a table.
        """
        made, where = cls(), os.fspath(path)
        with naming(path), open(path, newline="", encoding="utf-8") as handle:
            reader = csv.DictReader(handle)
            if "epoch" not in (reader.fieldnames or ()):
                raise FileError(f"{where}: the first line has no column 'epoch'")
            for row in reader:
                try:
                    made.rows.append({k: _number(k, v) for k, v in row.items() if v != ""})
                except (TypeError, ValueError):
                    raise FileError(
                        f"{where}, line {reader.line_num}: not a number for each column"
                    ) from None
        return made

    def __repr__(self) -> str:
        return f"<History of {len(self)} epochs, stopped: {self.stop_reason}>"

    def _repr_html_(self) -> str:
        rows = self.rows if len(self) <= 2 * SHOWN else [*self.rows[:SHOWN], *self.rows[-SHOWN:]]
        cells = [[row.get(column) for column in self.columns] for row in rows]
        if len(rows) < len(self):
            cells.insert(SHOWN, ["…"] * len(self.columns))
        reason = f"stopped: {self.stop_reason}" if self.stop_reason else "not ended"
        best = "" if self.best_epoch is None else f", best epoch: {self.best_epoch}"
        caption = f"History of {len(self)} epoch{'s' * (len(self) != 1)}, {reason}{best}"
        scrolls = '<div style="overflow-x:auto">'
        return f"{scrolls}<p>{clean(caption)}</p>{table(self.columns, cells)}</div>"


def _number(column: str, text: str) -> float:
    return int(text) if column in ("epoch", "updates") else float(text)
