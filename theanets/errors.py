"""Errors and warnings of the package.

Every error names the argument, the value it had and what was expected; where
a name was misspelt, the nearest valid one.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any, ParamSpec, TypeVar

import numpy as np
from pytensor.graph.op import Op

from .earlier import namesakes, phrase, same_spelling

P = ParamSpec("P")
R = TypeVar("R")


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
    """A file is not there or out of reach, is damaged, not one of ours, or of another network.

    Where the system says why, it is an `OSError` too, of the same kind as
    Python has it, `FileNotFoundError` for instance, with its ``errno`` and
    ``filename``.
    """


class SystemFileError(OSError, FileError):
    """What the system says of a file."""


class MissingFileError(FileNotFoundError, SystemFileError):
    """There is no such file, or no such directory."""


class ForbiddenFileError(PermissionError, SystemFileError):
    """A file may not be read or written."""


class DirectoryFileError(IsADirectoryError, SystemFileError):
    """A directory stands where a file should be."""


class NoDirectoryFileError(NotADirectoryError, SystemFileError):
    """A file stands where a directory should be."""


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what the system says of a file into a `FileError` that names it.

    Parameters
    ----------
    path : path
        The file, as the user calls it.

    Raises
    ------
    FileError
        In the place of an `OSError`, and of its kind too.
    """
    try:
        yield
    except FileError:
        raise
    except OSError as error:
        every = (MissingFileError, ForbiddenFileError, DirectoryFileError, NoDirectoryFileError)
        kind = next((k for k in every if isinstance(error, k.__bases__[0])), SystemFileError)
        where = os.fspath(path)
        if error.errno is None:
            raise kind(f"{where}: {error}") from error
        hint = _missing(where) if kind is MissingFileError else ""
        raise kind(error.errno, f"{error.strerror}{hint}", where) from error


def _missing(path: str) -> str:
    """Say which directory there is not, or which file has nearly the name of one that is not."""
    directory, name = os.path.split(os.fsdecode(path))
    try:
        return nearest(name, os.listdir(directory or "."))
    except FileNotFoundError:
        return f", nor the directory {directory!r}"
    except OSError:
        return ""


class DerivativeError(Error, NotImplementedError):
    """A derivative is needed of an operation that has none.

    Parameters
    ----------
    message : str
        What is said of it.
    op : Op, optional
        The operation that has no derivative.
    """

    def __init__(self, message: str, op: Op = None) -> None:
        super().__init__(message)
        self.op = op


class GroupError(Error, RuntimeError):
    """Another process of a group that trains together failed, or is gone."""


class ZeroGradientWarning(UserWarning):
    """A loss does not depend, differentiably, on some parameters."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """Get a hint at the valid name that is nearest to a misspelt one, or means the same elsewhere.

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
    for same in namesakes(name):
        if same in lowered:
            return f" (did you mean {same!r}?)"
    # Letters in another order are nearer than letters that are not there.
    found = [choice for choice in lowered if sorted(choice) == sorted(str(name).lower())]
    found = found or difflib.get_close_matches(str(name).lower(), lowered, n=1, cutoff=0.6)
    return f" (did you mean {lowered[found[0]]!r}?)" if found else ""


def hint(name: object, choices: Iterable[str]) -> str:
    """Get a hint at what to write instead of an unknown name; see `earlier.PHRASES` and `nearest`.

    Parameters
    ----------
    name : object
        The name that was not found.
    choices : iterable of str
        The valid names.
    """
    found, choices = phrase(name), list(choices)
    if found is None and not {*namesakes(name)}.intersection(choices):
        found = next(filter(None, map(phrase, namesakes(name))), None)
    if any(same_spelling(str(name), choice) for choice in choices):
        found = None
    return f" (write {found})" if found else nearest(str(name), choices)


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
    return UnknownNameError(f"unknown {kind} {name!r}{hint(name, choices)}; valid: {listed}")


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


