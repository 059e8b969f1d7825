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
from pytensor.gradient import DisconnectedType, pullback
from pytensor.graph.basic import Apply

from ...expressions import Expression
from ..base import Array, KernelOp, connected, copied
from . import by_numpy
from .cell import Cell, with_cotangents
from .tangent import Moving, tangent
from .values import ROW

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
    cell, dtype, reverse, limit
    kept : tuple of bool
        Which arrays of the cell's outputs are made.
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
        arriving = [connected(g) for g in cotangents]
        many = self.cell.num_arrays
        given, final = (
            tuple(g is not None for g in part) for part in (arriving[:many], arriving[many:])
        )
        op = RecurrentBackward(self.cell, self.dtype, given, final, self.reverse, self.limit)
        cell = with_cotangents(self.cell, given)
        kept = [outputs[i] for i in by_numpy.backward_inputs(cell, given)]
        typed = [g.astype(self.dtype) for g in arriving if g is not None]
        results = iter(op(*inputs, *kept, *typed, return_list=True))
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

    def pushforward(
        self,
        inputs: Sequence[Expression],
        outputs: Sequence[Expression],
        tangents: Sequence[Expression],
    ) -> list[Expression]:
        arrays, final = self.changes(inputs, [connected(t) for t in tangents])
        shown = [change for change, yes in zip(arrays, self.kept, strict=True) if yes]
        return [DisconnectedType()() if x is None else x for x in [*shown, *final]]

    def changes(
        self, inputs: Sequence[Expression], directions: Sequence[Expression | None]
    ) -> tuple[list[Any], list[Any]]:
        """Get the derivatives of all arrays and of the final states in a direction.

        Parameters
        ----------
        inputs, directions : lists of expressions
            Of the same shapes; the direction is None of what does not move.

        Returns
        -------
        (arrays, final) : lists of expressions
            None for an array that does not change.
        """
        typed = [None if d is None else d.astype(self.dtype) for d in directions]
        d_z, (d_states, d_vectors, d_weights, _) = typed[0], self.split(typed)
        states, vectors, weights, _ = self.split(inputs)
        trained = zip(d_vectors, self.cell.trained, strict=True)
        moving = Moving(
            d_z is not None,
            tuple(d is not None and yes for d, yes in trained),
            tuple(d is not None for d in d_weights),
        )
        found = tangent(self.cell, moving, self.limit, self.dtype)
        many = found.cell.num_arrays
        op = RecurrentForward(found.cell, self.dtype, (True,) * many, self.reverse, self.limit)
        pairs = zip(states, d_states, strict=True)
        results = op(
            inputs[0] if d_z is None else _beside(inputs[0], d_z),
            inputs[1],
            *(*states, *(pt.zeros_like(s) if d is None else d for s, d in pairs)),
            *(*vectors, *(d for d, yes in zip(d_vectors, moving.vectors, strict=True) if yes)),
            *((d_weights if direction else weights)[k] for k, direction in found.matrices),
            return_list=True,
        )
        # A change may be one number for each row where the array has one for each unit.
        shapes = [tuple(x.shape) for x in inputs]
        full = self.keeping((True,) * self.cell.num_arrays).output_shapes(*shapes)
        parts: list[list[Any]] = [[] for _ in range(self.cell.num_arrays)]
        for i, _ in enumerate(self.cell.outputs):
            which, dim = found.outputs.get(i), self.cell.output_dim(i)
            change = None if which is None else results[which]
            if which is not None and found.cell.output_dim(which) != dim:
                change = _column(change)
                if dim != ROW:
                    change = pt.broadcast_to(change, full[self.cell.array(i)])
            parts[self.cell.array(i)].append(change)
        return [_packed(part, inputs[0]) for part in parts], results[many + len(states) :]


def _beside(z: Expression, d_z: Expression) -> Expression:
    """Put what is of one shape side by side, (batch, time, 2 width)."""
    # The gradient of a plain concatenation cuts where it is only known when it runs, which JAX
    # cannot.
    batch, time, width = z.shape
    return pt.stack([z, d_z], axis=2).reshape((batch, time, 2 * width))


def _column(x: Expression) -> Expression:
    return x[:, :, 0].dimshuffle(0, 1, "x")


def _packed(parts: list[Any], z: Expression) -> Expression | None:
    """Put the changes of what is in one array side by side."""
    if all(part is None for part in parts):
        return None
    if len(parts) == 1:
        return parts[0]
    none = pt.zeros_like(_column(z))
    return pt.concatenate([none if part is None else part for part in parts], axis=2)


class RecurrentBackward(_Recurrent):
    """The derivative of `RecurrentForward`.

    Inputs are its, then the outputs that the derivative reads, the cotangents
    of outputs and those of final states. Outputs are the gradients with
    respect to ``z``, states, trained vectors, and weights. Its own derivative
    takes it for what it is, a function of the inputs and the cotangents alone:
    the outputs are functions of the inputs.

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

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        cell, arriving = self.cell, sum(self.given) + sum(self.final)
        reads = [True, False, *(True for _ in cell.states), *cell.trained]
        reads += [True] * len(cell.dots)
        reads += [False] * (len(node.inputs) - len(reads) - arriving) + [True] * arriving
        return [[yes] * len(node.outputs) for yes in reads]

    def pullback(
        self,
        inputs: Sequence[Expression],
        outputs: Sequence[Expression],
        cotangents: Sequence[Expression],
    ) -> list[Expression]:
        # The derivative of the gradient of g * F along a direction is the gradient of g times
        # the change of F in that direction, see `tangent`.
        cell = self.cell
        op = RecurrentForward(cell, self.dtype, (True,) * cell.num_arrays, self.reverse, self.limit)
        given = iter(connected(g) for g in cotangents)
        directions = [next(given), None, *(next(given) for _ in cell.states)]
        directions += [next(given) if yes else None for yes in cell.trained]
        directions += given
        own = len(directions)
        copies = [copied(x) for x in inputs[:own]]
        arrays, final = op.changes(copies, directions)
        shown = [change for change, yes in zip(arrays, self.given, strict=True) if yes]
        shown += [change for change, yes in zip(final, self.final, strict=True) if yes]
        arriving = inputs[len(inputs) - len(shown) :]
        pairs = [(x, g) for x, g in zip(shown, arriving, strict=True) if x is not None]
        moving = [True, False, *(True for _ in cell.states), *cell.trained]
        moving += [True] * len(cell.dots)
        found = iter(
            pullback(
                [x for x, _ in pairs],
                [x for x, yes in zip(copies, moving, strict=True) if yes],
                [g for _, g in pairs],
                disconnected_inputs="ignore",
                return_disconnected="disconnected",
            )
        )
        grads = [next(found) if yes else DisconnectedType()() for yes in moving]
        grads += [DisconnectedType()()] * (len(inputs) - own - len(shown))
        return grads + [
            pt.zeros_like(g) if x is None else x for x, g in zip(shown, arriving, strict=True)
        ]


def _check(z: Any, lengths: Any) -> None:
    batch, time, _ = z.shape
    if lengths.shape != (batch,):
        raise ValueError(f"lengths of shape {lengths.shape} do not fit a batch of {batch} series")
    if lengths.size and not 0 <= lengths.min() <= lengths.max() <= time:
        found = f"lengths from {lengths.min()} to {lengths.max()}"
        raise ValueError(f"{found} are not between 0 and the {time} steps")
