"""Groups: the processes that train together, and what they can tell each other."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import numpy.typing as npt

Array = npt.NDArray[Any]

T = TypeVar("T")


class Group(Protocol):
    """Some processes, each of which runs the same program on rows of its own.

    It is all that training together needs to know of MPI, gloo or whatever else carries
    messages; about ten lines make one of any of these. All processes call the same methods in
    the same order. Each call waits for all others, so that one that never comes has to be found
    by the group: it then raises whatever exception it likes, which becomes a `GroupError`.

    A group may have a method ``abort(error)``. It is called where an exception leaves this
    process while the others wait for it, and is to end their waiting.

    Attributes
    ----------
    rank : int
        The number of this process, from 0 on. That of rank 0 decides what only one can decide,
        and writes files.
    size : int
        How many there are.
    """

    rank: int
    size: int

    def sum(self, array: Array) -> Array:
        """Add up the arrays of all processes, entry by entry.

        Parameters
        ----------
        array : ndarray
            One axis, float32 or float64, C-contiguous and writeable, of the same length and
            type in all processes; it may have no entry. It may be overwritten.

        Returns
        -------
        ndarray
            The sum, of the same bits in all processes: the same array or another.
        """

    def broadcast(self, data: bytes) -> bytes:
        """Get the bytes that rank 0 gave; what the others give does not matter."""


class Alone:
    """The group of a process that has no others."""

    rank, size = 0, 1

    def sum(self, array: Array) -> Array:
        """Get the array itself."""
        return array

    def broadcast(self, data: bytes) -> bytes:
        """Get the bytes themselves."""
        return data


class _Room:
    """Where threads meet, in one round after the other."""

    def __init__(self, size: int, timeout: float) -> None:
        self.size, self.timeout = size, timeout
        self.changed = threading.Condition()
        self.rounds: dict[int, dict[int, Any]] = {}
        self.left = False

    def leave(self) -> None:
        """Say that somebody will not come any more."""
        with self.changed:
            self.left = True
            self.changed.notify_all()


class Threads:
    """A group of threads of this process, see `together`; to try what runs on several machines."""

    def __init__(self, room: _Room, rank: int) -> None:
        self.rank, self.size = rank, room.size
        self._room, self._round = room, 0

    def _all(self, own: Any) -> list[Any]:
        room = self._room
        with room.changed:
            places = room.rounds.setdefault(self._round, {})
            room.rounds.pop(self._round - 1, None)  # whoever was there has it
            self._round += 1
            places[self.rank] = own
            room.changed.notify_all()

            def complete() -> bool:
                return len(places) == self.size

            room.changed.wait_for(lambda: complete() or room.left, room.timeout)
            if not complete():
                raise RuntimeError("another thread has left" if room.left else "nobody came")
        return [places[rank] for rank in range(self.size)]

    def sum(self, array: Array) -> Array:
        """Add up the arrays in the order of the ranks."""
        arrays = self._all(array.copy())
        found = arrays[0].copy()
        for other in arrays[1:]:
            found += other
        return found

    def broadcast(self, data: bytes) -> bytes:
        """Get what rank 0 gave."""
        return bytes(self._all(data)[0])

    def abort(self, error: BaseException) -> None:
        """End the waiting of the others."""
        self._room.leave()


def together(size: int, work: Callable[[Any], T], timeout: float = 120) -> list[T]:
    """Call a function in several threads, each with its `Threads`.

    A network must not be trained by two of them: each needs one of its own.

    Parameters
    ----------
    size : int
        How many threads.
    work : callable
        Takes a group.
    timeout : float
        Seconds that one waits for the others.

    Returns
    -------
    list
        What the calls returned, by rank.

    Raises
    ------
    ExceptionGroup
        If any calls raised an exception: all of these, in the order of the ranks.
    """
    room = _Room(size, timeout)
    results: list[Any] = [None] * size
    errors: list[BaseException | None] = [None] * size

    def run(rank: int) -> None:
        try:
            results[rank] = work(Threads(room, rank))
        except BaseException as error:
            errors[rank] = error
            room.leave()

    threads = [threading.Thread(target=run, args=(rank,), daemon=True) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    raised = [error for error in errors if error is not None]
    if raised:
        raise BaseExceptionGroup("threads of a group failed", raised)
    return results


def copies(size: int, net: Any) -> list[Any]:
    """Get so many copies of a network, for `together`."""
    return [copy.deepcopy(net) for _ in range(size)]
