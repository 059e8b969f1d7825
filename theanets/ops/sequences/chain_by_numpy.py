"""The recursions of `chain` in NumPy: all sequences of a batch at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

#: Size of a complex step. Its square must vanish beside 1.
TINY_STEP = 1e-20


def check_shapes(unary: Array, transition: Array, mask: Array) -> None:
    """Refuse arrays that do not fit each other.

    Raises
    ------
    ValueError
        If they do not.
    """
    width = unary.shape[2] + 1
    if transition.shape != (width, width) or mask.shape != unary.shape[:2]:
        raise ValueError(
            f"unary scores of shape {unary.shape} need transition scores of shape "
            f"{(width, width)}, which have {transition.shape}, and a mask of shape "
            f"{unary.shape[:2]}, which has {mask.shape}"
        )


def forward_backward(unary: Array, transition: Array, mask: Array) -> tuple[Array, ...]:
    """Compute sums over all label sequences.

    Parameters
    ----------
    unary : ndarray of shape (batch, time, K)
        Scores of labels.
    transition : ndarray of shape (K + 1, K + 1)
        Scores of transitions, with the boundary as the last label.
    mask : ndarray of bool of shape (batch, time)
        Which steps exist.

    Returns
    -------
    (logz, node, pair) : ndarrays
        Of the shapes (batch), (batch, time, K) and (batch, K + 1, K + 1). Where
        no sequence is possible, -inf and zeros.
    """
    check_shapes(unary, transition, mask)
    found = _sums(unary.astype(float), transition.astype(float)[None], mask)
    return tuple(array.astype(unary.dtype) for array in found)


def forward_backward_tangent(
    unary: Array, transition: Array, mask: Array, d_unary: Array, d_transition: Array
) -> tuple[Array, Array]:
    """Compute the derivative of ``node`` and ``pair`` along a direction.

    Parameters
    ----------
    unary, transition, mask : ndarray
        As for `forward_backward`.
    d_unary : ndarray of shape (batch, time, K)
        Direction.
    d_transition : ndarray of shape (batch, K + 1, K + 1)
        Direction, for each sequence.

    Returns
    -------
    (d_node, d_pair) : ndarrays

    Notes
    -----
    By a complex step, which has no cancellation: the imaginary part of
    ``f(x + ihd)`` is ``h f'(x) d`` up to ``h ** 3`` (Squire & Trapp 1998).
    """
    check_shapes(unary, transition, mask)
    sizes = [np.abs(d).max(initial=0.0) for d in (d_unary, d_transition)]
    step = TINY_STEP / max(*sizes, np.finfo(float).tiny / TINY_STEP)
    found = _sums(
        unary.astype(float) + 1j * (step * d_unary.astype(float)),
        transition.astype(float) + 1j * (step * d_transition.astype(float)),
        mask,
    )
    node, pair = ((array.imag / step).astype(unary.dtype) for array in found[1:])
    return node, pair


def _sums(u: Array, a: Array, mask: Array) -> tuple[Array, Array, Array]:
    """Do what `forward_backward` does for real or complex scores.

    ``a`` has a first axis of length 1 or batch.
    """
    batch, time, k = u.shape
    inner, start, end = a[:, :k, :k], a[:, k, :k], a[:, :k, k]
    alphas = np.zeros((time + 1, batch, k), u.dtype)
    started = np.zeros((time + 1, batch), bool)
    for t in range(time):
        step = _logsumexp(alphas[t][:, :, None] + inner, 1)
        step = np.where(started[t][:, None], step, start) + u[:, t]
        alphas[t + 1] = np.where(mask[:, t, None], step, alphas[t])
        started[t + 1] = started[t] | mask[:, t]
    logz = np.where(started[time], _logsumexp(alphas[time] + end, 1), 0)
    # Where no sequence is possible, all probabilities are 0.
    scale = np.where(np.isfinite(logz), logz, 0)
    node = np.zeros_like(u)
    pair = np.zeros((batch, k + 1, k + 1), u.dtype)
    pair[:, :k, k] = _exp_where(started[time][:, None], alphas[time] + end - scale[:, None])
    beta = np.broadcast_to(end, (batch, k))
    for t in reversed(range(time)):
        seen, old = mask[:, t, None], started[t][:, None]
        node[:, t] = _exp_where(seen, alphas[t + 1] + beta - scale[:, None])
        pair[:, k, :k] += np.where(old, 0, node[:, t])
        after = inner + (u[:, t] + beta)[:, None, :]
        both = alphas[t][:, :, None] + after - scale[:, None, None]
        pair[:, :k, :k] += _exp_where((seen & old)[:, :, None], both)
        beta = np.where(seen, _logsumexp(after, 2), beta)
    return logz, node, pair


def _exp_where(condition: Array, x: Array) -> Array:
    return np.exp(np.where(condition, x, -np.inf))


def _logsumexp(x: Array, axis: int) -> Array:
    top = x.real.max(axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.exp(x - top).sum(axis=axis)) + np.squeeze(top, axis))


def viterbi(unary: Array, transition: Array, mask: Array) -> Array:
    """Find the label sequences of the highest score.

    Parameters
    ----------
    unary, transition, mask : ndarray
        As for `forward_backward`.

    Returns
    -------
    ndarray of int32 of shape (batch, time)
        0 at steps that do not exist.
    """
    check_shapes(unary, transition, mask)
    batch, time, k = unary.shape
    u = unary.astype(float)
    a = transition.astype(float)
    rows = np.arange(batch)
    state = np.zeros((batch, k))
    back = np.zeros((time, batch, k), int)
    started = np.zeros((time + 1, batch), bool)
    for t in range(time):
        scores = state[:, :, None] + a[:k, :k]
        back[t] = scores.argmax(axis=1)
        step = np.where(started[t][:, None], scores.max(axis=1), a[k, :k]) + u[:, t]
        state = np.where(mask[:, t, None], step, state)
        started[t + 1] = started[t] | mask[:, t]
    label = (state + a[:k, k]).argmax(axis=1)
    path = np.zeros((batch, time), "int32")
    for t in reversed(range(time)):
        path[:, t] = np.where(mask[:, t], label, 0)
        label = np.where(mask[:, t] & started[t], back[t, rows, label], label)
    return path


def path_counts(labels: Array, transition: Array, mask: Array) -> Array:
    """Count the transitions in label sequences.

    Parameters
    ----------
    labels : ndarray of int of shape (batch, time)
        Labels in [0, K) where the mask is true.
    transition : ndarray of shape (K + 1, K + 1)
        Of which shape and dtype are used.
    mask : ndarray of bool of shape (batch, time)
        Which steps exist.

    Returns
    -------
    ndarray of shape (batch, K + 1, K + 1)

    Raises
    ------
    ValueError
        If shapes do not fit, or a label is out of range.
    """
    k = len(transition) - 1
    if labels.shape != mask.shape or transition.shape != (k + 1, k + 1):
        raise ValueError(
            f"labels of shape {labels.shape}, a mask of shape {mask.shape} and transition "
            f"scores of shape {transition.shape} do not fit"
        )
    seen = labels[mask]
    if seen.size and not 0 <= seen.min() <= seen.max() < k:
        raise ValueError(f"labels from {seen.min()} to {seen.max()} are not all in [0, {k})")
    counts = np.zeros((len(labels), k + 1, k + 1), transition.dtype)
    rows = np.arange(len(labels))
    last = np.full(len(labels), k)
    for t in range(labels.shape[1]):
        at = mask[:, t]
        counts[rows[at], last[at], labels[at, t]] += 1
        last[at] = labels[at, t]
    at = last < k
    counts[rows[at], last[at], k] += 1
    return counts
