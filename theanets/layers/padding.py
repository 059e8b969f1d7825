"""Padding: layers that add to the borders of series and images."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt

from ..errors import ConfigurationError
from ..expressions import Expression
from . import checks
from .base import Layer
from .signals import Inputs, Shape
from .time import along

#: What borders are padded with.
MODES = ("zero", "reflect", "replicate", "circular")


class Padding(Layer, abstract=True):
    """Base class of layers that add entries in front of axes and behind them.

    Parameters
    ----------
    padding : int or tuple
        How many: an integer for all axes and both sides; a tuple has, for each
        axis, an integer or a pair (before, behind).
    mode : {'zero', 'reflect', 'replicate', 'circular'}
        What they are: 0; what is as far from the border on the other side,
        without the border itself, again and again where there is more padding
        than that; the entry at the border; or what the other end has, as if
        the axis were a circle.
    """

    options: ClassVar[dict[str, Any]] = {"padding": 1, "mode": "zero"}
    padding: Any
    mode: Any
    default_activation = "linear"
    max_inputs = 1

    def resolve_outputs(self) -> dict[str, Shape]:
        """Get the shape of ``out``."""
        checks.check_rank(self, (*self.axes, "channels"))
        self.kind = checks.one_of(self, "mode", MODES)
        pairs = checks.pairs(self, "padding", len(self.axes))
        if pairs is None:
            raise ConfigurationError(
                f"layer {self.full_name!r}: padding={self.padding!r} is not an integer of at least "
                "0, or a tuple with one of these or a pair of these for each axis"
            )
        self.pads = pairs
        *lengths, channels = self.input_shape
        shape = [None if n is None else n + sum(p) for n, p in zip(lengths, pairs, strict=True)]
        return {"out": checks.check_declared(self, (*shape, channels))}

    def transform(self, inputs: Inputs) -> Expression:
        """Get the padded input."""
        x = inputs.only
        lengths = inputs.lengths.get(self.input_name) if len(self.axes) == 1 else None
        for axis, (low, high) in enumerate(self.pads, 1):
            if low or high:
                x = along(x, axis, partial(self._line, low=low, high=high, lengths=lengths))
        return self.activation(x)

    def _line(self, x: Expression, low: int, high: int, lengths: Expression | None) -> Expression:
        """Pad series (batch, time, channels)."""
        count = x.shape[1] if lengths is None else lengths[:, None]
        place = (pt.arange(x.shape[1] + (low + high)) - low)[None]
        if self.kind == "reflect":
            turn = pt.maximum(count - 1, 1)
            there = place % (2 * turn)
            source = pt.minimum(there, 2 * turn - there)
        elif self.kind == "circular":
            source = place % pt.maximum(count, 1)
        else:
            source = place
        # A series of one step, or of none, has nothing to turn around at.
        source = pt.clip(source, 0, pt.maximum(count - 1, 0))
        found = x[pt.arange(x.shape[0])[:, None], source]
        if self.kind == "zero":
            inside = ((place >= 0) & (place < count))[:, :, None]
            found = pt.switch(inside, found, np.asarray(0, x.dtype))
        return found


class Pad1(Padding, names=("pad1",)):
    """Padding of series (time, channels); see `Padding`.

    Of series of different lengths each is padded as if it were alone.
    """

    axes = ("time",)

    def steps_after(self, output: str, lengths: Mapping[str, Expression]) -> Expression | None:
        """Get the number of steps with the padding; an empty series stays empty."""
        known = lengths.get(self.input_name)
        return None if known is None else pt.switch(known > 0, known + sum(self.pads[0]), 0)

    def steps_before(self, output: str, lengths: Expression) -> dict[str, Expression]:
        """Get the number of steps without it."""
        return {self.input_name: pt.maximum(lengths - sum(self.pads[0]), 0)}


class Pad2(Padding, names=("pad2",)):
    """Padding of images (width, height, channels); see `Padding`."""

    axes = ("width", "height")
