"""Learning curves."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

from ..errors import ConfigurationError, unknown
from ..history import History
from ..network import Network
from .axes import BLUE, ORANGE, new_or_given, plain, pyplot

#: Prefixes of columns, and how their lines are drawn.
_PARTS = (("train", ORANGE, "--"), ("valid", BLUE, "-"))


def history(
    source: Network | History | str | os.PathLike[str],
    monitors: str | Sequence[str] = "loss",
    ax: Any = None,
    *,
    log: bool = False,
    best: bool = True,
    color: Any = None,
    label: str = "",
) -> Any:
    """Draw monitors of training and validation over the epochs.

    Parameters
    ----------
    source : Network, History or path
        A network that was trained, its ``history``, or the file that
        `History.to_csv` or `CSVLogger` wrote.
    monitors : str or list of str
        Names of monitors, such as ``'loss'`` or ``'acc'``, or of columns, such
        as ``'learning_rate'``.
    ax : Axes, or list of Axes, optional
        Where to draw; one for each monitor.
    log : bool
        Whether the values have a logarithmic scale.
    best : bool
        Whether to mark the epoch whose parameters the network got back. A file
        does not tell; there it is that of the lowest validation loss, and is
        marked only among the losses.
    color : color, optional
        Of all lines, to draw several runs on the same axes.
    label : str
        What the legend calls the run.

    Returns
    -------
    Axes, or list of Axes
        A list if ``monitors`` is one.

    Raises
    ------
    ConfigurationError
        If there are no epochs.
    UnknownNameError
        If there is no such monitor.

    Examples
    --------
    Two runs, one above the other::

        ax = theanets.plot.history(one, color='C0', label='one')
        theanets.plot.history(other, ax=ax, color='C1', label='other')
    """
    pyplot("history")
    found = _table(source)
    names = [monitors] if isinstance(monitors, str) else list(monitors)
    columns = [_columns(found, name) for name in names]
    every = new_or_given("history", ax, (5.6, 3.6), len(names))
    for one, name, some in zip(every, names, columns, strict=True):
        for column, default, style in some:
            said = column.partition("_")[0] if column != name else name
            _curve(
                one, found, column, color or default, style, f"{label}, {said}" if label else said
            )
        one.set_xlabel("epoch")
        one.set_ylabel(name.replace("_", " "))
        one.xaxis.get_major_locator().set_params(integer=True)
        if log:
            one.set_yscale("log")
        plain(one)
        if best:
            _mark(one, found, name, color or BLUE)
        if len(one.get_legend_handles_labels()[0]) > 1:
            one.legend(frameon=False)
    return every[0] if isinstance(monitors, str) else every


def _table(source: Any) -> History:
    if isinstance(source, (str, os.PathLike)):
        source = History.from_csv(source)
    source = getattr(source, "history", source)
    if not isinstance(source, History):
        raise ConfigurationError(
            f"{source!r} is neither a network, nor its history, nor a file of that"
        )
    if not len(source):
        raise ConfigurationError("the history has no epochs; train the network first")
    return source


def _columns(found: History, name: str) -> list[tuple[str, Any, str]]:
    some = [(f"{part}_{name}", color, style) for part, color, style in _PARTS]
    some = [one for one in some if one[0] in found]
    if some:
        return some
    if name in found:
        return [(name, BLUE, "-")]
    known = [c.removeprefix("train_").removeprefix("valid_") for c in found.columns]
    raise unknown("monitor", name, dict.fromkeys(known))


def _curve(ax: Any, found: History, column: str, color: Any, style: str, label: str) -> None:
    values = zip(found["epoch"], found[column], strict=True)
    # An epoch without a validation has no value.
    points = [(epoch, value) for epoch, value in values if value is not None]
    # One point is no line.
    marker = "o" if len(points) == 1 else None
    epochs, heights = [p[0] for p in points], [p[1] for p in points]
    ax.plot(epochs, heights, style, color=color, marker=marker, markersize=4, label=label, lw=1.6)


def _mark(ax: Any, found: History, name: str, color: Any) -> None:
    epoch = found.best_epoch
    losses = "valid_loss" in found and [
        (value, at)
        for at, value in zip(found["epoch"], found["valid_loss"], strict=True)
        if value is not None and math.isfinite(value)
    ]
    if epoch is None and name == "loss" and losses:
        epoch = min(losses)[1]
    column = f"valid_{name}"
    if epoch not in found["epoch"] or column not in found:
        return
    value = found[column][found["epoch"].index(epoch)]
    if value is not None:
        ax.plot(
            [epoch], [value], "o", color=color, markersize=6, mec="white", zorder=3,
            label=f"best: epoch {epoch}", clip_on=False,
        )  # fmt: skip
