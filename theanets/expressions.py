"""Symbolic variables, and what functions of the user return as expressions that fit."""

from __future__ import annotations

from typing import Any

import pytensor.tensor as pt

from .errors import ConfigurationError


def placeholder(name: str | None, dtype: str, shape: tuple[int | None, ...]) -> Any:
    """Make a symbolic variable; ``pt.tensor`` takes names such as ``'int'`` for types."""
    return pt.TensorType(dtype, shape=shape)(name)


def expression(value: Any, who: str) -> Any:
    """Get an expression from what a function of the user returned.

    Parameters
    ----------
    value : expression, number or array
        What was returned.
    who : str
        Describes the function in the message.

    Raises
    ------
    ConfigurationError
        If it is neither.
    """
    try:
        return pt.as_tensor(value)
    except (TypeError, ValueError, NotImplementedError):
        raise ConfigurationError(f"{who} returned {value!r}; expected an expression") from None


def scalar(value: Any, who: str) -> Any:
    """Get a scalar expression from what a function of the user returned; see `expression`."""
    found = expression(value, who)
    if found.ndim:
        raise ConfigurationError(
            f"{who} returned an expression of {found.ndim} dimensions; expected a scalar"
        )
    return found
