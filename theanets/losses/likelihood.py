"""Likelihoods of distributions whose parameters a network predicts, by several outputs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import pytensor.tensor as pt
from pytensor.tensor.special import log_softmax

from .. import names as _names
from ..errors import ConfigurationError
from ..expressions import Expression
from ..options import Flag, Name, Number
from ..outputs import Outputs
from .base import Limits, Loss
from .formulas import FLOOR, const, log_sum_exp, safe_exp, safe_log
from .place import Shape


class Likelihood(Loss, abstract=True):
    """Base class of likelihoods whose parameters are outputs of several layers.

    A subclass lists in ``roles`` the options that name these outputs; one of
    them, ``center``, is what is compared with the target, and its name is
    also the loss's ``output_name``.
    """

    roles: ClassVar[tuple[str, ...]] = ()
    center: ClassVar[str] = ""
    accepts_labels = False

    def __init__(
        self,
        target: Any = None,
        weight: float = 1.0,
        weighted: bool | None = None,
        output_name: str | None = None,
        **options: Any,
    ) -> None:
        named = options.get(self.center)
        if named is not None:
            _names.output_name(named)
        if output_name is None or _names.output_name(output_name) == "out:out":
            output_name = named or self.valid_options()[self.center]
        elif named and _names.output_name(named) != _names.output_name(output_name):
            raise ConfigurationError(
                f"loss {self.name!r}: {self.center}={named!r} and output_name={output_name!r} "
                "are two names for the same; give one of them"
            )
        options[self.center] = output_name = _names.output_name(output_name)
        super().__init__(target, weight, weighted, output_name, **options)

    @property
    def output_names(self) -> list[str]:
        """Full names of the outputs, in the order of ``roles``."""
        found = {role: _names.output_name(getattr(self, role)) for role in self.roles}
        found[self.center] = self.output_name
        return list(found.values())

    def to_spec(self) -> dict[str, Any]:
        """Get the keywords that build the loss again, with its form."""
        return {**super().to_spec(), self.center: self.output_name}

    def scores(self, outputs: Outputs) -> tuple[Any, Callable[[Any], Any]]:
        """Get the outputs, as a tuple."""
        return tuple(self.find(outputs, name) for name in self.output_names), lambda raw: raw


class LocationScale(Likelihood, abstract=True):
    """Base class of likelihoods with a location and a positive spread for each entry.

    A subclass has the options ``mean_name``, one that names the spread, one
    that says whether that is a logarithm, and a smallest spread.
    """

    center = "mean_name"
    #: Options: whether the spread is a logarithm, and what is added to it.
    spread_log: ClassVar[str] = "log_scale"
    spread_eps: ClassVar[str] = "scale_eps"

    def limits(self) -> Limits:
        """Get the limits of the spread."""
        low = None if getattr(self, self.spread_log) else 0
        return {self.output_names[1]: (low, None)}

    def target_shape(self, shape: Callable[[str], Shape], labels: bool) -> Shape:
        """Get the shape of the target: the mean's."""
        mean, spread = (shape(name) for name in self.output_names)
        if spread not in (mean, (*mean[:-1], 1)):
            raise ConfigurationError(
                f"loss {self.name!r}: output {self.output_names[1]!r} has shape {spread}; expected "
                f"{mean}, as {self.output_names[0]!r} has, or 1 as the last axis"
            )
        return mean

    def errors(self, target: Expression, output: tuple[Expression, ...]) -> Expression:
        """Get minus the logarithm of the density at each entry."""
        mean, spread = output
        return self.density(
            target - mean, log_spread(self, spread, self.spread_log, self.spread_eps)
        )

    def density(self, deviation: Expression, log_spread: Expression) -> Expression:
        """Get minus the logarithm of the density."""
        raise TypeError(f"loss class {type(self).__name__} does not define density")


