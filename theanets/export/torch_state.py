"""Parameters of a network as PyTorch's modules have them in their state."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import names, process
from ..errors import ConfigurationError
from ..layers import Layer
from ..structure import Structure
from .torch_arrays import PAIRS, TORCH, Array, flat_order

#: Forms whose outputs PyTorch's counterparts have with channels first.
PLACES = (
    *("conv1", "conv2", "conv1_transposed", "conv2_transposed", "pool1", "pool2", "upsample1"),
    *("upsample2", "pad1", "pad2", "batch_norm", "group_norm", "instance_norm"),
)

#: Forms that scale and move what they have normalized.
NORMS = ("batch_norm", "layer_norm", "rms_norm", "group_norm", "instance_norm")

#: Parts of a block of a transformer, and what they are called in a TransformerEncoderLayer.
PARTS = {"attention": "self_attn", "hidden": "linear1", "feedforward": "linear2"}


def state_of(net: Structure, like: Iterable[str] | None = None) -> dict[str, Array]:
    """Get what `theanets.export.to_torch_state` returns."""
    with process.hold([*net.params, *net.state]):
        found: dict[str, Array] = {}
        every = {str(layer.name): Layer.registry.name_of(type(layer)) for layer in net.layers}
        blocks = {name for name, form in every.items() if form == "transformer"}
        plain: set[str] = set()
        alone = net.metadata.get(TORCH, {}).get("module")
        for layer in net.layers:
            if layer.params:
                own = _state(layer, _path(layer, blocks))
                if alone is not None:
                    own = {_without(key, alone): value for key, value in own.items()}
                found.update(own)
                plain |= _plain(own, str(every[str(layer.name)]))
        found = {key: np.array(value, order="C") for key, value in found.items()}
    return found if like is None else _as_wanted(found, list(like), plain)


def _without(key: str, module: str) -> str:
    """Get the name of an entry without that of the module, where all is of one."""
    return key.removeprefix(f"{module}.")


def _plain(found: dict[str, Array], form: str) -> set[str]:
    """Get the entries without which a layer gives the same: biases of zeros, scales of ones."""
    scales = form in NORMS
    return {
        key
        for key, value in found.items()
        if ("bias" in key.rpartition(".")[2] and not value.any())
        or (scales and key.rpartition(".")[2] == "weight" and (value == 1).all())
    }


def _as_wanted(found: dict[str, Array], like: list[str], plain: set[str]) -> dict[str, Array]:
    """Get what is wanted, where nothing is left out but what changes nothing."""
    extra = [key for key in found if key not in like and key not in plain]
    missing = [key for key in like if key not in found]
    if extra or missing:
        said = ", ".join(
            [
                *(f"{key!r} is not in it" for key in extra),
                *(f"{key!r} is nothing here" for key in missing),
            ]
        )
        if any("bias" in key.rpartition(".")[2] for key in extra):
            said += (
                "; biases that a module does not have stay zeros if train freezes them (freeze=)"
            )
        raise ConfigurationError(f"like= has other names than the network: {said}")
    return {key: found[key] for key in like}


def _refused(layer: Layer, why: str) -> ConfigurationError:
    form = Layer.registry.name_of(type(layer))
    return ConfigurationError(f"layer {layer.name!r} ({form}): {why}")


def _path(layer: Layer, blocks: set[str]) -> str:
    """Get the path of the module of a layer; parts of transformers have other names there."""
    block, _, part = str(layer.name).rpartition("/")
    part = PARTS.get(part, part) if block in blocks else part
    return ".".join([*block.split("/"), part]) if block else part


def _state(layer: Layer, path: str) -> dict[str, Array]:
    """Get the entries of a layer, by the path of its module."""
    form = str(Layer.registry.name_of(type(layer)))
    path, _, number = path.partition("+")
    if form == "bidirectional":
        forward, backward = layer.workers
        ending = f"_l{number or 0}"
        return {
            **_named(f"{path}.", _recurrence(forward, "forward"), ending),
            **_named(f"{path}.", _recurrence(backward, "backward"), f"{ending}_reverse"),
        }
    if layer.is_recurrent:
        return _named(f"{path}.", _recurrence(layer, "forward"), f"_l{number or 0}")
    if layer.activation.name == "prelu" and list(layer._params) == ["leak"]:
        return {f"{path}.weight": _ordered(layer, layer.find("leak").get_value(), 0)}
    params = _values(layer)
    if form == "attention" and set(params) != {"w", "b", "wo", "bo"}:
        raise _refused(layer, "only attention of a series to itself has a counterpart, with biases")
    if form in ("feedforward", "classifier") and set(params) != {"w", "b"}:
        raise _refused(
            layer,
            f"it has the parameters {', '.join(params)}, and a Linear has a matrix and a bias; "
            "several inputs go through 'concatenate' first, an activation with parameters has a "
            "layer of its own: dict(form='add', activation='prelu')",
        )
    if form not in PAIRS:
        raise _refused(layer, "its parameters have no counterpart in PyTorch")
    found = PAIRS[form].theirs(params)
    if form in ("feedforward", "classifier"):
        found["weight"] = _ordered(layer, found["weight"], 1)
    elif form in ("batch_norm", "layer_norm", "rms_norm"):
        found = {k: _ordered(layer, v, 0) if v.ndim else v for k, v in found.items()}
    return _named(f"{path}.", found, "")


def _values(layer: Layer) -> dict[str, Array]:
    return {k: v.get_value() for k, v in {**layer._params, **layer._state}.items()}


def _named(start: str, found: dict[str, Array], ending: str) -> dict[str, Array]:
    return {f"{start}{key}{ending}": value for key, value in found.items()}


def _recurrence(layer: Layer, direction: str) -> dict[str, Array]:
    """Get the entries of a recurrence in one direction."""
    form = str(Layer.registry.name_of(type(layer)))
    options = {key: getattr(layer, key) for key in layer.valid_options()}
    expected: dict[str, tuple[Any, ...]] = {"zoneout": (0, 0.0)}
    if form == "lstm":
        expected.update(peepholes=(False,), normalized=(False,))
    elif form == "gru":
        expected.update(reset_after=(True,))
    elif form != "rnn":
        raise _refused(layer, "it has no counterpart in PyTorch; rnn, lstm and gru have")
    for key, values in expected.items():
        if options[key] not in values:
            raise _refused(layer, f"{key}={options[key]!r} has no counterpart, {values[0]!r} has")
    activations = {"rnn": ("tanh", "relu"), "gru": ("tanh",)}.get(form, ())
    if activations and layer.activation.name not in activations:
        raise _refused(
            layer,
            f"activation={layer.activation.name!r} has no counterpart, "
            f"{' or '.join(map(repr, activations))} has",
        )
    if (options["direction"] or "forward") != direction:
        raise _refused(
            layer, f"direction={options['direction']!r} has no counterpart but in 'bidirectional'"
        )
    return PAIRS[form].theirs(_values(layer))


# ---- the order of flat images ------------------------------------------------------------


def _ordered(layer: Layer, value: Array, axis: int) -> Array:
    """Get an array with an entry for each one of the input in the order of PyTorch's."""
    order = _order(layer)
    if order is None:
        return value
    made = np.empty_like(value)
    made[(slice(None),) * axis + (order,)] = value
    return made


