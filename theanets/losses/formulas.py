"""Pieces of formulas; finite, with a finite gradient, wherever they can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad

from ..expressions import Expression

#: Below these a logarithm goes on as its tangent. Their inverse, the gradient
#: there, leaves room for a factor of a million before it overflows.
FLOOR = {"float32": 1e-30, "float64": 1e-200}

#: Above these an exponential goes on as its tangent.
CEILING = {"float32": 60.0, "float64": 450.0}


def const(value: Any, like: Expression) -> Expression:
    """Get a number or array as a constant of the type of ``like``, which it then cannot upcast."""
    return pt.as_tensor(np.asarray(value, dtype=like.dtype))


def nonzero(count: Expression) -> Expression:
    """Get what divides a sum: 1 for a count of 0, of which the sum is 0 or the loss itself."""
    return pt.switch(pt.eq(count, 0), 1, count)


def identity(output: Expression) -> Expression:
    """Get the same expression: what links an output to itself."""
    return output


def safe_log(
    x: Expression, floor: float | None = None, log: Callable[[Expression], Expression] | None = None
) -> Expression:
    """Get ``log(x)``, and below ``floor`` its tangent there.

    So a probability of 0 has a finite error, and a gradient that is large and
    points away from 0, where clipping would give none.

    Parameters
    ----------
    x : expression
        At least 0.
    floor : float, optional
        By default 1e-30 in float32 and 1e-200 in float64.
    log : callable, optional
        A more accurate way to the logarithm where ``x`` is above the floor;
        gets the boolean expression that says where.
    """
    low = FLOOR[x.dtype] if floor is None else floor
    above = x > const(low, x)
    value = pt.log(pt.switch(above, x, const(1, x))) if log is None else log(above)
    tangent = x * const(1 / low, x) + const(np.log(low) - 1, x)
    return pt.switch(above, value, tangent)


def safe_log1m(x: Expression) -> Expression:
    """Get ``log(1 - x)`` for ``x`` up to 1; see `safe_log`."""
    return safe_log(const(1, x) - x, log=lambda above: pt.log1p(-pt.switch(above, x, const(0, x))))


def safe_exp(x: Expression) -> Expression:
    """Get ``exp(x)``, and above 60 (float32) or 450 (float64) its tangent there."""
    high = CEILING[x.dtype]
    below = x < const(high, x)
    tangent = const(np.exp(high), x) * (x - const(high - 1, x))
    return pt.switch(below, pt.exp(pt.switch(below, x, const(0, x))), tangent)


def log_sum_exp(x: Expression, axis: int = -1) -> Expression:
    """Get ``log(sum(exp(x)))`` along an axis, which is dropped; entries may be -inf."""
    # The value does not depend on the shift, so neither does the gradient.
    top = disconnected_grad(x.max(axis=axis, keepdims=True))
    return pt.log(pt.exp(x - top).sum(axis=axis)) + top.squeeze(axis)


def sqr_norm(x: Expression, axis: int = -1) -> Expression:
    """Get the sum of squares along an axis, which is dropped."""
    return pt.sqr(x).sum(axis=axis)


def one_hot(labels: Expression, classes: Any, dtype: str) -> Expression:
    """Get an indicator of each label along a new last axis.

    Parameters
    ----------
    labels : integer expression
        Labels in [0, classes).
    classes : int or scalar expression
        Number of classes.
    dtype : str
        Type of the result.
    """
    return pt.eq(labels[..., None], pt.arange(classes, dtype=labels.dtype)).astype(dtype)


def pick(values: Expression, labels: Expression) -> Expression:
    """Get ``values[..., label]`` for each label.

    Parameters
    ----------
    values : expression of shape (..., classes)
        Scores of the classes.
    labels : integer expression of shape (...)
        Labels in [0, classes); outside of that the result is 0.

    Notes
    -----
    All entries are looked at, where indexing would do: that compiles in a
    fraction of the time, runs on all linkers, and cannot leave the array.
    """
    classes = values.type.shape[-1] or values.shape[-1]
    chosen = one_hot(labels, classes, "bool")
    return pt.switch(chosen, values, const(0, values)).sum(axis=-1)
