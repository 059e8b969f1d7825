"""Losses with a margin between the label and the other classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.special import log_softmax

from .. import names as _names
from ..errors import ConfigurationError, DataError
from ..expressions import Expression
from ..options import DROPPED_FLAG, Choice, Number, Whole
from ..outputs import Outputs
from .base import Limits
from .classification import Classification, as_labels
from .formulas import FLOOR, const, identity, one_hot, pick, sqr_norm


class Hinge(Classification, names=("hinge",)):
    r"""Hinge, for a margin between the score of the label and the others.

    With margin m and scores z of the classes, by ``kind``:

    - ``'crammer-singer'``: :math:`\max(0, m + \max_{k \ne t} z_k - z_t)`;
    - ``'weston-watkins'``: :math:`\sum_{k \ne t} \max(0, m + z_k - z_t)`;
    - ``'binary'``: :math:`\max(0, m - t z)` with t = ±1, for each output.

    The mean over examples (and steps), for ``'binary'`` over all entries.
    Targets are integer labels in [0, classes); for ``'binary'`` numbers of the
    output's shape, 1 for yes and -1 or 0 for no. Outputs of a softmax layer
    (for ``'binary'`` of a sigmoid layer) are taken as logits, other outputs as
    they are. Use it for a large margin where probabilities are not needed.

    Parameters
    ----------
    margin : float
        The margin m, 1 by default; 0 is the perceptron's loss.
    kind : {'crammer-singer', 'weston-watkins', 'binary'}
        Which formula.
    ignore_index : int, optional
        A label that does not count.

    References
    ----------
    Crammer & Singer 2001, "On the algorithmic implementation of multiclass
    kernel-based vector machines"; Weston & Watkins 1999, "Support vector
    machines for multi-class pattern recognition".
    """

    options: ClassVar[dict[str, Any]] = {
        "margin": Number(1.0, "nonnegative"),
        "kind": Choice("crammer-singer", ("crammer-singer", "weston-watkins", "binary")),
        "logits": DROPPED_FLAG,
    }
    margin: float
    kind: str
    logits = False

    def check_options(self) -> None:
        """Find out whether targets are labels."""
        self.labels = self.kind != "binary"

    def limits(self) -> Limits:
        """Get the limits of binary targets."""
        return {"target": (-1, 1)} if self.kind == "binary" else {"target": (0, None)}

    def scores(self, outputs: Outputs) -> tuple[Any, Callable[[Any], Any]]:
        """Get the logits, or the output where there are none."""
        if self.kind == "binary":
            return outputs.log_odds.get(self.output_name, self.output(outputs)), identity
        return super().scores(outputs)

    def decisions(self, outputs: Outputs) -> tuple[Expression, float] | None:
        """Get the output and the limit of binary targets."""
        return (self.scores(outputs)[0], 0) if self.kind == "binary" else None

    def bounds(self, probabilities: bool) -> tuple[float, float] | None:
        """Get 0 for scores, a half for probabilities, and 0 for binary targets."""
        return ((0.5 if probabilities else 0.0), 0.0) if self.kind == "binary" else None

    def errors(self, target: Expression, output: Expression) -> Expression:
        """Get the hinge of each label."""
        margin = const(self.margin, output)
        if self.kind == "binary":
            return self._binary(target, output, margin)
        target = as_labels(target, output)
        at_label = one_hot(target, output.shape[-1], "bool")
        if self.kind == "weston-watkins":
            gaps = margin + output - pt.shape_padright(pick(output, target))
            return pt.switch(at_label, const(0, output), self.bend(gaps)).sum(axis=-1)
        others = pt.switch(at_label, const(-np.inf, output), output)
        # The first of several that are greatest: the gradient of max would be that of each.
        greatest = pick(others, pt.argmax(others, axis=-1))
        return self.bend(margin + greatest - pick(output, target))

    def _binary(self, target: Expression, output: Expression, margin: Expression) -> Expression:
        labels = target.ndim < output.ndim
        if labels:
            target = one_hot(target, output.shape[-1], output.dtype)
        found = self.bend(margin - pt.switch(target > 0, output, -output))
        return found.mean(axis=-1) if labels else found

    def bend(self, gap: Expression) -> Expression:
        """Get what a gap between the margin and a score costs."""
        # A NaN has to pass.
        return pt.switch(gap <= 0, const(0, gap), gap)


class SquaredHinge(Hinge, names=("squared_hinge",)):
    r"""Squared hinge: the terms of ``hinge``, squared.

    - ``'crammer-singer'``: :math:`\max(0, m + \max_{k \ne t} z_k - z_t)^2`;
    - ``'weston-watkins'``: :math:`\sum_{k \ne t} \max(0, m + z_k - z_t)^2`;
    - ``'binary'``: :math:`\max(0, m - t z)^2`.

    All else is as for ``hinge``. It has a gradient that goes to 0 at the
    margin, and punishes large violations more.

    References
    ----------
    Tang 2013, "Deep learning using linear support vector machines".
    """

    def bend(self, gap: Expression) -> Expression:
        """Get what a gap between the margin and a score costs."""
        return pt.sqr(super().bend(gap))


class LSoftmax(Classification, names=("l_softmax",)):
    r"""Large-margin softmax: cross-entropy with an angle that has to be m times as small.

    A score is :math:`z_k = \|w_k\| \|x\| \cos \theta_k + b_k`. For the label,
    :math:`\cos \theta` is replaced by :math:`\psi(\theta) = (-1)^j \cos(m
    \theta) - 2 j` for :math:`\theta \in [j \pi / m, (j + 1) \pi / m]`, which
    is less; then follows ``xe``. The mean over examples (and steps). Targets
    are integer labels in [0, classes).

    In a network it is a loss on a softmax or linear output layer with
    weights ``w`` and, if it has them, biases ``b`` (the authors have none).
    Without one, `value` and `gradient` take the tuple (x, w) of the layer's
    inputs (examples, ..., inputs) and weights (inputs, classes).

    Use it for a margin between classes, for instance where classes are many
    and examples few. A larger margin is harder to train, see ``plain``.

    Parameters
    ----------
    margin : int
        The factor m: 1 (which is ``xe``), 2, 3 or 4; 2 by default.
    plain : float
        At least 0; :math:`(\lambda \cos \theta + \psi(\theta)) / (1 +
        \lambda)` takes the place of :math:`\psi`, which makes training easier.
    ignore_index : int, optional
        A label that does not count.

    References
    ----------
    Liu et al. 2016, "Large-margin softmax loss for convolutional neural
    networks".
    """

    options: ClassVar[dict[str, Any]] = {
        "margin": Whole(2, least=1, most=4),
        "plain": Number(0.0, "nonnegative"),
        "logits": DROPPED_FLAG,
    }
    margin: int
    plain: float
    logits = False

    @property
    def array_names(self) -> list[str]:
        """What `value` takes: the layer's inputs and weights."""
        return ["x", "w"]

    def array_shapes(self, arrays: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """Get the shape of one example's output from inputs and weights."""
        x, w = arrays["x"], arrays["w"]
        if w.ndim != 2 or x.ndim < 2 or x.shape[-1] != len(w):
            raise DataError(
                f"loss {self.name!r}: x and w have shapes {x.shape} and {w.shape}; expected "
                "(examples, ..., inputs) and (inputs, classes)"
            )
        return {self.output_name: (*x.shape[1:-1], w.shape[1])}

    def scores(self, outputs: Outputs) -> tuple[Any, Callable[[Any], Any]]:
        """Get the layer's inputs, its weights and biases."""
        if not outputs.layers:
            return (outputs["x"], outputs["w"], None), identity
        name, _ = _names.split_output(self.output_name)
        layer = outputs.layers[name]
        found = {p.name.removeprefix(f"{name}."): p for p in layer.params}
        w, x = found.get("w"), outputs.get(layer.input_names[0]) if layer.input_names else None
        linear = layer.logits_output is not None or layer.activation.name == "linear"
        if w is None or x is None or len(layer.input_names) != 1 or not linear:
            raise ConfigurationError(
                f"loss {self.name!r} needs a softmax or linear feedforward layer with one input "
                f"and weights w, not {layer!r}"
            )
        return (x, w, found.get("b")), identity

    def mask(self, raw: Any, seen: Expression) -> Any:
        """Replace inputs of examples that must not have an influence."""
        x, w, b = raw
        seen = seen.any(axis=-1) if seen.ndim == x.ndim else seen
        return super().mask(x, seen), w, b

    def errors(
        self, target: Expression, output: tuple[Expression, Expression, Expression]
    ) -> Expression:
        """Get the error of each label."""
        x, w, b = output
        scores = x @ w
        target = as_labels(target, scores)
        # Norms of 0 have no direction; the cosine is then taken as 0.
        # The square of their product must not become 0 either: it divides the gradient.
        low = const(math.sqrt(FLOOR[x.dtype]), x)
        lengths = pt.sqrt(pt.maximum(sqr_norm(x), low))[..., None]
        lengths = lengths * pt.sqrt(pt.maximum(sqr_norm(w, 0), low))
        cosine = pt.clip(scores / lengths, -1, 1)
        margin = lengths * self.psi(cosine)
        if self.plain:
            share = const(1 / (1 + self.plain), x)
            margin = share * margin + (const(1, x) - share) * scores
        at_label = one_hot(target, scores.shape[-1], "bool")
        scores = pt.switch(at_label, margin, scores)
        scores = scores if b is None else scores + b
        return -pick(log_softmax(scores, axis=-1), target)

    def psi(self, cosine: Expression) -> Expression:
        r"""Get :math:`\psi(\theta)` from the cosine of :math:`\theta`."""
        m = int(self.margin)
        one, two = const(1, cosine), const(2, cosine)
        powers = [one, cosine]
        for _ in range(m - 1):
            # Chebyshev: cos(m a) = 2 cos(a) cos((m - 1) a) - cos((m - 2) a).
            powers.append(two * cosine * powers[-1] - powers[-2])
        bounds = [const(math.cos(j * math.pi / m), cosine) for j in range(1, m)]
        zero = pt.zeros_like(cosine)
        turns = sum([(cosine < bound).astype(cosine.dtype) for bound in bounds], zero)
        sign = one - two * pt.mod(turns, two)
        return sign * powers[m] - two * turns
