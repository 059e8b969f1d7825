"""Errors and warnings of the package.

Every error names the argument, the value it had and what was expected; where
a name was misspelt, the nearest valid one.
"""

from __future__ import annotations

import difflib
import sys
import warnings
from collections.abc import Iterable
from numbers import Integral
from typing import Any


class Error(Exception):
    """Base class of the errors that this package raises."""


class ConfigurationError(Error, ValueError):
    """A network, layer, loss, optimizer or call was specified wrongly."""


class UnknownNameError(ConfigurationError, KeyError):
    """A name that refers to nothing."""

    # KeyError would show the repr of the message.
    __str__ = Exception.__str__


class DataError(Error, ValueError):
    """An array does not have the form that a network needs."""


class ExhaustedError(DataError):
    """An iterator has no more batches."""


class FileError(Error, ValueError):
    """A file is not one of ours, is damaged, or belongs to another network."""


class ZeroGradientWarning(UserWarning):
    """A loss does not depend, differentiably, on some parameters."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """Get a hint at the valid name that is nearest to a misspelt one.

    Parameters
    ----------
    name : str
        The name that was not found.
    choices : iterable of str
        The valid names.

    Returns
    -------
    str
        ``" (did you mean 'x'?)"``, or an empty string when nothing is near.
    """
    lowered = {choice.lower(): choice for choice in choices}
    found = difflib.get_close_matches(str(name).lower(), lowered, n=1, cutoff=0.6)
    return f" (did you mean {lowered[found[0]]!r}?)" if found else ""


def unknown(kind: str, name: object, choices: Iterable[str]) -> UnknownNameError:
    """Make the error for a name that is not one of the valid choices.

    Parameters
    ----------
    kind : str
        What the name should have been the name of, for instance ``'loss'``.
    name : object
        The value that was given.
    choices : iterable of str
        The valid names.

    Returns
    -------
    UnknownNameError
        To be raised by the caller.
    """
    choices = list(choices)
    listed = ", ".join(sorted(choices)) or "none"
    return UnknownNameError(
        f"unknown {kind} {name!r}{nearest(str(name), choices)}; valid: {listed}"
    )


def interrupted(error: BaseException | None) -> bool:
    """Tell whether an error is an interruption, Ctrl-C, or what compiled code makes of one.

    Where it comes while Numba's code runs, this returns "with an exception
    set", for which Python has a SystemError.
    """
    while isinstance(error, SystemError):
        error = error.__cause__ or error.__context__
    return isinstance(error, KeyboardInterrupt)


def is_integer(value: object, least: int | None = None) -> bool:
    """Tell whether a value is an integer, of at least some number; True and False are none."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        return False
    return least is None or int(value) >= least


def whole_number(name: str, value: Any, least: int = 1, where: str = "") -> int:
    """Check an argument that has to be an integer of at least some number.

    Parameters
    ----------
    name : str
        Name of the argument.
    value : Any
        Its value.
    least : int
        The smallest valid number.
    where : str
        What the message begins with, for instance ``"layer 'hid1': "``.

    Returns
    -------
    int

    Raises
    ------
    ConfigurationError
        If it is anything else.
    """
    if not is_integer(value, least):
        raise ConfigurationError(f"{where}{name}={value!r} is not an integer of at least {least}")
    return int(value)


def check_keywords(where: str, given: Iterable[str], valid: Iterable[str]) -> None:
    """Refuse keywords that nobody consumes.

    Parameters
    ----------
    where : str
        The function or class that got the keywords.
    given : iterable of str
        The keywords that were left over.
    valid : iterable of str
        The keywords that would have been accepted.

    Raises
    ------
    ConfigurationError
        If any keyword was given; names the nearest valid one.
    """
    valid = list(valid)
    wrong = [f"{name!r}{nearest(name, valid)}" for name in given]
    if wrong:
        listed = ", ".join(sorted(valid)) or "none"
        raise ConfigurationError(f"{where} got unknown keyword {', '.join(wrong)}; valid: {listed}")


def deprecated(message: str) -> None:
    """Warn of something deprecated, at the line of the caller's that is outside of this package.

    Python shows such warnings only where they concern the program that runs.
    """
    level, frame = 1, sys._getframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith(f"{__package__}."):
        level, frame = level + 1, frame.f_back  # type: ignore[assignment]
    warnings.warn(message, DeprecationWarning, stacklevel=level)
