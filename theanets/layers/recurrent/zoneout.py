"""Zoneout: units of a recurrent layer that keep their state for a step, at random."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytensor.tensor as pt

from ... import rng as _rng
from ...errors import ConfigurationError, unknown
from ...expressions import Expression
from ...ops.recurrent import Layout, Named, Products, Results, StepFunction
from ...options import as_number
from ..signals import Inputs

if TYPE_CHECKING:
    from .base import Recurrent


def zones(layer: Recurrent) -> dict[str, float]:
    """Get the probabilities by state, without those that are 0.

    Raises
    ------
    ConfigurationError
        If one is no probability, or 1, or of a state that does not exist.
    """
    given, states = layer.zoneout, list(layer.initial)
    found = dict(given) if isinstance(given, Mapping) else dict.fromkeys(states, given)
    for state, rate in found.items():
        if state not in states:
            raise unknown(f"state in zoneout= of layer {layer.full_name!r}", state, states)
        if rate is not None and as_number(rate, "fraction") is None:
            raise ConfigurationError(
                f"layer {layer.full_name!r}: zoneout={given!r} is not a probability in [0, 1), or "
                f"a dict of these for {', '.join(states)}"
            )
    return {state: float(rate) for state, rate in found.items() if rate}


def zoned(
    layer: Recurrent,
    inputs: Inputs,
    layout: Layout,
    z: Expression,
    vectors: Sequence[Expression],
    formulas: StepFunction,
) -> tuple[Layout, Expression, list[Expression], StepFunction]:
    """Get a recurrence with zoneout: its layout, input, vectors and step.

    In training each unit has a block with 1 at steps at which it keeps its
    state; else a vector with the share of the state that it keeps.
    """
    rates = zones(layer)
    sizes, names = layer.sizes(), {state: f"zone_{state}" for state in rates}
    sized = {names[state]: layout.states[state] for state in rates}
    vectors = list(vectors)
    if inputs.training:
        parts = [z]
        for state, rate in rates.items():
            generator = inputs.generator(f"zoneout:{state}")
            shape = (z.shape[0], z.shape[1], sizes[layout.states[state]])
            inputs.updates[generator], draws = _rng.uniform(generator, shape, z.dtype)
            parts.append((draws < np.asarray(rate, z.dtype)).astype(z.dtype))
        z = pt.concatenate(parts, axis=-1)
        layout = dataclasses.replace(layout, blocks={**layout.blocks, **sized})
    else:
        for state, rate in rates.items():
            width = sizes[layout.states[state]]
            vectors.append(pt.as_tensor(np.full(width, rate, layer.dtype)))
        layout = dataclasses.replace(
            layout,
            vectors={**layout.vectors, **sized},
            constant=(*layout.constant, *sized),
        )

    def step(x: Named, s: Named, v: Named, dot: Products, count: Expression) -> Results:
        new, outputs = formulas(x, s, v, dot, count)
        mixed, source = dict(new), x if inputs.training else v
        for state, name in names.items():
            keep, old = getattr(source, name), getattr(s, state)
            # In this form, a state that is kept is so to the last bit.
            mixed[state] = keep * old + (1 - keep) * new[state]
        shown = {
            key: next((mixed[state] for state in names if new[state] is value), value)
            for key, value in outputs.items()
        }
        return mixed, shown

    return layout, z, vectors, step
