"""The order of a step: loops over units, with products or sums of rows between them.

A plan consists of waves. In a wave, everything that can be computed entry by
entry is; after it comes one product, or sums of rows that the wave went through
are complete. What costs much and is used in several waves is kept in a
temporary array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .cell import Cell
from .scalars import COSTLY, ROWS, TRUTHS
from .values import LEAVES, ROW, Value

#: When a value can be computed: after how many dots, and then after how many sums of rows.
Level = tuple[int, int]

#: From how many operations and loads on something is kept rather than computed again.
LONG = 8


@dataclass(frozen=True)
class Store:
    """Where a value goes: the kind of array, which of them, and which size it has.

    What is of the kind ``'r'`` goes into the sum, or whatever the value of the
    index is, of its row. Of the size `ROW`, it is one number for each row.
    """

    kind: str
    index: tuple[int, ...]
    dim: int
    value: int


@dataclass(frozen=True)
class Loop:
    """A loop over units of one size.

    Attributes
    ----------
    dim : int
        `ROW` if there is nothing but numbers for each row.
    stores : tuple of Store
    order : tuple of int
        Values that are computed, in order.
    loads : tuple of int
        Values that are read: leaves, and what was kept.
    temporaries : tuple of int
        Values that are read from temporaries of earlier waves.
    """

    dim: int
    stores: tuple[Store, ...]
    order: tuple[int, ...]
    loads: tuple[int, ...]
    temporaries: tuple[int, ...]


@dataclass(frozen=True)
class Wave:
    """Loops, and the dot that comes after them, if any."""

    loops: tuple[Loop, ...]
    dot: int | None


@dataclass(frozen=True)
class Plan:
    """Waves, and the temporaries as (value, size)."""

    waves: tuple[Wave, ...]
    temporaries: tuple[tuple[int, int], ...]

    def loads(self) -> frozenset[int]:
        """Get all values that are read."""
        return frozenset(i for wave in self.waves for loop in wave.loops for i in loop.loads)


def forward_plan(cell: Cell, kept: Sequence[bool]) -> Plan:
    """Plan a step.

    Parameters
    ----------
    cell : Cell
        What to compute.
    kept : list of bool
        Which arrays of outputs are written.
    """
    planner = _Planner(cell.values, frozenset(), lambda value: _after(value, "d", {}))
    # What a product needs comes as early as it can be, so that the product does.
    for k, dot in enumerate(cell.dots):
        if cell.bare(k) is None:
            planner.require(Store("e", (k,), dot.dim, dot.value))
    for i, value in enumerate(cell.next):
        # All reading of the old states is done by then: they are replaced in place.
        planner.last(Store("s", (i,), cell.states[i], value))
    for i, value in enumerate(cell.outputs):
        if kept[cell.array(i)]:
            planner.float(Store("o", (i,), cell.output_dim(i), value))
    return planner.plan([*range(len(cell.dots)), None])


def backward_plan(cell: Cell) -> Plan:
    """Plan the derivative of a step; `with_cotangents` says for which outputs."""
    # A gradient goes through the products in the opposite order. What the step kept is read
    # here, not computed: its values are like leaves.
    order = [*reversed(range(len(cell.dots)))]
    position = {k: i + 1 for i, k in enumerate(order)}
    planner = _Planner(
        cell.values, frozenset(cell.outputs), lambda value: _after(value, "gd", position)
    )
    for i, k in enumerate(order):
        for j, (value, dim) in enumerate(zip(cell.d_dots[k], cell.dots[k].dims, strict=True)):
            # No cycle: the gradient of a result depends on later products only.
            assert planner.level(value)[0] <= i
            planner.require(Store("dd", (k, j), dim, value))
    for i, value in enumerate(cell.d_blocks):
        planner.require(Store("dz", (i,), cell.blocks[i], value))
    for i, parts in enumerate(cell.d_vectors):
        for j, value in enumerate(parts):
            if cell.trained[i]:
                planner.require(Store("dv", (i, j), cell.vectors[i][j], value))
    for k, dot in enumerate(cell.dots):
        if cell.bare(k) is None:
            planner.float(Store("e", (k,), dot.dim, dot.value))
    for i, value in enumerate(cell.d_states):
        if not is_zero(cell, value):
            planner.require(Store("part", (i,), cell.states[i], value))
    return planner.plan([*order, None])


def is_zero(cell: Cell, value: int) -> bool:
    """Tell whether a value is the constant 0."""
    return cell.values[value].op == "const" and cell.values[value].args[0] == 0


def _after(value: Value, kind: str, position: dict[int, int]) -> int:
    """Get the number of dots after which a leaf can be read."""
    if value.op != kind:
        return 0
    return position.get(value.args[0], value.args[0] + 1)


class _Planner:
    """Distributes stores over waves.

    Parameters
    ----------
    values : tuple of Value
    kept : frozenset of int
        Values that are read, not computed.
    after : callable
        Gets the number of dots after which a leaf can be read.
    """

    def __init__(
        self, values: Sequence[Value], kept: frozenset[int], after: Callable[[Value], int]
    ) -> None:
        self.values, self.kept, self.after = values, kept, after
        self.required: list[Store] = []
        self.late: list[Store] = []
        self.floating: list[Store] = []
        self.stores: list[list[Store]] = []  # by wave
        self._levels: dict[int, Level] = {}

    def require(self, store: Store) -> None:
        """Store as early as possible."""
        self.required.append(store)

    def last(self, store: Store) -> None:
        """Store in the last wave."""
        self.late.append(store)

    def float(self, store: Store) -> None:
        """Store where the value is computed anyway."""
        self.floating.append(store)

    def is_sum(self, index: int) -> bool:
        """Tell whether a value is complete only once a row was gone through."""
        return self.values[index].op in ROWS and index not in self.kept

    def is_read(self, index: int) -> bool:
        return self.values[index].op in LEAVES or index in self.kept

    def level(self, index: int) -> Level:
        """Get when a value can be computed."""
        if index not in self._levels:
            value = self.values[index]
            if self.is_read(index):
                found = (self.after(value), 0)
            else:
                found = max(map(self.level, value.args), default=(0, 0))
                if self.is_sum(index):
                    found = (found[0], found[1] + 1)
            self._levels[index] = found
        return self._levels[index]

    def closure(self, roots: Iterable[int], known: frozenset[int]) -> tuple[set[int], set[int]]:
        """Get the values that have to be computed for others, and those that have to be read."""
        computed: set[int] = set()
        read: set[int] = set()
        stack = list(roots)
        while stack:
            index = stack.pop()
            if self.is_read(index) or self.is_sum(index) or index in known:
                read.add(index)
            elif index not in computed:
                computed.add(index)
                stack.extend(self.values[index].args)
        return computed, read

    def sums(self, roots: Iterable[int]) -> set[int]:
        """Get all sums that values depend on."""
        found: set[int] = set()
        stack = list(roots)
        while stack:
            new = {i for i in self.closure(stack, frozenset())[1] if self.is_sum(i)} - found
            found |= new
            stack = [self.values[i].args[0] for i in new]
        return found

    def plan(self, dots: Sequence[int | None]) -> Plan:
        """Make the plan for a sequence of dots, None after the last wave."""
        # First the waves: one up to each product, and before that one for each level of sums of
        # rows, since a sum is not complete before its loop is over.
        all_stores = [*self.required, *self.late, *self.floating]
        sums = self.sums(store.value for store in all_stores)
        ends: list[int | None] = []  # what comes after each wave
        start = []
        for phase, dot in enumerate(dots):
            start.append(len(ends))
            many = max((s for p, s in map(self.level, sums) if p == phase), default=0)
            ends += [None] * many + [dot]
        self.stores = [[] for _ in ends]

        def wave(index: int) -> int:
            phase, step = self.level(index)
            return start[phase] + step

        # Then the stores, which say what each wave has to compute: first those whose place is
        # fixed, then those that may go where their value is at hand.
        for store in self.required:
            self.stores[wave(store.value)].append(store)
        self.stores[-1] += self.late
        self._place_floating(wave)
        self._place_sums(sums)
        # A wave may have become empty: a sum goes to the one before it is needed.
        used = [w for w, dot in enumerate(ends) if self.stores[w] or dot is not None]
        used = used if used and used[-1] == len(ends) - 1 else [*used, len(ends) - 1]
        self.stores = [self.stores[w] for w in used]
        return self._with_temporaries([ends[w] for w in used], sums)

    def _with_temporaries(self, ends: Sequence[int | None], sums: set[int]) -> Plan:
        """Keep what costs much and several waves use."""
        # A wave computes again what it needs, unless that is worth an array: loops are bound by
        # memory as much as by arithmetic.
        uses: dict[int, set[int]] = {}
        for wave, _ in enumerate(ends):
            computed, read = self.closure(self._roots(wave), frozenset())
            for index in computed:
                uses.setdefault(index, set()).add(wave)
            for index in read:
                if self.values[index].op == "gs":
                    # What it is read from is replaced in the course of the step.
                    uses.setdefault(index, {0}).add(wave)
        several: dict[int, int] = {}
        work: dict[int, int] = {}
        for index in sorted(uses):
            value = self.values[index]
            costly = value.op in COSTLY or value.op == "gs"
            work[index] = 1 + sum(work.get(a, 1) for a in set(value.args) if value.op != "gs")
            # With sums there are waves enough that even sums and products add up.
            long = bool(sums) and work[index] >= LONG and value.op not in TRUTHS
            if len(uses[index]) > 1 and (costly or (long and value.dim is not None)):
                several[index] = min(uses[index])
            if costly or index in several or value.dim is None:
                work[index] = 1
        # Of these, only what is read once the others are kept too.
        loads: set[int] = set()
        for wave, _ in enumerate(ends):
            known = frozenset(i for i, first in several.items() if first < wave)
            loads |= self.closure(self._roots(wave), known)[1] & known
        for index in sorted(loads):
            dim = self.values[index].dim
            self.stores[several[index]].append(
                Store("w", (index,), ROW if dim is None else dim, index)
            )
        waves = []
        for wave, dot in enumerate(ends):
            known = frozenset(i for i in loads if several[i] < wave) | sums
            waves.append(Wave(tuple(self._loops(wave, known)), dot))
        dims = [self.values[i].dim for i in sorted(loads | sums)]
        sizes = [ROW if dim is None else dim for dim in dims]
        return Plan(tuple(waves), tuple(zip(sorted(loads | sums), sizes, strict=True)))

    def _roots(self, wave: int) -> list[int]:
        return [store.value for store in self.stores[wave]]

    def _place_floating(self, wave: Callable[[int], int]) -> None:
        first: dict[int, int] = {}
        for w, _ in enumerate(self.stores):
            computed, read = self.closure(self._roots(w), frozenset())
            for index in computed | {i for i in read if self.is_sum(i)}:
                first.setdefault(index, w)
        for store in self.floating:
            place = first.get(store.value)
            if place is None:
                # Sums are better late: those of several waves may be in one then.
                late = any(map(self.is_sum, self.closure([store.value], frozenset())[1]))
                place = len(self.stores) - 1 if late else wave(store.value)
            self.stores[place].append(store)

    def _place_sums(self, sums: set[int]) -> None:
        """Go through rows as late as possible, which is with the most other rows."""
        for index in sorted(sums, key=self.level, reverse=True):
            needed = next(
                w
                for w, _ in enumerate(self.stores)
                if index in self.closure(self._roots(w), frozenset())[1]
            )
            (arg,) = self.values[index].args
            dim = self.values[arg].dim
            assert dim is not None and needed > 0
            self.stores[needed - 1].append(Store("r", (index,), dim, arg))

    def _loops(self, wave: int, known: frozenset[int]) -> Iterable[Loop]:
        # Sizes are different numbers, so each has a loop of its own.
        stores = self.stores[wave]
        dims = sorted({store.dim for store in stores} - {ROW}) or sorted({s.dim for s in stores})
        for dim in dims:
            # Numbers for each row come with the first loop over units, if there is one.
            both = (dim, ROW) if dim == dims[0] else (dim,)
            mine = tuple(store for store in stores if store.dim in both)
            computed, read = self.closure([store.value for store in mine], known)
            plain, stored = sorted(read - known), sorted(read & known)
            yield Loop(dim, mine, tuple(sorted(computed)), tuple(plain), tuple(stored))
