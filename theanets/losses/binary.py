"""Losses for decisions, yes or no; they work on logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytensor.tensor as pt

from ..errors import ConfigurationError
from ..expressions import Expression
from ..options import Flag, Number, Numbers
from ..outputs import Outputs
from .base import Limits, Loss
from .formulas import const, one_hot, safe_log, safe_log1m


class BinaryCrossEntropy(Loss, names=("bce",)):
    r"""Binary cross-entropy, :math:`-w\, t \log p - (1 - t) \log (1 - p)`.

    The mean over all entries: each output is a decision of its own. Targets
    are 0 or 1, or probabilities in between, of the output's shape. Outputs of
    a sigmoid layer are taken as logits (log-odds), so that the value is
    finite and the gradient right however confident the network is; other
    outputs as probabilities in [0, 1].

    Use it, with a sigmoid output layer, for two classes (one output), and
    where any number of labels can hold at once.

    Parameters
    ----------
    pos_weight : float or list of float, optional
        Factor w of the positive targets: one, or one for each output; a
        number of negatives per positive makes up for rare positives.
    logits : bool
        Whether an output that is not a sigmoid layer's, or a bare array, is
        logits already: ``bce_logits`` is this loss with ``logits=True``.

    Notes
    -----
    The logarithm of a probability below 1e-30 (float32) or 1e-200 (float64)
    goes on as a straight line.
    """

    options: ClassVar[dict[str, Any]] = {
        "pos_weight": Numbers(None, "nonnegative"),
        "logits": Flag(False),
    }
    pos_weight: Any
    logits: bool

    def limits(self) -> Limits:
        """Get the limits of probabilities."""
        span: tuple[float | None, float | None] = (None, None) if self.logits else (0, 1)
        return {"target": (0, 1), self.output_name: span}

    def scores(self, outputs: Outputs) -> tuple[Any, Callable[[Any], Any]]:
        """Get the logits, or the output; linked to minus the logarithms of p and 1 - p."""
        logits = outputs.log_odds.get(self.output_name)
        if logits is not None:
            return logits, _log_sigmoids
        return self.output(outputs), _log_sigmoids if self.logits else _log_both

    def decisions(self, outputs: Outputs) -> tuple[Expression, float]:
        """Get the logits, or how much the probability is above a half."""
        raw, link = self.scores(outputs)
        return (raw if link is _log_sigmoids else raw - const(0.5, raw)), 0.5

    def bounds(self, probabilities: bool) -> tuple[float, float] | None:
        """Get 0 for logits, a half for probabilities, and a half for targets."""
        return (0.0 if self.logits and not probabilities else 0.5), 0.5

    def errors(self, target: Expression, output: tuple[Expression, Expression]) -> Expression:
        """Get the error of each entry of the target."""
        yes, no = output
        labels = target.ndim < yes.ndim
        if labels:
            target = one_hot(target, yes.shape[-1], yes.dtype)
        found = self.decision(target, yes, no)
        return found.mean(axis=-1) if labels else found

    def decision(self, target: Expression, yes: Expression, no: Expression) -> Expression:
        """Get the error of each decision from minus the logarithms of p and 1 - p."""
        if self.pos_weight is not None:
            yes = yes * self._factor(yes)
        return target * yes + (const(1, target) - target) * no

    def _factor(self, like: Expression) -> Expression:
        factor, units = const(self.pos_weight, like), like.type.shape[-1]
        if factor.ndim and units is not None and units != len(self.pos_weight):
            raise ConfigurationError(
                f"loss {self.name!r}: pos_weight has {len(self.pos_weight)} numbers, but the "
                f"output has {units} variables"
            )
        return factor


class BinaryCrossEntropyWithLogits(BinaryCrossEntropy, names=("bce_logits",)):
    r"""Binary cross-entropy of logits z, :math:`w\, t \log(1 + e^{-z}) + (1 - t) \log(1 + e^z)`.

    The same as ``bce`` with ``logits=True``: outputs that are not a sigmoid
    layer's, and bare arrays, are logits, any real numbers. Use it with a
    linear output layer. (With a sigmoid layer it is the same as ``bce``.)

    Parameters
    ----------
    pos_weight : float or list of float, optional
        See `BinaryCrossEntropy`.
    """

    options: ClassVar[dict[str, Any]] = {"logits": True}


class BinaryFocal(BinaryCrossEntropy, names=("binary_focal",)):
    r"""Focal loss of decisions, :math:`-\alpha_t (1 - p_t)^\gamma \log p_t`.

    With :math:`p_t` the probability of what is right: p for a target of 1 and
    1 - p for one of 0; for targets in between, the mean of both errors. The
    mean over all entries. Targets and outputs are as for ``bce``. Use it
    where one of the answers is far more frequent than the other.

    Parameters
    ----------
    gamma : float
        At least 0; 2 by default, 0 gives ``bce``.
    alpha : float, optional
        Factor, in [0, 1], of the error of targets of 1; that of targets of 0
        is ``1 - alpha``. By default both are 1.
    logits : bool
        Whether an output that is not a sigmoid layer's, or a bare array, is
        logits already.

    References
    ----------
    Lin et al. 2017, "Focal loss for dense object detection".
    """

    options: ClassVar[dict[str, Any]] = {
        "gamma": Number(2.0, "nonnegative"),
        "alpha": Number(None, "unit"),
    }
    gamma: float
    alpha: float | None

    def decision(self, target: Expression, yes: Expression, no: Expression) -> Expression:
        """Get the error of each decision from minus the logarithms of p and 1 - p."""
        gamma = const(self.gamma, yes)
        of_yes, of_no = pt.exp(-gamma * no) * yes, pt.exp(-gamma * yes) * no
        if self.alpha is not None:
            of_yes = const(self.alpha, yes) * of_yes
            of_no = const(1 - self.alpha, no) * of_no
        return super().decision(target, of_yes, of_no)


def _log_sigmoids(z: Expression) -> tuple[Expression, Expression]:
    return pt.softplus(-z), pt.softplus(z)


def _log_both(p: Expression) -> tuple[Expression, Expression]:
    return -safe_log(p), -safe_log1m(p)
