"""Cells: one step of a recurrence as plain data, with its derivative.

A cell has *blocks*, slices of what the input contributes to each step;
*states*, which a step takes and replaces; *vectors* of parameters with an
entry for each unit; and *dots*, products of something computed within the step
with a matrix. All else in it is done entry by entry, but for sums and largest entries
of rows. `trace` makes cells.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .scalars import ROWS
from .values import LEAVES, ROW, Value, Values


@dataclass(frozen=True)
class Dot:
    """A product within a step: of which value, and the sizes of what is packed in its result."""

    value: int
    dim: int
    dims: tuple[int, ...]


@dataclass(frozen=True, repr=False)
class Cell:
    """One step of a recurrence and its derivative, as data.

    Sizes are numbers, other things are in the order of the layout.

    Attributes
    ----------
    num_sizes : int
    blocks, states : tuple of int
        Their sizes.
    vectors : tuple of tuple of int
        The sizes packed in each.
    trained : tuple of bool
        Whether a vector gets a gradient.
    dots : tuple of Dot
    values : tuple of Value
        All formulas.
    next : tuple of int
        Values of the new states.
    names : tuple of (str, int)
        Named outputs, and which of the outputs they are.
    outputs : tuple of int
        Values of the outputs: those that have names, then all that the
        derivative needs to know. Numbers for each row come last; they are
        packed in one array.
    d_blocks : tuple of int
        Values of the gradient with respect to blocks.
    d_states : tuple of int
        With respect to states, without what comes through a dot of the bare state.
    d_vectors : tuple of tuple of int
        With respect to each vector's parts.
    d_dots : tuple of tuple of int
        With respect to each dot's results.
    """

    num_sizes: int
    blocks: tuple[int, ...]
    states: tuple[int, ...]
    vectors: tuple[tuple[int, ...], ...]
    trained: tuple[bool, ...]
    dots: tuple[Dot, ...]
    values: tuple[Value, ...]
    next: tuple[int, ...]
    names: tuple[tuple[str, int], ...]
    outputs: tuple[int, ...]
    d_blocks: tuple[int, ...]
    d_states: tuple[int, ...]
    d_vectors: tuple[tuple[int, ...], ...]
    d_dots: tuple[tuple[int, ...], ...]

    # Two cells that do the same are equal whatever they were traced from, so that graphs of
    # PyTensor can be merged, and what was compiled for one is found for the other.
    @cached_property
    def _digest(self) -> str:
        fields = [getattr(self, key) for key in self.__dataclass_fields__]
        return hashlib.sha256(repr(fields).encode()).hexdigest()

    def __hash__(self) -> int:
        # PyTensor asks often.
        return hash(self._digest)

    def __repr__(self) -> str:
        return f"Cell({', '.join(name for name, _ in self.names)}; {self._digest[:8]})"

    def bare(self, dot: int) -> int | None:
        """Get the state that a dot is a product of, if it is one of a bare state."""
        value = self.values[self.dots[dot].value]
        return value.args[0] if value.op == "s" else None

    def output_dim(self, index: int) -> int:
        """Get the size of an output; `ROW` for one that is a number for each row."""
        value = self.outputs[index]
        dim = self.values[value].dim
        if dim is not None:
            return dim
        if value in self.next:
            return self.states[self.next.index(value)]
        return 0 if any(which == index for _, which in self.names) else ROW

    @cached_property
    def num_wide(self) -> int:
        """How many outputs have an array of their own."""
        return sum(self.output_dim(i) != ROW for i, _ in enumerate(self.outputs))

    @property
    def num_arrays(self) -> int:
        """How many arrays the outputs are in."""
        return min(len(self.outputs), self.num_wide + 1)

    def array(self, index: int) -> int:
        """Get which array an output is in."""
        return min(index, self.num_wide)

    def column(self, index: int) -> int | None:
        """Get the column of an output that is a number for each row, else None."""
        return index - self.num_wide if index >= self.num_wide else None

    def array_size(self, array: int, sizes: Sequence[Any]) -> Any:
        """Get how many entries an array of outputs has for each step."""
        if array == self.num_wide:
            return len(self.outputs) - self.num_wide
        return sizes[self.output_dim(array)]

    def trajectory(self, state: int) -> int:
        """Get the output that holds the values of a state."""
        return self.outputs.index(self.next[state])

    def sizes(
        self, states: Sequence[Any], vectors: Sequence[Any], weights: Sequence[Any], width: Any
    ) -> list[Any]:
        """Find the sizes from shapes, which may be symbolic; or static ones, partly unknown.

        Parameters
        ----------
        states, vectors, weights : list of shapes
        width : int
            Width of the packed blocks.
        """
        found: dict[int, Any] = {}
        for dim, shape in zip(self.states, states, strict=True):
            _solve(found, [dim], shape[1])
        for dot, shape in zip(self.dots, weights, strict=True):
            _solve(found, [dot.dim], shape[0])
            _solve(found, dot.dims, shape[1])
        for dims, shape in zip(self.vectors, vectors, strict=True):
            _solve(found, dims, shape[0])
        _solve(found, self.blocks, width)
        return [found.get(dim) for dim in range(self.num_sizes)]

    def size_sources(self) -> list[tuple[str, int, int, int]]:
        """Get where each size can be read: (kind of array, which, axis, how often)."""
        found: dict[int, tuple[str, int, int, int]] = {}
        for i, dim in enumerate(self.states):
            found.setdefault(dim, ("s", i, 1, 1))
        for k, dot in enumerate(self.dots):
            found.setdefault(dot.dim, ("W", k, 0, 1))
            if len(set(dot.dims)) == 1:
                found.setdefault(dot.dims[0], ("W", k, 1, len(dot.dims)))
        for i, dims in enumerate(self.vectors):
            if len(set(dims)) == 1:
                found.setdefault(dims[0], ("v", i, 0, len(dims)))
        if len(set(self.blocks)) == 1:
            found.setdefault(self.blocks[0], ("z", 0, 2, len(self.blocks)))
        return [found[dim] for dim in range(self.num_sizes)]


def _solve(found: dict[int, Any], dims: Sequence[int], width: Any) -> None:
    # Of things that are packed only the sum of their sizes is known.
    if width is not None and len(set(dims)) == 1 and dims[0] not in found:
        found[dims[0]] = width // len(dims)


def gradient_roots(cell: Cell) -> list[int]:
    """Get the values that the derivative consists of."""
    trained = [d for d, yes in zip(cell.d_vectors, cell.trained, strict=True) if yes]
    products = [dot.value for k, dot in enumerate(cell.dots) if cell.bare(k) is None]
    return [
        *cell.d_blocks,
        *cell.d_states,
        *(v for part in trained for v in part),
        *(v for part in cell.d_dots for v in part),
        *products,
    ]


def forward_values(cell: Cell) -> frozenset[int]:
    """Get the values that a step computes or reads."""
    stack = [*cell.next, *(dot.value for dot in cell.dots), *cell.outputs]
    found: set[int] = set()
    while stack:
        index = stack.pop()
        if index not in found:
            found.add(index)
            if cell.values[index].op not in LEAVES:
                stack.extend(cell.values[index].args)
    return frozenset(found)


def with_cotangents(cell: Cell, given: Sequence[bool]) -> Cell:
    """Get the cell with the derivative for a case where only some outputs have a cotangent.

    Parameters
    ----------
    given : list of bool
        For each array of outputs.
    """
    # A cotangent that does not arrive is 0. All is built anew, since much is simplified then.
    absent = {v for i, v in enumerate(cell.outputs) if not given[cell.array(i)]}
    values = Values()
    moved: list[int] = []
    for value in cell.values:
        if value.op == "go":
            root = value.args[0]
            zero = root in absent
            moved.append(values.const(0) if zero else values.add("go", (moved[root],), value.dim))
        elif value.op in LEAVES:
            moved.append(values.add(value.op, value.args, value.dim))
        elif value.op in ROWS:
            (arg,) = value.args
            dim = cell.values[arg].dim
            assert dim is not None
            moved.append(values.reduce(value.op, moved[arg], dim))
        else:
            moved.append(values.apply(value.op, [moved[a] for a in value.args]))
    fields = {key: getattr(cell, key) for key in cell.__dataclass_fields__}
    fields["values"] = tuple(values.values)
    for key in ("next", "outputs", "d_blocks", "d_states"):
        fields[key] = tuple(moved[v] for v in fields[key])
    for key in ("d_vectors", "d_dots"):
        fields[key] = tuple(tuple(moved[v] for v in part) for part in fields[key])
    fields["dots"] = tuple(Dot(moved[dot.value], dot.dim, dot.dims) for dot in cell.dots)
    return Cell(**fields)


__all__ = ["Cell", "Dot", "forward_values", "gradient_roots", "with_cotangents"]
