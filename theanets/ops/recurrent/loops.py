"""Loops over the units of a cell as source for Numba."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from .by_numpy import constant, offsets
from .cell import Cell
from .plan import Loop, Plan, Store, is_zero
from .scalars import OPERATIONS
from .values import ROW


def _at(name: str, index: str, dims: Sequence[int], part: int) -> str:
    """Get the source of an entry of a packed array, whose unit is ``j``."""
    start = offsets(dims)[part]
    unit = "j" if start == "0" else f"{start} + j"
    return f"{name}[{index}{unit}]"


class Printer:
    """Prints the loops of a plan as functions."""

    def __init__(self, cell: Cell, plan: Plan) -> None:
        self.cell, self.plan = cell, plan
        shared = [i for i, dim in plan.temporaries if dim == ROW]
        self.columns = {index: column for column, index in enumerate(shared)}
        self.functions: list[str] = []

    def leaf(self, index: int) -> str:
        raise NotImplementedError

    def target(self, kind: str, index: tuple[int, ...]) -> str:
        raise NotImplementedError

    def zeroed(self, kind: str) -> bool:
        """Tell whether steps that do not exist have zeros there."""
        raise NotImplementedError

    def common(self, index: int) -> str | None:
        value = self.cell.values[index]
        if value.op == "x":
            return _at("z", "b, t, ", self.cell.blocks, value.args[0])
        if value.op == "v":
            i, part = value.args
            return _at(f"v{i}", "", self.cell.vectors[i], part)
        if value.op == "n":
            return f"F(n{value.args[0]})"
        return "count" if value.op == "t" else None

    def output(self, index: int) -> str:
        """Get the source of an entry of an output."""
        column = self.cell.column(index)
        return f"o{self.cell.array(index)}[b, t, {'j' if column is None else column}]"

    def ref(self, index: int) -> str:
        value = self.cell.values[index]
        return constant(value.args[0]) if value.op == "const" else f"q{index}"

    def temporary(self, index: int) -> str:
        """Get the source of an entry of what is kept during a step."""
        shared = self.cell.values[index].dim is None
        return f"shared[b, {self.columns[index]}]" if shared else f"w{index}[b, j]"

    def temporaries(self) -> list[str]:
        """Get source that makes the arrays of what is kept during a step."""
        arrays = [
            f"w{i} = np.zeros((B, n{dim}), F)" for i, dim in self.plan.temporaries if dim != ROW
        ]
        return (
            [*arrays, f"shared = np.zeros((B, {len(self.columns)}), F)"] if self.columns else arrays
        )

    def compute(self, loop: Loop, row: bool) -> Iterator[str]:
        """Get the source of all values that rows share, or of all that units have."""
        values = self.cell.values
        for index in loop.loads:
            if values[index].op != "const" and (values[index].dim is None) == row:
                yield f"q{index} = {self.leaf(index)}"
        for index in loop.temporaries:
            if (values[index].dim is None) == row:
                yield f"q{index} = {self.temporary(index)}"
        for index in loop.order:
            value = values[index]
            if (value.dim is None) == row:
                form = OPERATIONS[value.op].numba
                yield f"q{index} = {form.format(*map(self.ref, value.args))}"

    def place(self, store: Store) -> str:
        """Get the source of where a value goes."""
        if store.kind == "w":
            return self.temporary(store.value)
        return self.target(store.kind, store.index)

    def store(self, store: Store) -> str:
        """Get the source that stores a value."""
        value = self.ref(store.value)
        if store.kind == "r":
            (index,) = store.index
            form = OPERATIONS[self.cell.values[index].op].numba
            return f"a{index} = {form.format(f'a{index}', value)}"
        return f"{self.place(store)} {'+=' if store.kind == 'dv' else '='} {value}"

    def loop(self, name: str, loop: Loop) -> str:
        """Add the function of a loop, and get the source of its call."""
        rows = [store for store in loop.stores if store.dim == ROW]
        units = [store for store in loop.stores if store.dim != ROW]
        reduced = [store.index[0] for store in units if store.kind == "r"]
        each = f"for j in range(n{loop.dim}):"

        def around(first: list[str], inner: list[str], last: list[str]) -> list[str]:
            return [*first, *([each] if inner else []), *(f"    {line}" for line in inner), *last]

        def zeros(stores: Sequence[Store]) -> list[str]:
            return [f"{self.place(s)} = F(0)" for s in stores if self.zeroed(s.kind)]

        starts = [(i, OPERATIONS[self.cell.values[i].op].start) for i in reduced]
        there = around(
            [
                *self.compute(loop, row=True),
                *map(self.store, rows),
                *(f"a{i} = {start}" for i, start in starts),
            ],
            [*self.compute(loop, row=False), *map(self.store, units)] if units else [],
            [f"{self.temporary(i)} = a{i}" for i in reduced],
        )
        absent = around(zeros(rows), zeros(units), [])
        text = "\n".join(there + absent)
        arrays = self.used(text)
        sizes = [f"n{i}" for i in range(self.cell.num_sizes)]
        arguments = ", ".join(["t", "r", "reverse", "L", *sizes, *arrays])
        source = [
            "@loop",
            f"def {name}({arguments}):",
            # Unsigned, so that Numba does not ask each index whether it counts from the end.
            "    for b in range(U(L.shape[0])):",
            "        if t < L[b]:",
        ]
        if "count" in text:
            source.append("            count = F(L[b] - U(1) - t if reverse else t)")
        source += [f"            {line}" for line in there]
        if absent:
            source += ["        else:", *(f"            {line}" for line in absent)]
        self.functions.append("\n".join(source))
        return f"{name}({arguments})"

    def used(self, text: str) -> list[str]:
        """Get the names of the arrays that source uses."""
        found = set(re.findall(r"(\w+)\[", text))
        return [name for name in self.arrays() if name in found]

    def arrays(self) -> list[str]:
        """Get the names of all arrays that loops may use."""
        cell = self.cell
        names = ["z", "dz", "shared"]
        for kind, many in (
            ("v", len(cell.vectors)),
            ("dv", len(cell.vectors)),
            ("s", len(cell.states)),
            ("p", len(cell.states)),
            ("part", len(cell.states)),
            ("d", len(cell.dots)),
            ("e", len(cell.dots)),
            ("dd", len(cell.dots)),
            ("ge", len(cell.dots)),
            ("o", len(cell.outputs)),
            ("g", len(cell.outputs)),
            ("w", len(cell.values)),
        ):
            names += [f"{kind}{i}" for i in range(many)]
        return names


class ForwardPrinter(Printer):
    """Prints the loops of a step."""

    def leaf(self, index: int) -> str:
        common = self.common(index)
        if common is not None:
            return common
        value = self.cell.values[index]
        if value.op == "s":
            return f"s{value.args[0]}[b, j]"
        k, part = value.args
        return _at(f"d{k}", "b, ", self.cell.dots[k].dims, part)

    def target(self, kind: str, index: tuple[int, ...]) -> str:
        i = index[0]
        return self.output(i) if kind == "o" else f"{kind}{i}[b, j]"

    def zeroed(self, kind: str) -> bool:
        return kind == "o"


class BackwardPrinter(Printer):
    """Prints the loops of the derivative of a step."""

    def __init__(self, cell: Cell, plan: Plan, given: Sequence[bool]) -> None:
        super().__init__(cell, plan)
        self.given = given
        self.bare = [cell.bare(k) for k in range(len(cell.dots))]

    def carry(self, state: int) -> list[str]:
        """Get the names of the arrays whose sum is the cotangent of an old state."""
        # Not added up at the end of a step but read as a sum in the next: a loop less.
        part = [] if is_zero(self.cell, self.cell.d_states[state]) else [f"part{state}"]
        return part + [f"ge{k}" for k, bare in enumerate(self.bare) if bare == state]

    def leaf(self, index: int) -> str:
        cell = self.cell
        common = self.common(index)
        if index in cell.outputs:
            text = self.output(cell.outputs.index(index))
            return text.replace(", j]", ", 0]") if cell.values[index].dim is None else text
        if common is not None:
            return common
        value = cell.values[index]
        i = value.args[0]
        if value.op == "s":
            return f"e{self.bare.index(i)}[r, b, j]" if i in self.bare else f"p{i}[b, j]"
        if value.op == "gs":
            terms = [f"{name}[b, j]" for name in self.carry(i)]
            out = cell.trajectory(i)
            if self.given[out]:
                terms.append(f"g{out}[b, t, j]")
            return " + ".join(terms) or "F(0)"
        if value.op == "go":
            return f"g{cell.outputs.index(i)}[b, t, j]"
        return f"ge{i}[b, j]"

    def target(self, kind: str, index: tuple[int, ...]) -> str:
        cell, i = self.cell, index[0]
        if kind == "dd":
            return _at(f"dd{i}", "r, b, ", cell.dots[i].dims, index[1])
        if kind == "dz":
            return _at("dz", "b, t, ", cell.blocks, i)
        if kind == "dv":
            return _at(f"dv{i}", "", cell.vectors[i], index[1])
        return f"e{i}[r, b, j]" if kind == "e" else f"{kind}{i}[b, j]"

    def zeroed(self, kind: str) -> bool:
        return kind in ("dd", "dz", "e")

    def start(self, states: Sequence[int]) -> str:
        """Add the function that comes before the loops of a step, and get its call."""
        # Series end, and begin, at different steps. At its last step a series takes over the
        # cotangents of the final states; at its first it reads the initial states in place of
        # the step before, and what is carried then is the gradient of these.
        cell = self.cell
        old, clear, first, copy, zero, done = [], [], [], [], [], []
        for i, dim in enumerate(cell.states):
            names = self.carry(i)
            for name in names:
                clear.append(f"for j in range(n{dim}): {name}[b, j] = F(0)")
            if names:
                first.append(f"for j in range(n{dim}): {names[0]}[b, j] = f{i}[b, j]")
                total = " + ".join(f"{name}[b, j]" for name in names)
                done.append(f"for j in range(n{dim}): ds{i}[b, j] = {total}")
        for i in states:
            dim, out = cell.states[i], cell.trajectory(i)
            targets = [f"e{k}[r, b, j]" for k, bare in enumerate(self.bare) if bare == i]
            targets = targets or [f"p{i}[b, j]"]
            for target in targets:
                copy.append(f"for j in range(n{dim}): {target} = o{out}[b, before, j]")
                old.append(f"for j in range(n{dim}): {target} = s{i}[b, j]")
                if target.startswith("e"):
                    zero.append(f"for j in range(n{dim}): {target} = F(0)")
        text = "\n".join(old + clear + first + copy + done)
        arrays = self.used(text)
        arrays += [f"{a}{i}" for i, _ in enumerate(cell.states) for a in ("f", "ds")]
        sizes = [f"n{i}" for i in range(cell.num_sizes)]
        arguments = ", ".join(["t", "r", "reverse", "limit", "L", *sizes, *arrays])

        def put(depth: int, lines: Sequence[str]) -> list[str]:
            return ["    " * depth + line for line in (lines or ["pass"])]

        source = [
            "@loop",
            f"def start({arguments}):",
            *put(1, ["for b in range(U(L.shape[0])):"]),
            *put(2, ["if t < L[b]:", "    steps = L[b] - U(1) - t if reverse else t"]),
            *put(3, ["if steps + U(1) == L[b]:"]),
            *put(4, clear + first),
            *put(3, ["elif limit > U(0) and (steps + U(1)) % limit == U(0):"]),
            *put(4, clear),
            *put(3, ["before = t + U(1) if reverse else t - U(1)", "if steps > U(0):"]),
            *put(4, copy),
            *put(3, ["else:"]),
            *put(4, old),
            *put(2, ["else:"]),
            *put(3, zero),
            *put(3, ["if reverse and t == L[b] and t > U(0):"]),
            *put(4, done),
        ]
        self.functions.append("\n".join(source))
        end = [
            "@loop",
            f"def finish(T, {arguments}):",
            *put(1, ["for b in range(U(L.shape[0])):", "    if L[b] == U(0):"]),
            *put(
                3,
                [
                    f"for j in range(n{d}): ds{i}[b, j] = f{i}[b, j]"
                    for i, d in enumerate(cell.states)
                ],
            ),
            *put(2, ["elif not reverse or L[b] == T:"]),
            *put(3, done),
        ]
        self.functions.append("\n".join(end))
        return arguments
