"""Progress: what a person sees while a network trains."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ..backends import Compilations, compilations
from ..errors import ConfigurationError
from .base import Callback

if TYPE_CHECKING:
    from ..training import Run

#: Monitors with a column of their own, where they exist.
SHOWN = ("loss", "acc")
#: Columns that make room for metrics, which one has asked for.
SPARE = ("learning_rate", "train_acc", "seconds")

_WIDTHS = {"epoch": 5, "learning_rate": 8, "seconds": 7, "best": 4}
_HEADS = {"learning_rate": "rate", "seconds": "time"}

_REASONS = {
    "patience": "validation no longer improves (patience)",
    "epochs": "all epochs are done",
    "updates": "all updates are done",
    "time": "the time is up",
    "interrupted": "interrupted",
    "diverged": "the loss diverged (NaN or infinite)",
    "converged": "converged",
    "closed": "the caller closed the run",
    "data": "there are no more data",
    "callback": "a callback stopped it",
    "error": "an error was raised",
}


def build(progress: bool | str | None) -> list[Callback]:
    """Make the callback that shows progress, if there is to be one.

    Parameters
    ----------
    progress : bool or 'auto'
        ``'auto'`` shows it when standard output is a terminal or a notebook.

    Raises
    ------
    ConfigurationError
        If it is something else.
    """
    if progress is None:
        progress = "auto"
    if not isinstance(progress, bool) and progress != "auto":
        raise ConfigurationError(f"progress={progress!r} is not True, False or 'auto'")
    console = Console()
    watched = console.is_terminal or console.is_jupyter
    return [for_console(console)] if progress is True or (progress and watched) else []


def for_console(console: Console) -> Progress:
    """Make what shows progress on a console: lines that change only where these can."""
    live = console.is_terminal and not console.is_jupyter
    return (LiveProgress if live else Progress)(console)


class Progress(Callback):
    """Shows a table of the epochs, a line for each, and what had to be compiled.

    Parameters
    ----------
    console : rich.console.Console
        Where to show it.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._columns: list[str] = []
        self._compiling: Compilations | None = None

    def prepare(self, run: Run) -> None:
        """Say that functions are compiled, if they were not before."""
        self._columns = []
        devices = run.evaluations[0].function.template.devices
        if devices:
            self._print(Text(f"computing on {', '.join(devices)}"))
        if not all(evaluation.used for evaluation in run.evaluations):
            self._print(Text("compiling, or reading what was compiled from the cache ..."))
            self._compiling = compilations(run.evaluations[0].function)

    def _is_compiled(self) -> None:
        """Say what was compiled, after the first update."""
        if self._compiling is not None:
            watched, self._compiling = self._compiling, None
            watched.done()
            new = f"{watched.count} new pieces in {_time(watched.seconds)}, kept for the next time"
            said = f"compiled {new}" if watched.count else "all of it was in the cache"
            self._print(Text(said))

    def epoch(self, run: Run) -> None:
        """Show the epoch."""
        self._is_compiled()
        row = run.history.rows[-1]
        if not self._columns:
            # Only now is it known what there is to show.
            self._columns = _columns(run, row, self.console.width)
            self._print(_line({name: _head(name) for name in self._columns}))
        is_best = run.best_epoch == row["epoch"]
        cells = {name: _cell(name, row.get(name)) for name in self._columns}
        self._show(_line({**cells, "best": "*" if is_best else ""}), is_best)

    def _show(self, line: Text, is_best: bool) -> None:
        self._print(line)

    def end(self, run: Run) -> None:
        """Say why training ended, and what it came to."""
        if self._compiling is not None:
            self._compiling.done()
            self._compiling = None
        reason = str(run.history.stop_reason)
        epochs = "1 epoch" if run.epoch == 1 else f"{run.epoch} epochs"
        updates = "1 update" if run.updates == 1 else f"{run.updates} updates"
        self._print(
            Text(
                f"stopped after {epochs}, {updates}, {_time(run.seconds)}: "
                f"{_REASONS.get(reason, reason)}"
            )
        )
        if math.isfinite(run.best_value):
            where = f"epoch {run.best_epoch}" if run.best_epoch else "the initial parameters"
            value = _number(run.best_value)
            self._print(Text(f"best: {where}, validation {run.criterion.name} {value}"))

    def _print(self, line: Text) -> None:
        # What a terminal cannot show would be an error.
        encoding = self.console.encoding
        plain = line.plain.encode(encoding, "replace").decode(encoding)
        self.console.print(Text(plain), no_wrap=True, overflow="ignore", crop=False)


