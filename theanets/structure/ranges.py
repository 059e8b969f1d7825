"""Whether outputs can be numbers that their losses have no meaning for."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from .. import activations, names
from ..activations.base import Limits
from ..errors import warn
from ..graph import Graph
from ..layers import (
    BCRNN,
    GRU,
    LSTM,
    MRNN,
    MUT1,
    RNN,
    RRNN,
    SCRN,
    Attention,
    BatchNorm,
    Bidirectional,
    Clockwork,
    Dropout,
    Feedforward,
    Flatten,
    GroupNorm,
    InstanceNorm,
    Layer,
    LayerNorm,
    PoolTime,
    Recurrent,
    Reshape,
    RMSNorm,
    Sequential,
)
from ..layers.convolution import Convolution
from ..layers.feedforward import Tied
from ..layers.merge import Add
from ..layers.pooling import Pooling
from ..losses import Loss

#: What makes an output of the activation of any numbers, and of nothing else.
PLAIN = (
    Feedforward.transform,
    Convolution.transform,
    Tied.transform,
    Add.transform,
    Attention.transform,
    BatchNorm.transform,
    LayerNorm.transform,
    RMSNorm.transform,
    GroupNorm.transform,
    InstanceNorm.transform,
)
#: Recurrences whose output is what the activation gives, times a share or mixed with what was
#: before it, which is 0 at first.
STATES = (
    RNN.formulas,
    LSTM.formulas,
    GRU.formulas,
    MUT1.formulas,
    RRNN.formulas,
    MRNN.formulas,
    SCRN.formulas,
    Clockwork.formulas,
    BCRNN.formulas,
)
#: What passes on numbers of the input, or what lies between such, where its activation is linear.
PASSING = (
    Sequential.transform,
    Pooling.transform,
    PoolTime.transform,
    Dropout.transform,
    Flatten.transform,
    Reshape.transform,
)


def check(graph: Graph, losses: Sequence[Loss], risk: str = "training may run away") -> None:
    """Warn of outputs that can be numbers which a loss has no meaning for, or of one class only.

    Nothing is said where nobody knows what an output can be, as with layers and
    activations of the user's.

    Parameters
    ----------
    graph : Graph
        The layers.
    losses : list of Loss
        The losses.
    risk : str
        What may come of it.
    """
    for loss in losses:
        if loss.labels and graph.shape(loss.output_name)[-1:] == (1,):
            warn(
                f"loss {loss.name!r} is over the classes of the output {loss.output_name!r}, of "
                "which there is one, so that there is nothing to learn; two classes are two "
                "units, and a decision is a Regressor with activation='sigmoid', loss='bce'"
            )
        for name, limits in loss.limits().items():
            if name == "target":
                continue
            layer = graph.layer(names.split_output(name)[0])
            given = _given(graph, name)
            if given is not None and not _within(given, limits):
                message = _message(loss, layer, name, limits, given)
                warn(f"{message}: {risk}; {_advice(loss, layer, name, limits)}")


def _given(graph: Graph, output: str) -> Limits | None:
    """Get the limits of an output, or None if nobody knows them."""
    layer = graph.layer(names.split_output(output)[0])
    if output != layer.output_name:
        return None
    transform = type(layer).transform
    if transform in PASSING and layer.activation.name == "linear":
        # Sums of windows are larger than what is in them.
        summed = getattr(layer, "mode", None) == "sum"
        return None if summed else _given(graph, layer.input_names[0])
    if transform is Bidirectional.transform:
        each = [_of_states(worker) for worker in layer.workers]
        known = [limits for limits in each if limits is not None]
        return _hull(known) if len(known) == len(each) else None
    if transform is Recurrent.transform:
        return _of_states(layer)
    return activations.limits(layer.activation) if transform in PLAIN else None


def _of_states(layer: Any) -> Limits | None:
    """Get the limits of what a recurrence gives; None where nobody knows, or it starts anywhere."""
    known = activations.limits(layer.activation)
    started = any(getattr(layer, option) is not None for option in layer.initial.values())
    if known is None or started or type(layer).formulas not in STATES:
        return None
    return _hull([known, (0, 0)])


def _hull(found: Sequence[Limits]) -> Limits:
    lows, highs = zip(*found, strict=True)
    return (None if None in lows else min(lows)), (None if None in highs else max(highs))


def _within(inner: Limits, outer: Limits) -> bool:
    low = outer[0] is None or (inner[0] is not None and inner[0] >= outer[0])
    return low and (outer[1] is None or (inner[1] is not None and inner[1] <= outer[1]))


def _message(loss: Loss, layer: Layer, output: str, limits: Limits, given: Limits) -> str:
    return (
        f"loss {loss.name!r} needs numbers {_words(limits)}, but the output {output!r}, of "
        f"activation {layer.activation.name!r}, gives numbers {_words(given)}"
    )


def _advice(loss: Loss, layer: Layer, output: str, limits: Limits) -> str:
    flags = _lifting(loss, output)
    # For classes, one of which is right; for decisions; for positive quantities.
    name = "softmax" if "logits" in flags else "softplus"
    name = "sigmoid" if limits[1] == 1 else name
    what = "a further layer" if layer.is_recurrent else "the layer"
    return "give " + " or ".join(
        [*(f"the loss {flag}=True" for flag in flags), f"{what} activation={name!r}"]
    )


def _lifting(loss: Loss, output: str) -> list[str]:
    """Get the options, False now, with which any number will do."""
    found = []
    for key in loss.valid_options():
        if getattr(loss, key) is False:
            other = copy.copy(loss)
            setattr(other, key, True)
            if other.limits().get(output, (None, None)) == (None, None):
                found.append(key)
    return found


def _words(limits: Limits) -> str:
    low, high = limits
    if low is None:
        return "of any size" if high is None else f"up to {high:g}"
    return f"of at least {low:g}" if high is None else f"from {low:g} to {high:g}"
