"""Metrics of values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from .base import Array, Metric, Part, ratio
from .base import mean as average


class Error(Metric, abstract=True):
    """Base class of mean errors: of each variable, then the mean over variables."""

    kinds: ClassVar[tuple[str, ...]] = ("values",)
    better = "min"

    def start(self, kind: str, size: int) -> None:
        """Begin with sums of 0."""
        self.sums = np.zeros((2, size))

    def add(self, part: Part) -> None:
        """Add the errors of a batch."""
        errors = self.error(part.output - part.target)
        self.sums += (part.weights * errors).sum(axis=0), part.weights.sum(axis=0)

    def state(self) -> dict[str, Array]:
        """Get the sums."""
        return {"sums": self.sums}

    def merge(self, state: Mapping[str, Array]) -> None:
        """Add the sums of another one."""
        self.sums += state["sums"]

    def value(self) -> float:
        """Get the mean."""
        errors, weights = self.sums
        return average(self.link(ratio(errors, weights, 0)), weights > 0)

    def error(self, difference: Array) -> Array:
        """Get the error of each entry."""
        return difference**2

    def link(self, mean: Array) -> Array:
        """Get the figure of each variable from its mean error."""
        return mean


class MAE(Error, names=("mae",)):
    """The mean absolute error: ``mean_absolute_error``."""

    def error(self, difference: Array) -> Array:
        """Get the absolute error."""
        return np.abs(difference)


class MSE(Error, names=("mse",)):
    """The mean squared error: ``mean_squared_error``."""


class RMSE(Error, names=("rmse",)):
    """The root of the mean squared error: ``root_mean_squared_error``.

    Of each variable, then the mean over variables.
    """

    def link(self, mean: Array) -> Array:
        """Get the root."""
        return np.sqrt(mean)


class R2(Metric, names=("r2",)):
    r"""R squared, :math:`1 - \sum w (y - \hat y)^2 / \sum w (y - \bar y)^2`: ``r2_score``.

    Of each variable, then the mean over variables. Where a target is constant
    it is 1 if it is met exactly, else 0. (`theanets.Network.score` leaves such
    variables out.)
    """

    kinds: ClassVar[tuple[str, ...]] = ("values",)

    def start(self, kind: str, size: int) -> None:
        """Begin with nothing."""
        self.total, self.mean, self.spread, self.residual = np.zeros((4, size))

    def add(self, part: Part) -> None:
        """Add a batch."""
        y, w = part.target, part.weights
        total = w.sum(axis=0)
        mean = ratio((w * y).sum(axis=0), total, 0)
        self._join(total, mean, (w * (y - mean) ** 2).sum(axis=0))
        self.residual += (w * (y - part.output) ** 2).sum(axis=0)

    def state(self) -> dict[str, Array]:
        """Get the sums."""
        return {key: getattr(self, key) for key in ("total", "mean", "spread", "residual")}

    def merge(self, state: Mapping[str, Array]) -> None:
        """Add the sums of another one."""
        self._join(state["total"], state["mean"], state["spread"])
        self.residual += state["residual"]

    def _join(self, total: Array, mean: Array, spread: Array) -> None:
        # Sums of squares about the mean of each part keep their digits (Chan et al. 1979).
        both, shift = self.total + total, mean - self.mean
        share = ratio(total, both, 0)
        self.spread += spread + shift**2 * self.total * share
        self.mean += shift * share
        self.total = both

    def value(self) -> float:
        """Get R squared."""
        exact = np.where(self.residual == 0, 1.0, 0.0)
        found = np.where(self.spread > 0, 1 - ratio(self.residual, self.spread, 0), exact)
        return average(found, self.total > 0)
