"""Names of outputs (``'hid1:out'``) and parameters (``'hid1.w'``), and globs over them."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

from .errors import unknown


def output_name(name: str) -> str:
    """Complete the name of an output: ``'hid1'`` means ``'hid1:out'``."""
    return name if ":" in name else f"{name}:out"


def split_output(name: str) -> tuple[str, str]:
    """Split the name of an output into layer and output: ``('hid1', 'out')``."""
    layer, _, output = output_name(name).rpartition(":")
    return layer, output


def match(patterns: str | Iterable[str], names: Iterable[str]) -> list[str]:
    """Get the names that match any of some glob patterns.

    Parameters
    ----------
    patterns : str or iterable of str
        Glob patterns; ``'*'``, ``'?'`` and ``'[...]'`` as in file names. One
        string may hold several patterns, separated by spaces or commas.
    names : iterable of str
        The names to match, case-sensitively.

    Returns
    -------
    list of str
        The matching names in the order of ``names``.
    """
    if isinstance(patterns, str):
        patterns = patterns.replace(",", " ").split()
    patterns = list(patterns)
    return [n for n in names if any(fnmatch.fnmatchcase(n, p) for p in patterns)]


def match_some(kind: str, patterns: str | Iterable[str], names: Iterable[str]) -> list[str]:
    """Get the names that match, and refuse a pattern that matches nothing.

    Raises
    ------
    UnknownNameError
        If no name matches; names the nearest.
    """
    names = list(names)
    found = match(patterns, names)
    if not found:
        raise unknown(f"{kind} pattern", patterns, names)
    return found
