"""Source of operations on entries: for tensors, and for numbers on the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from pytensor.graph.basic import Apply

#: By the name of PyTensor's class: of what all have one type, which the result has too.
ARITHMETIC = {
    "Add": "{} + {}",
    "Sub": "{} - {}",
    "Mul": "{} * {}",
    "TrueDiv": "{} / {}",
    "Pow": "{} ** {}",
    "Neg": "-{}",
    "Sqr": "torch.square({})",
    "Sqrt": "torch.sqrt({})",
    "Exp": "torch.exp({})",
    "Log": "torch.log({})",
    "Tanh": "torch.tanh({})",
    "Sigmoid": "torch.sigmoid({})",
    "Abs": "torch.abs({})",
    "Maximum": "torch.maximum({}, {})",
    "Minimum": "torch.minimum({}, {})",
}

#: Those with a number, which is not taken by the function of two tensors.
WITH_NUMBER = {"Maximum": "torch.clamp_min({}, {})", "Minimum": "torch.clamp_max({}, {})"}

#: Those of any number of arguments, in any order.
VARIADIC = {"Add": " + ", "Mul": " * "}

#: Results are true or false.
COMPARISONS = {
    "LT": "{} < {}",
    "LE": "{} <= {}",
    "GT": "{} > {}",
    "GE": "{} >= {}",
    "EQ": "{} == {}",
    "NEQ": "{} != {}",
}

#: For numbers, where Python's operators do as NumPy does.
HOST = {"Add": " + ", "Mul": " * ", "Sub": " - "}

#: Functions of NumPy's for floating numbers, as the methods of PyTensor's classes look at types.
FUNCTIONS = {"Log": "log", "Exp": "exp", "Expm1": "expm1", "Log1p": "log1p", "Sqrt": "sqrt"}


def suits(node: Apply, numbers: Sequence[bool]) -> bool:
    """Tell whether `tensor` has source of an operation.

    Parameters
    ----------
    node : Apply
        Of an Elemwise.
    numbers : list of bool
        Which of its inputs are numbers on the host; not all of them.
    """
    name = type(node.op.scalar_op).__name__
    dtype = node.outputs[0].type.dtype
    kinds = [v.type.dtype for v in node.inputs]
    tensors = {kind for kind, number in zip(kinds, numbers, strict=True) if not number}
    if name == "Cast":
        return "complex" not in dtype + kinds[0]
    if name == "Switch":
        if numbers[0] or (numbers[1] and numbers[2]):
            return False
        kinds, numbers = kinds[1:], numbers[1:]
        tensors = {kind for kind, number in zip(kinds, numbers, strict=True) if not number}
        return tensors == {dtype} and _fit(kinds, dtype)
    if name in COMPARISONS:
        if all("int" in kind for kind in tensors):
            return all("int" in kind for kind in kinds)
        return len(tensors) == 1 and _fit(kinds, *tensors) and "complex" not in kinds[0]
    if name not in ARITHMETIC or tensors != {dtype} or not _fit(kinds, dtype):
        return False
    if name in ("Maximum", "Minimum") and any(numbers):
        return True
    return dtype.startswith("float") or (name in ("Add", "Mul", "Sub") and "int" in dtype)


def _fit(kinds: Sequence[str], dtype: str) -> bool:
    """Tell whether numbers of some types leave that of a tensor as it is."""
    return all(np.promote_types(kind, dtype) == dtype or _weak(kind, dtype) for kind in kinds)


def _weak(kind: str, dtype: str) -> bool:
    return dtype.startswith("float") and kind.startswith(("int", "uint"))


def tensor(node: Apply, arguments: Sequence[str], numbers: Sequence[bool]) -> str:
    """Get source of an operation on tensors and numbers.

    Parameters
    ----------
    node : Apply
        One that `suits`.
    arguments : list of str
        Source of its inputs.
    numbers : list of bool
        Which of them are numbers.
    """
    scalar = node.op.scalar_op
    name = type(scalar).__name__
    if name == "Cast":
        return f"{arguments[0]}.to(torch.{node.outputs[0].type.dtype})"
    if name == "Switch":
        condition = arguments[0]
        if node.inputs[0].type.dtype != "bool":
            condition += ".bool()"
        return f"torch.where({condition}, {arguments[1]}, {arguments[2]})"
    if name in VARIADIC:
        pairs = list(zip(arguments, numbers, strict=True))
        first = [text for text, number in pairs if number]
        rest = [text for text, number in pairs if not number]
        # Numbers make one number, so that there is a kernel less for each.
        known = f"({VARIADIC[name].join(first)})"
        return VARIADIC[name].join([*rest[:1], *([known] if first else []), *rest[1:]])
    if name in WITH_NUMBER and any(numbers):
        ordered = sorted(zip(numbers, arguments, strict=True))
        return WITH_NUMBER[name].format(*(text for _, text in ordered))
    return {**ARITHMETIC, **COMPARISONS}[name].format(*arguments)


def number(
    scalar: Any, arguments: Sequence[str], floating: bool, known: Callable[[str, Any], str]
) -> str:
    """Get source of an operation on numbers.

    Parameters
    ----------
    scalar : ScalarOp
    arguments : list of str
    floating : bool
        Whether they are floating numbers.
    known : callable
        Puts an object into the scope, under a name that begins so, and returns the name.
    """
    name = type(scalar).__name__
    if name == "Cast":
        return arguments[0]  # see `typed`
    if name in HOST:
        return HOST[name].join(arguments)
    if name == "TrueDiv":
        return f"np.true_divide({', '.join(arguments)})"
    if name in FUNCTIONS and floating:
        return f"np.{FUNCTIONS[name]}({arguments[0]})"
    return f"{known('f', scalar.impl)}({', '.join(arguments)})"


def typed(source: str, dtype: str) -> str:
    """Get source of a number of a type; integers are Python's."""
    if dtype == "bool":
        return f"bool({source})"
    return f"int({source})" if "int" in dtype else f"np.{dtype}({source})"
