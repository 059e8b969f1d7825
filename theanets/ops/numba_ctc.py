"""The recursions of `ctc` for Numba: loops, example by example."""

from __future__ import annotations

from typing import Any

import numpy as np
from pytensor.link.numba.dispatch.basic import numba_njit


def _njit(function: Any) -> Any:
    # Rounding of exp and log must not depend on PyTensor's configuration.
    return numba_njit(function, fastmath=False)


@_njit
def _add(x: float, y: float) -> float:
    top = max(x, y)
    return top if top == -np.inf else top + np.log(np.exp(x - top) + np.exp(y - top))


@_njit
def _example(
    scores: Any, states: Any, alpha: Any, beta: Any, after: Any, usage: Any, blank: int
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
def _alignments(scores: Any, labels: Any, mask: Any, blank: int) -> Any:
    batch, time, k = scores.shape
    if mask.shape != (batch, time) or labels.shape[0] != batch:
        raise ValueError("shapes of the scores, labels and mask do not fit")
    if blank < 0 or blank >= k:
        raise ValueError("the blank is not one of the labels")
    size = 2 * labels.shape[1] + 1
    totals = np.zeros(batch, scores.dtype)
    usage = np.zeros((batch, time, k), scores.dtype)
    states = np.empty(size, np.int64)
    alpha, beta, after = np.empty((time + 1, size)), np.empty(size), np.empty(size)
    frames, used = np.empty((time, k)), np.empty((time, k))
    for b in range(batch):
        states[0] = blank
        length = 1
        for i in range(labels.shape[1]):
            label = labels[b, i]
            if label >= k or label == blank:
                raise ValueError("a label of ctc is out of range, or the blank")
            if label >= 0:
                states[length] = label
                states[length + 1] = blank
                length += 2
        n = 0
        for t in range(time):
            if mask[b, t]:
                frames[n] = scores[b, t]
                n += 1
        used[:n] = 0
        totals[b] = _example(frames[:n], states[:length], alpha, beta, after, used[:n], blank)
        n = 0
        for t in range(time):
            if mask[b, t]:
                usage[b, t] = used[n]
                n += 1
    return totals, usage


def specialized(blank: int) -> Any:
    """Get the kernel for one blank."""

    @_njit
    def kernel(scores: Any, labels: Any, mask: Any) -> Any:
        return _alignments(scores, labels, mask, blank)

    return kernel
