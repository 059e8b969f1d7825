"""What layers check of their shapes and options, and how they say what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import ConfigurationError, is_integer, nearest
from ..ops.windows import Window, positions
from .signals import Shape

if TYPE_CHECKING:
    from .base import Layer


def described_inputs(layer: Layer) -> str:
    """List the inputs of a layer with their shapes, for messages."""
    pairs = zip(layer.input_names, layer.input_shapes, strict=True)
    return ", ".join(f"{name} {shape}" for name, shape in pairs)


def check_declared(layer: Layer, shape: Shape) -> Shape:
    """Refuse a size or shape that was given and is not the one that follows.

    Parameters
    ----------
    layer : Layer
        The layer, bound to its inputs.
    shape : tuple
        Shape of one example's output, as it follows from the inputs.

    Returns
    -------
    tuple
        ``shape``, with unknown lengths replaced by those that were given.

    Raises
    ------
    ConfigurationError
        If they contradict each other.
    """
    given = layer.shape
    if given is None:
        return shape
    if len(given) == 1:
        given = (*shape[:-1], given[0])
    fits = len(given) == len(shape) and all(
        None in (a, b) or a == b for a, b in zip(given, shape, strict=True)
    )
    if not fits:
        raise ConfigurationError(
            f"layer {layer.full_name!r} was given the shape {layer.shape}, but of its inputs "
            f"{described_inputs(layer)} it makes {shape}"
        )
    return tuple(b if a is None else a for a, b in zip(given, shape, strict=True))


def check_rank(layer: Layer, axes: Sequence[str]) -> None:
    """Refuse an input that does not have certain axes.

    Parameters
    ----------
    layer : Layer
        A layer with one input, bound to it.
    axes : list of str
        Names of the axes of one example: ``('time', 'channels')``.

    Raises
    ------
    ConfigurationError
        If it has more or fewer.
    """
    shape = layer.input_shape
    if len(shape) != len(axes):
        raise ConfigurationError(
            f"layer {layer.full_name!r} needs an input of shape ({', '.join(axes)}) for one "
            f"example; {layer.input_name!r} has {shape}"
        )


def whole_numbers(layer: Layer, option: str, count: int, least: int = 1) -> tuple[int, ...]:
    """Get an option that is one integer for each of some axes, or one for all.

    Parameters
    ----------
    layer : Layer
        The layer.
    option : str
        Name of the option.
    count : int
        How many axes.
    least : int
        The smallest valid number.

    Raises
    ------
    ConfigurationError
        If it is anything else.
    """
    value = getattr(layer, option)
    values = [value] * count if is_integer(value) else value
    valid = (
        isinstance(values, (tuple, list))
        and len(values) == count
        and all(is_integer(v, least) and v < 2**31 for v in values)
    )
    if not valid:
        many = f" or a tuple of {count} of these" if count > 1 else ""
        raise ConfigurationError(
            f"layer {layer.full_name!r}: {option}={value!r} is not an integer of at least "
            f"{least}{many}"
        )
    return tuple(int(v) for v in values)


def window_positions(
    layer: Layer, axes: Sequence[str], window: Window, what: str
) -> list[int | None]:
    """Get how many positions a window has along each axis of the input, None where unknown.

    Parameters
    ----------
    layer : Layer
        A layer with one input, bound to it.
    axes : list of str
        Names of the input's axes but the last.
    window : Window
        The window; a series is an image of one line.
    what : str
        What the window is, for messages.

    Raises
    ------
    ConfigurationError
        If it has no position along one of them; shows the arithmetic.
    """
    found: list[int | None] = []
    for i, name in enumerate(axes):
        n = layer.input_shape[i]
        if n is None:
            found.append(None)
            continue
        k, s, d, low, high = window.axis(i + 2 - len(axes))
        count: int = positions(n, k, s, d, low, high)
        if count < 1:
            # Of 'same' there is always one.
            extent = (k - 1) * d + 1
            raise ConfigurationError(
                f"layer {layer.full_name!r}: ({n} + {low} + {high} - {extent}) // {s} + 1 = "
                f"{count} positions of {what} of {extent} = ({k} - 1) * {d} + 1 entries along the "
                f"{name} of {layer.input_name!r}, {n} entries and {low} + {high} of padding; the "
                f"shape is {layer.input_shape}"
            )
        found.append(count)
    return found


def pairs(layer: Layer, option: str, count: int) -> list[tuple[int, int]] | None:
    """Get an option that is amounts before and behind each of some axes.

    Parameters
    ----------
    layer : Layer
        The layer.
    option : str
        Name of the option: an integer for all axes and both sides, or a tuple
        with an integer or a pair of integers for each axis. For a single axis
        the pair alone will do.
    count : int
        How many axes.

    Returns
    -------
    list of pairs, or None if the option is anything else
    """
    value = getattr(layer, option)
    if is_integer(value):
        value = [value] * count
    if not isinstance(value, (tuple, list)):
        return None
    if count == 1 and len(value) == 2:
        value = [value]
    each = [(v, v) if is_integer(v) else v for v in value]
    valid = len(each) == count and all(
        isinstance(v, (tuple, list)) and len(v) == 2 and all(is_integer(n, 0) for n in v)
        for v in each
    )
    return [(int(low), int(high)) for low, high in each] if valid else None


def one_of(layer: Layer, option: str, choices: Sequence[str]) -> str:
    """Get an option that is one of some names.

    Raises
    ------
    ConfigurationError
        If it is not; names the nearest.
    """
    value = getattr(layer, option)
    if not isinstance(value, str) or value.lower() not in choices:
        raise ConfigurationError(
            f"layer {layer.full_name!r}: {option}={value!r} is not one of "
            f"{', '.join(map(repr, choices))}{nearest(str(value), choices)}"
        )
    return value.lower()


def check_groups(layer: Layer, groups: int, count: int, what: str) -> None:
    """Refuse a number of groups that does not divide what is to be in them.

    Parameters
    ----------
    layer : Layer
        The layer.
    groups : int
        Its option ``groups``.
    count : int
        How many there are.
    what : str
        What they are, for messages.

    Raises
    ------
    ConfigurationError
        Shows the arithmetic.
    """
    if count % groups:
        valid = [n for n in range(1, count + 1) if count % n == 0]
        raise ConfigurationError(
            f"layer {layer.full_name!r}: groups={groups} does not divide the {count} {what}: "
            f"{count} = {count // groups} * {groups} + {count % groups}; "
            f"expected one of {', '.join(map(str, valid))}"
        )
