"""Activations: the usual functions, and those with parameters that are learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytensor.tensor as pt
from pytensor.tensor.special import softmax as _softmax

from ..errors import ConfigurationError
from ..expressions import Expression
from .base import LIMITS, Activation, constant, fixed, named

if TYPE_CHECKING:
    from ..layers.base import Layer

#: Added to a variance or a maximum before it divides.
EPSILON = 1e-7


@named("linear")
def linear(x: Expression) -> Expression:
    """``x``."""
    return x


@named("logistic", "sigmoid", low=0, high=1)
def logistic(x: Expression) -> Expression:
    """``1 / (1 + exp(-x))``."""
    return pt.sigmoid(x)


@named("tanh", low=-1, high=1)
def tanh(x: Expression) -> Expression:
    """``tanh(x)``."""
    return pt.tanh(x)


@named("softmax", low=0, high=1)
def softmax(x: Expression) -> Expression:
    """``exp(x) / sum(exp(x))`` over the last axis."""
    return _softmax(x, axis=-1)


@named("softplus", low=0)
def softplus(x: Expression) -> Expression:
    """``log(1 + exp(x))``."""
    return pt.softplus(x)


@named("relu", "rect:max", low=0)
def relu(x: Expression) -> Expression:
    """``max(0, x)``, with gradient 0 at 0."""
    # A NaN has to pass, or a diverged network would look healthy.
    return pt.switch(fixed(x) <= 0, 0, x)


@named("rect:min", high=1)
def rect_min(x: Expression) -> Expression:
    """``min(1, x)``, with gradient 0 at 1."""
    return pt.switch(fixed(x) >= 1, 1, x)


@named("rect:minmax", low=0, high=1)
def rect_minmax(x: Expression) -> Expression:
    """``min(1, max(0, x))``, with gradient 0 at 0 and 1."""
    return rect_min(relu(x))


@named("norm:mean", "norm:dc")
def norm_mean(x: Expression) -> Expression:
    """``x - mean(x)`` over the last axis."""
    return x - x.mean(axis=-1, keepdims=True)


@named("norm:max", low=-1, high=1)
def norm_max(x: Expression) -> Expression:
    """``x / max(|x|)`` over the last axis."""
    return x / pt.maximum(pt.abs(x).max(axis=-1, keepdims=True), constant(EPSILON, x))


@named("norm:std")
def norm_std(x: Expression) -> Expression:
    """``x / sqrt(var(x) + epsilon)`` over the last axis."""
    variance = pt.sqr(norm_mean(x)).mean(axis=-1, keepdims=True)
    return x / pt.sqrt(variance + constant(EPSILON, x))


@named("norm:z")
def norm_z(x: Expression) -> Expression:
    """``(x - mean(x)) / sqrt(var(x) + epsilon)`` over the last axis."""
    return norm_std(norm_mean(x))


class Prelu(Activation, names=("prelu", "leaky-relu")):
    """``x`` for positive values, ``leak * x`` otherwise; one trained leak per unit.

    The leak starts at 0.25 (He et al. 2015, "Delving deep into rectifiers").
    """

    def setup(self, layer: Layer, prefix: str = "") -> None:
        """Create ``leak``, of shape (units,)."""
        self.leak = layer.add_param(f"{prefix}leak", 0.25, (layer.output_size,))

    def __call__(self, x: Expression) -> Expression:
        """Get the expression for the activation of ``x``."""
        return pt.switch(fixed(x) <= 0, self.leak * x, x)


class LGrelu(Activation, names=("lgrelu", "leaky-gain-relu")):
    """``gain * x`` for positive values, ``leak * x`` otherwise, both trained per unit.

    They start at 1 and 0.25.
    """

    def setup(self, layer: Layer, prefix: str = "") -> None:
        """Create ``gain`` and ``leak``, of shape (units,)."""
        self.gain = layer.add_param(f"{prefix}gain", 1.0, (layer.output_size,))
        self.leak = layer.add_param(f"{prefix}leak", 0.25, (layer.output_size,))

    def __call__(self, x: Expression) -> Expression:
        """Get the expression for the activation of ``x``."""
        return pt.switch(fixed(x) <= 0, self.leak * x, self.gain * x)


class Elu(Activation):
    """``x`` for positive values, ``gain * (exp(x) - 1)`` otherwise, with a trained gain.

    The gain of each unit starts at 1 (Clevert et al. 2016, "Fast and accurate
    deep network learning by exponential linear units").
    """

    def setup(self, layer: Layer, prefix: str = "") -> None:
        """Create ``gain``, of shape (units,)."""
        self.gain = layer.add_param(f"{prefix}gain", 1.0, (layer.output_size,))

    def __call__(self, x: Expression) -> Expression:
        """Get the expression for the activation of ``x``."""
        # The branch that is not taken is computed too: it may not overflow.
        negative = fixed(x) <= 0
        return pt.switch(negative, self.gain * pt.expm1(pt.switch(negative, x, 0)), x)


class Maxout(Activation):
    """``max_k(slope_k * x + intercept_k)``, with ``pieces`` trained lines per unit.

    Parameters
    ----------
    pieces : int
        How many lines; ``'maxout:3'`` asks for three. The slopes start at
        different values around 1, so that the pieces are not twins.

    References
    ----------
    Goodfellow et al. 2013, "Maxout networks".
    """

    def __init__(self, pieces: int) -> None:
        if pieces < 1:
            raise ConfigurationError(f"maxout:{pieces} needs at least one piece")
        super().__init__(f"maxout:{pieces}")
        self.pieces = pieces

    def setup(self, layer: Layer, prefix: str = "") -> None:
        """Create ``slope`` and ``intercept``, of shape (units, pieces)."""
        shape = (layer.output_size, self.pieces)
        self.slope = layer.add_param(
            f"{prefix}slope", lambda: layer.rng.normal(1.0, 0.5, size=shape), shape
        )
        self.intercept = layer.add_param(f"{prefix}intercept", 0.0, shape)

    def __call__(self, x: Expression) -> Expression:
        """Get the expression for the activation of ``x``."""
        return (x[..., None] * self.slope + self.intercept).max(axis=-1)


LIMITS.update(dict.fromkeys((Prelu, LGrelu, Maxout), (None, None)))
# As long as its gain is what it starts with.
LIMITS[Elu] = (-1, None)
