"""Batches that come in: each changed by a function, or the first of them kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any


def mapped(data: Any, function: Callable[[Any], Any]) -> Any:
    """Get data of the same kind whose batches are what a function makes of them.

    Parameters
    ----------
    data : iterator, callable or iterable
        Gives batches.
    function : callable
        Maps a batch to another.

    Returns
    -------
    iterator, callable or iterable
        What ``data`` is; with a ``len()``, if ``data`` has one.
    """
    if hasattr(data, "__next__"):
        return map(function, data)
    sized = hasattr(type(data), "__len__")
    if callable(data):
        return (_SizedCall if sized else _Call)(data, function)
    return (_SizedIterable if sized else _Iterable)(data, function)


class _Mapped:
    def __init__(self, data: Any, function: Callable[[Any], Any]) -> None:
        self.data, self.function = data, function


class _Call(_Mapped):
    def __call__(self) -> Any:
        return self.function(self.data())


class _Iterable(_Mapped):
    def __iter__(self) -> Iterator[Any]:
        return map(self.function, self.data)


class _Sized(_Mapped):
    def __len__(self) -> int:
        return len(self.data)


class _SizedCall(_Sized, _Call):
    pass


class _SizedIterable(_Sized, _Iterable):
    pass


class Kept:
    """The first batches of an iterator, as many times as they are needed.

    Parameters
    ----------
    batches : iterator
        Gives them once.
    number : int
        How many to keep.
    """

    def __init__(self, batches: Iterator[Any], number: int) -> None:
        self._batches = list(islice(batches, number))

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._batches)
