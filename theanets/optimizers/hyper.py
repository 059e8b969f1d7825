"""Hyper-parameters: their names, defaults, checks, and the half-life form of decays."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ConfigurationError
from ..options import number


def from_halflife(halflife: float) -> float:
    r"""Get the decay factor :math:`2^{-1/h}`, whose h-th power is one half."""
    return float(0.5 ** (1 / halflife))


@dataclass(frozen=True)
class Hyper:
    """One numeric hyper-parameter of an optimizer.

    Parameters
    ----------
    name : str
        Keyword, and name of the shared scalar that holds the value.
    default : float
        Value if the keyword is not given, or is None. For a decay that has a
        half-life, the default is that of the half-life.
    kind : str
        A key of `theanets.options.KINDS`.
    halflife : str
        If not empty, the keyword that gives a decay factor as a half-life: the
        number of updates after which a value's weight has halved.
    deprecated : tuple of str
        Old names of the keyword.
    """

    name: str
    default: float
    kind: str = "positive"
    halflife: str = ""
    deprecated: tuple[str, ...] = ()

    @property
    def keywords(self) -> tuple[str, ...]:
        """All keywords that set the value."""
        return (self.name, *([self.halflife] if self.halflife else []), *self.deprecated)

    def value(self, where: str, given: Mapping[str, Any]) -> float:
        """Get the checked value from the keywords that were given."""
        found = [name for name in self.keywords if name in given]
        if not found:
            return from_halflife(self.default) if self.halflife else self.default
        if len(found) > 1:
            both = " and ".join(f"{name}={given[name]!r}" for name in found)
            raise ConfigurationError(f"{where} got {both}; expected only one of them")
        [name] = found
        if name in self.deprecated:
            warnings.warn(f"{name} is now called {self.name}", DeprecationWarning, stacklevel=5)
        if name == self.halflife:
            return from_halflife(number(name, given[name], "positive", where))
        return number(name, given[name], self.kind, where)

    def cast(self, value: float, dtype: str) -> np.ndarray:
        """Get a value as a 0-d array that is still valid after rounding to a dtype."""
        limits = np.finfo(dtype)
        if self.kind == "fraction":
            value = min(value, 1 - float(limits.epsneg))
        if self.kind == "positive":
            value = max(value, float(limits.tiny))
        return np.asarray(value, dtype)


def values(where: str, hypers: Iterable[Hyper], given: Mapping[str, Any]) -> dict[str, float]:
    """Get the checked values of several hyper-parameters, by name."""
    return {hyper.name: hyper.value(where, given) for hyper in hypers}
