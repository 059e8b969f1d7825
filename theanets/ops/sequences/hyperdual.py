r"""Sums over paths in hyper-dual numbers: derivatives of any order, in NumPy.

A hyper-dual number has n infinitesimal parts :math:`\epsilon_i`, whose squares are 0. It is its
coefficients, an array (2 ** n, ...): at each number whose bits are a set of parts, that of their
product. A function of :math:`x + \sum_i \epsilon_i d_i` has its n-th derivative along the
directions at the last place, without any error but rounding (Fike & Alonso 2011, "The development
of hyper-dual numbers for exact second-derivative calculations").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..base import Array
from .chain_by_numpy import check_shapes


def hyperdual(x: Array, directions: Sequence[Array]) -> Array:
    """Make a number of an array and directions of the same shape."""
    made = np.zeros((2 ** len(directions), *np.broadcast_shapes(x.shape, *_shapes(directions))))
    made[0] = x
    for i, direction in enumerate(directions):
        made[2**i] = direction
    return made


def _shapes(arrays: Sequence[Array]) -> list[tuple[int, ...]]:
    return [array.shape for array in arrays]


# Half of a number's coefficients are those without the last part, and half those with it: each
# function is done for a dual number of hyper-dual ones.


def _halves(x: Array) -> tuple[Array, Array]:
    return x[: len(x) // 2], x[len(x) // 2 :]


def _times(x: Array, y: Array) -> Array:
    if len(x) == 1:
        return np.asarray(x * y)
    (a, b), (c, d) = _halves(x), _halves(y)
    return np.concatenate([_times(a, c), _times(a, d) + _times(b, c)])


def _over(x: Array, y: Array) -> Array:
    """Divide; by 1 where the divisor is 0, which is where nothing is possible."""
    if len(x) == 1:
        return np.asarray(x / np.where(y == 0, 1, y))
    (a, b), (c, d) = _halves(x), _halves(y)
    quotient = _over(a, c)
    return np.concatenate([quotient, _over(b - _times(quotient, d), c)])


def _exp(x: Array) -> Array:
    if len(x) == 1:
        return np.exp(x)
    a, b = _halves(x)
    power = _exp(a)
    return np.concatenate([power, _times(power, b)])


def _log(x: Array) -> Array:
    if len(x) == 1:
        with np.errstate(divide="ignore"):
            return np.log(x)
    a, b = _halves(x)
    return np.concatenate([_log(a), _over(b, a)])


def _log_sum(x: Array, axis: int) -> Array:
    top = x[0].max(axis=axis - 1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    found = _log(_exp(_minus(x, top)).sum(axis=axis))
    found[0] += np.squeeze(top, axis - 1)
    return found


def _minus(x: Array, number: Array) -> Array:
    return np.concatenate([x[:1] - number, x[1:]])


def _exp_where(condition: Array, x: Array) -> Array:
    return _exp(np.concatenate([np.where(condition, x[:1], -np.inf), x[1:]]))


def chain_change(
    unary: Array, transition: Array, mask: Array, directions: Sequence[tuple[Array, Array]]
) -> tuple[Array, Array]:
    """Compute a derivative of ``node`` and ``pair`` of a chain along several directions.

    Parameters
    ----------
    unary, transition, mask : ndarray
        As for `chain_by_numpy.forward_backward`.
    directions : list of (ndarray, ndarray)
        Of the unary scores (batch, time, K), and of each sequence's transitions
        (batch, K + 1, K + 1).

    Returns
    -------
    (node, pair) : ndarrays of the shapes (batch, time, K) and (batch, K + 1, K + 1)
    """
    check_shapes(unary, transition, mask)
    batch, time, k = unary.shape
    u = hyperdual(unary, [d for d, _ in directions])
    a = hyperdual(transition[None], [d for _, d in directions])
    inner, start, end = a[:, :, :k, :k], a[:, :, k, :k], a[:, :, :k, k]
    alphas = np.zeros((time + 1, len(u), batch, k))
    started = np.zeros((time + 1, batch), bool)
    for t in range(time):
        step = _log_sum(alphas[t][:, :, :, None] + inner, 2)
        step = np.where(started[t][:, None], step, start) + u[:, :, t]
        alphas[t + 1] = np.where(mask[:, t, None], step, alphas[t])
        started[t + 1] = started[t] | mask[:, t]
    scale = np.where(started[time], _log_sum(alphas[time] + end, 2), 0)
    # Where no sequence is possible, all probabilities are 0.
    scale[0] = np.where(np.isfinite(scale[0]), scale[0], 0)
    node = np.zeros(u.shape)
    pair = np.zeros((len(u), batch, k + 1, k + 1))
    pair[:, :, :k, k] = _exp_where(started[time][:, None], alphas[time] + end - scale[..., None])
    beta = np.broadcast_to(end, (len(u), batch, k))
    for t in reversed(range(time)):
        seen, old = mask[:, t, None], started[t][:, None]
        node[:, :, t] = _exp_where(seen, alphas[t + 1] + beta - scale[..., None])
        pair[:, :, k, :k] += np.where(old, 0, node[:, :, t])
        after = inner + (u[:, :, t] + beta)[:, :, None, :]
        both = alphas[t][..., None] + after - scale[..., None, None]
        pair[:, :, :k, :k] += _exp_where((seen & old)[:, :, None], both)
        beta = np.where(seen, _log_sum(after, 3), beta)
    return node[-1].astype(unary.dtype), pair[-1].astype(unary.dtype)


def alignment_change(
    scores: Array,
    states: tuple[Array, Array, Array],
    mask: Array,
    directions: Sequence[Array],
) -> Array:
    """Compute a derivative of the ``usage`` of alignments along several directions.

    Parameters
    ----------
    scores : ndarray of shape (batch, time, K)
    states : tuple of ndarrays
        The states of alignments (batch, states), which may be entered from two before, and
        which are final.
    mask : ndarray of bool of shape (batch, time)
    directions : list of ndarrays of the shape of the scores

    Returns
    -------
    ndarray of shape (batch, time, K)
    """
    labels, skips, final = states
    time = scores.shape[1]
    numbers = hyperdual(scores, directions)
    at = np.take_along_axis(numbers, labels[None, :, None, :], axis=3)
    alphas = np.zeros((time + 1, len(at), *labels.shape))
    alphas[:, 0] = -np.inf
    alphas[0, 0, :, 0] = 0
    for t in range(time):
        old = alphas[t]
        ways = np.stack([old, _shift(old, 1), _where_possible(skips, _shift(old, 2))])
        step = _log_sum(np.moveaxis(ways, 0, 1), 1) + at[:, :, t]
        alphas[t + 1] = np.where(mask[:, t, None], step, old)
    beta = np.zeros(alphas[0].shape)
    beta[0] = np.where(final, 0, -np.inf)
    possible = np.isfinite((alphas[time] + beta)[0].max(axis=1, keepdims=True))
    usage = np.zeros(scores.shape)
    rows = np.arange(len(scores))[:, None]
    for t in reversed(range(time)):
        exists = mask[:, t, None]
        # Normalized by frame: beside scores of 1e30, the total has no digits left.
        both = alphas[t + 1] + beta
        total = _log_sum(both, 2)[..., None]
        total[0] = np.where(possible, total[0], 0)
        np.add.at(usage[:, t], (rows, labels), _exp_where(exists & possible, both - total)[-1])
        after = beta + at[:, :, t]
        skipped = _shift(_where_possible(skips, after), -2)
        ways = np.stack([after, _shift(after, -1), skipped])
        beta = np.where(exists, _log_sum(np.moveaxis(ways, 0, 1), 1), beta)
    return usage.astype(scores.dtype)


def _where_possible(condition: Array, x: Array) -> Array:
    return np.concatenate([np.where(condition, x[:1], -np.inf), np.where(condition, x[1:], 0)])


def _shift(x: Array, by: int) -> Array:
    moved: Any = np.zeros(x.shape)
    moved[0] = -np.inf
    if by > 0:
        moved[..., by:] = x[..., :-by]
    else:
        moved[..., :by] = x[..., -by:]
    return moved
