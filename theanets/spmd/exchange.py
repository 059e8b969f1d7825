"""Exchanges: what the processes of a group tell each other, their failures included."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ..errors import GroupError
from .group import Group

Array = npt.NDArray[Any]

T = TypeVar("T")

#: Bytes that a float64 holds exactly as an integer.
_PACKED = 6


class Exchange:
    """What one process of a group tells the others, and learns from them.

    An exception in one process is told in the next exchange, in which it sends nothing else. So
    all processes leave at the same point, this one by its exception and the others by a
    `GroupError`, and none waits for another for ever.

    Parameters
    ----------
    group : Group
        The processes.

    Attributes
    ----------
    sound : bool
        Whether all are known to be at the same point.
    told : exception or None
        The one with which all have left, or are about to.
    interrupted : bool
        Whether somebody wants to end (Ctrl-C); rank 0 tells the others.
    """

    def __init__(self, group: Group) -> None:
        self.group = group
        self.sound = True
        self.told: BaseException | None = None
        self.interrupted = False
        self._late: BaseException | None = None

    @property
    def first(self) -> bool:
        """Whether this process is the one that decides."""
        return self.group.rank == 0

    # ---- numbers -------------------------------------------------------------------

    def sum(self, array: Array) -> Array:
        """Add up an array over all processes.

        Raises
        ------
        GroupError
            If the group fails.
        """
        return self._call(lambda: self.group.sum(array))

    def total(self, size: int, compute: Callable[[], Any]) -> Array:
        """Add up so many numbers over all processes, each of which computes its own.

        Raises
        ------
        GroupError
            If computing them fails in another process.
        Exception
            If it fails in this one.
        """
        own, error = np.zeros(1 + size), None
        try:
            self.check()
            own[1:] = compute()
        except BaseException as caught:
            error = caught
            own[:] = 0
            own[0] = 1
        found = self.sum(own)
        if found[0]:
            self.fail(error)
        return found[1:]

    def agree(self, do: Callable[[], T]) -> T:
        """Do something that is each process's own, and go on only if it works in all of them."""
        done: list[T] = []

        def attempt() -> tuple[()]:
            done.append(do())
            return ()

        self.total(0, attempt)
        return done[0]

    def gather(self, data: bytes) -> list[bytes]:
        """Get the bytes of all processes, by rank."""
        rank, size = self.group.rank, self.group.size
        lengths = np.zeros(size)
        lengths[rank] = len(data)
        every = [int(length) for length in self.sum(lengths)]
        packed = [-(-length // _PACKED) for length in every]
        ends = [int(end) for end in np.cumsum(packed)]
        numbers = np.zeros(ends[-1])
        own = np.zeros((packed[rank], 8), np.uint8)
        padded = np.frombuffer(data.ljust(_PACKED * len(own), b"\0"), np.uint8)
        own[:, :_PACKED] = padded.reshape(-1, _PACKED)
        numbers[ends[rank] - packed[rank] : ends[rank]] = own.view("<u8")[:, 0]
        whole = self.sum(numbers).astype("<u8").view(np.uint8).reshape(-1, 8)[:, :_PACKED]
        return [
            whole[end - many : end].tobytes()[:length]
            for end, many, length in zip(ends, packed, every, strict=True)
        ]

    # ---- decisions -----------------------------------------------------------------

    def decide(self, compute: Callable[[], bytes]) -> bytes:
        """Get the bytes that rank 0 computes.

        Raises
        ------
        GroupError
            If that fails, and this is another process; in rank 0 what it raised.
        """
        error, data = None, b""
        if self.first:
            try:
                self.check()
                data = b"+" + compute()
            except BaseException as caught:
                error, data = caught, b"-" + _said(caught).encode()
        data = self._call(lambda: self.group.broadcast(data))
        if data[:1] == b"-":
            self._leave(error, {0: data[1:].decode(errors="replace")})
        return data[1:]

    # ---- failures ------------------------------------------------------------------

    def later(self, error: BaseException) -> None:
        """Keep an exception of this process for the next exchange."""
        self._late = self._late or error

    def check(self) -> None:
        """Raise what was kept for later."""
        error, self._late = self._late, None
        if error is not None:
            raise error

    def fail(self, error: BaseException | None) -> None:
        """Leave, once all know that some processes have failed.

        Parameters
        ----------
        error : exception or None
            That of this process, if it is one of these.
        """
        texts = self.gather(b"" if error is None else _said(error).encode())
        why = {i: text.decode(errors="replace") for i, text in enumerate(texts) if text}
        self._leave(error, why)

    def _leave(self, error: BaseException | None, why: dict[int, str]) -> None:
        if error is None:
            text = "; ".join(f"rank {rank} failed: {said}" for rank, said in why.items())
            error = GroupError(f"training together ended: {text}")
        self.leave(error)

    def leave(self, error: BaseException) -> None:
        """Raise an exception in all processes, each of which has found its reason."""
        self.told = error
        raise error

    def _call(self, do: Callable[[], T]) -> T:
        try:
            return do()
        except BaseException as error:
            self.sound = False
            if not isinstance(error, Exception) or isinstance(error, GroupError):
                raise
            raise GroupError(
                f"rank {self.group.rank} of {self.group.size} has lost the others: {_said(error)}"
            ) from error

    # ---- interruptions ---------------------------------------------------------------

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Note Ctrl-C meanwhile, for rank 0 to tell all of it; a second one ends this process.

        The launcher of a group may send it to all processes, of which the others wait to be told.
        """
        main = threading.current_thread() is threading.main_thread()
        before = signal.getsignal(signal.SIGINT) if main else None
        if not callable(before):
            yield
            return

        def note(number: int, frame: Any) -> None:
            if self.interrupted:
                self.sound = False
                before(number, frame)
            self.interrupted = True

        signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:2000]
