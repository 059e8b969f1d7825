"""The recursions of `chain` for Numba: loops, sequence by sequence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from pytensor.graph.basic import Apply
from pytensor.link.numba.dispatch.basic import numba_njit

from ..base import Array

#: Size of a complex step. Its square must vanish beside 1.
TINY_STEP = 1e-20


def _njit(function: Callable[..., Any]) -> Any:
    # Rounding of exp and log must not depend on PyTensor's configuration.
    return numba_njit(function, fastmath=False)


@_njit
def _check(unary: Array, transition: Array, mask: Array) -> None:
    batch, time, k = unary.shape
    if transition.shape != (k + 1, k + 1) or mask.shape != (batch, time):
        raise ValueError("shapes of the unary scores, transition scores and mask do not fit")


@_njit
def _steps(mask: Array, b: int, steps: Array) -> int:
    """Write the steps of one sequence, and get their number."""
    n = 0
    for t in range(mask.shape[1]):
        if mask[b, t]:
            steps[n] = t
            n += 1
    return n


@_njit
def _logsumexp(x: Array) -> Array:
    top = -np.inf
    for i in range(x.size):
        top = max(top, x[i].real)
    if not np.isfinite(top):
        top = 0.0
    total = x[0] * 0 if x.size == 0 else np.exp(x[0] - top)
    for i in range(1, x.size):
        total += np.exp(x[i] - top)
    if total == 0:
        return total - np.inf
    return np.log(total) + top


@_njit
def _sums(u: Array, a: Array, steps: Array, logz: Array, node: Apply, pair: Array) -> None:
    """Sum over the labellings of one sequence of the scores u (time, K)."""
    n, k = steps.size, u.shape[1]
    if n == 0:
        return
    alpha = np.empty((n, k), u.dtype)
    beta, after, row = np.empty(k, u.dtype), np.empty(k, u.dtype), np.empty(k, u.dtype)
    for j in range(k):
        alpha[0, j] = a[k, j] + u[steps[0], j]
    for s in range(1, n):
        for j in range(k):
            for i in range(k):
                row[i] = alpha[s - 1, i] + a[i, j]
            alpha[s, j] = _logsumexp(row) + u[steps[s], j]
    for i in range(k):
        row[i] = alpha[n - 1, i] + a[i, k]
    total = _logsumexp(row)
    logz[0] = total
    if not np.isfinite(total.real):
        return
    for i in range(k):
        beta[i] = a[i, k]
        pair[i, k] = np.exp(alpha[n - 1, i] + a[i, k] - total)
    for s in range(n - 1, -1, -1):
        t = steps[s]
        for j in range(k):
            node[t, j] = np.exp(alpha[s, j] + beta[j] - total)
            if s == 0:
                pair[k, j] = node[t, j]
            after[j] = u[t, j] + beta[j]
        if s == 0:
            break
        for i in range(k):
            for j in range(k):
                row[j] = a[i, j] + after[j]
                pair[i, j] += np.exp(alpha[s - 1, i] + row[j] - total)
            beta[i] = _logsumexp(row)


@_njit
def forward_backward(unary: Array, transition: Array, mask: Array) -> Any:
    """Compute sums over all label sequences; see `chain.ForwardBackward`."""
    _check(unary, transition, mask)
    batch, time, k = unary.shape
    logz = np.zeros(batch, unary.dtype)
    node = np.zeros((batch, time, k), unary.dtype)
    pair = np.zeros((batch, k + 1, k + 1), unary.dtype)
    steps = np.empty(time, np.int64)
    a = transition.astype(np.float64)
    u, sums = np.empty((time, k)), np.zeros(1)
    nodes, pairs = np.empty((time, k)), np.empty((k + 1, k + 1))
    for b in range(batch):
        n = _steps(mask, b, steps)
        u[:] = unary[b]
        nodes[:], pairs[:], sums[:] = 0, 0, 0
        _sums(u, a, steps[:n], sums, nodes, pairs)
        logz[b] = sums[0]
        node[b] = nodes
        pair[b] = pairs
    return logz, node, pair


@_njit
def tangent(
    unary: Array, transition: Array, mask: Array, d_unary: Array, d_transition: Array
) -> Any:
    """Compute a derivative of these, by a complex step; see `chain.Tangent`."""
    _check(unary, transition, mask)
    batch, time, k = unary.shape
    if d_unary.shape != unary.shape or d_transition.shape != (batch, k + 1, k + 1):
        raise ValueError("the direction does not have the shape of the scores")
    d_node = np.zeros((batch, time, k), unary.dtype)
    d_pair = np.zeros((batch, k + 1, k + 1), unary.dtype)
    steps = np.empty(time, np.int64)
    a, u = np.empty((k + 1, k + 1), np.complex128), np.empty((time, k), np.complex128)
    sums, nodes, pairs = np.zeros(1, np.complex128), np.empty_like(u), np.empty_like(a)
    for b in range(batch):
        size = 0.0
        for t in range(time):
            for j in range(k):
                size = max(size, abs(d_unary[b, t, j]))
        for i in range(k + 1):
            for j in range(k + 1):
                size = max(size, abs(d_transition[b, i, j]))
        step = TINY_STEP / max(size, 1e-287)
        for t in range(time):
            for j in range(k):
                u[t, j] = complex(unary[b, t, j], step * d_unary[b, t, j])
        for i in range(k + 1):
            for j in range(k + 1):
                a[i, j] = complex(transition[i, j], step * d_transition[b, i, j])
        nodes[:], pairs[:] = 0, 0
        n = _steps(mask, b, steps)
        _sums(u, a, steps[:n], sums, nodes, pairs)
        d_node[b] = nodes.imag / step
        d_pair[b] = pairs.imag / step
    return d_node, d_pair


@_njit
def viterbi(unary: Array, transition: Array, mask: Array) -> Array:
    """Find the best labels; see `chain.Viterbi`."""
    _check(unary, transition, mask)
    batch, time, k = unary.shape
    path = np.zeros((batch, time), np.int32)
    steps, back = np.empty(time, np.int64), np.zeros((time, k), np.int64)
    state, new = np.empty(k), np.empty(k)
    a = transition.astype(np.float64)
    for b in range(batch):
        n = _steps(mask, b, steps)
        if n == 0:
            continue
        for j in range(k):
            state[j] = a[k, j] + unary[b, steps[0], j]
        for s in range(1, n):
            for j in range(k):
                best = 0
                for i in range(1, k):
                    if state[i] + a[i, j] > state[best] + a[best, j]:
                        best = i
                back[s, j] = best
                new[j] = state[best] + a[best, j] + unary[b, steps[s], j]
            state[:] = new
        label = 0
        for i in range(1, k):
            if state[i] + a[i, k] > state[label] + a[label, k]:
                label = i
        for s in range(n - 1, -1, -1):
            path[b, steps[s]] = label
            label = back[s, label]
    return path


@_njit
def path_counts(labels: Array, transition: Array, mask: Array) -> Array:
    """Count transitions; see `chain.PathCounts`."""
    k = transition.shape[0] - 1
    if labels.shape != mask.shape or transition.shape != (k + 1, k + 1):
        raise ValueError("shapes of the labels, transition scores and mask do not fit")
    batch, time = labels.shape
    counts = np.zeros((batch, k + 1, k + 1), transition.dtype)
    for b in range(batch):
        last = k
        for t in range(time):
            if mask[b, t]:
                label = labels[b, t]
                if label < 0 or label >= k:
                    raise ValueError("a label of a chain is out of range")
                counts[b, last, label] += 1
                last = label
        if last < k:
            counts[b, last, k] += 1
    return counts
