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

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy.typing as npt
import pytensor.tensor as pt

from ..errors import ConfigurationError, deprecated
from ..expressions import Expression
from ..ops.windows import EACH, SAME, ImageGradient, Window, one_line, spread
from ..ops.windows import Convolution as ConvolutionOp
from ..options import Whole
from . import checks
from .base import Layer
from .signals import Inputs, Shape
from .time import after_window, before_window, moves, placed
from .traits import LinearMap

Array = npt.NDArray[Any]

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
        sides (of stride 1 and an even e, the output is an entry longer than
        the image), ``'same'`` what makes the output ``ceil(n / stride)`` long
        (of an odd number the larger half behind the image); an int so much on
        both sides; a tuple has, for each axis, an int or a pair (before,
        behind).
    groups : int
        Of how many groups of neighbouring channels each is convolved by
        itself: it divides the channels of the input, and those of the output.
        With as many as both have, the convolution is depthwise.

    Notes
    -----
    The output has, along an axis of n entries with p of padding altogether,
    ``(n + p - e) // stride + 1``: where the stride does not divide, filters do
    not see the last ``(n + p - e) % stride`` entries. Outputs ``out`` and
    ``pre``, before the activation.
    """

    options: ClassVar[dict[str, Any]] = {
        "filter_size": None,
        "stride": 1,
        "dilation": 1,
        "border_mode": "valid",
        "groups": Whole(1),
    }
    filter_size: Any
    stride: Any
    dilation: Any
    border_mode: Any
    groups: int
    max_inputs = 1
    linear_map: LinearMap = "filters"

    def __init__(self, name: str | None = None, **options: Any) -> None:
        if "filter_shape" in options and "filter_size" not in options:
            deprecated("filter_shape= is now filter_size=")
            options["filter_size"] = options.pop("filter_shape")
        super().__init__(name, **options)

    def resolve_outputs(self) -> dict[str, Shape]:
        """Get the shapes of ``out`` and ``pre``."""
        if not self.shape or self.shape[-1] is None:
            raise ConfigurationError(
                f"layer {self.full_name!r} needs a size, its number of filters"
            )
        checks.check_rank(self, (*self.axes, "channels"))
        checks.check_groups(self, self.groups, self.input_size, "channels of the input")
        checks.check_groups(self, self.groups, self.shape[-1], "channels of the output")
        if self.groups > 1:
            self.linear_map = None
        self.window = self._window()
        shape = checks.check_declared(self, (*self._lengths(), self.shape[-1]))
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

    def _lengths(self) -> list[int | None]:
        """Get the lengths of the axes of the output, None where they are unknown."""
        return checks.window_positions(self, self.axes, self.window, "a filter")

    def setup(self) -> None:
        """Make ``w`` (size, channels / groups, filter...) and ``b`` (size)."""
        self._add_filters()
        self.add_bias("b", self.pre_size)

    def _sides(self) -> tuple[int, int]:
        """Get how many channels of the output, and of the input, ``w`` has filters for."""
        return self.pre_size, self.input_size // self.groups

    def _add_filters(self) -> None:
        k1, k2 = self.window.size
        nout, nin = self._sides()
        seen, made = self.input_size // self.groups, self.pre_size // self.groups
        # Each output is of all entries that its filters see, and each input in as many.
        std = (2.0 / ((seen + made) * k1 * k2)) ** 0.5
        # A filter has no diagonal, and no eigenvalues.
        kinds = ("mean", "std", "sparsity")
        draws = self._draws("w", kinds, {"std": std}, kinds)

        def draw() -> Array:
            matrix = self._random_matrix("w", nin * k1 * k2, nout, draws)
            return matrix.reshape(nin, k1, k2, nout).transpose(3, 0, 1, 2)

        self.add_param("w", draw, (nout, nin, k1, k2))

    def transform(self, inputs: Inputs) -> dict[str, Expression]:
        """Get ``out`` and ``pre``."""
        x = inputs.only
        if len(self.axes) == 1:
            x, window = self._line(x, inputs.lengths.get(self.input_name))
            pre = one_line(self._apply(pt.expand_dims(x, 1), self.find("w"), window))
        else:
            pre = self._apply(x, self.find("w"), self.window)
        pre = pre + self.find("b")
        return {"out": self.activation(pre), "pre": pre}

    def _line(self, x: Expression, lengths: Expression | None) -> tuple[Expression, Window]:
        """Get series, and the window for them."""
        if lengths is None or not moves(self.window.axis(1)):
            return x, self.window
        x, _ = placed(x, lengths, self.window.axis(1))
        return x, self.window._replace(low=(0, 0), high=(0, 0))

    def _apply(self, x: Expression, w: Expression, window: Window) -> Expression:
        op = ConvolutionOp(window, self._groups())
        return op(x, w[:, :, ::-1, ::-1].transpose(2, 3, 1, 0))

    def _groups(self) -> int:
        each = self.groups == self.input_size == self.pre_size != 1
        return EACH if each else self.groups


class Conv1(Convolution, names=("conv1",)):
    """A convolution of series (time, channels); see `Convolution`.

    Parameters ``w`` (size, channels / groups, 1, filter_size) and ``b`` (size).
    A causal convolution is one with ``border_mode=((filter_size - 1, 0),)``.

    Of series of different lengths each is convolved as if it were alone: what
    comes after its end is padding.
    """

    axes = ("time",)

    def steps_after(self, output: str, lengths: Mapping[str, Expression]) -> Expression | None:
        """Get the number of positions of the filters along each series."""
        known = lengths.get(self.input_name)
        return None if known is None else after_window(known, self.window.axis(1))

    def steps_before(self, output: str, lengths: Expression) -> dict[str, Expression]:
        """Get the steps of the series along which there are so many positions."""
        found = before_window(lengths, self.window.axis(1))
        return {} if found is None else {self.input_name: found}


class Conv2(Convolution, names=("conv2",)):
    """A convolution of images (width, height, channels); see `Convolution`.

    Parameters ``w``, of shape (size, channels / groups) and then the filter's
    size, and ``b`` (size).
    """

    axes = ("width", "height")


class Transposed(Convolution, abstract=True):
    """Base class of transposed convolutions, which spread each entry by the filters.

    Takes what `Convolution` takes, and turns the shapes of a convolution with
    the same ``filter_size``, ``stride``, ``dilation`` and ``border_mode``
    around: of n entries it makes ``(n - 1) * stride + e - p``, and with
    ``'same'`` ``n * stride``. A convolution comes to n from several lengths,
    if its stride is more than 1: that is the shortest of them, and with
    ``'same'`` the longest. A longer one can be had by padding of less behind
    the image: ``border_mode=((1, 0), (1, 0))`` makes an entry more than
    ``border_mode=1``. Of stride 1, ``'valid'`` is a `Convolution` with
    ``'full'``, and the same parameters.
    """

    linear_map = "transposed_filters"

    def _lengths(self) -> list[int | None]:
        return [self._length(i, axis) for i, axis in enumerate(self.axes)]

    def _length(self, i: int, axis: str) -> int | None:
        n = self.input_shape[i]
        if n is None:
            return None
        k, s, d, low, high = self.window.axis(i + 2 - len(self.axes))
        found: int = spread(n, k, s, d, low, high)
        if found < 1:
            raise ConfigurationError(
                f"layer {self.full_name!r}: nothing is left of the {axis} of "
                f"{self.input_name!r}: ({n} - 1) * {s} + {(k - 1) * d + 1} - {low} - {high} = "
                f"{found}; the shape is {self.input_shape}"
            )
        return found

    def _line(self, x: Expression, lengths: Expression | None) -> tuple[Expression, Window]:
        # Of these, the padding in front never depends on the length.
        return x, self.window

    def _apply(self, x: Expression, w: Expression, window: Window) -> Expression:
        known = (*(1,) * (2 - len(self.axes)), *self.input_shape)
        lengths = [
            spread(x.shape[i + 1] if known[i] is None else known[i], *window.axis(i))
            for i in range(2)
        ]
        return ImageGradient(window, self._groups())(w.transpose(2, 3, 0, 1), x, *lengths)

    def _sides(self) -> tuple[int, int]:
        return self.pre_size // self.groups, self.input_size


class Conv1Transposed(Transposed, names=("conv1_transposed", "deconv1")):
    """A transposed convolution of series (time, channels); see `Transposed`.

    Parameters ``w`` (size / groups, channels, 1, filter_size) and ``b`` (size).
    """

    axes = ("time",)

    def steps_after(self, output: str, lengths: Mapping[str, Expression]) -> Expression | None:
        """Get the steps over which each series is spread."""
        known = lengths.get(self.input_name)
        if known is None:
            return None
        found = pt.maximum(spread(known, *self.window.axis(1)), 0)
        return pt.switch(known > 0, found, 0)

    def steps_before(self, output: str, lengths: Expression) -> dict[str, Expression]:
        """Get nothing: the steps of the series are not determined."""
        return {}


class Conv2Transposed(Transposed, names=("conv2_transposed", "deconv2")):
    """A transposed convolution of images (width, height, channels); see `Transposed`.

    Parameters ``w``, of shape (size / groups, channels) and then the filter's
    size, and ``b`` (size).
    """

    axes = ("width", "height")
