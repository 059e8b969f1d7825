"""The Ops of `recurrent` for PyTorch, step by step; see `torch_source` for what a step is.

`torch.compile` would unroll the loop, and compile anew for each number of steps, so it
leaves these functions as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from pytensor.link.pytorch.dispatch import pytorch_funcify

from .by_numpy import backward_inputs, offsets, size_lines
from .cell import Cell, with_cotangents
from .operation import RecurrentBackward, RecurrentForward
from .plan import is_zero
from .torch_source import FIXED, LOOP, SERIES, Stages
from .values import Value

Function = Callable[..., Any]


@pytorch_funcify.register(RecurrentForward)
def _forward(op: RecurrentForward, **kwargs: Any) -> Function:
    run = forward(op.cell, op.kept, op.reverse)
    if sum(op.kept) + len(op.cell.states) > 1:
        return run
    # PyTensor takes what comes of a single output for the array itself.
    return torch.compiler.disable(lambda *inputs: run(*inputs)[0])


@pytorch_funcify.register(RecurrentBackward)
def _backward(op: RecurrentBackward, **kwargs: Any) -> Function:
    return backward(op.cell, op.given, op.final, op.reverse, op.limit)


# ---- what the source refers to -----------------------------------------------------


def _existing(z: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor | None:
    """Get which steps there are, (time, batch, 1); None if all are, as far as that is known."""
    times = z.shape[1]
    # To look at lengths on a GPU would be to wait for it.
    if lengths.device.type == "cpu" and not bool((lengths < times).any()):
        return None
    steps = torch.arange(times, device=z.device)
    return (steps[:, None] < lengths)[:, :, None]


def _counts(z: torch.Tensor, lengths: torch.Tensor, reverse: bool) -> torch.Tensor:
    """Get how many steps come before each, (time, batch, 1)."""
    steps = torch.arange(len(z), device=z.device)[:, None]
    found = lengths - 1 - steps if reverse else steps.expand(len(z), len(lengths))
    return found[:, :, None].to(z.dtype)


def _before(trajectory: Any, initial: Any, counts: Any, reverse: bool) -> torch.Tensor:
    """Get the state before each step, (time, batch, size)."""
    parts = [trajectory[1:], initial[None]] if reverse else [initial[None], trajectory[:-1]]
    return torch.where(counts == 0, initial, torch.cat(parts)[: len(trajectory)])


def _stacked(each: Sequence[torch.Tensor], reverse: bool, like: torch.Tensor, size: int) -> Any:
    if not each:
        return like.new_zeros((0, like.shape[1], size))
    return torch.stack(each[::-1] if reverse else each)


def _masked(x: torch.Tensor, exists: torch.Tensor | None) -> torch.Tensor:
    return x if exists is None else torch.where(exists, x, 0)


def _product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Get the sum over time and batch of outer products."""
    first, second = (x.reshape(-1, x.shape[2]) for x in (left, right))
    return first.t() @ second


SCOPE = {
    "torch": torch,
    "expit": torch.sigmoid,
    "F": lambda number: number,
    "existing": _existing,
    "counts_of": _counts,
    "before": _before,
    "stacked": _stacked,
    "masked": _masked,
    "product": _product,
}


def _function(source: str) -> Function:
    scope = dict(SCOPE)
    exec(compile(source, "<recurrent cell>", "exec"), scope)
    found: Function = torch.compiler.disable(scope["run"])
    return found


def _indent(lines: Sequence[str], depth: int) -> str:
    return "".join("    " * depth + line + "\n" for line in lines)


def _leaves(cell: Cell) -> dict[int, tuple[int, str]]:
    """Get the leaves that both directions have."""
    found: dict[int, tuple[int, str]] = {}
    for index, value in enumerate(cell.values):
        if value.op == "x":
            (i,) = value.args
            start = offsets(cell.blocks)
            found[index] = SERIES, f"z[:, :, {start[i]}:{start[i + 1]}]"
        elif value.op == "v":
            i, j = value.args
            start = offsets(cell.vectors[i])
            found[index] = FIXED, f"v{i}[{start[j]}:{start[j + 1]}]"
        elif value.op == "t":
            found[index] = SERIES, "counts"
    return found


def _arguments(cell: Cell) -> list[str]:
    names = [f"s{i}" for i in range(len(cell.states))]
    names += [f"v{i}" for i in range(len(cell.vectors))]
    return names + [f"W{k}" for k in range(len(cell.dots))]


def _packed(parts: Sequence[str], axis: int) -> str:
    return f"torch.cat([{', '.join(parts)}], {axis})" if len(parts) > 1 else parts[0]


def _listed(parts: Sequence[str]) -> str:
    return f"({', '.join(parts)},)"


