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

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply

from ...expressions import Expression
from ..base import KernelOp, connected, float_tensor, source_key
from . import hyperdual
from .higher import Higher, third

Array = npt.NDArray[Any]

LOWEST = np.finfo(float).min


class CtcOp(KernelOp):
    """Base class of the Ops on alignments.

    Parameters
    ----------
    blank : int
        Which of the K is the blank.
    """

    __props__ = ("blank",)
    kernel_name: ClassVar[str]

    def __init__(self, blank: int = 0) -> None:
        self.blank = blank

    def kernel(self) -> tuple[Any, str | None]:
        """Get the compiled function, and its key for the cache on the disk."""
        from . import ctc_by_numba

        return getattr(ctc_by_numba, self.kernel_name)(self.blank), source_key(
            ctc_by_numba.__name__, f"{self.kernel_name}, blank{self.blank}"
        )


class Alignments(CtcOp):
    """Log of the sum over alignments, and its gradient.

    Inputs ``scores`` (batch, time, K), ``labels`` (batch, length) of int,
    where negative ones do not count, and ``mask`` (batch, time) of bool, which
    frames exist. Outputs ``total`` (batch), -inf where no alignment is
    possible, and ``usage`` (batch, time, K), the posterior probabilities of
    the labels of each frame, then zeros. Computes in float64 and returns the
    dtype of ``scores``. Both outputs are differentiable any number of times.
    """

    kernel_name = "sums"

    def make_node(self, scores: Expression, labels: Expression, mask: Expression) -> Apply:
        scores, labels, mask = _inputs(scores, labels, mask)
        total = pt.tensor(dtype=scores.dtype, shape=scores.type.shape[:1])
        return Apply(self, [scores, labels, mask], [total, scores.type()])

    def perform(self, node: Apply, inputs: Sequence[Array], storage: list[list[Any]]) -> None:
        scores, labels, mask = inputs
        storage[0][0], storage[1][0] = alignments(scores, labels, mask, self.blank)

    def output_shapes(self, *shapes: tuple[Expression, ...]) -> list[tuple[Expression, ...]]:
        return [shapes[0][:1], shapes[0]]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        return [[True, True], [False, False], [False, False]]

    def pullback(
        self,
        inputs: Sequence[Expression],
        outputs: Sequence[Expression],
        cotangents: Sequence[Expression],
    ) -> list[Expression]:
        parts = []
        g_total, g_usage = map(connected, cotangents)
        if g_total is not None:
            parts.append(g_total[:, None, None] * outputs[1])
        if g_usage is not None:
            # The Jacobian is that of a gradient, so symmetric, and the pullback the tangent.
            parts.append(Tangent(self.blank)(*inputs, g_usage.astype(inputs[0].dtype)))
        return [sum(parts[1:], parts[0]), DisconnectedType()(), DisconnectedType()()]


class Tangent(CtcOp):
    """Derivative of the ``usage`` of `Alignments` along a direction.

    Inputs those of `Alignments`, and ``direction`` of the shape of ``scores``.
    The output has that shape too. Its derivatives are `HigherAlignments`.
    """

    kernel_name = "tangent"

    def make_node(
        self, scores: Expression, labels: Expression, mask: Expression, direction: Expression
    ) -> Apply:
        scores, labels, mask = _inputs(scores, labels, mask)
        direction = float_tensor(direction, 3, "direction")
        return Apply(self, [scores, labels, mask, direction], [scores.type()])

    def perform(self, node: Apply, inputs: Sequence[Array], storage: list[list[Any]]) -> None:
        scores, labels, mask, direction = inputs
        storage[0][0] = alignments_tangent(scores, labels, mask, direction, self.blank)

    def output_shapes(self, *shapes: tuple[Expression, ...]) -> list[tuple[Expression, ...]]:
        return [shapes[0]]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        return [[True], [False], [False], [True]]

    def pullback(
        self,
        inputs: Sequence[Expression],
        outputs: Sequence[Expression],
        cotangents: Sequence[Expression],
    ) -> list[Expression]:
        scores, labels, mask, direction = inputs
        arriving = cotangents[0].astype(scores.dtype)
        # The second derivative of a sum is symmetric, so that the direction and the cotangent
        # may change places.
        linear = self(scores, labels, mask, arriving).astype(direction.dtype)
        op = HigherAlignments(2, self.blank)
        return [*third(op, inputs[:3], [(direction,), (arriving,)]), linear]


class HigherAlignments(Higher):
    """Derivative of the ``usage`` of `Alignments` along several directions.

    Inputs those of `Alignments`, then the directions (batch, time, K).

    Parameters
    ----------
    order : int
        How many directions there are.
    blank : int
        Which of the K is the blank.
    """

    __props__ = ("order", "blank")
    scores = (0,)

    def __init__(self, order: int, blank: int = 0) -> None:
        super().__init__(order)
        self.blank = blank

    def again(self, order: int) -> HigherAlignments:
        return HigherAlignments(order, self.blank)

    def change(self, *arrays: Array) -> tuple[Array, ...]:
        scores, labels, mask = arrays[:3]
        states = alignment_states(scores, labels, mask, self.blank)
        directions = [d for (d,) in self.directions(arrays)]
        return (hyperdual.alignment_change(scores, states, mask, directions),)


