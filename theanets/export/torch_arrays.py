"""Parameters of layers, as PyTorch's modules have them: both ways, as plain arrays.

Neither way needs PyTorch. Each `Pair` is of one kind of layer: ``ours`` makes our parameters of
the entries of a module's state, ``theirs`` that of ours. Names are those of the layer's parameters,
and of the module's, without what stands in front.

PyTorch's matrices are (outputs, inputs), its filters are not turned around, and its images have
channels first. Its recurrences have two biases, of which only the sum matters: ours have one, and
of ours the second becomes 0; but for the part ``n`` of a GRU, where ours have two as well. The gate
``z`` of a GRU says there what is kept, and here what is new: its weights have the other sign.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

#: Where a network's metadata say which layer, or block of layers, is a module by itself.
TORCH = "torch"

Array: TypeAlias = npt.NDArray[Any]
Arrays: TypeAlias = Mapping[str, Array]


@dataclass(frozen=True)
class Pair:
    """Both ways between the parameters of a layer and the state of a module."""

    ours: Callable[[Arrays], dict[str, Array]]
    theirs: Callable[[Arrays], dict[str, Array]]


def _bias(state: Arrays, name: str, size: int, like: Array) -> Array:
    """Get a bias, of zeros where a module has none."""
    found = state.get(name)
    return np.zeros(size, like.dtype) if found is None else found


def _matrix(state: Arrays) -> dict[str, Array]:
    weight = state["weight"]
    return {"w": weight.T, "b": _bias(state, "bias", len(weight), weight)}


def _linear(params: Arrays) -> dict[str, Array]:
    return {"weight": params["w"].T, "bias": params["b"]}


def _filters(state: Arrays) -> dict[str, Array]:
    weight = state["weight"]
    bias = _bias(state, "bias", len(weight), weight)
    if weight.ndim == 3:
        return {"w": weight[:, :, None, ::-1], "b": bias}
    return {"w": weight[:, :, ::-1, ::-1], "b": bias}


def _convolution_1(params: Arrays) -> dict[str, Array]:
    return {"weight": params["w"][:, :, 0, ::-1], "bias": params["b"]}


def _convolution_2(params: Arrays) -> dict[str, Array]:
    return {"weight": params["w"][:, :, ::-1, ::-1], "bias": params["b"]}


def _spreading_filters(state: Arrays) -> dict[str, Array]:
    weight = np.swapaxes(state["weight"], 0, 1)
    bias = _bias(state, "bias", len(weight), weight)
    return {"w": weight[:, :, None] if weight.ndim == 3 else weight, "b": bias}


def _transposed_1(params: Arrays) -> dict[str, Array]:
    return {"weight": np.swapaxes(params["w"][:, :, 0], 0, 1), "bias": params["b"]}


def _transposed_2(params: Arrays) -> dict[str, Array]:
    return {"weight": np.swapaxes(params["w"], 0, 1), "bias": params["b"]}


def _scaled(state: Arrays) -> dict[str, Array]:
    found = {"scale": state["weight"], "shift": _bias(state, "bias", *_like(state["weight"]))}
    if "running_mean" in state:
        found.update(mean=state["running_mean"], variance=state["running_var"])
    return found


def _like(weight: Array) -> tuple[int, Array]:
    return len(weight), weight


def _normalized(params: Arrays) -> dict[str, Array]:
    found = {"weight": params["scale"]}
    if "shift" in params:
        found["bias"] = params["shift"]
    if "mean" in params:
        found.update(running_mean=params["mean"], running_var=params["variance"])
        # How many batches there were matters only without a momentum.
        found["num_batches_tracked"] = np.zeros((), np.int64)
    return found


def _only_scaled(state: Arrays) -> dict[str, Array]:
    return {"scale": state["weight"]}


def _gates(state: Arrays) -> dict[str, Array]:
    inner, outer = state["weight_ih"], state["weight_hh"]
    biases = [_bias(state, name, len(inner), inner) for name in ("bias_ih", "bias_hh")]
    return {"xh": inner.T, "hh": outer.T, "b": biases[0] + biases[1]}


def _recurrence(params: Arrays) -> dict[str, Array]:
    b = params["b"]
    weights = {"weight_ih": params["xh"].T, "weight_hh": params["hh"].T}
    return {**weights, "bias_ih": b, "bias_hh": np.zeros_like(b)}


def _gru(state: Arrays) -> dict[str, Array]:
    inner, outer = state["weight_ih"], state["weight_hh"]
    (xr, xz, xn), (hr, hz, hn) = (np.split(w.T, 3, axis=1) for w in (inner, outer))
    names = ("bias_ih", "bias_hh")
    (br, bz, bn), (cr, cz, cn) = (np.split(_bias(state, n, len(inner), inner), 3) for n in names)
    return {
        "w": np.hstack([xn, xr, -xz]),
        "b": np.hstack([bn, br + cr, -(bz + cz)]),
        **{"hh": hn, "hr": hr, "hz": -hz, "bh": cn},
    }


def _gated(params: Arrays) -> dict[str, Array]:
    (xn, xr, xz), (bn, br, bz) = np.split(params["w"], 3, axis=1), np.split(params["b"], 3)
    zero = np.zeros_like(bn)
    return {
        "weight_ih": np.hstack([xr, -xz, xn]).T,
        "weight_hh": np.hstack([params["hr"], -params["hz"], params["hh"]]).T,
        "bias_ih": np.hstack([br, -bz, bn]),
        "bias_hh": np.hstack([zero, zero, params["bh"]]),
    }


def _attended(state: Arrays) -> dict[str, Array]:
    maps, out = state["in_proj_weight"], state["out_weight"]
    return {
        "w": maps.T,
        "b": _bias(state, "in_proj_bias", len(maps), maps),
        "wo": out.T,
        "bo": _bias(state, "out_bias", len(out), out),
    }


def _attending(params: Arrays) -> dict[str, Array]:
    names = {"w": "in_proj_weight", "b": "in_proj_bias", "wo": "out_proj.weight"}
    names["bo"] = "out_proj.bias"
    return {names[key]: value.T for key, value in params.items()}


LINEAR = Pair(_matrix, _linear)
NORM = Pair(_scaled, _normalized)
RECURRENT = Pair(_gates, _recurrence)
#: By the forms of our layers.
PAIRS: Mapping[str, Pair] = {
    "feedforward": LINEAR,
    "classifier": LINEAR,
    "conv1": Pair(_filters, _convolution_1),
    "conv2": Pair(_filters, _convolution_2),
    "conv1_transposed": Pair(_spreading_filters, _transposed_1),
    "conv2_transposed": Pair(_spreading_filters, _transposed_2),
    "batch_norm": NORM,
    "layer_norm": NORM,
    "group_norm": NORM,
    "instance_norm": NORM,
    "rms_norm": Pair(_only_scaled, _normalized),
    "embedding": Pair(lambda state: {"w": state["weight"]}, lambda params: {"weight": params["w"]}),
    "attention": Pair(_attended, _attending),
    "rnn": RECURRENT,
    "lstm": RECURRENT,
    "gru": Pair(_gru, _gated),
}


def flat_order(lengths: tuple[int, ...], channels: int) -> Array:
    """Get which entry of PyTorch's flat vector each of ours is.

    Parameters
    ----------
    lengths : tuple of int
        How long the axes are along which there is something: of an image, its lines and columns.
    channels : int
        The number of channels, whose axis PyTorch has first and we last.

    Returns
    -------
    ndarray of int
        ``ours = theirs[order]``, and ``theirs[order] = ours``.
    """
    places = np.arange(math.prod(lengths) * channels).reshape(channels, *lengths)
    return np.moveaxis(places, 0, -1).ravel()


__all__ = ["PAIRS", "TORCH", "Array", "Arrays", "Pair", "flat_order"]
