"""The recursions of `ctc` for Numba: loops, example by example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from pytensor.link.numba.dispatch.basic import numba_njit

from ..base import Array


def _njit(function: Callable[..., Any]) -> Any:
    # Rounding of exp and log must not depend on PyTensor's configuration.
    return numba_njit(function, fastmath=False)


@_njit
def _add(x: float, y: float) -> float:
    top = max(x, y)
    return top if top == -np.inf else top + np.log(np.exp(x - top) + np.exp(y - top))


@_njit
def _example(
    scores: Array, states: Array, alpha: Array, beta: Array, after: Array, usage: Array, blank: int
) -> float:
    """Sum over the alignments of one example whose frames all exist."""
    time, size = scores.shape[0], states.size
    alpha[0, :size] = -np.inf
    alpha[0, 0] = 0
    for t in range(time):
        for s in range(size):
            x = alpha[t, s]
            if s > 0:
                x = _add(x, alpha[t, s - 1])
            if s > 1 and states[s] != blank and states[s] != states[s - 2]:
                x = _add(x, alpha[t, s - 2])
            alpha[t + 1, s] = x + scores[t, states[s]]
    beta[:size] = -np.inf
    beta[size - 1] = 0
    total = alpha[time, size - 1]
    if size > 1:
        beta[size - 2] = 0
        total = _add(total, alpha[time, size - 2])
    if not np.isfinite(total):
        return total
    for t in range(time - 1, -1, -1):
        # Normalized by frame: beside scores of 1e30, the total has no digits left.
        top, norm = -np.inf, 0.0
        for s in range(size):
            top = max(top, alpha[t + 1, s] + beta[s])
        for s in range(size):
            norm += np.exp(alpha[t + 1, s] + beta[s] - top)
        for s in range(size):
            usage[t, states[s]] += np.exp(alpha[t + 1, s] + beta[s] - top) / norm
            after[s] = beta[s] + scores[t, states[s]]
        for s in range(size):
            x = after[s]
            if s + 1 < size:
                x = _add(x, after[s + 1])
            if s + 2 < size and states[s + 2] != blank and states[s + 2] != states[s]:
                x = _add(x, after[s + 2])
            beta[s] = x
    return total


@_njit
def _sum(x: Array, dx: Array) -> Any:
    """Log of the sum of what three numbers are the logs of, and its tangent."""
    top = max(x)
    if top == -np.inf:
        return top, 0.0
    total, tangent = 0.0, 0.0
    for i in range(3):
        power = np.exp(x[i] - top)
        total += power
        tangent += power * dx[i]
    return top + np.log(total), tangent / total


@_njit
def _example_tangent(
    scores: Array,
    d_scores: Array,
    states: Array,
    alpha: Array,
    beta: Array,
    after: Array,
    out: Array,
    blank: int,
) -> None:
    """Differentiate the usage of one example whose frames all exist.

    ``alpha``, ``beta`` and ``after`` have a first axis of 2: values and their tangents.
    """
    time, size = scores.shape[0], states.size
    none = (-np.inf, 0.0)
    alpha[0, 0, :size] = -np.inf
    alpha[1, 0, :size] = 0
    alpha[0, 0, 0] = 0
    for t in range(time):
        for s in range(size):
            one = (alpha[0, t, s - 1], alpha[1, t, s - 1]) if s > 0 else none
            skips = s > 1 and states[s] != blank and states[s] != states[s - 2]
            two = (alpha[0, t, s - 2], alpha[1, t, s - 2]) if skips else none
            x, dx = _sum((alpha[0, t, s], one[0], two[0]), (alpha[1, t, s], one[1], two[1]))
            alpha[0, t + 1, s] = x + scores[t, states[s]]
            alpha[1, t + 1, s] = dx + d_scores[t, states[s]]
    beta[0, :size] = -np.inf
    beta[1, :size] = 0
    beta[0, max(size - 2, 0) : size] = 0
    if not np.isfinite((alpha[0, time, :size] + beta[0, :size]).max()):
        return
    for t in range(time - 1, -1, -1):
        top, norm, mean = -np.inf, 0.0, 0.0
        for s in range(size):
            top = max(top, alpha[0, t + 1, s] + beta[0, s])
        for s in range(size):
            share = np.exp(alpha[0, t + 1, s] + beta[0, s] - top)
            norm += share
            mean += share * (alpha[1, t + 1, s] + beta[1, s])
        for s in range(size):
            share = np.exp(alpha[0, t + 1, s] + beta[0, s] - top) / norm
            out[t, states[s]] += share * (alpha[1, t + 1, s] + beta[1, s] - mean / norm)
            after[0, s] = beta[0, s] + scores[t, states[s]]
            after[1, s] = beta[1, s] + d_scores[t, states[s]]
        for s in range(size):
            one = (after[0, s + 1], after[1, s + 1]) if s + 1 < size else none
            skips = s + 2 < size and states[s + 2] != blank and states[s + 2] != states[s]
            two = (after[0, s + 2], after[1, s + 2]) if skips else none
            beta[0, s], beta[1, s] = _sum(
                (after[0, s], one[0], two[0]), (after[1, s], one[1], two[1])
            )


@_njit
def _check(scores: Array, labels: Array, mask: Array, blank: int) -> None:
    batch, time, k = scores.shape
    if mask.shape != (batch, time) or labels.shape[0] != batch:
        raise ValueError("shapes of the scores, labels and mask do not fit")
    if blank < 0 or blank >= k:
        raise ValueError("the blank is not one of the labels")
    for b in range(batch):
        for i in range(labels.shape[1]):
            if labels[b, i] >= k or labels[b, i] == blank:
                raise ValueError("a label of ctc is out of range, or the blank")


@_njit
def _states(labels: Array, blank: int, states: Array) -> int:
    """Write the states of an example's alignments: blank, first label, blank, ...; count them."""
    states[0] = blank
    length = 1
    for label in labels:
        if label >= 0:
            states[length] = label
            states[length + 1] = blank
            length += 2
    return length


