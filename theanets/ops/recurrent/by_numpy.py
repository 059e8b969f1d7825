"""Cells in NumPy: source with one array operation for each value, step by step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ...process import lazily
from .cell import Cell, with_cotangents
from .plan import Plan, Store, backward_plan, forward_plan, is_zero
from .scalars import OPERATIONS


def offsets(dims: Sequence[int]) -> list[str]:
    """Get where each of several packed sizes starts, as source; one more for the end."""
    sums = ["0"]
    for i in range(1, len(dims) + 1):
        sums.append(" + ".join(f"n{dim}" for dim in dims[:i]))
    return sums


def constant(number: float) -> str:
    """Get a number as source."""
    return (
        f"F({number!r})"
        if math.isfinite(number)
        else f"F(np.{abs(number)})"
        if number != -math.inf
        else "F(-np.inf)"
    )


def width(cell: Cell, array: int) -> str:
    """Get the last size of an array of outputs, as source."""
    return str(cell.array_size(array, [f"n{dim}" for dim in range(cell.num_sizes)]))


def output(cell: Cell, index: int) -> str:
    """Get source for what an output is at a step."""
    column = cell.column(index)
    part = "" if column is None else f", {column}:{column + 1}"
    return f"o{cell.array(index)}[:, t{part}]"


def size_lines(cell: Cell) -> list[str]:
    """Get source that reads the sizes from the arrays."""
    return [
        f"n{dim} = {kind}{'' if kind == 'z' else i}.shape[{axis}] // {times}"
        if times > 1
        else f"n{dim} = {kind}{'' if kind == 'z' else i}.shape[{axis}]"
        for dim, (kind, i, axis, times) in enumerate(cell.size_sources())
    ]


class _Step:
    """Source of one step: values are local variables ``q<index>``."""

    def __init__(self, cell: Cell, read: Callable[[int], str]) -> None:
        self.cell, self.read = cell, read
        self.done: dict[int, str] = {}
        self.lines: list[str] = []

    def ref(self, index: int) -> str:
        value = self.cell.values[index]
        if value.op == "const":
            return constant(value.args[0])
        return self.done[index]

    def compute(self, order: Sequence[int], loads: Sequence[int]) -> None:
        for index in loads:
            if index not in self.done and self.cell.values[index].op != "const":
                self.lines.append(f"q{index} = {self.read(index)}")
                self.done[index] = f"q{index}"
        for index in order:
            if index not in self.done:
                value = self.cell.values[index]
                text = OPERATIONS[value.op].numpy.format(*map(self.ref, value.args))
                self.lines.append(f"q{index} = {text}")
                self.done[index] = f"q{index}"

    def waves(self, plan: Plan, store: Callable[[Store, str], str | None]) -> None:
        # The plan is Numba's: what it would keep is here as a variable anyway, so only the
        # order is of use, and a value is computed once.
        for wave in plan.waves:
            for loop in wave.loops:
                self.compute(loop.order, loop.loads)
                for item in loop.stores:
                    if item.kind == "r":
                        self.compute(item.index, [])
                    line = store(item, self.ref(item.value))
                    if line is not None:
                        self.lines.append(line)
            if wave.dot is not None:
                self.lines.append(self.product(wave.dot))

    def product(self, dot: int) -> str:
        raise NotImplementedError


class _Forward(_Step):
    def product(self, dot: int) -> str:
        bare = self.cell.bare(dot)
        left = f"e{dot}" if bare is None else f"s{bare}"
        return f"d{dot} = {left} @ W{dot}"


class _Backward(_Step):
    def product(self, dot: int) -> str:
        dims = self.cell.dots[dot].dims
        parts = ", ".join(f"dd{dot}_{j}" for j in range(len(dims)))
        return (
            f"dd{dot} = np.concatenate([{parts}], axis=1)\n"
            f"DD{dot}.append(dd{dot})\n"
            f"ge{dot} = dd{dot} @ W{dot}.T"
        )


def _arguments(cell: Cell) -> str:
    names = [f"s{i}" for i in range(len(cell.states))]
    names += [f"v{i}" for i in range(len(cell.vectors))]
    names += [f"W{k}" for k in range(len(cell.dots))]
    return ", ".join(names)


def _leaf(cell: Cell, index: int) -> str | None:
    """Get source that reads a leaf of which both directions have the same."""
    value = cell.values[index]
    if value.op == "x":
        (i,) = value.args
        start = offsets(cell.blocks)
        return f"z[:, t, {start[i]}:{start[i + 1]}]"
    if value.op == "v":
        i, j = value.args
        start = offsets(cell.vectors[i])
        return f"v{i}[{start[j]}:{start[j + 1]}]"
    if value.op == "n":
        return f"F(n{value.args[0]})"
    return "count" if value.op == "t" else None


def _indent(lines: Sequence[str], depth: int) -> str:
    text = "\n".join(lines).split("\n")
    return "\n".join("    " * depth + line for line in text)


_TIME = """\
t = T - 1 - i if reverse else i
active = t < lengths
if not active.any():
    continue
