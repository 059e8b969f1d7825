"""Layers of Keras that are not recurrent."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..export.torch_arrays import Array
from .keras_models import READERS, Place, kind_of, reads

#: Functions of keras.activations, by name, and ours.
ACTIVATIONS = {
    "linear": "linear",
    "relu": "relu",
    "relu6": "relu:6",
    "leaky_relu": "leaky:0.2",
    "sigmoid": "logistic",
    "tanh": "tanh",
    "softmax": "softmax",
    "log_softmax": "log_softmax",
    "softplus": "softplus",
    "softsign": "softsign",
    "selu": "selu",
    "elu": "celu",
    "celu": "celu",
    "gelu": "gelu",
    "silu": "silu",
    "mish": "mish",
    "hard_sigmoid": "hard_sigmoid",
    "hard_tanh": "hard_tanh",
}


def activation(place: Place, name: str = "activation", layer: Any = None) -> str:
    """Get the name of the activation of a layer."""
    found = getattr(place.layer if layer is None else layer, name)
    known = "linear" if found is None else getattr(found, "__name__", type(found).__name__)
    ours = found is None or str(getattr(found, "__module__", "")).startswith("keras.")
    place.refuse_unless(
        ours and known in ACTIVATIONS,
        f"{name}={known} has no counterpart; {', '.join(ACTIVATIONS)} have",
    )
    return ACTIVATIONS[known]


def biased(place: Place, name: str, weight: str, size: int) -> dict[str, Array]:
    """Get a matrix or filters and a bias, of zeros where the layer has none."""
    found = place.arrays("kernel", "bias")
    return {weight: found["kernel"], name: found.get("bias", np.zeros(size, np.float32))}


def _over_last(place: Place, axis: Any) -> bool:
    """Tell whether an axis is the last one."""
    axis = axis[0] if isinstance(axis, (list, tuple)) and len(axis) == 1 else axis
    spec = getattr(place.layer, "input_spec", None)
    rank = getattr(spec, "ndim", None)
    return bool(axis == -1 or (rank is not None and axis == rank - 1))


@reads("Dense")
def dense(place: Place) -> None:
    """Read a linear map of the last axis, and an activation."""
    place.expect(quantization_mode=None)
    size = place.layer.units
    params = biased(place, "b", "w", size)
    place.add("feedforward", params, size=size, activation=activation(place))


@reads("Conv1D", "Conv2D", "Conv1DTranspose", "Conv2DTranspose")
def convolution(place: Place) -> None:
    """Read a convolution or its transpose."""
    layer, kind = place.layer, kind_of(place.layer)
    count, transposed = int(kind[4]), kind.endswith("Transpose")
    place.expect(output_padding=None)
    size = layer.filters
    params = biased(place, "b", "w", size)
    kernel = params["w"] if count == 2 else params["w"][None]
    if transposed:
        params["w"] = kernel.transpose(2, 3, 0, 1)
    else:
        params["w"] = kernel[::-1, ::-1].transpose(3, 2, 0, 1)
    form = f"conv{count}_transposed" if transposed else f"conv{count}"
    options: dict[str, Any] = {
        "groups": getattr(layer, "groups", 1),
        "activation": activation(place),
    }
    place.add(form, params, size=size, **_moves(place, count), **options)


def _filters(kernel: Array) -> Array:
    """Get a filter for each channel, of each its multiples: ours are turned around."""
    kernel = kernel if kernel.ndim == 4 else kernel[None]
    first, second, channels, multiples = kernel.shape
    turned = kernel[::-1, ::-1].transpose(2, 3, 0, 1)
    return turned.reshape(channels * multiples, 1, first, second)


def _moves(place: Place, count: int) -> dict[str, Any]:
    """Get the windows of a convolution along one or two axes."""
    layer = place.layer
    place.expect(data_format="channels_last")
    border: Any = layer.padding
    if border == "causal":
        border = (((layer.kernel_size[0] - 1) * layer.dilation_rate[0], 0),)
    return {
        "filter_size": _each(layer.kernel_size, count),
        "stride": _each(layer.strides, count),
        "dilation": _each(layer.dilation_rate, count),
        "border_mode": border,
    }


@reads("DepthwiseConv1D", "DepthwiseConv2D")
def depthwise(place: Place) -> None:
    """Read a convolution of each channel by itself."""
    channels = place.layer.kernel.shape[-2]
    size = channels * place.layer.depth_multiplier
    params = biased(place, "b", "w", size)
    params["w"] = _filters(params["w"])
    count = int(kind_of(place.layer)[-2])
    options: dict[str, Any] = {"groups": channels, "activation": activation(place)}
    place.add(f"conv{count}", params, size=size, **_moves(place, count), **options)


@reads("SeparableConv1D", "SeparableConv2D")
def separable(place: Place) -> None:
    """Read a convolution of each channel by itself, and then of all channels of a place."""
    layer, count = place.layer, int(kind_of(place.layer)[-2])
    found = place.arrays("depthwise_kernel", "pointwise_kernel", "bias")
    own, size = _filters(found["depthwise_kernel"]), layer.filters
    mixed = found["pointwise_kernel"].reshape(-1, size).T[:, :, None, None]
    params = {"w": mixed, "b": found.get("bias", np.zeros(size, np.float32))}
    last: dict[str, Any] = {"size": size, "activation": activation(place)}
    if layer.depth_multiplier == 1:
        params["depthwise"] = own
        place.add(f"conv{count}_separable", params, **_moves(place, count), **last)
        return
    channels = found["depthwise_kernel"].shape[-2]
    first = {"w": own, "b": np.zeros(len(own), own.dtype)}
    each: dict[str, Any] = {"size": len(own), "groups": channels, "activation": "linear"}
    place.add(f"conv{count}", first, "+depthwise", **_moves(place, count), **each)
    place.add(f"conv{count}", params, filter_size=1, **last)


@reads("ZeroPadding1D", "ZeroPadding2D")
def padding(place: Place) -> None:
    """Read a padding with zeros."""
    place.expect(data_format="channels_last")
    found = place.layer.padding
    one_axis = kind_of(place.layer) == "ZeroPadding1D"
    both = (tuple(found),) if one_axis else tuple(tuple(pair) for pair in found)
    place.add(f"pad{len(both)}", padding=both)


@reads("MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D")
def pooling(place: Place) -> None:
    """Read pooling of windows."""
    layer, kind = place.layer, kind_of(place.layer)
    place.expect(data_format="channels_last")
    count = int(kind[-2])
    place.add(
        f"pool{count}",
        mode="max" if kind.startswith("Max") else "mean",
        pool_size=_each(layer.pool_size, count),
        stride=_each(layer.strides, count),
        padding=layer.padding,
    )


def _each(value: Any, count: int) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * count


@reads(
    *("GlobalMaxPooling1D", "GlobalMaxPooling2D"),
    *("GlobalAveragePooling1D", "GlobalAveragePooling2D"),
)
def global_pooling(place: Place) -> None:
    """Read pooling of all there is."""
    place.expect(data_format="channels_last", keepdims=False)
    kind = kind_of(place.layer)
    mode = "max" if "Max" in kind else "mean"
    place.add(f"pool{kind[-2]}", mode=mode, pool_size="global")


@reads("UpSampling1D", "UpSampling2D")
def upsampling(place: Place) -> None:
    """Read repetition of entries, or what is in between."""
    place.expect(data_format="channels_last", interpolation=("nearest", "bilinear"))
    count = int(kind_of(place.layer)[-2])
    mode = "repeat" if getattr(place.layer, "interpolation", "nearest") == "nearest" else "linear"
    place.add(f"upsample{count}", factor=_each(place.layer.size, count), mode=mode)


@reads("BatchNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization")
def normalization(place: Place) -> None:
    """Read a normalization of units or channels."""
    layer = place.layer
    form = {
        "BatchNormalization": "batch_norm",
        "LayerNormalization": "layer_norm",
        "GroupNormalization": "group_norm",
        "RMSNormalization": "rms_norm",
    }[kind_of(layer)]
    place.expect(rms_scaling=False)
    place.refuse_unless(
        _over_last(place, layer.axis),
        f"axis={layer.axis} is not the last one, of units or channels, which ours is about",
    )
    found = place.arrays("gamma", "scale", "beta", "moving_mean", "moving_variance")
    # Of some, it is a flag that says whether there is one.
    found = {key: value for key, value in found.items() if value.ndim}
    size = _channels(place, found)
    params = {
        "scale": found.get("scale", found.get("gamma", np.ones(size, np.float32))),
        "shift": found.get("beta", np.zeros(size, np.float32)),
    }
    options: dict[str, Any] = {"epsilon": float(layer.epsilon)}
    if form == "batch_norm":
        params.update(mean=found["moving_mean"], variance=found["moving_variance"])
        options["momentum"] = float(layer.momentum)
    elif form == "rms_norm":
        del params["shift"]
    elif form == "group_norm":
        options["groups"] = size if layer.groups == -1 else layer.groups
    place.add(form, params, **options)


def _channels(place: Place, found: dict[str, Array]) -> int:
    """Get the number of units or channels of a normalization."""
    axes = getattr(getattr(place.layer, "input_spec", None), "axes", None) or {}
    sizes = [*map(len, found.values()), *axes.values()]
    place.refuse_unless(sizes, "it has neither a scale nor a shift; ours has both")
    return int(sizes[0])


@reads("Embedding")
def embedding(place: Place) -> None:
    """Read vectors for symbols."""
    place.expect(mask_zero=False, quantization_mode=None)
    start = next(s for s in place.plan.layers if s["name"] == place.sources[0])
    place.refuse_unless(
        start["form"] == "symbols", "an embedding has to come first, for the symbols of an input"
    )
    classes = place.layer.input_dim
    place.refuse_unless(
        start.setdefault("classes", classes) == classes,
        f"input_dim={classes}, but another embedding of the same input has {start['classes']}",
    )
    params = {"w": array_of(place, "embeddings")}
    place.add("embedding", params, size=place.layer.output_dim)


def array_of(place: Place, name: str) -> Array:
    """Get a variable of a layer."""
    return place.arrays(name)[name]


@reads("Dropout")
def dropout(place: Place) -> None:
    """Read noise that sets entries to 0."""
    place.expect(noise_shape=None)
    place.add("dropout", rate=float(place.layer.rate))


@reads("SpatialDropout1D", "SpatialDropout2D")
def dropout_of_channels(place: Place) -> None:
    """Read noise that sets whole channels to 0."""
    place.expect(data_format="channels_last")
    place.add("dropout", rate=float(place.layer.rate), per_series=True)


@reads("GaussianNoise")
def noise(place: Place) -> None:
    """Read noise that is added."""
    place.add("noise", std=float(place.layer.stddev))


@reads("Flatten")
def flatten(place: Place) -> None:
    """Read what makes a vector of an example."""
    place.expect(data_format="channels_last")
    place.add("flatten")


@reads("Reshape")
def reshape(place: Place) -> None:
    """Read another shape of the same entries."""
    shape = tuple(None if n == -1 else int(n) for n in place.layer.target_shape)
    place.add("reshape", shape=shape)


@reads("Identity")
def identity(place: Place) -> None:
    """Read what does nothing."""
    place.result = place.sources[0]


@reads("Add", "Multiply", "Concatenate")
def merging(place: Place) -> None:
    """Read what makes one of several."""
    kind = kind_of(place.layer)
    if kind == "Concatenate":
        place.refuse_unless(
            _over_last(place, place.layer.axis),
            f"axis={place.layer.axis} is not the last one, -1, along which ours puts side by side",
        )
    place.add({"Add": "add", "Multiply": "product", "Concatenate": "concatenate"}[kind])


# ---- activations as layers ---------------------------------------------------------------


@reads("Activation")
def activated(place: Place) -> None:
    """Read an activation by its function."""
    place.activate(activation(place))


@reads("ReLU")
def relu(place: Place) -> None:
    """Read a rectifier, which may end at a number, or have a slope below 0."""
    place.expect(threshold=(0, 0.0))
    slope, most = float(place.layer.negative_slope), place.layer.max_value
    place.refuse_unless(
        not slope or most is None,
        f"negative_slope={slope!r} with max_value={most!r} has no counterpart, one of them has",
    )
    if most is None:
        place.activate(f"leaky:{slope!r}" if slope else "relu")
    else:
        place.refuse_unless(most > 0, f"max_value={most!r} has no counterpart, positive ones have")
        place.activate("rect:minmax" if most == 1 else f"relu:{float(most)!r}")


@reads("LeakyReLU")
def leaky(place: Place) -> None:
    """Read a rectifier with a slope below 0."""
    place.activate(f"leaky:{float(place.layer.negative_slope)!r}")


@reads("Softmax")
def softmax(place: Place) -> None:
    """Read a softmax over units or channels."""
    place.refuse_unless(
        _over_last(place, place.layer.axis),
        f"axis={place.layer.axis} is not the last one, -1, over which ours is",
    )
    place.activate("softmax")


@reads("ELU")
def elu(place: Place) -> None:
    """Read an exponential linear unit."""
    alpha = float(place.layer.alpha)
    place.refuse_unless(alpha > 0, f"alpha={alpha!r} has no counterpart, positive ones have")
    place.activate("celu" if alpha == 1 else f"elu:{alpha!r}")


@reads("PReLU")
def prelu(place: Place) -> None:
    """Read a rectifier with trained slopes, of a layer of its own."""
    slopes = array_of(place, "alpha")
    place.refuse_unless(
        slopes.size == slopes.shape[-1],
        f"alpha of shape {slopes.shape} is of each place; shared_axes= of all places has a "
        "counterpart",
    )
    place.add("add", {"leak": slopes.ravel()}, activation="prelu")


@reads("TimeDistributed")
def time_distributed(place: Place) -> None:
    """Read a layer that is applied to each step, as ours are to the last axis."""
    inner = place.layer.layer
    place.refuse_unless(
        kind_of(inner) in ("Dense", "Dropout", "Activation"),
        f"it is of {type(inner).__name__}; of Dense, Activation and Dropout it has a counterpart",
    )
    step = Place(place.plan, inner, place.path, place.sources, place.alone)
    READERS[kind_of(inner)](step)
    place.result = step.result
