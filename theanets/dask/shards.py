"""Data in blocks: arrays and dataframes of Dask, as the rows that go together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..data.tables import is_dask, plain, without_numbers
from ..errors import DataError


def is_frame(value: Any) -> bool:
    """Tell dataframes and series of Dask from arrays."""
    # What is delayed has any attribute.
    return hasattr(type(value), "npartitions") and hasattr(type(value), "divisions")


def named(data: Any) -> tuple[list[str] | None, list[Any]]:
    """Get the collections in data, and their names if the data are a dict."""
    if isinstance(data, Mapping):
        return list(data), list(data.values())
    return None, list(data) if isinstance(data, (list, tuple)) else [data]


def check(
    collections: Sequence[Any], where: str, *, numbers: bool = True, series: bool = False
) -> None:
    """Refuse what is not a collection of Dask whose blocks are rows.

    Parameters
    ----------
    collections : list
        What was given.
    where : str
        What it is called in messages.
    numbers : bool
        Whether columns of dataframes have to hold numbers.
    series : bool
        Whether arrays may hold objects, which are series of different lengths.

    Raises
    ------
    DataError
        If one is something else, or is cut along another axis.
    """
    for i, one in enumerate(collections, 1):
        place = f"{where}, array {i} of {len(collections)}"
        if not is_dask(one) or not (is_frame(one) or hasattr(type(one), "chunks")):
            raise DataError(
                f"{place} is a {type(one).__name__}; expected is an array or a dataframe of Dask, "
                f"such as {_made_of(one)}"
            )
        if is_frame(one):
            wrong = without_numbers(one) if numbers else ""
            if wrong:
                raise DataError(f"{place}: {wrong}")
            continue
        if one.dtype == object and not series:
            raise DataError(
                f"{place} holds objects, such as series of different lengths; pad these to one "
                "length, and give how many steps each has by name: {'in': x, 'lengths': steps, "
                "'target': y}, for a network with dict(form='lengths', name='lengths', of='in')"
            )
        cut = [axis for axis, sizes in enumerate(one.chunks) if axis and len(sizes) > 1]
        if not one.chunks or cut:
            axes = ", ".join(f"{axis}: -1" for axis in cut)
            raise DataError(
                f"{place} has the chunks {one.chunks}; rows have to be whole: "
                f"x.rechunk({{{axes}}}) makes them so"
            )


def _made_of(value: Any) -> str:
    """Say how what is none becomes a collection with rows."""
    if hasattr(type(value), "to_dataframe"):  # a bag
        return "its to_dataframe() makes of records, or to_delayed() and from_delayed of others"
    if is_dask(value):
        return "dask.array.from_delayed makes of what is delayed, once its shape is known"
    return "dask.array.from_array(x, chunks=10_000) makes of an array"


class Shards:
    """Rows in blocks, each of which is where Dask has it or makes it.

    Parameters
    ----------
    data : array, dataframe, list, tuple or dict of these
        Collections of Dask that are cut alike; arrays whose blocks have known sizes are cut as
        the first of them.
    where : str
        What they are called in messages.
    series : bool
        Whether arrays may hold objects, which are series of different lengths.

    Attributes
    ----------
    names : list of str or None
        Names of the arrays, if the data are a dict.
    blocks : list of list of Delayed
        Of each block its arrays, in order.

    Raises
    ------
    DataError
        If they are something else, or not cut alike.
    """

    def __init__(self, data: Any, where: str, *, series: bool = False) -> None:
        self.names, collections = named(data)
        check(collections, where, series=series)
        collections = _alike(collections, where)
        parts = [list(np.ravel(one.to_delayed())) for one in collections]
        if len({len(part) for part in parts}) != 1:
            numbers = ", ".join(str(len(part)) for part in parts)
            raise DataError(
                f"{where}: the arrays have {numbers} blocks; the rows of block i of each have to "
                "be the same"
            )
        self.blocks = [list(block) for block in zip(*parts, strict=True)]


def _alike(collections: list[Any], where: str) -> list[Any]:
    """Cut arrays with known sizes of blocks alike."""
    known = [c for c in collections if not is_frame(c) and not np.isnan(c.chunks[0]).any()]
    if len({c.shape[0] for c in known}) > 1:
        lengths = ", ".join(str(c.shape[0]) for c in known)
        raise DataError(f"{where}: the arrays differ in length: {lengths}; they must agree")
    if not known:
        return collections
    rows = known[0].chunks[0]
    return [c.rechunk({0: rows}) if any(c is k for k in known) else c for c in collections]


def in_arrays(parts: Sequence[Any]) -> list[Any]:
    """Get the arrays or tables of a block as arrays in memory."""
    return [plain(part) for part in parts]


def together(names: Sequence[str] | None, arrays: Sequence[Any]) -> Any:
    """Get the arrays of a block in the form that the data had."""
    return list(arrays) if names is None else dict(zip(names, arrays, strict=True))
