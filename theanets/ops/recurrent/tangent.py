r"""The derivative of a recurrence in a direction, which is a recurrence too.

If a step takes a state to :math:`s' = f(s, x, v)`, then the change of the state along a direction
of all that goes in follows by a step of its own,

.. math:: \dot s' = \frac{\partial f}{\partial s} \dot s
    + \frac{\partial f}{\partial x} \dot x + \frac{\partial f}{\partial v} \dot v,

which needs :math:`s`. So `tangent` makes of a cell the one that has both, twice as many blocks,
states and vectors, and for each product :math:`e W` also :math:`\dot e W` and :math:`e \dot W`.
It is a cell like others, with a derivative, loops for each linker, and a tangent.

That makes second derivatives of it: the derivative of a gradient
:math:`g^T \partial F / \partial \theta` along a direction is the gradient of
:math:`g^T \dot F` (Pearlmutter 1994, "Fast exact multiplication by the Hessian").
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType, disconnected_grad

from .cell import Cell
from .entries import RowMax, RowSize, RowSum
from .scalars import TRUTHS
from .step import Entry, Product, Step, cell_of
from .values import LEAVES

#: PyTensor's functions for operations, where they have another name.
NAMES = {"div": "true_div", "and": "and_", "or": "or_", "not": "invert"}

#: What changes by jumps alone.
FLAT = frozenset(("floor", "sign", *TRUTHS))


class Moving(NamedTuple):
    """What of a recurrence's inputs has a direction, besides states, which always have one."""

    blocks: bool
    vectors: tuple[bool, ...]
    dots: tuple[bool, ...]


class Tangent(NamedTuple):
    """A recurrence together with its derivative in a direction.

    Attributes
    ----------
    cell : Cell
        Blocks are those of the original, then their directions if these move; states likewise;
        vectors, then the directions of those that move.
    matrices : tuple of (int, bool)
        For each dot which matrix of the original it is a product with, and whether with its
        direction.
    outputs : dict of int to int
        By the original's outputs, which output is the change of each. Those that do not change
        are missing.
    """

    cell: Cell
    matrices: tuple[tuple[int, bool], ...]
    outputs: Mapping[int, int]


@lru_cache(maxsize=256)
def tangent(cell: Cell, moving: Moving, limit: int, dtype: str) -> Tangent:
    """Make the cell of a recurrence and its derivative in a direction.

    Parameters
    ----------
    cell : Cell
        Its step.
    moving : Moving
        What has a direction.
    limit : int
        See `recur`: where gradients are cut off, a change of the state has no effect either.
    dtype : str
        Type of all arrays.

    Raises
    ------
    NotElementwiseError
        If an operation's derivative is none of the operations that cells consist of.
    """
    return _Pass(cell, moving, limit, dtype).result()