mask = None if active.all() else active[:, None]
count = ((lengths - 1 - t if reverse else np.full(B, t))[:, None]).astype(F)"""


def forward_source(cell: Cell, kept: Sequence[bool]) -> str:
    """Get the source of a function that runs a recurrence forward."""

    def read(index: int) -> str:
        common = _leaf(cell, index)
        if common is not None:
            return common
        value = cell.values[index]
        if value.op == "s":
            return f"s{value.args[0]}"
        k, j = value.args
        start = offsets(cell.dots[k].dims)
        return f"d{k}[:, {start[j]}:{start[j + 1]}]"

    def store(item: Store, text: str) -> str | None:
        i = item.index[0]
        if item.kind == "e":
            return f"e{i} = np.broadcast_to({text}, (B, n{item.dim}))"
        if item.kind == "s":
            return f"new{i} = {text}"
        if item.kind == "o":
            return f"{output(cell, i)} = {text} if mask is None else np.where(mask, {text}, F(0))"
        return None

    step = _Forward(cell, read)
    step.waves(forward_plan(cell, kept), store)
    for i, dim in enumerate(cell.states):
        old = f"s{i}"
        step.lines.append(f"new{i} = np.broadcast_to(new{i}, (B, n{dim}))")
        step.lines.append(f"{old} = new{i} if mask is None else np.where(mask, new{i}, {old})")
    made = [i for i, yes in enumerate(kept) if yes]
    start = [
        "B, T, _ = z.shape",
        "F = z.dtype.type",
        *size_lines(cell),
        *(f"o{i} = np.zeros((B, T, {width(cell, i)}), z.dtype)" for i in made),
    ]
    result = [f"o{i}" for i in made] + [f"np.array(s{i})" for i in range(len(cell.states))]
    return (
        f"def run(reverse, z, lengths, {_arguments(cell)}):\n"
        f"{_indent(start, 1)}\n"
        f"    for i in range(T):\n{_indent([_TIME, *step.lines], 2)}\n"
        f"    return [{', '.join(result)}]\n"
    )


def backward_source(cell: Cell, given: Sequence[bool], final: Sequence[bool]) -> str:
    """Get the source of a function that runs the derivative of a recurrence.

    Parameters
    ----------
    cell : Cell
        With these cotangents; see `with_cotangents`.
    given : list of bool
        Which arrays of outputs have a cotangent.
    final : list of bool
        Which final states have one.
    """
    plan = backward_plan(cell)
    states = range(len(cell.states))

    def read(index: int) -> str:
        common = _leaf(cell, index)
        if index in cell.outputs:
            text = output(cell, cell.outputs.index(index))
            return f"{text}[:, :1]" if cell.values[index].dim is None else text
        if common is not None:
            return common
        value = cell.values[index]
        if value.op == "s":
            return f"p{value.args[0]}"
        if value.op == "gs":
            (i,) = value.args
            out = cell.trajectory(i)
            return f"G{i} + g{out}[:, t]" if given[out] else f"G{i}"
        if value.op == "go":
            return f"g{cell.outputs.index(value.args[0])}[:, t]"
        return f"ge{value.args[0]}"

    def store(item: Store, text: str) -> str | None:
        i = item.index[0]
        full = f"np.broadcast_to({text}, (B, n{item.dim}))"
        masked = f"{full} if mask is None else np.where(mask, {text}, F(0))"
        if item.kind == "dd":
            return f"dd{i}_{item.index[1]} = {masked}"
        if item.kind == "dz":
            start = offsets(cell.blocks)
            return f"dz[:, t, {start[i]}:{start[i + 1]}] = {masked}"
        if item.kind == "dv":
            start, j = offsets(cell.vectors[i]), item.index[1]
            return f"dv{i}[{start[j]}:{start[j + 1]}] += ({masked}).sum(axis=0)"
        if item.kind == "e":
            return f"E{i}.append({masked})"
        if item.kind == "part":
            return f"part{i} = {text}"
        return None

    step = _Backward(cell, read)
    previous = {k: cell.bare(k) for k in range(len(cell.dots))}
    read_states = {cell.values[i].args[0] for i in plan.loads() if cell.values[i].op == "s"}
    for i in sorted(read_states | {s for s in previous.values() if s is not None}):
        out = cell.trajectory(i)
        step.lines.append(f"p{i} = before(o{out}, s{i}, count, t, T, reverse)")
    step.waves(plan, store)
    for k, bare in previous.items():
        if bare is not None:
            step.lines.append(
                f"E{k}.append(p{bare} if mask is None else np.where(mask, p{bare}, F(0)))"
            )
    for i in states:
        parts = [] if is_zero(cell, cell.d_states[i]) else [f"part{i}"]
        parts += [f"ge{k}" for k, bare in previous.items() if bare == i]
        text = " + ".join(parts) or "F(0)"
        step.lines.append(f"new{i} = np.broadcast_to({text}, (B, n{cell.states[i]}))")
        step.lines.append(f"new{i} = np.where(cut, F(0), new{i})")
        step.lines.append(f"G{i} = new{i} if mask is None else np.where(mask, new{i}, G{i})")
    used = backward_inputs(cell, given)
    arguments = [_arguments(cell)]
    arguments += [f"o{i}" for i in used]
    arguments += [f"g{i}" for i, yes in enumerate(given) if yes]
    arguments += [f"f{i}" for i, yes in enumerate(final) if yes]
    start = [
        "B, T, _ = z.shape",
        "F = z.dtype.type",
        *size_lines(cell),
        "dz = np.zeros_like(z)",
        *(f"dv{i} = np.zeros_like(v{i})" for i, yes in enumerate(cell.trained) if yes),
        *(
            f"G{i} = f{i}" if final[i] else f"G{i} = np.zeros((B, n{dim}), z.dtype)"
            for i, dim in enumerate(cell.states)
        ),
        *(f"E{k}, DD{k} = [], []" for k in previous),
    ]
    cut = "cut = (count > 0) & (count % limit == 0) if limit else False"
    products = [
        f"dW{k} = np.concatenate(E{k}).T @ np.concatenate(DD{k}) if E{k} else np.zeros_like(W{k})"
        for k in previous
    ]
    result = ["dz", *(f"np.array(G{i})" for i in states)]
    result += [f"dv{i}" for i, yes in enumerate(cell.trained) if yes]
    result += [f"dW{k}" for k in previous]
    return (
        f"def run(reverse, limit, z, lengths, {', '.join(arguments)}):\n"
        f"{_indent(start, 1)}\n"
        f"    for i in reversed(range(T)):\n{_indent([_TIME, cut, *step.lines], 2)}\n"
        f"{_indent(products, 1)}\n"
        f"    return [{', '.join(result)}]\n"
    )


def backward_inputs(cell: Cell, given: Sequence[bool]) -> list[int]:
    """Get the arrays of outputs that the derivative reads."""
    loads = backward_plan(cell).loads()
    found = {cell.array(cell.outputs.index(i)) for i in loads if i in cell.outputs}
    states = {cell.values[i].args[0] for i in loads if cell.values[i].op == "s"}
    states |= {s for s in map(cell.bare, range(len(cell.dots))) if s is not None}
    return sorted(found | {cell.trajectory(i) for i in states})


def before(trajectory: Any, initial: Any, count: Any, t: int, T: int, reverse: bool) -> Any:
    """Get the state before a step."""
    index = t + 1 if reverse else t - 1
    if not 0 <= index < T:
        return initial
    return np.where(count == 0, initial, trajectory[:, index])


@lru_cache(maxsize=256)
def forward(cell: Cell, kept: tuple[bool, ...]) -> Callable[..., list[Any]]:
    """Get the function of `forward_source`."""
    return _execute(forward_source(cell, kept))


@lru_cache(maxsize=256)
def backward(
    cell: Cell, given: tuple[bool, ...], final: tuple[bool, ...]
) -> Callable[..., list[Any]]:
    """Get the function of `backward_source`."""
    return _execute(backward_source(with_cotangents(cell, given), given, final))


def _execute(source: str) -> Callable[..., list[Any]]:
    expit = lazily("scipy.special").expit  # slow to import
    scope: dict[str, Any] = {"np": np, "expit": expit, "before": before}
    exec(compile(source, "<recurrent cell>", "exec"), scope)

    def run(*arguments: Any) -> list[Any]:
        with np.errstate(all="ignore"):
            return list(scope["run"](*arguments))

    return run
