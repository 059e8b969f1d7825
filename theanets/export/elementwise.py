"""What is done entry by entry: PyTensor's scalar operations in ONNX's operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply
from pytensor.scalar.basic import ScalarOp
from pytensor.tensor.elemwise import Elemwise

from .writer import UnsupportedError, Writer, translate

#: Operators of the same meaning, by the class of PyTensor's scalar operation: those of numbers.
NUMBERS = {
    "Add": "Add",
    "Sub": "Sub",
    "Mul": "Mul",
    "TrueDiv": "Div",
    "Neg": "Neg",
    "Abs": "Abs",
    "Sign": "Sign",
    "Pow": "Pow",
    "Exp": "Exp",
    "Log": "Log",
    "Sqrt": "Sqrt",
    "Sin": "Sin",
    "Cos": "Cos",
    "Tan": "Tan",
    "Sinh": "Sinh",
    "Cosh": "Cosh",
    "Tanh": "Tanh",
    "ArcSin": "Asin",
    "ArcCos": "Acos",
    "ArcTan": "Atan",
    "ArcSinh": "Asinh",
    "ArcCosh": "Acosh",
    "ArcTanh": "Atanh",
    "Sigmoid": "Sigmoid",
    "Softplus": "Softplus",
    "Erf": "Erf",
    "Floor": "Floor",
    "Ceil": "Ceil",
    "RoundHalfToEven": "Round",
    "Maximum": "Max",
    "Minimum": "Min",
    "Identity": "Identity",
    "Real": "Identity",
}

#: Those that compare numbers.
COMPARISONS = {
    "GT": "Greater",
    "GE": "GreaterOrEqual",
    "LT": "Less",
    "LE": "LessOrEqual",
    "EQ": "Equal",
}

#: Those of truths.
TRUTHS = {"AND": "And", "OR": "Or", "XOR": "Xor", "Invert": "Not"}

#: Those that are made of others.
FORMULAS: dict[str, Callable[..., Any]] = {
    "Sqr": lambda x: x * x,
    "Reciprocal": lambda x: 1 / x,
    "Expm1": lambda x: pt.exp(x) - 1,
    "Exp2": lambda x: pt.exp(x * _number(np.log(2), x)),
    "Log1p": lambda x: pt.log(1 + x),
    "Log2": lambda x: pt.log(x) / _number(np.log(2), x),
    "Log10": lambda x: pt.log(x) / _number(np.log(10), x),
    "Erfc": lambda x: 1 - pt.erf(x),
    "Deg2Rad": lambda x: x * _number(np.pi / 180, x),
    "Rad2Deg": lambda x: x * _number(180 / np.pi, x),
    "Trunc": lambda x: pt.sign(x) * pt.floor(pt.abs(x)),
    "RoundHalfAwayFromZero": lambda x: pt.sign(x) * pt.floor(pt.abs(x) + _number(0.5, x)),
    "NEQ": lambda x, y: pt.invert(pt.eq(x, y)),
    "Clip": lambda x, low, high: pt.minimum(pt.maximum(x, low), high),
}


def _number(value: float, like: Any) -> Any:
    return np.asarray(value, like.dtype if like.dtype.startswith("float") else "float64")


@translate.register
def _(op: Elemwise, node: Apply, write: Writer) -> Sequence[str]:
    return [entrywise(op.scalar_op, node, write)]


@translate.register
def _(op: ScalarOp, node: Apply, write: Writer) -> Sequence[str]:
    return [entrywise(op, node, write)]


def entrywise(op: Any, node: Apply, write: Writer) -> str:
    """Write a scalar operation of arrays."""
    name, dtype = type(op).__name__, write.type_of(node.outputs[0].dtype)
    if name in FORMULAS:
        return write.run([FORMULAS[name](*node.inputs)])[0]
    inputs = [write(x) for x in node.inputs]
    common = write.type_of(str(np.result_type(*(x.dtype for x in node.inputs))))
    if name == "Cast":
        return write.cast(inputs[0], dtype)
    if name == "Switch":
        branches = [write.cast(x, dtype) for x in inputs[1:]]
        return str(write.node("Where", write.cast(inputs[0], "bool"), *branches, dtype=dtype))
    if name == "Second":
        return str(write.node("Expand", write.cast(inputs[1], dtype), write.shape(inputs[0])))
    if name in COMPARISONS:
        # A runtime may not compare truths.
        common = "int64" if common == "bool" else common
        compared = [write.cast(x, common) for x in inputs]
        return str(write.node(COMPARISONS[name], *compared, dtype="bool"))
    if name in TRUTHS and common == "bool":
        return str(write.node(TRUTHS[name], *inputs))
    if name in ("IsNan", "IsInf") and common.startswith("float"):
        return str(write.node("IsNaN" if name == "IsNan" else name, *inputs, dtype="bool"))
    if name in ("IntDiv", "Mod"):
        return _division(name, [write.cast(x, dtype) for x in inputs], write)
    if name in ("Add", "Mul") and dtype == "bool":
        return str(write.node("Or" if name == "Add" else "And", *inputs))
    if name not in NUMBERS:
        raise UnsupportedError(f"the operation {name} has no counterpart in ONNX")
    parts = [write.cast(x, dtype) for x in inputs]
    found = parts[0] if len(parts) > 1 else str(write.node(NUMBERS[name], parts[0]))
    for part in parts[1:]:
        found = str(write.node(NUMBERS[name], found, part))
    return found


def _division(name: str, parts: list[str], write: Writer) -> str:
    """Write a quotient that is rounded down, or what remains."""
    x, y = parts
    if write.types[x] == "int64":
        rest = str(write.node("Mod", x, y))
        return rest if name == "Mod" else write.node("Div", write.node("Sub", x, rest), y)
    floor = str(write.node("Floor", write.node("Div", x, y)))
    return floor if name == "IntDiv" else write.node("Sub", x, write.node("Mul", floor, y))
