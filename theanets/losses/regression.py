"""Losses for values: how far an output is from its target."""

from __future__ import annotations

from typing import Any

import pytensor.tensor as pt

from .base import Loss, one_hot


class Regression(Loss, abstract=True):
    """Base class of losses that compare values entry by entry.

    Where the target holds class labels, each is compared as a vector with a
    1 at the label and zeros elsewhere.
    """

    def errors(self, target: Any, output: Any) -> Any:
        """Get the error of each entry of the target."""
        if target.ndim == output.ndim - 1 and target.dtype.startswith("int"):
            target = one_hot(target, output.shape[-1], output.dtype)
            return self.distance(target, output).mean(axis=-1)
        return self.distance(target, output)

    def distance(self, target: Any, output: Any) -> Any:
        """Get the error of each entry of the output."""
        raise TypeError(f"loss class {type(self).__name__} does not define distance")


class MeanSquaredError(Regression, names=("mse",)):
    r"""Mean squared error, :math:`(y - t)^2`.

    The mean over all entries. Targets and outputs are any real numbers, of
    the same shape. The minimizer is the conditional mean; use it for
    regression with errors that are roughly normal.
    """

    def distance(self, target: Any, output: Any) -> Any:
        """Get ``(y - t) ** 2``."""
        return pt.sqr(output - target)


class MeanAbsoluteError(Regression, names=("mae",)):
    r"""Mean absolute error, :math:`|y - t|`.

    The mean over all entries. Targets and outputs are any real numbers, of
    the same shape. The minimizer is the conditional median; use it for
    regression with outliers.
    """

    def distance(self, target: Any, output: Any) -> Any:
        """Get ``|y - t|``."""
        return pt.abs(output - target)
