"""Metrics of quantiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from .base import Array, Metric, Part, ratio
from .base import mean as average


class OfQuantiles(Metric, abstract=True):
    """Base class of means of what quantiles are worth at each entry."""

    kinds: ClassVar[tuple[str, ...]] = ("quantiles",)

    def start(self, kind: str, size: int) -> None:
        """Begin with sums of 0."""
        self.sums = np.zeros((2, size))

    def add(self, part: Part) -> None:
        """Add a batch."""
        weights = part.weights
        self.sums += (weights * self.worth(part)).sum(axis=0), weights.sum(axis=0)

    def state(self) -> dict[str, Array]:
        """Get the sums."""
        return {"sums": self.sums}

    def merge(self, state: Mapping[str, Array]) -> None:
        """Add the sums of another one."""
        self.sums += state["sums"]

    def value(self) -> float:
        """Get the mean, of each variable and over these."""
        worth, weights = self.sums
        return average(ratio(worth, weights, 0), weights > 0)

    def worth(self, part: Part) -> Array:
        """Get what is averaged, of shape (rows, variables)."""
        raise NotImplementedError


class Pinball(OfQuantiles, names=("pinball",)):
    r"""The mean pinball loss, :math:`\max(q (t - y), (q - 1) (t - y))`: ``mean_pinball_loss``.

    The mean over the quantiles y of order q, which is what the loss
    ``'quantile'`` is without reductions and penalties.
    """

    better = "min"

    def worth(self, part: Part) -> Array:
        """Get the mean over the quantiles."""
        orders, short = np.array(part.orders), part.target[..., None] - part.output
        found: Array = np.maximum(orders * short, (orders - 1) * short).mean(axis=-1)
        return found


class Coverage(OfQuantiles, names=("coverage",)):
    """The share of targets from the least to the greatest quantile, these included.

    For the orders 0.05 and 0.95 it should be 0.9: less means that intervals
    are too narrow, more that they are too wide. Of a single quantile it is the
    share of targets that are not above, which should be its order.
    """

    better = None

    def worth(self, part: Part) -> Array:
        """Tell which targets are within."""
        orders, target = part.orders, part.target
        high = target <= part.output[..., int(np.argmax(orders))]
        if len(orders) == 1:
            return high
        return high & (target >= part.output[..., int(np.argmin(orders))])
