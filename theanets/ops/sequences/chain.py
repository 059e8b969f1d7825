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

from collections.abc import Sequence
from typing import Any, ClassVar

import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply

from ...expressions import Expression
from ..base import Array, KernelOp, connected, source_key
from . import chain_by_numpy, hyperdual
from .higher import Higher, third


class ChainOp(KernelOp):
    """Base class of the Ops on chains."""

    __props__ = ()
    kernel_name: ClassVar[str]

    def kernel(self) -> tuple[Any, str | None]:
        """Get the compiled function, and its key for the cache on the disk."""
        from . import chain_by_numba

        key = source_key(chain_by_numba.__name__, self.kernel_name)
        return getattr(chain_by_numba, self.kernel_name), key


class ForwardBackward(ChainOp):
    """Log-partition function of each sequence, and its gradient.

    Inputs ``unary`` (batch, time, K), ``transition`` (K + 1, K + 1) and
    ``mask`` (batch, time) of bool. Outputs ``logz`` (batch), ``node`` (batch,
    time, K), the marginal probabilities of labels, and ``pair`` (batch, K + 1,
    K + 1), the expected numbers of transitions. Computes in float64 and
    returns the dtype of ``unary``. All outputs are differentiable any number of times.
    """

    kernel_name = "forward_backward"

    def make_node(self, unary: Expression, transition: Expression, mask: Expression) -> Apply:
        unary, transition, mask = _inputs(unary, transition, mask)
        batch, _, _ = unary.type.shape
        width = transition.type.shape[0]
        outputs = [
            pt.tensor(dtype=unary.dtype, shape=(batch,)),
            unary.type(),
            pt.tensor(dtype=unary.dtype, shape=(batch, width, width)),
        ]
        return Apply(self, [unary, transition, mask], outputs)

    def perform(self, node: Apply, inputs: Sequence[Array], storage: list[list[Any]]) -> None:
        for cell, value in zip(storage, chain_by_numpy.forward_backward(*inputs), strict=True):
            cell[0] = value

    def output_shapes(self, *shapes: tuple[Expression, ...]) -> list[tuple[Expression, ...]]:
        unary, transition, _ = shapes
        return [(unary[0],), unary, (unary[0], *transition)]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        return [[True] * 3, [True] * 3, [False] * 3]

    def pullback(
        self,
        inputs: Sequence[Expression],
        outputs: Sequence[Expression],
        cotangents: Sequence[Expression],
    ) -> list[Expression]:
        (unary, transition, mask), (_, node, pair) = inputs, outputs
        g_logz, g_node, g_pair = map(connected, cotangents)
        d_unary, d_pair = [], []
        if g_logz is not None:
            d_unary.append(g_logz[:, None, None] * node)
            d_pair.append(g_logz[:, None, None] * pair)
        if g_node is not None or g_pair is not None:
            # The Jacobian is symmetric, so that the pullback is the tangent.
            found = Tangent()(
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
    Its derivatives are `HigherChain`.
    """

    kernel_name = "tangent"

    def make_node(
        self,
        unary: Expression,
        transition: Expression,
        mask: Expression,
        d_unary: Expression,
        d_transition: Expression,
    ) -> Apply:
        unary, transition, mask = _inputs(unary, transition, mask)
        d_unary, d_transition = pt.as_tensor(d_unary), pt.as_tensor(d_transition)
        width = transition.type.shape[0]
        outputs = [
            unary.type(),
            pt.tensor(dtype=unary.dtype, shape=(unary.type.shape[0], width, width)),
        ]
        return Apply(self, [unary, transition, mask, d_unary, d_transition], outputs)

    def perform(self, node: Apply, inputs: Sequence[Array], storage: list[list[Any]]) -> None:
        storage[0][0], storage[1][0] = chain_by_numpy.forward_backward_tangent(*inputs)

    def output_shapes(self, *shapes: tuple[Expression, ...]) -> list[tuple[Expression, ...]]:
        return [shapes[0], (shapes[0][0], *shapes[1])]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        return [[i != 2] * 2 for i in range(5)]

    def pullback(
        self,
        inputs: Sequence[Expression],
        outputs: Sequence[Expression],
        cotangents: Sequence[Expression],
    ) -> list[Expression]:
        unary, transition, mask, *direction = inputs
        arriving = [
            pt.zeros_like(out) if g is None else g.astype(out.dtype)
            for g, out in zip(map(connected, cotangents), outputs, strict=True)
        ]
        # The second derivative of a sum is symmetric, so that the direction and the cotangents
        # may change places.
        linear = self(unary, transition, mask, *arriving, return_list=True)
        again = third(HigherChain(2), inputs[:3], [tuple(direction), tuple(arriving)])
        return [*again, *linear]


class HigherChain(Higher):
    """Derivative of `ForwardBackward`'s ``node`` and ``pair`` along several directions.

    Inputs those of `ForwardBackward`, then for each direction ``d_unary`` (batch, time, K) and
    ``d_transition`` (batch, K + 1, K + 1). Outputs are of these shapes.
    """

    scores = (0, 1)

    def change(self, *arrays: Array) -> tuple[Array, ...]:
        unary, transition, mask = arrays[:3]
        directions = [(du, da) for du, da in self.directions(arrays)]
        return hyperdual.chain_change(unary, transition, mask, directions)


class Viterbi(ChainOp):
    """Best labels of each sequence (batch, time), 0 outside of the mask.

    Inputs as for `ForwardBackward`. Of several best sequences, the one whose
    last label that differs is the smallest. Has no gradient.
    """

    kernel_name = "viterbi"

    def make_node(self, unary: Expression, transition: Expression, mask: Expression) -> Apply:
        unary, transition, mask = _inputs(unary, transition, mask)
        path = pt.tensor(dtype="int32", shape=unary.type.shape[:2])
        return Apply(self, [unary, transition, mask], [path])

    def perform(self, node: Apply, inputs: Sequence[Array], storage: list[list[Any]]) -> None:
        storage[0][0] = chain_by_numpy.viterbi(*inputs)

    def output_shapes(self, *shapes: tuple[Expression, ...]) -> list[tuple[Expression, ...]]:
        return [shapes[0][:2]]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        return [[False]] * 3


class PathCounts(ChainOp):
    """How often each transition occurs in sequences of labels.

    Inputs ``labels`` (batch, time) of int, ``transition``, of which shape and
    dtype are used, and ``mask``. Output (batch, K + 1, K + 1). Has no
    gradient.
    """

    kernel_name = "path_counts"

    def make_node(self, labels: Expression, transition: Expression, mask: Expression) -> Apply:
        labels, transition, mask = map(pt.as_tensor, (labels, transition, mask))
        if labels.ndim != 2 or not labels.dtype.startswith("int"):
            raise TypeError(f"labels {labels.type} are not a matrix of integers")
        _check(transition, mask)
        width = transition.type.shape[0]
        counts = pt.tensor(dtype=transition.dtype, shape=(labels.type.shape[0], width, width))
        return Apply(self, [labels, transition, mask], [counts])

    def perform(self, node: Apply, inputs: Sequence[Array], storage: list[list[Any]]) -> None:
        storage[0][0] = chain_by_numpy.path_counts(*inputs)

    def output_shapes(self, *shapes: tuple[Expression, ...]) -> list[tuple[Expression, ...]]:
        return [(shapes[0][0], *shapes[1])]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        return [[False]] * 3


def _inputs(
    unary: Expression, transition: Expression, mask: Expression
) -> tuple[Expression, Expression, Expression]:
    unary, transition, mask = map(pt.as_tensor, (unary, transition, mask))
    if unary.ndim != 3 or unary.dtype not in ("float32", "float64"):
        raise TypeError(f"unary scores {unary.type} are not (batch, time, labels) of floats")
    _check(transition, mask)
    return unary, transition, mask


def _check(transition: Expression, mask: Expression) -> None:
    if transition.ndim != 2:
        raise TypeError(f"transition scores {transition.type} are not a matrix")
    if mask.ndim != 2 or mask.dtype != "bool":
        raise TypeError(f"mask {mask.type} is not (batch, time) of bool")


def chain_sums(
    unary: Expression, transition: Expression, mask: Expression
) -> tuple[Expression, Expression, Expression]:
    """Get ``logz``, ``node`` and ``pair`` as expressions; see `ForwardBackward`."""
    logz, node, pair = ForwardBackward()(unary, transition, mask)
    return logz, node, pair


def chain_best(unary: Expression, transition: Expression, mask: Expression) -> Expression:
    """Get the best labels as an expression; see `Viterbi`."""
    return Viterbi()(unary, transition, mask)


def chain_counts(labels: Expression, transition: Expression, mask: Expression) -> Expression:
    """Get the numbers of transitions as an expression; see `PathCounts`."""
    return PathCounts()(labels, transition, mask)


def with_boundary(transition: Expression, start: Expression, end: Expression) -> Expression:
    """Get the matrix of transitions with the boundary as the last label.

    Parameters
    ----------
    transition : expression of shape (K, K)
        Scores of each label (row) being followed by each (column).
    start, end : expressions of shape (K)
        Scores of the first and of the last label; they become the last row
        and the last column.
    """
    k = transition.shape[0]
    matrix = pt.zeros((k + 1, k + 1), dtype=transition.dtype)
    matrix = matrix[:k, :k].set(transition)
    matrix = matrix[k, :k].set(start)
    return matrix[:k, k].set(end)
