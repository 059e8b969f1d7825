"""Pooling of series and of images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt

from ..errors import ConfigurationError
from ..expressions import Expression
from ..ops.windows import SAME, MaxPool, SumPool, Window, one_line
from . import checks
from .base import Layer
from .signals import Inputs, Shape
from .time import after_window, before_window, exists, last_step, moves, placed, without

#: How entries are pooled.
MODES = ("max", "mean", "sum")


class Pooling(Layer, abstract=True):
    """Base class of layers that pool windows, channel by channel.

    Parameters
    ----------
    pool_size : int, tuple of int, or 'global'
        Length of the windows along each axis; ``'global'``, one window that
        is all there is, also leaves out the axes: of (width, height,
        channels) it makes (channels).
    stride : int or tuple of int, optional
        How far the windows move along each axis; by default ``pool_size``.
    mode : {'max', 'mean', 'sum'}
        What a window becomes: the largest of its entries, their mean or sum.
    padding : 'valid', 'same', int or tuple
        How far windows may reach over the border, where there is nothing:
        they pool what there is of them. As a convolution's ``border_mode``,
        without ``'full'`` and ``'half'``; less than ``pool_size``.

    Notes
    -----
    Along an axis of n entries with p of padding altogether there are ``(n + p
    - pool_size) // stride + 1`` windows; what remains at the end is left out,
    unless ``padding='same'``, which makes ``ceil(n / stride)`` windows.
    """

    options: ClassVar[dict[str, Any]] = {
        "pool_size": 2,
        "stride": None,
        "mode": "max",
        "padding": 0,
    }
    pool_size: Any
    stride: Any
    mode: Any
    padding: Any
    default_activation = "linear"
    max_inputs = 1

    def resolve_outputs(self) -> dict[str, Shape]:
        """Get the shape of ``out``."""
        checks.check_rank(self, (*self.axes, "channels"))
        self.kind = checks.one_of(self, "mode", MODES)
        self.whole = isinstance(self.pool_size, str)
        if self.whole:
            checks.one_of(self, "pool_size", ("global",))
            if self.stride is not None or self.padding != 0:
                raise ConfigurationError(
                    f"layer {self.full_name!r}: global pooling has neither a stride nor a padding, "
                    f"got stride={self.stride!r}, padding={self.padding!r}"
                )
            self.window = Window((0, 0))
            return {"out": checks.check_declared(self, self.input_shape[-1:])}
        self.window = self._window()
        lengths = checks.window_positions(self, self.axes, self.window, "a window")
        return {"out": checks.check_declared(self, (*lengths, self.input_shape[-1]))}

    def _window(self) -> Window:
        count = len(self.axes)
        size = checks.whole_numbers(self, "pool_size", count)
        stride = size if self.stride is None else checks.whole_numbers(self, "stride", count)
        if isinstance(self.padding, str):
            same = checks.one_of(self, "padding", ("valid", "same")) == "same"
            pads = [(SAME, SAME) if same else (0, 0)] * count
        else:
            found = checks.pairs(self, "padding", count)
            if found is None or any(max(p) >= k for p, k in zip(found, size, strict=True)):
                raise ConfigurationError(
                    f"layer {self.full_name!r}: padding={self.padding!r} is not 'same', an integer "
                    f"of at least 0 and less than pool_size={self.pool_size!r}, or a tuple with "
                    "one of these or a pair of these for each axis"
                )
            pads = found
        # A series is an image of one line.
        lines = 2 - count
        return Window(
            ((1,) * lines + size),  # type: ignore[arg-type]
            ((1,) * lines + stride),  # type: ignore[arg-type]
            low=((0,) * lines + tuple(low for low, _ in pads)),  # type: ignore[arg-type]
            high=((0,) * lines + tuple(high for _, high in pads)),  # type: ignore[arg-type]
        )

    def transform(self, inputs: Inputs) -> Expression:
        """Get the pooled input."""
        x = inputs.only
        series = len(self.axes) == 1
        if series and self.input_name in inputs.lengths:
            pooled = self._pool_steps(x, inputs.lengths[self.input_name])
        else:
            pooled = self._pool(pt.expand_dims(x, 1) if series else x)
        # Slices would not be contiguous to Numba.
        if self.whole:
            pooled = pooled.reshape((pooled.shape[0], pooled.shape[3]))
        elif series:
            pooled = one_line(pooled)
        return self.activation(pooled)

    def _pool(self, x: Expression) -> Expression:
        if self.kind == "max":
            return MaxPool(self.window)(x)
        total = SumPool(self.window)(x)
        if self.kind == "sum":
            return total
        if not self.whole and not any(self.window.low) and not any(self.window.high):
            return total / np.asarray(np.prod(self.window.size), x.dtype)
        ones = pt.ones((1, x.shape[1], x.shape[2], 1), dtype=x.dtype)
        return total / SumPool(self.window)(ones)

    def _pool_steps(self, x: Expression, lengths: Expression) -> Expression:
        """Pool the steps that exist, as a line."""
        window = self.window
        if not self.whole and moves(window.axis(1)):
            x, inside = placed(x, lengths, window.axis(1))
            window = window._replace(low=(0, 0), high=(0, 0))
        else:
            inside = exists(lengths, x)
        line, inside = pt.expand_dims(x, 1), pt.expand_dims(inside, 1)
        zero = np.asarray(0, x.dtype)
        if self.kind == "max":
            # Windows in which nothing exists are 0.
            low = np.asarray(-np.inf, x.dtype)
            found = MaxPool(window)(pt.switch(inside, line, low))
            return pt.switch(pt.isinf(found) & (found < 0), zero, found)
        total = SumPool(window)(pt.switch(inside, line, zero))
        if self.kind == "sum":
            return total
        return total / pt.maximum(SumPool(window)(inside.astype(x.dtype)), np.asarray(1, x.dtype))


class Pool1(Pooling, names=("pool1",)):
    """Pooling of series (time, channels); see `Pooling`.

    Of series of different lengths only the steps that exist are pooled.
    """

    axes = ("time",)

    def steps_after(self, output: str, lengths: Mapping[str, Expression]) -> Expression | None:
        """Get the number of windows along each series."""
        known = lengths.get(self.input_name)
        if known is None or self.whole:
            return None
        return after_window(known, self.window.axis(1))

    def steps_before(self, output: str, lengths: Expression) -> dict[str, Expression]:
        """Get the steps of the series along which there are so many windows."""
        found = None if self.whole else before_window(lengths, self.window.axis(1))
        return {} if found is None else {self.input_name: found}


class Pool2(Pooling, names=("pool2",)):
    """Pooling of images (width, height, channels); see `Pooling`."""

    axes = ("width", "height")


class PoolTime(Pooling, names=("pool_time",)):
    r"""What a whole series comes to: (time, channels) becomes (channels).

    Of series of different lengths only the steps that exist count; what comes
    of an empty one is 0.

    Parameters
    ----------
    mode : {'mean', 'max', 'sum', 'last', 'attention'}
        The mean, maximum or sum of the steps, the last one, or a mean with
        weights, the softmax over the steps of :math:`x_t \cdot q / \sqrt n`
        with a learned query q of n entries. It starts at 0, which is the mean.

    Notes
    -----
    With ``'attention'`` a parameter ``query`` (channels), and besides ``out`` an
    output ``weights`` (time).
    """

    axes = ("time",)
    options: ClassVar[dict[str, Any]] = {
        "mode": "mean",
        "pool_size": None,
        "stride": None,
        "padding": None,
    }

    def resolve_outputs(self) -> dict[str, Shape]:
        """Get the shapes of the outputs."""
        checks.check_rank(self, (*self.axes, "channels"))
        self.kind = checks.one_of(self, "mode", (*MODES, "last", "attention"))
        for option in ("pool_size", "stride", "padding"):
            if getattr(self, option) is not None:
                raise ConfigurationError(
                    f"layer {self.full_name!r}: {option}={getattr(self, option)!r} has no meaning "
                    "for a layer that pools whole series; pool1 has it"
                )
        self.whole, self.window = True, Window((0, 0))
        shapes = {"out": checks.check_declared(self, self.input_shape[-1:])}
        return shapes | ({"weights": self.input_shape[:1]} if self.kind == "attention" else {})

    @property
    def cannot_continue(self) -> str | None:
        """Why series cannot be continued; the last step is that of the part that comes."""
        return None if self.mode == "last" else super().cannot_continue

    def setup(self) -> None:
        """Make ``query``, where attention is paid."""
        if self.kind == "attention":
            self.add_param("query", 0.0, (self.input_size,))

    def steps_after(self, output: str, lengths: Mapping[str, Expression]) -> Expression | None:
        """Get those of the weights; what a series comes to has no steps left."""
        return lengths.get(self.input_name) if output == "weights" else None

    def steps_before(self, output: str, lengths: Expression) -> dict[str, Expression]:
        """Get nothing: the steps of the series are not determined."""
        return {}

    def transform(self, inputs: Inputs) -> Expression | dict[str, Expression]:
        """Get what the series come to."""
        x, lengths = inputs.only, inputs.lengths.get(self.input_name)
        if self.kind == "last":
            return self.activation(last_step(x, lengths))
        if self.kind != "attention":
            return super().transform(inputs)
        scores = pt.dot(x, self.find("query") / np.asarray(self.input_size**0.5, x.dtype))
        there = pt.ones_like(scores, dtype=bool) if lengths is None else exists(lengths, scores)
        zero = np.asarray(0, x.dtype)
        low = pt.switch(there, scores, np.asarray(-np.inf, x.dtype)).max(axis=1, keepdims=True)
        low = pt.switch(pt.isinf(low), zero, low)
        powers = pt.switch(there, pt.exp(pt.switch(there, scores - low, zero)), zero)
        total = powers.sum(axis=1, keepdims=True)
        weights = powers / pt.switch(pt.gt(total, 0), total, np.asarray(1, x.dtype))
        known = x if lengths is None else without(x, lengths)
        out = (weights[:, :, None] * known).sum(axis=1)
        return {"out": self.activation(out), "weights": weights}
