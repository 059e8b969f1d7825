"""Progress: what a person sees while a network trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .callbacks import Callback
from .errors import ConfigurationError

if TYPE_CHECKING:
    from .training import Run

#: Monitors with a column of their own, where they exist.
SHOWN = ("loss", "acc")


def build(progress: bool | str) -> list[Callback]:
    """Make the callback that shows progress, if there is to be one.

    Parameters
    ----------
    progress : bool or 'auto'
        ``'auto'`` shows it when standard output is a terminal.

    Raises
    ------
    ConfigurationError
        If it is something else.
    """
    if progress not in (True, False, "auto"):
        raise ConfigurationError(f"progress={progress!r} is not True, False or 'auto'")
    console = Console()
    shown = console.is_terminal if progress == "auto" else progress
    return [Progress(console)] if shown else []


class Progress(Callback):
    """Shows one line for each epoch that was the best, and the current one.

    On a terminal the current line is live; elsewhere a line is printed for
    each epoch.

    Parameters
    ----------
    console : rich.console.Console, optional
        Where to show it; by default standard output.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = Console() if console is None else console
        self._live: Live | None = None

    def start(self, run: Run) -> None:
        """Print the head of the table."""
        if self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=8, transient=True)
            self._live.start()
        else:
            self.console.print(_line(_head(run)), highlight=False)

    def epoch(self, run: Run) -> None:
        """Show the epoch."""
        if self._live is None:
            self.console.print(_line(_cells(run)), highlight=False)
        else:
            self._live.update(_table(run))

    def end(self, run: Run) -> None:
        """Say why training ended, and what it came to."""
        if self._live is not None:
            self._live.stop()
            self.console.print(_table(run))
        self.console.print(
            f"stopped: {_REASONS.get(str(run.history.stop_reason), run.history.stop_reason)}; "
            f"best epoch {run.best_epoch}, validation loss {run.best_loss:.4g}; "
            f"{run.updates} updates in {run.seconds:.1f} s",
            highlight=False,
        )


_REASONS = {
    "patience": "validation no longer improves (patience)",
    "epochs": "all epochs are done",
    "updates": "all updates are done",
    "time": "the time is up",
    "interrupted": "interrupted",
    "diverged": "the loss diverged (NaN or infinite)",
    "converged": "converged",
    "closed": "the caller closed the run",
    "error": "an error was raised",
}


def _cells(run: Run) -> dict[str, str]:
    cells = {"epoch": f"{run.epoch:d}"}
    for which, monitors in (("train", run.train), ("valid", run.valid)):
        cells.update({f"{which} {k}": f"{monitors[k]:.4f}" for k in SHOWN if k in monitors})
    cells["best"] = "*" if run.best_epoch == run.epoch else f"({run.best_epoch})"
    cells["rate"] = f"{run.learning_rate:.2g}"
    cells["time"] = f"{run.seconds:.1f} s"
    return cells


def _head(run: Run) -> dict[str, str]:
    names = _cells(run)
    # Before the first epoch there are no monitors of training.
    if not run.train:
        ahead = {f"train {k}": "" for k in SHOWN if k in run.valid}
        names = {"epoch": "", **ahead, **names}
    return {name: name for name in names}


def _line(cells: Mapping[str, str]) -> Text:
    return Text(" ".join(value.rjust(max(len(name), 7)) for name, value in cells.items()))


def _table(run: Run) -> Table:
    table = Table(box=None, pad_edge=False)
    cells = _cells(run)
    for name in cells:
        table.add_column(name, justify="right")
    table.add_row(*cells.values())
    return table
