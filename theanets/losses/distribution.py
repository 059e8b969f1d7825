"""Distances between distributions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad
from pytensor.tensor.special import log_softmax

from ..expressions import Expression
from ..options import Choice, Numbers
from ..outputs import Outputs
from .base import Limits, Loss
from .classification import Scores
from .formulas import const, nonzero, safe_log, sqr_norm


class KullbackLeiblerDivergence(Scores, names=("kl", "kld")):
    r"""Kullback-Leibler divergence, :math:`\sum_k t_k \log (t_k / p_k)`, to the target t.

    The sum over classes, the last axis; the mean over examples (and steps).
    Targets are distributions of the output's shape; an entry of 0 adds
    nothing. Outputs are as for ``xe``: of a softmax layer, and with
    ``logits=True``, logits; otherwise probabilities, up to a common factor.
    It is ``xe`` minus the entropy of the target, so that 0 is the best. Use
    it where targets are distributions, for instance another network's.

    References
    ----------
    Kullback & Leibler 1951, "On information and sufficiency".
    """

    accepts_labels = False

    def limits(self) -> Limits:
        """Get the limits of probabilities."""
        low = None if self.logits else 0
        return {"target": (0, None), self.output_name: (low, None)}

    def link(self, output: Expression) -> Expression:
        """Get the logarithm of probabilities."""
        return safe_log(output)

    def errors(self, target: Expression, output: Expression) -> Expression:
        """Get the divergence of each example."""
        positive = target > 0
        log = pt.log(pt.switch(positive, target, const(1, target)))
        return (target * (log - log_softmax(output, axis=-1))).sum(axis=-1)


class MaximumMeanDiscrepancy(Loss, names=("mmd",)):
    r"""Maximum mean discrepancy, a distance between the samples of outputs and targets.

    :math:`\overline{k(y, y')} + \overline{k(t, t')} - 2\, \overline{k(y, t)}`,
    with means over all pairs of examples in the batch (those of an example
    with itself included), and the kernel :math:`k(a, b) = \exp(-\|a - b\|^2 /
    2 \sigma^2)`. At least 0. Targets and outputs are of the same shape, of
    any number of axes; an example is taken as one vector. With weights, one
    for each example (the mean of its entries'), the means are weighted.

    Use it where the distribution of outputs matters and not which example
    has which, for instance for codes. It compares the examples of a batch, so
    batches should be large; over several batches the loss is the mean of
    theirs, by their examples.

    Parameters
    ----------
    kernel : float, list of float, 'median' or callable
        The bandwidth :math:`\sigma`; 1 by default. Of several, kernels are
        averaged. ``'median'`` takes the median distance of all pairs among
        the batch's outputs and targets, as a constant. A callable maps two
        expressions of shape (m, variables) and (n, variables) to the kernel's
        values (m, n).
    reduction : {'mean'}
        There is only one: the distance is not a sum over examples.

    References
    ----------
    Gretton et al. 2012, "A kernel two-sample test".
    """

    options: ClassVar[dict[str, Any]] = {
        "kernel": 1.0,
        "reduction": Choice("mean", ("mean",)),
    }
    accepts_labels = False
    kernel: Any

    def check_options(self) -> None:
        """Refuse bandwidths that are not positive."""
        named = isinstance(self.kernel, str) and self.kernel == "median"
        if named or (callable(self.kernel) and not isinstance(self.kernel, type)):
            return
        widths = Numbers(1.0, "positive")
        widths.expected += ", 'median' or a callable"
        self.kernel = widths.check("kernel", self.kernel, f"loss {self.name!r}")

    def terms(self, outputs: Mapping[str, Any]) -> tuple[Expression, Expression]:
        """Get the distance times the examples (or their weights), and these."""
        target, output, weights = self.masked(Outputs.of(outputs))
        output, target = (x.reshape((x.shape[0], -1)) for x in (output, target))
        if weights is None:
            weights = pt.ones_like(output[:, 0])
        elif weights.ndim > 1:
            weights = weights.mean(axis=tuple(range(1, weights.ndim)))
        count = weights.sum()
        share = weights / nonzero(count)
        kernel = self._kernel(output, target, pt.neq(weights, 0))
        found = (
            share @ kernel(output, output) @ share
            + share @ kernel(target, target) @ share
            - const(2, output) * (share @ kernel(output, target) @ share)
        )
        return found * count, count

    def _kernel(
        self, output: Expression, target: Expression, seen: Expression
    ) -> Callable[[Expression, Expression], Expression]:
        if callable(self.kernel):
            return self.kernel
        if isinstance(self.kernel, str):
            widths = [_median(pt.concatenate([output, target]), pt.concatenate([seen, seen]))]
        else:
            widths = [const(width, output) for width in np.ravel(self.kernel)]

        def kernel(a: Expression, b: Expression) -> Expression:
            squares = _distances(a, b)
            values = [pt.exp(squares / (const(-2, squares) * pt.sqr(w))) for w in widths]
            return sum(values[1:], values[0]) / const(len(values), squares)

        return kernel


def _distances(a: Expression, b: Expression) -> Expression:
    """Get the squared distance of each row of ``a`` to each of ``b``."""
    # By products, which need no array of (m, n, variables); near the origin, where
    # the difference of squares keeps its digits.
    center = disconnected_grad(b.mean(axis=0, keepdims=True))
    a, b = a - center, b - center
    product = const(2, a) * (a @ b.T)
    return pt.maximum(sqr_norm(a)[:, None] + sqr_norm(b)[None, :] - product, const(0, a))


def _median(rows: Expression, seen: Expression) -> Expression:
    """Get the median distance of different rows that are seen, or 1 if it is 0."""
    squares = _distances(rows, rows)
    order = pt.arange(rows.shape[0])
    pairs = seen[:, None] & seen[None, :] & pt.lt(order[:, None], order[None, :])
    count = pairs.sum()
    ordered = pt.sort(pt.switch(pairs, squares, const(np.inf, squares)).ravel())
    last = pt.maximum(count - 1, 0)
    middle = (pt.sqrt(ordered[last // 2]) + pt.sqrt(ordered[count // 2])) * const(0.5, squares)
    usable = (count > 0) & (middle > 0)
    return disconnected_grad(pt.switch(usable, middle, const(1, squares)))
