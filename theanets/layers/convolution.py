r"""Convolutional layers, of series and of images, and their transposes.

Filters are applied as true convolutions, which turn them around. Filters of
libraries that do not, as PyTorch's and Keras's, are turned around when they
come in and when they leave:

===============  ========================================================
library          ``w`` of `Conv2`
===============  ========================================================
PyTorch          ``weight[:, :, ::-1, ::-1]``
Keras            ``kernel[::-1, ::-1].transpose(3, 2, 0, 1)``
===============  ========================================================

Transposed layers need no turning: for these it is ``weight.transpose(1, 0, 2,
3)`` and ``kernel.transpose(2, 3, 0, 1)``. (Keras has no padding but 'valid' and
'same', which mean the same here.)
"""

from __future__ import annotations

from typing import Any, ClassVar

import pytensor.tensor as pt

from .. import init
from ..errors import ConfigurationError, deprecated
from ..ops.convolution import Convolution as ConvolutionOp
from ..ops.convolution import ImageGradient
from ..ops.window import SAME, Window, one_line, positions, spread
from . import checks
from .base import Layer
from .params import DRAWS
from .signals import Inputs, Shape

#: Names of ways to treat the border.
BORDERS = ("valid", "full", "half", "same")


class Convolution(Layer, abstract=True):
    r"""Base class of convolutional layers.

    Parameters
    ----------
    size : int
        Number of filters, the channels of the output.
    filter_size : int or tuple of int
        Length of the filters along each axis.
    stride : int or tuple of int
        How far the filters move along each axis.
    dilation : int or tuple of int
        How far apart the entries are that a filter sees.
    border_mode : str, int or tuple
        How much is added to the image, of zeros. With an effective length of
        ``e = (filter_size - 1) * dilation + 1``: ``'valid'`` nothing,
        ``'full'`` ``e - 1`` on both sides, ``'half'`` ``e // 2`` on both
        sides, ``'same'`` what makes the output ``ceil(n / stride)`` long (of
        an odd number the larger half behind the image); an int so much on
        both sides; a tuple has, for each axis, an int or a pair (before,
        behind).

    Notes
    -----
    The output has, along an axis of n entries with p of padding altogether,
    ``(n + p - e) // stride + 1``. Outputs ``out`` and ``pre``, before the
    activation.
    """

    options: ClassVar[dict[str, Any]] = {
        "filter_size": None,
        "stride": 1,
        "dilation": 1,
        "border_mode": "valid",
    }
    filter_size: Any
    stride: Any
    dilation: Any
    border_mode: Any
    max_inputs = 1
    #: Names of the axes of an example but the last, the channels.
    axes: ClassVar[tuple[str, ...]] = ()

    def __init__(self, name: str | None = None, **options: Any) -> None:
        if "filter_shape" in options and "filter_size" not in options:
            deprecated("filter_shape= is now filter_size=")
            options["filter_size"] = options.pop("filter_shape")
        super().__init__(name, **options)

    def resolve_outputs(self) -> dict[str, Shape]:
        """Get the shapes of ``out`` and ``pre``."""
        if self.shape is None or self.shape[-1] is None:
            raise ConfigurationError(
                f"layer {self.full_name!r} needs a size, its number of filters"
            )
        checks.check_rank(self, (*self.axes, "channels"))
        self.window = self._window()
        lengths = [self._length(i) for i in range(len(self.axes))]
        shape = checks.check_declared(self, (*lengths, self.shape[-1]))
        return {"out": shape, "pre": (*shape[:-1], self.shape[-1] * self.pre_width())}

    def _window(self) -> Window:
        """Get the window, of a series as of an image of one line."""
        count = len(self.axes)
        if self.filter_size is None:
            raise ConfigurationError(f"layer {self.full_name!r} needs a filter_size")
        size = checks.whole_numbers(self, "filter_size", count)
        stride = checks.whole_numbers(self, "stride", count)
        dilation = checks.whole_numbers(self, "dilation", count)
        extents = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
        low, high = self._padding(extents)
        lines = 2 - count
        one, zero = (1,) * lines, (0,) * lines
        return Window(
            (*one, *size),  # type: ignore[arg-type]
            (*one, *stride),  # type: ignore[arg-type]
            (*one, *dilation),  # type: ignore[arg-type]
            (*zero, *low),  # type: ignore[arg-type]
            (*zero, *high),  # type: ignore[arg-type]
        )

    def _padding(self, extents: list[int]) -> tuple[list[int], list[int]]:
        mode = self.border_mode
        if isinstance(mode, str):
            name = checks.one_of(self, "border_mode", BORDERS)
            if name == "same":
                return [SAME] * len(extents), [SAME] * len(extents)
            amount = {"valid": lambda e: 0, "full": lambda e: e - 1, "half": lambda e: e // 2}
            pads = [amount[name](e) for e in extents]
            return pads, pads
        pairs = checks.pairs(self, "border_mode", len(extents))
        if pairs is None:
            raise ConfigurationError(
                f"layer {self.full_name!r}: border_mode={mode!r} is not one of "
                f"{', '.join(map(repr, BORDERS))}, an integer of at least 0, or a tuple with one "
                "of these or a pair of these for each axis"
            )
        return [low for low, _ in pairs], [high for _, high in pairs]

    def _length(self, axis: int) -> int | None:
        """Get the length of an axis of the output, or None."""
        n = self.input_shape[axis]
        if n is None:
            return None
        k, s, d, low, high = self.window.axis(axis + 2 - len(self.axes))
        found: int = positions(n, k, s, d, low, high)
        if found < 1:
            extent = (k - 1) * d + 1
            raise ConfigurationError(
                f"layer {self.full_name!r}: a filter of {extent} = ({k} - 1) * {d} + 1 entries "
                f"does not fit the {self.axes[axis]} of {self.input_name!r}, {n} + {low} + {high} "
                f"= {n + low + high} with padding; the shape is {self.input_shape}"
            )
        return found

    def setup(self) -> None:
        """Make ``w`` (size, channels, filter...) and ``b`` (size)."""
        k1, k2 = self.window.size
        nin, nout = self.input_size, self.pre_size
        # Each output is of all entries that its filters see, and each input in as many.
        std = (2.0 / ((nin + nout) * k1 * k2)) ** 0.5
        draws = self._draws("w", DRAWS, {"std": std})
        matrix = init.random_matrix(nin * k1 * k2, nout, rng=self.rng, **draws)
        self.add_param("w", matrix.reshape(nin, k1, k2, nout).transpose(3, 0, 1, 2))
        self.add_bias("b", nout)

    def transform(self, inputs: Inputs) -> Any:
        """Get ``out`` and ``pre``."""
        x = inputs.only
        series = len(self.axes) == 1
        pre = self._apply(pt.expand_dims(x, 1) if series else x, self.find("w"))
        pre = (one_line(pre) if series else pre) + self.find("b")
        return {"out": self.activation(pre), "pre": pre}

    def _apply(self, x: Any, w: Any) -> Any:
        return ConvolutionOp(self.window)(x, w[:, :, ::-1, ::-1].transpose(2, 3, 1, 0))


class Conv1(Convolution, names=("conv1",)):
    """A convolution of series (time, channels); see `Convolution`.

    Parameters ``w`` (size, channels, 1, filter_size) and ``b`` (size). A
    causal convolution is one with ``border_mode=((filter_size - 1, 0),)``.
    """

    axes = ("time",)


class Conv2(Convolution, names=("conv2",)):
    """A convolution of images (width, height, channels); see `Convolution`.

    Parameters ``w``, of shape (size, channels) and then the filter's size, and ``b`` (size).
    """

    axes = ("width", "height")


class Transposed(Convolution, abstract=True):
    """Base class of transposed convolutions, which spread each entry by the filters.

    Takes what `Convolution` takes, and turns the shapes of a convolution with
    the same ``filter_size``, ``stride``, ``dilation`` and ``border_mode``
    around: of n entries it makes ``(n - 1) * stride + e - p``, and with
    ``'same'`` ``n * stride``. Of stride 1, ``'valid'`` is a `Convolution`
    with ``'full'``, and the same parameters.
    """

    def _length(self, axis: int) -> int | None:
        n = self.input_shape[axis]
        if n is None:
            return None
        k, s, d, low, high = self.window.axis(axis + 2 - len(self.axes))
        found: int = spread(n, k, s, d, low, high)
        if found < 1:
            raise ConfigurationError(
                f"layer {self.full_name!r}: nothing is left of the {self.axes[axis]} of "
                f"{self.input_name!r}: ({n} - 1) * {s} + {(k - 1) * d + 1} - {low} - {high} = "
                f"{found}; the shape is {self.input_shape}"
            )
        return found

    def _apply(self, x: Any, w: Any) -> Any:
        known = (*(1,) * (2 - len(self.axes)), *self.input_shape)
        lengths = [
            spread(x.shape[i + 1] if known[i] is None else known[i], *self.window.axis(i))
            for i in range(2)
        ]
        return ImageGradient(self.window)(w.transpose(2, 3, 0, 1), x, *lengths)


class Conv1Transposed(Transposed, names=("conv1_transposed", "deconv1")):
    """A transposed convolution of series (time, channels); see `Transposed`.

    Parameters ``w`` (size, channels, 1, filter_size) and ``b`` (size).
    """

    axes = ("time",)


class Conv2Transposed(Transposed, names=("conv2_transposed", "deconv2")):
    """A transposed convolution of images (width, height, channels); see `Transposed`.

    Parameters ``w``, of shape (size, channels) and then the filter's size, and ``b`` (size).
    """

    axes = ("width", "height")
