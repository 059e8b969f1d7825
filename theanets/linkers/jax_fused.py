"""Many steps of a compiled function in one call of JAX.

A step of a usual network takes XLA less time than Python needs to call it. So `Fused` has XLA go
through many: the data lie on the device, a table of rows says which of them each batch has, and
what the updates change goes from step to step there. How many steps a call makes is a number
that XLA gets with it: nothing is compiled for it, and the results are the same bits however the
steps are divided between calls.

Between calls the variables hold arrays of NumPy, as everybody else reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from ..interruption import uninterrupted
from . import jax_devices
from .base import Unfit

if TYPE_CHECKING:
    from .jax_function import Drawing

Array = npt.NDArray[Any]

#: Steps of a call at most, and bytes of what it has for all its steps.
MOST, TABLE_BYTES = 1024, 2**26

#: Bytes of data that lie on a device that does not say how much memory it has, and the part of
#: the memory of one that says so.
DATA_BYTES, DATA_PART = 2**31, 0.5

#: Bytes of an array from which it is taken to the device once for all parts of a call.
LARGE = 4096

#: Where arrays begin that XLA reads on a CPU without a copy.
ALIGNED = 64

#: Steps between two looks of a GPU at how many there are; each has it wait for the host.
STRIDE = 16


class Fused:
    """Calls of a function for many batches at once.

    Parameters
    ----------
    function : Drawing
        The function of one batch.
    resident : Resident
        The arrays that batches are rows of, see `theanets.data`.
    stepped : list of containers
        Those of shared variables of which each call gets a value for each batch.
    """

    def __init__(self, function: Drawing, resident: Any, stepped: Sequence[Any]) -> None:
        self._chance = function.chance
        self._drawn = list(self._chance.containers())
        stride = 1 if jax_devices.current().platform == "cpu" else STRIDE
        self._loop = function.loop((*self._drawn, *stepped), stride)
        self._resident = resident
        self._mesh = jax_devices.mesh()
        self._kinds = {"timed": resident.timed, "spread": resident.spread, "mesh": self._mesh}
        self._tables: dict[Any, list[Array]] = {}
        #: The array that a call left in a container, and the same on the device.
        self._held: dict[Any, tuple[Array, jax.Array]] = {}

    def __call__(
        self,
        batches: Sequence[tuple[Array, int | None]],
        values: Sequence[Array] = (),
        anew: bool = True,
    ) -> list[list[Array]]:
        """Make a step for each batch.

        Parameters
        ----------
        batches : list of (ndarray of int, int or None)
            Rows of each, and the steps of its series.
        values : list of ndarray
            Of each variable in ``stepped``, a value for each batch.
        anew : bool
            Whether somebody may have changed arrays in place since the last call.

        Returns
        -------
        list of list of ndarray
            For each batch, what the function returns.

        Raises
        ------
        Unfit
            If the steps cannot follow each other so; nothing has changed then.
        """
        if anew:
            self._held.clear()
        carry = [self._on_device(container) for container in self._loop.carried.values()]
        fixed = [self._fixed(container) for container in self._loop.fixed.values()]
        found: list[list[Array]] = []
        groups = [(k, [b[0] for b in some]) for k, some in groupby(batches, _kind)]
        before = self._chance.states() if any(k not in self._tables for k, _ in groups) else []
        try:
            for kind, rows in groups:
                while rows:
                    part = [v[len(found) : len(found) + len(rows)] for v in values]
                    carry, made = self._part(carry, fixed, kind, rows, part)
                    found += made
                    rows = rows[len(made) :]
        except Unfit:
            self._chance.restore(before)
            raise
        # Copies, as the memory of the others is given to the next call.
        hosts = [np.array(array) for array in carry]
        with uninterrupted():
            for container, host, array in zip(
                self._loop.carried.values(), hosts, carry, strict=True
            ):
                container.storage[0] = host
                self._held[container] = host, array
        return found

    def _on_device(self, container: Any) -> jax.Array:
        host = container.storage[0]
        # What is held is used up by the call, be it that it fails.
        held, array = self._held.pop(container, (None, None))
        # Not said to be for one device, as neither is what is updated: that is compiled anew.
        kept = array is not None and held is host
        return array if kept else jax_devices.put(jnp.array(host))

    def _fixed(self, container: Any) -> Any:
        host = container.storage[0]
        if host.nbytes < LARGE:
            return host
        held, array = self._held.get(container, (None, None))
        if array is None or held is not host:
            array = jax_devices.put(host)
            self._held[container] = host, array
        return array

    def _part(
        self,
        carry: Sequence[Any],
        fixed: Sequence[Any],
        kind: tuple[int, int | None],
        rows: Sequence[Array],
        values: Sequence[Array],
    ) -> tuple[Any, list[list[Array]]]:
        """Make as many steps with batches of one kind as a call has room for."""
        tables = self._filled(kind, rows, values, carry, fixed)
        count = min(len(rows), len(tables[0]))
        carry, results = self._loop.run(
            carry, fixed, self._data, tables[0], tables[1:], count, steps=kind[1], **self._kinds
        )
        # This waits for the end, as the tables may be read where they are.
        read = [np.asarray(result) for result in results]
        return carry, [[result[i] for result in read] for i in range(count)]

    def _filled(
        self,
        kind: tuple[int, int | None],
        rows: Sequence[Array],
        values: Sequence[Array],
        carry: Sequence[Any],
        fixed: Sequence[Any],
    ) -> list[Array]:
        """Get the tables of what each step has its own of: rows, draws, and values."""
        tables, drawn = self._tables.get(kind), len(self._drawn)
        batch = self._batch(*kind) if drawn else ()
        for i in range(len(rows)):
            if drawn:
                self._chance.draw(batch)
            each = [rows[i], *(c.storage[0] for c in self._drawn), *(v[i] for v in values)]
            if tables is None:
                each = list(map(np.asarray, each))
                tables = self._tables[kind] = self._new_tables(kind, each, carry, fixed)
            for table, value in zip(tables, each, strict=True):
                table[i] = value
            if i + 1 == len(tables[0]):
                break
        assert tables is not None
        return tables

    def _new_tables(
        self,
        kind: tuple[int, int | None],
        each: Sequence[Array],
        carry: Sequence[Any],
        fixed: Sequence[Any],
    ) -> list[Array]:
        many = -(-len(self._resident.arrays[0]) // len(each[0]))
        results = self._loop.shapes(carry, fixed, each[1:], self._batch(*kind))
        size = sum(a.nbytes for a in each) + sum(r.size * r.dtype.itemsize for r in results)
        # A power of two, as another number of examples would be compiled for anew.
        room = min(1 << (min(MOST, many) - 1).bit_length(), TABLE_BYTES // size)
        kinds = ["int32", *(a.dtype for a in each[1:])]
        return [_aligned((max(1, room), *a.shape), k) for a, k in zip(each, kinds, strict=True)]

    def _batch(self, size: int, steps: int | None) -> list[Array]:
        """Get arrays of the shapes of a batch."""
        found = [np.zeros((size, *a.shape[1:]), a.dtype) for a in self._resident.arrays]
        for k in self._resident.timed if steps is not None else ():
            found[k] = found[k][:, :steps]
        for k, other in self._resident.spread:
            found[k] = np.zeros(found[other].shape, found[k].dtype)
        return found

    @property
    def _data(self) -> list[jax.Array]:
        placed, where = self._resident.placed, self._mesh or jax_devices.current()
        if where not in placed:
            arrays = self._resident.arrays
            placed[where] = [jax_devices.put(_with_room(array)) for array in arrays]
        found: list[jax.Array] = placed[where]
        return found


def worth_it(function: Any, resident: Any) -> bool:
    """Tell whether many steps of a function are better made in one call, on the device of now.

    In a loop XLA computes convolutions on a CPU by slower code, and arrays have to fit. Several
    devices are only there for such calls.
    """
    device = jax_devices.current()
    if not resident.placed and resident.nbytes > _free(device):
        return False
    kinds = {type(node.op).__name__.lower() for node in function.maker.fgraph.apply_nodes}
    slower = device.platform == "cpu" and any("conv" in kind for kind in kinds)
    return not slower or jax_devices.mesh() is not None


def _free(device: Any) -> float:
    """Get how many bytes of data may be put on a device."""
    stats = device.memory_stats() or {}
    if "bytes_limit" not in stats:
        return DATA_BYTES
    return float(DATA_PART * (stats["bytes_limit"] - stats.get("bytes_in_use", 0)))


def _kind(batch: tuple[Array, int | None]) -> tuple[int, int | None]:
    """Get what tells batches apart that are other programs."""
    return len(batch[0]), batch[1]


def _with_room(array: Array) -> Array:
    """Get a copy of an array with more rows, so that there are few different numbers of these."""
    rows = len(array)
    part = 1 << max(0, rows.bit_length() - 4)
    found = np.zeros((-(-rows // part) * part, *array.shape[1:]), array.dtype)
    found[:rows] = array
    return found


def _aligned(shape: tuple[int, ...], kind: Any) -> Array:
    """Get an array that a CPU can read where it is."""
    kind = np.dtype(kind)
    size = int(np.prod(shape)) * kind.itemsize
    memory = np.zeros(size + ALIGNED, "uint8")
    start = -memory.ctypes.data % ALIGNED
    return memory[start : start + size].view(kind).reshape(shape)
