"""The recurrent core: a series through a cell, step by step, as one operation.

What an input contributes to all steps is one product outside; within,
`RecurrentForward` runs the steps and `RecurrentBackward` their derivative. Both
come from the same formulas, printed for NumPy and for Numba.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.compile.mode import optdb
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply
from pytensor.graph.rewriting.basic import in2out, node_rewriter
from pytensor.tensor.rewriting.basic import register_canonicalize

from ...expressions import Expression
from ..base import Array, FirstOrder, KernelOp
from . import by_numpy
from .cell import Cell, with_cotangents
from .plan import backward_plan

__all__ = ["Recurrence", "RecurrentBackward", "RecurrentForward", "recur"]


@dataclass(frozen=True)
class Recurrence:
    """What came out of a recurrence.

    Attributes
    ----------
    outputs : dict
        Expressions of shape (batch, time, size) by name; zeros at steps that
        do not exist.
    final : list
        The states after the last step, of shape (batch, size).
    """

    outputs: dict[str, Any]
    final: list[Any]


def recur(
    cell: Cell,
    z: Any,
    lengths: Any,
    states: Sequence[Any],
    vectors: Sequence[Any],
    weights: Sequence[Any],
    *,
    reverse: bool = False,
    limit: int = 0,
) -> Recurrence:
    """Run a cell over series.

    Parameters
    ----------
    cell : Cell
        The step.
    z : expression of shape (batch, time, width)
        What the input contributes to each block of each step, packed.
    lengths : expression of shape (batch,)
        Number of steps of each series, at most as many as ``z`` has. Later
        ones do not exist.
    states : list of expressions of shape (batch, size)
        The initial states.
    vectors, weights : list of expressions
        Parameters, as the cell's layout has them.
    reverse : bool
        Whether the recurrence runs from the last step of each series to the
        first.
    limit : int
        Steps that gradients go back at most: they are cut off where the
        number of steps that come before is a multiple of it. 0 for no limit.
    """
    dtype = pt.as_tensor(z).dtype
    op = RecurrentForward(cell, dtype, (True,) * cell.num_arrays, bool(reverse), int(limit))
    results = op(z, lengths, *states, *vectors, *weights, return_list=True)
    many = cell.num_arrays
    named = {name: results[i] for name, i in cell.names}
    return Recurrence(named, results[many:])


class _Recurrent(KernelOp):
    """What the two Ops have in common."""

    cell: Cell

    def split(self, inputs: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
        """Split what follows ``z`` and lengths into states, vectors, weights and the rest."""
        rest = list(inputs[2:])
        parts = []
        for many in (len(self.cell.states), len(self.cell.vectors), len(self.cell.dots)):
            parts.append(rest[:many])
            rest = rest[many:]
        return parts[0], parts[1], parts[2], rest


class RecurrentForward(_Recurrent):
    """Run a cell over series; see `recur`.

    Outputs are the arrays of the cell's that are kept, then the final states.

    Parameters
    ----------
    cell : Cell
    dtype : str
    kept : tuple of bool
        Which arrays of the cell's outputs are made.
    reverse : bool
    limit : int
    """

    __props__ = ("cell", "dtype", "kept", "reverse", "limit")

    def __init__(
        self, cell: Cell, dtype: str, kept: tuple[bool, ...], reverse: bool, limit: int
    ) -> None:
        self.cell, self.dtype, self.kept = cell, dtype, kept
        self.reverse, self.limit = reverse, limit

    def keeping(self, kept: tuple[bool, ...]) -> RecurrentForward:
        """Get the Op that makes other arrays."""
        return RecurrentForward(self.cell, self.dtype, kept, self.reverse, self.limit)

    def kernel(self) -> tuple[Any, str | None]:
        from .by_numba import forward_kernel

        return forward_kernel(self.cell, self.dtype, self.kept, self.reverse)

    def make_node(self, z: Expression, lengths: Expression, *others: Expression) -> Apply:
        z, lengths = pt.as_tensor(z), pt.as_tensor(lengths)
        if z.ndim != 3 or z.dtype != self.dtype:
            raise TypeError(f"{z.type} is not (batch, time, width) of {self.dtype}")
        if lengths.ndim != 1 or not lengths.dtype.startswith(("int", "uint")):
            raise TypeError(f"lengths {lengths.type} are not a vector of integers")
        lengths = lengths.astype("int64")
        parts = [pt.as_tensor(other) for other in others]
        states, vectors, weights, rest = self.split([z, lengths, *parts])
        ndims = [2] * len(states) + [1] * len(vectors) + [2] * len(weights)
        if rest or len(parts) != len(ndims):
            raise TypeError(f"expected {len(ndims)} states and parameters, got {len(parts)}")
        for part, ndim in zip(parts, ndims, strict=True):
            if part.ndim != ndim or part.dtype != z.dtype:
                raise TypeError(f"{part} is a {part.type}, not of {ndim} dimensions and {z.dtype}")
        inputs = [z, lengths, *parts]
        shapes = self.output_shapes(*(i.type.shape for i in inputs))
        return Apply(self, inputs, [pt.tensor(dtype=z.dtype, shape=shape) for shape in shapes])

    def output_shapes(self, *shapes: tuple[Expression, ...]) -> list[tuple[Expression, ...]]:
        states, vectors, weights, _ = self.split(shapes)
        sizes = self.cell.sizes(states, vectors, weights, shapes[0][2])
        found = [
            (*shapes[0][:2], self.cell.array_size(i, sizes))
            for i, yes in enumerate(self.kept)
            if yes
        ]
        return found + [(shapes[0][0], shape[1]) for shape in states]

    def perform(self, node: Apply, inputs: Sequence[Array], storage: list[list[Any]]) -> None:
        _check(inputs[0], inputs[1])
        run = by_numpy.forward(self.cell, self.kept)
        for place, value in zip(storage, run(self.reverse, *inputs), strict=True):
            place[0] = value

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        trained = [True, False, *(True for _ in self.cell.states), *self.cell.trained]
        trained += [True] * len(self.cell.dots)
        return [[yes] * len(node.outputs) for yes in trained]

    def pullback(
        self,
        inputs: Sequence[Expression],
        outputs: Sequence[Expression],
        cotangents: Sequence[Expression],
    ) -> list[Expression]:
        if not all(self.kept):
            # A rewrite left out what only the derivative reads.
            return self._complete(inputs, cotangents)
        connected = [not isinstance(g.type, DisconnectedType) for g in cotangents]
        many = self.cell.num_arrays
        given, final = tuple(connected[:many]), tuple(connected[many:])
        op = RecurrentBackward(self.cell, self.dtype, given, final, self.reverse, self.limit)
        cell = with_cotangents(self.cell, given)
        kept = [outputs[i] for i in by_numpy.backward_inputs(cell, given)]
        connected_ones = [g for g, yes in zip(cotangents, connected, strict=True) if yes]
        results = iter(op(*inputs, *kept, *connected_ones, return_list=True))
        grads = [next(results), DisconnectedType()()]
        grads += [next(results) for _ in self.cell.states]
        grads += [next(results) if yes else DisconnectedType()() for yes in self.cell.trained]
        return grads + [next(results) for _ in self.cell.dots]

    def _complete(self, inputs: Any, cotangents: Any) -> list[Any]:
        """Get the gradients from the Op that makes all arrays."""
        op = self.keeping((True,) * self.cell.num_arrays)
        given = iter(cotangents)
        full = [next(given) if yes else DisconnectedType()() for yes in self.kept]
        return op.pullback(inputs, op(*inputs, return_list=True), [*full, *given])


class RecurrentBackward(FirstOrder, _Recurrent):
    """The derivative of `RecurrentForward`.

    Inputs are its, then the outputs that the derivative reads, the cotangents
    of outputs and those of final states. Outputs are the gradients with
    respect to ``z``, states, trained vectors, and weights. Has no gradient
    itself.

    Parameters
    ----------
    cell : Cell
    dtype : str
    given, final : tuple of bool
        Which outputs and final states have a cotangent.
    reverse : bool
    limit : int
    inplace : bool
        Whether the gradient with respect to ``z`` takes its place.
    """

    __props__ = ("cell", "dtype", "given", "final", "reverse", "limit", "inplace")
    derives = RecurrentForward

    def __init__(
        self,
        cell: Cell,
        dtype: str,
        given: tuple[bool, ...],
        final: tuple[bool, ...],
        reverse: bool,
        limit: int,
        inplace: bool = False,
    ) -> None:
        self.cell, self.dtype, self.given, self.final = cell, dtype, given, final
        self.reverse, self.limit, self.inplace = reverse, limit, inplace
        if inplace:
            self.destroy_map = {0: [0]}

    def kernel(self) -> tuple[Any, str | None]:
        from .by_numba import backward_kernel

        return backward_kernel(
            self.cell, self.dtype, self.given, self.final, self.reverse, self.limit, self.inplace
        )

    def make_node(self, *inputs: Expression) -> Apply:
        variables = [pt.as_tensor(i) for i in inputs]
        states, vectors, weights, _ = self.split(variables)
        trained = [v for v, yes in zip(vectors, self.cell.trained, strict=True) if yes]
        like = [variables[0], *states, *trained, *weights]
        return Apply(self, variables, [v.type() for v in like])

    def output_shapes(self, *shapes: tuple[Expression, ...]) -> list[tuple[Expression, ...]]:
        states, vectors, weights, _ = self.split(shapes)
        trained = [v for v, yes in zip(vectors, self.cell.trained, strict=True) if yes]
        return [shapes[0], *states, *trained, *weights]

    def perform(self, node: Apply, inputs: Sequence[Array], storage: list[list[Any]]) -> None:
        _check(inputs[0], inputs[1])
        run = by_numpy.backward(self.cell, self.given, self.final)
        for place, value in zip(storage, run(self.reverse, self.limit, *inputs), strict=True):
            place[0] = np.ascontiguousarray(value)


def _check(z: Any, lengths: Any) -> None:
    batch, time, _ = z.shape
    if lengths.shape != (batch,):
        raise ValueError(f"lengths of shape {lengths.shape} do not fit a batch of {batch} series")
    if lengths.size and not 0 <= lengths.min() <= lengths.max() <= time:
        raise ValueError(
            f"lengths from {lengths.min()} to {lengths.max()} are not between 0 and the "
            f"{time} steps"
        )


@register_canonicalize
@node_rewriter([RecurrentForward])
def drop_unused_outputs(fgraph: Any, node: Apply) -> Any:
    """Do not make outputs that nothing uses."""
    op = node.op
    many = sum(op.kept)
    used = iter([bool(fgraph.clients[out]) for out in node.outputs[:many]])
    kept = tuple(yes and next(used) for yes in op.kept)
    if kept == op.kept:
        return False
    return _replaced([node], kept)


@register_canonicalize
@node_rewriter([RecurrentForward])
def share_steps(fgraph: Any, node: Apply) -> Any:
    """Make the outputs of two that differ in nothing else by one.

    There are two once a graph was rewritten and then differentiated.
    """
    op = node.op
    for client, _ in fgraph.clients[node.inputs[0]]:
        other = client.op
        if client is node or not isinstance(other, RecurrentForward):
            continue
        kept = tuple(map(any, zip(op.kept, other.kept, strict=False)))
        if client.inputs == node.inputs and other.keeping(kept) == op.keeping(kept):
            return _replaced([node, client], kept)
    return False


def _replaced(nodes: Sequence[Apply], kept: tuple[bool, ...]) -> dict[Any, Any]:
    """Get what the outputs of some nodes become where one Op makes all that are kept."""
    many = sum(kept)
    results = nodes[0].op.keeping(kept)(*nodes[0].inputs, return_list=True)
    arrays = iter(results[:many])
    new = [next(arrays) if yes else None for yes in kept]
    found: dict[Any, Any] = {}
    for node in nodes:
        of_op = [variable for variable, yes in zip(new, node.op.kept, strict=True) if yes]
        pairs = zip(node.outputs, [*of_op, *results[many:]], strict=True)
        found.update((old, variable) for old, variable in pairs if variable is not None)
    return found


@node_rewriter([RecurrentBackward])
def overwrite_input(fgraph: Any, node: Apply) -> Any:
    """Let the gradient with respect to ``z`` take its place, where it is not read."""
    op = node.op
    if op.inplace or not node.inputs[0].owner:
        return False
    cell = with_cotangents(op.cell, op.given)
    if any(cell.values[i].op == "x" for i in backward_plan(cell).loads()):
        return False
    new = RecurrentBackward(
        op.cell, op.dtype, op.given, op.final, op.reverse, op.limit, inplace=True
    )
    return new(*node.inputs, return_list=True)


optdb.register("recurrent_inplace", in2out(overwrite_input), "fast_run", "inplace", position=70)
