"""Losses for values: how far an output is from its target."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt

from ..expressions import Expression
from ..options import Flag, Number, Whole
from .base import Limits, Loss
from .formulas import FLOOR, const, one_hot, safe_exp, safe_log, sqr_norm


class Regression(Loss, abstract=True):
    """Base class of losses that compare values entry by entry.

    Where the target holds class labels, each is compared as a vector with a
    1 at the label and zeros elsewhere.

    A subclass defines `distance`.
    """

    def errors(self, target: Expression, output: Expression) -> Expression:
        """Get the error of each entry of the target."""
        if target.ndim == output.ndim - 1 and target.dtype.startswith("int"):
            target = one_hot(target, output.shape[-1], output.dtype)
            return self.distance(target, output).mean(axis=-1)
        return self.distance(target, output)

    def distance(self, target: Expression, output: Expression) -> Expression:
        """Get the error of each entry of the output."""
        raise TypeError(f"loss class {type(self).__name__} does not define distance")


class MeanSquaredError(Regression, names=("mse",)):
    r"""Mean squared error, :math:`(y - t)^2`.

    The mean over all entries. Targets and outputs are any real numbers, of
    the same shape. The minimizer is the conditional mean; use it for
    regression with errors that are roughly normal. (With
    ``reduction='batch'`` it is the squared distance of output and target.)
    """

    def distance(self, target: Expression, output: Expression) -> Expression:
        """Get ``(y - t) ** 2``."""
        return pt.sqr(output - target)


class MeanAbsoluteError(Regression, names=("mae",)):
    r"""Mean absolute error, :math:`|y - t|`.

    The mean over all entries. Targets and outputs are any real numbers, of
    the same shape; the gradient is 0 where they are equal. The minimizer is
    the conditional median; use it for regression with outliers.
    """

    def distance(self, target: Expression, output: Expression) -> Expression:
        """Get ``|y - t|``."""
        return pt.abs(output - target)


class Huber(Regression):
    r"""Huber's loss, a parabola that goes on as two straight lines.

    :math:`\tfrac12 d^2` for :math:`|d| \le \delta`, else :math:`\delta (|d| -
    \tfrac12 \delta)`, with :math:`d = y - t`; the mean over all entries.
    Targets and outputs are any real numbers, of the same shape. Use it for
    regression with some outliers, where ``mae`` would be slow near the
    minimum.

    Parameters
    ----------
    delta : float
        Where the lines begin, positive; 1 by default.

    References
    ----------
    Huber 1964, "Robust estimation of a location parameter".
    """

    options: ClassVar[dict[str, Any]] = {"delta": Number(1.0, "positive")}
    delta: float

    def distance(self, target: Expression, output: Expression) -> Expression:
        """Get the error of each entry."""
        size = pt.abs(output - target)
        inner = pt.minimum(size, const(self.delta, size))
        # 0.5 * size ** 2 inside; outside, inner is delta.
        return inner * (size - const(0.5, size) * inner)


class SmoothL1(Regression, names=("smooth_l1",)):
    r"""The absolute error with its kink rounded off; ``huber`` divided by its threshold.

    :math:`d^2 / (2 \beta)` for :math:`|d| < \beta`, else :math:`|d| -
    \tfrac12 \beta`, with :math:`d = y - t`; the mean over all entries.
    Targets and outputs are any real numbers, of the same shape. Use it as
    ``mae``, for instance for coordinates of boxes.

    Parameters
    ----------
    beta : float
        Where the lines begin; 1 by default, 0 gives ``mae``.

    References
    ----------
    Girshick 2015, "Fast R-CNN".
    """

    options: ClassVar[dict[str, Any]] = {"beta": Number(1.0, "nonnegative")}
    beta: float

    def distance(self, target: Expression, output: Expression) -> Expression:
        """Get the error of each entry."""
        size = pt.abs(output - target)
        if self.beta == 0:
            return size
        inner = pt.minimum(size, const(self.beta, size))
        return inner * (size - const(0.5, size) * inner) / const(self.beta, size)


class LogCosh(Regression, names=("log_cosh",)):
    r"""Logarithm of the hyperbolic cosine, :math:`\log \cosh (y - t)`.

    The mean over all entries. Targets and outputs are any real numbers, of
    the same shape. It is nearly :math:`\tfrac12 d^2` for small differences d
    and :math:`|d| - \log 2` for large ones, and smooth everywhere; use it as
    ``huber`` where second derivatives matter.
    """

    def distance(self, target: Expression, output: Expression) -> Expression:
        """Get ``log(cosh(y - t))``."""
        size = pt.abs(output - target)
        small = size < const(1, size)
        # cosh(d) = 1 + 2 * sinh(d / 2) ** 2 loses nothing near 0.
        half = pt.switch(small, (output - target) * const(0.5, size), const(0, size))
        near = pt.log1p(const(2, size) * pt.sqr(pt.sinh(half)))
        far = size + pt.log1p(pt.exp(const(-2, size) * size)) - const(math.log(2), size)
        return pt.switch(small, near, far)


class _Logarithmic(Regression, abstract=True):
    """Base class of losses of positive values, whose outputs are logarithms by default."""

    options: ClassVar[dict[str, Any]] = {"log_input": Flag(True)}
    log_input: bool
    # One-hot labels are no counts, nor are classes rates.
    accepts_labels = False

    def limits(self) -> Limits:
        """Get the limits of targets and outputs."""
        return {"target": (0, None), self.output_name: (None if self.log_input else 0, None)}

    def values(self, output: Expression) -> Expression:
        """Get what is compared with targets: not logarithms."""
        return safe_exp(output) if self.log_input else output

    def point(self, output: Expression) -> Expression:
        """Get the means that an output, an array, says."""
        return np.exp(output) if self.log_input else output


class Poisson(_Logarithmic):
    r"""Negative log-likelihood of counts with a Poisson distribution.

    With rate :math:`\lambda`, :math:`\lambda - t \log \lambda`; the mean over
    all entries. Targets are counts, or any numbers of at least 0. Outputs, of
    the same shape, are :math:`\log \lambda` (any real number, for a linear
    output layer), or with ``log_input=False`` the rates (positive, for a
    softplus output layer). Use it for counts and rates.

    Parameters
    ----------
    log_input : bool
        Whether outputs are logarithms of rates; True by default.
    full : bool
        Whether to add :math:`\log t!`, which does not depend on the output,
        but makes the value that of the likelihood.

    Notes
    -----
    A rate above ``exp(60)`` in float32, ``exp(450)`` in float64, and the
    logarithm of one below 1e-30 and 1e-200, go on as straight lines.
    """

    options: ClassVar[dict[str, Any]] = {"full": Flag(False)}
    full: bool

    def distance(self, target: Expression, output: Expression) -> Expression:
        """Get the error of each entry."""
        if self.log_input:
            found = safe_exp(output) - target * output
        else:
            found = output - target * safe_log(output)
        return found + pt.gammaln(target + const(1, target)) if self.full else found


class Gamma(_Logarithmic):
    r"""Negative log-likelihood of positive values with a gamma distribution.

    With mean :math:`\mu`, :math:`\log \mu + t / \mu`; the mean over all
    entries. That is the likelihood divided by the distribution's shape
    parameter, whatever it is, without terms that do not depend on the output.
    Targets are numbers of at least 0. Outputs, of the same shape, are
    :math:`\log \mu` (any real number, for a linear output layer), or with
    ``log_input=False`` the means (positive, for a softplus output layer). Use
    it for positive values whose spread is proportional to their mean, such as
    costs and durations.

    Parameters
    ----------
    log_input : bool
        Whether outputs are logarithms of means; True by default.

    Notes
    -----
    :math:`1 / \mu` above ``exp(60)`` in float32, ``exp(450)`` in float64, and
    the logarithm of a mean below 1e-15 and 1e-100, go on as straight lines.

    References
    ----------
    McCullagh & Nelder 1989, "Generalized linear models", chapter 8.
    """

    def distance(self, target: Expression, output: Expression) -> Expression:
        """Get the error of each entry."""
        log = output if self.log_input else safe_log(output, math.sqrt(FLOOR[output.dtype]))
        return log + target * safe_exp(-log)


class MeanSquaredLogError(Regression, names=("msle",)):
    r"""Mean squared logarithmic error, :math:`(\log(1 + y) - \log(1 + t))^2`.

    The mean over all entries. Targets and outputs are of the same shape and
    greater than -1, usually at least 0 (a softplus or relu output layer). Use
    it for values over several orders of magnitude, where the ratio matters
    and not the difference.

    Notes
    -----
    Where an output comes closer to -1 than the precision of its type, or is
    below, the logarithm goes on as a straight line.
    """

    def limits(self) -> Limits:
        """Get the limits of targets and outputs."""
        return {"target": (-1, None), self.output_name: (-1, None)}

    def distance(self, target: Expression, output: Expression) -> Expression:
        """Get the error of each entry."""
        return pt.sqr(_log1p(output) - _log1p(target))


class MeanAbsolutePercentageError(Regression, names=("mape",)):
    r"""Mean absolute percentage error, :math:`|y - t| / \max(|t|, \epsilon)`.

    The mean over all entries, as a fraction: 0.1 is 10 percent. Targets and
    outputs are any real numbers, of the same shape; targets near 0 dominate.
    Use it where the relative error of values that are far from 0 matters.

    Parameters
    ----------
    eps : float
        What a target divides by at least; 1e-8 by default.
    """

    options: ClassVar[dict[str, Any]] = {"eps": Number(1e-8, "positive")}
    eps: float

    def distance(self, target: Expression, output: Expression) -> Expression:
        """Get the error of each entry."""
        return pt.abs(output - target) / pt.maximum(pt.abs(target), const(self.eps, target))


class Cosine(Loss):
    r"""Cosine distance, :math:`1 - y \cdot t / (\|y\| \|t\|)`, from 0 to 2.

    The mean over vectors. Targets and outputs are vectors along one axis, of
    the same shape, of any length but 0: a norm below ``eps`` counts as
    ``eps``, so that the error of a vector of zeros is 1. Use it for
    embeddings, where the direction matters and not the length.

    Parameters
    ----------
    axis : int
        The axis of the vectors, the last by default; not the first, which has
        the examples.
    eps : float
        Least norm, in (0, 1]; 1e-8 by default.
    """

    options: ClassVar[dict[str, Any]] = {
        "axis": Whole(-1, least=None),
        "eps": Number(1e-8, "shrinkage"),
    }
    axis: int
    eps: float
    accepts_labels = False

    def check_options(self) -> None:
        """Refuse the batch as the axis."""
        self.require(self.axis != 0, "axis", "an integer other than 0")
        self.joint_axis = self.axis

    def errors(self, target: Expression, output: Expression) -> Expression:
        """Get the distance of each pair of vectors."""
        self.require(
            -output.ndim < self.axis < output.ndim,
            "axis",
            f"an axis of vectors of output {self.output_name!r}, which has {output.ndim} axes",
        )
        low = const(self.eps**2, output)
        norms = pt.sqrt(pt.maximum(sqr_norm(output, self.axis), low)) * pt.sqrt(
            pt.maximum(sqr_norm(target, self.axis), low)
        )
        return const(1, output) - (output * target).sum(axis=self.axis) / norms


def _log1p(x: Expression) -> Expression:
    low = float(np.finfo(x.dtype).eps)
    return safe_log(
        x + const(1, x), low, log=lambda above: pt.log1p(pt.switch(above, x, const(0, x)))
    )
