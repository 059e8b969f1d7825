"""Cells for Numba: fused loops over units, printed from the plan of a step."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from pytensor.link.numba.dispatch.basic import numba_njit

from . import recurrent_math
from .base import source_key
from .memory import keep_freed_memory
from .recurrent_cell import Cell, with_cotangents
from .recurrent_numpy import backward_inputs, offsets, size_lines
from .recurrent_plan import Loop, backward_plan, forward_plan, is_zero

#: Rows that are multiplied at once for the gradient of a matrix.
CHUNK_ROWS = 512

FORMS = {
    "add": "({} + {})",
    "sub": "({} - {})",
    "mul": "({} * {})",
    "div": "({} / {})",
    "neg": "(-{})",
    "reciprocal": "(F(1) / {})",
    "tanh": "tanh({})",
    "sigmoid": "sigmoid({})",
    "softplus": "softplus({})",
    "exp": "exp({})",
    "expm1": "np.expm1({})",
    "log": "np.log({})",
    "log1p": "np.log1p({})",
    "sqrt": "np.sqrt({})",
    "pow": "({} ** {})",
    "abs": "abs({})",
    "sign": "np.sign({})",
    "sin": "np.sin({})",
    "cos": "np.cos({})",
    "floor": "np.floor({})",
    "mod": "({0} - np.floor({0} / {1}) * {1})",
    "maximum": "({1} if {0} < {1} or {1} != {1} else {0})",
    "minimum": "({1} if {0} > {1} or {1} != {1} else {0})",
    "switch": "({1} if {0} else {2})",
    "gt": "({} > {})",
    "ge": "({} >= {})",
    "lt": "({} < {})",
    "le": "({} <= {})",
    "eq": "({} == {})",
    "neq": "({} != {})",
    "and": "({} and {})",
    "or": "({} or {})",
    "not": "(not {})",
}


def _at(name: str, index: str, dims: Sequence[int], part: int) -> str:
    """Get the source of an entry of a packed array, whose unit is ``j``."""
    start = offsets(dims)[part]
    unit = "j" if start == "0" else f"{start} + j"
    return f"{name}[{index}{unit}]"


class _Printer:
    """Prints the loops of a plan as functions."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.functions: list[str] = []

    def leaf(self, index: int) -> str:
        raise NotImplementedError

    def target(self, kind: str, index: tuple[int, ...]) -> str:
        raise NotImplementedError

    def zeroed(self, kind: str) -> bool:
        """Tell whether steps that do not exist have zeros there."""
        raise NotImplementedError

    def common(self, index: int) -> str | None:
        value = self.cell.values[index]
        if value.op == "x":
            return _at("z", "b, t, ", self.cell.blocks, value.args[0])
        if value.op == "v":
            i, part = value.args
            return _at(f"v{i}", "", self.cell.vectors[i], part)
        return "count" if value.op == "t" else None

    def ref(self, index: int) -> str:
        value = self.cell.values[index]
        return f"F({value.args[0]!r})" if value.op == "const" else f"q{index}"

    def body(self, loop: Loop) -> list[str]:
        lines = []
        for index in loop.loads:
            if self.cell.values[index].op != "const":
                lines.append(f"q{index} = {self.leaf(index)}")
        for index in loop.temporaries:
            lines.append(f"q{index} = w{index}[b, j]")
        for index in loop.order:
            value = self.cell.values[index]
            lines.append(f"q{index} = {FORMS[value.op].format(*map(self.ref, value.args))}")
        for store in loop.stores:
            sign = "+=" if store.kind == "dv" else "="
            lines.append(f"{self.target(store.kind, store.index)} {sign} {self.ref(store.value)}")
        return lines

    def loop(self, name: str, loop: Loop) -> str:
        """Add the function of a loop, and get the source of its call."""
        lines = self.body(loop)
        zeros = [
            f"{self.target(store.kind, store.index)} = F(0)"
            for store in loop.stores
            if self.zeroed(store.kind)
        ]
        text = "\n".join(lines + zeros)
        arrays = self.used(text)
        sizes = [f"n{i}" for i in range(self.cell.num_sizes)]
        arguments = ", ".join(["t", "r", "reverse", "L", *sizes, *arrays])
        source = [
            "@loop",
            f"def {name}({arguments}):",
            "    for b in range(U(L.shape[0])):",
            "        if t < L[b]:",
        ]
        if "count" in text:
            source.append("            count = F(L[b] - U(1) - t if reverse else t)")
        source.append(f"            for j in range(n{loop.dim}):")
        source += [f"                {line}" for line in lines]
        if zeros:
            source += ["        else:", f"            for j in range(n{loop.dim}):"]
            source += [f"                {line}" for line in zeros]
        self.functions.append("\n".join(source))
        return f"{name}({arguments})"

    def used(self, text: str) -> list[str]:
        """Get the names of the arrays that source uses."""
        found = set(re.findall(r"(\w+)\[", text))
        return [name for name in self.arrays() if name in found]

    def arrays(self) -> list[str]:
        """Get the names of all arrays that loops may use."""
        cell = self.cell
        names = ["z", "dz"]
        for kind, many in (
            ("v", len(cell.vectors)),
            ("dv", len(cell.vectors)),
            ("s", len(cell.states)),
            ("p", len(cell.states)),
            ("part", len(cell.states)),
            ("d", len(cell.dots)),
            ("e", len(cell.dots)),
            ("dd", len(cell.dots)),
            ("ge", len(cell.dots)),
            ("o", len(cell.outputs)),
            ("g", len(cell.outputs)),
            ("w", len(cell.values)),
        ):
            names += [f"{kind}{i}" for i in range(many)]
        return names