def _source(
    arguments: Sequence[str],
    starting: Sequence[str],
    stages: Stages,
    updates: Sequence[str],
    results: Sequence[str],
) -> str:
    """Put the lines of a function together."""
    steps = "reversed(range(T))" if stages.reverse else "range(T)"
    start = ["B, T, _ = z.shape", "exists = existing(z, lengths)", *starting]
    start += [*stages.before, *stages.starting()]
    body = [*stages.loop, *stages.collecting(), *updates]
    return (
        f"def run({', '.join(arguments)}):\n"
        f"{_indent(start, 1)}"
        f"    for t in {steps}:\n{_indent(body, 2)}"
        f"{_indent([*stages.after, f'return {_listed(results)}'], 1)}"
    )


# ---- forward -----------------------------------------------------------------------


@lru_cache(maxsize=256)
def forward(cell: Cell, kept: tuple[bool, ...], reverse: bool) -> Function:
    """Get the function of `RecurrentForward`, which returns a tuple."""
    return _function(forward_source(cell, kept, reverse))


def forward_source(cell: Cell, kept: Sequence[bool], reverse: bool) -> str:
    """Get the source of a function that runs a recurrence forward."""
    leaves = _leaves(cell)
    for index, value in enumerate(cell.values):
        if value.op == "s":
            leaves[index] = LOOP, f"s{value.args[0]}"
    done: dict[int, list[str]] = {}

    def products(stages: Stages, value: Value) -> str:
        k, j = value.args
        if k not in done:
            dot = cell.dots[k]
            left = stages.full(dot.value, dot.dim)
            known = _folded(stages, k)
            if known is None:
                stages.loop.append(f"d{k} = {left} @ W{k}")
            else:
                stages.loop.append(f"d{k} = torch.addmm({stages.part(known)}, {left}, W{k})")
            done[k] = [f"d{k}"]
            if len(dot.dims) > 1:
                done[k] = [f"d{k}_{part}" for part in range(len(dot.dims))]
                sizes = ", ".join(f"n{dim}" for dim in dot.dims)
                stages.loop.append(f"{', '.join(done[k])} = d{k}.split(({sizes}), 1)")
        return done[k][j]

    shown = [v for i, v in enumerate(cell.outputs) if kept[cell.array(i)]]
    roots = [*cell.next, *(dot.value for dot in cell.dots), *shown]
    stages = Stages(cell, leaves, products, roots, reverse)
    updates = []
    for i, (index, dim) in enumerate(zip(cell.next, cell.states, strict=True)):
        updates.append(f"new{i} = {stages.full(index, dim)}")
    for i, _ in enumerate(cell.states):
        updates.append(
            f"s{i} = new{i} if exists is None else torch.where(each_exists[t], new{i}, s{i})"
        )
    made = []
    for array, yes in enumerate(kept):
        if yes:
            which = [i for i, _ in enumerate(cell.outputs) if cell.array(i) == array]
            parts = [stages.full_series(cell.outputs[i], cell.output_dim(i)) for i in which]
            made.append(f"masked({_packed(parts, 2)}, exists).transpose(0, 1)")
    results = [*made, *(f"s{i}" for i, _ in enumerate(cell.states))]
    counting = any(value.op == "t" for value in cell.values)
    starting = [
        *size_lines(cell),
        "z = z.transpose(0, 1)",
        *([f"counts = counts_of(z, lengths, {reverse})"] if counting else []),
        "each_exists = None if exists is None else exists.unbind(0)",
    ]
    arguments = ["z", "lengths", *_arguments(cell)]
    return _source(arguments, starting, stages, updates, results)


def _folded(stages: Stages, k: int) -> str | None:
    """Let a product have what is known of the sums that its parts are in, if each is in one.

    Returns
    -------
    str or None
        Source for what is known, (time, batch, width).
    """
    cell, found, tops = stages.cell, [], []
    for j, dim in enumerate(cell.dots[k].dims):
        value = Value("d", (k, j), dim)
        leaf = cell.values.index(value) if value in cell.values else None
        if leaf is None or stages.uses[leaf] != 1 or leaf not in stages.users:
            return None
        top = stages.users[leaf]
        if cell.values[top].op != "add":
            return None
        while stages.uses[top] == 1 and cell.values[stages.users[top]].op == "add":
            top = stages.users[top]
        known, _ = stages.parts(top, "add")
        if not known or top in tops or top in stages.folded or top in stages.now:
            return None
        tops.append(top)
        found.append(known)
    stages.folded.update(tops)
    texts = [
        f"{stages.together(known, 'add')}.expand((T, B, n{dim}))"
        for known, dim in zip(found, cell.dots[k].dims, strict=True)
    ]
    return _packed(texts, 2)


# ---- backward ----------------------------------------------------------------------


@lru_cache(maxsize=256)
def backward(
    cell: Cell, given: tuple[bool, ...], final: tuple[bool, ...], reverse: bool, limit: int
) -> Function:
    """Get the function of `RecurrentBackward`, which returns a tuple."""
    return _function(backward_source(with_cotangents(cell, given), given, final, reverse, limit))


