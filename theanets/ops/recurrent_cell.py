"""Cells: one step of a recurrence as plain data, with its derivative.

A cell has *blocks*, slices of what the input contributes to each step;
*states*, which a step takes and replaces; *vectors* of parameters with an
entry for each unit; and *dots*, products of something computed within the step
with a matrix. All else in it is done entry by entry, but for sums and largest entries
of rows. The derivative is PyTensor's, taken of the formula of one entry.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytensor
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType

from .recurrent_entries import read, to_scalars
from .recurrent_values import LEAVES, ROW, ROWS, NotElementwiseError, Value, Values, needed

#: A function of blocks, states and vectors by name, of ``dot(name, expression)``,
#: which returns a list of expressions, and of the step's number; it returns the
#: new states and the outputs by name.
StepFunction = Callable[[Any, Any, Any, Any, Any], tuple[dict[str, Any], dict[str, Any]]]


@dataclass(frozen=True)
class Layout:
    """What a cell is made of.

    Attributes
    ----------
    sizes : tuple of str
        Names of the sizes that arrays have: ``('n',)`` for most cells.
    blocks : dict of str to str
        Size of each block, in the order in which they are packed.
    states : dict of str to str
        Size of each state.
    vectors : dict of str to (str or tuple of str)
        Size of each vector; a tuple for one that holds several, packed, which
        a step function gets as a list.
    dots : dict of str to (str, tuple of str)
        For each product the size of what is multiplied, and the sizes of the
        results that are packed in the matrix's columns.
    constant : tuple of str
        The vectors that are not trained.
    """

    sizes: tuple[str, ...]
    blocks: Mapping[str, str]
    states: Mapping[str, str]
    vectors: Mapping[str, str | tuple[str, ...]]
    dots: Mapping[str, tuple[str, tuple[str, ...]]]
    constant: tuple[str, ...] = ()

    def vector_sizes(self, name: str) -> tuple[str, ...]:
        """Get the sizes that are packed in a vector."""
        found = self.vectors[name]
        return (found,) if isinstance(found, str) else tuple(found)


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
    if width is not None and len(set(dims)) == 1 and dims[0] not in found:
        found[dims[0]] = width // len(dims)


class _Named:
    """Things by name, as attributes."""

    def __init__(self, things: Mapping[str, Any]) -> None:
        self.__dict__.update(things)


def named(things: Mapping[str, Any]) -> Any:
    """Make an object that has things as attributes, as step functions take them."""
    return _Named(things)


def trace(layout: Layout, step: StepFunction, dtype: str) -> tuple[Cell, list[Any]]:
    """Turn a step function into a cell.

    Parameters
    ----------
    layout : Layout
        What the function works on.
    step : callable
        See `StepFunction`.
    dtype : str
        Type of all arrays.

    Returns
    -------
    (cell, vectors)
        Vectors of parameters that the function uses besides those in the
        layout, such as those of an activation, come last in the cell's.

    Raises
    ------
    NotElementwiseError
        If something besides the dots neither is done entry by entry nor reduces rows.
    """
    number = {name: i for i, name in enumerate(layout.sizes)}
    traced = _Traced(layout, dtype, number)
    states, outputs = step(
        named(traced.blocks), named(traced.states), named(traced.vectors), traced.dot, traced.time
    )
    return _build(traced, states, outputs)


class _Traced:
    """Symbols that stand for the things of a cell while a step function runs."""

    def __init__(self, layout: Layout, dtype: str, number: Mapping[str, int]) -> None:
        self.layout, self.dtype, self.number = layout, dtype, number
        self.values = Values()
        self.entries: dict[Any, Any] = {}  # of a matrix
        self.dims: dict[Any, int | None] = {}  # of a matrix
        self.leaves: dict[Any, int] = {}  # of an entry
        self.blocks = {
            name: self.symbol("x", (i,), number[size])
            for i, (name, size) in enumerate(layout.blocks.items())
        }
        self.states = {
            name: self.symbol("s", (i,), number[size])
            for i, (name, size) in enumerate(layout.states.items())
        }
        self.vectors: dict[str, Any] = {}
        for i, name in enumerate(layout.vectors):
            parts = [
                self.symbol("v", (i, j), number[size])
                for j, size in enumerate(layout.vector_sizes(name))
            ]
            packed = not isinstance(layout.vectors[name], str)
            self.vectors[name] = parts if packed else parts[0]
        self.time = self.symbol("t", (), None)
        self.dots: list[tuple[str, Any, list[Any]]] = []

    def symbol(self, op: str, args: tuple[int, ...], dim: int | None) -> Any:
        matrix = pt.matrix(dtype=self.dtype)
        entry = pt.scalar(dtype=self.dtype)
        self.entries[matrix], self.dims[matrix] = entry, dim
        self.leaves[entry] = self.values.add(op, args, dim)
        return matrix

    def dot(self, name: str, expression: Any) -> list[Any]:
        _, sizes = self.layout.dots[name]
        results = [
            self.symbol("d", (len(self.dots), j), self.number[size]) for j, size in enumerate(sizes)
        ]
        self.dots.append((name, expression, results))
        return results

    def entry(self, matrix: Any) -> Any:
        return self.entries[matrix]


def _build(
    traced: _Traced, states: Mapping[str, Any], outputs: Mapping[str, Any]
) -> tuple[Cell, list[Any]]:
    layout, values, number = traced.layout, traced.values, traced.number
    if [name for name, _, _ in traced.dots] != list(layout.dots):
        raise ValueError(f"the dots of the step are not {list(layout.dots)}, in this order")
    if set(states) != set(layout.states):
        raise ValueError(f"the step returned the states {list(states)}, not {list(layout.states)}")
    matrices = [
        *(expression for _, expression, _ in traced.dots),
        *(states[name] for name in layout.states),
        *outputs.values(),
    ]
    scalars, extra = to_scalars(matrices, traced.entries, traced.dims)
    for i, vector in enumerate(extra):
        leaf = values.add("v", (len(layout.vectors) + i, 0), 0)
        traced.leaves[traced.entries[vector]] = leaf
    roots = read(scalars, traced.leaves, values)
    multiplied, rest = roots[: len(traced.dots)], roots[len(traced.dots) :]
    following, named_values = rest[: len(states)], rest[len(states) :]
    gradients = _gradients(traced, scalars, roots, extra)
    vectors = [tuple(number[s] for s in layout.vector_sizes(n)) for n in layout.vectors]
    cell = Cell(
        num_sizes=len(layout.sizes),
        blocks=tuple(number[size] for size in layout.blocks.values()),
        states=tuple(number[size] for size in layout.states.values()),
        vectors=(*vectors, *((0,) for _ in extra)),
        trained=(*(name not in layout.constant for name in layout.vectors), *(True for _ in extra)),
        dots=tuple(
            Dot(value, number[layout.dots[name][0]], tuple(number[s] for s in layout.dots[name][1]))
            for value, (name, _, _) in zip(multiplied, traced.dots, strict=True)
        ),
        values=tuple(values.values),
        next=tuple(following),
        names=(),
        outputs=(),
        **gradients,
    )
    return _with_outputs(cell, dict(zip(outputs, named_values, strict=True))), extra


def _gradients(
    traced: _Traced, scalars: list[Any], roots: list[int], extra: list[Any]
) -> dict[str, Any]:
    """Differentiate one entry: cotangents of all that leaves a step are leaves."""
    values, dots, states = traced.values, traced.dots, traced.states
    constant = traced.layout.constant
    number, layout = traced.number, traced.layout
    cost, cotangents, seen = [], [], set(roots[len(dots) : len(dots) + len(states)])
    dims: list[int | None] = [number[layout.dots[name][0]] for name, _, _ in dots]
    dims += [number[size] for size in layout.states.values()]
    dims += [0 if values[root].dim is None else values[root].dim for root in roots[len(dims) :]]
    for i, (scalar, root, dim) in enumerate(zip(scalars, roots, dims, strict=True)):
        if i < len(dots):
            # What comes through the product of a bare state joins its cotangent as a whole.
            leaf = None if values[root].op == "s" else values.add("gd", (i,), dim)
        elif i < len(dots) + len(states):
            leaf = values.add("gs", (i - len(dots),), dim)
        else:
            # An output that is a state, or another output, has its cotangent there.
            leaf = None if root in seen else values.add("go", (root,), dim)
            seen.add(root)
        if leaf is not None:
            cotangent = pt.scalar(dtype=traced.dtype)
            traced.leaves[cotangent] = leaf
            cotangents.append(cotangent)
            cost.append(scalar * cotangent)
    wrt = {
        "d_blocks": [[traced.entry(m)] for m in traced.blocks.values()],
        "d_states": [[traced.entry(m)] for m in states.values()],
        "d_vectors": [
            [None if name in constant else traced.entry(m) for m in _listed(part)]
            for name, part in traced.vectors.items()
        ]
        + [[traced.entries[vector]] for vector in extra],
        "d_dots": [[traced.entry(m) for m in results] for _, _, results in dots],
    }
    entries = [entry for groups in wrt.values() for group in groups for entry in group]
    flat = [entry for entry in entries if entry is not None]
    found = pytensor.grad(
        sum(cost[1:], cost[0]),
        flat,
        consider_constant=cotangents,
        disconnected_inputs="ignore",
        return_disconnected="disconnected",
    )
    zero = values.const(0)
    gradients = iter(
        zero if isinstance(g.type, DisconnectedType) else read([g], traced.leaves, values)[0]
        for g in found
    )
    indices = iter([zero if entry is None else next(gradients) for entry in entries])
    result: dict[str, Any] = {}
    for key, groups in wrt.items():
        filled = tuple(tuple(next(indices) for _ in group) for group in groups)
        single = key in ("d_blocks", "d_states")
        result[key] = tuple(group[0] for group in filled) if single else filled
    return result


def _listed(part: Any) -> list[Any]:
    return part if isinstance(part, list) else [part]


def _with_outputs(cell: Cell, named_values: Mapping[str, int]) -> Cell:
    """Add the outputs: those with names, the states, and what the derivative needs."""
    outputs = list(dict.fromkeys([*named_values.values(), *cell.next]))
    names = tuple((name, outputs.index(value)) for name, value in named_values.items())
    for i, value in enumerate(cell.next):
        sizes = {dim for v, dim in zip(cell.next, cell.states, strict=True) if v == value}
        if len(sizes) > 1:
            raise NotElementwiseError(f"state {i} is one of a different size")
    told = needed(cell.values, forward_values(cell), gradient_roots(cell))
    for value in sorted(told, key=lambda v: cell.values[v].dim is None):
        if value not in outputs:
            outputs.append(value)
    fields = {key: getattr(cell, key) for key in cell.__dataclass_fields__}
    return Cell(**{**fields, "names": names, "outputs": tuple(outputs)})


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


__all__ = ["Cell", "Dot", "Layout", "NotElementwiseError", "named", "trace", "with_cotangents"]