class GaussianLogLikelihood(LocationScale, names=("gll",)):
    r"""Negative log-likelihood of normal distributions with predicted mean and variance.

    :math:`\tfrac12 (\log 2\pi + \log v + (t - \mu)^2 / v)` with :math:`v =`
    covar + ``covar_eps``. The mean over all entries; with
    ``reduction='batch'`` the likelihood of a whole example, with a diagonal
    covariance. The mean has the target's shape; so has the variance, or 1 as
    its last axis, for one variance of all variables of an example. Use it for
    regression that says how sure it is::

        net = theanets.Regressor(
            [10, 20, dict(name='mean', size=3, activation='linear', inputs='hid1'),
             dict(name='covar', size=3, activation='softplus', inputs='hid1')], loss='gll')

    Parameters
    ----------
    mean_name, covar_name : str
        Names of the outputs; ``'mean'`` and ``'covar'`` by default.
    covar_eps : float
        Added to the variance; 1e-3 by default.
    log_covar : bool
        Whether the output is the logarithm of the variance (any number, for a
        linear layer), and not the variance (at least 0, for a softplus
        layer).

    Notes
    -----
    Can be negative, since it is a density.

    References
    ----------
    Nix & Weigend 1994, "Estimating the mean and variance of the target
    probability distribution".
    """

    roles = ("mean_name", "covar_name")
    spread_log, spread_eps = "log_covar", "covar_eps"
    options: ClassVar[dict[str, Any]] = {
        "mean_name": Name("mean"),
        "covar_name": Name("covar"),
        "covar_eps": Number(1e-3, "nonnegative"),
        "log_covar": Flag(False),
    }

    def density(self, deviation: Expression, log_spread: Expression) -> Expression:
        """Get minus the logarithm of the density."""
        half = const(0.5, deviation)
        square = pt.sqr(deviation) * safe_exp(-log_spread)
        return half * (const(math.log(2 * math.pi), deviation) + log_spread + square)


class Laplace(LocationScale):
    r"""Negative log-likelihood of Laplace distributions with predicted location and scale.

    :math:`\log 2 b + |t - \mu| / b` with :math:`b =` scale + ``scale_eps``.
    The mean over all entries. Shapes are as for ``gll``. Use it like ``gll``,
    where there are outliers: it is to ``mae`` what ``gll`` is to ``mse``.

    Parameters
    ----------
    mean_name, scale_name : str
        Names of the outputs; ``'mean'`` (it is the median too) and ``'scale'``.
    scale_eps : float
        Added to the scale; 1e-3 by default.
    log_scale : bool
        Whether the output is the logarithm of the scale (any number), and not
        the scale (at least 0).
    """

    roles = ("mean_name", "scale_name")
    options: ClassVar[dict[str, Any]] = {
        "mean_name": Name("mean"),
        "scale_name": Name("scale"),
        "scale_eps": Number(1e-3, "nonnegative"),
        "log_scale": Flag(False),
    }

    def density(self, deviation: Expression, log_spread: Expression) -> Expression:
        """Get minus the logarithm of the density."""
        size = pt.abs(deviation) * safe_exp(-log_spread)
        return const(math.log(2), deviation) + log_spread + size


class StudentT(LocationScale, names=("student_t",)):
    r"""Negative log-likelihood of Student's t with predicted location and scale.

    :math:`\tfrac{\nu + 1}2 \log(1 + z^2 / \nu) + \log s + c(\nu)` with
    :math:`z = (t - \mu) / s`, :math:`s =` scale + ``scale_eps`` and the
    constant that makes it a density, :math:`c(\nu) = \log \Gamma(\tfrac\nu2)
    - \log \Gamma(\tfrac{\nu+1}2) + \tfrac12 \log \nu \pi`. The mean over all
    entries. Shapes are as for ``gll``. Use it like ``gll`` where there are
    gross outliers: the gradient of an error decreases as it becomes large.

    Parameters
    ----------
    mean_name, scale_name : str
        Names of the outputs; ``'mean'`` and ``'scale'``.
    df : float
        Degrees of freedom, positive; 3 by default. 1 is the Cauchy
        distribution, and for many it is nearly the normal one.
    scale_eps : float
        Added to the scale; 1e-3 by default.
    log_scale : bool
        Whether the output is the logarithm of the scale (any number), and not
        the scale (at least 0).

    References
    ----------
    Lange, Little & Taylor 1989, "Robust statistical modeling using the t
    distribution".
    """

    roles = ("mean_name", "scale_name")
    options: ClassVar[dict[str, Any]] = {
        "mean_name": Name("mean"),
        "scale_name": Name("scale"),
        "df": Number(3.0, "positive"),
        "scale_eps": Number(1e-3, "nonnegative"),
        "log_scale": Flag(False),
    }
    df: float

    def density(self, deviation: Expression, log_spread: Expression) -> Expression:
        """Get minus the logarithm of the density."""
        df = float(self.df)
        constant = math.lgamma(df / 2) - math.lgamma((df + 1) / 2) + math.log(df * math.pi) / 2
        ratio = deviation * safe_exp(-log_spread) / const(math.sqrt(df), deviation)
        # log(1 + ratio ** 2), whose square could overflow.
        size = pt.abs(ratio)
        large = size > const(1, size)
        above = pt.switch(large, size, const(1, size))
        below = pt.switch(large, const(0, size), size)
        log = pt.switch(
            large,
            const(2, size) * pt.log(above) + pt.log1p(pt.sqr(const(1, size) / above)),
            pt.log1p(pt.sqr(below)),
        )
        return const((df + 1) / 2, size) * log + log_spread + const(constant, size)