def _inputs(
    scores: Expression, labels: Expression, mask: Expression
) -> tuple[Expression, Expression, Expression]:
    scores, labels, mask = map(pt.as_tensor, (scores, labels, mask))
    if scores.ndim != 3 or scores.dtype not in ("float32", "float64"):
        raise TypeError(f"scores {scores.type} are not (batch, time, labels) of floats")
    if labels.ndim != 2 or not labels.dtype.startswith("int"):
        raise TypeError(f"labels {labels.type} are not a matrix of integers")
    if mask.ndim != 2 or mask.dtype != "bool":
        raise TypeError(f"mask {mask.type} is not (batch, time) of bool")
    return scores, labels, mask


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
    states, skips, final = alignment_states(scores, labels, mask, blank)
    batch, time, _ = scores.shape
    at = np.take_along_axis(scores.astype(float), states[:, None, :], axis=2)
    alphas = np.full((time + 1, *states.shape), -np.inf)
    alphas[0, :, 0] = 0
    for t in range(time):
        step = np.logaddexp(alphas[t], _shift(alphas[t], 1))
        step = np.logaddexp(step, np.where(skips, _shift(alphas[t], 2), -np.inf)) + at[:, t]
        alphas[t + 1] = np.where(mask[:, t, None], step, alphas[t])
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


def alignments_tangent(
    scores: Array, labels: Array, mask: Array, direction: Array, blank: int = 0
) -> Array:
    """Compute the derivative of ``usage`` along a direction.

    Parameters
    ----------
    scores, labels, mask, blank
        As for `alignments`.
    direction : ndarray of shape (batch, time, K)
        How the scores change.

    Returns
    -------
    ndarray of shape (batch, time, K)

    Raises
    ------
    ValueError
        If shapes do not fit, or a label is out of range or the blank.
    """
    states, skips, final = alignment_states(scores, labels, mask, blank)
    if direction.shape != scores.shape:
        raise ValueError(
            f"a direction of shape {direction.shape} does not have the shape of the scores, "
            f"{scores.shape}"
        )
    batch, time, _ = scores.shape
    at, d_at = (
        np.take_along_axis(x.astype(float), states[:, None, :], axis=2) for x in (scores, direction)
    )
    none = np.full(states.shape, -np.inf)
    alphas, d_alphas = np.stack([none] * (time + 1)), np.zeros((time + 1, *states.shape))
    alphas[0, :, 0] = 0
    for t in range(time):
        old, d_old = alphas[t], d_alphas[t]
        step, d_step = _sum(
            (old, _shift(old, 1), np.where(skips, _shift(old, 2), -np.inf)),
            (d_old, _shift(d_old, 1, 0), _shift(d_old, 2, 0)),
        )
        alphas[t + 1] = np.where(mask[:, t, None], step + at[:, t], old)
        d_alphas[t + 1] = np.where(mask[:, t, None], d_step + d_at[:, t], d_old)
    beta, d_beta = np.where(final, 0.0, -np.inf), np.zeros(states.shape)
    possible = np.isfinite((alphas[time] + beta).max(axis=1, keepdims=True))
    found = np.zeros(scores.shape)
    rows = np.arange(batch)[:, None]
    for t in reversed(range(time)):
        exists = mask[:, t, None]
        share = np.where(exists & possible, alphas[t + 1] + beta, -np.inf)
        share = np.exp(share - np.maximum(share.max(axis=1, keepdims=True), LOWEST))
        share /= np.maximum(share.sum(axis=1, keepdims=True), 1)
        change = np.where(share > 0, d_alphas[t + 1] + d_beta, 0)
        change -= (share * change).sum(axis=1, keepdims=True)
        np.add.at(found[:, t], (rows, states), share * change)
        after, d_after = beta + at[:, t], d_beta + d_at[:, t]
        step, d_step = _sum(
            (after, _shift(after, -1), _shift(np.where(skips, after, -np.inf), -2)),
            (d_after, _shift(d_after, -1, 0), _shift(d_after, -2, 0)),
        )
        beta, d_beta = np.where(exists, step, beta), np.where(exists, d_step, d_beta)
    return found.astype(scores.dtype)


def alignment_states(
    scores: Array, labels: Array, mask: Array, blank: int
) -> tuple[Array, Array, Array]:
    """Get the states of alignments, which one may skip the one before, and which are final."""
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
    place = np.arange(states.shape[1])
    final = (place >= 2 * lengths[:, None] - 1) & (place <= 2 * lengths[:, None])
    return states, skips, final


def _sum(parts: Any, tangents: Any) -> tuple[Array, Array]:
    """Get the log of the sum of what some arrays are the logs of, and its tangent."""
    parts = np.stack(parts)
    top = np.maximum(parts.max(axis=0), LOWEST)
    powers = np.exp(parts - top)
    total = powers.sum(axis=0)
    tangent = (powers * np.stack(tangents)).sum(axis=0)
    with np.errstate(divide="ignore"):
        return top + np.log(total), tangent / np.where(total > 0, total, 1)


def _shift(x: Array, by: int, fill: float = -np.inf) -> Array:
    moved = np.full(x.shape, fill, float)
    if by > 0:
        moved[:, by:] = x[:, :-by]
    else:
        moved[:, :by] = x[:, -by:]
    return moved
