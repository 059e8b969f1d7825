"""Networks that are known by name in files of others: the way back of `gpt2` and `resnet`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from safetensors.numpy import save

from .. import atomic, saving
from ..errors import ConfigurationError, naming
from ..export.torch_arrays import PAIRS, Array
from .gpt import ACTIVATIONS, CONFIG, FIXED, GPT2, WEIGHTS, gpt2
from .residual import DEPTHS, resnet

#: Parameters of attention here, and in a checkpoint.
ATTENTION = {
    "w": "c_attn.weight",
    "b": "c_attn.bias",
    "wo": "c_proj.weight",
    "bo": "c_proj.bias",
}


def save_gpt2(net: Any, path: Any) -> None:
    """Write a network as a checkpoint of GPT-2, for `gpt2` and for Hugging Face's libraries.

    Parameters
    ----------
    net : Network
        From `gpt2`, trained on or not, or with the same layers. The bias of
        its output has to be zeros, as GPT-2 has none; ``freeze='out.b'`` of
        ``train`` keeps it so.
    path : path
        A directory, which is made if there is none. It gets
        ``model.safetensors``, with the names of ``GPT2LMHeadModel``, and
        ``config.json``: that which the network came with, but for what it
        says of layers.

    Raises
    ------
    ConfigurationError
        If the network is no such one; says what it has that GPT-2 has not.
    FileError
        If the files cannot be written.
    """
    arrays = saving.arrays(net)
    layers = {str(layer.name): layer for layer in net.layers}
    blocks = 0
    while f"h/{blocks}" in layers:
        blocks += 1
    needed = ("wte", "wpe", "ln_f", "out", "h/0/attn", "h/0/mlp/c_fc")
    missing = [name for name in needed if name not in layers]
    if missing:
        raise ConfigurationError(
            f"the network has no layer {missing[0]!r}, which models.gpt2 would have made"
        )
    if np.any(arrays.get("out.b", 0)):
        raise ConfigurationError(
            "'out.b' is not zeros, but the output of GPT-2 has no bias; train with freeze='out.b'"
        )
    found = {
        "transformer.wte.weight": arrays["wte.w"],
        "transformer.wpe.weight": arrays["wpe.w"],
        **_norm(arrays, "ln_f"),
    }
    for i in range(blocks):
        name, start = f"h/{i}", f"transformer.h.{i}"
        found.update(_norm(arrays, f"{name}/ln_1") | _norm(arrays, f"{name}/ln_2"))
        for key, theirs in ATTENTION.items():
            found[f"{start}.attn.{theirs}"] = arrays[f"{name}/attn.{key}"]
        for part in ("c_fc", "c_proj"):
            for key, theirs in (("w", "weight"), ("b", "bias")):
                found[f"{start}.mlp.{part}.{theirs}"] = arrays[f"{name}/mlp/{part}.{key}"]
    config = _config(net, layers, blocks)
    _check(net, lambda **options: gpt2(found, config=config, **options))
    folder = os.fspath(path)
    with naming(path):
        os.makedirs(folder, exist_ok=True)
    _write(os.path.join(folder, WEIGHTS), found)
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    atomic.write(os.path.join(folder, CONFIG), text.encode())


def _norm(arrays: Mapping[str, Array], name: str) -> dict[str, Array]:
    """Get the entries of a normalization."""
    theirs = PAIRS["layer_norm"].theirs(
        {key: arrays[f"{name}.{key}"] for key in ("scale", "shift")}
    )
    path = name.replace("/", ".")
    return {f"transformer.{path}.{key}": value for key, value in theirs.items()}


def _config(net: Any, layers: Mapping[str, Any], blocks: int) -> dict[str, Any]:
    """Get the configuration: what the network came with, and what its layers say."""
    attention, hidden = layers["h/0/attn"], layers["h/0/mlp/c_fc"]
    activation = hidden.activation.name
    known = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
    if activation not in known:
        raise ConfigurationError(
            f"layer 'h/0/mlp/c_fc' has the activation {activation!r}, which GPT-2 has not; "
            f"{', '.join(map(repr, known))} have names there"
        )

    def rate(name: str) -> float:
        return float(layers[name].rate) if name in layers else 0.0

    symbols, size = layers["wte"].find("w").get_value(borrow=True).shape
    found: dict[str, Any] = {"architectures": ["GPT2LMHeadModel"], **FIXED}
    if symbols <= 50256:
        # Of the published vocabulary, they would be the last symbol.
        found.update(bos_token_id=None, eos_token_id=None)
    found.update(net.metadata.get(GPT2, {}))
    found.update({key: net.dtype for key in ("dtype", "torch_dtype") if key in found})
    found.update(
        vocab_size=int(symbols),
        n_positions=int(layers["wpe"].steps),
        n_embd=int(size),
        n_layer=blocks,
        n_head=int(attention.heads),
        n_inner=int(hidden.output_size),
        layer_norm_epsilon=float(layers["ln_f"].epsilon),
        embd_pdrop=rate("drop"),
        resid_pdrop=rate("h/0+dropout"),
        attn_pdrop=float(attention.dropout),
    )
    if ACTIVATIONS.get(found.get("activation_function", "")) != activation:
        found["activation_function"] = known[activation]
    return found


def save_resnet(net: Any, path: Any) -> None:
    """Write the weights of a residual network, for `resnet` and for torchvision's models.

    Parameters
    ----------
    net : Network
        From `resnet`, trained on or not. Biases of its convolutions, which
        torchvision's have not, go into the running means of the
        normalizations behind them, which is the same.
    path : path
        The file, of safetensors, that is written.

    Raises
    ------
    ConfigurationError
        If the network is no such one.
    FileError
        If the file cannot be written.
    """
    layers = {str(layer.name): layer for layer in net.layers}
    counts: list[int] = []
    while f"layer{len(counts) + 1}/0" in layers:
        stage = f"layer{len(counts) + 1}"
        counts.append(sum(name.startswith(f"{stage}/") and name.count("/") == 1 for name in layers))
    kind = (tuple(counts), 4 if "layer1/0/conv3" in layers else 1)
    depth = next((depth for depth, each in DEPTHS.items() if each == kind), None)
    if depth is None or not {"conv1", "fc"} <= set(layers):
        raise ConfigurationError(
            f"the network has stages of {counts} blocks; those that models.resnet makes have "
            "others, and layers 'conv1' and 'fc'"
        )
    state = net.to_torch_state()
    for key in [key for key in state if _is_convolution(key) and key.endswith(".bias")]:
        mean = f"{_norm_behind(key.removesuffix('.bias'))}.running_mean"
        state[mean] = state[mean] - state.pop(key)
    _check(
        net,
        lambda **options: resnet(
            depth,
            len(state["fc.weight"]),
            state,
            shape=layers["in"].output_shape,
            width=len(state["conv1.weight"]),
            **options,
        ),
    )
    _write(path, state)


def _is_convolution(key: str) -> bool:
    module = key.rpartition(".")[0]
    return module.rpartition(".")[2].startswith("conv") or module.endswith("downsample.0")


def _norm_behind(module: str) -> str:
    """Get the normalization of what a convolution gives."""
    if module.endswith("downsample.0"):
        return f"{module[:-1]}1"
    start, _, name = module.rpartition(".")
    return f"{start}.{name.replace('conv', 'bn')}".removeprefix(".")


def _check(net: Any, read: Callable[..., Any]) -> None:
    """Refuse a network that would not be read as what it is.

    Raises
    ------
    ConfigurationError
        Names what differs.
    """
    again = read(model=type(net), dtype=net.dtype, loss=None, mode="FAST_COMPILE")
    one, other = ({str(x.name): x.to_spec() for x in each.layers} for each in (net, again))
    more, less = [n for n in one if n not in other], [n for n in other if n not in one]
    if more or less:
        raise ConfigurationError(
            f"the network has {'a' if more else 'no'} layer {(more or less)[0]!r}, of which such a "
            f"model has {'none' if more else 'one'}"
        )
    for name, spec in one.items():
        for key in sorted({*spec, *other[name]} - {"rng"}):
            have, wanted = spec.get(key), other[name].get(key)
            if have != wanted:
                raise ConfigurationError(
                    f"layer {name!r}: {key}={have!r}; such a model has {key}={wanted!r} there"
                )


def _write(path: Any, arrays: Mapping[str, Array]) -> None:
    """Write arrays to a file of safetensors, for PyTorch, as others ask for."""
    found = {key: np.ascontiguousarray(value) for key, value in arrays.items()}
    atomic.write(path, save(found, metadata={"format": "pt"}))
