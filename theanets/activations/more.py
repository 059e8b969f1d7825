"""Further activation functions, found by name like those of `theanets.activations`."""

from __future__ import annotations

import math

import pytensor.tensor as pt
from pytensor.tensor.special import log_softmax as _log_softmax

from ..expressions import Expression
from .base import LIMITS, Activation, constant, fixed, named

#: The fixed point of mean 0 and variance 1 (Klambauer et al. 2017,
#: "Self-normalizing neural networks").
SELU_SCALE = 1.0507009873554805
SELU_ALPHA = 1.6732632423543772


def _clipped(x: Expression, low: float, high: float) -> Expression:
    # A NaN has to pass, and the gradient of a comparison would bring another dtype.
    compared = fixed(x)
    return pt.switch(compared <= low, low, pt.switch(compared >= high, high, x)).astype(x.dtype)


def _exp_minus_1(x: Expression, alpha: float) -> tuple[Expression, Expression]:
    """Get where x is not positive, and ``alpha * (exp(x) - 1)`` there."""
    negative = fixed(x) <= 0
    # The branch that is not taken is computed too: it may not overflow.
    return negative, constant(alpha, x) * pt.expm1(pt.switch(negative, x, 0))


@named("gelu", low=-0.17)
def gelu(x: Expression) -> Expression:
    r""":math:`x \Phi(x)` with the normal distribution function (Hendrycks & Gimpel 2016)."""
    # As erfc, of which small values are exact; beyond, it is 0 or 2 and its
    # derivative 0, whose formula would overflow.
    tail = pt.erfc(_clipped(x, -40, 40) * constant(-math.sqrt(0.5), x))
    return constant(0.5, x) * x * tail


@named("gelu:tanh", low=-0.171)
def gelu_tanh(x: Expression) -> Expression:
    r"""Approximate ``gelu``: :math:`\frac{x}{2} (1 + \tanh \sqrt{2/\pi} (x + 0.044715 x^3))`."""
    # Beyond, the tanh is 1 exactly, and a cube may overflow.
    u = _clipped(x, -10, 10)
    cubic = u + constant(0.044715, x) * u * u * u
    return constant(0.5, x) * x * (1 + pt.tanh(constant(math.sqrt(2 / math.pi), x) * cubic))


@named("silu", "swish", low=-0.279)
def silu(x: Expression) -> Expression:
    """``x / (1 + exp(-x))`` (Elfwing et al. 2018, Ramachandran et al. 2017)."""
    return x * pt.sigmoid(x)


@named("mish", low=-0.309)
def mish(x: Expression) -> Expression:
    """``x * tanh(log(1 + exp(x)))`` (Misra 2019)."""
    return x * pt.tanh(pt.softplus(x))


@named("selu", low=-SELU_SCALE * SELU_ALPHA)
def selu(x: Expression) -> Expression:
    """``scale * x`` for positive values, ``scale * alpha * (exp(x) - 1)`` otherwise."""
    negative, low = _exp_minus_1(x, SELU_ALPHA)
    return constant(SELU_SCALE, x) * pt.switch(negative, low, x)


@named("celu", low=-1)
def celu(x: Expression) -> Expression:
    """``x`` for positive values, ``exp(x) - 1`` otherwise (Barron 2017): ``elu`` without a gain."""
    negative, low = _exp_minus_1(x, 1.0)
    return pt.switch(negative, low, x)


@named("softsign", low=-1, high=1)
def softsign(x: Expression) -> Expression:
    """``x / (1 + |x|)``."""
    return x / (1 + pt.abs(x))


@named("hard_sigmoid", "hardsigmoid", low=0, high=1)
def hard_sigmoid(x: Expression) -> Expression:
    """``min(1, max(0, (x + 3) / 6))``, with gradient 0 at -3 and 3."""
    return (_clipped(x, -3, 3) + 3) * constant(1 / 6, x)


@named("hard_tanh", "hardtanh", low=-1, high=1)
def hard_tanh(x: Expression) -> Expression:
    """``min(1, max(-1, x))``, with gradient 0 at -1 and 1."""
    return _clipped(x, -1, 1)


@named("log_softmax", "logsoftmax", high=0)
def log_softmax(x: Expression) -> Expression:
    """``log(softmax(x))`` over the last axis."""
    return _log_softmax(x, axis=-1)


@named("sparsemax", low=0, high=1)
def sparsemax(x: Expression) -> Expression:
    r"""Project to the nearest probabilities over the last axis, of which many are 0.

    :math:`\max(0, x - \tau)` with the :math:`\tau` that makes the sum 1
    (Martins & Astudillo 2016).
    """
    compared = fixed(x)
    top = compared.max(axis=-1, keepdims=True)
    # What is 1 or more below the largest entry is outside, however far.
    falling = -pt.sort(_clipped(top - compared, 0, 1), axis=-1)
    size = x.type.shape[-1]
    rank = pt.arange(1, (x.shape[-1] if size is None else size) + 1).astype(x.dtype)
    first = 1 + rank * falling > pt.cumsum(falling, axis=-1)
    count = first.sum(axis=-1, keepdims=True).astype(x.dtype)
    bound = (pt.switch(first, falling, 0).sum(axis=-1, keepdims=True) - 1) / count
    inside = (compared - top > bound).astype(x.dtype)
    # With what is inside known, the threshold is linear: so is the gradient. A
    # product and not a switch, so that a NaN passes.
    shifted = x - top
    threshold = (pt.switch(inside > 0, shifted, 0).sum(axis=-1, keepdims=True) - 1) / count
    return (inside * (shifted - threshold)).astype(x.dtype)


class GLU(Activation, names=("glu",)):
    """Half of the pre-activation, times the sigmoid of the other half, over the last axis.

    A layer of n units then has 2n pre-activations, and as many columns of
    weights (Dauphin et al. 2017, "Language modeling with gated convolutional
    networks").
    """

    width = 2

    def gate(self, x: Expression) -> Expression:
        """Get what the first half is multiplied by, of the second."""
        return pt.sigmoid(x)

    def __call__(self, x: Expression) -> Expression:
        """Get the expression for the activation of ``x``."""
        half = x.shape[-1] // 2 if x.type.shape[-1] is None else x.type.shape[-1] // 2
        return x[..., :half] * self.gate(x[..., half:])


class GEGLU(GLU, names=("geglu",)):
    """Half of the pre-activation, times the GELU of the other half; see `GLU`.

    Shazeer 2020, "GLU variants improve transformer".
    """

    def gate(self, x: Expression) -> Expression:
        """Get what the first half is multiplied by, of the second."""
        return gelu(x)


class SwiGLU(GLU, names=("swiglu",)):
    """Half of the pre-activation, times the SiLU of the other half; see `GEGLU`."""

    def gate(self, x: Expression) -> Expression:
        """Get what the first half is multiplied by, of the second."""
        return silu(x)


LIMITS[GLU] = LIMITS[GEGLU] = LIMITS[SwiGLU] = (None, None)