class _Forward(_Printer):
    def leaf(self, index: int) -> str:
        common = self.common(index)
        if common is not None:
            return common
        value = self.cell.values[index]
        if value.op == "s":
            return f"s{value.args[0]}[b, j]"
        k, part = value.args
        return _at(f"d{k}", "b, ", self.cell.dots[k].dims, part)

    def target(self, kind: str, index: tuple[int, ...]) -> str:
        i = index[0]
        return f"{kind}{i}[b, t, j]" if kind == "o" else f"{kind}{i}[b, j]"

    def zeroed(self, kind: str) -> bool:
        return kind == "o"


class _Backward(_Printer):
    def __init__(self, cell: Cell, given: Sequence[bool]) -> None:
        super().__init__(cell)
        self.given = given
        self.bare = [cell.bare(k) for k in range(len(cell.dots))]

    def carry(self, state: int) -> list[str]:
        """Get the names of the arrays whose sum is the cotangent of an old state."""
        part = [] if is_zero(self.cell, self.cell.d_states[state]) else [f"part{state}"]
        return part + [f"ge{k}" for k, bare in enumerate(self.bare) if bare == state]

    def leaf(self, index: int) -> str:
        cell = self.cell
        common = self.common(index)
        if index in cell.outputs:
            return f"o{cell.outputs.index(index)}[b, t, j]"
        if common is not None:
            return common
        value = cell.values[index]
        i = value.args[0]
        if value.op == "s":
            return f"e{self.bare.index(i)}[r, b, j]" if i in self.bare else f"p{i}[b, j]"
        if value.op == "gs":
            terms = [f"{name}[b, j]" for name in self.carry(i)]
            out = cell.trajectory(i)
            if self.given[out]:
                terms.append(f"g{out}[b, t, j]")
            return " + ".join(terms) or "F(0)"
        if value.op == "go":
            return f"g{cell.outputs.index(i)}[b, t, j]"
        return f"ge{i}[b, j]"

    def target(self, kind: str, index: tuple[int, ...]) -> str:
        cell, i = self.cell, index[0]
        if kind == "dd":
            return _at(f"dd{i}", "r, b, ", cell.dots[i].dims, index[1])
        if kind == "dz":
            return _at("dz", "b, t, ", cell.blocks, i)
        if kind == "dv":
            return _at(f"dv{i}", "", cell.vectors[i], index[1])
        return f"e{i}[r, b, j]" if kind == "e" else f"{kind}{i}[b, j]"

    def zeroed(self, kind: str) -> bool:
        return kind in ("dd", "dz", "e")

    def start(self, states: Sequence[int]) -> str:
        """Add the function that comes before the loops of a step, and get its call."""
        cell = self.cell
        old, clear, first, copy, zero, done = [], [], [], [], [], []
        for i, dim in enumerate(cell.states):
            names = self.carry(i)
            for name in names:
                clear.append(f"for j in range(n{dim}): {name}[b, j] = F(0)")
            if names:
                first.append(f"for j in range(n{dim}): {names[0]}[b, j] = f{i}[b, j]")
                total = " + ".join(f"{name}[b, j]" for name in names)
                done.append(f"for j in range(n{dim}): ds{i}[b, j] = {total}")
        for i in states:
            dim, out = cell.states[i], cell.trajectory(i)
            targets = [f"e{k}[r, b, j]" for k, bare in enumerate(self.bare) if bare == i]
            targets = targets or [f"p{i}[b, j]"]
            for target in targets:
                copy.append(f"for j in range(n{dim}): {target} = o{out}[b, before, j]")
                old.append(f"for j in range(n{dim}): {target} = s{i}[b, j]")
                if target.startswith("e"):
                    zero.append(f"for j in range(n{dim}): {target} = F(0)")
        text = "\n".join(old + clear + first + copy + done)
        arrays = self.used(text)
        arrays += [f"{a}{i}" for i, _ in enumerate(cell.states) for a in ("f", "ds")]
        sizes = [f"n{i}" for i in range(cell.num_sizes)]
        arguments = ", ".join(["t", "r", "reverse", "limit", "L", *sizes, *arrays])

        def put(depth: int, lines: Sequence[str]) -> list[str]:
            return ["    " * depth + line for line in (lines or ["pass"])]

        source = [
            "@loop",
            f"def start({arguments}):",
            *put(1, ["for b in range(U(L.shape[0])):"]),
            *put(2, ["if t < L[b]:", "    steps = L[b] - U(1) - t if reverse else t"]),
            *put(3, ["if steps + U(1) == L[b]:"]),
            *put(4, clear + first),
            *put(3, ["elif limit > U(0) and (steps + U(1)) % limit == U(0):"]),
            *put(4, clear),
            *put(3, ["before = t + U(1) if reverse else t - U(1)", "if steps > U(0):"]),
            *put(4, copy),
            *put(3, ["else:"]),
            *put(4, old),
            *put(2, ["else:"]),
            *put(3, zero),
            *put(3, ["if reverse and t == L[b] and t > U(0):"]),
            *put(4, done),
        ]
        self.functions.append("\n".join(source))
        end = [
            "@loop",
            f"def finish(T, {arguments}):",
            *put(1, ["for b in range(U(L.shape[0])):", "    if L[b] == U(0):"]),
            *put(
                3,
                [
                    f"for j in range(n{d}): ds{i}[b, j] = f{i}[b, j]"
                    for i, d in enumerate(cell.states)
                ],
            ),
            *put(2, ["elif not reverse or L[b] == T:"]),
            *put(3, done),
        ]
        self.functions.append("\n".join(end))
        return arguments


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
    for i in range(cell.num_sizes):
        call = call.replace(f", n{i},", f", m{i},").replace(f", n{i})", f", m{i})")
    return call


