"""Symbolic variables, and functions of the user: what they take and return."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Apply
from pytensor.tensor.basic import Alloc
from pytensor.tensor.variable import TensorVariable

from .errors import ConfigurationError

#: A symbolic value: a formula, a variable of the data, a constant or a parameter.
Expression: TypeAlias = TensorVariable

#: A variable with a value: a parameter, a layer's state, the state of a random generator.
Shared: TypeAlias = SharedVariable


def untrained(variable: Shared) -> Shared:
    """Mark a shared variable of ours as none that a gradient changes, and return it."""
    variable.tag.trained = False
    return variable


def placeholder(name: str | None, dtype: str, shape: tuple[int | None, ...]) -> Expression:
    """Make a symbolic variable; ``pt.tensor`` takes names such as ``'int'`` for types."""
    return pt.TensorType(dtype, shape=shape)(name)


def filled(value: Any, lengths: Sequence[Any], dtype: str) -> Expression:
    """Make an array that has one value in all entries, as ``pt.full``, but at once.

    That one goes through all that a length is computed from, to find out whether it is a constant:
    behind several layers, for most of the time in which a network is built.

    Parameters
    ----------
    value : float or expression
        The value.
    lengths : list of int or expressions of integers
        The shape; it is known of what is an int.
    dtype : str
        The type of the entries.
    """
    sizes = [pt.as_tensor_variable(length, ndim=0) for length in lengths]
    shape = tuple(length if isinstance(length, int) else None for length in lengths)
    given = pt.as_tensor_variable(value, dtype=dtype) if isinstance(value, int | float) else value
    array = pt.TensorType(dtype, shape=shape)()
    return Apply(Alloc(), [given.astype(dtype), *sizes], [array]).outputs[0]


def check_takes(where: str, function: Callable[..., Any], arguments: Sequence[str]) -> None:
    """Refuse a function of the user's that cannot be called with so many arguments.

    Of a function that does not tell what it takes, nothing is known.

    Parameters
    ----------
    where : str
        What it is, for messages.
    function : callable
        The function.
    arguments : list of str
        What it will get, by position.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        raise ConfigurationError(
            f"{where} cannot be called with ({', '.join(arguments)}): {error}; it takes {signature}"
        ) from None


def expression(value: Any, who: str) -> Expression:
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


def applied(function: Callable[..., Any], arguments: Sequence[Any], who: str) -> Expression:
    """Call a function of the user's with expressions; see `expression`.

    Raises
    ------
    ConfigurationError
        If what it returns is no expression, or it raises a TypeError, as functions of
        NumPy do of expressions.
    """
    try:
        value = function(*arguments)
    except TypeError as error:
        raise ConfigurationError(
            f"{who} raised TypeError: {error}. What it gets are expressions: functions of NumPy "
            "do not take them, those of pytensor.tensor do, such as pt.mean or pt.maximum"
        ) from error
    return expression(value, who)


def scalar(value: Any, who: str) -> Expression:
    """Get a scalar expression from what a function of the user returned; see `expression`."""
    found = expression(value, who)
    if found.ndim:
        raise ConfigurationError(
            f"{who} returned an expression of {found.ndim} dimensions; expected a scalar"
        )
    return found


def joint_norm(
    parts: Sequence[Any], axes: tuple[int, ...] | None = None, xp: Any = pt
) -> Expression:
    """Get the L2 norm of all entries of some arrays, also where their squares overflow.

    Parameters
    ----------
    parts : list of expression or of ndarray
        The arrays.
    axes : tuple of int, optional
        What the norm is taken along, and is kept with a length of 1; of arrays of
        one shape. By default it is a scalar, of all entries.
    xp : module
        ``pytensor.tensor``, or ``numpy`` for arrays.
    """
    along: dict[str, Any] = {} if axes is None else {"axis": axes, "keepdims": True}

    def squares(scale: Any = None) -> Any:
        found = [xp.sum(xp.square(x if scale is None else x / scale), **along) for x in parts]
        return sum(found[1:], found[0])

    plain = squares()
    there = [xp.abs(x) for x in parts if 0 not in getattr(x, "type", x).shape]
    if not there:
        return plain
    tops = [xp.max(x, **along) if x.ndim else x for x in there]
    top = tops[0]
    for other in tops[1:]:
        top = xp.maximum(top, other)
    beyond = xp.isinf(plain)
    # The bits of those that do not overflow are those of the plain formula.
    top = xp.where(beyond, top, xp.ones_like(top))
    return xp.where(beyond, top * xp.sqrt(squares(top)), xp.sqrt(plain))
