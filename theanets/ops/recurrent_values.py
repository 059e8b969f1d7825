"""Scalar formulas of a recurrent cell as plain data, read from PyTensor graphs.

A formula is a list of values, each an operation on earlier ones; equal values
occur once. Such a list has no variables of PyTensor in it: it can be compared,
hashed, and printed as source for NumPy or Numba.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.compile.ops import ViewOp
from pytensor.graph.basic import Constant
from pytensor.tensor.basic import Alloc
from pytensor.tensor.elemwise import DimShuffle, Elemwise


class NotElementwiseError(Exception):
    """A formula has something in it that is not done entry by entry."""


#: Names of PyTensor's scalar operations, and of ours.
OPS = {
    "Add": "add",
    "Mul": "mul",
    "Sub": "sub",
    "TrueDiv": "div",
    "Neg": "neg",
    "Reciprocal": "reciprocal",
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
    "Softplus": "softplus",
    "Exp": "exp",
    "Expm1": "expm1",
    "Log": "log",
    "Log1p": "log1p",
    "Sqrt": "sqrt",
    "Sqr": "sqr",
    "Pow": "pow",
    "Abs": "abs",
    "Sign": "sign",
    "Sin": "sin",
    "Cos": "cos",
    "Floor": "floor",
    "Mod": "mod",
    "Maximum": "maximum",
    "Minimum": "minimum",
    "Switch": "switch",
    "GT": "gt",
    "GE": "ge",
    "LT": "lt",
    "LE": "le",
    "EQ": "eq",
    "NEQ": "neq",
    "AND": "and",
    "OR": "or",
    "Invert": "not",
}

#: What costs more to compute again than to store and load.
COSTLY = frozenset(
    ("tanh sigmoid softplus exp expm1 log log1p sqrt pow div reciprocal sin cos mod").split()  # noqa: SIM905, it reads better
)


#: What is true or false, so not kept in arrays of numbers.
TRUTHS = frozenset(("gt", "ge", "lt", "le", "eq", "neq", "and", "or", "not"))


@dataclass(frozen=True)
class Value:
    """An operation on earlier values, or a leaf: a constant or an entry of an array.

    Attributes
    ----------
    op : str
        Name of the operation; ``'const'``, or the kind of the leaf.
    args : tuple
        Indices of values; for a leaf which array, for a constant its value.
    dim : int or None
        Which of the cell's sizes the value has an entry for each of; None for
        a number that all units share.
    """

    op: str
    args: tuple[Any, ...]
    dim: int | None


class Values:
    """A list of values without repetition.

    Parameters
    ----------
    values : iterable of Value
        The first ones.
    """

    def __init__(self, values: Iterable[Value] = ()) -> None:
        self.values: list[Value] = list(values)
        self._index = {value: i for i, value in enumerate(self.values)}

    def __getitem__(self, index: int) -> Value:
        return self.values[index]

    def add(self, op: str, args: tuple[Any, ...], dim: int | None) -> int:
        """Get the index of a value, appended unless it is there."""
        value = Value(op, args, dim)
        if value not in self._index:
            self._index[value] = len(self.values)
            self.values.append(value)
        return self._index[value]

    def const(self, number: float) -> int:
        """Get the index of a constant."""
        return self.add("const", (float(number),), None)

    def number(self, index: int) -> float | None:
        """Get the number of a constant; None for any other value."""
        value = self.values[index]
        return value.args[0] if value.op == "const" else None

    def apply(self, op: str, args: list[int]) -> int:
        """Get the index of an operation's result, simplified where that is plain."""
        known = self._simplified(op, args)
        if known is not None:
            return known
        dims = {self.values[a].dim for a in args} - {None}
        if len(dims) > 1:
            raise NotElementwiseError(f"{op} of arrays of different sizes")
        return self.add(op, tuple(args), dims.pop() if dims else None)

    def _simplified(self, op: str, args: list[int]) -> int | None:
        numbers = [self.number(a) for a in args]
        if op in ("add", "mul") and len(args) > 2:
            rest = args[0]
            for a in args[1:]:
                rest = self.apply(op, [rest, a])
            return rest
        if len(args) == 1 and op in ("add", "mul"):
            return args[0]
        if op == "sqr":
            return self.apply("mul", [args[0], args[0]])
        if op == "switch" and args[1] == args[2]:
            return args[1]
        if op == "add":
            return args[1] if numbers[0] == 0 else args[0] if numbers[1] == 0 else None
        if op == "sub":
            if numbers[0] == 0:
                return self.apply("neg", [args[1]])
            return args[0] if numbers[1] == 0 else None
        if op == "neg":
            if numbers[0] is not None:
                return self.const(-numbers[0])
            return self.values[args[0]].args[0] if self.values[args[0]].op == "neg" else None
        if op == "mul":
            return self._product(args, numbers)
        return None

    def _product(self, args: list[int], numbers: list[float | None]) -> int | None:
        for number, other in ((numbers[0], args[1]), (numbers[1], args[0])):
            if number == 0:
                return self.const(0)
            if number == 1:
                return other
            if number == -1:
                return self.apply("neg", [other])
        return None


