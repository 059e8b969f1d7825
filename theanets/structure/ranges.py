"""Whether outputs can be numbers that their losses have no meaning for."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from .. import activations, names
from ..activations.base import Limits
from ..errors import warn
from ..graph import Graph
from ..layers import Feedforward, Layer
from ..layers.convolution import Convolution
from ..layers.feedforward import Tied
from ..losses import Loss

#: What makes an output of the activation of any numbers, and of nothing else.
PLAIN = (Feedforward.transform, Convolution.transform, Tied.transform)


def check(graph: Graph, losses: Sequence[Loss]) -> None:
    """Warn of outputs that can be numbers which a loss has no meaning for.

    Nothing is said where nobody knows what an output can be, as with layers and
    activations of the user's.
    """
    for loss in losses:
        for name, limits in loss.limits().items():
            if name == "target":
                continue
            layer = graph.layer(names.split_output(name)[0])
            given = _given(layer, name)
            if given is not None and not _within(given, limits):
                warn(_message(loss, layer, name, limits, given))


def _given(layer: Layer, output: str) -> Limits | None:
    """Get the limits of an output, or None if nobody knows them."""
    if type(layer).transform not in PLAIN or output != layer.output_name:
        return None
    return activations.limits(layer.activation)


def _within(inner: Limits, outer: Limits) -> bool:
    low = outer[0] is None or (inner[0] is not None and inner[0] >= outer[0])
    return low and (outer[1] is None or (inner[1] is not None and inner[1] <= outer[1]))


def _message(loss: Loss, layer: Layer, output: str, limits: Limits, given: Limits) -> str:
    flags = _lifting(loss, output)
    # For classes, one of which is right; for decisions; for positive quantities.
    name = "softmax" if "logits" in flags else "softplus"
    name = "sigmoid" if limits[1] == 1 else name
    advice = [*(f"the loss {flag}=True" for flag in flags), f"the layer activation={name!r}"]
    return (
        f"loss {loss.name!r} needs numbers {_words(limits)}, but the output {output!r}, of "
        f"activation {layer.activation.name!r}, gives numbers {_words(given)}: training may run "
        f"away; give {' or '.join(advice)}"
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