def _order(layer: Layer) -> Array | None:
    """Get which entry of PyTorch's each one of a layer's input is; None if they are the same."""
    sources = _sources(layer)
    return _order_of(sources[0]) if len(sources) == 1 else None


def _order_of(layer: Layer) -> Array | None:
    """Get which entry of PyTorch's each one of a layer's output is."""
    form, sources = Layer.registry.name_of(type(layer)), _sources(layer)
    if len(layer.output_shape) != 1:
        return None
    if form == "flatten" and _channels_first(layer):
        *lengths, channels = (int(n or 0) for n in layer.input_shape)
        return flat_order(tuple(lengths), channels)
    if form == "concatenate":
        parts, start = [], 0
        for source in sources:
            size = int(source.output_shape[-1] or 0)
            part = _order_of(source)
            parts.append(start + (np.arange(size) if part is None else part))
            start += size
        return np.concatenate(parts)
    return _order_of(sources[0]) if _keeps(layer) else None


def _channels_first(layer: Layer) -> bool:
    """Tell whether what goes into a layer has channels first in PyTorch."""
    sources = _sources(layer)
    while len(sources) and len(sources[0].output_shape) > 1:
        if Layer.registry.name_of(type(sources[0])) in PLACES:
            return True
        if not _keeps(sources[0]):
            return False
        sources = _sources(sources[0])
    return False


def _keeps(layer: Layer) -> bool:
    """Tell whether an entry of the output stands for the same as that of the input."""
    merges = Layer.registry.name_of(type(layer)) in ("add", "product")
    return layer.keeps_entries or merges


def _sources(layer: Layer) -> list[Layer]:
    """Get the layers that feed another."""
    return [layer.layers[names.split_output(name)[0]] for name in layer.input_names]


__all__ = ["state_of"]
