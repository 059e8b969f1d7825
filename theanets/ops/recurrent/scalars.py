"""The operations that a formula of a cell may consist of, each in a row of one table.

A row says what PyTensor calls an operation, how it is written for NumPy and for Numba, and
whether it is worth keeping. Whoever reads, plans or prints formulas asks the table, so a
further operation is a further row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Operation:
    """An operation on numbers, or on all entries of a row.

    Attributes
    ----------
    name : str
        What formulas call it.
    scalar_op : str or None
        The class of PyTensor's scalar operation; None if it is none of these.
    numpy : str
        Source for arrays, with a pair of braces for each argument. ``np`` is NumPy, or a
        library that has the same functions; ``F`` makes a number of the array's type.
    numba : str
        Source for an entry. Python's operators are in parentheses, since it becomes part of
        a larger expression. For an operation on a row, what the first argument, the result
        for the entries before, becomes with the second, the next entry.
    costly : bool
        Whether it costs more to compute again than to store and to load.
    truth : bool
        Whether it is true or false, so not kept in arrays of numbers.
    torch : str or None
        Source for PyTorch's arrays, where ``numpy`` does not do.
    start : str or None
        For an operation on a row, what ``numba`` starts from; None for any other.
    """

    name: str
    scalar_op: str | None
    numpy: str
    numba: str
    costly: bool = False
    truth: bool = False
    torch: str | None = None
    start: str | None = None


OPERATIONS = {
    row.name: row
    for row in (
        Operation("add", "Add", "{} + {}", "({} + {})"),
        # PyTorch neither subtracts nor negates truths.
        Operation("sub", "Sub", "{} - {}", "({} - {})", torch="{} + {} * -1.0"),
        Operation("mul", "Mul", "{} * {}", "({} * {})"),
        Operation("div", "TrueDiv", "{} / {}", "({} / {})", costly=True),
        Operation("neg", "Neg", "-{}", "(-{})", torch="{} * -1.0"),
        Operation("reciprocal", "Reciprocal", "F(1) / {}", "(F(1) / {})", costly=True),
        Operation("tanh", "Tanh", "np.tanh({})", "tanh({})", costly=True),
        Operation("sigmoid", "Sigmoid", "expit({})", "sigmoid({})", costly=True),
        Operation(
            "softplus",
            "Softplus",
            "np.logaddexp(F(0), {})",
            "softplus({})",
            costly=True,
            torch="np.logaddexp({0}, np.zeros_like({0}))",
        ),
        Operation("exp", "Exp", "np.exp({})", "exp({})", costly=True),
        Operation("expm1", "Expm1", "np.expm1({})", "np.expm1({})", costly=True),
        Operation("log", "Log", "np.log({})", "np.log({})", costly=True),
        Operation("log1p", "Log1p", "np.log1p({})", "np.log1p({})", costly=True),
        Operation("sqrt", "Sqrt", "np.sqrt({})", "np.sqrt({})", costly=True),
        Operation("sqr", "Sqr", "{0} * {0}", "({0} * {0})"),
        Operation("pow", "Pow", "{} ** {}", "({} ** {})", costly=True),
        Operation("abs", "Abs", "np.abs({})", "abs({})"),
        # PyTorch's sign of NaN is 0.
        Operation(
            "sign",
            "Sign",
            "np.sign({})",
            "np.sign({})",
            torch="np.where({0} == {0}, np.sign({0}), {0})",
        ),
        Operation("sin", "Sin", "np.sin({})", "np.sin({})", costly=True),
        Operation("cos", "Cos", "np.cos({})", "np.cos({})", costly=True),
        Operation("floor", "Floor", "np.floor({})", "np.floor({})"),
        Operation(
            "mod",
            "Mod",
            "np.mod({}, {})",
            "({0} - np.floor({0} / {1}) * {1})",
            costly=True,
            torch="np.remainder({}, {})",
        ),
        # Python's conditions, unlike `max`, vectorize and hand on NaN.
        Operation(
            "maximum",
            "Maximum",
            "np.maximum({}, {})",
            "({1} if {0} < {1} or {1} != {1} else {0})",
        ),
        Operation(
            "minimum",
            "Minimum",
            "np.minimum({}, {})",
            "({1} if {0} > {1} or {1} != {1} else {0})",
        ),
        Operation("switch", "Switch", "np.where({}, {}, {})", "({1} if {0} else {2})"),
        Operation("gt", "GT", "{} > {}", "({} > {})", truth=True),
        Operation("ge", "GE", "{} >= {}", "({} >= {})", truth=True),
        Operation("lt", "LT", "{} < {}", "({} < {})", truth=True),
        Operation("le", "LE", "{} <= {}", "({} <= {})", truth=True),
        Operation("eq", "EQ", "{} == {}", "({} == {})", truth=True),
        Operation("neq", "NEQ", "{} != {}", "({} != {})", truth=True),
        # A constant among these is a number, which the operators would refuse.
        Operation("and", "AND", "np.logical_and({}, {})", "({} and {})", truth=True),
        Operation("or", "OR", "np.logical_or({}, {})", "({} or {})", truth=True),
        Operation("not", "Invert", "np.logical_not({})", "(not {})", truth=True),
        Operation(
            "rowsum",
            None,
            "np.sum({}, axis=-1, keepdims=True)",
            "plus({0}, {1})",
            costly=True,
            torch="np.sum({}, dim=-1, keepdim=True)",
            start="F(0)",
        ),
        Operation(
            "rowmax",
            None,
            "np.max({}, axis=-1, keepdims=True)",
            "{1} if {1} > {0} or {1} != {1} else {0}",
            costly=True,
            torch="np.amax({}, dim=-1, keepdim=True)",
            start="F(-np.inf)",
        ),
    )
}

#: Names of operations by the class of PyTensor's.
BY_SCALAR_OP = {row.scalar_op: row.name for row in OPERATIONS.values() if row.scalar_op}

#: What is computed of all entries of a row.
ROWS = frozenset(name for name, row in OPERATIONS.items() if row.start is not None)

#: What costs more to compute again than to store and to load.
COSTLY = frozenset(name for name, row in OPERATIONS.items() if row.costly)

#: What is true or false.
TRUTHS = frozenset(name for name, row in OPERATIONS.items() if row.truth)


def functions(library: str, **scope: Any) -> dict[str, Callable[..., Any]]:
    """Get functions that do the operations on arrays of a library.

    Parameters
    ----------
    library : str
        Whose source is taken, ``'numpy'`` where it has none of its own.
    **scope
        What the source refers to: ``np``, ``expit`` and ``F``.

    Returns
    -------
    dict of str to callable
        By the operation's name.
    """
    made = {}
    for name, row in OPERATIONS.items():
        source = getattr(row, library, None) or row.numpy
        made[name] = eval(f"lambda *x: {source.format('x[0]', 'x[1]', 'x[2]')}", scope)
    return made
