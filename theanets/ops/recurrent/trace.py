"""Tracing: from a function that does one step of a recurrence to a `Cell`.

The function runs once, on symbols. The derivative is PyTensor's, taken of the
formula of one entry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytensor
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType

from ...expressions import Expression
from .cell import Cell, Dot, forward_values, gradient_roots
from .entries import read, to_scalars
from .values import NotElementwiseError, Values, needed

#: A function of blocks, states and vectors by name, of ``dot(name, expression)``,
#: which returns a list of expressions, and of the step's number; it returns the
#: new states and the outputs by name.
StepFunction = Callable[["Named", "Named", "Named", "Products", Expression], "Results"]

#: What it returns.
Results = tuple[dict[str, Expression], dict[str, Expression]]

#: Gets the parts of the product of an expression with the weights of a name.
Products = Callable[[str, Expression], list[Expression]]


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


class Named:
    """Expressions by name, as attributes; a list where a vector holds several."""

    def __init__(self, things: Mapping[str, Any]) -> None:
        self.__dict__.update(things)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


def named(things: Mapping[str, Any]) -> Named:
    """Make an object that has things as attributes, as step functions take them."""
    return Named(things)


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
        # Each thing is there three times: as the matrix that the step function gets, so that
        # it is written as any other expression; as its entry, which is differentiated; and as
        # a leaf of the formulas.
        matrix = pt.matrix(dtype=self.dtype)
        entry = pt.scalar(dtype=self.dtype)
        self.entries[matrix], self.dims[matrix] = entry, dim
        self.leaves[entry] = self.values.add(op, args, dim)
        return matrix

    def dot(self, name: str, expression: Any) -> list[Any]:
        # The result is a symbol too, as if it came from outside: so whatever lies between two
        # products is done entry by entry.
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
    # All at once, so that what several have in common is one expression, and one value.
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
    # The cost is the sum over all that leaves the step, each times its cotangent. Its gradient
    # with respect to the leaves is the derivative, in formulas of the same leaves.
    values, dots, states = traced.values, traced.dots, traced.states
    constant = traced.layout.constant
    number, layout = traced.number, traced.layout
    cost, cotangents, seen = [], [], set(roots[len(dots) : len(dots) + len(states)])
    dims: list[int | None] = [number[layout.dots[name][0]] for name, _, _ in dots]
    dims += [number[size] for size in layout.states.values()]
    dims += [0 if values[root].dim is None else values[root].dim for root in roots[len(dims) :]]
    for i, (scalar, root, dim) in enumerate(zip(scalars, roots, dims, strict=True)):
        if i < len(dots):
            # What comes through the product of a bare state joins its cotangent as a whole,
            # after the step: then no loop has to come after the product.
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
    # Numbers for each row last: those are packed in one array, see `Cell.outputs`.
    for value in sorted(told, key=lambda v: cell.values[v].dim is None):
        if value not in outputs:
            outputs.append(value)
    fields = {key: getattr(cell, key) for key in cell.__dataclass_fields__}
    return Cell(**{**fields, "names": names, "outputs": tuple(outputs)})


__all__ = [
    "Layout",
    "Named",
    "NotElementwiseError",
    "Products",
    "Results",
    "StepFunction",
    "named",
    "trace",
]
