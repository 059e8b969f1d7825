"""Compiled functions of JAX: what they need besides their arguments is on the device.

PyTensor's function hands the arrays of its shared variables to JAX as they are, and those of
NumPy would go to the device with each call. Here each stays there from the second call on, until
it is set anew: one that is set for each call would gain nothing. In the variables there stay
NumPy's arrays, which users and other linkers read.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any
from weakref import WeakKeyDictionary

import jax
import numpy as np

from .jax_random import Chance

#: By the containers of shared variables: the array that was there, and what functions get for
#: it, the same one or that on the device.
_held: WeakKeyDictionary[Any, tuple[np.ndarray, np.ndarray | jax.Array]] = WeakKeyDictionary()


class Held:
    """A compiled function whose shared arrays are held on the device between calls.

    Parameters
    ----------
    function : Function
        PyTensor's.
    chance : Chance
        What it has in the place of generators.
    in_place : set
        Containers whose arrays functions of other linkers change in place. They are not held.
    """

    def __init__(self, function: Any, chance: Chance, in_place: Container[Any]) -> None:
        self._function, self._chance, self._in_place = function, chance, in_place
        drawn = chance.containers()
        shared = [v.container for v in function.get_shared()]
        self._shared = [container for container in shared if container not in drawn]

    def __call__(self, *arguments: Any) -> Any:
        self._chance.draw(arguments)
        lent = []
        for container in self._shared:
            value = container.storage[0]
            if isinstance(value, np.ndarray) and container not in self._in_place:
                host, given = _held.get(container, (None, None))
                if host is not value:
                    # Nobody else has this view, so that it is only there as long as nothing
                    # is set, be it the same array again.
                    host = given = value.view()
                elif given is host:
                    given = jax.device_put(host)
                _held[container] = host, given
                container.storage[0] = given
                lent.append((container, host, given))
        try:
            return self._function(*arguments)
        finally:
            for container, host, given in lent:
                if container.storage[0] is given:
                    container.storage[0] = host
                else:
                    _held.pop(container, None)  # an update has left another one

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_function"], name)