@lru_cache(maxsize=256)
def forward_source(cell: Cell, kept: tuple[bool, ...], reverse: bool) -> str:
    """Get the source of the function ``run`` for one cell."""
    plan, printer = forward_plan(cell, kept), _Forward(cell)
    body = []
    for w, wave in enumerate(plan.waves):
        for loop in wave.loops:
            body.append(_sized(printer.loop(f"loop_{w}_{loop.dim}", loop), cell))
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
        *(f"    w{i} = np.zeros((B, n{dim}), F)" for i, dim in plan.temporaries),
        *(f"    o{i} = np.empty((B, T, n{cell.output_dim(i)}), F)" for i in made),
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
    plan, printer = backward_plan(cell), _Backward(cell, given)
    used = backward_inputs(cell, given)
    dots, states = range(len(cell.dots)), range(len(cell.states))
    bare = {s for s in printer.bare if s is not None}
    read = {cell.values[i].args[0] for i in plan.loads() if cell.values[i].op == "s"}
    start = printer.start(sorted(bare | read))
    body = [_sized(f"start({start})", cell)]
    for w, wave in enumerate(plan.waves):
        for loop in wave.loops:
            body.append(_sized(printer.loop(f"loop_{w}_{loop.dim}", loop), cell))
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
        *(f"    w{i} = np.zeros((B, n{dim}), F)" for i, dim in plan.temporaries),
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
    keep_freed_memory()
    scope = {
        "np": np,
        "F": np.dtype(dtype).type,
        "U": np.uint64,
        "loop": recurrent_math.loop,
        **vars(recurrent_math.FUNCTIONS[dtype]),
    }
    exec(compile(source, "<recurrent cell>", "exec"), scope)
    key = source_key(recurrent_math.__name__, "loop")
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
