"""Parameters whose values are at hand: none are drawn while their network is built.

`graph` enters `using` with what a file or a pickle holds; `params` asks `current`
whenever a layer makes a parameter, and takes a stand-in of the right shape in place
of drawn values. A shape that differs is refused before anything takes memory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any

import numpy as np

from ..errors import FileError


class Held:
    """What a file, or a pickle, holds of a network's parameters.

    Parameters
    ----------
    shapes : dict of str to tuple
        The shapes, by the full names of the parameters.
    where : str
        Describes it in messages.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], where: str) -> None:
        self.shapes = shapes
        self.where = where

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Refuse a parameter that is not there, or is of another shape.

        Raises
        ------
        FileError
            Says which.
        """
        if name not in self.shapes:
            raise FileError(f"{self.where}: parameter {name!r} is missing")
        if self.shapes[name] != shape:
            raise FileError(
                f"{self.where}: parameter {name!r} has shape {self.shapes[name]}, "
                f"the network's has {shape}"
            )

    def stand_in(self, name: str, shape: tuple[int, ...], dtype: str) -> Any:
        """Get an array to be replaced, which takes no memory whatever its shape."""
        self.check(name, shape)
        return np.broadcast_to(np.zeros((), dtype), shape)


_current: ContextVar[Held | None] = ContextVar("held", default=None)


@contextlib.contextmanager
def using(held: Held | None) -> Iterator[None]:
    """Make no initial values but stand-ins, if something is held."""
    token = _current.set(held)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> Held | None:
    """Get what is held of the network that is built now."""
    return _current.get()
