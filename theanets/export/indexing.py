"""What is taken from arrays by indices and slices, and what is set there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pytensor.graph.basic import Apply
from pytensor.tensor.shape import Shape
from pytensor.tensor.subtensor import indices_from_subtensor

from ..versions import SETTING, TAKING
from .writer import UnsupportedError, Writer, translate

#: Beyond every axis, on both sides.
BEYOND = 2**62


def _take(op: Any, node: Apply, write: Writer) -> Sequence[str]:
    x, *indices = node.inputs
    lengths = x.owner.inputs[0].type.shape if _is_shape(x) else ()
    if op.idx_list == (0,) and lengths and indices[0] in write.values:
        number = lengths[int(write.values[indices[0]])]
        if number is not None:
            return [write.constant(np.int64(number))]
    return [taken(write(x), x.ndim, indices_from_subtensor(indices, op.idx_list), write)]


def _is_shape(variable: Any) -> bool:
    return variable.owner is not None and isinstance(variable.owner.op, Shape)


def _set(op: Any, node: Apply, write: Writer) -> Sequence[str]:
    x, y, *indices = node.inputs
    name = write(x)
    shape = write.shape(name)
    # The entries are known by their numbers, of which the same indices take some.
    zero, one = write.constant(np.int64(0)), write.constant(np.int64(1))
    count = write.node("ReduceProd", shape, keepdims=0)
    numbers = write.node("Reshape", write.node("Range", zero, count, one), shape, allowzero=1)
    places = taken(numbers, x.ndim, indices_from_subtensor(indices, op.idx_list), write)
    value = write.node("Expand", write.cast(write(y), write.types[name]), write.shape(places))
    flat, places, value = (
        write.node("Reshape", part, write.integers(-1)) for part in (name, places, value)
    )
    how = "none" if op.set_instead_of_inc else "add"
    changed = write.node("ScatterElements", flat, places, value, axis=0, reduction=how)
    return [write.node("Reshape", changed, shape, allowzero=1)]


for _kind in TAKING:
    translate.register(_kind, _take)
for _kind in SETTING:
    translate.register(_kind, _set)


def taken(name: str, ndim: int, indices: Sequence[Any], write: Writer) -> str:
    """Write what indices and slices take from an array.

    Parameters
    ----------
    name : str
        The array.
    ndim : int
        Number of its axes.
    indices : list of variable or slice
        What is taken along the first axes, the parts of slices being variables.
    write : Writer
    """
    name = _sliced(name, indices, write)
    found = {axis: index for axis, index in enumerate(indices) if not isinstance(index, slice)}
    arrays = {axis: index for axis, index in found.items() if index.ndim}
    if any(index.dtype == "bool" for index in found.values()):
        raise UnsupportedError("an index of truths has no counterpart in ONNX")
    axes = sorted(found)
    # Beside an array, a number counts as one.
    if arrays and axes != list(range(axes[0], axes[0] + len(axes))):
        raise UnsupportedError("indices on both sides of a slice have no counterpart in ONNX")
    if len(arrays) > 1:
        return _jointly(name, ndim, found, write)
    for axis in reversed(axes):
        name = write.node("Gather", name, write(found[axis]), axis=axis)
    return name


def _sliced(name: str, indices: Sequence[Any], write: Writer) -> str:
    starts: list[str] = []
    stops: list[str] = []
    steps, axes = [], []
    for axis, index in enumerate(indices):
        if not isinstance(index, slice) or index == slice(None):
            continue
        step = 1
        if index.step is not None:
            if index.step not in write.values:
                raise UnsupportedError("a slice whose step depends on the data")
            step = int(write.values[index.step])
        defaults = (0, BEYOND) if step > 0 else (BEYOND, -BEYOND)
        for parts, part, default in zip(
            (starts, stops), (index.start, index.stop), defaults, strict=True
        ):
            parts.append(write.constant(np.int64(default)) if part is None else write(part))
        steps.append(step)
        axes.append(axis)
    if not axes:
        return name
    ends = [write.vector(parts) for parts in (starts, stops)]
    return str(write.node("Slice", name, *ends, write.integers(*axes), write.integers(*steps)))


def _jointly(name: str, ndim: int, found: dict[int, Any], write: Writer) -> str:
    """Write what several indices take together, entry by entry."""
    axes = sorted(found)
    # In front, behind which the other axes stay.
    rest = [axis for axis in range(ndim) if axis not in found]
    name = write.transpose(name, *axes, *rest)
    total = write(found[axes[0]])
    zero = write.constant(np.int64(0))
    for axis in axes[1:]:
        total = write.node("Add", total, write.node("Mul", write(found[axis]), zero))
    shape = write.shape(total)
    parts = [write.unsqueeze(write.node("Expand", write(found[axis]), shape), -1) for axis in axes]
    result = write.node("GatherND", name, write.node("Concat", *parts, axis=-1))
    many = max(index.ndim for index in found.values())
    order = [many + i for i in range(axes[0])] + list(range(many))
    order += range(many + axes[0], many + len(rest))
    return write.transpose(result, *order)
