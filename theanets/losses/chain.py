"""What structured losses are about: choices of labels, whose scores they sum and maximize."""

from __future__ import annotations

import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad
from pytensor.tensor.special import softmax

from ..expressions import Expression
from ..ops.sequences import chain_best, chain_counts, chain_sums, with_boundary
from .formulas import const, log_sum_exp, pick


class Classes:
    """Labels that are chosen independently of each other.

    Parameters
    ----------
    scores : expression of shape (..., K)
        Scores of the labels.

    Attributes
    ----------
    unary : expression
        The scores less their maximum at each position, which no loss depends
        on. Sums and maxima of large scores then keep their digits.
    """

    def __init__(self, scores: Expression) -> None:
        self.unary = scores - disconnected_grad(scores.max(axis=-1, keepdims=True))

    def score(self, labels: Expression) -> Expression:
        """Get the score of labels."""
        return pick(self.unary, labels)

    def best(self, unary: Expression) -> Expression:
        """Get the highest score of any labels, with other scores of labels."""
        # Of several that are equal, the gradient is that of one.
        return pick(unary, pt.argmax(unary, axis=-1))

    def log_sum(self, unary: Expression) -> Expression:
        """Get the logarithm of the sum of exponentiated scores."""
        return log_sum_exp(unary)

    def mean(self, values: Expression) -> Expression:
        """Get the mean of values of labels, (..., K), over their distribution."""
        return (softmax(self.unary, axis=-1) * values).sum(axis=-1)

    def entries(self, errors: Expression) -> Expression:
        """Turn errors, one for each choice, into one for each entry of the target."""
        return errors


class Chain(Classes):
    """Sequences of labels of a linear chain.

    Parameters
    ----------
    scores : expression of shape (batch, time, K)
        Scores of the labels.
    transition : expression of shape (K, K)
        Scores of each label (row) being followed by each (column).
    start, end : expressions of shape (K)
        Scores of the first and of the last label.
    mask : boolean expression of shape (batch, time), optional
        Which steps exist; by default all.
    """

    def __init__(
        self,
        scores: Expression,
        transition: Expression,
        start: Expression,
        end: Expression,
        mask: Expression | None = None,
    ) -> None:
        super().__init__(scores)
        self.transition = with_boundary(transition, start, end)
        self.mask = pt.ones(scores.shape[:2], dtype="bool") if mask is None else mask

    def score(self, labels: Expression) -> Expression:
        """Get the score of each sequence of labels."""
        return self._score(self.unary, labels)

    def best(self, unary: Expression) -> Expression:
        """Get the highest score of any sequence, with other scores of labels."""
        return self._score(unary, chain_best(unary, self.transition, self.mask))

    def _score(self, unary: Expression, labels: Expression) -> Expression:
        nodes = pt.switch(self.mask, pick(unary, labels), const(0, unary)).sum(axis=1)
        counts = chain_counts(labels, self.transition, self.mask)
        # Transitions of -inf that do not occur must not make 0 * inf.
        edges = pt.switch(pt.eq(counts, 0), const(0, counts), counts * self.transition)
        return nodes + edges.sum(axis=(1, 2))

    def decode(self) -> Expression:
        """Get the best labels of each sequence, 0 at steps that do not exist."""
        return chain_best(self.unary, self.transition, self.mask)

    def log_sum(self, unary: Expression) -> Expression:
        """Get the logarithm of the sum of exponentiated scores of all sequences."""
        return chain_sums(unary, self.transition, self.mask)[0]

    def mean(self, values: Expression) -> Expression:
        """Get the mean sum of values of labels, (batch, time, K), of each sequence."""
        _, node, _ = chain_sums(self.unary, self.transition, self.mask)
        return (node * values).sum(axis=(1, 2))

    def entries(self, errors: Expression) -> Expression:
        """Share the error of each sequence among its steps."""
        mask = self.mask.astype(errors.dtype)
        length = pt.maximum(mask.sum(axis=1), const(1, errors))
        return (errors / length)[:, None] * mask
