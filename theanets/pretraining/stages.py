"""Stages: the networks that are trained, one after the other, in place of a deep one.

Each shares layers, so also parameters, with the network that is pretrained,
whose structure never changes.

References
----------
Bengio, Lamblin, Popovici & Larochelle 2007, "Greedy layer-wise training of
deep networks".
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from .. import names as _names
from ..errors import ConfigurationError
from ..layers import Flatten, Layer
from ..losses import Loss
from ..structure import Structure
from . import decoders


@dataclass
class Stage:
    """A network to train, and for how much of another one it stands.

    Attributes
    ----------
    net : Structure
        The network; it shares layers with the other.
    new : list of str
        Names of the hidden layers that no stage before had.
    """

    net: Structure
    new: list[str]


# ---- layerwise -----------------------------------------------------------------------


def layerwise(net: Structure) -> list[Stage]:
    """Get the stages that train a network layer by layer.

    Of a network with layers of sizes 3, 4, 5, 6 and 2, these are networks of
    sizes 3, 4, 2, then 3, 4, 5, 2, and then the network itself. Hidden layers
    and their parameters are those of the network; the output layer of a stage
    is a new one, as the network's own does not fit. A layer without a matrix
    of weights (pooling, normalization) comes in together with the layer
    before it. Where the last layers are tied to hidden ones, as in an
    autoencoder of sizes 6, 4, 2, 4, 6, the stages have the tied layers
    themselves: 6, 4, 6 and then all.

    Parameters
    ----------
    net : Structure
        The network.

    Returns
    -------
    list of Stage
        The last is the network itself.

    Raises
    ------
    ConfigurationError
        If the network has no hidden layer with weights, or an output layer
        does not fit on one.
    """
    losses = net.bound_losses()
    layers = net.layers
    tail = _tied_tail(layers)
    ends = tail or _ends(net, losses)
    hidden = [layer for layer in layers if not _among(layer, ends)]
    starts = [i for i, layer in enumerate(hidden) if has_matrix(layer)]
    if not starts:
        raise ConfigurationError(
            "algo='layerwise': the network has no hidden layer with weights to begin with; "
            f"layers: {', '.join(str(layer.name) for layer in layers)}"
        )
    stages, new = [], [str(hidden[starts[0]].name)]
    for start in starts[1:]:
        kept = hidden[:start]
        try:
            top = _above(kept, tail) if tail else _taps(kept, ends, net, losses)
            stage = net.sharing(_layers(net, kept, top), losses) if top else None
            if stage is not None:
                _check_shapes(net, stage, losses)
                stage.bound_losses()
        except ConfigurationError as error:
            raise ConfigurationError(
                f"algo='layerwise': the output cannot be put on top of layer {kept[-1].name!r}: "
                f"{error}"
            ) from error
        finally:
            net.bound_losses()
        if stage is not None:
            stages.append(Stage(stage, new))
            new = []
        new = [*new, str(hidden[start].name)]
    return [*stages, Stage(net, new)]


def has_matrix(layer: Layer) -> bool:
    """Tell whether a layer has weights, and not just biases and the like."""
    return any(param.ndim > 1 for param in layer.params)


def _among(layer: Layer, others: Sequence[Layer]) -> bool:
    return any(layer is other for other in others)


def _check_shapes(net: Structure, stage: Structure, losses: Sequence[Loss]) -> None:
    """Refuse a stage that gives outputs of another shape: the targets would not fit."""
    for name in (name for loss in losses for name in loss.output_names):
        wanted, found = net.graph.shape(name), stage.graph.shape(name)
        if found != wanted:
            raise ConfigurationError(f"{name!r} would have the shape {found}, not {wanted}")


def _tied_tail(layers: Sequence[Layer]) -> list[Layer]:
    """Get the layers from the first tied one on, if none of them has weights of its own."""
    first = next((i for i, x in enumerate(layers) if x.tied_to is not None), len(layers))
    tail = list(layers[first:])
    return [] if any(has_matrix(layer) for layer in tail) else tail


def _above(kept: Sequence[Layer], tail: Sequence[Layer]) -> list[Layer]:
    """Get the layers whose partners there are, the first on top of the last of these."""
    partners = [layer.tied_to for layer in tail]
    first = next((i for i, x in enumerate(partners) if x is not None and _among(x, kept)), None)
    if first is None:
        return []
    # The same parameters with another input.
    moved = copy.copy(tail[first])
    moved.inputs = moved.input_names = [kept[-1].output_name, *moved.input_names[1:]]
    return [moved, *tail[first + 1 :]]


def _ends(net: Structure, losses: Sequence[Loss]) -> list[Layer]:
    """Get the layers that end a network, each with what leads to it from the last weights on."""
    named = net.graph.by_name
    used = {_names.split_output(n)[0] for layer in net.layers for n in layer.input_names}
    found: list[Layer] = []
    for name in _about(losses) - used:
        layer = named[name]
        found.append(layer)
        while not has_matrix(layer) and len(layer.input_names) == 1:
            layer = named[_names.split_output(layer.input_name)[0]]
            if layer.is_input:
                break
            found.append(layer)
    return [layer for layer in net.layers if _among(layer, found)]


def _about(losses: Sequence[Loss]) -> set[str]:
    """Get the names of the layers that losses are about."""
    return {_names.split_output(name)[0] for loss in losses for name in loss.output_names}


def _taps(
    kept: Sequence[Layer], ends: Sequence[Layer], net: Structure, losses: Sequence[Loss]
) -> list[Layer]:
    """Get the output layers of a stage: the network's own where they fit, else new ones."""
    about = _about(losses)
    later = [x for x in net.layers if x.name in about and not _among(x, [*kept, *ends])]
    there = {str(layer.name) for layer in kept}
    used = {_names.split_output(n)[0] for layer in kept for n in layer.input_names}
    tops = [x for x in kept if x.name not in used and not x.is_input]
    made: list[Layer] = []
    for layer in [*ends, *later]:
        fitting = [n for n in layer.input_names if _names.split_output(n)[0] in there]
        if len(fitting) < len(layer.input_names):
            spec = {key: value for key, value in layer.to_spec().items() if key != "form"}
            flat = len(layer.input_shapes[0]) == 1
            on_top = [_flat(top, layer, made) if flat else top.output_name for top in tops]
            layer = type(layer)(**{**spec, "inputs": list(dict.fromkeys([*fitting, *on_top]))})
        else:
            # By default, the input would be whatever comes before it here.
            layer = copy.copy(layer)
            layer.inputs = list(layer.input_names)
        made.append(layer)
        there.add(str(layer.name))
    return made


