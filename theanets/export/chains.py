"""Linear chains of labels, as scans; the formulas are those of `theanets.ops.sequences`.

Scores may be -inf, and steps outside of the mask do not exist, so that their
neighbours follow one another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Apply

from ..ops.sequences.chain import ForwardBackward, Viterbi
from .writer import UnsupportedError, Writer, translate


@translate.register
def _(op: ForwardBackward, node: Apply, write: Writer) -> Sequence[str | None]:
    logz, labels, pairs = (output in write.used for output in node.outputs)
    if pairs:
        raise UnsupportedError("the expected numbers of transitions are not for the export")
    found = write.run(list(sums(*node.inputs)))
    return [found[0] if logz else None, found[1] if labels else None, None]


@translate.register
def _(op: Viterbi, node: Apply, write: Writer) -> Sequence[str]:
    return write.run([best(*node.inputs)])


def _parts(unary: Any, transition: Any, mask: Any) -> tuple[Any, ...]:
    """Get scores by step, of transitions, of the first and the last label, and which steps exist.

    The last two say which steps exist, and behind which some do, (time, batch, 1).
    """
    unary, transition = unary.astype("float64"), transition.astype("float64")
    k = unary.shape[2] if unary.type.shape[2] is None else unary.type.shape[2]
    seen = mask.dimshuffle(1, 0, "x")
    count = pt.cumsum(seen.astype("int64"), axis=0)
    started = pt.gt(count, seen.astype("int64"))
    inner, start, end = transition[:k, :k], transition[k, :k], transition[:k, k]
    return unary.dimshuffle(1, 0, 2), inner, start, end, seen, started


def _scan(step: Any, series: Any, state: Any, kept: int, *others: Any) -> list[Any]:
    """Run a step that returns a state and so many other things."""
    info = [state, *(None for _ in range(kept))]
    how = {"return_list": True, "return_updates": False, "strict": True}
    return list(pytensor.scan(step, series, info, others, **how))


def _logsumexp(x: Any, axis: int) -> Any:
    top = x.max(axis=axis, keepdims=True)
    top = pt.switch(pt.isinf(top), np.float64(0), top)
    return pt.log(pt.exp(x - top).sum(axis=axis)) + pt.squeeze(top, axis)


def sums(unary: Any, transition: Any, mask: Any) -> tuple[Any, Any]:
    """Get ``logz`` and ``node``; see `theanets.ops.sequences.chain_sums`."""
    scores, inner, start, end, seen, started = _parts(unary, transition, mask)

    def forward(u: Any, at: Any, old: Any, alpha: Any, inner: Any, start: Any) -> list[Any]:
        after = pt.switch(old, _logsumexp(alpha[:, :, None] + inner, 1), start) + u
        return [pt.switch(at, after, alpha)]

    zeros = pt.zeros(unary.shape[::2], "float64")
    (alphas,) = _scan(forward, [scores, seen, started], zeros, 0, inner, start)
    final = pt.concatenate([zeros[None], alphas])[-1]
    logz = pt.switch(mask.any(axis=1), _logsumexp(final + end, 1), np.float64(0))
    scale = pt.switch(pt.isinf(logz), np.float64(0), logz)[:, None]

    def backward(u: Any, at: Any, alpha: Any, beta: Any, inner: Any, scale: Any) -> list[Any]:
        node = pt.switch(at, pt.exp(alpha + beta - scale), np.float64(0))
        before = _logsumexp(inner + (u + beta)[:, None, :], 2)
        return [pt.switch(at, before, beta), node]

    series = [scores[::-1], seen[::-1], alphas[::-1]]
    _, nodes = _scan(backward, series, zeros + end, 1, inner, scale)
    node = nodes[::-1].dimshuffle(1, 0, 2)
    return logz.astype(unary.dtype), node.astype(unary.dtype)


def best(unary: Any, transition: Any, mask: Any) -> Any:
    """Get the best labels; see `theanets.ops.sequences.chain_best`."""
    scores, inner, start, end, seen, started = _parts(unary, transition, mask)

    def forward(u: Any, at: Any, old: Any, state: Any, inner: Any, start: Any) -> list[Any]:
        both = state[:, :, None] + inner
        after = pt.switch(old, both.max(axis=1), start) + u
        return [pt.switch(at, after, state), both.argmax(axis=1)]

    zeros = pt.zeros(unary.shape[::2], "float64")
    states, back = _scan(forward, [scores, seen, started], zeros, 1, inner, start)
    final = pt.concatenate([zeros[None], states])[-1]
    rows = pt.arange(unary.shape[0])

    def backward(before: Any, at: Any, old: Any, label: Any, rows: Any) -> list[Any]:
        chosen = pt.switch(at[:, 0], label, 0)
        moved = pt.switch(at[:, 0] & old[:, 0], before[rows, label], label)
        return [moved, chosen]

    series = [back[::-1], seen[::-1], started[::-1]]
    _, path = _scan(backward, series, (final + end).argmax(axis=1), 1, rows)
    return path[::-1].T.astype("int32")
