"""The step of a compiled function as a program of JAX: by itself, or in a loop over many batches.

What the updates change goes in and comes out, and is used up: its memory is that of what comes.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from operator import attrgetter
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from . import jax_devices
from .base import Unfit

#: What a loop is compiled for, besides shapes.
KINDS = ("steps", "timed", "spread", "mesh")

_SHAPE = attrgetter("shape")


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
        self.run = jax.jit(self._run, donate_argnums=0, static_argnames=KINDS)
        self._single = jax.jit(self._one, donate_argnums=0, static_argnames="mesh")
        self._known: set[Any] = set()

    def one(self, carry: Any, fixed: Any, stepped: Any, batch: Any) -> tuple[list[Any], list[Any]]:
        """Make a step with a batch; get what the updates change, which is used up, and results."""
        shapes = tuple(map(_SHAPE, (*carry, *batch)))
        with nullcontext() if shapes in self._known else warnings.catch_warnings():
            if shapes not in self._known:
                # There is no use for what gets another shape.
                warnings.filterwarnings("ignore", "Some donated buffers", UserWarning)
            found: tuple[list[Any], list[Any]] = self._single(
                carry, fixed, stepped, batch, mesh=jax_devices.mesh()
            )
        self._known.add(shapes)
        return found

    def shapes(self, carry: Any, fixed: Any, stepped: Any, batch: Any) -> list[Any]:
        """Get the shapes and types of the results of a step."""
        found: list[Any] = self._single.eval_shape(
            carry, fixed, stepped, batch, mesh=jax_devices.mesh()
        )[1]
        return found

    def _one(
        self,
        carry: Sequence[Any],
        fixed: Sequence[Any],
        stepped: Sequence[Any],
        batch: Sequence[Any],
        *,
        mesh: Any,
    ) -> tuple[list[Any], list[Any]]:
        arguments = dict(enumerate(batch))
        arguments.update(zip(self.carried, carry, strict=True))
        arguments.update(zip(self.fixed, fixed, strict=True))
        arguments.update(zip(self.stepped, stepped, strict=True))
        outputs = self._step(*(arguments[place] for place in range(self._inputs)))
        new = [
            _lying(jnp.asarray(outputs[k]).astype(before.dtype), mesh)
            for k, before in zip(self._updates, carry, strict=True)
        ]
        return new, [jnp.asarray(outputs[k]) for k in self._returned]

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

        def once(carry: Sequence[Any], i: Any) -> tuple[Any, Any]:
            own = _lying(rows[i], mesh, *([jax_devices.ROWS] if divided else []))
            batch = [array.at[own].get(mode="promise_in_bounds") for array in data]
            if steps is not None:
                for k in timed:
                    batch[k] = batch[k][:, :steps]
            for k, other in spread:
                batch[k] = jnp.broadcast_to(batch[k], batch[other].shape)
            new, results = self._one(carry, fixed, [v[i] for v in stepped], batch, mesh=mesh)
            if any(after.shape != before.shape for after, before in zip(new, carry, strict=True)):
                raise Unfit
            return new, results

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


def _lying(array: Any, mesh: Any, *axes: str) -> Any:
    """Say how an array lies on several devices."""
    if mesh is None:
        return array
    return lax.with_sharding_constraint(array, jax_devices.sharding(mesh, *axes))
