"""Blocks on the disks of workers: data that are larger than their memory."""

from __future__ import annotations

import math
import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .shards import together

Array = npt.NDArray[Any]

#: Bytes that are read in one piece, and how many pieces are mixed with each other.
PIECE, MIXED = 2**22, 10


class OnDisk:
    """A block of rows in files of this worker's, which end with it.

    Parameters
    ----------
    arrays : list of ndarray
        What is written, and let go.

    Attributes
    ----------
    rows : int
        How many there are.
    row_bytes : int
        The size of one.
    dtypes : list of dtype
        Those of the arrays.
    """

    def __init__(self, arrays: Sequence[Array]) -> None:
        self.rows = len(arrays[0])
        self.dtypes = [array.dtype for array in arrays]
        self._shapes = [array.shape[1:] for array in arrays]
        self.row_bytes = max(1, sum(a.nbytes for a in arrays) // max(1, self.rows))
        place = Path(tempfile.mkdtemp(prefix="theanets-", dir=_directory()))
        self._paths = [place / f"{i}.rows" for i in range(len(arrays))]
        for path, array in zip(self._paths, arrays, strict=True):
            np.ascontiguousarray(array).tofile(path)
        weakref.finalize(self, _remove, place, self._paths)

    def read(self, start: int, stop: int) -> list[Array]:
        """Get rows of each array, in memory."""
        found = []
        for path, dtype, shape in zip(self._paths, self.dtypes, self._shapes, strict=True):
            entries = math.prod(shape)
            begin, count = start * entries * dtype.itemsize, (stop - start) * entries
            array = np.fromfile(path, dtype, count, offset=begin)
            found.append(array.reshape(stop - start, *shape))
        return found

    def __reduce__(self) -> Any:
        # Another worker writes files of its own.
        return OnDisk, (self.read(0, self.rows),)

    def __sizeof__(self) -> int:
        return 1000


class Mixed:
    """Batches of rows on the disk: pieces at random, of which some are mixed at a time.

    Parameters
    ----------
    blocks : list of OnDisk
        The rows.
    names : list of str or None
        Names of the arrays, if batches are to be dicts.
    batch_size : int
        Rows of a batch; the last of all has fewer.
    seed : int or None
        Of the order; without one, rows are in theirs.
    piece : int
        Bytes that are read in one piece, or a few more.
    """

    def __init__(
        self,
        blocks: Sequence[OnDisk],
        names: Any,
        batch_size: int,
        seed: int | None,
        piece: int = PIECE,
    ) -> None:
        self._blocks, self._names, self._size, self._seed = blocks, names, batch_size, seed
        # Of what may be missing, blocks that lack none may have integers.
        columns = zip(*(block.dtypes for block in blocks), strict=True)
        self._dtypes = [np.result_type(*column) for column in columns]
        self._pieces = []
        for block in blocks:
            rows = max(batch_size, piece // block.row_bytes)
            self._pieces += [
                (block, start, min(block.rows, start + rows))
                for start in range(0, block.rows, rows)
            ]

    def __len__(self) -> int:
        return math.ceil(sum(block.rows for block in self._blocks) / self._size)

    def __iter__(self) -> Iterator[Any]:
        generator = None if self._seed is None else np.random.default_rng(self._seed)
        pieces = self._pieces
        if generator is not None:
            pieces = [pieces[i] for i in generator.permutation(len(pieces))]
        left: list[Array] = []
        for first in range(0, len(pieces), MIXED):
            found = _mixed(left, pieces[first : first + MIXED], self._dtypes, generator)
            last = first + MIXED >= len(pieces)
            stop = len(found[0]) if last else len(found[0]) // self._size * self._size
            for start in range(0, stop, self._size):
                rows = slice(start, min(stop, start + self._size))
                yield together(self._names, [array[rows] for array in found])
            # A copy, so that the others are not in memory beside the next ones.
            left = [array[stop:].copy() for array in found]
            del found


def _mixed(
    left: Sequence[Array],
    pieces: Sequence[tuple[OnDisk, int, int]],
    dtypes: Sequence[Any],
    generator: Any,
) -> list[Array]:
    """Get the rows that are left, and after them those of pieces in a random order.

    Each piece is read by itself and let go, so that the rows are in memory once.
    """
    rows = sum(stop - start for _, start, stop in pieces)
    places = np.arange(rows)
    if generator is not None:
        places[generator.permutation(rows)] = np.arange(rows)
    found: list[Array] = []
    before, end = len(left[0]) if left else 0, 0
    for block, start, stop in pieces:
        read = block.read(start, stop)
        if not found:
            shapes = [(before + rows, *array.shape[1:]) for array in read]
            found = list(map(np.empty, shapes, dtypes))
            for array, kept in zip(found, left, strict=False):
                array[:before] = kept
        begin, end = end, end + stop - start
        for array, part in zip(found, read, strict=True):
            array[before + places[begin:end]] = part
    return found


def _directory() -> str | None:
    """Get the worker's directory, which it removes when it ends."""
    from distributed import get_worker

    with suppress(ValueError):
        return str(get_worker().local_directory)
    return None


def _remove(place: Path, paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
    with suppress(OSError):
        os.rmdir(place)
