"""Rows that are kept of each step of series, in arrays with room for those to come.

A state of an open length, such as the keys of attention, has a row for each step so far. To make a
longer array of it at each step would cost more than the step, so that there is room in it for as
many steps again, and what users see is the part that is in use. Steps of a series lie from the
first place on: with a window, the last ones of them. With JAX, the arrays with room stay on the
device from step to step, and a step has the memory of the one before.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

#: Steps that there is room for at least.
LEAST = 16


class Kept(NamedTuple):
    """What a layer keeps.

    Attributes
    ----------
    rooms : tuple of arrays
        With room, (series, steps, units); of NumPy, or where a linker has them.
    rows : tuple of ndarray or Part
        The parts of them that are in use.
    seen : ndarray of shape (series, 1)
        How many steps there were of each series.
    places : ndarray of int64 of shape (series,)
        How many of these are kept.
    """

    rooms: tuple[Any, ...]
    rows: tuple[Any, ...]
    seen: Array
    places: Array


class Part:
    """The part in use of an array of a linker's, of which NumPy's is made where somebody looks.

    Parameters
    ----------
    room : array of shape (series, steps, units)
        It lies on a device, and is that of the next step once that is computed.
    used : int
        How many of the steps are in use.
    """

    def __init__(self, room: Any, used: int) -> None:
        self._room = room
        self.shape = (room.shape[0], used, room.shape[2])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        # A view would keep the memory from being used for the next step.
        return np.array(self._room, dtype)[:, : self.shape[1]]


def _part(room: Any, used: int) -> Any:
    return room[:, :used] if isinstance(room, np.ndarray) else Part(room, used)


class Rooms:
    """The arrays with room of somebody who continues series.

    Nobody else writes into them. So an array that was seen by others is used further only as long
    as it is still that which was given out last; any other is copied.
    """

    def __init__(self) -> None:
        self._given: dict[str, Kept] = {}

    def enter(
        self, name: str, rows: tuple[Any, ...], count: Array, more: int, kept: int | None
    ) -> Kept:
        """Get arrays with room for further steps, which may be written into.

        Parameters
        ----------
        name : str
            Of the layer.
        rows : tuple of ndarray or Part
            What it keeps, (series, steps, units).
        count : ndarray of shape (series, 1)
            How many steps there were of each series.
        more : int
            For how many steps there has to be room.
        kept : int or None
            How many of the steps are needed, the last ones.
        """
        given, used = self._given.get(name), rows[0].shape[1]
        # Counts may have been changed by the user.
        places = np.minimum(count[:, 0].astype("int64"), used)
        mine = given is not None and all(map(_is, rows, given.rows))
        if given is not None and mine and given.rooms[0].shape[1] >= used + more:
            return Kept(given.rooms, rows, count, places)
        rows = shortened(tuple(map(np.asarray, rows)), places, kept)
        if kept is not None:
            places = np.minimum(places, kept)
        used = int(places.max(initial=0))
        # A power of two, as some linkers compile for each size.
        size = 1 << (max(used + more, 2 * (kept or 0), LEAST) - 1).bit_length()
        rooms = []
        for value in rows:
            rooms.append(np.zeros((len(value), size, value.shape[2]), value.dtype))
            rooms[-1][:, :used] = value[:, :used]
        return Kept(tuple(rooms), rows, count, places)

    def leave(self, name: str, before: Kept, rooms: tuple[Any, ...], count: Array) -> Kept:
        """Get what a layer keeps after further steps.

        Parameters
        ----------
        name : str
            Of the layer.
        before : Kept
            From `enter`.
        rooms : tuple of arrays
            The arrays with room, with the rows of these steps.
        count : ndarray of shape (series, 1)
            How many steps there were by now.
        """
        places = before.places + (count - before.seen)[:, 0].astype("int64")
        used = int(places.max(initial=0))
        found = Kept(rooms, tuple([_part(room, used) for room in rooms]), count, places)
        self._given[name] = found
        return found


def _is(a: Any, b: Any) -> bool:
    return a is b


def shortened(rows: tuple[Array, ...], places: Array, kept: int | None) -> tuple[Array, ...]:
    """Get the last steps of each series, where arrays have more; see `Rooms.enter`."""
    if kept is None or int(places.max(initial=0)) <= kept:
        return rows
    found = []
    for value in rows:
        found.append(np.zeros((len(value), kept, value.shape[2]), value.dtype))
        for b, stop in enumerate(places):
            many = min(int(stop), kept)
            found[-1][b, :many] = value[b, stop - many : stop]
    return tuple(found)
