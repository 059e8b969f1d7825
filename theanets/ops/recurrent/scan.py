"""Recurrences whose steps are not done entry by entry: PyTensor's scan, slower but general."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytensor
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad

from .operation import Recurrence
from .trace import Layout, StepFunction, named


def split(packed: Any, widths: Sequence[int]) -> list[Any]:
    """Cut the last axis into parts of known widths."""
    parts, start = [], 0
    for width in widths:
        parts.append(packed[..., start : start + width])
        start += width
    return parts


def one_step(
    layout: Layout,
    step: StepFunction,
    sizes: Mapping[str, int],
    z: Any,
    states: Sequence[Any],
    vectors: Sequence[Any],
    weights: Sequence[Any],
    count: Any,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Apply a step function to matrices.

    Parameters
    ----------
    layout : Layout
    step : callable
    sizes : dict of str to int
        The layout's sizes.
    z : expression of shape (batch, width)
    states, vectors, weights : list of expressions
    count : expression of shape (batch, 1)
        How many steps came before.

    Returns
    -------
    (states, outputs) : dicts of expressions by name
    """
    blocks = split(z, [sizes[s] for s in layout.blocks.values()])
    parts: dict[str, Any] = {}
    for name, vector in zip(layout.vectors, vectors, strict=True):
        packed = not isinstance(layout.vectors[name], str)
        cut = split(vector, [sizes[s] for s in layout.vector_sizes(name)])
        parts[name] = cut if packed else vector
    matrices = dict(zip(layout.dots, weights, strict=True))

    def dot(name: str, expression: Any) -> list[Any]:
        widths = [sizes[s] for s in layout.dots[name][1]]
        return split(pt.dot(expression, matrices[name]), widths)

    return step(
        named(dict(zip(layout.blocks, blocks, strict=True))),
        named(dict(zip(layout.states, states, strict=True))),
        named(parts),
        dot,
        count,
    )


def scan(
    layout: Layout,
    step: StepFunction,
    sizes: Mapping[str, int],
    z: Any,
    lengths: Any,
    states: Sequence[Any],
    vectors: Sequence[Any],
    weights: Sequence[Any],
    *,
    reverse: bool = False,
    limit: int = 0,
) -> Recurrence:
    """Do what `theanets.ops.recurrent.recur` does, for any step function."""
    time = z.shape[1]
    steps = pt.arange(time)
    series = z.dimshuffle(1, 0, 2)
    if reverse:
        steps, series = steps[::-1], series[::-1]
    names: list[str] = []
    lengths = lengths.astype("int64")

    def body(t: Any, row: Any, *old: Any) -> list[Any]:
        mask = (t < lengths)[:, None]
        count = (lengths - 1 - t if reverse else t + pt.zeros_like(lengths))[:, None]
        count = count.astype(z.dtype)
        if limit:
            cut = mask & (count > 0) & pt.eq(count % limit, 0)
            old = tuple(pt.switch(cut, disconnected_grad(s), s) for s in old)
        new, outputs = one_step(layout, step, sizes, row, old, vectors, weights, count)
        names[:] = list(outputs)
        kept = [pt.switch(mask, new[name], s) for name, s in zip(layout.states, old, strict=True)]
        return kept + [pt.switch(mask, value, 0).astype(z.dtype) for value in outputs.values()]

    widths = [sizes[name] for name in layout.states.values()]
    known = [pt.specify_shape(s, (None, n)) for s, n in zip(states, widths, strict=True)]
    # The number of outputs is known once the step ran.
    body(steps[0], series[0], *known)
    found = pytensor.scan(
        body,
        sequences=[steps, series],
        outputs_info=[*known, *(None for _ in names)],
        return_list=True,
        return_updates=False,
        strict=False,
    )
    many = len(states)
    final = [
        pt.concatenate([s[None], trajectory])[-1]
        for s, trajectory in zip(known, found[:many], strict=True)
    ]
    outputs = {}
    for name, value in zip(names, found[many:], strict=True):
        ordered = value[::-1] if reverse else value
        outputs[name] = ordered.dimshuffle(1, 0, 2)
    return Recurrence(outputs, final)