class LiveProgress(Progress):
    """Shows the best epoch so far, the last one, and how far the current one is.

    Parameters
    ----------
    console : rich.console.Console
        A terminal.
    """

    #: Seconds between two changes of the line of batches.
    every = 0.125
    each_batch = False

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._live: Live | None = None
        self._lines: dict[str, Text] = {}
        self._began = self._shown = 0.0
        self._before = 0

    def start(self, run: Run) -> None:
        """Begin to show lines that change."""
        self._lines = {}
        self._live = Live(console=self.console, auto_refresh=False, transient=True)
        self._live.start()
        self._next_epoch(run)

    def _next_epoch(self, run: Run) -> None:
        self._began = self._shown = time.perf_counter()
        self._before = run.updates

    def batch(self, run: Run) -> None:
        """Show how far the epoch is, a few times a second."""
        now = time.perf_counter()
        if now - self._shown < self.every:
            return
        self._shown = now
        self._is_compiled()
        self._lines["batches"] = Text(_progress(run, now - self._began, run.updates - self._before))
        self._refresh()

    def epoch(self, run: Run) -> None:
        """Show the epoch."""
        self._lines.pop("batches", None)
        super().epoch(run)
        self._next_epoch(run)

    def _show(self, line: Text, is_best: bool) -> None:
        self._lines["last"] = line
        if is_best:
            self._lines["best"] = line
        self._refresh()

    def _refresh(self) -> None:
        if self._live is not None:
            shown = Text("\n").join([*self._final_lines(), *self._current()])
            shown.no_wrap, shown.overflow = True, "crop"
            self._live.update(shown, refresh=True)

    def _current(self) -> list[Text]:
        return [self._lines["batches"]] if "batches" in self._lines else []

    def end(self, run: Run) -> None:
        """Leave the best and the last epoch, and say why training ended."""
        if self._live is not None:
            self._live.stop()
            self._live = None
            for line in self._final_lines():
                self._print(line)
        super().end(run)

    def _final_lines(self) -> list[Text]:
        best, last = self._lines.get("best"), self._lines.get("last")
        return [line for line in (best if best is not last else None, last) if line is not None]


def _progress(run: Run, seconds: float, done: int) -> str:
    """Write how far an epoch is: batches, how many in a second, the time that is left."""
    many = run.batches
    text = f"epoch {run.epoch + 1}: {done}" + (f"/{many}" if many else "") + " batches"
    if not seconds or not done:
        return text
    rate = done / seconds
    text += f", {rate:.3g} a second"
    if many:
        left = (many - done) / rate
        if run.limits.epochs is not None:
            left += (run.limits.epochs - run.epoch - 1) * many / rate
            text += f", {_time(left)} left"
        else:
            text += f", {_time(left)} left of the epoch"
    return text


def _columns(run: Run, row: dict[str, Any], width: int) -> list[str]:
    """Choose what to show: at least the metrics that were asked for, and what decides."""
    known = {*row, *(f"valid_{name}" for name in run.valid)}
    monitors = [f"{which}_{name}" for which in ("train", "valid") for name in SHOWN]
    asked = dict.fromkeys([*run.metrics, run.criterion.name])
    for name in asked:
        if name not in SHOWN:
            monitors.append(f"valid_{name}" if f"valid_{name}" in known else f"train_{name}")
    shown = [name for name in monitors if name in known]
    columns = ["epoch", *shown, "learning_rate", "seconds", "best"]
    for spare in SPARE if run.metrics else ():
        if sum(2 + _width(name) for name in columns) - 2 > width and spare in columns:
            columns.remove(spare)
    return columns


def _head(name: str) -> str:
    return _HEADS.get(name, name.replace("_", " "))


def _width(name: str) -> int:
    return _WIDTHS.get(name, max(len(_head(name)), len("train loss")))


def _line(cells: dict[str, str]) -> Text:
    cut = (cell.rjust(_width(name)) for name, cell in cells.items())
    return Text("  ".join(cut).rstrip())


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name == "epoch":
        return str(value)
    if name == "learning_rate":
        return f"{value:.3g}"
    return _time(value) if name == "seconds" else _number(value)


def _number(value: float) -> str:
    """Write a number in at most ten characters."""
    plain = value == 0 or 1e-3 <= abs(value) < 1e4
    return f"{value:.4f}" if plain else f"{value:.3e}"


def _time(seconds: float) -> str:
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
