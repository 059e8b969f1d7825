"""Where the states of a recurrent layer start, and what is carried on from part to part."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytensor
import pytensor.tensor as pt

from ...expressions import filled, untrained
from ...ops.recurrent import Layout, StepFunction
from ..signals import Inputs

if TYPE_CHECKING:
    from .base import Recurrent

#: The state that counts the steps of series that are continued.
COUNT = "count"


def given_states(layer: Recurrent) -> list[tuple[str, str]]:
    """Get the states whose start an option names, each with the option."""
    return [(s, o) for s, o in layer.initial.items() if getattr(layer, o) is not None]


def initial_states(layer: Recurrent, inputs: Inputs, series: Any, layout: Layout) -> list[Any]:
    """Get the states before the first step, (batch, size) each, in the order of the layout.

    These are the ones that the inputs hold, that the last batch ended with,
    that options name, or zeros.
    """
    sizes = layer.sizes()
    names = dict(zip((s for s, _ in given_states(layer)), layer.input_names[1:], strict=False))
    found = []
    for state, size in layout.states.items():
        if state in inputs.initial:
            found.append(inputs.initial[state])
        elif layer.stateful and inputs.carries:
            found.append(_carried(layer, state, series.shape[0], sizes[size]))
        elif state in names:
            (which, parts), width = layer.part, sizes[size]
            given = inputs[names[state]]
            whole = parts == 1
            found.append(given if whole else given[:, which * width : (which + 1) * width])
        else:
            found.append(filled(0, (series.shape[0], sizes[size]), layer.dtype))
    return found


def _carried(layer: Recurrent, state: str, batch: Any, width: int) -> Any:
    """Get the state that the last batch ended with, for as many rows as it had."""
    if state not in layer.carried:
        name = f"{layer.name}:{state}"
        none = np.zeros((0, width), layer.dtype)
        variable = pytensor.shared(none, name=name, shape=(None, width))
        layer.carried[state] = untrained(variable)
    known = layer.carried[state]
    rows = pt.minimum(known.shape[0], batch)
    return pt.set_subtensor(pt.zeros((batch, width), dtype=layer.dtype)[:rows], known[:rows])


def continued(layer: Recurrent) -> Layout:
    """Get what a step works on where series are continued: the number of steps, too."""
    layout = layer.layout()
    if not layer.counts:
        return layout
    width = next(iter(layout.states.values()))
    return replace(layout, states={**layout.states, COUNT: width})


def counted(layer: Recurrent) -> StepFunction:
    """Get the step of a layer as one that counts, in a state, how many came before."""

    def step(x: Any, s: Any, v: Any, dot: Any, count: Any) -> Any:
        before = getattr(s, COUNT)
        states, outputs = layer.formulas(x, s, v, dot, before)
        return {**states, COUNT: before + 1}, outputs

    return step
