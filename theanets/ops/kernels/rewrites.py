"""What is changed in a graph just before it is compiled.

The expressions of a network are made of PyTensor's own operations, so that
anybody can go on from them. These rewrites put Ops of ours in the place of a
few that take seconds to compile, or are slow, in the linkers named here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pytensor.compile.mode import optdb
from pytensor.graph.basic import Apply
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.basic import GraphRewriter, in2out, node_rewriter
from pytensor.raise_op import Assert
from pytensor.scalar.basic import EQ, Mul
from pytensor.tensor import as_tensor
from pytensor.tensor.basic import Alloc, Join, MakeVector, ScalarFromTensor, Split
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.math import Argmax, Dot, Sum
from pytensor.tensor.random.basic import NormalRV, UniformRV
from pytensor.tensor.shape import Reshape, Shape_i, SpecifyShape
from pytensor.tensor.special import LogSoftmax, Softmax
from pytensor.tensor.type import TensorType
from pytensor.tensor.variable import TensorConstant

from ...expressions import Expression
from ...versions import axis_of, joined
from ..draws import operation as draws
from .entrywise import Entrywise
from .operations import Axes, Fill, MatMul, Positions, RowArgmax, Rows, RowSoftmax, Sums
from .shapes import Joined, Length, Parts, Shaped, Vector

FLOATS = ("float32", "float64")

#: How what PyTensor says of lengths that do not fit begins.
BROADCAST = "Could not broadcast dimensions."

#: What the rewrites below are called in PyTensor's database: those for Numba, and one for C too.
NUMBA = "theanets_numba"
PRODUCTS = "theanets_products"


def _factor(x: Expression) -> tuple[Expression, bool]:
    """Get a matrix without its transposition, and whether it had one."""
    node = x.owner
    if node is not None and isinstance(node.op, DimShuffle) and node.op.new_order == (1, 0):
        (matrix,) = node.inputs
        return (matrix, True) if matrix.ndim == 2 else (x, False)  # axes may be left out, too
    return x, False


@node_rewriter([Dot])
def use_matmul(fgraph: FunctionGraph, node: Apply) -> list[Any] | bool:
    """Replace the product of two matrices of the same floating type."""
    x, y = node.inputs
    if not (x.ndim == y.ndim == 2 and x.dtype == y.dtype and x.dtype in FLOATS):
        return False
    a, transpose_a = _factor(x)
    b, transpose_b = _factor(y)
    return [MatMul(transpose_a, transpose_b)(a, b)]


@node_rewriter([Argmax])
def use_row_argmax(fgraph: FunctionGraph, node: Apply) -> list[Any] | bool:
    """Replace the index of the largest along the last axis."""
    (x,) = node.inputs
    if not _of_rows(x, node.op.axis):
        return False
    return [RowArgmax()(x)]


@node_rewriter([Softmax, LogSoftmax])
def use_row_softmax(fgraph: FunctionGraph, node: Apply) -> list[Any] | bool:
    """Replace the softmax along the last axis, and its logarithm."""
    (x,) = node.inputs
    if not _of_rows(x, node.op.axis):
        return False
    return [RowSoftmax(isinstance(node.op, LogSoftmax))(x)]


@node_rewriter([Sum])
def use_sums(fgraph: FunctionGraph, node: Apply) -> list[Any] | bool:
    """Replace sums over all axes, over the last, and over all but the last."""
    (x,) = node.inputs
    if x.dtype not in FLOATS or node.outputs[0].dtype != x.dtype:
        return False
    axes = tuple(range(x.ndim)) if node.op.axis is None else tuple(sorted(node.op.axis))
    for over, summed in (
        ("all", range(x.ndim)),
        ("last", range(x.ndim - 1, x.ndim)),
        ("leading", range(x.ndim - 1)),
    ):
        if axes == tuple(summed):
            return [Sums(over)(x)]
    return False


@node_rewriter([Alloc])
def use_fill(fgraph: FunctionGraph, node: Apply) -> list[Any] | bool:
    """Replace an array of one value, and one of equal rows, as a stack of such vectors is."""
    value, *lengths = node.inputs
    if value.ndim == len(lengths) == 2 and value.type.broadcastable == (True, False):
        columns = value.type.shape[1]
        fits = columns is not None and columns == node.outputs[0].type.shape[1]
        return [Rows()(value, lengths[0])] if fits else False
    if not all(value.type.broadcastable) or not 1 <= len(lengths) <= 3:
        return False
    if isinstance(value, TensorConstant):
        value = as_tensor(value.data.reshape(()))
    elif value.ndim:
        value = value.dimshuffle(())
    return [Fill(node.outputs[0].type.shape)(value, *lengths)]


@node_rewriter([DimShuffle])
def use_axes(fgraph: FunctionGraph, node: Apply) -> list[Any] | bool:
    """Replace other orders of axes."""
    return [Axes(tuple(node.op.new_order), node.op.input_ndim)(*node.inputs)]


@node_rewriter(None)
def use_positions(fgraph: FunctionGraph, node: Apply) -> list[Any] | bool:
    """Replace a constant row 0, 1, ..., n - 1 that meets an array of n columns."""
    inputs = list(node.inputs)
    for i, row in enumerate(inputs):
        if not _are_positions(row):
            continue
        for x in inputs:
            if x.type.dtype in FLOATS and x.type.shape[-1:] == row.type.shape[-1:]:
                inputs[i] = Positions(row.type.dtype)(x)
                break
    return node.clone_with_new_inputs(inputs).outputs if inputs != node.inputs else False


def _are_positions(row: Expression) -> bool:
    if not isinstance(row, TensorConstant) or row.type.ndim < 2:
        return False
    values, size = row.data, row.data.size
    return size > 1 == values[..., 0].size and np.array_equal(values.ravel(), np.arange(size))


@node_rewriter([Vector, Shaped, Parts, ScalarFromTensor, Alloc, Fill, Rows])
def use_sizes(fgraph: FunctionGraph, node: Apply) -> list[Any] | bool:
    """Replace constant sizes by those of the function's inputs, of parameters mostly.

    A constant is compiled in: then each size of a layer would have to be
    compiled anew.
    """
    inputs = [_size(fgraph, x) for x in node.inputs]
    return node.clone_with_new_inputs(inputs).outputs if inputs != node.inputs else False


def _size(fgraph: FunctionGraph, x: Expression) -> Expression:
    """Get the length of an axis of an input in the place of a constant; of several, as a vector."""
    if not isinstance(x, TensorConstant) or x.type.dtype != "int64" or x.type.ndim > 1:
        return x
    found = [_length(fgraph, n) for n in x.data.ravel().tolist()]
    if not found or any(length is None for length in found):
        return x
    return Vector("int64", len(found))(*found) if x.type.ndim else found[0]


def _length(fgraph: FunctionGraph, n: int) -> Expression:
    for variable in fgraph.inputs if n > 1 else ():
        shape = getattr(variable.type, "shape", ())
        if n in shape:
            return Length(shape.index(n))(variable)
    return None


@node_rewriter([Elemwise])
def use_signs(fgraph: FunctionGraph, node: Apply) -> list[Any] | bool:
    """Replace the question whether a number of entries is negative; PyTensor asks when it reshapes.

    The answer brings the sizes of layers into expressions, see `use_sizes`.
    """
    if not isinstance(node.op.scalar_op, EQ):
        return False
    x, y = node.inputs
    below = isinstance(y, TensorConstant) and y.type.ndim == 0 and y.data < 0
    return [as_tensor(np.array(False))] if below and _is_count(x) else False


def _is_count(x: Expression) -> bool:
    """Tell whether a scalar is a product of lengths, so that it is not negative."""
    if isinstance(x, TensorConstant):
        return bool((x.data >= 0).all())
    node = x.owner
    if node is None or x.type.ndim > 0:
        return False
    if isinstance(node.op, Shape_i):
        return True
    is_product = isinstance(node.op, Elemwise) and isinstance(node.op.scalar_op, Mul)
    return is_product and all(_is_count(factor) for factor in node.inputs)


@node_rewriter([Assert])
def drop_broadcast_checks(fgraph: FunctionGraph, node: Apply) -> list[Any] | bool:
    """Drop the question whether lengths fit, where the length of a sum or product is asked for.

    When the sum itself is computed, that asks too; losses and monitors divide what they sum by
    how much it is. Only where nothing but a shape is used does nobody ask.
    """
    return [node.inputs[0]] if node.op.msg.startswith(BROADCAST) else False


@node_rewriter([Reshape, Split, Join, Shape_i, MakeVector])
def use_shapes(fgraph: FunctionGraph, node: Apply) -> list[Any] | bool:
    """Replace other shapes, lengths and parts of arrays."""
    if not all(isinstance(x.type, TensorType) for x in (*node.inputs, *node.outputs)):
        return False
    found = _of_shapes(node)
    if found is None:
        return False
    op, inputs = found
    # PyTensor may know more of the lengths.
    return Apply(op, op.make_node(*inputs).inputs, [x.type() for x in node.outputs]).outputs


def _of_shapes(node: Apply) -> tuple[Any, list[Any]] | None:
    op, inputs, output = node.op, list(node.inputs), node.outputs[0]
    if isinstance(op, Shape_i):
        return Length(op.i), inputs
    if isinstance(op, MakeVector):
        return (Vector(op.dtype, len(inputs)), inputs) if inputs else None
    if isinstance(op, Reshape):
        lengths = _entries(inputs[1])
        return None if lengths is None else (Shaped(op.ndim), [inputs[0], *lengths])
    if isinstance(op, Split):
        axis, inputs = axis_of(node, 1)
        axis = axis if isinstance(axis, int) else getattr(axis, "data", None)
        if axis is None:
            return None
        return Parts(int(axis) % output.ndim, op.len_splits), inputs
    inputs, axis = joined(node)
    if axis is None or any(x.dtype != output.dtype for x in inputs):
        return None
    return Joined(axis % output.ndim, len(inputs)), inputs


def _entries(vector: Expression) -> list[Any] | None:
    """Get the entries of a vector of integers, where it is made of them."""
    if isinstance(vector, TensorConstant):
        return [as_tensor(n, dtype="int64") for n in vector.data.tolist()]
    node = vector.owner
    while node is not None and isinstance(node.op, SpecifyShape):
        node = node.inputs[0].owner  # says how many there are
    if node is not None and isinstance(node.op, (MakeVector, Vector)):
        return list(node.inputs)
    return None


@node_rewriter([Elemwise])
def use_entrywise(fgraph: FunctionGraph, node: Apply) -> list[Any] | bool:
    """Replace what is computed entry by entry, once it is known what is done in place."""
    op = Entrywise.of(node)
    return op(*node.inputs, return_list=True) if op is not None else False


@node_rewriter([NormalRV, UniformRV])
def use_draws(fgraph: FunctionGraph, node: Apply) -> list[Any] | bool:
    """Replace standard normal numbers, and those uniform in [0, 1)."""
    return draws.of(node) or False


def _of_rows(x: Expression, axis: Any) -> bool:
    axes = axis if isinstance(axis, tuple) else (axis,)
    return x.dtype in FLOATS and x.ndim > 0 and axes in ((x.ndim - 1,), (-1,))


class _AtOnce(GraphRewriter):
    """Applies a rewrite of nodes to all that are there, and then changes the graph once.

    Where something is done in place, PyTensor checks the whole graph after each change.
    """

    def __init__(self, rewrite: Any) -> None:
        self.rewrite = rewrite

    def apply(self, fgraph: FunctionGraph) -> None:
        """Replace what the rewrite replaces."""
        pairs: list[tuple[Any, Any]] = []
        for node in fgraph.toposort():
            found = self.rewrite.transform(fgraph, node)
            if found:
                pairs.extend(zip(node.outputs, found, strict=True))
        # The last first: what takes the place of one may read another that is replaced too.
        if pairs:
            fgraph.replace_all_validate(pairs[::-1], reason=self.rewrite)


def _register(position: float, *rewrites: Any, name: str = NUMBA, **how: Any) -> None:
    for rewrite in rewrites:
        own = f"theanets_{rewrite.fn.__name__}"
        optdb.register(own, in2out(rewrite, name=own, **how), name, position=position)


def _register_last(position: float, *rewrites: Any) -> None:
    for rewrite in rewrites:
        own = f"theanets_{rewrite.fn.__name__}"
        optdb.register(own, _AtOnce(rewrite), NUMBA, position=position)


for _rewrite in (use_signs, drop_broadcast_checks):
    optdb["canonicalize"].register(f"theanets_{_rewrite.fn.__name__}", _rewrite, NUMBA)
# After expressions are simplified, before the C linker's own products.
_register(1.69, use_matmul, name=PRODUCTS)
_register(1.691, use_row_argmax, use_row_softmax)
# Before lengths are overwritten by products of them: a shape that is no vector reads them later.
_register_last(49.9, use_shapes)
# After generators are advanced in place (at 50.9), before Numba's own form of draws (at 100).
_register(99, use_draws, ignore_newtrees=True)
# After PyTensor has fused what sums it can with what is summed (at 100, from 3.3 on).
_register_last(101, use_sums)
_register_last(102, use_fill)
_register_last(103, use_axes, use_positions)
# Once there are no others to come.
_register_last(104, use_sizes)
_register_last(105, use_entrywise)
