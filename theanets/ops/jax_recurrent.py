"""The Ops of `recurrent` for JAX: a cell's formulas, evaluated while JAX traces one step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from pytensor.link.jax.dispatch import jax_funcify

from .recurrent import RecurrentBackward, RecurrentForward
from .recurrent_cell import Cell, with_cotangents
from .recurrent_numpy import backward_inputs
from .recurrent_values import ROW

OPS: dict[str, Callable[..., Any]] = {
    "add": jnp.add,
    "sub": jnp.subtract,
    "mul": jnp.multiply,
    "div": jnp.divide,
    "neg": jnp.negative,
    "reciprocal": jnp.reciprocal,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "exp": jnp.exp,
    "expm1": jnp.expm1,
    "log": jnp.log,
    "log1p": jnp.log1p,
    "sqrt": jnp.sqrt,
    "pow": jnp.power,
    "abs": jnp.abs,
    "sign": jnp.sign,
    "sin": jnp.sin,
    "cos": jnp.cos,
    "floor": jnp.floor,
    "mod": jnp.mod,
    "maximum": jnp.maximum,
    "minimum": jnp.minimum,
    "switch": jnp.where,
    "gt": jnp.greater,
    "ge": jnp.greater_equal,
    "lt": jnp.less,
    "le": jnp.less_equal,
    "eq": jnp.equal,
    "neq": jnp.not_equal,
    "and": jnp.logical_and,
    "or": jnp.logical_or,
    "not": jnp.logical_not,
    "rowsum": lambda x: jnp.sum(x, axis=-1, keepdims=True),
    "rowmax": lambda x: jnp.max(x, axis=-1, keepdims=True),
}


class _Step:
    """Values of one step, each computed when it is first asked for.

    Parameters
    ----------
    cell : Cell
    sizes : list of int
    parts : tuple of lists
        States, vectors and weights.
    z : array of shape (batch, width)
    count : array of shape (batch, 1)
        How many steps came before.
    """

    def __init__(self, cell: Cell, sizes: list[int], parts: Any, z: Any, count: Any) -> None:
        self.cell, self.sizes, self.z, self.count = cell, sizes, z, count
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
        return jnp.broadcast_to(jnp.asarray(self[index], self.z.dtype), shape)

    def output(self, array: int) -> Any:
        """Get an array of outputs."""
        which = [i for i, _ in enumerate(self.cell.outputs) if self.cell.array(i) == array]
        parts = [self.full(self.cell.outputs[i], self.cell.output_dim(i)) for i in which]
        return jnp.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]

    def _find(self, index: int) -> Any:
        value = self.cell.values[index]
        if value.op == "const":
            return self.z.dtype.type(value.args[0])
        if value.op == "n":
            return self.z.dtype.type(self.sizes[value.args[0]])
        if value.op == "t":
            return self.count
        if value.op == "x":
            return self.part(self.z, self.cell.blocks, value.args[0])
        if value.op == "v":
            i, j = value.args
            return self.part(self.vectors[i], self.cell.vectors[i], j)
        if value.op == "s":
            return self.states[value.args[0]]
        if value.op in OPS:
            return OPS[value.op](*(self[a] for a in value.args))
        return self.leaf(value.op, value.args)

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


class _StepBack(_Step):
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
        return jnp.concatenate(parts, axis=1)

    def through(self, k: int) -> Any:
        """Get the gradient with respect to what a dot multiplies."""
        if k not in self.products:
            self.products[k] = self.gradient(k) @ self.weights[k].T
        return self.products[k]


def _sizes(cell: Cell, z: Any, parts: Any) -> list[int]:
    states, vectors, weights = ([array.shape for array in part] for part in parts)
    return cell.sizes(states, vectors, weights, z.shape[2])


def _counts(lengths: Any, steps: Any, reverse: bool, dtype: Any) -> Any:
    """Get how many steps come before each, (time, batch, 1)."""
    counts = lengths - 1 - steps if reverse else steps + jnp.zeros_like(lengths)
    return counts[:, :, None].astype(dtype)


def _over_time(x: Any) -> Any:
    return jnp.swapaxes(x, 0, 1)


@jax_funcify.register(RecurrentForward)
def _forward(op: RecurrentForward, **kwargs: Any) -> Callable[..., Any]:
    cell, made = op.cell, [i for i, yes in enumerate(op.kept) if yes]

    def forward(*inputs: Any) -> Any:
        z, lengths = inputs[:2]
        states, vectors, weights, _ = op.split(inputs)
        sizes = _sizes(cell, z, (states, vectors, weights))
        steps = jnp.arange(z.shape[1])[:, None]
        exists = (steps < lengths)[:, :, None]

        def step(old: Any, now: Any) -> Any:
            z_now, mask, count = now
            values = _Step(cell, sizes, (old, vectors, weights), z_now, count)
            new = [values.full(v, d) for v, d in zip(cell.next, cell.states, strict=True)]
            shown = [values.output(i) for i in made]
            kept = [jnp.where(mask, n, o) for n, o in zip(new, old, strict=True)]
            return kept, [jnp.where(mask, x, 0) for x in shown]

        series = (_over_time(z), exists, _counts(lengths, steps, op.reverse, z.dtype))
        final, outputs = lax.scan(step, list(states), series, reverse=op.reverse)
        results = (*map(_over_time, outputs), *final)
        # PyTensor takes what comes of a single output for the array itself.
        return results if len(results) > 1 else results[0]

    return forward


@jax_funcify.register(RecurrentBackward)
def _backward(op: RecurrentBackward, **kwargs: Any) -> Callable[..., Any]:
    cell = with_cotangents(op.cell, op.given)
    used = backward_inputs(cell, op.given)
    given = [i for i, yes in enumerate(op.given) if yes]
    finals = [i for i, yes in enumerate(op.final) if yes]
    trained = [i for i, yes in enumerate(cell.trained) if yes]
    dots = range(len(cell.dots))

    def backward(*inputs: Any) -> tuple[Any, ...]:
        z, lengths = inputs[:2]
        states, vectors, weights, rest = op.split(inputs)
        sizes = _sizes(cell, z, (states, vectors, weights))
        outputs = dict(zip(used, map(_over_time, rest), strict=False))
        rest = rest[len(used) :]
        cotangents = dict(zip(given, map(_over_time, rest), strict=False))
        last = dict(zip(finals, rest[len(given) :], strict=True))
        steps = jnp.arange(z.shape[1])[:, None]
        exists = (steps < lengths)[:, :, None]
        counts = _counts(lengths, steps, op.reverse, z.dtype)

        def before(i: int) -> Any:
            if cell.trajectory(i) not in outputs:
                return states[i][None] + jnp.zeros_like(counts)  # nothing reads it
            trajectory = outputs[cell.trajectory(i)]
            if op.reverse:
                moved = jnp.concatenate([trajectory[1:], states[i][None]])
            else:
                moved = jnp.concatenate([states[i][None], trajectory[:-1]])
            return jnp.where(counts == 0, states[i], moved[: len(counts)])

        def step(carry: Any, now: Any) -> Any:
            carried, d_vectors = carry
            z_now, mask, count, old, shown, arriving = now
            values = _StepBack(
                *(cell, sizes, (old, vectors, weights), z_now, count),
                carried=carried,
                outputs=shown,
                cotangents=arriving,
            )

            def only(index: int, dim: int) -> Any:
                return jnp.where(mask, values.full(index, dim), 0)

            blocks = [only(v, d) for v, d in zip(cell.d_blocks, cell.blocks, strict=True)]
            grown = []
            for i, total in zip(trained, d_vectors, strict=True):
                pairs = zip(cell.d_vectors[i], cell.vectors[i], strict=True)
                grown.append(total + jnp.concatenate([only(v, d).sum(axis=0) for v, d in pairs]))
            left = [only(dot.value, dot.dim) for dot in cell.dots]
            right = [jnp.where(mask, values.gradient(k), 0) for k in dots]
            new = []
            for i, (value, dim) in enumerate(zip(cell.d_states, cell.states, strict=True)):
                total = values.full(value, dim)
                total = sum((values.through(k) for k in dots if cell.bare(k) == i), total)
                if op.limit:
                    total = jnp.where((count > 0) & (count % op.limit == 0), 0, total)
                new.append(jnp.where(mask, total, carried[i]))
            return (new, grown), (jnp.concatenate(blocks, axis=1), left, right)

        start = [last.get(i, jnp.zeros_like(s)) for i, s in enumerate(states)]
        zeros = [jnp.zeros_like(vectors[i]) for i in trained]
        old = [before(i) for i in range(len(states))]
        series = (_over_time(z), exists, counts, old, outputs, cotangents)
        (d_states, d_vectors), (dz, left, right) = lax.scan(
            step, (start, zeros), series, reverse=not op.reverse
        )
        products = [jnp.einsum("tbi,tbj->ij", e, d) for e, d in zip(left, right, strict=True)]
        return (_over_time(dz), *d_states, *d_vectors, *products)

    return backward
