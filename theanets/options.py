"""Options: what a keyword of a layer, loss, regularizer or metric may be.

A class declares them with their defaults, and what each has to be if that is
to be checked; they become attributes::

    class Cauchy(theanets.Loss):
        options = {"scale": Number(1.0, "positive")}

Those of base classes are inherited. One that has no meaning for a subclass is
declared as `Dropped`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from .errors import ConfigurationError, check_keywords, is_integer, nearest

# What a number must be: the words for messages, and the test of a finite one.
KINDS: dict[str, tuple[str, Callable[[float], bool]]] = {
    "any": ("a finite number", lambda x: True),
    "positive": ("a positive number", lambda x: x > 0),
    "nonnegative": ("a number of at least 0", lambda x: x >= 0),
    "limit": ("a positive number, or 0 or None for no limit", lambda x: x >= 0),
    "fraction": ("a number in [0, 1)", lambda x: 0 <= x < 1),
    "unit": ("a number in [0, 1]", lambda x: 0 <= x <= 1),
    "inner": ("a number in (0, 1)", lambda x: 0 < x < 1),
    "growth": ("a finite number of at least 1", lambda x: x >= 1),
    "shrinkage": ("a number in (0, 1]", lambda x: 0 < x <= 1),
}


#: What a number must not exceed, so that it is finite in each network.
LARGEST = float(np.finfo(np.float32).max)

#: What an integer must be less than: data and labels are of int32.
ENDLESS = 2**31


def as_number(value: Any, kind: str = "any") -> float | None:
    """Get a number of some kind from one of Python's or NumPy's; None if it is anything else.

    A number that is not finite as a float32 is none of any kind.

    Parameters
    ----------
    value : object
        True and False, and texts, are no numbers.
    kind : str
        A key of `KINDS`.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if abs(result) <= LARGEST and KINDS[kind][1](result) else None


def as_list(value: Any) -> list[Any] | None:
    """Get the entries of what can be iterated over and is no text or dict; None for all else."""
    single = isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable)
    # An array of no axes says that it is iterable.
    if single or getattr(value, "ndim", 1) == 0:
        return None
    return list(value)


class Option:
    """A keyword with its default, and what its value has to be; this one takes anything.

    Parameters
    ----------
    default : object
        The default, which is not checked.

    Attributes
    ----------
    expected : str
        What the value has to be, in words.
    """

    expected: str = "valid"

    def __init__(self, default: Any) -> None:
        self.default = default

    def take(self, value: Any) -> Any:
        """Get the value as it is kept.

        Raises
        ------
        ValueError
            If it has no meaning.
        """
        return value

    def hint(self, value: Any) -> str:
        """Get what else to say of a value that has no meaning."""
        return ""

    def check(self, name: str, value: Any, where: str = "") -> Any:
        """Get the value of an option or an argument as it is kept.

        Parameters
        ----------
        name : str
            Its name.
        value : object
            Its value.
        where : str
            What it is of, for messages.

        Raises
        ------
        ConfigurationError
            If it has no meaning.
        """
        try:
            return self.take(value)
        except ValueError:
            of = f"{where}: " if where else ""
            raise ConfigurationError(
                f"{of}{name}={value!r} is not {self.expected}{self.hint(value)}"
            ) from None


class Number(Option):
    """A number; None only if that is the default.

    Parameters
    ----------
    default : float or None
        The default.
    kind : str
        A key of `KINDS`.
    """

    def __init__(self, default: float | None, kind: str) -> None:
        super().__init__(default)
        self.kind = kind
        self.expected = KINDS[kind][0] + (" or None" if default is None else "")

    def take(self, value: Any) -> Any:
        """Get it as a float."""
        if value is None and self.default is None:
            return None
        found = as_number(value, self.kind)
        if found is None:
            raise ValueError
        return found


class Numbers(Option):
    """A number, or a list of these; None only if that is the default.

    Parameters
    ----------
    default : float, list or None
        The default.
    kind : str
        A key of `KINDS`.
    """

    def __init__(self, default: Any, kind: str) -> None:
        super().__init__(default)
        self.kind = kind
        self.expected = f"{KINDS[kind][0]}, or a list of these"

    def take(self, value: Any) -> Any:
        """Get a float, or a list of floats."""
        if value is None and self.default is None:
            return None
        single = as_number(value, self.kind)
        if single is not None:
            return single
        found = [as_number(one, self.kind) for one in as_list(value) or []]
        if not found or None in found:
            raise ValueError
        return found


class Whole(Option):
    """An integer of at least some number, and perhaps at most another; None only as the default."""

    def __init__(self, default: int | None, least: int | None = 1, most: int | None = None) -> None:
        super().__init__(default)
        self.least, self.most = least, most
        limits = "" if least is None else f" of at least {least}"
        limits += "" if most is None else f" and at most {most}"
        self.expected = f"an integer{limits}" + (" or None" if default is None else "")

    def take(self, value: Any) -> Any:
        """Get it as an int."""
        if value is None and self.default is None:
            return None
        if not is_integer(value, self.least) or abs(value) >= ENDLESS:
            raise ValueError
        if self.most is not None and value > self.most:
            raise ValueError
        return int(value)

    def hint(self, value: Any) -> str:
        """Say which numbers are too large."""
        large = self.most is None and is_integer(value) and abs(value) >= ENDLESS
        return " that is below 2 ** 31" if large else ""


