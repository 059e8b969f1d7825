"""Tracing: from a function that does one step of a recurrence to a `Cell`.

The function runs once, on symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytensor.tensor as pt

from ...expressions import Expression
from .cell import Cell
from .entries import to_scalars
from .step import Entry, Product, Step, cell_of
from .values import NotElementwiseError

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
    traced = _Traced(layout, dtype)
    states, outputs = step(
        named(traced.blocks), named(traced.states), named(traced.vectors), traced.dot, traced.time
    )
    return traced.cell(states, outputs)


class _Traced:
    """Symbols that stand for the things of a cell while a step function runs."""

    def __init__(self, layout: Layout, dtype: str) -> None:
        self.layout = layout
        self.number = {name: i for i, name in enumerate(layout.sizes)}
        self.step = Step(dtype, len(layout.sizes))
        self.entries: dict[Any, Any] = {}  # of a matrix
        self.dims: dict[Any, int | None] = {}  # of a matrix
        self.blocks = {
            name: self.symbol("x", (i,), size)
            for i, (name, size) in enumerate(layout.blocks.items())
        }
        self.states = {
            name: self.symbol("s", (i,), size)
            for i, (name, size) in enumerate(layout.states.items())
        }
        self.vectors: dict[str, Any] = {}
        for i, name in enumerate(layout.vectors):
            parts = [
                self.symbol("v", (i, j), size) for j, size in enumerate(layout.vector_sizes(name))
            ]
            packed = not isinstance(layout.vectors[name], str)
            self.vectors[name] = parts if packed else parts[0]
        self.time = self.symbol("t", (), None)
        self.dots: list[tuple[str, Any, list[Any]]] = []

    def symbol(self, op: str, args: tuple[int, ...], size: str | None) -> Any:
        # Each thing is there three times: as the matrix that the step function gets, so that
        # it is written as any other expression; as its entry, which is differentiated; and as
        # a leaf of the formulas.
        matrix = pt.matrix(dtype=self.step.dtype)
        self.dims[matrix] = dim = None if size is None else self.number[size]
        self.entries[matrix] = self.step.leaf(op, args, dim)
        return matrix

    def dot(self, name: str, expression: Any) -> list[Any]:
        # The result is a symbol too, as if it came from outside: so whatever lies between two
        # products is done entry by entry.
        _, sizes = self.layout.dots[name]
        results = [self.symbol("d", (len(self.dots), j), size) for j, size in enumerate(sizes)]
        self.dots.append((name, expression, results))
        return results

    def listed(self, part: Any) -> list[Entry]:
        """Get the entries of a matrix, or of a list of them."""
        matrices = part if isinstance(part, list) else [part]
        return [Entry(self.entries[m], self.dims[m]) for m in matrices]

    def cell(self, states: Mapping[str, Any], outputs: Mapping[str, Any]) -> tuple[Cell, list[Any]]:
        """Make the cell, and get further vectors, of what the function returned."""
        layout, step = self.layout, self.step
        if [name for name, _, _ in self.dots] != list(layout.dots):
            raise ValueError(f"the dots of the step are not {list(layout.dots)}, in this order")
        if set(states) != set(layout.states):
            raise ValueError(
                f"the step returned the states {list(states)}, not {list(layout.states)}"
            )
        matrices = [
            *(expression for _, expression, _ in self.dots),
            *(states[name] for name in layout.states),
            *outputs.values(),
        ]
        # All at once, so that what several have in common is one expression, and one value.
        scalars, extra = to_scalars(matrices, self.entries, self.dims)
        multiplied, rest = scalars[: len(self.dots)], scalars[len(self.dots) :]
        step.blocks = [entry for m in self.blocks.values() for entry in self.listed(m)]
        step.states = [entry for m in self.states.values() for entry in self.listed(m)]
        for name, part in self.vectors.items():
            step.vectors.append(self.listed(part))
            step.trained.append(name not in layout.constant)
        for vector in extra:
            step.leaf("v", (len(step.vectors), 0), 0, self.entries[vector])
            step.vectors.append([Entry(self.entries[vector], 0)])
            step.trained.append(True)
        step.dots = [
            Product(scalar, self.number[layout.dots[name][0]], self.listed(results))
            for scalar, (name, _, results) in zip(multiplied, self.dots, strict=True)
        ]
        step.next = rest[: len(states)]
        step.outputs = dict(zip(outputs, rest[len(states) :], strict=True))
        return cell_of(step), extra


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
