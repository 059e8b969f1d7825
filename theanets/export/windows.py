"""Convolution and pooling, whose channels ONNX has as the second axis, and not as the last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply

from ..ops.windows import Convolution, ImageGradient, MaxPool, SumPool, SumSpread, Window
from ..ops.windows.window import SAME
from .writer import UnsupportedError, Writer, translate

#: Orders of axes from ours to ONNX's and back.
TO_FRONT, TO_BACK = (0, 3, 1, 2), (0, 2, 3, 1)


def _padding(window: Window) -> dict[str, Any]:
    """Get the attributes that say the padding; SAME has the larger half behind."""
    if SAME not in window.low:
        return {"pads": [*window.low, *window.high]}
    mixed = [low for low, k in zip(window.low, window.size, strict=True) if low != SAME and k > 1]
    if mixed:
        raise UnsupportedError(f"{window}, of two kinds of padding, has no counterpart in ONNX")
    return {"auto_pad": "SAME_UPPER"}


def _attributes(window: Window) -> dict[str, Any]:
    return {
        "kernel_shape": list(window.size),
        "strides": list(window.stride),
        "dilations": list(window.dilation),
        **_padding(window),
    }


def _groups(op: Convolution | ImageGradient, filters: Any) -> int:
    """Get the number of groups; of a depthwise convolution, that of channels."""
    found: int | None = op.groups or filters.type.shape[3]
    if found is None:
        raise UnsupportedError(f"{op} of filters whose number is not known")
    return found


@translate.register
def _(op: Convolution, node: Apply, write: Writer) -> Sequence[str]:
    x, filters = node.inputs
    (weights,) = write.run([filters.transpose(3, 2, 0, 1)])
    images = write.transpose(write(x), *TO_FRONT)
    found = write.node(
        "Conv", images, weights, group=_groups(op, filters), **_attributes(op.window)
    )
    return [write.transpose(found, *TO_BACK)]


@translate.register
def _(op: ImageGradient, node: Apply, write: Writer) -> Sequence[str]:
    filters, y, *lengths = node.inputs
    (weights,) = write.run([filters.transpose(3, 2, 0, 1)])
    window = op.window
    how: dict[str, Any] = {"strides": list(window.stride), "dilations": list(window.dilation)}
    how["group"] = _groups(op, filters)
    images = write.transpose(write(y), *TO_FRONT)
    whole = write.node("ConvTranspose", images, weights, **how)
    starts = [_low(window, i, n) for i, n in enumerate(lengths)]
    return [write.transpose(_cut(whole, 2, window, starts, lengths, write), *TO_BACK)]


def _cut(whole: str, first: int, window: Window, starts: Any, lengths: Any, write: Writer) -> str:
    """Cut images of some lengths, from some axis on, out of all that windows reach."""
    # Behind these may be entries that no window comes to.
    behind = [0] * 8
    behind[4 + first : 6 + first] = (s - 1 for s in window.stride)
    whole = write.node("Pad", whole, write.integers(*behind))
    stops = [start + n for start, n in zip(starts, lengths, strict=True)]
    ends = [write.vector(write.run(part)) for part in (starts, stops)]
    return str(write.node("Slice", whole, *ends, write.integers(first, first + 1)))


def _low(window: Window, axis: int, n: Any) -> Any:
    """Get the padding in front of an axis of n entries."""
    k, s, d, low, _ = window.axis(axis)
    if low != SAME:
        return pt.as_tensor(low, dtype="int64")
    return pt.maximum(((n + s - 1) // s - 1) * s + (k - 1) * d + 1 - n, 0) // 2


@translate.register
def _(op: MaxPool, node: Apply, write: Writer) -> Sequence[str]:
    return [_pooled("Max", op.window, write(node.inputs[0]), write)]


@translate.register
def _(op: SumPool, node: Apply, write: Writer) -> Sequence[str]:
    return [_pooled("Sum", op.window, write(node.inputs[0]), write)]


def _pooled(kind: str, window: Window, images: str, write: Writer) -> str:
    """Write the largest entry of each window, or the sum."""
    whole = [axis + 1 for axis, k in enumerate(window.size) if k == 0]
    if whole:
        images = write.node(f"Reduce{kind}", images, write.integers(*whole), keepdims=1)
        window = window._replace(size=(window.size[0] or 1, window.size[1] or 1))
    if window.size == (1, 1) and window.stride == (1, 1):
        return images
    attributes = _attributes(window)
    images = write.transpose(images, *TO_FRONT)
    if kind == "Max":
        found = write.node("MaxPool", images, **attributes)
    else:
        if attributes.pop("dilations") != [1, 1]:
            raise UnsupportedError(f"{window}, of sums, has no counterpart in ONNX")
        found = write.node("AveragePool", images, count_include_pad=1, **attributes)
        many = np.asarray(np.prod(window.size), write.types[images])
        found = write.node("Mul", found, write.constant(many))
    return write.transpose(found, *TO_BACK)


@translate.register
def _(op: SumSpread, node: Apply, write: Writer) -> Sequence[str]:
    y, *lengths = node.inputs
    window = op.window
    if window.size != window.stride or window.low != (0, 0) or window.dilation != (1, 1):
        raise UnsupportedError(f"a sum of {window}, which overlap, has no counterpart in ONNX")
    # Each entry beside itself, along a new axis.
    rows = write.unsqueeze(write(y), 2, 4)
    times = write.integers(1, 1, window.size[0], 1, window.size[1], 1)
    shape = write.node("Mul", write.shape(write(y)), write.integers(1, *window.size, 1))
    whole = write.node("Reshape", write.node("Expand", rows, times), shape, allowzero=1)
    starts = [pt.as_tensor(0, dtype="int64")] * 2
    return [_cut(whole, 1, window, starts, lengths, write)]
