"""Cells for Numba: fused loops over units, printed from the plan of a step."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

import numpy as np
from pytensor.link.numba.dispatch.basic import numba_njit

from ...memory import keep_freed_memory
from ..base import source_key
from . import exponentials
from .by_numpy import backward_inputs, offsets, size_lines, width
from .cell import Cell, with_cotangents
from .loops import BackwardPrinter, ForwardPrinter
from .plan import backward_plan, forward_plan

#: Rows that are multiplied at once for the gradient of a matrix. One product for each step
#: would go through the matrix as often; all steps in one would have to be kept.
CHUNK_ROWS = 512

_CHECK = """\
    if L0.shape[0] != B:
        raise ValueError("recurrent layer: lengths do not fit the batch")
    for b in range(B):
        if L0[b] < 0 or L0[b] > T:
            raise ValueError("recurrent layer: lengths are not between 0 and the steps")"""


def _names(kind: str, many: int) -> list[str]:
    return [f"{kind}{i}" for i in range(many)]


def _prologue(cell: Cell) -> list[str]:
    states, vectors, weights = (
        _names("s", len(cell.states)),
        _names("v", len(cell.vectors)),
        _names("W", len(cell.dots)),
    )
    widths = {
        "z.shape[2]": offsets(cell.blocks)[-1],
        **{f"s{i}.shape[1]": f"n{dim}" for i, dim in enumerate(cell.states)},
        **{f"s{i}.shape[0]": "B" for i in range(len(states))},
        **{f"v{i}.shape[0]": offsets(dims)[-1] for i, dims in enumerate(cell.vectors)},
        **{f"W{k}.shape[0]": f"n{dot.dim}" for k, dot in enumerate(cell.dots)},
        **{f"W{k}.shape[1]": offsets(dot.dims)[-1] for k, dot in enumerate(cell.dots)},
    }
    wrong = " or ".join(f"{shape} != {text}" for shape, text in widths.items())
    return [
        *(f"    {a} = np.ascontiguousarray({a})" for a in ["z", *states, *vectors, *weights]),
        "    B, T, _ = z.shape",
        *(f"    {line}" for line in size_lines(cell)),
        f"    if {wrong}:",
        '        raise ValueError("recurrent layer: shapes of states or parameters do not fit")',
        _CHECK,
        "    L = L0.astype(U)",
        *(f"    m{i} = U(n{i})" for i in range(cell.num_sizes)),
    ]


def _sized(call: str, cell: Cell) -> str:
    """Give a call the sizes as unsigned numbers, whose sums index without a test of sign."""
    # In the outer function they are shapes, which are signed.
    for i in range(cell.num_sizes):
        call = call.replace(f", n{i},", f", m{i},").replace(f", n{i})", f", m{i})")
    return call


@lru_cache(maxsize=256)
def forward_source(cell: Cell, kept: tuple[bool, ...], reverse: bool) -> str:
    """Get the source of the function ``run`` for one cell."""
    plan = forward_plan(cell, kept)
    printer = ForwardPrinter(cell, plan)
    body = []
    for w, wave in enumerate(plan.waves):
        for loop in wave.loops:
            body.append(_sized(printer.loop(f"loop_{w}_{loop.dim + 1}", loop), cell))
        if wave.dot is not None:
            bare = cell.bare(wave.dot)
            left = f"e{wave.dot}" if bare is None else f"s{bare}"
            body.append(f"np.dot({left}, W{wave.dot}, d{wave.dot})")
    arguments = ["z", "L0", *_names("s", len(cell.states)), *_names("v", len(cell.vectors))]
    arguments += _names("W", len(cell.dots))
    made = [i for i, yes in enumerate(kept) if yes]
    lines = [
        f"def run({', '.join(arguments)}):",
        *_prologue(cell),
        *(f"    s{i} = s{i}.copy()" for i in range(len(cell.states))),
        *(f"    d{k} = np.zeros((B, {offsets(d.dims)[-1]}), F)" for k, d in enumerate(cell.dots)),
        *(
            f"    e{k} = np.zeros((B, n{dot.dim}), F)"
            for k, dot in enumerate(cell.dots)
            if cell.bare(k) is None
        ),
        *(f"    {line}" for line in printer.temporaries()),
        *(f"    o{i} = np.empty((B, T, {width(cell, i)}), F)" for i in made),
        f"    reverse, r = {reverse}, U(0)",
        "    for i in range(T if B else 0):",
        "        t = U(T - 1 - i if reverse else i)",
        *(f"        {line}" for line in body),
        "    return " + ", ".join([f"o{i}" for i in made] + _names("s", len(cell.states))),
    ]
    return "\n\n".join([*printer.functions, "\n".join(lines)])


@lru_cache(maxsize=256)
def backward_source(
    whole: Cell,
    given: tuple[bool, ...],
    final: tuple[bool, ...],
    reverse: bool,
    limit: int,
    inplace: bool,
) -> str:
    """Get the source of the function ``run`` for the derivative of one cell."""
    cell = with_cotangents(whole, given)
    plan = backward_plan(cell)
    printer = BackwardPrinter(cell, plan, given)
    used = backward_inputs(cell, given)
    dots, states = range(len(cell.dots)), range(len(cell.states))
    bare = {s for s in printer.bare if s is not None}
    read = {cell.values[i].args[0] for i in plan.loads() if cell.values[i].op == "s"}
    start = printer.start(sorted(bare | read))
    body = [_sized(f"start({start})", cell)]
    for w, wave in enumerate(plan.waves):
        for loop in wave.loops:
            body.append(_sized(printer.loop(f"loop_{w}_{loop.dim + 1}", loop), cell))
        if wave.dot is not None:
            body.append(f"np.dot(dd{wave.dot}[r], WT{wave.dot}, ge{wave.dot})")
    finals = [i for i, yes in enumerate(final) if yes]
    arguments = ["z", "L0", *_names("s", len(cell.states)), *_names("v", len(cell.vectors))]
    arguments += _names("W", len(cell.dots))
    arrays = [*(f"o{i}" for i in used), *(f"g{i}" for i, yes in enumerate(given) if yes)]
    arrays += [f"f{i}" for i in finals]
    trained = [i for i, yes in enumerate(cell.trained) if yes]
    add = [
        line
        for k in dots
        for line in (
            f"np.dot(e{k}.reshape(C * B, -1)[:rows].T, dd{k}.reshape(C * B, -1)[:rows], sum{k})",
            f"dW{k} += sum{k}",
        )
    ]
    lines = [
        f"def run({', '.join([*arguments, *arrays])}):",
        *_prologue(cell),
        *(f"    {a} = np.ascontiguousarray({a})" for a in arrays),
        "    dz = z" if inplace else "    dz = np.empty_like(z)",
        *(f"    f{i} = np.zeros((B, n{cell.states[i]}), F)" for i in states if i not in finals),
        *(f"    ds{i} = np.zeros((B, n{cell.states[i]}), F)" for i in states),
        *(f"    part{i} = np.zeros((B, n{cell.states[i]}), F)" for i in states),
        *(f"    p{i} = np.zeros((B, n{cell.states[i]}), F)" for i in sorted(read - bare)),
        *(f"    dv{i} = np.zeros_like(v{i})" for i in trained),
        *(f"    {line}" for line in printer.temporaries()),
        f"    C = T if T * B <= {CHUNK_ROWS} else -(-T // -(-T * B // {CHUNK_ROWS}))",
    ]
    for k in dots:
        lines += [
            f"    WT{k} = np.ascontiguousarray(W{k}.T)",
            f"    dW{k} = np.zeros_like(W{k})",
            f"    sum{k} = np.empty_like(W{k})",
            f"    ge{k} = np.zeros((B, n{cell.dots[k].dim}), F)",
            f"    dd{k} = np.empty((C, B, {offsets(cell.dots[k].dims)[-1]}), F)",
            f"    e{k} = np.empty((C, B, n{cell.dots[k].dim}), F)",
        ]
    lines += [
        f"    reverse, limit, r = {reverse}, U({limit}), U(0)",
        "    for i in range(T if B else 0):",
        "        t = U(i if reverse else T - 1 - i)",
        *(f"        {line}" for line in body),
        "        r += U(1)",
        "        if r == U(C) or i == T - 1:",
        "            rows = np.int64(r) * B",
        *(f"            {line}" for line in add),
        "            r = U(0)",
        "    t = U(0)",
        f"    {_sized(f'finish(U(T), {start})', cell)}",
        "    return "
        + ", ".join(
            ["dz", *(f"ds{i}" for i in states), *(f"dv{i}" for i in trained)]
            + [f"dW{k}" for k in dots]
        ),
    ]
    return "\n\n".join([*printer.functions, "\n".join(lines)])


def _compiled(source: str, dtype: str) -> tuple[Any, str | None]:
    # The key is that of the text, so equal cells of any layer share what was compiled, in this
    # process and on the disk.
    keep_freed_memory()
    scope = {
        "np": np,
        "F": np.dtype(dtype).type,
        "U": np.uint64,
        "loop": exponentials.loop,
        **vars(exponentials.FUNCTIONS[dtype]),
    }
    exec(compile(source, "<recurrent cell>", "exec"), scope)
    key = source_key(exponentials.__name__, "loop")
    if key is not None:
        key = hashlib.sha256(f"{key} {dtype} {source}".encode()).hexdigest()
    return numba_njit(scope["run"], fastmath=False), key


def forward_kernel(
    cell: Cell, dtype: str, kept: tuple[bool, ...], reverse: bool
) -> tuple[Any, str | None]:
    """Get the function that runs a recurrence, and its key for the cache on the disk."""
    return _compiled(forward_source(cell, kept, reverse), dtype)


def backward_kernel(
    cell: Cell,
    dtype: str,
    given: tuple[bool, ...],
    final: tuple[bool, ...],
    reverse: bool,
    limit: int,
    inplace: bool,
) -> tuple[Any, str | None]:
    """Get the function that runs the derivative of a recurrence, and its key."""
    return _compiled(backward_source(cell, given, final, reverse, limit, inplace), dtype)
