"""Activations with a number in their name, which is not trained: ``'leaky:0.01'``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import pytensor.tensor as pt

from ..errors import ConfigurationError
from ..expressions import Expression
from .base import Activation, Limits, constant, fixed


class Numbered(Activation, abstract=True):
    """A function of an expression and a number.

    Parameters
    ----------
    form : str
        Which, a key of `NUMBERED`.
    number : float
        Finite, and for forms but ``leaky`` positive.

    Attributes
    ----------
    limits : tuple
        The least and the greatest number that it can give.

    Raises
    ------
    ConfigurationError
        If the number has no meaning.
    """

    def __init__(self, form: str, number: float) -> None:
        kind = NUMBERED[form]
        if not math.isfinite(number) or (kind.positive and number <= 0):
            expected = "a positive number" if kind.positive else "a number"
            raise ConfigurationError(
                f"activation={f'{form}:{number!r}'!r} needs {expected}: {kind.example!r}"
            )
        super().__init__(f"{form}:{number!r}")
        self.form, self.number = form, number
        self.limits: Limits = kind.limits(number)

    def __call__(self, x: Expression) -> Expression:
        """Get the expression for the activation of ``x``."""
        return NUMBERED[self.form].function(x, self.number)


class Kind(NamedTuple):
    """What a form computes, which limits that has, its example, and whether numbers are > 0."""

    function: Callable[[Expression, float], Expression]
    limits: Callable[[float], Limits]
    example: str
    positive: bool = True


def _leaky(x: Expression, slope: float) -> Expression:
    return pt.switch(fixed(x) <= 0, constant(slope, x) * x, x)


def _relu(x: Expression, most: float) -> Expression:
    compared = fixed(x)
    top, zero = constant(most, x), constant(0, x)
    return pt.switch(compared <= 0, zero, pt.switch(compared >= most, top, x))


def _elu(x: Expression, gain: float) -> Expression:
    negative = fixed(x) <= 0
    # The branch that is not taken is computed too: it may not overflow.
    return pt.switch(negative, constant(gain, x) * pt.expm1(pt.switch(negative, x, 0)), x)


def _celu(x: Expression, alpha: float) -> Expression:
    negative = fixed(x) <= 0
    below = pt.expm1(pt.switch(negative, x, 0) / constant(alpha, x))
    return pt.switch(negative, constant(alpha, x) * below, x)


#: By what stands before the colon.
NUMBERED: Mapping[str, Kind] = {
    # x, or a times x where x is negative (Maas et al. 2013).
    "leaky": Kind(_leaky, lambda a: (None if a > 0 else 0, None), "leaky:0.01", positive=False),
    # min(a, max(0, x)).
    "relu": Kind(_relu, lambda a: (0, a), "relu:6"),
    # x, or a (exp(x) - 1) where x is negative (Clevert et al. 2016).
    "elu": Kind(_elu, lambda a: (-a, None), "elu:0.5"),
    # x, or a (exp(x / a) - 1) where x is negative (Barron 2017).
    "celu": Kind(_celu, lambda a: (-a, None), "celu:0.5"),
}


def numbered(form: str, argument: str) -> Numbered:
    """Get the activation called ``form:argument``."""
    try:
        number = float(argument)
    except ValueError:
        raise ConfigurationError(
            f"activation={f'{form}:{argument}'!r} needs a number: {NUMBERED[form].example!r}"
        ) from None
    return Numbered(form, number)
