r"""Convolution of images with several channels, and its two adjoints.

All three are derivatives of one trilinear form of images, filters and results,

.. math:: \sum x_{b, i s + a d, j s + c d, m} \, f_{a, c, m, n} \, y_{b, i, j, n},

so that each is differentiated by the other two, any number of times. Channels
are last, and filters are (height, width, channels in, channels out) and *not*
flipped: what is called cross-correlation. The windows of a few lines of the
result at a time are written as rows of a matrix, so that almost all work is a
matrix product (Chellapilla, Puri & Simard 2006, "High performance
convolutional neural networks for document processing"). See `groups` for
filters that see some of the channels only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytensor.tensor as pt
from numpy.lib.stride_tricks import as_strided
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply

from ...expressions import Expression
from ..base import float_tensor, length
from .groups import EACH, by_group, depthwise, depthwise_filters, depthwise_images
from .window import Window, WindowOp, block, static_lengths

Array = npt.NDArray[Any]


class _Grouped(WindowOp):
    """Base class of the three.

    Parameters
    ----------
    window : Window
        Size, stride, dilation and padding.
    groups : int
        How many groups channels are in, or `EACH`.
    """

    __props__ = ("window", "groups")

    def __init__(self, window: Window, groups: int = 1) -> None:
        super().__init__(window)
        self.groups = groups

    def _seen(self, channels: int | None) -> int | None:
        """Get how many channels a filter sees of images that have so many."""
        if self.groups == EACH:
            return 1
        return None if channels is None else channels // self.groups

    def _channels(self, filters: Any) -> int | None:
        """Get how many channels images have, from the shape of the filters."""
        seen, wide = filters[2:]
        if self.groups == EACH:
            found: int | None = wide
            return found
        return None if seen is None else seen * self.groups

    def _check_static(self, filters: Any, images: Any, results: Any) -> None:
        """Refuse filters that have not the size, or not the channels, as far as these are known."""
        size, window = filters[:2], self.window
        if any(a is not None and a != b for a, b in zip(size, window.size, strict=True)):
            raise TypeError(f"filters of size {size} do not have the size {window.size}")
        for found, needed in ((images, self._channels(filters)), (results, filters[3])):
            if None not in (found, needed) and found != needed:
                raise TypeError(f"there are {found} channels; the filters need {needed}")


class Convolution(_Grouped):
    """Results of images and filters.

    Inputs ``x`` (batch, height, width, m) and ``filters`` (size..., m / groups,
    n); output (batch, positions..., n).
    """

    def kernel(self) -> tuple[Any, str | None]:
        """Get the compiled function, and its key for the cache on the disk."""
        from . import convolution_by_numba

        return convolution_by_numba.convolution(self.window, self.groups)

    def make_node(self, x: Expression, filters: Expression) -> Apply:
        x, filters = float_tensor(x, 4, "x"), float_tensor(filters, 4, "filters")
        x, filters = _same_dtype(x, filters)
        self._check_static(filters.type.shape, x.type.shape[3], None)
        shape = self.window.positions(x.type.shape[1:3])
        y = pt.tensor(dtype=x.dtype, shape=(x.type.shape[0], *shape, filters.type.shape[3]))
        return Apply(self, [x, filters], [y])

    def perform(self, node: Apply, inputs: Sequence[Array], storage: list[list[Any]]) -> None:
        x, filters = inputs
        storage[0][0] = convolve(x, filters, self.window, self.groups)

    def output_shapes(self, *shapes: tuple[Expression, ...]) -> list[tuple[Expression, ...]]:
        (batch, *lengths, _), filters = shapes
        return [(batch, *self.window.positions(lengths), filters[3])]

    def pullback(
        self,
        inputs: Sequence[Expression],
        outputs: Sequence[Expression],
        cotangents: Sequence[Expression],
    ) -> list[Expression]:
        (x, filters), (g,) = inputs, cotangents
        return [
            ImageGradient(self.window, self.groups)(filters, g, *static_lengths(x)),
            FilterGradient(self.window, self.groups)(x, g),
        ]


class FilterGradient(_Grouped):
    """Filters of images and results: the gradient of `Convolution` by its filters.

    Inputs ``x`` (batch, height, width, m) and ``y`` (batch, positions..., n);
    output (size..., m / groups, n).
    """

    def kernel(self) -> tuple[Any, str | None]:
        """Get the compiled function, and its key for the cache on the disk."""
        from . import convolution_by_numba

        return convolution_by_numba.filter_gradient(self.window, self.groups)

    def make_node(self, x: Expression, y: Expression) -> Apply:
        x, y = _same_dtype(float_tensor(x, 4, "x"), float_tensor(y, 4, "y"))
        shape = (*self.window.size, self._seen(x.type.shape[3]), y.type.shape[3])
        return Apply(self, [x, y], [pt.tensor(dtype=x.dtype, shape=shape)])

    def perform(self, node: Apply, inputs: Sequence[Array], storage: list[list[Any]]) -> None:
        x, y = inputs
        storage[0][0] = filter_gradient(x, y, self.window, self.groups)

    def output_shapes(self, *shapes: tuple[Expression, ...]) -> list[tuple[Expression, ...]]:
        size = [pt.as_tensor(k, dtype="int64") for k in self.window.size]
        return [(*size, self._seen(shapes[0][3]), shapes[1][3])]

    def pullback(
        self,
        inputs: Sequence[Expression],
        outputs: Sequence[Expression],
        cotangents: Sequence[Expression],
    ) -> list[Expression]:
        (x, y), (g,) = inputs, cotangents
        return [
            ImageGradient(self.window, self.groups)(g, y, *static_lengths(x)),
            Convolution(self.window, self.groups)(x, g),
        ]


class ImageGradient(_Grouped):
    """Images of filters and results: the gradient of `Convolution` by its images.

    Inputs ``filters`` (size..., m / groups, n), ``y`` (batch, positions..., n), and the
    height and width of the images; output (batch, height, width, m).
    """

    def kernel(self) -> tuple[Any, str | None]:
        """Get the compiled function, and its key for the cache on the disk."""
        from . import convolution_by_numba

        return convolution_by_numba.image_gradient(self.window, self.groups)

    def make_node(
        self, filters: Expression, y: Expression, height: Expression, width: Expression
    ) -> Apply:
        filters, y = float_tensor(filters, 4, "filters"), float_tensor(y, 4, "y")
        filters, y = _same_dtype(filters, y)
        self._check_static(filters.type.shape, None, y.type.shape[3])
        (height, h), (width, w) = length(height), length(width)
        x = pt.tensor(
            dtype=y.dtype, shape=(y.type.shape[0], h, w, self._channels(filters.type.shape))
        )
        return Apply(self, [filters, y, height, width], [x])

    def perform(self, node: Apply, inputs: Sequence[Array], storage: list[list[Any]]) -> None:
        filters, y, height, width = inputs
        lengths = int(height), int(width)
        storage[0][0] = image_gradient(filters, y, lengths, self.window, self.groups)

    def shapes_of(
        self, inputs: Sequence[Expression], shapes: Sequence[tuple[Expression, ...]]
    ) -> list[tuple[Expression, ...]]:
        filters = shapes[0]
        channels = filters[3] if self.groups == EACH else filters[2] * self.groups
        return [(shapes[1][0], *inputs[2:], channels)]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        return [[True], [True], [False], [False]]

    def pullback(
        self,
        inputs: Sequence[Expression],
        outputs: Sequence[Expression],
        cotangents: Sequence[Expression],
    ) -> list[Expression]:
        (filters, y, *_), (g,) = inputs, cotangents
        return [
            FilterGradient(self.window, self.groups)(g, y),
            Convolution(self.window, self.groups)(g, filters),
            DisconnectedType()(),
            DisconnectedType()(),
        ]


def _same_dtype(a: Expression, b: Expression) -> tuple[Expression, Expression]:
    return (a, b) if a.dtype == b.dtype else (a.astype("float64"), b.astype("float64"))


# ---- in NumPy --------------------------------------------------------------------


def convolve(x: Array, filters: Array, window: Window, groups: int = 1) -> Array:
    """Compute the results of images and filters.

    Parameters
    ----------
    x : ndarray of shape (batch, height, width, m)
        Images.
    filters : ndarray of shape (size..., m / groups, n)
        Filters.
    window : Window
        Size, stride, dilation and padding.
    groups : int
        How many groups channels are in, or `EACH`.

    Returns
    -------
    ndarray of shape (batch, positions..., n)
    """
    window.check(x.shape[1:3])
    _check_channels(x.shape[3], filters.shape[2] * groups if groups else filters.shape[3])
    if groups == EACH:
        return depthwise(x, filters, window)
    if groups > 1:
        return by_group(lambda x, filters: convolve(x, filters, window), x, filters, groups)
    matrix = filters.reshape(-1, filters.shape[3])
    y = np.empty((len(x), *window.positions(x.shape[1:3]), filters.shape[3]), x.dtype)
    for part in _blocks(x, window):
        rows = _windows(x[part], window).reshape(-1, len(matrix))
        np.matmul(rows, matrix, out=y[part].reshape(len(rows), -1))
    return y


def filter_gradient(x: Array, y: Array, window: Window, groups: int = 1) -> Array:
    """Compute the filters of images and results; shapes as in `convolve`."""
    window.check(x.shape[1:3])
    _check_results(x.shape[:3], y.shape[:3], window)
    if groups == EACH:
        _check_channels(y.shape[3], x.shape[3])
        return depthwise_filters(x, y, window)
    if groups > 1:
        return by_group(lambda x, y: filter_gradient(x, y, window), x, y, groups)
    matrix = np.zeros((window.size[0] * window.size[1] * x.shape[3], y.shape[3]), x.dtype)
    for part in _blocks(x, window):
        matrix += _windows(x[part], window).reshape(-1, len(matrix)).T @ y[part].reshape(
            -1, y.shape[3]
        )
    return matrix.reshape(*window.size, x.shape[3], y.shape[3])


def image_gradient(
    filters: Array, y: Array, lengths: tuple[int, int], window: Window, groups: int = 1
) -> Array:
    """Compute the images, of some height and width, of filters and results."""
    window.check(lengths)
    _check_channels(y.shape[3], filters.shape[3])
    _check_results((len(y), *lengths), y.shape[:3], window)
    if groups == EACH:
        return depthwise_images(filters, y, lengths, window)
    if groups > 1:
        return by_group(lambda f, y: image_gradient(f, y, lengths, window), filters, y, groups)
    (top, bottom), (left, right) = window.padding(lengths)
    matrix = filters.reshape(-1, filters.shape[3])
    channels = filters.shape[2]
    height, width = lengths
    padded = np.zeros((len(y), height + top + bottom, width + left + right, channels), y.dtype)
    (s1, s2), (d1, d2) = window.stride, window.dilation
    _, oh, ow, _ = y.shape
    for part in _blocks(padded, window, (oh, ow)):
        rows = y[part].reshape(-1, y.shape[3]) @ matrix.T
        rows = rows.reshape(-1, oh, ow, *window.size, channels)
        for a, c in np.ndindex(*window.size):
            end = a * d1 + (oh - 1) * s1 + 1, c * d2 + (ow - 1) * s2 + 1
            padded[part, a * d1 : end[0] : s1, c * d2 : end[1] : s2] += rows[:, :, :, a, c]
    return np.ascontiguousarray(padded[:, top : top + height, left : left + width])


def _windows(x: Array, window: Window) -> Array:
    """Get the windows of images as a view: (batch, positions..., size..., channels)."""
    lengths = x.shape[1:3]
    pads = window.padding(lengths)
    if any(map(any, pads)):
        x = np.pad(x, ((0, 0), *pads, (0, 0)))
    (s1, s2), (d1, d2) = window.stride, window.dilation
    batch, height, width, channel = x.strides
    return as_strided(
        x,
        (len(x), *window.positions(lengths), *window.size, x.shape[3]),
        (batch, s1 * height, s2 * width, d1 * height, d2 * width, channel),
        writeable=False,
    )


def _blocks(x: Array, window: Window, positions: Any = None) -> Iterator[slice]:
    """Split a batch so that the windows of a part have about `BLOCK` entries."""
    count = np.prod(positions or window.positions(x.shape[1:3]))
    step = block(int(count), window.size[0] * window.size[1] * x.shape[3])
    for start in range(0, len(x), step):
        yield slice(start, start + step)


def _check_channels(found: int, expected: int) -> None:
    if found != expected:
        raise ValueError(f"there are {found} channels; the filters need {expected}")


def _check_results(images: Any, results: Any, window: Window) -> None:
    expected = (images[0], *window.positions(images[1:]))
    if tuple(results) != expected:
        raise ValueError(f"results of shape {tuple(results)} do not have the shape {expected}")
