r"""Connectionist temporal classification: the sum over all alignments of labels with frames.

An alignment gives each frame a label or the blank; without repetitions, and
then without blanks, it reads as the labels. Its score is the sum of its
frames' scores.

References
----------
Graves, Fernandez, Gomez & Schmidhuber 2006, "Connectionist temporal
classification".
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply

from .base import KernelOp, source_key

Array = npt.NDArray[Any]

LOWEST = np.finfo(float).min


class Alignments(KernelOp):
    """Log of the sum over alignments, and its gradient.

    Inputs ``scores`` (batch, time, K), ``labels`` (batch, length) of int,
    where negative ones do not count, and ``mask`` (batch, time) of bool, which
    frames exist. Outputs ``total`` (batch), -inf where no alignment is
    possible, and ``usage`` (batch, time, K), the posterior probabilities of
    the labels of each frame, then zeros. Only ``total`` has a gradient.
    Computes in float64 and returns the dtype of ``scores``.

    Parameters
    ----------
    blank : int
        Which of the K is the blank.
    """

    __props__ = ("blank",)

    def __init__(self, blank: int = 0) -> None:
        self.blank = blank

    def kernel(self) -> tuple[Any, str | None]:
        """Get the compiled function, and its key for the cache on the disk."""
        from . import numba_ctc

        return numba_ctc.specialized(self.blank), source_key(
            numba_ctc.__name__, f"blank{self.blank}"
        )

    def make_node(self, scores: Any, labels: Any, mask: Any) -> Apply:
        scores, labels, mask = map(pt.as_tensor, (scores, labels, mask))
        if scores.ndim != 3 or scores.dtype not in ("float32", "float64"):
            raise TypeError(f"scores {scores.type} are not (batch, time, labels) of floats")
        if labels.ndim != 2 or not labels.dtype.startswith("int"):
            raise TypeError(f"labels {labels.type} are not a matrix of integers")
        if mask.ndim != 2 or mask.dtype != "bool":
            raise TypeError(f"mask {mask.type} is not (batch, time) of bool")
        total = pt.tensor(dtype=scores.dtype, shape=scores.type.shape[:1])
        return Apply(self, [scores, labels, mask], [total, scores.type()])

    def perform(self, node: Apply, inputs: Any, storage: Any) -> None:
        scores, labels, mask = inputs
        storage[0][0], storage[1][0] = alignments(scores, labels, mask, self.blank)

    def output_shapes(self, *shapes: Any) -> list[Any]:
        return [shapes[0][:1], shapes[0]]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        return [[True, False], [False, False], [False, False]]

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        g_total = cotangents[0]
        return [g_total[:, None, None] * outputs[1], DisconnectedType()(), DisconnectedType()()]


def alignments(scores: Array, labels: Array, mask: Array, blank: int = 0) -> tuple[Array, Array]:
    """Compute the log of the sum over alignments, and its gradient.

    Parameters
    ----------
    scores : ndarray of shape (batch, time, K)
        Scores of the labels of each frame.
    labels : ndarray of int of shape (batch, length)
        Labels in [0, K) without the blank; negative ones do not count.
    mask : ndarray of bool of shape (batch, time)
        Which frames exist.
    blank : int
        The label that stands for none.

    Returns
    -------
    (total, usage) : ndarrays of the shapes (batch) and (batch, time, K)

    Raises
    ------
    ValueError
        If shapes do not fit, or a label is out of range or the blank.
    """
    batch, time, k = scores.shape
    if mask.shape != (batch, time) or len(labels) != batch:
        raise ValueError(
            f"scores of shape {scores.shape}, labels of shape {labels.shape} and a mask of "
            f"shape {mask.shape} do not fit"
        )
    if not 0 <= blank < k or labels.max(initial=-1) >= k or (labels == blank).any():
        raise ValueError(f"labels must be in [0, {k}), and not the blank, {blank}")
    # The states of an alignment: blank, first label, blank, ..., last label, blank.
    lengths = (labels >= 0).sum(axis=1)
    order = np.argsort(labels < 0, axis=1, kind="stable")
    states = np.full((batch, 2 * labels.shape[1] + 1), blank)
    states[:, 1::2] = np.where(labels < 0, blank, labels)[np.arange(batch)[:, None], order]
    skips = np.zeros(states.shape, bool)
    skips[:, 2:] = (states[:, 2:] != blank) & (states[:, 2:] != states[:, :-2])
    at = np.take_along_axis(scores.astype(float), states[:, None, :], axis=2)
    alphas = np.full((time + 1, *states.shape), -np.inf)
    alphas[0, :, 0] = 0
    for t in range(time):
        step = np.logaddexp(alphas[t], _shift(alphas[t], 1))
        step = np.logaddexp(step, np.where(skips, _shift(alphas[t], 2), -np.inf)) + at[:, t]
        alphas[t + 1] = np.where(mask[:, t, None], step, alphas[t])
    place = np.arange(states.shape[1])
    final = (place >= 2 * lengths[:, None] - 1) & (place <= 2 * lengths[:, None])
    beta = np.where(final, 0.0, -np.inf)
    total = np.logaddexp.reduce(alphas[time] + beta, axis=1)
    possible = np.isfinite(total)[:, None]
    usage = np.zeros(scores.shape)
    rows = np.arange(batch)[:, None]
    for t in reversed(range(time)):
        # Normalized by frame: beside scores of 1e30, the total has no digits left.
        share = np.where(mask[:, t, None] & possible, alphas[t + 1] + beta, -np.inf)
        share = np.exp(share - np.maximum(share.max(axis=1, keepdims=True), LOWEST))
        share /= np.maximum(share.sum(axis=1, keepdims=True), 1)
        np.add.at(usage[:, t], (rows, states), share)
        after = beta + at[:, t]
        step = np.logaddexp(after, _shift(after, -1))
        step = np.logaddexp(step, _shift(np.where(skips, after, -np.inf), -2))
        beta = np.where(mask[:, t, None], step, beta)
    return total.astype(scores.dtype), usage.astype(scores.dtype)


def _shift(x: Array, by: int) -> Array:
    moved = np.full(x.shape, -np.inf)
    if by > 0:
        moved[:, by:] = x[:, :-by]
    else:
        moved[:, :by] = x[:, -by:]
    return moved
