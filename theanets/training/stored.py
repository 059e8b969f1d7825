"""What the header of a checkpoint holds, which may be anything, checked."""

from __future__ import annotations

from typing import Any

from ..errors import is_integer


def count(key: str, value: Any, least: int = 0) -> int:
    """Get a whole number.

    Raises
    ------
    ValueError
        If it is none, or less than the least.
    """
    if not is_integer(value, least):
        raise ValueError(f"{key} is {value!r:.50}")
    return int(value)


def number(key: str, value: Any) -> float:
    """Get a number, which may be infinite or NaN.

    Raises
    ------
    ValueError
        If it is none.
    """
    if not _is_number(value):
        raise ValueError(f"{key} is {value!r:.50}")
    return float(value)


def numbers(key: str, value: Any) -> dict[str, Any]:
    """Get numbers by name.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    if not isinstance(value, dict) or not all(map(_is_number, value.values())):
        raise ValueError(f"{key} has {value!r:.50}, which is not numbers by name")
    return value


def monitors(key: str, value: Any) -> dict[str, Any]:
    """Get monitors, of which there are none or one is the loss.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    if numbers(key, value) and "loss" not in value:
        raise ValueError(f"{key} has no loss")
    return numbers(key, value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