class MixtureDensity(Likelihood, names=("mixture_density", "mdn")):
    r"""Negative log-likelihood of a mixture of normal distributions.

    :math:`-\log \sum_k \pi_k \prod_d N(t_d; \mu_{kd}, s_{kd}^2)`, with K
    components for D variables. The mean over examples (and steps). Targets
    have the shape (..., D). The outputs come from three layers:

    - weights (..., K), logits of :math:`\pi`: what a softmax layer has before
      the softmax, or the output of any other layer as it is;
    - means (..., K * D), all variables of the first component first;
    - scales (..., K * D), standard deviations, at least 0 (a softplus layer);
      or (..., K), one for all variables of a component.

    Use it where the same input can lead to several outcomes.

    Parameters
    ----------
    weights_name, means_name, scales_name : str
        Names of the outputs; ``'weights'``, ``'means'`` and ``'scales'``.
    scale_eps : float
        Added to the scales; 1e-3 by default. Without it a component that sits
        on a single example makes the likelihood infinite.
    log_scale : bool
        Whether the output is the logarithm of the scales (any number).

    Notes
    -----
    A variable of weight 0 is left out of the product, an example whose
    variables have different weights counts with their mean.

    References
    ----------
    Bishop 1994, "Mixture density networks".
    """

    roles = ("weights_name", "means_name", "scales_name")
    center = "means_name"
    options: ClassVar[dict[str, Any]] = {
        "weights_name": Name("weights"),
        "means_name": Name("means"),
        "scales_name": Name("scales"),
        "scale_eps": Number(1e-3, "nonnegative"),
        "log_scale": Flag(False),
    }
    scale_eps: float
    log_scale: bool

    def limits(self) -> Limits:
        """Get the limits of scales."""
        return {self.output_names[2]: (None if self.log_scale else 0, None)}

    def target_shape(self, shape: Callable[[str], Shape], labels: bool) -> Shape:
        """Get the shape of the target: the means' without the components."""
        names = self.output_names
        parts, means, scales = (shape(name)[-1] for name in names)
        if parts is None or means is None or means % parts or scales not in (parts, means):
            raise ConfigurationError(
                f"loss {self.name!r}: outputs {', '.join(names)} have {parts}, {means} and "
                f"{scales} units; expected K, K * D and K * D (or K) for K components"
            )
        return (*shape(names[1])[:-1], means // parts)

    def scores(self, outputs: Outputs) -> tuple[Any, Callable[[Any], Any]]:
        """Get logits, means and scales."""
        (logits, means, scales), link = super().scores(outputs)
        logits = outputs.logits.get(self.output_names[0], logits)
        return (logits, means, scales), link

    def mask(self, raw: Any, seen: Expression) -> Any:
        """Replace what belongs to examples without weight, and say which entries have one."""
        rows = pt.shape_padright(seen.any(axis=-1))
        return (*(pt.switch(rows, part, const(0, part)) for part in raw), seen)

    def errors(self, target: Expression, output: tuple[Expression, ...]) -> Expression:
        """Get minus the logarithm of the density at each example."""
        logits, means, scales = output[:3]
        lengths = [target.shape[i] for i in range(target.ndim - 1)]
        full = (*lengths, logits.shape[-1], target.shape[-1])
        means = means.reshape(full, ndim=target.ndim + 1)
        log = log_spread(self, scales, "log_scale", "scale_eps")
        if scales.type.shape[-1] is not None and scales.type.shape[-1] == logits.type.shape[-1]:
            log = pt.shape_padright(log)
        else:
            log = log.reshape(full, ndim=target.ndim + 1)
        scaled = (pt.expand_dims(target, -2) - means) * safe_exp(-log)
        terms = const(0.5, scaled) * pt.sqr(scaled) + log
        terms = terms + const(math.log(2 * math.pi) / 2, terms)
        if len(output) == 4:
            terms = pt.switch(pt.expand_dims(output[3], -2), terms, const(0, terms))
        return -log_sum_exp(log_softmax(logits, axis=-1) - terms.sum(axis=-1))


def log_spread(loss: Loss, output: Expression, is_log: str, eps: str) -> Expression:
    """Get the logarithm of a spread, with what is added to it.

    Parameters
    ----------
    loss : Loss
        The loss.
    output : expression
        The spread, or its logarithm.
    is_log, eps : str
        Options of the loss: whether it is the logarithm, and what is added.
    """
    low = float(getattr(loss, eps))
    if not getattr(loss, is_log):
        # A floor that leaves room for the square of its inverse.
        return safe_log(output + const(low, output), math.sqrt(FLOOR[output.dtype]))
    if low == 0:
        return output
    # log(exp(s) + low), which does not overflow.
    shift = const(math.log(low), output)
    return shift + pt.softplus(output - shift)
