"""Random numbers for JAX: each call of a function gets them, or keys, from our generators.

PyTensor's linker for JAX copies a shared generator when it compiles, and goes on from
there: one that is seeded anew, restored from a file or copied is not looked at again.
Here the generators say what comes, as they do for the other linkers. On a CPU they draw the
numbers themselves before each call, see `by_jax_on_cpu`. Elsewhere functions have keys in their
place, which are drawn from them before each call, and the numbers are others.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import pytensor
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.graph.traversal import graph_inputs
from pytensor.link.jax.dispatch import jax_funcify
from pytensor.tensor.random.type import RandomType, random_generator_type

from .by_jax_on_cpu import Drawn

#: Numbers of 32 bits in a key.
WORDS = 2


class FromKey(Op):
    """A generator that starts from a key."""

    __props__ = ()

    def make_node(self, key: Any) -> Apply:
        """Apply it to a vector of integers."""
        return Apply(self, [key], [random_generator_type()])

    def perform(self, node: Any, inputs: Any, outputs: Any) -> None:
        """Make NumPy's generator."""
        outputs[0][0] = np.random.default_rng(inputs[0])


@jax_funcify.register(FromKey)
def _from_key(op: FromKey, **kwargs: Any) -> Any:
    # What PyTensor's linker takes for a generator, as far as it uses it.
    return lambda key: {"jax_state": key}


def _platform() -> str:
    """Get the kind of the device that JAX computes on now."""
    chosen = jax.config.jax_default_device
    return str(getattr(chosen, "platform", chosen) or jax.default_backend())


class Chance:
    """What stands for the generators that some expressions draw from, and for the draws.

    Parameters
    ----------
    arguments : list of variables
        What a function takes.
    outputs : expression or list of expressions
        What it returns.
    updates : dict
        Its updates.
    function : callable
        Compiles, see `theanets.backends.function`.

    Attributes
    ----------
    givens : dict
        What stands for draws, or for generators.
    updates : dict
        The updates of all that is no generator.
    """

    def __init__(
        self,
        arguments: Sequence[Any],
        outputs: Any,
        updates: Mapping[Any, Any],
        function: Callable[..., Any],
    ) -> None:
        returned = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        found = dict.fromkeys(
            variable
            for variable in graph_inputs([*returned, *updates.values()])
            if isinstance(variable, SharedVariable) and isinstance(variable.type, RandomType)
        )
        self._found, self._drawn = list(found), None
        if found and _platform() == "cpu":
            self._drawn = Drawn(arguments, returned, updates, function)
        self._keys = {
            variable: pytensor.shared(np.zeros(WORDS, "uint32"), name=f"key {variable.name}")
            for variable in found
            if self._drawn is None or variable not in self._drawn.generators
        }
        # One that is not updated gives the same numbers with each call.
        self._moving = found.keys() & updates.keys()
        self.givens = {variable: FromKey()(key) for variable, key in self._keys.items()}
        if self._drawn is not None:
            self.givens.update(self._drawn.givens)
        self.updates = {k: v for k, v in updates.items() if k not in found}

    def containers(self) -> list[Any]:
        """Get the containers of what is new in each call."""
        drawn = () if self._drawn is None else self._drawn.givens.values()
        return [variable.container for variable in (*self._keys.values(), *drawn)]

    def states(self) -> list[Any]:
        """Get copies of the generators as they are."""
        return [copy.deepcopy(variable.get_value(borrow=True)) for variable in self._found]

    def restore(self, states: Sequence[Any]) -> None:
        """Put generators back to where they were."""
        for variable, state in zip(self._found, states, strict=True):
            variable.set_value(state, borrow=True)

    def draw(self, arguments: Sequence[Any]) -> None:
        """Draw anew, for a call with some arguments."""
        if self._drawn is not None:
            self._drawn.draw(arguments)
        for variable, key in self._keys.items():
            generator = variable.get_value(borrow=True)
            if variable not in self._moving:
                generator = copy.deepcopy(generator)
            key.set_value(generator.integers(2**32, size=WORDS, dtype="uint32"), borrow=True)


__all__ = ["Chance", "FromKey"]
