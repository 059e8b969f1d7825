"""Forward functions: from the inputs of a network to outputs, compiled."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytensor.compile.mode import Mode

from .. import backends
from ..objective import Strengths

if TYPE_CHECKING:
    from .base import Structure


class Compiled:
    """A function from inputs to some outputs.

    Parameters
    ----------
    net : Structure
        The network.
    wanted : list of str, optional
        Full names of the outputs; by default all, with what noise adds.
    regularizers : list of Regularizer
        Noise to put in the graph.
    given : dict of str to variable
        Variables that stand for some outputs, instead of the inputs.
    mode : str or Mode or None
        How to compile.
    training : bool
        Whether layers that differ in training show their training form. What
        they would change by it is left as it is.
    """

    def __init__(
        self,
        net: Structure,
        wanted: Sequence[str] | None,
        regularizers: Sequence[Any],
        given: Mapping[str, Any],
        mode: Mode | str | None,
        training: bool = False,
    ) -> None:
        self.strengths = Strengths(net.dtype)
        self.strengths.number(regularizers)
        outputs = net.graph.outputs(
            training=training,
            carries=False,
            regularizers=regularizers,
            needed=wanted,
            given=given,
            seed=net.seed,
            level=self.strengths.level,
        )
        self.generators = outputs.generators
        kept = {*net.params, *net.state}
        self.wanted = list(outputs if wanted is None else wanted)
        self.function = backends.function(
            list(given.values()) or net.inputs,
            [outputs[name] for name in self.wanted],
            {v: new for v, new in outputs.updates.items() if v not in kept},
            mode=mode,
            dtype=net.dtype,
            name="predict",
        )

    def moved(self, to: Callable[[Any], Any]) -> Compiled:
        """Get the same on other variables: those of another network."""
        found = copy.copy(self)
        found.strengths = self.strengths.moved(to)
        found.generators = self.generators.moved(to)
        found.function = backends.moved(self.function, to)
        return found
