"""What is done with whole arrays: shapes, axes, products, sums, and what is like these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pytensor.compile.ops import DeepCopyOp, ViewOp
from pytensor.graph.basic import Apply
from pytensor.raise_op import CheckAndRaise
from pytensor.tensor.basic import (
    Alloc,
    AllocEmpty,
    ARange,
    Join,
    MakeVector,
    ScalarFromTensor,
    Split,
    TensorFromScalar,
)
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import CAReduce, DimShuffle
from pytensor.tensor.extra_ops import CpuContiguous, CumOp
from pytensor.tensor.math import Argmax, Dot
from pytensor.tensor.reshape import JoinDims, SplitDims
from pytensor.tensor.shape import Reshape, Shape, Shape_i, SpecifyShape
from pytensor.tensor.sort import ArgSortOp, SortOp
from pytensor.tensor.special import LogSoftmax, Softmax

from ..ops.sparse.products import Product
from ..versions import axis_of
from .writer import UnsupportedError, Writer, translate

# ---- what changes nothing ----------------------------------------------------------


@translate.register(ViewOp)
@translate.register(DeepCopyOp)
@translate.register(CheckAndRaise)
@translate.register(CpuContiguous)
@translate.register(SpecifyShape)
@translate.register(ScalarFromTensor)
@translate.register(TensorFromScalar)
def _(op: Any, node: Apply, write: Writer) -> Sequence[str]:
    return [write(node.inputs[0])]


# ---- shapes and axes ---------------------------------------------------------------


@translate.register
def _(op: Shape, node: Apply, write: Writer) -> Sequence[str]:
    return [write.shape(write(node.inputs[0]))]


@translate.register
def _(op: Shape_i, node: Apply, write: Writer) -> Sequence[str]:
    return [length(write(node.inputs[0]), int(op.i), write)]


def length(name: str, axis: int, write: Writer) -> str:
    """Write the length of an axis, a scalar."""
    return str(write.node("Gather", write.shape(name), write.constant(np.int64(axis)), axis=0))


@translate.register
def _(op: Reshape, node: Apply, write: Writer) -> Sequence[str]:
    x, shape = map(write, node.inputs)
    return [write.node("Reshape", x, write.cast(shape, "int64"), allowzero=1)]


@translate.register
def _(op: JoinDims, node: Apply, write: Writer) -> Sequence[str]:
    x = write(node.inputs[0])
    ends = (0, op.start_axis), (op.start_axis + op.n_axes, node.inputs[0].ndim)
    before, after = (
        [length(x, axis, write) for axis in range(start, stop)] for start, stop in ends
    )
    shape = write.vector([*before, write.constant(np.int64(-1)), *after])
    return [write.node("Reshape", x, shape)]


@translate.register
def _(op: SplitDims, node: Apply, write: Writer) -> Sequence[str]:
    x, inner = map(write, node.inputs)
    parts = [
        write.vector([length(x, axis, write) for axis in axes])
        for axes in (range(op.axis), range(op.axis + 1, node.inputs[0].ndim))
    ]
    shape = write.node("Concat", parts[0], write.cast(inner, "int64"), parts[1], axis=0)
    return [write.node("Reshape", x, shape, allowzero=1)]


@translate.register
def _(op: DimShuffle, node: Apply, write: Writer) -> Sequence[str]:
    order = op.new_order
    kept = [axis for axis in order if axis != "x"]
    dropped = [axis for axis in range(op.input_ndim) if axis not in kept]
    found = write.squeeze(write(node.inputs[0]), *dropped)
    ranks = sorted(kept)
    found = write.transpose(found, *(ranks.index(axis) for axis in kept))
    return [write.unsqueeze(found, *(i for i, axis in enumerate(order) if axis == "x"))]


@translate.register
def _(op: MakeVector, node: Apply, write: Writer) -> Sequence[str]:
    return [write.vector([write(x) for x in node.inputs], write.type_of(op.dtype))]


@translate.register
def _(op: Alloc, node: Apply, write: Writer) -> Sequence[str]:
    value, *lengths = map(write, node.inputs)
    return [write.node("Expand", value, write.vector(lengths))]


@translate.register
def _(op: AllocEmpty, node: Apply, write: Writer) -> Sequence[str]:
    zero = write.constant(np.zeros((), op.dtype))
    return [write.node("Expand", zero, write.vector([write(x) for x in node.inputs]))]


@translate.register
def _(op: ARange, node: Apply, write: Writer) -> Sequence[str]:
    dtype = write.type_of(op.dtype)
    return [write.node("Range", *(write.cast(write(x), dtype) for x in node.inputs))]


@translate.register
def _(op: Join, node: Apply, write: Writer) -> Sequence[str]:
    axis, parts = axis_of(node, 0)
    dtype = write.type_of(node.outputs[0].dtype)
    names = [write.cast(write(part), dtype) for part in parts]
    return [write.node("Concat", *names, axis=known(axis, write, "the axis of a join"))]


@translate.register
def _(op: Split, node: Apply, write: Writer) -> Sequence[str]:
    axis, (x, sizes) = axis_of(node, 1)
    count, name = len(node.outputs), write(x)
    if count == 1:
        return [name]
    along = known(axis, write, "the axis of a split")
    return list(
        write.node("Split", name, write.cast(write(sizes), "int64"), axis=along, count=count)
    )


def known(variable: Any, write: Writer, what: str) -> int:
    """Get an integer that has to be the same for all data."""
    if isinstance(variable, int):
        return variable
    if variable not in write.values:
        raise UnsupportedError(f"{what} depends on the data, for which ONNX has no counterpart")
    return int(write.values[variable])


# ---- products ----------------------------------------------------------------------


@translate.register
def _(op: Dot, node: Apply, write: Writer) -> Sequence[str]:
    dtype = write.type_of(node.outputs[0].dtype)
    return [write.node("MatMul", *(write.cast(write(x), dtype) for x in node.inputs))]


@translate.register
def _(op: Blockwise, node: Apply, write: Writer) -> Sequence[str]:
    core = op.core_op
    if not isinstance(core, Dot) or any(x.ndim < 2 for x in node.inputs):
        raise UnsupportedError(f"the operation {op} has no counterpart in ONNX")
    dtype = write.type_of(node.outputs[0].dtype)
    return [write.node("MatMul", *(write.cast(write(x), dtype) for x in node.inputs))]


@translate.register
def _(op: Product, node: Apply, write: Writer) -> Sequence[str]:
    data, *_, w = node.inputs
    if data not in write.dense:
        raise UnsupportedError("a sparse matrix that is not an input has no counterpart in ONNX")
    return [write.node("MatMul", write.dense[data], write(w))]


# ---- sums and what is like them ----------------------------------------------------

#: Operators by the class of PyTensor's scalar operation.
REDUCTIONS = {"Add": "Sum", "Mul": "Prod", "Maximum": "Max", "Minimum": "Min"}
REDUCTIONS |= {"AND": "Min", "OR": "Max"}


@translate.register
def _(op: CAReduce, node: Apply, write: Writer) -> Sequence[str]:
    name, (x,) = type(op.scalar_op).__name__, node.inputs
    if name not in REDUCTIONS:
        raise UnsupportedError(f"the operation {op} has no counterpart in ONNX")
    dtype = write.type_of(node.outputs[0].dtype)
    axes = range(x.ndim) if op.axis is None else op.axis
    found = write.cast(write(x), "int64" if dtype == "bool" else dtype)
    if len(axes):
        kind = f"Reduce{REDUCTIONS[name]}"
        found = write.node(kind, found, write.integers(*axes), keepdims=0)
    return [write.cast(found, dtype)]


@translate.register
def _(op: Argmax, node: Apply, write: Writer) -> Sequence[str]:
    (x,) = node.inputs
    name = write(x)
    axes = tuple(range(x.ndim)) if op.axis is None else tuple(op.axis)
    if axes == tuple(range(x.ndim)):
        name, axes = write.node("Reshape", name, write.integers(-1)), (0,)
    if len(axes) > 1:
        raise UnsupportedError(f"the operation {op} has no counterpart in ONNX")
    return [write.node("ArgMax", name, dtype="int64", axis=int(axes[0]), keepdims=0)]


@translate.register(Softmax)
@translate.register(LogSoftmax)
def _(op: Any, node: Apply, write: Writer) -> Sequence[str]:
    axes = range(node.inputs[0].ndim) if op.axis is None else op.axis
    if len(axes) > 1:
        return write.run(op.build_inner_graph(*node.inputs))
    return [write.node(type(op).__name__, write(node.inputs[0]), axis=int(axes[0]))]


@translate.register
def _(op: CumOp, node: Apply, write: Writer) -> Sequence[str]:
    if op.mode != "add":
        raise UnsupportedError("a cumulative product has no counterpart in ONNX")
    name, axis = write(node.inputs[0]), op.axis
    if axis is None:
        name, axis = write.node("Reshape", name, write.integers(-1)), 0
    return [write.node("CumSum", name, write.constant(np.int64(axis)))]


@translate.register(SortOp)
@translate.register(ArgSortOp)
def _(op: Any, node: Apply, write: Writer) -> Sequence[str]:
    axis, (x,) = axis_of(node, 1)
    name, along = write(x), known(axis, write, "the axis of sorting")
    many = write.unsqueeze(length(name, along, write), 0)
    types = [write.types[name], "int64"]
    found = write.node("TopK", name, many, count=2, dtype=types, axis=along, largest=0)
    return [found[isinstance(op, ArgSortOp)]]
