"""Ramp losses: structured losses that are bounded where costs are, and not convex."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt

from ..expressions import Expression
from ..options import Choice
from .chain import Classes
from .formulas import const
from .structured import Structured


class Ramp(Structured, names=("ramp",)):
    r"""Ramp loss, the difference of two maxima.

    - ``variant=1``: :math:`\max_y (s(y) + c(y)) - \max_y s(y)`;
    - ``variant=2``: :math:`\max_y s(y) - \max_y (s(y) - c(y))`;
    - ``variant=3``: :math:`\max_y (s(y) + c(y)) - \max_y (s(y) - c(y))`.

    At most the `structured_hinge`, and bounded if costs are, so that outliers
    matter little; not convex. The first pushes down what is costly and has a
    high score, the second pulls up what is cheap and has a high score, the
    third does both.

    Takes what `Structured` takes, and

    Parameters
    ----------
    variant : {1, 2, 3}
        Which; 1 by default.

    References
    ----------
    Gimpel & Smith 2012, "Structured ramp loss minimization for machine
    translation", ramp losses 1, 2 and 3; the first is that of Do et al. 2008.
    """

    options: ClassVar[dict[str, Any]] = {"variant": Choice(1, (1, 2, 3))}
    variant: int

    def error(self, space: Classes, target: Expression, cost: Expression) -> Expression:
        """Get the ramp loss of each choice."""
        return self.difference(space.best, space.unary, cost)

    def difference(
        self, top: Callable[[Any], Any], unary: Expression, cost: Expression
    ) -> Expression:
        """Get the difference of two (soft) maxima, by variant."""
        high = unary if self.variant == 2 else unary + cost
        low = unary if self.variant == 1 else unary - cost
        return top(high) - top(low)


class SoftRamp(Ramp, names=("soft_ramp",)):
    r"""Soft ramp loss, a `ramp` with sums, :math:`\log \sum_y \exp`, in place of maxima.

    - ``variant=1``: :math:`\log \sum_y e^{s(y) + c(y)} - \log \sum_y e^{s(y)}`;
    - ``variant=2``: :math:`\log \sum_y e^{s(y)} - \log \sum_y e^{s(y) - c(y)}`;
    - ``variant=3``: :math:`\log \sum_y e^{s(y) + c(y)} - \log \sum_y e^{s(y) - c(y)}`.

    Smooth, and bounded if costs are. Takes what `Ramp` takes.

    References
    ----------
    Gimpel 2012, "Discriminative feature-rich modeling for syntax-based
    machine translation" (thesis).
    """

    def error(self, space: Classes, target: Expression, cost: Expression) -> Expression:
        """Get the soft ramp loss of each choice."""
        return self.difference(space.log_sum, space.unary, cost)


class InfiniteRamp(Structured, names=("infinite_ramp",)):
    r"""Infinite ramp loss, :math:`\max_y (s(y) + c(y)) - \max_{y \in M} s(y)`.

    M are the outputs of the lowest cost. This is the third `ramp` loss in the
    limit of an infinite weight of the second cost, which it then leaves out:
    :math:`\lim_{\alpha \to \infty} \max_y (s(y) - \alpha c(y)) + \alpha
    \min_y c(y)`. Where only the target costs nothing, it is the
    `structured_hinge`; a ``cost`` matrix of which several entries of a row are
    0 says that the target may be any of several labels. Takes what
    `Structured` takes.

    References
    ----------
    Flanigan, Dyer, Smith & Carbonell 2016, "CMU at SemEval-2016 Task 8:
    Graph-based AMR parsing with infinite ramp loss".
    """

    def error(self, space: Classes, target: Expression, cost: Expression) -> Expression:
        """Get the infinite ramp loss of each choice."""
        lowest = pt.eq(cost, cost.min(axis=-1, keepdims=True))
        allowed = pt.switch(lowest, space.unary, const(-np.inf, cost))
        return space.best(space.unary + cost) - space.best(allowed)
