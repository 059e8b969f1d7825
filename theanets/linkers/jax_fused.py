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
from jax import lax

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

#: Where arrays begin that XLA reads on a CPU without a copy.
ALIGNED = 64

#: Steps between two looks of a GPU at how many there are; each has it wait for the host.
STRIDE = 16


class Loop:
    """What XLA compiles: a loop over the steps of a function.

    Parameters
    ----------
    function : Function
        PyTensor's.
    stepped : list of containers
        Shared variables of which each step has a value of its own.
    stride : int
        Steps that are made without a look at how many there are.
    """

    def __init__(self, function: Any, stepped: Sequence[Any], stride: int) -> None:
        graph, inputs = function.maker.fgraph, function.input_storage
        places = {id(container.storage): i for i, container in enumerate(inputs)}
        shared = {places[id(v.container.storage)]: v.container for v in function.get_shared()}
        updated = dict(sorted(graph.update_mapping.items()))
        #: By the place among the inputs: the containers of what is updated, of what each step
        #: has its own of, and of the rest.
        self.carried = {i: shared[i] for i in updated.values()}
        self.stepped = {places[id(container.storage)]: container for container in stepped}
        known = {*self.carried, *self.stepped}
        self.fixed = {i: container for i, container in shared.items() if i not in known}
        self._step = function.vm.jit_fn.__wrapped__
        self._inputs, self._updates = len(inputs), list(updated)
        self._returned = [k for k in range(len(graph.outputs)) if k not in updated]
        self._stride = stride
        #: How many arrays a step returns.
        self.results = len(self._returned)
        self.run = jax.jit(
            self._run, donate_argnums=0, static_argnames=("steps", "timed", "spread", "mesh")
        )

    def _run(
        self,
        carry: Sequence[Any],
        fixed: Sequence[Any],
        data: Sequence[Any],
        rows: Any,
        stepped: Sequence[Any],
        count: Any,
        *,
        steps: int | None,
        timed: tuple[int, ...],
        spread: tuple[tuple[int, int], ...],
        mesh: Any = None,
    ) -> Any:
        # What can be, is divided between the devices; XLA finds out what follows from it.
        divided = mesh is not None and rows.shape[1] % mesh.size == 0

        def lying(array: Any, *axes: str) -> Any:
            if mesh is None:
                return array
            return lax.with_sharding_constraint(array, jax_devices.sharding(mesh, *axes))

        def once(carry: Sequence[Any], i: Any) -> tuple[Any, Any]:
            own = lying(rows[i], *([jax_devices.ROWS] if divided else []))
            batch = [array.at[own].get(mode="promise_in_bounds") for array in data]
            if steps is not None:
                for k in timed:
                    batch[k] = batch[k][:, :steps]
            for k, other in spread:
                batch[k] = jnp.broadcast_to(batch[k], batch[other].shape)
            arguments = dict(enumerate(batch))
            arguments.update(zip(self.carried, carry, strict=True))
            arguments.update(zip(self.fixed, fixed, strict=True))
            arguments.update(zip(self.stepped, (values[i] for values in stepped), strict=True))
            outputs = self._step(*(arguments[place] for place in range(self._inputs)))
            new = [jnp.asarray(outputs[k]) for k in self._updates]
            if any(after.shape != before.shape for after, before in zip(new, carry, strict=True)):
                raise Unfit
            new = [
                lying(after.astype(before.dtype)) for after, before in zip(new, carry, strict=True)
            ]
            return new, [jnp.asarray(outputs[k]) for k in self._returned]

        def body(i: Any, state: Any) -> Any:
            carry, tables = state
            carry, results = once(carry, i)
            return carry, [t.at[i].set(r) for t, r in zip(tables, results, strict=True)]

        def several(i: Any, state: Any) -> Any:
            first = i * self._stride
            return lax.fori_loop(0, self._stride, lambda j, state: body(first + j, state), state)

        shapes = jax.eval_shape(lambda carry: once(carry, 0)[1], list(carry))
        tables = [jnp.zeros((len(rows), *shape.shape), shape.dtype) for shape in shapes]
        state, done = (list(carry), tables), 0
        if self._stride > 1:
            state = lax.fori_loop(0, count // self._stride, several, state)
            done = count - count % self._stride
        return lax.fori_loop(done, count, body, state)


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
        fixed = [container.storage[0] for container in self._loop.fixed.values()]
        found: list[list[Array]] = []
        for kind, group in groupby(batches, lambda batch: (len(batch[0]), batch[1])):
            rows = [batch[0] for batch in group]
            while rows:
                part = [v[len(found) : len(found) + len(rows)] for v in values]
                carry, made = self._part(carry, fixed, kind, rows, part)
                found += made
                rows = rows[len(made) :]
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
        return array if array is not None and held is host else self._put(jnp.array(host))

    def _put(self, array: Any) -> jax.Array:
        # Not said to be for one device, as neither is what is updated: that is compiled anew.
        mesh = self._mesh
        return jax.device_put(array, None if mesh is None else jax_devices.sharding(mesh))

    def _part(
        self,
        carry: Sequence[Any],
        fixed: Sequence[Any],
        kind: tuple[int, int | None],
        rows: Sequence[Array],
        values: Sequence[Array],
    ) -> tuple[Any, list[list[Array]]]:
        """Make as many steps with batches of one kind as a call has room for."""
        before = [] if kind in self._tables else self._chance.states()
        tables = self._filled(kind, rows, values)
        count = min(len(rows), len(tables[0]))
        try:
            carry, results = self._loop.run(
                carry, fixed, self._data, tables[0], tables[1:], count, steps=kind[1], **self._kinds
            )
        except Unfit:
            self._chance.restore(before)
            raise
        # This waits for the end, as the tables may be read where they are.
        read = [np.asarray(result) for result in results]
        return carry, [[result[i] for result in read] for i in range(count)]

    def _filled(
        self, kind: tuple[int, int | None], rows: Sequence[Array], values: Sequence[Array]
    ) -> list[Array]:
        """Get the tables of what each step has its own of: rows, draws, and values."""
        tables, drawn = self._tables.get(kind), len(self._drawn)
        batch = self._batch(*kind) if drawn else ()
        for i in range(len(rows)):
            if drawn:
                self._chance.draw(batch)
            each = [rows[i], *(c.storage[0] for c in self._drawn), *(v[i] for v in values)]
            if tables is None:
                tables = self._tables[kind] = self._new_tables(list(map(np.asarray, each)))
            for table, value in zip(tables, each, strict=True):
                table[i] = value
            if i + 1 == len(tables[0]):
                break
        assert tables is not None
        return tables

    def _new_tables(self, each: Sequence[Array]) -> list[Array]:
        many = -(-len(self._resident.arrays[0]) // len(each[0]))
        room = min(MOST if self._loop.results == 1 else MOST // STRIDE, many)
        # A power of two, as another number of examples would be compiled for anew.
        room = min(1 << (room - 1).bit_length(), TABLE_BYTES // sum(a.nbytes for a in each))
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
            placed[where] = [self._put(_with_room(array)) for array in self._resident.arrays]
        found: list[jax.Array] = placed[where]
        return found


def worth_it(function: Any, resident: Any) -> bool:
    """Tell whether many steps of a function are better made in one call, on the device of now.

    In a loop XLA computes convolutions on a CPU by slower code, and arrays have to fit. Several
    devices are only there for such calls.
    """
    device = jax_devices.current()
    limit = (device.memory_stats() or {}).get("bytes_limit")
    if resident.nbytes > (DATA_BYTES if limit is None else DATA_PART * limit):
        return False
    kinds = {type(node.op).__name__.lower() for node in function.maker.fgraph.apply_nodes}
    slower = device.platform == "cpu" and any("conv" in kind for kind in kinds)
    return not slower or jax_devices.mesh() is not None


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