class Flag(Option):
    """True or False."""

    expected = "True or False"

    def take(self, value: Any) -> bool:
        """Get it as a bool; 0 and 1 are taken for one."""
        if not isinstance(value, (bool, np.bool_)) and not (is_integer(value) and value in (0, 1)):
            raise ValueError
        return bool(value)


class Choice(Option):
    """One of some names (of any case), or numbers; None only if that is the default.

    Parameters
    ----------
    default : str, int or None
        The default.
    choices : sequence
        What there is.
    """

    def __init__(self, default: Any, choices: Sequence[Any]) -> None:
        super().__init__(default)
        self.choices = choices
        self.expected = f"one of {', '.join(map(repr, choices))}"
        self.expected += " or None" if default is None and None not in choices else ""

    def take(self, value: Any) -> Any:
        """Get the choice."""
        if value is None and self.default is None:
            return None
        if isinstance(value, str):
            value = value.lower()
        for choice in self.choices:
            if type(choice) is type(value) and choice == value:
                return choice
        raise ValueError

    def hint(self, value: Any) -> str:
        """Get the nearest name."""
        return nearest(value, map(str, self.choices)) if isinstance(value, str) else ""


class Name(Option):
    """A name, of an output for instance; None only if that is the default."""

    expected = "a name"

    def take(self, value: Any) -> Any:
        """Get the name."""
        if value is None and self.default is None:
            return None
        if not isinstance(value, str) or not value:
            raise ValueError
        return value


class Dropped(Option):
    """An option of a base class that means nothing here: giving it is an error.

    Files of earlier versions have it, with the value that it had by default.
    """


#: An option that was None, or False, by default.
DROPPED, DROPPED_FLAG = Dropped(None), Dropped(False)


class Configured:
    """Base of classes with options.

    Attributes
    ----------
    options : dict
        What the class declares itself: a default or an `Option` by name.
    """

    options: ClassVar[dict[str, Any]] = {}

    @classmethod
    def _declared(cls) -> dict[str, Option]:
        merged: dict[str, Option] = {}
        for base in reversed(cls.__mro__):
            for key, value in vars(base).get("options", {}).items():
                if isinstance(value, Option):
                    merged[key] = value
                elif isinstance(merged.get(key, DROPPED), Dropped):
                    merged[key] = Option(value)
                else:
                    # Another default of an option of a base.
                    merged[key] = copy.copy(merged[key])
                    merged[key].default = value
        return merged

    @classmethod
    def valid_options(cls) -> dict[str, Any]:
        """Get the options of the class and its bases, with their defaults."""
        declared = cls._declared().items()
        return {key: one.default for key, one in declared if not isinstance(one, Dropped)}

    def set_options(self, given: Mapping[str, Any], where: str, others: Iterable[str] = ()) -> None:
        """Make attributes of all options: of the values that are given, or the defaults.

        Parameters
        ----------
        given : dict
            Options by name.
        where : str
            What they are of, for messages.
        others : iterable of str
            Further keywords that are valid, for messages.

        Raises
        ------
        ConfigurationError
            If there is no such option, or a value has no meaning.
        """
        declared = self._declared()
        for key, one in declared.items():
            if not isinstance(one, Dropped):
                value = one.default if key not in given else one.check(key, given[key], where)
                setattr(self, key, value)
            elif key in given and given[key] is not one.default:
                raise ConfigurationError(
                    f"{where}: {key}={given[key]!r} means nothing here; leave it out"
                )
        extra = set(given) - set(declared)
        if extra:
            check_keywords(where, extra, [*others, *self.valid_options()])


def defaults(cls: type[Configured]) -> dict[str, Any]:
    """Get the defaults of all options of a class, those included that mean nothing for it."""
    return {key: one.default for key, one in cls._declared().items()}


def number(name: str, value: Any, kind: str = "any", where: str = "") -> float:
    """Check an argument that has to be a number of some kind, see `Option.check` and `KINDS`."""
    found: float = Number(0.0, kind).check(name, value, where)
    return found


def whole_number(name: str, value: Any, least: int = 1, where: str = "") -> int:
    """Check an argument that has to be an integer of at least some number; see `Option.check`.

    Unlike an option, it may have any size: it is not made part of data.
    """
    if is_integer(value, least):
        return int(value)
    found: int = Whole(least, least).check(name, value, where)
    return found


def flag(name: str, value: Any, where: str = "") -> bool:
    """Check an argument that has to be True or False; see `Option.check`."""
    return bool(Flag(False).check(name, value, where))
