"""Scalar formulas of a recurrent cell as plain data.

A formula is a list of values, each an operation on earlier ones; equal values
occur once. Such a list has no variables of PyTensor in it: it can be compared,
hashed, and printed as source for NumPy or Numba.

A value is an entry of an array of (batch, units), or a number that all units
of a row share. The sum and the largest entry of a row are such numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .scalars import COSTLY, ROWS, TRUTHS


class NotElementwiseError(Exception):
    """A formula has something in it that is not done entry by entry."""


#: Kinds of leaves: constants and sizes, entries of arrays, results of dots, and cotangents.
LEAVES = frozenset(("const", "n", "x", "s", "v", "t", "d", "gs", "go", "gd"))

#: Stands for the size of what has one number for each row.
ROW = -1


@dataclass(frozen=True)
class Value:
    """An operation on earlier values, or a leaf: a constant or an entry of an array.

    Attributes
    ----------
    op : str
        Name of the operation; ``'const'``, or the kind of the leaf.
    args : tuple
        Indices of values; for a leaf which array, for a constant its value,
        for a size which.
    dim : int or None
        Which of the cell's sizes the value has an entry for each of; None for
        a number that all units of a row share.
    """

    op: str
    args: tuple[Any, ...]
    dim: int | None


class Values:
    """A list of values without repetition."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self._index: dict[Value, int] = {}

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

    def reduce(self, op: str, arg: int, dim: int) -> int:
        """Get the index of a row's sum or largest entry, simplified where that is plain.

        Parameters
        ----------
        op : str
            One of `ROWS`.
        arg : int
            What is reduced.
        dim : int
            The size that it has, also where all entries are the same.

        Raises
        ------
        NotElementwiseError
            If it has another one.
        """
        value = self.values[arg]
        if value.dim is None:
            if op == "rowmax" or self.number(arg) == 0:
                return arg
            return self.apply("mul", [arg, self.add("n", (dim,), None)])
        if value.dim != dim:
            raise NotElementwiseError(f"{op} over different sizes")
        known = self._sum(arg, dim) if op == "rowsum" else None
        return self.add(op, (arg,), None) if known is None else known

    def _sum(self, index: int, dim: int) -> int | None:
        """Take what a row shares out of its sum, and parts whose sum is 0."""
        # The derivative of a normalized row is full of such sums, and each that is left costs
        # a loop over the units, and a wave of the plan.
        value = self.values[index]
        args = value.args
        if value.op == "neg":
            return self.apply("neg", [self.reduce("rowsum", args[0], dim)])
        if value.op in ("mul", "div"):
            shared = [self.values[a].dim is None for a in args]
            if shared[1]:
                return self.apply(value.op, [self.reduce("rowsum", args[0], dim), args[1]])
            if shared[0] and value.op == "mul":
                return self.apply("mul", [args[0], self.reduce("rowsum", args[1], dim)])
        if value.op in ("add", "sub"):
            if self._is_centred(args[1], dim):
                return self.reduce("rowsum", args[0], dim)
            if self._is_centred(args[0], dim):
                rest = self.reduce("rowsum", args[1], dim)
                return rest if value.op == "add" else self.apply("neg", [rest])
            if self._is_centred(index, dim):
                return self.const(0)
        return None

    def _is_centred(self, index: int, dim: int) -> bool:
        """Tell whether something is a multiple of what its own mean was subtracted from."""
        value = self.values[index]
        if value.dim != dim:
            return False
        if value.op == "neg":
            return self._is_centred(value.args[0], dim)
        if value.op in ("mul", "div"):
            one, other = value.args
            if self.values[one].dim is None and value.op == "mul":
                one, other = other, one
            return self.values[other].dim is None and self._is_centred(one, dim)
        if value.op == "sub":
            one, other = value.args
            if self.values[one].dim is None or self.values[other].op != "div":
                return False
            total, size = self.values[other].args
            if self.values[size] != Value("n", (dim,), None):
                return False
            return total == self.reduce("rowsum", one, dim)
        return False

    def is_of_row(self, index: int) -> bool:
        """Tell whether a value is a number that a row shares and that its entries determine."""
        value = self.values[index]
        if value.dim is not None or value.op in LEAVES:
            return False
        return value.op in ROWS or any(map(self.is_of_row, value.args))

    def _simplified(self, op: str, args: list[int]) -> int | None:
        # What PyTensor's derivatives are full of, since nothing rewrites them: sums with 0,
        # products with 0, 1 and -1. All else is left to whoever compiles the loops.
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
        if op in ("add", "sub"):
            one, other = numbers
            if one is not None and other is not None:
                return self.const(one + other if op == "add" else one - other)
        if op == "add":
            return args[1] if numbers[0] == 0 else args[0] if numbers[1] == 0 else None
        if op == "sub":
            if numbers[0] == 0:
                return self.apply("neg", [args[1]])
            return args[0] if numbers[1] == 0 else None
        if op == "pow" and numbers[1] in (1, 2):
            return args[0] if numbers[1] == 1 else self.apply("mul", [args[0], args[0]])
        if op == "div":
            if numbers[0] == 0 and self.values[args[1]].op == "n":
                return args[0]
            if self.is_of_row(args[1]):
                # One division for a row.
                return self.apply("mul", [args[0], self.apply("reciprocal", [args[1]])])
        if op == "reciprocal" and self.values[args[0]].op == "mul" and self.is_of_row(args[0]):
            one, other = self.values[args[0]].args
            if one == other:
                # The reciprocal of a standard deviation is there, that of a variance is not.
                inverse = self.apply("reciprocal", [one])
                return self.apply("mul", [inverse, inverse])
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
                # Also where the other is not finite: a part that has no gradient has none.
                return self.const(0)
            if number == 1:
                return other
            if number == -1:
                return self.apply("neg", [other])
        return None


def needed(values: Sequence[Value], forward: frozenset[int], roots: Sequence[int]) -> list[int]:
    """Find which values of a step the derivative has to be told.

    What is costly is kept; what is cheap is computed again, unless that takes
    the result of a dot. Where rows are reduced, much is computed of the same
    results: there these are kept.
    """
    rows = any(value.op in ROWS for value in values)
    cheap: dict[int, bool] = {}

    def is_cheap(index: int) -> bool:
        if index not in cheap:
            value = values[index]
            if value.op in LEAVES:
                cheap[index] = rows or value.op != "d"
            else:
                cheap[index] = value.op in COSTLY or all(map(is_cheap, value.args))
        return cheap[index]

    # Downward from what the derivative consists of, until something is kept or can be read.
    found: list[int] = []
    seen: set[int] = set()
    stack = list(roots)
    while stack:
        index = stack.pop()
        if index in seen:
            continue
        seen.add(index)
        value = values[index]
        if value.op in LEAVES and value.op != "d":
            continue
        costly = value.op in COSTLY or value.op == "d" or not is_cheap(index)
        if index in forward and costly and value.op not in TRUTHS:
            found.append(index)
        else:
            stack.extend(value.args)
    return sorted(found)
