"""Likelihoods: what a loss says of the distribution of targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from .. import losses
from ..errors import ConfigurationError
from ..losses.formulas import safe_exp
from ..losses.likelihood import log_spread

#: From a loss, its (linked) output and a spread to a distribution of PyMC and its arguments.
Distribution = Callable[[Any, Any, Any], tuple[Any, dict[str, Any]]]


def _located(distribution: Any, center: str, spread: str, **more: Callable[[Any], Any]) -> Any:
    """Make the distribution of a loss whose outputs are a location and a spread."""

    def made(loss: Any, output: Any, _: Any) -> tuple[Any, dict[str, Any]]:
        mean, raw = output
        log = log_spread(loss, raw, loss.spread_log, loss.spread_eps)
        if loss.spread_log == "log_covar":
            log = log / 2
        arguments = {name: get(loss) for name, get in more.items()}
        return distribution, {center: mean, spread: safe_exp(log), **arguments}

    return made


def _categorical(loss: Any, output: Any, _: Any) -> tuple[Any, dict[str, Any]]:
    return pm.Categorical, {"logit_p": output / np.float64(loss.temperature)}


def _bernoulli(loss: Any, output: Any, _: Any) -> tuple[Any, dict[str, Any]]:
    # Minus the logarithms of p and 1 - p: their difference is the logit, however large.
    yes, no = output
    return pm.Bernoulli, {"logit_p": no - yes}


#: Distributions by the class of the loss, exactly: a subclass may have another formula.
DISTRIBUTIONS: dict[type, Distribution] = {
    losses.MeanSquaredError: lambda loss, output, s: (pm.Normal, {"mu": output, "sigma": s}),
    losses.MeanAbsoluteError: lambda loss, output, s: (pm.Laplace, {"mu": output, "b": s}),
    losses.CrossEntropy: _categorical,
    losses.BinaryCrossEntropy: _bernoulli,
    losses.BinaryCrossEntropyWithLogits: _bernoulli,
    losses.Poisson: lambda loss, output, _: (pm.Poisson, {"mu": loss.values(output)}),
    losses.GaussianLogLikelihood: _located(pm.Normal, "mu", "sigma"),
    losses.Laplace: _located(pm.Laplace, "mu", "b"),
    losses.StudentT: _located(pm.StudentT, "mu", "sigma", nu=lambda loss: np.float64(loss.df)),
}
#: Losses with a spread of their own, and what the best one is for given errors.
SPREADS: dict[type, Callable[[Any], Any]] = {
    losses.MeanSquaredError: np.sqrt,
    losses.MeanAbsoluteError: lambda error: error,
}
#: Losses whose errors lack what a density needs to be one.
_UNNORMALIZED = (*SPREADS, losses.Poisson)
#: Options with which the errors are no longer minus the logarithm of a probability.
_REWEIGHTED = ("class_weight", "label_smoothing", "pos_weight")


class Term:
    """The likelihood of one loss of a network.

    Parameters
    ----------
    loss : Loss
        Bound to its target.
    name : str
        What its variable is called.
    targets : ndarray
        The targets, by which it is found out whether a distribution fits.
    """

    def __init__(self, loss: Any, name: str, targets: Any) -> None:
        self.loss = loss
        self.name = name
        self.distribution = DISTRIBUTIONS.get(type(loss))
        if any(_is_set(getattr(loss, option, None)) for option in _REWEIGHTED):
            self.distribution = None
        if self.distribution is not None and not self._fits(targets):
            self.distribution = None

    def _fits(self, targets: Any) -> bool:
        """Tell whether targets are what the distribution gives; refuse those that never can be."""
        kind, integers = type(self.loss), targets.dtype.kind in "iu"
        if kind is losses.CrossEntropy:
            return integers
        if kind is losses.Poisson:
            seen = targets[np.isfinite(targets)]
            if (seen != np.floor(seen)).any():
                raise ConfigurationError(
                    f"loss {self.loss.name!r}: the likelihood of its target is that of counts, "
                    "but not all targets are whole numbers; give likelihood= for others"
                )
            return True
        if integers:
            return False
        if issubclass(kind, losses.BinaryCrossEntropy):
            return bool(np.isin(targets[np.isfinite(targets)], (0, 1)).all())
        return True

    @property
    def spread_name(self) -> str | None:
        """Name of the variable for the spread, or None if the loss needs none."""
        return f"{self.name}_noise" if type(self.loss) in SPREADS and self.distribution else None

    def parts(self, outputs: Mapping[str, Any]) -> tuple[Any, Any, Any]:
        """Get the target, the output as the distribution takes it, and weights or None."""
        found: tuple[Any, Any, Any] = self.loss.masked(outputs)
        return found

    def arguments(self, output: Any, spread: Any) -> tuple[Any, dict[str, Any]]:
        """Get the distribution and its arguments."""
        if self.distribution is None:
            raise ConfigurationError(
                f"loss {self.loss.name!r} says nothing of how targets are distributed, so that "
                "none can be drawn"
            )
        return self.distribution(self.loss, output, spread)

    def log_density(self, outputs: Mapping[str, Any], spread: Any) -> Any:
        """Get the (weighted) log-likelihood of each entry; of any other loss, minus its errors."""
        if self.distribution is None or type(self.loss) not in _UNNORMALIZED:
            return self._from_errors(outputs)
        target, output, weights = self.parts(outputs)
        kind, arguments = self.arguments(output, spread)
        found = pm.logp(kind.dist(**arguments), target)
        if weights is None:
            return found
        return pt.switch(pt.neq(weights, 0), weights * found, 0)

    def _from_errors(self, outputs: Mapping[str, Any]) -> Any:
        if type(self.loss).__call__ is not losses.Loss.__call__:
            return -self.loss.terms(outputs)[0]
        return -self.loss.weighted_errors(outputs)[0]


def _is_set(option: Any) -> bool:
    return bool(option.any() if isinstance(option, np.ndarray) else option)
