r"""Linear chains: sums and maxima over all label sequences, by dynamic programming.

A chain scores a sequence of labels :math:`y_1 \dots y_n` of K by

.. math:: \sum_t u_{t, y_t} + s_{y_1} + \sum_{t>1} A_{y_{t-1}, y_t} + e_{y_n}.

All functions here take the transition scores with the boundary as one more
label, whose row are the scores ``s`` of the first label and whose column are
the scores ``e`` of the last: (K + 1, K + 1), the corner without meaning. Steps
outside of a mask do not exist: their neighbours follow one another. A
sequence without steps has one labelling, of score 0. Scores may be -inf, which
forbids a label or a transition.

References
----------
Rabiner 1989, "A tutorial on hidden Markov models". Lafferty, McCallum &
Pereira 2001, "Conditional random fields".
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op

Array = npt.NDArray[Any]


class ChainOp(Op):
    """Base class: loads the Numba implementation when the first graph is made."""

    __props__ = ()

    def __call__(self, *inputs: Any, **kwargs: Any) -> Any:
        """Apply to symbolic inputs."""
        from . import numba_chain  # noqa: F401, PLC0415, takes half a second

        return super().__call__(*inputs, **kwargs)


class ForwardBackward(ChainOp):
    """Log-partition function of each sequence, and its gradient.

    Inputs ``unary`` (batch, time, K), ``transition`` (K + 1, K + 1) and
    ``mask`` (batch, time) of bool. Outputs ``logz`` (batch), ``node`` (batch,
    time, K), the marginal probabilities of labels, and ``pair`` (batch, K + 1,
    K + 1), the expected numbers of transitions. Computes in float64 and
    returns the dtype of ``unary``. All outputs are differentiable once.
    """

    def make_node(self, unary: Any, transition: Any, mask: Any) -> Apply:
        unary, transition, mask = _inputs(unary, transition, mask)
        batch, _, _ = unary.type.shape
        width = transition.type.shape[0]
        outputs = [
            pt.tensor(dtype=unary.dtype, shape=(batch,)),
            unary.type(),
            pt.tensor(dtype=unary.dtype, shape=(batch, width, width)),
        ]
        return Apply(self, [unary, transition, mask], outputs)

    def perform(self, node: Apply, inputs: Any, storage: Any) -> None:
        for cell, value in zip(storage, forward_backward(*inputs), strict=True):
            cell[0] = value

    def infer_shape(self, fgraph: Any, node: Apply, shapes: Any) -> list[tuple[Any, ...]]:
        unary, transition, _ = shapes
        return [(unary[0],), unary, (unary[0], *transition)]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        return [[True] * 3, [True] * 3, [False] * 3]

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        (unary, transition, mask), (_, node, pair) = inputs, outputs
        g_logz, g_node, g_pair = (
            None if isinstance(g.type, DisconnectedType) else g for g in cotangents
        )
        d_unary, d_pair = [], []
        if g_logz is not None:
            d_unary.append(g_logz[:, None, None] * node)
            d_pair.append(g_logz[:, None, None] * pair)
        if g_node is not None or g_pair is not None:
            # The Jacobian is symmetric, so that the pullback is the tangent.
            found = tangent(
                unary,
                transition,
                mask,
                pt.zeros_like(node) if g_node is None else g_node,
                pt.zeros_like(pair) if g_pair is None else g_pair,
            )
            d_unary.append(found[0])
            d_pair.append(found[1])
        return [
            sum(d_unary[1:], d_unary[0]),
            sum(d_pair[1:], d_pair[0]).sum(axis=0).astype(transition.dtype),
            DisconnectedType()(),
        ]


class Tangent(ChainOp):
    """Derivative of `ForwardBackward`'s ``node`` and ``pair`` along a direction.

    Inputs those of `ForwardBackward`, ``d_unary`` (batch, time, K) and
    ``d_transition`` (batch, K + 1, K + 1). Outputs ``d_node`` and ``d_pair``.
    Has no gradient.
    """

    def make_node(
        self, unary: Any, transition: Any, mask: Any, d_unary: Any, d_transition: Any
    ) -> Apply:
        unary, transition, mask = _inputs(unary, transition, mask)
        d_unary, d_transition = pt.as_tensor(d_unary), pt.as_tensor(d_transition)
        width = transition.type.shape[0]
        outputs = [
            unary.type(),
            pt.tensor(dtype=unary.dtype, shape=(unary.type.shape[0], width, width)),
        ]
        return Apply(self, [unary, transition, mask, d_unary, d_transition], outputs)

    def perform(self, node: Apply, inputs: Any, storage: Any) -> None:
        storage[0][0], storage[1][0] = forward_backward_tangent(*inputs)

    def infer_shape(self, fgraph: Any, node: Apply, shapes: Any) -> list[tuple[Any, ...]]:
        return [shapes[0], (shapes[0][0], *shapes[1])]


class Viterbi(ChainOp):
    """Best labels of each sequence (batch, time), 0 outside of the mask.

    Inputs as for `ForwardBackward`. Of several best sequences, the one whose
    last label that differs is the smallest. Has no gradient.
    """

    def make_node(self, unary: Any, transition: Any, mask: Any) -> Apply:
        unary, transition, mask = _inputs(unary, transition, mask)
        path = pt.tensor(dtype="int32", shape=unary.type.shape[:2])
        return Apply(self, [unary, transition, mask], [path])

    def perform(self, node: Apply, inputs: Any, storage: Any) -> None:
        storage[0][0] = viterbi(*inputs)

    def infer_shape(self, fgraph: Any, node: Apply, shapes: Any) -> list[tuple[Any, ...]]:
        return [shapes[0][:2]]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        return [[False]] * 3


class PathCounts(ChainOp):
    """How often each transition occurs in sequences of labels.

    Inputs ``labels`` (batch, time) of int, ``transition``, of which shape and
    dtype are used, and ``mask``. Output (batch, K + 1, K + 1). Has no
    gradient.
    """

    def make_node(self, labels: Any, transition: Any, mask: Any) -> Apply:
        labels, transition, mask = map(pt.as_tensor, (labels, transition, mask))
        if labels.ndim != 2 or not labels.dtype.startswith("int"):
            raise TypeError(f"labels {labels.type} are not a matrix of integers")
        _check(transition, mask)
        width = transition.type.shape[0]
        counts = pt.tensor(dtype=transition.dtype, shape=(labels.type.shape[0], width, width))
        return Apply(self, [labels, transition, mask], [counts])

    def perform(self, node: Apply, inputs: Any, storage: Any) -> None:
        storage[0][0] = path_counts(*inputs)

    def infer_shape(self, fgraph: Any, node: Apply, shapes: Any) -> list[tuple[Any, ...]]:
        return [(shapes[0][0], *shapes[1])]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        return [[False]] * 3


def _inputs(unary: Any, transition: Any, mask: Any) -> tuple[Any, Any, Any]:
    unary, transition, mask = map(pt.as_tensor, (unary, transition, mask))
    if unary.ndim != 3 or unary.dtype not in ("float32", "float64"):
        raise TypeError(f"unary scores {unary.type} are not (batch, time, labels) of floats")
    _check(transition, mask)
    return unary, transition, mask


def _check(transition: Any, mask: Any) -> None:
    if transition.ndim != 2:
        raise TypeError(f"transition scores {transition.type} are not a matrix")
    if mask.ndim != 2 or mask.dtype != "bool":
        raise TypeError(f"mask {mask.type} is not (batch, time) of bool")


chain_sums = ForwardBackward()
tangent = Tangent()
chain_best = Viterbi()
chain_counts = PathCounts()


# ---- in NumPy --------------------------------------------------------------------


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
    found = chain_sums_of(unary.astype(float), transition.astype(float)[None], mask)
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
    found = chain_sums_of(
        unary.astype(float) + 1j * (step * d_unary.astype(float)),
        transition.astype(float) + 1j * (step * d_transition.astype(float)),
        mask,
    )
    node, pair = ((array.imag / step).astype(unary.dtype) for array in found[1:])
    return node, pair


#: Size of a complex step. Its square must vanish beside 1.
TINY_STEP = 1e-20


def chain_sums_of(u: Array, a: Array, mask: Array) -> tuple[Array, Array, Array]:
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