def _flat(top: Layer, end: Layer, made: list[Layer]) -> str:
    """Get the output of a layer as vectors."""
    if len(top.output_shape) == 1:
        return top.output_name
    made.append(Flatten(f"{end.name}_of_{top.name}", inputs=top.output_name))
    return made[-1].output_name


def _layers(net: Structure, kept: Sequence[Layer], ends: Sequence[Layer]) -> list[Layer]:
    """Get the layers of a stage; it has all inputs, as the data have arrays for them."""
    late = [x for x in net.layers if x.is_input and not _among(x, kept)]
    return [*kept, *late, *ends]


# ---- unsupervised --------------------------------------------------------------------


def unsupervised(net: Structure) -> list[Stage]:
    """Get the stages that train the hidden layers of a network as those of an autoencoder.

    Each stage has the hidden layers up to one, and after it decoders that turn
    these around, with the same weights transposed; it reproduces the input.
    The loss is the mean squared error; for an autoencoder, whose losses are
    about its own input, these.

    Parameters
    ----------
    net : Structure
        The network: a chain of layers, with one input.

    Returns
    -------
    list of Stage
        One for each hidden layer with weights.

    Raises
    ------
    ConfigurationError
        If the network is no such chain, or has no hidden layer with weights,
        or one that cannot be turned around.
    """
    where = "algo='pretrain'"
    inputs = [layer for layer in net.layers if layer.is_input]
    if len(inputs) != 1 or not inputs[0].variable.dtype.startswith("float"):
        described = ", ".join(f"{x.name} ({x.variable.dtype})" for x in inputs)
        raise ConfigurationError(
            f"{where} needs one input of quantities to reproduce; the network has {described}; "
            "try algo='layerwise'"
        )
    if inputs[0].sparse:
        raise ConfigurationError(
            f"{where}: input layer {inputs[0].name!r} is sparse, and what reproduces it would not "
            "be; give it sparse=False, or try algo='layerwise'"
        )
    tied = next((i for i, x in enumerate(net.layers) if x.tied_to is not None), len(net.layers))
    hidden = net.layers[: min(tied, len(net.layers) - 1)]
    starts = [i for i, layer in enumerate(hidden) if has_matrix(layer)]
    if not starts:
        raise ConfigurationError(
            f"{where}: the network has no hidden layer with weights to pretrain; layers: "
            f"{', '.join(str(layer.name) for layer in net.layers)}"
        )
    losses, activation = _reproduction(net)
    output = str(net.layers[-1].name)
    for before, layer in pairwise(hidden):
        decoders.check(layer, before, where)
    # The stages share the decoders too.
    back = decoders.mirror(hidden, output, activation)
    # What a subclass overrides is about the network, and not about its autoencoder.
    whole = net.sharing(_layers(net, hidden, back), losses, own_methods=False)
    parts = [
        net.sharing(_layers(net, hidden[:start], _above(hidden[:start], back)), losses, False)
        for start in starts[1:]
    ]
    return [
        Stage(stage, [str(hidden[start].name)])
        for start, stage in zip(starts, [*parts, whole], strict=True)
    ]


def _reproduction(net: Structure) -> tuple[list[Loss], Any]:
    """Get the losses of the autoencoder, and the activation of its output."""
    variable, last = net.inputs[0], net.layers[-1]
    losses = net.bound_losses()
    own = losses and all(
        loss._target is variable and loss.output_names == [last.output_name] for loss in losses
    )
    if own:
        return losses, last.to_spec()["activation"]
    output = last.output_name
    loss = Loss.build("mse", target=variable, weighted=False, output_name=output)
    return [loss], "linear"