@_njit
def _gather(rows: Array, mask: Array, gathered: Array) -> int:
    """Write the frames that exist one after the other; count them."""
    n = 0
    for t in range(mask.size):
        if mask[t]:
            gathered[n] = rows[t]
            n += 1
    return n


@_njit
def _spread(gathered: Array, mask: Array, rows: Array) -> None:
    n = 0
    for t in range(mask.size):
        if mask[t]:
            rows[t] = gathered[n]
            n += 1


@_njit
def _sums(scores: Array, labels: Array, mask: Array, blank: int) -> Any:
    _check(scores, labels, mask, blank)
    batch, time, k = scores.shape
    size = 2 * labels.shape[1] + 1
    totals = np.zeros(batch, scores.dtype)
    usage = np.zeros((batch, time, k), scores.dtype)
    states = np.empty(size, np.int64)
    alpha, beta, after = np.empty((time + 1, size)), np.empty(size), np.empty(size)
    frames, used = np.empty((time, k)), np.empty((time, k))
    for b in range(batch):
        length = _states(labels[b], blank, states)
        n = _gather(scores[b], mask[b], frames)
        used[:n] = 0
        totals[b] = _example(frames[:n], states[:length], alpha, beta, after, used[:n], blank)
        _spread(used, mask[b], usage[b])
    return totals, usage


@_njit
def _tangent(scores: Array, labels: Array, mask: Array, direction: Array, blank: int) -> Any:
    _check(scores, labels, mask, blank)
    if direction.shape != scores.shape:
        raise ValueError("the direction does not have the shape of the scores")
    batch, time, k = scores.shape
    size = 2 * labels.shape[1] + 1
    found = np.zeros((batch, time, k), scores.dtype)
    states = np.empty(size, np.int64)
    alpha, beta, after = np.empty((2, time + 1, size)), np.empty((2, size)), np.empty((2, size))
    frames, steps, out = np.empty((time, k)), np.empty((time, k)), np.empty((time, k))
    for b in range(batch):
        length = _states(labels[b], blank, states)
        n = _gather(scores[b], mask[b], frames)
        _gather(direction[b], mask[b], steps)
        out[:n] = 0
        _example_tangent(frames[:n], steps[:n], states[:length], alpha, beta, after, out[:n], blank)
        _spread(out, mask[b], found[b])
    return found


def sums(blank: int) -> Any:
    """Get the kernel of `ctc.Alignments` for one blank."""

    @_njit
    def kernel(scores: Array, labels: Array, mask: Array) -> Any:
        return _sums(scores, labels, mask, blank)

    return kernel


def tangent(blank: int) -> Any:
    """Get the kernel of `ctc.Tangent` for one blank."""

    @_njit
    def kernel(scores: Array, labels: Array, mask: Array, direction: Array) -> Any:
        return _tangent(scores, labels, mask, direction, blank)

    return kernel
