"""Which steps of the series of a network exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytensor.tensor as pt

from .errors import ConfigurationError, unknown
from .expressions import Expression
from .layers import Layer
from .losses import Loss
from .names import split_output


def from_weights(layers: Mapping[str, Layer], losses: Sequence[Loss]) -> tuple[dict[str, Any], Any]:
    """Get the number of steps of each series from the weights of a loss.

    Parameters
    ----------
    layers : dict
        The network's layers by name, in order.
    losses : list of Loss
        Its losses, bound. The first one counts that has weights for the
        steps of an output that is a series, (time, variables).

    Returns
    -------
    (dict, variable or None)
        Expressions of shape (batch,) by the full name of an output: the steps
        up to the last one of positive weight, for the output and for all that
        it is computed from as far as these determine it. And the weights.
    """
    for loss in losses:
        weights = loss._weights
        if weights is None or weights.ndim < 2 or not loss.by_step:
            continue
        layer, output = split_output(loss.output_name)
        if len(layers[layer].output_shapes[output]) != 2:
            continue
        positive = pt.gt(weights, 0)
        if weights.ndim > 2:
            positive = positive.any(axis=tuple(range(2, weights.ndim)))
        numbers = pt.arange(1, positive.shape[1] + 1)
        found = pt.switch(positive, numbers, 0).max(axis=1)
        return _traced(layers, loss.output_name, found), weights
    return {}, None


def _traced(
    layers: Mapping[str, Layer], name: str, lengths: Mapping[str, Expression]
) -> dict[str, Expression]:
    """Follow series back to the inputs."""
    found = {name: lengths}
    stack = [name]
    while stack:
        output = stack.pop()
        layer, key = split_output(output)
        for source, steps in layers[layer].steps_before(key, found[output]).items():
            if source not in found:
                found[source] = steps
                stack.append(source)
    return found


def same_time(layers: Mapping[str, Layer], output: str) -> set[str]:
    """Get the names of the outputs before one whose series have its steps."""
    layer, key = split_output(output)
    if len(layers[layer].output_shapes[key]) != 2:
        return set()
    lengths = pt.lvector()
    return {name for name, found in _traced(layers, output, lengths).items() if found is lengths}


def from_inputs(layers: Mapping[str, Layer]) -> dict[str, Any]:
    """Get the number of steps of input series from the network's layers of lengths.

    Parameters
    ----------
    layers : dict
        The network's layers by name, in order.

    Returns
    -------
    dict
        Variables of shape (batch,) by the full name of an input.

    Raises
    ------
    ConfigurationError
        If a layer of lengths is of something that is no input, or two are of
        the same one.
    """
    inputs = [name for name, layer in layers.items() if layer.is_input and not layer.holds_lengths]
    holders = [layer for layer in layers.values() if layer.holds_lengths]
    found: dict[str, Any] = {}
    for holder in holders:
        for name in holder.named():
            if name not in inputs:
                raise unknown(f"input of= of layer {holder.full_name!r}", name, inputs)
            key = layers[name].output_name
            if key in found:
                raise ConfigurationError(
                    f"layer {holder.full_name!r}: of={holder.of!r}, but the lengths of {name!r} "
                    f"are those of {found[key].name!r} already"
                )
            found[key] = holder.variable
    free = [holder for holder in holders if not holder.named()]
    # Of several, it is not known which is of which input.
    if len(free) == 1:
        for name in inputs:
            found.setdefault(layers[name].output_name, free[0].variable)
    return found


__all__ = ["from_inputs", "from_weights", "same_time"]