def check_keywords(
    where: str,
    given: Iterable[str],
    valid: Iterable[str],
    of: Callable[[str], str | None] = lambda name: None,
) -> None:
    """Refuse keywords that nobody consumes.

    Parameters
    ----------
    where : str
        The function or class that got the keywords.
    given : iterable of str
        The keywords that were left over.
    valid : iterable of str
        The keywords that would have been accepted.
    of : callable, optional
        Gets a hint at what else has a keyword that nothing valid is called elsewhere, or None.

    Raises
    ------
    ConfigurationError
        If any keyword was given; says what else has it, or names the nearest valid one.
    """
    valid, wrong = list(valid), []
    for name in given:
        known = phrase(name) is not None or {*namesakes(name)}.intersection(valid)
        other = None if known else of(name)
        wrong.append(f"{name!r}{hint(name, valid) if other is None else f' ({other})'}")
    if wrong:
        listed = ", ".join(sorted(valid)) or "none"
        raise ConfigurationError(f"{where} got unknown keyword {', '.join(wrong)}; valid: {listed}")


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line of the caller's that is outside of this package."""
    level, frame = 1, sys._getframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith(f"{__package__}."):
        level, frame = level + 1, frame.f_back  # type: ignore[assignment]
    warnings.warn(message, category, stacklevel=level)


def deprecated(message: str) -> None:
    """Warn of something deprecated; Python shows it where it concerns the program that runs."""
    warn(message, DeprecationWarning)


def takes_any(parameters: Mapping[str, inspect.Parameter]) -> bool:
    """Tell whether a function takes keywords of any name, as ``**kwargs``."""
    return any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def check_arguments(
    where: str, signature: inspect.Signature, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> inspect.BoundArguments:
    """Refuse arguments that a method does not take, in words of the class that was called.

    Python would name the class that has the method, which may be a base that
    the user has never heard of.

    Parameters
    ----------
    where : str
        The class that was called.
    signature : Signature
        Of the method, ``self`` included.
    args, kwargs
        The arguments, without ``self``.

    Raises
    ------
    ConfigurationError
        If the call would fail; names the nearest valid keyword.
    """
    many = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = list(signature.parameters.values())[1:]
    valid = [p.name for p in parameters if p.kind not in many]
    if not takes_any(signature.parameters):
        check_keywords(where, [key for key in kwargs if key not in valid], valid)
    try:
        return signature.bind(None, *args, **kwargs)
    except TypeError as error:
        raise ConfigurationError(f"{where}: {error}; it takes {', '.join(valid)}") from None


def checked(method: Callable[P, R]) -> Callable[P, R]:
    """Let a constructor do what `check_arguments` does, for all classes that inherit it."""
    signature = inspect.signature(method)

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        check_arguments(type(args[0]).__name__, signature, args[1:], kwargs)
        return method(*args, **kwargs)

    return call


def renamed(**keywords: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function take keywords by the names that they had in earlier versions, too.

    Parameters
    ----------
    **keywords
        The present name by the earlier one.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for old, new in keywords.items():
                if old in kwargs:
                    deprecated(f"{old}= is now {new}=")
                    kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate


def formerly(old: str, new: str) -> Callable[[Any], Any]:
    """Make a method that is what another one was called in earlier versions.

    A class of the user's may still have it, and ask its base class for more.
    """
    name = old.removesuffix("()")

    def call(self: Any) -> Any:
        deprecated(f"{old} of {type(self).__name__} is now {new}()")
        for cls in type(self).__mro__:
            own, earlier = vars(cls).get(new), vars(cls).get(name)
            if own is not None and own is not getattr(earlier, "fget", earlier):
                return own(self)
        return getattr(self, new)()

    return call


#: The least and the greatest weight but 0: sums of them, and of their products with errors,
#: are numbers of the type.
WEIGHTS = {"float32": (1e-30, 1e30), "float64": (1e-200, 1e200)}


def check_weights(weights: Any, dtype: Any, where: str) -> None:
    """Refuse weights that are negative, or so small or large that their sums are not right.

    Those that are not finite are left to others.

    Parameters
    ----------
    weights : ndarray
        The weights, as they were given.
    dtype : dtype
        The type that they will have.
    where : str
        Describes them in the message.

    Raises
    ------
    DataError
        If there are such.
    """
    # Not Python's numbers, which NumPy would cast to the type of the weights.
    least, most = np.array(WEIGHTS.get(str(np.dtype(dtype)), (0.0, np.inf)))
    wrong = (weights < least) & (weights != 0)
    if weights.dtype.kind == "f":
        wrong |= (weights > most) & np.isfinite(weights)
    if wrong.any():
        value = weights[wrong][0]
        hint = "; divide all by their mean, which changes nothing" if value > 0 else ""
        raise DataError(
            f"{where} has the weight {value:g}; expected 0, or a number from {least:g} to "
            f"{most:g}{hint}"
        )
