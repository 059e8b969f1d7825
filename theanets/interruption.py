"""Ctrl-C, held back where it would leave a module or a compiler half-way for good."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class _Interruption:
    """Ctrl-C that is held back: what would have handled it, and whether it came."""

    def __init__(self, handler: Callable[..., Any]) -> None:
        self.handler = handler
        self.came = False

    def note(self, number: int, frame: Any) -> None:
        self.came = True

    def deliver(self) -> None:
        if self.came:
            self.came = False
            self.handler(signal.SIGINT, sys._getframe())


_held_back: _Interruption | None = None


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back where a module or a compiler would be left half-way for good.

    It is delivered at the end, or at the next place that may be left: see `may_leave`.
    Only the main thread is ever interrupted; elsewhere this does nothing.
    """
    global _held_back
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if main and _held_back is None else None
    if not callable(handler):  # in another one already; or nobody asks Python
        yield
        return
    interruption = _Interruption(handler)
    try:
        signal.signal(signal.SIGINT, interruption.note)
    except ValueError:  # not the main interpreter
        yield
        return
    _held_back = interruption
    try:
        yield
    finally:
        _held_back = None
        if signal.getsignal(signal.SIGINT) == interruption.note:
            signal.signal(signal.SIGINT, handler)
        interruption.deliver()


def may_leave() -> None:
    """Deliver Ctrl-C that was held back, at a place that an exception may leave."""
    if _held_back is not None and threading.current_thread() is threading.main_thread():
        _held_back.deliver()