def backward_source(
    cell: Cell, given: Sequence[bool], final: Sequence[bool], reverse: bool, limit: int
) -> str:
    """Get the source of a function that runs the derivative of a recurrence.

    Parameters
    ----------
    cell : Cell
        With these cotangents; see `with_cotangents`.
    given, final : list of bool
        Which arrays of outputs, and which final states, have a cotangent.
    reverse : bool
        Whether the recurrence ran from the last step to the first.
    limit : int
        Steps that gradients go back at most; 0 for no limit.
    """
    used = backward_inputs(cell, given)
    states, dots = range(len(cell.states)), range(len(cell.dots))
    leaves = _leaves(cell)
    for index, value in enumerate(cell.values):
        if value.op == "s":
            (i,) = value.args
            out = cell.trajectory(i)
            text = f"before(o{out}, s{i}, counts, {reverse})"
            leaves[index] = SERIES, text if out in used else f"s{i}.expand((T, B, -1))"
        elif value.op == "go":
            leaves[index] = SERIES, f"g{cell.outputs.index(value.args[0])}"
    for i, index in enumerate(cell.outputs):
        if cell.array(i) in used and cell.values[index].op != "const":
            start = cell.column(i) or 0
            part = f"[:, :, {start}:{start + 1}]" if cell.values[index].dim is None else ""
            leaves[index] = SERIES, f"o{cell.array(i)}{part}"
    done: set[Any] = set()

    def gradient(k: int) -> str:
        """Write the gradient with respect to the result of a dot."""
        if k not in done:
            done.add(k)
            pairs = zip(cell.d_dots[k], cell.dots[k].dims, strict=True)
            stages.loop.append(f"dd{k} = {_packed([stages.full(v, d) for v, d in pairs], 1)}")
        return f"dd{k}"

    def products(stages: Stages, value: Value) -> str:
        i = value.args[0]
        if value.op == "gs":
            out = cell.trajectory(i)
            if not given[out]:
                return f"G{i}"
            stages.loop.append(f"gs{i} = G{i} + {stages.part(f'g{out}')}")
            return f"gs{i}"
        stages.loop.append(f"ge{i} = {gradient(i)} @ T{i}")
        return f"ge{i}"

    parts = [v for part in cell.d_dots for v in part]
    stages = Stages(cell, leaves, products, [*cell.d_states, *parts], not reverse)
    updates = []
    for i, (index, dim) in enumerate(zip(cell.d_states, cell.states, strict=True)):
        total = "" if is_zero(cell, index) else stages.full(index, dim)
        for k in dots:
            if cell.bare(k) == i:
                back = f"{gradient(k)}, T{k}"
                total = f"torch.addmm({total}, {back})" if total else f"torch.mm({back})"
        updates.append(f"new{i} = {total or f'z.new_zeros((B, n{dim}))'}")
        if limit:
            updates.append(f"new{i} = torch.where(each_cut[t], 0, new{i})")
    for i in states:
        updates.append(
            f"G{i} = new{i} if exists is None else torch.where(each_exists[t], new{i}, G{i})"
        )
    for k in dots:
        starts = offsets(cell.dots[k].dims)
        collected = stages.collected(gradient(k), starts[-1])
        stages.after.append(f"R{k} = masked({collected}, exists)")
        for j, index in enumerate(cell.d_dots[k]):
            if stages.level(index) == LOOP:
                stages.all.setdefault(index, f"R{k}[:, :, {starts[j]}:{starts[j + 1]}]")

    def only(indices: Sequence[int], dims: Sequence[int]) -> str:
        """Get source for values packed in one array, of the steps that there are."""
        for k in dots:
            if (*indices,) == cell.d_dots[k] and (*dims,) == cell.dots[k].dims:
                return f"R{k}"
        parts = [stages.full_series(v, d) for v, d in zip(indices, dims, strict=True)]
        return f"masked({_packed(parts, 2)}, exists)"

    results = [f"{only(cell.d_blocks, cell.blocks)}.transpose(0, 1)", *(f"G{i}" for i in states)]
    for i, yes in enumerate(cell.trained):
        if yes:
            results.append(f"{only(cell.d_vectors[i], cell.vectors[i])}.sum((0, 1))")
    for k, dot in enumerate(cell.dots):
        results.append(f"product({only([dot.value], [dot.dim])}, R{k})")
    starting = [
        *size_lines(cell),
        "z = z.transpose(0, 1)",
        *(f"o{i} = o{i}.transpose(0, 1)" for i in used),
        *(f"g{i} = g{i}.transpose(0, 1)" for i, yes in enumerate(given) if yes),
        f"counts = counts_of(z, lengths, {reverse})",
        "each_exists = None if exists is None else exists.unbind(0)",
        *(f"T{k} = W{k}.t()" for k in dots),
        *(
            f"G{i} = f{i}" if final[i] else f"G{i} = z.new_zeros((B, n{dim}))"
            for i, dim in enumerate(cell.states)
        ),
    ]
    if limit:
        starting.append(f"each_cut = ((counts > 0) & (counts % {limit} == 0)).unbind(0)")
    arguments = ["z", "lengths", *_arguments(cell), *(f"o{i}" for i in used)]
    arguments += [f"g{i}" for i, yes in enumerate(given) if yes]
    arguments += [f"f{i}" for i, yes in enumerate(final) if yes]
    return _source(arguments, starting, stages, updates, results)
