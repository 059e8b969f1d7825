"""Compiled functions of JAX: what they need besides their arguments, and where it is.

PyTensor's function hands the arrays of its shared variables to JAX as they are, and those of
NumPy go to the device with each call. In a loop that is a waste, so `Drawing.repeated` gives a
function for it, by which each array stays on the device from the second call on, until it is
set anew: one that is set for each call would gain nothing. Not beyond the loop: whoever has an
array of NumPy may change it in place, as functions of other linkers do, and nothing tells. In
the variables there stay NumPy's arrays, which users and other linkers read.

What calls in a loop change is there once: each has the memory of what it gets for what it leaves.
So these are arrays of JAX in the variables, until the end of the loop puts NumPy's there.

JAX is also told to have double precision, as PyTensor does in its default configuration: there may
be networks of float64, and integers of 64 bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..interruption import uninterrupted
from ..ops.draws.by_jax import Chance
from . import jax_devices, jax_fused
from .jax_loop import Loop

jax.config.update("jax_enable_x64", True)


class Drawing:
    """A compiled function with new random numbers for each call.

    Parameters
    ----------
    function : Function
        PyTensor's.
    chance : Chance
        What it has in the place of generators.
    """

    def __init__(self, function: Any, chance: Chance) -> None:
        self._function, self.chance = function, chance
        self._loops: dict[Any, Loop] = {}
        drawn = chance.containers()
        shared = [v.container for v in function.get_shared()]
        self._shared = [container for container in shared if container not in drawn]

    def __call__(self, *arguments: Any) -> Any:
        self.chance.draw(arguments)
        return self._function(*arguments)

    def repeated(self) -> Repeated | Updating:
        """Get the function for a loop in which nothing is changed in place."""
        # A shape that is an argument is known to XLA when it compiles.
        if self.maker.fgraph.update_mapping and not self.maker.linker.scalar_shape_inputs:
            return Updating(self)
        return Repeated(self, self._shared)

    def ahead(self, arrays: Sequence[Any]) -> Sequence[Any]:
        """Put the arrays of a batch on the device, in another thread than that which calls."""
        if jax_devices.mesh() is not None:
            return jax_devices.divided(arrays)
        # A CPU reads them where they are.
        return arrays if jax_devices.current().platform == "cpu" else jax.device_put(arrays)

    def fused(self, resident: Any, stepped: Sequence[Any]) -> jax_fused.Fused | None:
        """Get what makes many calls in one, if that is quicker: see `jax_fused.Fused`."""
        if self.maker.linker.scalar_shape_inputs or not jax_fused.worth_it(self, resident):
            return None
        return jax_fused.Fused(self, resident, stepped)

    def loop(self, stepped: Sequence[Any], stride: int) -> Loop:
        """Get the loop over its calls, with the containers of what each has its own of."""
        key = (*map(id, stepped), stride)
        if key not in self._loops:
            self._loops[key] = Loop(self, stepped, stride)
        return self._loops[key]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_function"], name)


class Writing(Drawing):
    """A function that writes into some of its arguments.

    An array of JAX in the place of one of these is used up: its memory is that of what comes of it.
    One of NumPy is copied. What is returned are arrays of JAX.

    Parameters
    ----------
    function : Function
        PyTensor's, one that `fits`.
    chance : Chance
        What it has in the place of generators.
    """

    def __init__(self, function: Any, chance: Chance) -> None:
        super().__init__(function, chance)
        self._written = _written(function)
        self._run = jax.jit(function.vm.jit_fn.__wrapped__, donate_argnums=self._written)

    @staticmethod
    def fits(function: Any) -> bool:
        """Tell whether a function writes into arguments, and changes nothing besides."""
        updates = function.maker.fgraph.update_mapping
        return bool(_written(function)) and not (
            updates or function.maker.linker.scalar_shape_inputs
        )

    def __call__(self, *arguments: Any) -> Any:
        self.chance.draw(arguments)
        given = [container.storage[0] for container in self.input_storage]
        given[: len(arguments)] = arguments
        for place in self._written:
            if not isinstance(given[place], jax.Array):
                given[place] = jnp.array(given[place])
        results = self._run(*given)
        return results[0] if self.unpack_single else list(results)


def _written(function: Any) -> tuple[int, ...]:
    """Get the places of arguments that a function may write into."""
    # Shared variables, which come last, are not meant.
    many = len(function.maker.inputs) - len(function.get_shared())
    inputs = function.maker.inputs[:many]
    return tuple(place for place, one in enumerate(inputs) if one.mutable)


class Repeated:
    """A function whose shared arrays are held on the device between its calls.

    Parameters
    ----------
    function : callable
    shared : list of containers
        Those of the shared variables to hold.
    """

    def __init__(self, function: Drawing, shared: list[Any]) -> None:
        self._function, self._shared = function, shared
        #: The array that was in a container, and what the function gets for it, the same one
        #: or that on the device.
        self._held: dict[Any, tuple[np.ndarray, np.ndarray | jax.Array]] = {}

    def __call__(self, *arguments: Any) -> Any:
        lent = []
        for container in self._shared:
            value = container.storage[0]
            if isinstance(value, np.ndarray):
                host, given = self._held.get(container, (None, None))
                if host is not value:
                    # Nobody else has this view, so that it is only there as long as nothing
                    # is set, be it the same array again.
                    host = given = value.view()
                elif given is host:
                    given = jax_devices.put(host)
                self._held[container] = host, given
                container.storage[0] = given
                lent.append((container, host, given))
        try:
            return self._function(*jax_devices.divided(arguments))
        finally:
            for container, host, given in lent:
                if container.storage[0] is given:
                    container.storage[0] = host
                else:
                    self._held.pop(container, None)  # an update has left another one

    def settle(self) -> None:
        """Have NumPy's arrays in the variables again."""
        _settle(self._shared, {})


