"""Random numbers for JAX on a CPU: NumPy draws them before each call, as other linkers do.

So the same seed gives the same numbers. How many are drawn follows from the shapes of the
arguments, and a function of its own draws them. Where another device computes, they would have
to go there with each call, and `by_jax` gives keys instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytensor
from pytensor.compile.mode import get_mode
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Apply, Constant
from pytensor.graph.traversal import graph_inputs, io_toposort
from pytensor.tensor.random.op import RandomVariable
from pytensor.tensor.random.type import RandomType


class Drawn:
    """Arrays in the place of what some expressions draw.

    Parameters
    ----------
    arguments : list of variables
        What a function takes.
    outputs : list of expressions
        What it returns.
    updates : dict
        Its updates.
    function : callable
        Compiles, see `theanets.backends.function`.

    Attributes
    ----------
    givens : dict
        What stands for the draws.
    generators : set
        Those whose draws depend on nothing but shapes. Others are left as they are.
    """

    def __init__(
        self,
        arguments: Sequence[Any],
        outputs: Sequence[Any],
        updates: Mapping[Any, Any],
        function: Callable[..., Any],
    ) -> None:
        nodes = io_toposort([], [*outputs, *updates.values()])
        sources = _sources(nodes, updates)
        self.generators = set(sources.values())
        draws = [n.outputs[1] for n in nodes if n.outputs[0] in sources]
        self.givens = {draw: _holder(draw) for draw in draws}
        self._storages = [holder.container.storage for holder in self.givens.values()]
        following = {g: updates[g] for g in self.generators if g in updates}
        mode = get_mode("FAST_COMPILE").including("random_make_inplace")
        self._draw = function(arguments, draws, following, mode=mode, name="draw")

    def draw(self, arguments: Sequence[Any]) -> None:
        """Draw anew."""
        for storage, array in zip(self._storages, self._draw(*arguments), strict=True):
            storage[0] = array


def _holder(draw: Any) -> Any:
    value = np.zeros([n or 0 for n in draw.type.shape], draw.dtype)
    return pytensor.shared(value, name="draw", shape=draw.type.shape)


def _sources(nodes: Sequence[Apply], updates: Mapping[Any, Any]) -> dict[Any, Any]:
    """Get the shared generator that each state of one comes from, if nothing else needs it."""
    found: dict[Any, Any] = {}
    unfit = set()
    for node in nodes:
        for variable in node.inputs:
            if isinstance(variable, SharedVariable) and isinstance(variable.type, RandomType):
                found[variable] = variable
        states = [found[v] for v in node.inputs if v in found]
        if isinstance(node.op, RandomVariable):
            found.update((node.outputs[0], state) for state in states)
            # Parameters that are computed would be so twice.
            if all(isinstance(p, Constant) for p in graph_inputs(node.op.dist_params(node))):
                continue
        unfit.update(states)
    for shared, after in updates.items():
        if isinstance(shared.type, RandomType) and found.get(after) is not shared:
            unfit.update((shared, found.get(after)))
    return {variable: shared for variable, shared in found.items() if shared not in unfit}
