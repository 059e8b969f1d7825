"""Callbacks that a run has by itself: what saves the network, and starts states anew."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import atomic
from ..data import Dataset
from ..errors import ConfigurationError
from ..layers import Layer
from ..options import as_number
from .base import Callback
from .control import SaveBest
from .logs import CSVLogger

if TYPE_CHECKING:
    from ..structure import Structure
    from ..training import Run


class _Reset(Callback):
    """Starts stateful layers anew, before the first epoch and after each.

    Not after each where the data are an iterator, which goes on.
    """

    def __init__(self, layers: Sequence[Layer], by_epoch: bool) -> None:
        self.layers, self.by_epoch = layers, by_epoch

    def start(self, run: Run) -> None:
        if not run.updates:
            self.reset()

    def epoch(self, run: Run) -> None:
        if self.by_epoch:
            self.reset()

    def reset(self) -> None:
        for layer in self.layers:
            layer.reset()


def resets(net: Structure, data: Dataset) -> list[Callback]:
    """Get what starts the stateful layers of a network anew, if it has any."""
    layers = [x for x in net.layers if x.stateful]
    return [_Reset(layers, data.replayable)] if layers else []


class _Saver(Callback):
    """Saves the network now and then."""

    def __init__(self, net: Any, target: Any, every: float) -> None:
        self.net, self.every = net, every
        self._target = target
        self.last = time.perf_counter()

    @property
    def target(self) -> Any:
        """Where to save now: ``'{}'`` in a path stands for the time, in seconds since 1970."""
        path = os.fspath(self._target) if isinstance(self._target, os.PathLike) else self._target
        if isinstance(path, str) and "{}" in path:
            return path.replace("{}", str(int(time.time())))
        return self._target

    def start(self, run: Run) -> None:
        # It would be a pity to find out at the end.
        self.net.save(io.BytesIO())
        if isinstance(self.target, (str, os.PathLike)):
            atomic.check_writable(self.target)

    def epoch(self, run: Run) -> None:
        if not self.every:
            return
        if isinstance(self.every, float):
            due = time.perf_counter() - self.last >= 60 * self.every
        else:
            due = run.epoch % self.every == 0
        if due:
            with run.averages.shown():
                self.save()

    def end(self, run: Run) -> None:
        self.save()

    def save(self) -> None:
        self.last = time.perf_counter()
        target = self.target
        if isinstance(target, (str, os.PathLike)):
            self.net.save(target)
            return
        target.seek(0)
        target.truncate()
        self.net.save(target)
        target.flush()


def saver(net: Any, target: Any, every: Any) -> list[Callback]:
    """Get what saves a network, if that is asked for.

    Parameters
    ----------
    net : Network
        The network.
    target, every
        ``save_progress`` and ``save_every``, see `theanets.Network.train`.

    Raises
    ------
    ConfigurationError
        If ``every`` is no number of epochs or minutes, or there is no target.
    """
    if target is None:
        if every:
            raise ConfigurationError(f"save_every={every!r} needs save_progress=<path or file>")
        return []
    every = every.item() if isinstance(every, np.number) else every
    if as_number(every, "nonnegative") is None:
        raise ConfigurationError(
            f"save_every={every!r} is not a number of epochs (int) or minutes (float)"
        )
    return [_Saver(net, target, every)]


def check_paths(checkpoint: Any, target: Any, callbacks: Sequence[Callback]) -> None:
    """Refuse that one file is written as two different things.

    Parameters
    ----------
    checkpoint, target
        ``checkpoint`` and ``save_progress``, see `theanets.Network.train`.
    callbacks : list of Callback
        Those that write networks and tables are asked for their paths.

    Raises
    ------
    ConfigurationError
        If two of these are the same file. Networks may be: each is whole.
    """
    paths = (str, os.PathLike)
    if target is not None and not isinstance(target, paths) and not hasattr(target, "write"):
        raise ConfigurationError(f"save_progress={target!r} is neither a path nor a binary file")
    written: list[tuple[str, str, Any]] = [
        ("checkpoint", "checkpoint", checkpoint),
        ("network", "save_progress", target),
    ]
    for callback in callbacks:
        if isinstance(callback, (SaveBest, CSVLogger)):
            kind = "network" if isinstance(callback, SaveBest) else "table"
            written.append((kind, type(callback).__name__, callback.path))
    seen: dict[str, tuple[str, str]] = {}
    for kind, what, path in written:
        path = path if isinstance(path, os.PathLike) else getattr(path, "name", path)
        if not isinstance(path, (str, os.PathLike)):
            continue
        other, where = seen.setdefault(os.path.realpath(path), (kind, what))
        if other != kind:
            raise ConfigurationError(
                f"{where} and {what} are the same file, {os.fspath(path)!r}; each needs one of "
                "its own"
            )