class Updating:
    """A function whose updates stay on the device between its calls, and are there once.

    Parameters
    ----------
    function : Drawing
    """

    def __init__(self, function: Drawing) -> None:
        self._chance = function.chance
        self._loop = function.loop(self._chance.containers(), 1)
        self._single = function.unpack_single
        self._carried = list(self._loop.carried.values())
        #: What was in a container at first, and what the last call has left there.
        self._first: dict[Any, Any] = {}
        self._left: dict[Any, jax.Array] = {}
        #: The array of what is not updated, and the same on the device.
        self._held: dict[Any, tuple[Any, Any]] = {}

    def __call__(self, *arguments: Any) -> Any:
        self._chance.draw(arguments)
        carry = [self._own(container) for container in self._carried]
        fixed = [self._lying(container) for container in self._loop.fixed.values()]
        stepped = [container.storage[0] for container in self._loop.stepped.values()]
        batch = jax_devices.divided(arguments)
        with uninterrupted():  # what is used up must not be what is left
            new, results = self._loop.one(carry, fixed, stepped, batch)
            for container, array in zip(self._carried, new, strict=True):
                container.storage[0] = self._left[container] = array
        for result in results:
            result.copy_to_host_async()
        return results[0] if self._single else results

    def _own(self, container: Any) -> jax.Array:
        """Get an array that is used up by the next call, and that nobody else has."""
        value = container.storage[0]
        if self._left.get(container) is value:
            found: jax.Array = value
            return found
        self._first[container] = value
        return jax_devices.put(jnp.array(value))

    def _lying(self, container: Any) -> Any:
        value = container.storage[0]
        host, given = self._held.get(container, (None, None))
        if host is not value:
            given = value
        elif given is host:
            given = jax_devices.put(host)
        self._held[container] = value, given
        return given

    def settle(self) -> None:
        """Have NumPy's arrays in the variables again."""
        _settle(self._carried, self._first)


def _settle(containers: Sequence[Any], first: Mapping[Any, Any]) -> None:
    """Put NumPy's arrays in the place of JAX's; those of the start where a call has failed."""
    with uninterrupted():
        for container in containers:
            value = container.storage[0]
            if isinstance(value, jax.Array):
                lost = value.is_deleted()
                container.storage[0] = first[container] if lost else np.array(value)
