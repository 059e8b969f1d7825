"""The time of series: which of their steps exist, and what layers make of their numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytensor.tensor as pt

from ..errors import ConfigurationError
from ..expressions import Expression
from ..ops.windows import SAME, positions
from .signals import Shape


class Time:
    """What layers do to the number of steps of series; a base of `Layer`."""

    input_names: list[str]
    input_shapes: list[Shape]
    output_shapes: dict[str, Shape]

    def steps_after(self, output: str, lengths: Mapping[str, Any]) -> Expression | None:
        """Get the number of steps of each series of an output.

        By default an output of shape (time, variables) has the steps of the
        inputs of the same time. A layer that changes the time says how.

        Parameters
        ----------
        output : str
            Which of the layer's outputs.
        lengths : dict
            Expressions of shape (batch,) by the full name of an input; an
            input that is not in it is no series, or has all steps.

        Returns
        -------
        expression of shape (batch,), or None if all steps exist
        """
        shape = self.output_shapes[output]
        found = [
            lengths[name]
            for name, given in zip(self.input_names, self.input_shapes, strict=True)
            if name in lengths and self.keeps_time(given, shape)
        ]
        # By identity: a layer may have an input twice.
        distinct = list({id(one): one for one in found}.values())
        if not distinct:
            return None
        least = distinct[0]
        for other in distinct[1:]:
            least = pt.minimum(least, other)
        return least

    def steps_before(self, output: str, lengths: Expression) -> dict[str, Expression]:
        """Get the numbers of steps of the inputs of which an output has the given ones.

        Parameters
        ----------
        output : str
            Which of the layer's outputs.
        lengths : expression of shape (batch,)
            Steps of each of its series.

        Returns
        -------
        dict
            By the full name of an input; an input that is not in it is no
            series, or its steps are not determined by those of the output.
        """
        shape = self.output_shapes[output]
        return {
            name: lengths
            for name, given in zip(self.input_names, self.input_shapes, strict=True)
            if self.keeps_time(given, shape)
        }

    def keeps_time(self, given: Shape, made: Shape) -> bool:
        """Tell whether an output of one shape has the time of an input of another."""
        return len(given) == 2 == len(made) and given[0] == made[0]


def exists(lengths: Expression, x: Expression) -> Expression:
    """Get which steps of ``x``, (batch, time, ...), exist: (batch, time, 1, ...)."""
    found = pt.arange(x.shape[1]) < lengths[:, None]
    return pt.shape_padright(found, x.ndim - 2)


def without(x: Expression, lengths: Expression) -> Expression:
    """Replace the steps that do not exist by 0, also if they are NaN."""
    return pt.switch(exists(lengths, x), x, np.asarray(0, x.dtype))


def last_step(x: Expression, lengths: Expression | None) -> Expression:
    """Get the last step that exists, (batch, ...), of (batch, time, ...); 0 where there is none."""
    if lengths is None:
        return x[:, -1]
    found = x[pt.arange(x.shape[0]), pt.maximum(lengths - 1, 0)]
    some = pt.shape_padright(pt.gt(lengths, 0), x.ndim - 2)
    return pt.switch(some, found, np.asarray(0, x.dtype))


def existing_terms(
    value: Expression, x: Expression, lengths: Expression, what: str
) -> tuple[Expression, Expression]:
    """Get the sum and the number of the entries that exist of a function of an output.

    Parameters
    ----------
    value : expression
        What the function gives, of the axes of the output.
    x : expression of shape (batch, time, ...)
        The output.
    lengths : expression of shape (batch,)
        How many steps of each series exist.
    what : str
        Describes the function in messages.

    Raises
    ------
    ConfigurationError
        If the function has combined entries, those that do not exist among them.
    """
    combined = value.ndim == x.ndim and value.type.shape[1] == 1 != x.type.shape[1]
    if value.ndim != x.ndim or combined:
        raise ConfigurationError(
            f"{what} returned an expression of {value.ndim} dimensions for {x.name!r}, which has "
            f"{x.ndim}, and steps that do not exist: expected a value for each entry, such as "
            "h ** 2 and not (h ** 2).mean(); the mean is taken of those that exist"
        )
    kept = without(value.astype(x.dtype), lengths)
    count = lengths.sum() * pt.prod(value.shape[2:])
    return kept.sum(), count.astype(x.dtype)


def turned(series: Expression, lengths: Expression) -> Expression:
    """Get series, (batch, time, ...), with their steps that exist in the opposite order."""
    step, last = pt.arange(series.shape[1]), lengths[:, None] - 1
    taken = pt.switch(step <= last, last - step, step)
    return series[pt.arange(series.shape[0])[:, None], taken]


def along(x: Expression, axis: int, change: Callable[[Expression], Expression]) -> Expression:
    """Change one axis of images (batch, width, height, channels), or series, as if it were time.

    Parameters
    ----------
    x : expression of three or four axes
    axis : int
        Which, 1 or 2.
    change : callable
        Maps series (batch, time, channels) to series of perhaps another time.
    """
    if x.ndim == 3:
        return change(x)
    batch, width, height, channels = (x.shape[i] for i in range(4))
    if axis == 1:
        made = change(x.reshape((batch, width, height * channels)))
        return made.reshape((batch, made.shape[1], height, channels))
    made = change(x.reshape((batch * width, height, channels)))
    return made.reshape((batch, width, made.shape[1], channels))


def one_for_all_steps(x: Expression) -> Expression:
    """Get the shape of what is the same at all steps: (batch, 1, ..., units)."""
    return x.shape if x.ndim < 3 else (x.shape[0], *(1,) * (x.ndim - 2), x.shape[x.ndim - 1])


def after_window(lengths: Expression, axis: tuple[int, int, int, int, int]) -> Expression:
    """Get how many positions a window has along series; none along an empty one."""
    return pt.switch(lengths > 0, pt.maximum(positions(lengths, *axis), 0), 0)


def before_window(lengths: Expression, axis: tuple[int, int, int, int, int]) -> Expression | None:
    """Get the steps of series along which a window has so many positions.

    None if several numbers are possible: with a stride of 1 there is one.
    """
    k, s, d, low, high = axis
    if s != 1 or k == 0:
        return None
    if low == SAME:
        return lengths
    extent = (k - 1) * d + 1
    return pt.switch(lengths > 0, pt.maximum(lengths - 1 + extent - low - high, 0), 0)


def moves(axis: tuple[int, int, int, int, int]) -> bool:
    """Tell whether the padding in front of a series depends on its length."""
    _, s, _, low, _ = axis
    return low == SAME and s != 1


def placed(
    x: Expression, lengths: Expression, axis: tuple[int, int, int, int, int]
) -> tuple[Expression, Expression]:
    """Put each series behind the padding that it would have by itself.

    For windows of which `moves` is true. A window without padding then has the
    positions on the result that it has on each series alone.

    Parameters
    ----------
    x : expression of shape (batch, time, channels)
    lengths : expression of shape (batch,)
    axis : tuple
        Size, stride, dilation and padding of the window.

    Returns
    -------
    (expression of shape (batch, longer time, channels), boolean expression)
        The series, and which entries are of them, (batch, longer time, 1).
    """
    k, s, d, _, _ = axis
    extent = (k - 1) * d + 1
    count = positions(lengths, *axis)
    low = pt.maximum((count - 1) * s + extent - lengths, 0) // 2
    longest = (positions(x.shape[1], *axis) - 1) * s + extent
    source = pt.arange(longest) - low[:, None]
    inside = ((source >= 0) & (source < lengths[:, None]))[:, :, None]
    rows = pt.arange(x.shape[0])[:, None]
    found = x[rows, pt.clip(source, 0, x.shape[1] - 1)]
    return pt.switch(inside, found, np.asarray(0, x.dtype)), inside


__all__ = [
    "Time",
    "after_window",
    "along",
    "before_window",
    "exists",
    "last_step",
    "moves",
    "one_for_all_steps",
    "placed",
    "without",
]
