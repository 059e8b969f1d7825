"""The order of a step: loops over units, with matrix products between them.

A plan consists of waves. In a wave, everything that can be computed entry by
entry is; after it comes one product. What costs much and is used in several
waves is kept in a temporary array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .recurrent_cell import _LEAVES, Cell
from .recurrent_values import COSTLY, Value


@dataclass(frozen=True)
class Store:
    """Where a value goes: the kind of array, which of them, and which size it has."""

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
    """Loops, and the product that comes after them, if any."""

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
        Which outputs are written.
    """
    planner = _Planner(cell.values, frozenset(), lambda value: _after(value, "d", {}))
    last = len(cell.dots)
    for k, dot in enumerate(cell.dots):
        if cell.bare(k) is None:
            planner.require(planner.level(dot.value), Store("e", (k,), dot.dim, dot.value))
    for i, value in enumerate(cell.next):
        # All reading of the old states is done by then: they are replaced in place.
        planner.require(last, Store("s", (i,), cell.states[i], value))
    for i, (value, yes) in enumerate(zip(cell.outputs, kept, strict=True)):
        if yes:
            planner.float(Store("o", (i,), cell.output_dim(i), value))
    return planner.plan([*range(last), None])


def backward_plan(cell: Cell) -> Plan:
    """Plan the derivative of a step; `with_cotangents` says for which outputs."""
    order = [*reversed(range(len(cell.dots)))]
    position = {k: i + 1 for i, k in enumerate(order)}
    planner = _Planner(
        cell.values, frozenset(cell.outputs), lambda value: _after(value, "gd", position)
    )
    for i, k in enumerate(order):
        for j, (value, dim) in enumerate(zip(cell.d_dots[k], cell.dots[k].dims, strict=True)):
            assert planner.level(value) <= i
            planner.require(planner.level(value), Store("dd", (k, j), dim, value))
    for i, value in enumerate(cell.d_blocks):
        planner.require(planner.level(value), Store("dz", (i,), cell.blocks[i], value))
    for i, parts in enumerate(cell.d_vectors):
        for j, value in enumerate(parts):
            if cell.trained[i]:
                store = Store("dv", (i, j), cell.vectors[i][j], value)
                planner.require(planner.level(value), store)
    for k, dot in enumerate(cell.dots):
        if cell.bare(k) is None:
            planner.float(Store("e", (k,), dot.dim, dot.value))
    for i, value in enumerate(cell.d_states):
        if not is_zero(cell, value):
            # It replaces what the cotangent of the new state was read from.
            planner.last(Store("part", (i,), cell.states[i], value), ("gs", (i,)))
    return planner.plan([*order, None])


def is_zero(cell: Cell, value: int) -> bool:
    """Tell whether a value is the constant 0."""
    return cell.values[value].op == "const" and cell.values[value].args[0] == 0


def _after(value: Value, kind: str, position: dict[int, int]) -> int:
    """Get the first wave in which a leaf can be read."""
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
        Gets the first wave in which a leaf can be read.
    """

    def __init__(
        self, values: Sequence[Value], kept: frozenset[int], after: Callable[[Value], int]
    ) -> None:
        self.values, self.kept, self.after = values, kept, after
        self.stores: dict[int, list[Store]] = {}
        self.floating: list[Store] = []
        self.replacing: list[tuple[Store, tuple[str, tuple[int, ...]]]] = []
        self._levels: dict[int, int] = {}

    def require(self, wave: int, store: Store) -> None:
        """Store in a given wave."""
        self.stores.setdefault(wave, []).append(store)

    def float(self, store: Store) -> None:
        """Store where the value is computed anyway, or as early as possible."""
        self.floating.append(store)

    def last(self, store: Store, leaf: tuple[str, tuple[int, ...]]) -> None:
        """Store in or after the last wave that reads a leaf."""
        self.replacing.append((store, leaf))

    def is_read(self, index: int) -> bool:
        return self.values[index].op in _LEAVES or index in self.kept

    def level(self, index: int) -> int:
        """Get the first wave in which a value can be computed."""
        if index not in self._levels:
            value = self.values[index]
            if self.is_read(index):
                found = self.after(value)
            else:
                found = max(map(self.level, value.args), default=0)
            self._levels[index] = found
        return self._levels[index]

    def closure(self, roots: Iterable[int], known: frozenset[int]) -> tuple[set[int], set[int]]:
        """Get the values that have to be computed for others, and those that have to be read."""
        computed: set[int] = set()
        read: set[int] = set()
        stack = list(roots)
        while stack:
            index = stack.pop()
            if self.is_read(index) or index in known:
                read.add(index)
            elif index not in computed:
                computed.add(index)
                stack.extend(self.values[index].args)
        return computed, read

    def plan(self, dots: Sequence[int | None]) -> Plan:
        """Make the plan for a sequence of dots, None after the last wave."""
        self._place_floating(len(dots))
        self._place_replacing(len(dots))
        uses: dict[int, set[int]] = {}
        for wave in range(len(dots)):
            computed, read = self.closure(self._roots(wave), frozenset())
            for index in computed | read:
                value = self.values[index]
                if (value.op in COSTLY and index in computed) or value.op == "gs":
                    uses.setdefault(index, set()).add(wave)
        several = {index: min(waves) for index, waves in uses.items() if len(waves) > 1}
        loads: set[int] = set()
        for wave in range(len(dots)):
            known = frozenset(i for i, first in several.items() if first < wave)
            loads |= self.closure(self._roots(wave), known)[1] & known
        for index in sorted(loads):
            dim = self.values[index].dim
            self.require(several[index], Store("w", (index,), 0 if dim is None else dim, index))
        waves = []
        for wave, dot in enumerate(dots):
            known = frozenset(i for i in loads if several[i] < wave)
            waves.append(Wave(tuple(self._loops(wave, known)), dot))
        dims = [(i, self.values[i].dim or 0) for i in sorted(loads)]
        return Plan(tuple(waves), tuple(dims))

    def _roots(self, wave: int) -> list[int]:
        return [store.value for store in self.stores.get(wave, [])]

    def _place_floating(self, waves: int) -> None:
        first: dict[int, int] = {}
        for wave in range(waves):
            for index in self.closure(self._roots(wave), frozenset())[0]:
                first.setdefault(index, wave)
        for store in self.floating:
            self.require(first.get(store.value, self.level(store.value)), store)

    def _place_replacing(self, waves: int) -> None:
        for store, (op, args) in self.replacing:
            wave = self.level(store.value)
            for other in range(waves):
                roots = self._roots(other) + [
                    s.value for s, _ in self.replacing if self.level(s.value) == other
                ]
                _, read = self.closure(roots, frozenset())
                if any((self.values[i].op, self.values[i].args) == (op, args) for i in read):
                    wave = max(wave, other)
            self.require(wave, store)

    def _loops(self, wave: int, known: frozenset[int]) -> Iterable[Loop]:
        stores = self.stores.get(wave, [])
        for dim in sorted({store.dim for store in stores}):
            mine = tuple(store for store in stores if store.dim == dim)
            computed, read = self.closure([store.value for store in mine], known)
            plain, stored = sorted(read - known), sorted(read & known)
            yield Loop(dim, mine, tuple(sorted(computed)), tuple(plain), tuple(stored))