class _Pass:
    """Goes through the values of a cell, and gets each and its change as expressions."""

    def __init__(self, cell: Cell, moving: Moving, limit: int, dtype: str) -> None:
        self.cell, self.moving, self.limit, self.dtype = cell, moving, limit, dtype
        self.step = Step(dtype, cell.num_sizes)
        self.values: dict[int, Any] = {}
        self.changes: dict[int, Any] = {}
        self.matrices: list[tuple[int, bool]] = []
        self.products: list[tuple[list[Any], Any]] = []  # by dots of the cell
        self.count = self.step.leaf("t", (), None)

    def result(self) -> Tangent:
        cell, step = self.cell, self.step
        for i, dim in enumerate(cell.blocks):
            step.blocks.append(self.entry("x", (i,), dim))
        for i, dim in enumerate(cell.blocks if self.moving.blocks else ()):
            step.blocks.append(self.entry("x", (len(cell.blocks) + i,), dim))
        for i, dim in enumerate(cell.states * 2):
            step.states.append(self.entry("s", (i,), dim))
        moving = [i for i, yes in enumerate(self.moving.vectors) if yes]
        for i, which in enumerate([*range(len(cell.vectors)), *moving]):
            dims = enumerate(cell.vectors[which])
            step.vectors.append([self.entry("v", (i, j), dim) for j, dim in dims])
        step.trained = [*cell.trained, *(True for _ in moving)]
        for k, _ in enumerate(cell.dots):
            self.product(k)
        pairs = [self.visit(value) for value in cell.next]
        still = pt.constant(np.asarray(0, self.dtype))
        step.next = [value for value, _ in pairs]
        step.next += [still if change is None else change for _, change in pairs]
        changes = {i: self.visit(value)[1] for i, value in enumerate(cell.outputs)}
        step.outputs = {str(i): change for i, change in changes.items() if change is not None}
        found = cell_of(step)
        outputs = {int(name): which for name, which in found.names}
        return Tangent(found, tuple(self.matrices), outputs)

    def entry(self, op: str, args: tuple[int, ...], dim: int) -> Entry:
        return Entry(self.step.leaf(op, args, dim), dim)

    def product(self, k: int) -> None:
        """Get the results of a dot, and their changes, from up to three."""
        dot = self.cell.dots[k]
        value, change = self.visit(dot.value)
        results = self.dot(value, k, False)
        changed = [None for _ in dot.dims] if change is None else self.dot(change, k, False)
        if self.moving.dots[k]:
            more = self.dot(value, k, True)
            changed = [b if a is None else a + b for a, b in zip(changed, more, strict=True)]
        self.products.append((results, changed))

    def dot(self, expression: Any, k: int, direction: bool) -> list[Any]:
        dot, number = self.cell.dots[k], len(self.step.dots)
        results = [self.entry("d", (number, j), dim) for j, dim in enumerate(dot.dims)]
        self.step.dots.append(Product(expression, dot.dim, results))
        self.matrices.append((k, direction))
        return [entry.variable for entry in results]

    def visit(self, index: int) -> tuple[Any, Any]:
        """Get a value, and its change; None for what does not change."""
        if index not in self.values:
            value = self.cell.values[index]
            find = self.leaf if value.op in LEAVES else self.operation
            self.values[index], self.changes[index] = find(index)
        return self.values[index], self.changes[index]

    def leaf(self, index: int) -> tuple[Any, Any]:
        value, cell, step = self.cell.values[index], self.cell, self.step
        if value.op == "const":
            return pt.constant(np.asarray(value.args[0], self.dtype)), None
        if value.op == "n":
            return RowSize(value.args[0])().astype(self.dtype), None
        if value.op == "t":
            return self.count, None
        i = value.args[0]
        if value.op == "x":
            change = step.blocks[len(cell.blocks) + i].variable if self.moving.blocks else None
            return step.blocks[i].variable, change
        if value.op == "s":
            return step.states[i].variable, self.arriving(step.states[len(cell.states) + i])
        j = value.args[1]
        if value.op == "d":
            results, changes = self.products[i]
            return results[j], changes[j]
        change = None
        if self.moving.vectors[i]:
            where = len(cell.vectors) + sum(self.moving.vectors[:i])
            change = step.vectors[where][j].variable
        return step.vectors[i][j].variable, change

    def arriving(self, state: Entry) -> Any:
        """Get the change of a state, unless it is cut off before this step."""
        if not self.limit:
            return state.variable
        limit = pt.constant(np.asarray(self.limit, self.dtype))
        cut = pt.gt(self.count, 0) & pt.eq(pt.mod(self.count, limit), 0)
        return pt.switch(cut, pt.constant(np.asarray(0, self.dtype)), state.variable)

    def operation(self, index: int) -> tuple[Any, Any]:
        op, args = self.cell.values[index].op, self.cell.values[index].args
        found = [self.visit(a) for a in args]
        values, changes = [v for v, _ in found], [c for _, c in found]
        if op in ("rowsum", "rowmax"):
            dim = self.cell.values[args[0]].dim
            return self.row(op, dim, values[0], changes[0])
        if op in ("and", "or", "not"):
            values = [v if v.dtype == "bool" else pt.neq(v, 0) for v in values]
        result = getattr(pt, NAMES.get(op, op))(*values)
        if op in FLAT or all(change is None for change in changes):
            return result, None
        node = result.owner
        one = pt.constant(np.asarray(1, self.dtype))
        slopes = node.op.pullback(node.inputs, node.outputs, [one])
        terms = [
            slope * change
            for slope, change in zip(slopes, changes, strict=True)
            if change is not None and not isinstance(slope.type, DisconnectedType)
        ]
        return result, sum(terms[1:], terms[0]) if terms else None

    def row(self, op: str, dim: Any, value: Any, change: Any) -> tuple[Any, Any]:
        add = RowSum(dim, self.dtype)
        if op == "rowsum":
            return add(value), None if change is None else add(change)
        largest = RowMax(dim)(value)
        if change is None:
            return largest, None
        here = pt.eq(disconnected_grad(largest), disconnected_grad(value))
        return largest, add(pt.switch(here, change, pt.constant(np.asarray(0, self.dtype))))
