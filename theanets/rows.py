"""Whether the rows of an expression each depend on the same row of an input, and on no other.

The axis of the rows is followed from the input through the operations of the graph. Where it
comes to one of which it is not known here what it does with rows, it is not known of the
output either, and this is refused as well: a derivative that is wrong in silence is worse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from pytensor.gradient import DisconnectedGrad, ZeroGrad
from pytensor.graph.basic import Apply
from pytensor.graph.traversal import io_toposort
from pytensor.tensor.basic import Alloc, Join, MakeVector, TensorFromScalar
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.math import Dot
from pytensor.tensor.shape import Reshape, Shape, Shape_i, SpecifyShape
from pytensor.tensor.subtensor import Subtensor, indices_from_subtensor
from pytensor.tensor.type import discrete_dtypes

from . import versions
from .errors import ConfigurationError
from .expressions import Expression
from .ops.windows import Convolution, MaxPool, SumPool


class _Mixed(Exception):
    """Rows meet each other."""


class _Unknown(Exception):
    """It is not known whether rows meet each other."""


#: What no derivative goes through.
_BARRIERS = (DisconnectedGrad, Shape, Shape_i, ZeroGrad)

#: Where the rows of each input of an operation are; None for those that have none.
Axes = list[int | None]


def check(output: Expression, input: Expression) -> None:
    """Refuse an output some of whose rows depend on other rows of an input.

    Raises
    ------
    ConfigurationError
        Names the operation where they meet, or may meet.
    """
    axis: dict[Any, int] = {input: 0}
    nodes = _differentiated(output)
    for node in io_toposort([input], [output]):
        axes = [axis.get(variable) for variable in node.inputs]
        discrete = all(v.type.dtype in discrete_dtypes for v in node.outputs)
        if node not in nodes or discrete or all(a is None for a in axes):
            continue
        try:
            found = _follow(node, axes)
        except _Mixed:
            raise ConfigurationError(
                "derivative: rows of the output depend on other rows of the input, where "
                f"{node.op} takes them together. (So does batch_norm in training, whose means are "
                "those of the batch: use net.outputs() without training=True)"
            ) from None
        except _Unknown:
            raise ConfigurationError(
                f"derivative: it is not known whether {node.op} takes rows together. If each row "
                "of the output depends on the same row of the input alone, check=False says so"
            ) from None
        if found is not None:
            axis.update(dict.fromkeys(node.outputs, found))
    if axis.get(output, 0) != 0:
        raise ConfigurationError(
            f"derivative: the rows of the input are axis {axis[output]} of the output; expected "
            "the first: u.T"
        )


def _differentiated(output: Expression) -> set[Apply[Any]]:
    """Get the operations that a derivative of an expression goes through."""
    found: set[Any] = set()
    stack = [output.owner]
    while stack:
        node = stack.pop()
        if node is not None and node not in found and not isinstance(node.op, _BARRIERS):
            found.add(node)
            stack.extend(variable.owner for variable in node.inputs)
    return found


def _one(axes: Axes) -> int:
    """Get the axis that all rows are on; on two of them each meets all others."""
    found = {a for a in axes if a is not None}
    if len(found) > 1:
        raise _Mixed
    return found.pop()


def _elemwise(node: Apply[Any], axes: Axes) -> int:
    return _one(axes)


def _first(node: Apply[Any], axes: Axes) -> int | None:
    return axes[0]


def _dimshuffle(node: Apply[Any], axes: Axes) -> int | None:
    order = list(node.op.new_order)
    return order.index(axes[0]) if axes[0] in order else None


def _along(node: Apply[Any], axes: Axes) -> int | None:
    """Follow an operation that takes all together that is along some axes, or keeps one."""
    axis, over, ndim = axes[0], node.op.axis, node.inputs[0].ndim
    if axis is None:
        return None
    given = range(ndim) if over is None else over if isinstance(over, Sequence) else [over]
    taken = {int(a) % ndim for a in given}
    if axis in taken:
        raise _Mixed
    kept = node.outputs[0].ndim == ndim
    return axis if kept else axis - sum(a < axis for a in taken)


def _product(node: Apply[Any], axes: Axes) -> int:
    """Follow a product of matrices: rows that are summed over meet each other."""
    (left, right), (a, b) = axes, node.inputs
    inner_left, inner_right = a.ndim - 1, max(b.ndim - 2, 0)
    if left == inner_left or right == inner_right or None not in (left, right):
        raise _Mixed
    if left is not None:
        return left
    assert right is not None
    return right + a.ndim - 2 if b.ndim == 2 else right


def _blockwise(node: Apply[Any], axes: Axes) -> int | None:
    """Follow what is done with each of a stack of matrices: these are independent."""
    batch = node.outputs[0].ndim - len(node.op.outputs_sig[0])
    if all(a is None or a < batch for a in axes):
        return _one(axes)
    if not isinstance(node.op.core_op, Dot) or batch:
        raise _Unknown
    return _product(node, axes)


def _joined(node: Apply[Any], axes: Axes) -> int:
    arrays, where = versions.joined(node)
    axis = _one(axes[-len(arrays) :])
    if where is not None and where % node.outputs[0].ndim == axis:
        raise _Mixed
    return axis


def _taken(node: Apply[Any], axes: Axes) -> int | None:
    """Follow an index: of rows, only all of them in order."""
    axis = axes[0]
    if axis is None:
        return None
    entries = list(node.op.idx_list)
    if axis < len(entries) and entries[axis] != slice(None, None, None):
        raise _Mixed
    return axis - sum(not isinstance(entry, slice) for entry in entries[:axis])


def _reshaped(node: Apply[Any], axes: Axes) -> int:
    """Follow a change of shape: rows stay what they are if they are first, and as many."""
    (given, shape), new = node.inputs, node.outputs[0]
    if axes[0] != 0 or axes[1] is not None or new.ndim == 0:
        raise _Unknown
    of_each, of_new = given.type.shape[1:], new.type.shape[1:]
    if None not in (*of_each, *of_new) and prod(of_each) == prod(of_new):
        return 0
    if isinstance(getattr(shape.owner, "op", None), MakeVector) and _is_length(
        shape.owner.inputs[0], given
    ):
        return 0
    raise _Unknown


def _is_length(entry: Expression, of: Expression) -> bool:
    """Tell whether a number is the length of the first axis of an array."""
    while entry.owner is not None and isinstance(entry.owner.op, TensorFromScalar):
        entry = entry.owner.inputs[0]
    node = entry.owner
    while node is not None and isinstance(node.op, Subtensor):
        (first,) = indices_from_subtensor(node.inputs[1:], node.op.idx_list)
        if isinstance(first, slice):
            first = 0 if (first.start, first.step) == (None, None) else None
        if getattr(first, "data", first) != 0:
            return False
        node = node.inputs[0].owner
    return node is not None and isinstance(node.op, (Shape, Shape_i)) and node.inputs[0] is of


def _windows(node: Apply[Any], axes: Axes) -> int:
    """Follow what is done with windows of each example: these are first."""
    if axes[0] != 0 or any(a is not None for a in axes[1:]):
        raise _Unknown
    return 0


def _filled(node: Apply[Any], axes: Axes) -> int:
    """Follow the filling of an array: what is there is repeated along other axes."""
    value, new = node.inputs[0], node.outputs[0]
    if axes[0] is None or any(a is not None for a in axes[1:]) or value.broadcastable[axes[0]]:
        raise _Unknown
    return axes[0] + new.ndim - value.ndim


_FOLLOW: dict[type, Callable[[Apply[Any], Axes], int | None]] = {
    Alloc: _filled,
    Blockwise: _blockwise,
    Convolution: _windows,
    DimShuffle: _dimshuffle,
    Dot: _product,
    Elemwise: _elemwise,
    Join: _joined,
    MaxPool: _windows,
    SumPool: _windows,
    Reshape: _reshaped,
    SpecifyShape: _first,
    Subtensor: _taken,
}


def _follow(node: Apply[Any], axes: Axes) -> int | None:
    for kind in type(node.op).__mro__:
        if kind in _FOLLOW:
            return _FOLLOW[kind](node, axes)
    if not hasattr(node.op, "axis"):
        raise _Unknown
    return _along(node, axes)
