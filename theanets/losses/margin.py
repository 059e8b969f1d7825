"""Large-margin softmax, a loss on a layer's weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.special import log_softmax

from .. import names as _names
from ..errors import ConfigurationError, DataError
from .classification import Classification, as_labels
from .formulas import FLOOR, const, one_hot, pick, sqr_norm


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
    logits : bool
        Means nothing here.

    References
    ----------
    Liu et al. 2016, "Large-margin softmax loss for convolutional neural
    networks".
    """

    options: ClassVar[dict[str, Any]] = {"margin": 2, "plain": 0.0}
    margin: int
    plain: float

    def check_options(self) -> None:
        """Refuse options out of range."""
        integer = isinstance(self.margin, (int, np.integer)) and not isinstance(self.margin, bool)
        self.require(integer and 1 <= self.margin <= 4, "margin", "1, 2, 3 or 4")
        self.require(0 <= self.plain < math.inf, "plain", "a number of at least 0")

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

    def scores(self, outputs: Mapping[str, Any]) -> tuple[Any, Callable[[Any], Any]]:
        """Get the layer's inputs, its weights and biases."""
        layers = getattr(outputs, "layers", None)
        if layers is None:
            return (outputs["x"], outputs["w"], None), _same
        name, _ = _names.split_output(self.output_name)
        layer = layers[name]
        found = {p.name.removeprefix(f"{name}."): p for p in layer.params}
        w, x = found.get("w"), outputs.get(layer.input_names[0]) if layer.input_names else None
        linear = layer.logits_output is not None or layer.activation.name == "linear"
        if w is None or x is None or len(layer.input_names) != 1 or not linear:
            raise ConfigurationError(
                f"loss {self.name!r} needs a softmax or linear feedforward layer with one input "
                f"and weights w, not {layer!r}"
            )
        return (x, w, found.get("b")), _same

    def mask(self, raw: Any, seen: Any) -> Any:
        """Replace inputs of examples that must not have an influence."""
        x, w, b = raw
        seen = seen.any(axis=-1) if seen.ndim == x.ndim else seen
        return super().mask(x, seen), w, b

    def errors(self, target: Any, output: Any) -> Any:
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

    def psi(self, cosine: Any) -> Any:
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


def _same(output: Any) -> Any:
    return output
