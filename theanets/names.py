"""Names of outputs (``'hid1:out'``) and parameters (``'hid1.w'``), and globs over them."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterable
from typing import Any

from .errors import ConfigurationError, deprecated, unknown
from .options import as_list


class Name(str):
    """The name of a layer or an output, which earlier versions called to get that of an output."""

    __slots__ = ()

    def __call__(self, output: str = "out") -> str:
        """Get the full name of an output of the layer, ``'hid1:pre'`` for ``'pre'``; deprecated."""
        found = f"{self.partition(':')[0]}:{output}"
        deprecated(f"names are no longer called; write {found!r}")
        return found


def output_name(name: str) -> str:
    """Complete the name of an output: ``'hid1'`` means ``'hid1:out'``."""
    if not isinstance(name, str):
        raise ConfigurationError(
            f"{name!r} is not the name of an output; expected a str such as 'hid1:out'"
        )
    return name if ":" in name else f"{name}:out"


def is_word(name: str) -> bool:
    """Tell whether a name can be a layer's: no separator or glob would be confused by it."""
    return bool(name) and not any(c.isspace() or c in ":.,*?[]" for c in name)


def is_within_block(name: str) -> bool:
    """Tell whether a layer is one of those of a block: ``'block/1'``."""
    return "/" in name


def from_within(name: str, within: str, layers: Collection[str]) -> str:
    """Get the whole name of an output by what it is called in a block.

    Parameters
    ----------
    name : str
        The name of a layer, or of an output of it; ``'/1'`` is not within any
        block.
    within : str
        The name of the layer that calls it so: in ``'a/b/2'``, ``'1'`` may
        mean ``'a/b/1'`` or ``'a/1'``, the first of these that there is.
    layers : collection of str
        The names of the layers.
    """
    layer, output = split_output(name)
    around = within
    if is_within_block(within) and layer.startswith("/"):
        return f"{layer[1:]}:{output}"
    while is_within_block(around):
        around = around.rpartition("/")[0]
        if f"{around}/{layer}" in layers:
            return f"{around}/{layer}:{output}"
    return f"{layer}:{output}"


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
        string may hold several patterns, separated by spaces or commas. What
        ends in ``'.*'`` is about all parameters of a layer, and so of those
        that a block consists of.
    names : iterable of str
        The names to match, case-sensitively.

    Returns
    -------
    list of str
        The matching names in the order of ``names``.
    """
    parts = split_patterns(patterns)
    parts += [f"{p[:-2]}/*.*" for p in parts if p.endswith(".*")]
    # A name may itself have the characters of a glob.
    return [n for n in names if any(n == p or fnmatch.fnmatchcase(n, p) for p in parts)]


def match_some(kind: str, patterns: str | Iterable[str], names: Iterable[str]) -> list[str]:
    """Get the names that match, and refuse a pattern that matches nothing.

    Raises
    ------
    UnknownNameError
        If one of the patterns matches no name; names the nearest.
    """
    names, parts = list(names), split_patterns(patterns)
    for pattern in parts:
        if not match([pattern], names):
            raise unknown(f"{kind} pattern", pattern, names)
    return match(parts, names)


def split_patterns(patterns: str | Iterable[str]) -> list[str]:
    """Get the patterns in what `match` takes, one by one.

    Raises
    ------
    ConfigurationError
        If there is none, or something else than strings.
    """
    listed = as_list(patterns)
    parts: list[Any] = [patterns] if listed is None else listed
    if not all(isinstance(part, str) for part in parts):
        raise ConfigurationError(
            f"pattern {patterns!r} is neither a str such as 'hid*' nor a list of these"
        )
    found = [p for part in parts for p in part.replace(",", " ").split()]
    if not found:
        raise ConfigurationError(f"pattern {patterns!r} is empty")
    return found


def param_patterns(patterns: str | Iterable[str]) -> list[str]:
    """Get patterns of parameters one by one; ``'hid1'`` means all of that layer, ``'hid1.*'``."""
    return [p if "." in p else f"{p}.*" for p in split_patterns(patterns)]


def output_patterns(patterns: str | Iterable[str]) -> list[str]:
    """Get patterns one by one, each completed as `output_name` does."""
    return [output_name(pattern) for pattern in split_patterns(patterns)]
