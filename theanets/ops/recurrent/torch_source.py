"""Source of the steps of a cell for PyTorch: as few calls within the loop as there can be.

A call of PyTorch's costs more than the arithmetic of a step of usual size. So what depends on no
state is computed for all steps at once before the loop, and what no later step needs after it, of
what the steps have left. Of sums and products within the loop, the parts that are known before
it make one part, and sums with products of matrices are one call.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .cell import Cell
from .scalars import OPERATIONS, TRUTHS
from .values import LEAVES, Value

#: When a value is known: always, for all steps before the loop, or in its course.
FIXED, SERIES, LOOP = range(3)

#: Operations of Python's, which take numbers as they are. PyTorch neither subtracts nor negates
#: truths.
_PLAIN = {
    "add": "{} + {}",
    "sub": "{} - {}",
    "mul": "{} * {}",
    "div": "{} / {}",
    "neg": "-{}",
    "reciprocal": "torch.reciprocal({})",
    "gt": "{} > {}",
    "ge": "{} >= {}",
    "lt": "{} < {}",
    "le": "{} <= {}",
    "eq": "{} == {}",
    "neq": "{} != {}",
}


class Stages:
    """The lines before, in and after the loop over the steps of a cell.

    Parameters
    ----------
    cell : Cell
    leaves : dict of int to (int, str)
        For values that are read: when they are known, and source; of a series, all of it.
        ``(T, B, size)``, of what is known always ``(size,)``.
    products : callable
        Writes the product that a leaf of the loop is of, if it is one, and gets source of it.
    roots : list of int
        Values that are needed by themselves, and not for others only.
    reverse : bool
        Whether the loop runs from the last step to the first.
    """

    def __init__(
        self,
        cell: Cell,
        leaves: dict[int, tuple[int, str]],
        products: Callable[[Stages, Value], str],
        roots: Sequence[int],
        reverse: bool,
    ) -> None:
        self.cell, self.leaves, self.products, self.reverse = cell, leaves, products, reverse
        self.before: list[str] = []
        self.loop: list[str] = []
        self.after: list[str] = []
        #: Names of values of one step, and of all steps.
        self.now: dict[int, str] = {}
        self.all: dict[int, str] = {}
        self._levels: dict[int, int] = {}
        self._parts: dict[Any, str] = {}
        self._collected: list[str] = []
        #: Sums whose known part is in a product already.
        self.folded: set[int] = set()
        self.uses = Counter([*roots, *roots])
        self.users: dict[int, int] = {}
        for index in self._closure(roots):
            for arg in () if self.is_leaf(index) else cell.values[index].args:
                self.uses[arg] += 1
                self.users[arg] = index

    def is_leaf(self, index: int) -> bool:
        """Tell whether a value is read."""
        return index in self.leaves or self.cell.values[index].op in LEAVES

    def _closure(self, roots: Iterable[int]) -> set[int]:
        found, stack = set(), list(roots)
        while stack:
            index = stack.pop()
            if index not in found:
                found.add(index)
                if not self.is_leaf(index):
                    stack.extend(self.cell.values[index].args)
        return found

    def level(self, index: int) -> int:
        """Get when a value is known."""
        if index not in self._levels:
            value = self.cell.values[index]
            if index in self.leaves:
                found = self.leaves[index][0]
            elif value.op in ("const", "n"):
                found = FIXED
            elif value.op in LEAVES:
                found = LOOP
            else:
                found = max(map(self.level, value.args))
            self._levels[index] = found
        return self._levels[index]

    # ---- values of all steps ---------------------------------------------------------

    def whole(self, index: int) -> str:
        """Get source for the values of all steps, or for one that all share.

        Of a value of the loop only when all that the loop computes has been written.
        """
        if index not in self.all:
            value, level = self.cell.values[index], self.level(index)
            lines = self.after if level == LOOP else self.before
            if index in self.leaves and level != LOOP:
                text = self.leaves[index][1]
            elif value.op in ("const", "n"):
                text = f"z.new_full((), {self._number(value)})"
            elif index in self.now or self.is_leaf(index):
                size = "1" if value.dim is None else f"n{value.dim}"
                text = self.collected(self.step(index), size)
            else:
                text = self._applied(value, self.whole)
            lines.append(f"Q{index} = {text}")
            self.all[index] = f"Q{index}"
        return self.all[index]

    def collected(self, name: str, size: str) -> str:
        """Get source for what each step has left under a name, (time, batch, size)."""
        if name not in self._collected:
            self._collected.append(name)
        return f"stacked(all_{name}, {self.reverse}, z, {size})"

    # ---- values of a step ------------------------------------------------------------

    def step(self, index: int) -> str:
        """Get source for the value of one step, in the loop."""
        if index not in self.now:
            value, level = self.cell.values[index], self.level(index)
            if level == FIXED:
                return self.whole(index)
            if level == SERIES:
                self.now[index] = self.part(self.whole(index))
            elif self.is_leaf(index):
                given = self.leaves.get(index)
                self.now[index] = self.products(self, value) if given is None else given[1]
            else:
                text = self._combined(index)
                self.loop.append(f"q{index} = {text}")
                self.now[index] = f"q{index}"
        return self.now[index]

    def part(self, whole: str) -> str:
        """Get source for the part of one step of what is known before the loop."""
        if whole not in self._parts:
            name = f"p{len(self._parts)}"
            self.before.append(f"each_{name} = {whole}.expand((T, B, -1)).unbind(0)")
            self.loop.append(f"{name} = each_{name}[t]")
            self._parts[whole] = name
        return self._parts[whole]

    def _combined(self, index: int) -> str:
        """Get source for an operation in the loop; of a sum or product with one part known."""
        value = self.cell.values[index]
        if value.op == "mul":
            return " * ".join(self._factors(index))
        if value.op != "add":
            return self._applied(value, self.step)
        known, rest = self.parts(index, "add")
        for part in rest:
            if self.is_leaf(part):
                self.step(part)  # which may take what is known with it
        found = None if index in self.folded else self._known(known, "add")
        for part in rest:
            factors = self._factors(part) if self._dissolves(part, "mul") else []
            if found is not None and len(factors) == 2 and self._are_numbers(part):
                found = f"torch.addcmul({found}, {factors[0]}, {factors[1]})"
            else:
                text = " * ".join(factors) if factors else self.step(part)
                found = text if found is None else f"{found} + {text}"
        assert found is not None
        return found

    def _factors(self, index: int) -> list[str]:
        known, rest = self.parts(index, "mul")
        first = self._known(known, "mul")
        return [*([] if first is None else [first]), *map(self.step, rest)]

    def _are_numbers(self, index: int) -> bool:
        """Tell whether a product is of nothing that is true or false."""
        known, rest = self.parts(index, "mul")
        return not any(self.cell.values[part].op in TRUTHS for part in (*known, *rest))

    def _dissolves(self, index: int, op: str) -> bool:
        """Tell whether a value is but a part of another one."""
        return (
            self.cell.values[index].op == op
            and not self.is_leaf(index)
            and self.level(index) == LOOP
            and self.uses[index] == 1
            and index not in self.now
        )

    def parts(self, index: int, op: str) -> tuple[list[int], list[int]]:
        """Get the parts of a sum or product, those that are known before the loop and others."""
        found, stack = [], list(self.cell.values[index].args)[::-1]
        while stack:
            part = stack.pop()
            if self._dissolves(part, op):
                stack.extend(self.cell.values[part].args[::-1])
            else:
                found.append(part)
        known = [part for part in found if self.level(part) != LOOP]
        return known, [part for part in found if self.level(part) == LOOP]

    def _known(self, parts: Sequence[int], op: str) -> str | None:
        """Get source for one part of a step in the place of those that are known."""
        if len(parts) < 2:
            return self.step(parts[0]) if parts else None
        name = self.together(parts, op)
        fixed = all(self.level(part) == FIXED for part in parts)
        return name if fixed else self.part(name)

    def together(self, parts: Sequence[int], op: str) -> str:
        """Get source for the sum or product of what is known before the loop."""
        text = {"add": " + ", "mul": " * "}[op].join(map(self.whole, parts))
        return self._named(text) if len(parts) > 1 else text

    def _named(self, text: str) -> str:
        if text not in self._parts:
            name = f"K{len(self._parts)}"
            self.before.append(f"{name} = {text}")
            self._parts[text] = name
        return self._parts[text]

    def _applied(self, value: Value, ref: Callable[[int], str]) -> str:
        plain = _PLAIN.get(value.op)
        kinds = [self.cell.values[arg] for arg in value.args]
        numbers = [kind.op in ("const", "n") for kind in kinds]
        if plain is None or all(numbers) or any(kind.op in TRUTHS for kind in kinds):
            row = OPERATIONS[value.op]
            return (row.torch or row.numpy).replace("np.", "torch.").format(*map(ref, value.args))
        texts = [
            self._number(kind) if number else ref(arg)
            for kind, number, arg in zip(kinds, numbers, value.args, strict=True)
        ]
        return plain.format(*texts)

    def _number(self, value: Value) -> str:
        if value.op == "n":
            return f"n{value.args[0]}"
        (number,) = value.args
        return f"({number!r})" if math.isfinite(number) else f"float('{number}')"

    # ---- what the loop hands on --------------------------------------------------------

    def full(self, index: int, dim: int) -> str:
        """Get source for a value of one step as (batch, size)."""
        text = self.step(index)
        if self.level(index) != FIXED and self.cell.values[index].dim is not None:
            return text
        return f"{text}.expand((B, {_size(dim)}))"

    def full_series(self, index: int, dim: int) -> str:
        """Get source for the values of all steps as (time, batch, size)."""
        text = self.whole(index)
        if self.level(index) != FIXED and self.cell.values[index].dim is not None:
            return text
        return f"{text}.expand((T, B, {_size(dim)}))"

    def collecting(self) -> list[str]:
        """Get the lines at the end of a step that keep what comes after the loop needs."""
        return [f"all_{name}.append({name})" for name in self._collected]

    def starting(self) -> list[str]:
        """Get the lines that make the lists for `collecting`."""
        return [f"all_{name} = []" for name in self._collected]


def _size(dim: int) -> str:
    return "1" if dim < 0 else f"n{dim}"
