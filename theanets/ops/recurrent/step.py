"""A step as formulas of one entry in PyTensor's terms, and the cell that is made of them.

The derivative is PyTensor's, taken of these formulas.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytensor
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType

from .cell import Cell, Dot, forward_values, gradient_roots
from .entries import read
from .values import NotElementwiseError, Values, needed


class Entry(NamedTuple):
    """A zero-dimensional variable that stands for an entry, and the number of the size it has."""

    variable: Any
    dim: int | None


class Product(NamedTuple):
    """A product with a matrix: of what, its size, and the parts of the result."""

    expression: Any
    dim: int
    results: list[Entry]


@dataclass
class Step:
    """What one step does, in zero-dimensional expressions.

    Attributes
    ----------
    dtype : str
    num_sizes : int
    values : Values
        All formulas that were read so far.
    leaves : dict of variable to int
        Which of the values a variable is.
    blocks, states : list of Entry
    vectors : list of lists of Entry
        The parts of each.
    trained : list of bool
        Which vectors get a gradient.
    dots : list of Product
    next : list of expressions
        The new states.
    outputs : dict of expressions by name
    """

    dtype: str
    num_sizes: int
    values: Values = field(default_factory=Values)
    leaves: dict[Any, int] = field(default_factory=dict)
    blocks: list[Entry] = field(default_factory=list)
    states: list[Entry] = field(default_factory=list)
    vectors: list[list[Entry]] = field(default_factory=list)
    trained: list[bool] = field(default_factory=list)
    dots: list[Product] = field(default_factory=list)
    next: list[Any] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)

    def leaf(self, op: str, args: tuple[int, ...], dim: int | None, entry: Any = None) -> Any:
        """Get the variable of a leaf; a new one unless it is given."""
        entry = pt.scalar(dtype=self.dtype) if entry is None else entry
        self.leaves[entry] = self.values.add(op, args, dim)
        return entry


def cell_of(step: Step) -> Cell:
    """Make a cell of a step.

    Raises
    ------
    NotElementwiseError
        If an expression, or its derivative, is not of the operations that cells consist of.
    """
    scalars = [*(dot.expression for dot in step.dots), *step.next, *step.outputs.values()]
    roots = read(scalars, step.leaves, step.values)
    multiplied, rest = roots[: len(step.dots)], roots[len(step.dots) :]
    following, named_values = rest[: len(step.next)], rest[len(step.next) :]
    gradients = _gradients(step, scalars, roots)
    cell = Cell(
        num_sizes=step.num_sizes,
        blocks=_dims(step.blocks),
        states=_dims(step.states),
        vectors=tuple(_dims(parts) for parts in step.vectors),
        trained=tuple(step.trained),
        dots=tuple(
            Dot(value, dot.dim, _dims(dot.results))
            for value, dot in zip(multiplied, step.dots, strict=True)
        ),
        values=tuple(step.values.values),
        next=tuple(following),
        names=(),
        outputs=(),
        **gradients,
    )
    return _with_outputs(cell, dict(zip(step.outputs, named_values, strict=True)))


def _dims(entries: list[Entry]) -> tuple[Any, ...]:
    return tuple(entry.dim for entry in entries)


def _gradients(step: Step, scalars: list[Any], roots: list[int]) -> dict[str, Any]:
    """Differentiate one entry: cotangents of all that leaves a step are leaves."""
    # The cost is the sum over all that leaves the step, each times its cotangent. Its gradient
    # with respect to the leaves is the derivative, in formulas of the same leaves.
    values, dots, states = step.values, step.dots, step.states
    cost, cotangents, seen = [], [], set(roots[len(dots) : len(dots) + len(states)])
    dims: list[int | None] = [dot.dim for dot in dots]
    dims += [state.dim for state in states]
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
            cotangent = pt.scalar(dtype=step.dtype)
            step.leaves[cotangent] = leaf
            cotangents.append(cotangent)
            cost.append(scalar * cotangent)
    wrt: dict[str, list[list[Any]]] = {
        "d_blocks": [[entry] for entry in step.blocks],
        "d_states": [[entry] for entry in states],
        "d_vectors": [
            [entry if trained else None for entry in parts]
            for parts, trained in zip(step.vectors, step.trained, strict=True)
        ],
        "d_dots": [dot.results for dot in dots],
    }
    entries = [entry for groups in wrt.values() for group in groups for entry in group]
    flat = [entry.variable for entry in entries if entry is not None]
    found = pytensor.grad(
        sum(cost[1:], cost[0]),
        flat,
        consider_constant=cotangents,
        disconnected_inputs="ignore",
        return_disconnected="disconnected",
    )
    zero = values.const(0)
    gradients = iter(
        zero if isinstance(g.type, DisconnectedType) else read([g], step.leaves, values)[0]
        for g in found
    )
    indices = iter([zero if entry is None else next(gradients) for entry in entries])
    result: dict[str, Any] = {}
    for key, groups in wrt.items():
        filled = tuple(tuple(next(indices) for _ in group) for group in groups)
        single = key in ("d_blocks", "d_states")
        result[key] = tuple(group[0] for group in filled) if single else filled
    return result


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