def to_scalars(roots: Iterable[Any], leaves: dict[Any, Any]) -> tuple[list[Any], list[Any]]:
    """Turn expressions of matrices into expressions of one entry each.

    Parameters
    ----------
    roots : iterable of expressions
        Of two dimensions, batch first.
    leaves : dict
        The entry of each variable that the expressions may depend on; gets
        those of further vectors, such as parameters of an activation.

    Returns
    -------
    (scalars, found)
        Zero-dimensional expressions, and the further vectors.

    Raises
    ------
    NotElementwiseError
        If an expression is not elementwise.
    """
    found: list[Any] = []

    def lower(variable: Any) -> Any:
        if variable in leaves:
            return leaves[variable]
        leaves[variable] = _lower(variable, lower, found)
        return leaves[variable]

    return [lower(root) for root in roots], found


def _lower(variable: Any, lower: Any, found: list[Any]) -> Any:
    if isinstance(variable, Constant):
        data = np.asarray(variable.data)
        if data.size != 1:
            raise NotElementwiseError(f"a constant of shape {data.shape}")
        return pt.constant(data.reshape(()))
    if variable.owner is None:
        if variable.ndim != 1:
            raise NotElementwiseError(f"{variable} of {variable.ndim} dimensions")
        found.append(variable)
        return pt.scalar(name=f"p{len(found) - 1}", dtype=variable.dtype)
    op, inputs = variable.owner.op, variable.owner.inputs
    if isinstance(op, DimShuffle):
        order = [axis for axis in op.new_order if axis != "x"]
        if order == sorted(order):
            return lower(inputs[0])
    elif isinstance(op, Elemwise):
        return Elemwise(op.scalar_op)(*map(lower, inputs))
    elif isinstance(op, ViewOp):
        return op(lower(inputs[0]))
    elif isinstance(op, Alloc) and inputs[0].type.ndim == 0:
        return lower(inputs[0])
    raise NotElementwiseError(f"{op}")


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
    if isinstance(op, ViewOp | DimShuffle):
        return visit(inputs[0])
    if isinstance(op, Alloc):
        return visit(inputs[0])
    if not isinstance(op, Elemwise):
        raise NotElementwiseError(f"{op}")
    name = type(op.scalar_op).__name__
    if name == "Second":
        return visit(inputs[1])
    if name == "Identity":
        return visit(inputs[0])
    if name == "Cast":
        inner = visit(inputs[0])
        if inputs[0].dtype == "bool" and values.number(inner) is None:
            return values.apply("switch", [inner, values.const(1), values.const(0)])
        if variable.dtype.startswith("float") and inputs[0].dtype.startswith(("float", "int")):
            return inner
        if values.number(inner) is not None:
            return inner
    if name not in OPS:
        raise NotElementwiseError(f"{op}")
    return values.apply(OPS[name], [visit(i) for i in inputs])
