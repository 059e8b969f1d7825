"""Where a step is in its series: what is added to it, or how it is turned."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.raise_op import Assert

from ...errors import ConfigurationError
from ...expressions import Expression
from ...options import Choice, Whole
from ..base import Layer
from ..checks import check_declared, check_rank
from ..signals import Inputs, Shape
from .cache import COUNT, Steps, counted

#: The longest wave is so many times as long as the shortest.
LONGEST = 10_000.0


def frequencies(count: int, dtype: str) -> Any:
    """Get frequencies that fall from 1 to about 1 / `LONGEST`."""
    return np.asarray(LONGEST ** (-np.arange(count) / count), dtype)


def rotated(x: Expression, places: Expression, size: int) -> Expression:
    """Turn each pair of units by an angle that is proportional to the number of the step.

    Parameters
    ----------
    x : expression of shape (batch, time, heads, units)
        Unit i makes a pair with unit i + units / 2.
    places : expression of int64 of shape (batch or 1, time)
        The numbers of the steps.
    size : int
        How many units there are, an even number.
    """
    half = size // 2
    angles = places.astype(x.dtype)[:, :, None, None] * frequencies(half, x.dtype)
    cos, sin = pt.cos(angles), pt.sin(angles)
    a, b = x[..., :half], x[..., half:]
    return pt.concatenate([a * cos - b * sin, a * sin + b * cos], axis=3)


class Position(Layer, names=("position",)):
    r"""Adds to each step of a series what tells where it is.

    Parameters
    ----------
    kind : str
        ``'sinusoidal'``: sines and cosines of the number of the step, of
        ever longer waves, :math:`\sin(t / 10000^{2i / n})` for unit 2i and the
        cosine for the next. ``'learned'``: a vector for each number.
    steps : int, optional
        Of learned ones, how many there are: series may not be longer.

    Notes
    -----
    Parameter ``w`` (steps, units) of learned ones, normal with a standard deviation of 0.02.
    The output has the shape of the input.

    References
    ----------
    Vaswani et al. 2017, "Attention is all you need".
    """

    default_activation = "linear"
    max_inputs = 1
    options: ClassVar[dict[str, Any]] = {
        "kind": Choice("sinusoidal", ("sinusoidal", "learned")),
        "steps": Whole(None),
    }
    kind: str
    steps: int | None

    def resolve_outputs(self) -> dict[str, Shape]:
        """Get the shape of ``out``."""
        check_rank(self, ("time", "variables"))
        learned = self.kind == "learned"
        if learned != (self.steps is not None):
            raise ConfigurationError(
                f"layer {self.full_name!r}: steps={self.steps} with kind={self.kind!r}; learned "
                "positions, and only these, need to know how many steps series have at most"
            )
        time = self.input_shape[0]
        if learned and time is not None and time > (self.steps or 0):
            raise ConfigurationError(
                f"layer {self.full_name!r}: steps={self.steps} is less than the {time} steps of "
                f"{self.input_name!r}, of shape {self.input_shape}"
            )
        return {"out": check_declared(self, self.input_shape)}

    def setup(self) -> None:
        """Make ``w``, if positions are learned."""
        if self.steps is not None:
            self.add_weights("w", self.steps, self.input_size, std=0.02)

    @property
    def turned_size(self) -> int | None:
        """None: learned positions are no map of the input."""
        return None

    @property
    def most_steps(self) -> int | None:
        """The number of positions that are learned."""
        return self.steps

    def state_shapes(self) -> dict[str, Shape]:
        """Get the shape of the number of steps before."""
        return {COUNT: (1,)}

    def transform(self, inputs: Inputs) -> Expression:
        """Get the steps with what tells where they are."""
        x = inputs.only
        steps = Steps(inputs, self.input_name, x)
        if inputs.initial:
            inputs.final[COUNT] = counted(inputs.initial[COUNT], steps.lengths)
        if self.steps is None:
            return self.activation(x + self._waves(steps.places, x.dtype))
        # Compiled code does not look whether there is such a row.
        fits = Assert(f"series have more than the {self.steps} steps of layer {self.name!r}")
        places = fits(steps.places, pt.le((steps.before + steps.lengths).max(), self.steps))
        # Of the steps that do not exist, any row will do.
        return self.activation(x + self.find("w")[pt.minimum(places, self.steps - 1)])

    def _waves(self, places: Expression, dtype: str) -> Expression:
        size = self.input_size
        angles = places.astype(dtype)[:, :, None] * frequencies((size + 1) // 2, dtype)
        both = pt.stack([pt.sin(angles), pt.cos(angles)], axis=3)
        return both.reshape((places.shape[0], places.shape[1], (size + 1) // 2 * 2))[..., :size]
