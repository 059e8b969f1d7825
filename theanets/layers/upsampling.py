"""What makes series longer and images larger."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt

from ..expressions import Expression
from ..ops.windows import SumSpread, Window, one_line
from . import checks
from .base import Layer
from .signals import Inputs, Shape
from .time import along

#: How new entries come about.
MODES = ("repeat", "linear", "bilinear")


class Upsampling(Layer, abstract=True):
    """Base class of layers that make axes longer.

    Parameters
    ----------
    factor : int or tuple of int
        How many times, along each axis.
    mode : {'repeat', 'linear', 'bilinear'}
        How: by repeating each entry, or, the second and third, by what is in
        between, linearly along each axis. Entries then stand for the middles of
        as many shorter ones, and the border goes on beyond the last of them
        (``align_corners=False`` in PyTorch).
    """

    options: ClassVar[dict[str, Any]] = {"factor": 2, "mode": "repeat"}
    factor: Any
    mode: Any
    default_activation = "linear"
    max_inputs = 1

    def resolve_outputs(self) -> dict[str, Shape]:
        """Get the shape of ``out``."""
        checks.check_rank(self, (*self.axes, "channels"))
        self.kind = checks.one_of(self, "mode", MODES)
        self.factors = checks.whole_numbers(self, "factor", len(self.axes))
        *lengths, channels = self.input_shape
        shape = [None if n is None else n * f for n, f in zip(lengths, self.factors, strict=True)]
        return {"out": checks.check_declared(self, (*shape, channels))}

    def transform(self, inputs: Inputs) -> Expression:
        """Get the larger input."""
        if self.kind == "repeat":
            return self.activation(self._repeated(inputs.only))
        x = inputs.only
        lengths = inputs.lengths.get(self.input_name) if len(self.axes) == 1 else None
        for axis, factor in enumerate(self.factors, 1):
            if factor > 1:
                x = along(x, axis, partial(_between, factor=factor, lengths=lengths))
        return self.activation(x)

    def _repeated(self, x: Expression) -> Expression:
        series = len(self.axes) == 1
        if series:
            x = pt.expand_dims(x, 1)
        first, second = ((1,) * (2 - len(self.axes))) + self.factors
        window = Window((first, second), (first, second))
        known = ((1,) if series else ()) + self.input_shape
        lengths = [
            (x.shape[i + 1] if n is None else n) * f
            for i, (n, f) in enumerate(zip(known[:2], (first, second), strict=True))
        ]
        large = SumSpread(window)(x, *lengths)
        return one_line(large) if series else large


def _between(x: Expression, factor: int, lengths: Expression | None) -> Expression:
    """Interpolate series (batch, time, channels)."""
    last = x.shape[1] - 1 if lengths is None else pt.maximum(lengths[:, None] - 1, 0)
    # Twice the place among the entries, times the factor, is whole.
    place = (2 * pt.arange(x.shape[1] * factor) + (1 - factor))[None]
    place = pt.clip(place, 0, last * (2 * factor))
    below = place // (2 * factor)
    share = ((place % (2 * factor)).astype(x.dtype) / np.asarray(2 * factor, x.dtype))[:, :, None]
    rows = pt.arange(x.shape[0])[:, None]
    first, second = x[rows, below], x[rows, pt.minimum(below + 1, last)]
    return first + share * (second - first)


class Upsample1(Upsampling, names=("upsample1",)):
    """Makes series longer, (time, channels); see `Upsampling`."""

    axes = ("time",)

    def steps_after(self, output: str, lengths: Mapping[str, Expression]) -> Expression | None:
        """Get the number of steps after the repetition."""
        known = lengths.get(self.input_name)
        return None if known is None else known * self.factors[0]

    def steps_before(self, output: str, lengths: Expression) -> dict[str, Expression]:
        """Get the number of steps before it."""
        return {self.input_name: (lengths + self.factors[0] - 1) // self.factors[0]}


class Upsample2(Upsampling, names=("upsample2",)):
    """Makes images larger, (width, height, channels); see `Upsampling`."""

    axes = ("width", "height")
