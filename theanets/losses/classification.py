"""Losses over classes; they work on logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad
from pytensor.tensor.special import log_softmax

from ..expressions import Expression
from ..options import DROPPED_FLAG, Flag, Number, Whole
from ..outputs import Outputs
from .base import Limits, Loss
from .factors import Factors
from .formulas import const, identity, log_sum_exp, one_hot, pick, safe_log


class Scores(Loss, abstract=True):
    """Base class of losses on scores of classes, the output's last axis.

    Where the layer is a softmax, the formula gets its pre-activation, the
    logits, else what `link` makes of the output.

    Parameters
    ----------
    logits : bool
        Whether an output that is not a softmax layer's, or a bare array, is
        logits already.
    """

    options: ClassVar[dict[str, Any]] = {"logits": Flag(False)}
    logits: bool

    def scores(self, outputs: Outputs) -> tuple[Any, Callable[[Any], Any]]:
        """Get the logits, or the output where there are none."""
        logits = outputs.logits.get(self.output_name)
        if logits is not None:
            return logits, identity
        output = self.output(outputs)
        return output, identity if self.logits else self.link

    def link(self, output: Expression) -> Expression:
        """Turn the output of a layer without logits into scores of the classes."""
        return output


class Classification(Scores, abstract=True):
    """Base class of losses over classes.

    Targets are integer labels, with one axis less than the output.

    Parameters
    ----------
    logits : bool
        Whether an output that is not a softmax layer's, or a bare array, is
        logits already.
    ignore_index : int, optional
        A label that does not count: as if its weight was 0.
    """

    labels = True
    options: ClassVar[dict[str, Any]] = {"ignore_index": Whole(None, least=None)}
    ignore_index: int | None

    def valid(self, target: Expression) -> Expression | None:
        """Get which labels are not ignored."""
        if self.ignore_index is None or not target.dtype.startswith("int"):
            return None
        return pt.neq(target, self.ignore_index)


class CrossEntropy(Factors, Classification, names=("xe",)):
    r"""Cross-entropy, :math:`-\log p_t`, the negative log-likelihood of the label.

    The mean over examples (and steps). Targets are integer labels in [0,
    classes), or distributions over the classes, of the output's shape:
    :math:`-\sum_k t_k \log p_k`. Outputs of a softmax layer are taken as
    logits, so that the value is finite and the gradient right however
    confident the network is, and so is any output with ``logits=True``. Other
    outputs are taken as probabilities, up to a common factor.

    The default of a classifier.

    Parameters
    ----------
    class_weight : list of float, dict or 'balanced', optional
        Factor for each class; a dict by label, 1 for those that are not in
        it. ``'balanced'`` is examples / (classes * examples of the class) of
        the targets that training has the first time, without those that do not
        count; the option then holds these numbers. (An example counts as often
        as its weight says.) The mean is weighted: it is divided by the sum of
        the targets' factors, which of a distribution are the mean of its
        classes'.
    label_smoothing : float
        The share of each target, in [0, 1), that is spread evenly over all
        classes; 0 by default.
    temperature : float
        What logits are divided by, positive; 1 by default. More than 1 makes
        the distribution flatter.
    ignore_index : int, optional
        A label that does not count.
    logits : bool
        Whether an output that is not a softmax layer's, or a bare array, is
        logits already.

    Notes
    -----
    The logarithm of a probability below 1e-30 (float32) or 1e-200 (float64)
    goes on as a straight line.

    References
    ----------
    Szegedy et al. 2016, "Rethinking the Inception architecture for computer
    vision" (label smoothing); Hinton et al. 2015, "Distilling the knowledge
    in a neural network" (temperature).
    """

    options: ClassVar[dict[str, Any]] = {
        "class_weight": None,
        "label_smoothing": Number(0.0, "fraction"),
        "temperature": Number(1.0, "positive"),
    }
    factors = "class_weight"
    class_weight: Any
    label_smoothing: float
    temperature: float

    def limits(self) -> Limits:
        """Get the limits of probabilities."""
        low = None if self.logits else 0
        return {"target": (0, None), self.output_name: (low, None)}

    def link(self, output: Expression) -> Expression:
        """Get the logarithm of probabilities, whose softmax they are again."""
        return safe_log(output)

    def errors(self, target: Expression, output: Expression) -> Expression:
        """Get minus the log-probability of each target."""
        if self.temperature != 1:
            output = output / const(self.temperature, output)
        cost = -log_softmax(output, axis=-1)
        factors = self.class_factors(output)
        if factors is not None:
            cost = cost * factors
        if target.ndim == output.ndim:
            found = (target * cost).sum(axis=-1)
        else:
            found = pick(cost, target)
        if not self.label_smoothing:
            return found
        kept = const(1 - self.label_smoothing, output)
        return kept * found + const(self.label_smoothing, output) * cost.mean(axis=-1)

    def counts(self, target: Expression, output: Expression) -> Expression | None:
        """Get the factor of each target."""
        factors = self.class_factors(output)
        if factors is None or target.ndim < output.ndim:
            return None if factors is None else factors[target]
        # The mean of the factors of a distribution; that of a label is its own.
        size, zero = target.sum(axis=-1), const(0, output)
        none, one = pt.eq(size, zero), const(1, output)
        return pt.switch(none, one, (target * factors).sum(axis=-1) / pt.switch(none, one, size))


class Focal(Factors, Classification):
    r"""Focal loss, :math:`-\alpha_t (1 - p_t)^\gamma \log p_t`.

    The mean over examples (and steps). Targets and outputs are as for ``xe``.
    Labels that are predicted well already count less, the more so the
    greater gamma is. Use it where easy examples outnumber the others by far.
    ``binary_focal`` is the same for decisions of their own.

    Parameters
    ----------
    gamma : float
        At least 0; 2 by default, 0 gives ``xe``.
    alpha : list of float, dict or 'balanced', optional
        Factor for each class, as ``class_weight`` of ``xe``. (It does not count
        in the mean.)
    ignore_index : int, optional
        A label that does not count.
    logits : bool
        Whether an output that is not a softmax layer's, or a bare array, is
        logits already.

    References
    ----------
    Lin et al. 2017, "Focal loss for dense object detection".
    """

    options: ClassVar[dict[str, Any]] = {"gamma": Number(2.0, "nonnegative"), "alpha": None}
    factors = "alpha"
    gamma: float
    alpha: Any

    def limits(self) -> Limits:
        """Get the limits of probabilities."""
        return {self.output_name: (None if self.logits else 0, None)}

    def link(self, output: Expression) -> Expression:
        """Get the logarithm of probabilities, whose softmax they are again."""
        return safe_log(output)

    def errors(self, target: Expression, output: Expression) -> Expression:
        """Get the error of each label."""
        target = as_labels(target, output)
        # Differences of scores, and not of their logarithms, keep their digits. Of a
        # single class there are no others: they have a score that is low, but finite.
        output = output - disconnected_grad(output.max(axis=-1, keepdims=True))
        low = const(np.finfo(output.dtype).min / 4, output)
        others = pt.switch(one_hot(target, output.shape[-1], "bool"), low, output)
        odds = log_sum_exp(others) - pick(output, target)
        gamma = const(self.gamma, output)
        found = pt.exp(-gamma * pt.softplus(-odds)) * pt.softplus(odds)
        factors = self.class_factors(output)
        return found if factors is None else factors[target] * found


class SquareLoss(Classification, names=("square",)):
    r"""Squared error of the scores, :math:`\frac1K (k (z_t - M)^2 + \sum_{i \ne t} z_i^2)`.

    For K classes; the mean over examples (and steps). Targets are integer
    labels in [0, classes). Outputs of a softmax layer are taken as logits,
    other outputs as they are; a linear output layer is what it is meant for.
    Use it instead of ``xe``, which it often equals, with a ``k`` and ``M`` of
    more than 1 for many classes (the authors took 15 and 30 for a thousand).

    Parameters
    ----------
    k : float
        Factor of the label's term; 1 by default.
    M : float
        What the label's score should be; 1 by default.
    ignore_index : int, optional
        A label that does not count.

    References
    ----------
    Hui & Belkin 2020, "Evaluation of neural architectures trained with
    square loss vs cross-entropy in classification tasks".
    """

    options: ClassVar[dict[str, Any]] = {
        "k": Number(1.0, "positive"),
        "M": Number(1.0, "positive"),
        "logits": DROPPED_FLAG,
    }
    k: float
    M: float
    logits = False

    def errors(self, target: Expression, output: Expression) -> Expression:
        """Get the error of each label."""
        target = as_labels(target, output)
        at_label = one_hot(target, output.shape[-1], "bool")
        of_label = const(self.k, output) * pt.sqr(output - const(self.M, output))
        return pt.switch(at_label, of_label, pt.sqr(output)).mean(axis=-1)


class Squentropy(Classification):
    r"""Cross-entropy plus the mean square of the other scores.

    :math:`-\log p_t + \frac1{K-1} \sum_{i \ne t} z_i^2` for K classes; the mean
    over examples (and steps). Targets are integer labels in [0, classes).
    Outputs of a softmax layer are taken as logits, other outputs as they are.
    Use it instead of ``xe``; its probabilities tend to be better calibrated.

    Parameters
    ----------
    ignore_index : int, optional
        A label that does not count.

    References
    ----------
    Hui, Belkin & Wright 2023, "Cut your losses with squentropy".
    """

    options: ClassVar[dict[str, Any]] = {"logits": DROPPED_FLAG}
    logits = False

    def errors(self, target: Expression, output: Expression) -> Expression:
        """Get the error of each label."""
        target = as_labels(target, output)
        classes = output.shape[-1]
        rest = pt.switch(one_hot(target, classes, "bool"), const(0, output), pt.sqr(output))
        others = pt.maximum(classes - 1, 1).astype(output.dtype)
        return rest.sum(axis=-1) / others - pick(log_softmax(output, axis=-1), target)


def as_labels(target: Expression, output: Expression) -> Expression:
    """Get labels from targets that may be one-hot, of the output's shape."""
    return pt.argmax(target, axis=-1) if target.ndim == output.ndim else target
