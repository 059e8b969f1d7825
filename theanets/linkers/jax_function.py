"""Compiled functions of JAX: what they need besides their arguments, and where it is.

PyTensor's function hands the arrays of its shared variables to JAX as they are, and those of
NumPy go to the device with each call. In a loop that is a waste, so `Drawing.repeated` gives a
function for it, by which each array stays on the device from the second call on, until it is
set anew: one that is set for each call would gain nothing. Not beyond the loop: whoever has an
array of NumPy may change it in place, as functions of other linkers do, and nothing tells. In
the variables there stay NumPy's arrays, which users and other linkers read.

JAX is also told to have double precision, as PyTensor does in its default configuration: there may
be networks of float64, and integers of 64 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from ..ops.draws.by_jax import Chance
from . import jax_fused

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
        self._loops: dict[Any, jax_fused.Loop] = {}
        drawn = chance.containers()
        shared = [v.container for v in function.get_shared()]
        self._shared = [container for container in shared if container not in drawn]

    def __call__(self, *arguments: Any) -> Any:
        self.chance.draw(arguments)
        return self._function(*arguments)

    def repeated(self) -> Repeated:
        """Get the function for a loop in which nothing is changed in place."""
        return Repeated(self, self._shared)

    def fused(self, resident: Any, stepped: Sequence[Any]) -> jax_fused.Fused | None:
        """Get what makes many calls in one, if that is quicker: see `jax_fused.Fused`."""
        # A shape that is an argument is known to XLA when it compiles.
        if self.maker.linker.scalar_shape_inputs or not jax_fused.worth_it(self, resident):
            return None
        return jax_fused.Fused(self, resident, stepped)

    def loop(self, stepped: Sequence[Any], stride: int) -> jax_fused.Loop:
        """Get the loop over its calls, with the containers of what each has its own of."""
        key = (*map(id, stepped), stride)
        if key not in self._loops:
            self._loops[key] = jax_fused.Loop(self, stepped, stride)
        return self._loops[key]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_function"], name)


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
                    given = jax.device_put(host)
                self._held[container] = host, given
                container.storage[0] = given
                lent.append((container, host, given))
        try:
            return self._function(*arguments)
        finally:
            for container, host, given in lent:
                if container.storage[0] is given:
                    container.storage[0] = host
                else:
                    self._held.pop(container, None)  # an update has left another one
