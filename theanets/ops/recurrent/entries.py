"""From expressions of matrices to formulas of one entry.

What is done entry by entry becomes an expression of 0-d variables, which
PyTensor can differentiate. The sum of a row becomes an operation on the entry
whose row it is: the gradient of an entry with respect to the sum is, as all
entries of the row get it, the sum of the gradients of all. So the sum is its
own derivative.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor import config
from pytensor.compile.ops import ViewOp
from pytensor.gradient import disconnected_grad
from pytensor.graph.basic import Apply, Constant
from pytensor.graph.op import Op
from pytensor.scalar import Log
from pytensor.tensor.basic import Alloc
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.math import Max, Sum
from pytensor.tensor.shape import Shape, Shape_i
from pytensor.tensor.subtensor import Subtensor

from .scalars import BY_SCALAR_OP
from .values import NotElementwiseError, Values

#: What an axis of a variable stands for: this, the number of a size, or None for an
#: axis along which all entries are the same.
BATCH = "batch"


class RowOp(Op):
    """What an entry has of its whole row: the sum, the largest entry, or its size.

    These Ops are only read, never run.

    Parameters
    ----------
    dim : int
        The size of the row.
    """

    __props__: tuple[str, ...] = ("dim",)

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def perform(self, node: Apply, inputs: Any, storage: Any) -> None:
        raise NotImplementedError(f"{self} is part of a cell")


class RowSum(RowOp):
    """The sum of a row, with the dtype that it is to have."""

    __props__ = ("dim", "dtype")

    def __init__(self, dim: int, dtype: str) -> None:
        super().__init__(dim)
        self.dtype = dtype

    def make_node(self, x: Any) -> Apply:
        return Apply(self, [x], [pt.scalar(dtype=self.dtype)])

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        (x,), (cotangent,) = inputs, cotangents
        if not x.dtype.startswith("float") or not self.dtype.startswith("float"):
            return [pt.zeros_like(x, dtype=config.floatX)]
        return [RowSum(self.dim, x.dtype)(cotangent)]


class RowMax(RowOp):
    """The largest entry of a row. As in PyTensor, each of several that are equal gets all."""

    def make_node(self, x: Any) -> Apply:
        return Apply(self, [x], [x.type()])

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        (x,), (largest,), (cotangent,) = inputs, outputs, cotangents
        here = pt.eq(disconnected_grad(largest), disconnected_grad(x))
        return [pt.switch(here, 1, 0).astype(x.dtype) * RowSum(self.dim, x.dtype)(cotangent)]


class RowSize(RowOp):
    """The number of entries of a row."""

    def make_node(self) -> Apply:
        return Apply(self, [], [pt.scalar(dtype="int64")])


def to_scalars(
    roots: Iterable[Any], leaves: dict[Any, Any], dims: Mapping[Any, int | None]
) -> tuple[list[Any], list[Any]]:
    """Turn expressions of matrices into expressions of one entry each.

    Parameters
    ----------
    roots : iterable of expressions
        Of two dimensions, batch first.
    leaves : dict
        The entry of each variable that the expressions may depend on; gets
        those of further vectors, such as parameters of an activation.
    dims : dict
        The size of the last axis of each of these variables; None if all
        entries of a row are the same.

    Returns
    -------
    (scalars, found)
        Zero-dimensional expressions, and the further vectors.

    Raises
    ------
    NotElementwiseError
        If an expression is neither elementwise nor reduces a row.
    """
    lowering = _Lowering(leaves, dims)
    scalars = [lowering(root) for root in roots]
    for root in roots:
        axes = lowering.axes[root]
        if len(axes) != 2 or axes[0] not in (None, BATCH) or axes[1] == BATCH:
            raise NotElementwiseError(f"{root} is not (batch, size)")
    return scalars, lowering.found


class _Lowering:
    """Finds entries of expressions, and what their axes stand for."""

    def __init__(self, leaves: dict[Any, Any], dims: Mapping[Any, int | None]) -> None:
        self.leaves = leaves
        self.axes: dict[Any, tuple[Any, ...]] = {v: (BATCH, dim) for v, dim in dims.items()}
        self.found: list[Any] = []
        self.reduced: int | None = None

    def __call__(self, variable: Any) -> Any:
        if variable not in self.leaves:
            entry, axes = self.lower(variable)
            self.leaves[variable], self.axes[variable] = entry, axes
        return self.leaves[variable]

    def lower(self, variable: Any) -> tuple[Any, tuple[Any, ...]]:
        if isinstance(variable, Constant):
            data = np.asarray(variable.data)
            if data.size != 1:
                raise NotElementwiseError(f"a constant of shape {data.shape}")
            return pt.constant(data.reshape(())), (None,) * data.ndim
        if variable.owner is None:
            if variable.ndim != 1:
                raise NotElementwiseError(f"{variable} of {variable.ndim} dimensions")
            self.found.append(variable)
            entry = pt.scalar(name=f"p{len(self.found) - 1}", dtype=variable.dtype)
            return entry, (0,)
        op, inputs = variable.owner.op, variable.owner.inputs
        if isinstance(op, DimShuffle):
            return self.moved(op, inputs[0])
        if isinstance(op, Elemwise):
            if isinstance(op.scalar_op, Log) and _summed_exponentials(inputs[0]) is not None:
                return self.log_of_sum(inputs[0])
            return Elemwise(op.scalar_op)(*map(self, inputs)), self.broadcast(op, inputs)
        if isinstance(op, ViewOp):
            return op(self(inputs[0])), self.axes[inputs[0]]
        if isinstance(op, Alloc) and inputs[0].type.ndim == 0:
            return self(inputs[0]), (None,) * variable.ndim
        if isinstance(op, Sum | Max):
            return self.reduction(op, inputs[0], variable.dtype)
        if type(op).__name__ in ("Softmax", "LogSoftmax", "LogSumExp"):
            return self.special(type(op).__name__, op, inputs[0])
        size = self.size(op, inputs)
        if size is not None:
            return RowSize(size)().astype(variable.dtype), ()
        raise NotElementwiseError(f"{op}")

    def moved(self, op: DimShuffle, x: Any) -> tuple[Any, tuple[Any, ...]]:
        entry, old = self(x), self.axes[x]
        order = [axis for axis in op.new_order if axis != "x"]
        dropped = set(range(len(old))) - set(order)
        if order != sorted(order) or any(old[axis] is not None for axis in dropped):
            raise NotElementwiseError(f"{op}")
        return entry, tuple(None if axis == "x" else old[axis] for axis in op.new_order)

    def broadcast(self, op: Elemwise, inputs: Any) -> tuple[Any, ...]:
        """Get what the axes of the result stand for."""
        found = []
        for parts in zip(*(self.axes[x] for x in inputs), strict=True):
            kinds = set(parts) - {None}
            if len(kinds) > 1:
                raise NotElementwiseError(f"{op} of arrays of different sizes")
            found.append(kinds.pop() if kinds else None)
        if found.count(BATCH) > 1 or sum(isinstance(kind, int) for kind in found) > 1:
            raise NotElementwiseError(f"{op} of arrays whose axes are not the same")
        return tuple(found)

    # An axis is known by what it stands for and not by its length, which may be 1 by chance:
    # (BATCH, 0) is an array of units, (BATCH, None) a number for each row, (0,) a vector of
    # parameters, and (None, 0) such a vector beside a batch.

    def row(self, op: Any, x: Any) -> tuple[Any, int]:
        """Get the entry and the size of what an operation reduces over the units."""
        entry, axes = self(x), self.axes[x]
        over = tuple(range(len(axes))) if op.axis is None else tuple(op.axis)
        if over != (len(axes) - 1,) or not isinstance(axes[-1], int):
            raise NotElementwiseError(f"{op} over other axes than the units")
        # With several sizes it would not be plain over which a gradient is summed.
        if self.reduced not in (None, axes[-1]):
            raise NotElementwiseError(f"{op} over different sizes")
        self.reduced = axes[-1]
        return entry, axes[-1]

    def reduction(self, op: Any, x: Any, dtype: str) -> tuple[Any, tuple[Any, ...]]:
        entry, dim = self.row(op, x)
        reduced = RowSum(dim, dtype)(entry) if isinstance(op, Sum) else RowMax(dim)(entry)
        return reduced, self.axes[x][:-1]

    def special(self, name: str, op: Any, x: Any) -> tuple[Any, tuple[Any, ...]]:
        """Softmax, its logarithm, and the logarithm of the sum in it."""
        # The largest entry is subtracted, so that exponentials do not overflow. It cancels out,
        # so its gradient, which is 0 as a whole, is not computed.
        entry, dim = self.row(op, x)
        largest = disconnected_grad(RowMax(dim)(entry))
        if name == "LogSumExp":
            # Infinity minus infinity is no number.
            largest = pt.switch(pt.eq(pt.abs(largest), np.inf), 0, largest).astype(x.dtype)
        shifted = entry - largest
        powers = pt.exp(shifted)
        total = RowSum(dim, x.dtype)(powers)
        if name == "Softmax":
            return powers / total, self.axes[x]
        if name == "LogSoftmax":
            return shifted - pt.log(total), self.axes[x]
        return pt.log(total) + largest, self.axes[x][:-1]

    def log_of_sum(self, total: Any) -> tuple[Any, tuple[Any, ...]]:
        """Get what PyTensor 3.0 makes of ``logsumexp``, in a form that does not overflow."""
        node = _summed_exponentials(total)
        assert node is not None
        (x,) = node.inputs[0].owner.inputs
        self(total)
        return self.special("LogSumExp", node.op, x)[0], self.axes[total]

    def size(self, op: Any, inputs: Any) -> int | None:
        """Get which size an expression is, as in a mean; None if it is none."""
        # PyTensor says the same in two ways, before and after it is simplified.
        if isinstance(op, Shape_i):
            x, axis = inputs[0], op.i
        elif isinstance(op, Subtensor) and len(inputs) == 2 and inputs[0].ndim == 1:
            shape, index = inputs
            if shape.owner is not None and isinstance(shape.owner.op, Elemwise):
                shape = shape.owner.inputs[0]
            is_shape = shape.owner is not None and isinstance(shape.owner.op, Shape)
            if not is_shape or not isinstance(index, Constant):
                return None
            x, axis = shape.owner.inputs[0], int(index.data)
        else:
            return None
        self(x)
        found = self.axes[x][axis]
        return found if isinstance(found, int) else None


def _summed_exponentials(variable: Any) -> Apply | None:
    """Get the node of a sum of exponentials, also one with its axis kept."""
    node = variable.owner
    if node is not None and isinstance(node.op, DimShuffle):
        node = node.inputs[0].owner
    if node is None or not isinstance(node.op, Sum) or node.inputs[0].owner is None:
        return None
    inner = node.inputs[0].owner.op
    is_exp = isinstance(inner, Elemwise) and type(inner.scalar_op).__name__ == "Exp"
    return node if is_exp else None


def read(roots: Iterable[Any], leaves: Mapping[Any, int], values: Values) -> list[int]:
    """Read zero-dimensional expressions.

    Parameters
    ----------
    roots : iterable of expressions
        What to read.
    leaves : dict of variable to int
        The values of the variables.
    values : Values
        Gets the values of the expressions.

    Returns
    -------
    list of int
        The values of the roots.
    """
    known = dict(leaves)

    def visit(variable: Any) -> int:
        if variable not in known:
            known[variable] = _read(variable, visit, values)
        return known[variable]

    return [visit(root) for root in roots]


def _read(variable: Any, visit: Any, values: Values) -> int:
    if isinstance(variable, Constant):
        return values.const(float(np.asarray(variable.data).reshape(())))
    if variable.owner is None:
        raise NotElementwiseError(f"{variable} is not a part of the cell")
    op, inputs = variable.owner.op, variable.owner.inputs
    if isinstance(op, RowSize):
        return values.add("n", (op.dim,), None)
    if isinstance(op, RowOp):
        arg = visit(inputs[0])
        if inputs[0].dtype == "bool" and values.number(arg) is None:
            arg = values.apply("switch", [arg, values.const(1), values.const(0)])
        return values.reduce("rowsum" if isinstance(op, RowSum) else "rowmax", arg, op.dim)
    if isinstance(op, ViewOp | DimShuffle):
        return visit(inputs[0])
    if isinstance(op, Alloc):
        return visit(inputs[0])
    if not isinstance(op, Elemwise):
        raise NotElementwiseError(f"{op}")
    name = type(op.scalar_op).__name__
    # A value has no shape and no type, so what only changes those is what it is made of.
    if name == "Second":
        return visit(inputs[1])
    if name in ("Identity", "Real"):
        return visit(inputs[0])
    if name == "Cast":
        # A truth becomes a number; one of a row that is summed has to be one too, see above.
        inner = visit(inputs[0])
        if inputs[0].dtype == "bool" and values.number(inner) is None:
            return values.apply("switch", [inner, values.const(1), values.const(0)])
        if variable.dtype.startswith("float") and inputs[0].dtype.startswith(("float", "int")):
            return inner
        if values.number(inner) is not None:
            return inner
    if name not in BY_SCALAR_OP:
        raise NotElementwiseError(f"{op}")
    return values.apply(BY_SCALAR_OP[name], [visit(i) for i in inputs])
