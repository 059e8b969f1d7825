"""The recurrent core for a library with arrays of its own, such as JAX.

A cell's formulas are evaluated one by one for a step, each when it is first asked for,
with the functions of a `Library`, whose loop runs the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .by_numpy import backward_inputs
from .cell import Cell, with_cotangents
from .operation import RecurrentBackward, RecurrentForward
from .values import LEAVES, ROW

Function = Callable[..., Any]


@dataclass(frozen=True)
class Library:
    """What computes with arrays.

    Attributes
    ----------
    xp : module
        Has functions of the same names and arguments as NumPy.
    operations : dict of str to callable
        What does the operations of cells, see `scalars.functions`.
    array : callable
        Of ``(x, like)``: gets a number or an array with the type, and in the place,
        of an array.
    scan : callable
        Of ``(step, carry, series, reverse)``: as `jax.lax.scan`, over the first axis of
        all arrays in the tuples, lists and dicts of ``series``.
    """

    xp: Any
    operations: Mapping[str, Function]
    array: Function
    scan: Function

    def over_time(self, x: Any) -> Any:
        """Exchange the axes of examples and of time."""
        return self.xp.swapaxes(x, 0, 1)


class Step:
    """Values of one step, each computed when it is first asked for.

    Parameters
    ----------
    library : Library
    cell : Cell
    sizes : list of int
    parts : tuple of lists
        States, vectors and weights.
    z : array of shape (batch, width)
    count : array of shape (batch, 1)
        How many steps came before.
    """

    def __init__(
        self, library: Library, cell: Cell, sizes: list[int], parts: Any, z: Any, count: Any
    ) -> None:
        self.library, self.cell, self.sizes, self.z, self.count = library, cell, sizes, z, count
        self.states, self.vectors, self.weights = parts
        self.known: dict[int, Any] = {}
        self.products: dict[int, Any] = {}

    def __getitem__(self, index: int) -> Any:
        if index not in self.known:
            self.known[index] = self._find(index)
        return self.known[index]

    def full(self, index: int, dim: int) -> Any:
        """Get a value as (batch, size), also where all entries are the same."""
        shape = (self.z.shape[0], 1 if dim == ROW else self.sizes[dim])
        return self.library.xp.broadcast_to(self.library.array(self[index], self.z), shape)

    def output(self, array: int) -> Any:
        """Get an array of outputs."""
        which = [i for i, _ in enumerate(self.cell.outputs) if self.cell.array(i) == array]
        parts = [self.full(self.cell.outputs[i], self.cell.output_dim(i)) for i in which]
        return self.library.xp.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]

    def _find(self, index: int) -> Any:
        value = self.cell.values[index]
        if value.op == "const":
            return self.library.array(value.args[0], self.z)
        if value.op == "n":
            return self.library.array(self.sizes[value.args[0]], self.z)
        if value.op == "t":
            return self.count
        if value.op == "x":
            return self.part(self.z, self.cell.blocks, value.args[0])
        if value.op == "v":
            i, j = value.args
            return self.part(self.vectors[i], self.cell.vectors[i], j)
        if value.op == "s":
            return self.states[value.args[0]]
        if value.op in LEAVES:
            return self.leaf(value.op, value.args)
        return self.library.operations[value.op](*(self[a] for a in value.args))

    def leaf(self, op: str, args: tuple[int, ...]) -> Any:
        """Get what only a step forward, or only one backward, knows."""
        k, j = args
        if k not in self.products:
            dot = self.cell.dots[k]
            self.products[k] = self.full(dot.value, dot.dim) @ self.weights[k]
        return self.part(self.products[k], self.cell.dots[k].dims, j)

    def part(self, packed: Any, dims: Sequence[int], which: int) -> Any:
        """Get one of several arrays that are packed in the last axis."""
        start = sum(self.sizes[dim] for dim in dims[:which])
        return packed[..., start : start + self.sizes[dims[which]]]


class _StepBack(Step):
    """Values of the derivative of one step.

    Parameters
    ----------
    carried : list of arrays
        Cotangents of the new states, without what comes through this step's outputs.
    outputs, cotangents : dict of int to array
        Of this step, as far as they are there.
    """

    def __init__(self, *arguments: Any, carried: Any, outputs: Any, cotangents: Any) -> None:
        super().__init__(*arguments)
        self.carried, self.cotangents = carried, cotangents
        for i, index in enumerate(self.cell.outputs):
            if self.cell.array(i) in outputs:
                start = self.cell.column(i) or 0
                array = outputs[self.cell.array(i)]
                shared = self.cell.values[index].dim is None
                self.known[index] = array[:, start : start + 1] if shared else array

    def leaf(self, op: str, args: tuple[int, ...]) -> Any:
        i = args[0]
        if op == "gd":
            return self.through(i)
        if op == "go":
            return self.cotangents[self.cell.outputs.index(i)]
        out = self.cell.trajectory(i)
        return self.carried[i] + self.cotangents.get(out, 0)

    def gradient(self, k: int) -> Any:
        """Get the gradient with respect to the result of a dot."""
        dims = self.cell.dots[k].dims
        parts = [self.full(v, d) for v, d in zip(self.cell.d_dots[k], dims, strict=True)]
        return self.library.xp.concatenate(parts, axis=1)

    def through(self, k: int) -> Any:
        """Get the gradient with respect to what a dot multiplies."""
        if k not in self.products:
            self.products[k] = self.gradient(k) @ self.weights[k].T
        return self.products[k]


def _sizes(cell: Cell, z: Any, parts: Any) -> list[int]:
    states, vectors, weights = ([array.shape for array in part] for part in parts)
    return cell.sizes(states, vectors, weights, z.shape[2])


def _steps(library: Library, z: Any, lengths: Any, reverse: bool) -> tuple[Any, Any]:
    """Get which steps there are, and how many come before each: (time, batch, 1) both."""
    steps = library.array(np.arange(z.shape[1])[:, None], lengths)
    counts = lengths - 1 - steps if reverse else steps + library.xp.zeros_like(lengths)
    return (steps < lengths)[:, :, None], library.array(counts[:, :, None], z)


def forward(op: RecurrentForward, library: Library) -> Function:
    """Get the function of an Op, which returns a tuple, or the array if it is only one."""
    xp, over_time = library.xp, library.over_time
    cell, made = op.cell, [i for i, yes in enumerate(op.kept) if yes]

    def run(*inputs: Any) -> Any:
        z, lengths = inputs[:2]
        states, vectors, weights, _ = op.split(inputs)
        sizes = _sizes(cell, z, (states, vectors, weights))
        exists, counts = _steps(library, z, lengths, op.reverse)

        def step(old: Any, now: Any) -> Any:
            z_now, mask, count = now
            values = Step(library, cell, sizes, (old, vectors, weights), z_now, count)
            new = [values.full(v, d) for v, d in zip(cell.next, cell.states, strict=True)]
            shown = [values.output(i) for i in made]
            kept = [xp.where(mask, n, o) for n, o in zip(new, old, strict=True)]
            return kept, [xp.where(mask, x, 0) for x in shown]

        series = (over_time(z), exists, counts)
        final, outputs = library.scan(step, list(states), series, op.reverse)
        results = (*map(over_time, outputs), *final)
        # PyTensor takes what comes of a single output for the array itself.
        return results if len(results) > 1 else results[0]

    return run


def backward(op: RecurrentBackward, library: Library) -> Function:
    """Get the function of an Op, which returns a tuple."""
    xp, over_time = library.xp, library.over_time
    cell = with_cotangents(op.cell, op.given)
    used = backward_inputs(cell, op.given)
    given = [i for i, yes in enumerate(op.given) if yes]
    finals = [i for i, yes in enumerate(op.final) if yes]
    trained = [i for i, yes in enumerate(cell.trained) if yes]
    dots = range(len(cell.dots))

    def run(*inputs: Any) -> tuple[Any, ...]:
        z, lengths = inputs[:2]
        states, vectors, weights, rest = op.split(inputs)
        sizes = _sizes(cell, z, (states, vectors, weights))
        outputs = dict(zip(used, map(over_time, rest), strict=False))
        rest = rest[len(used) :]
        cotangents = dict(zip(given, map(over_time, rest), strict=False))
        last = dict(zip(finals, rest[len(given) :], strict=True))
        exists, counts = _steps(library, z, lengths, op.reverse)

        def before(i: int) -> Any:
            if cell.trajectory(i) not in outputs:
                return states[i][None] + xp.zeros_like(counts)  # nothing reads it
            trajectory = outputs[cell.trajectory(i)]
            if op.reverse:
                moved = xp.concatenate([trajectory[1:], states[i][None]])
            else:
                moved = xp.concatenate([states[i][None], trajectory[:-1]])
            return xp.where(counts == 0, states[i], moved[: len(counts)])

        def step(carry: Any, now: Any) -> Any:
            carried, d_vectors = carry
            z_now, mask, count, old, shown, arriving = now
            values = _StepBack(
                *(library, cell, sizes, (old, vectors, weights), z_now, count),
                carried=carried,
                outputs=shown,
                cotangents=arriving,
            )

            def only(index: int, dim: int) -> Any:
                return xp.where(mask, values.full(index, dim), 0)

            blocks = [only(v, d) for v, d in zip(cell.d_blocks, cell.blocks, strict=True)]
            grown = []
            for i, total in zip(trained, d_vectors, strict=True):
                pairs = zip(cell.d_vectors[i], cell.vectors[i], strict=True)
                grown.append(total + xp.concatenate([only(v, d).sum(axis=0) for v, d in pairs]))
            left = [only(dot.value, dot.dim) for dot in cell.dots]
            right = [xp.where(mask, values.gradient(k), 0) for k in dots]
            new = []
            for i, (value, dim) in enumerate(zip(cell.d_states, cell.states, strict=True)):
                total = values.full(value, dim)
                total = sum((values.through(k) for k in dots if cell.bare(k) == i), total)
                if op.limit:
                    total = xp.where((count > 0) & (count % op.limit == 0), 0, total)
                new.append(xp.where(mask, total, carried[i]))
            return (new, grown), (xp.concatenate(blocks, axis=1), left, right)

        start = [last.get(i, xp.zeros_like(s)) for i, s in enumerate(states)]
        zeros = [xp.zeros_like(vectors[i]) for i in trained]
        old = [before(i) for i in range(len(states))]
        series = (over_time(z), exists, counts, old, outputs, cotangents)
        (d_states, d_vectors), (dz, left, right) = library.scan(
            step, (start, zeros), series, not op.reverse
        )
        products = [xp.einsum("tbi,tbj->ij", e, d) for e, d in zip(left, right, strict=True)]
        return (over_time(dz), *d_states, *d_vectors, *products)

    return run
