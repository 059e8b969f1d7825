"""Callbacks: code of the user that runs while a network trains."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import ConfigurationError
from ..expressions import check_takes

if TYPE_CHECKING:
    from ..training import Run


class Callback:
    """Base class of callbacks; override what is of interest.

    Each method gets the `Run`: ``run.epoch``, ``run.updates``, ``run.train``
    and ``run.valid`` (the last monitors), ``run.history``, ``run.seconds``,
    and ``run.stop('why')``, after which training ends as soon as the current
    batch or epoch is done.

    Attributes
    ----------
    each_batch : bool
        Whether `batch` has to run after each update. Where it is False for
        all callbacks, it runs about every 0.05 seconds, or every 256 updates
        if these take less, which costs less for small networks.
    """

    each_batch = True

    def prepare(self, run: Run) -> None:
        """Run once, before the first validation, which compiles what it needs."""

    def start(self, run: Run) -> None:
        """Run once, before the first update."""

    def batch(self, run: Run) -> None:
        """Run after each update, or once in a while, see ``each_batch``."""

    def epoch(self, run: Run) -> None:
        """Run after each epoch, and its validation if it has one."""

    def end(self, run: Run) -> None:
        """Run once, after the best parameters were restored, whatever ended the run."""


class _EpochCallback(Callback):
    def __init__(self, function: Callable[[Run], Any]) -> None:
        self.function = function

    def epoch(self, run: Run) -> None:
        self.function(run)


CallbackLike: TypeAlias = "Callback | Callable[[Run], Any]"


def build(spec: CallbackLike | Iterable[CallbackLike] | None) -> list[Callback]:
    """Make a list of callbacks from one or several; a function runs after each epoch.

    Raises
    ------
    ConfigurationError
        If something is neither a `Callback` nor callable.
    """
    if spec is None:
        return []
    if isinstance(spec, Callback) or callable(spec):
        spec = [spec]
    if isinstance(spec, str) or not isinstance(spec, Iterable):
        raise ConfigurationError(
            f"callbacks={spec!r} is not a Callback, a function, or a list of these"
        )
    found: list[Callback] = []
    for item in spec:
        if isinstance(item, Callback):
            found.append(item)
        elif callable(item) and not isinstance(item, type):
            check_takes(f"callbacks: {item!r}", item, ["run"])
            found.append(_EpochCallback(item))
        else:
            raise ConfigurationError(
                f"callbacks: {item!r} is neither a Callback instance nor a function"
            )
    return found


class Callbacks:
    """The callbacks of a run, each called in its turn.

    Attributes
    ----------
    batchwise : list of Callback
        Those that have something to do after updates.
    """

    def __init__(self, callbacks: Iterable[Callback]) -> None:
        self._every = list(callbacks)
        self.batchwise = [c for c in self._every if overrides(c, "batch")]
        self._begun: list[Callback] = []

    def prepare(self, run: Run) -> None:
        """Call those that have something to do before the first validation."""
        for callback in self._every:
            if overrides(callback, "prepare"):
                self._begun.append(callback)
                callback.prepare(run)

    def start(self, run: Run) -> None:
        """Call all before the first update."""
        for callback in self._every:
            if all(callback is not begun for begun in self._begun):
                self._begun.append(callback)
            callback.start(run)

    def batch(self, run: Run) -> None:
        """Call those that have something to do after updates."""
        for callback in self.batchwise:
            callback.batch(run)

    def epoch(self, run: Run) -> None:
        """Call all after an epoch."""
        for callback in self._every:
            callback.epoch(run)

    def end(self, run: Run) -> None:
        """Call those that were begun, each of them even if one before fails."""
        with contextlib.ExitStack() as stack:
            for callback in reversed(self._begun):
                stack.callback(callback.end, run)


def overrides(callback: Callback, method: str) -> bool:
    """Tell whether a callback has something to do at some point."""
    found = getattr(callback, method)
    return getattr(found, "__func__", None) is not getattr(Callback, method)
