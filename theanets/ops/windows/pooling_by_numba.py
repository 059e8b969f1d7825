"""The Ops of `pooling` for Numba: loops over windows, vectorized over channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from pytensor.link.numba.dispatch.basic import numba_njit

from ..base import Array
from . import window as _window
from .window import Window, source_key


def _njit(function: Callable[..., Any]) -> Any:
    return numba_njit(function, fastmath=False)


_positions = _njit(_window.positions)
_padding = _njit(_window.padding)


@_njit
def _axis(n: int, axis: Array) -> Any:
    """Get positions, entries, stride, dilation and padding of an axis of n entries."""
    k, s, d, low, high = axis
    count = _positions(n, k, s, d, low, high)
    if count < 1:
        raise ValueError("the windows do not fit the images")
    before, _ = _padding(n, k, s, d, low, high)
    return count, (k if k > 0 else n), s, d, before


@_njit
def _first(start: int, d: int) -> int:
    """Get the first entry of a window that is in the image, if it starts at a position."""
    return 0 if start >= 0 else (-start + d - 1) // d


@_njit
def _stop(start: int, k: int, d: int, n: int) -> int:
    """Get the end of the entries of a window that are in the image."""
    return min(k, (n - start + d - 1) // d)


# Without branches, so that these are done for several channels at once. A NaN
# stays: nothing is larger.


@_njit
def _max(x: Array, best: Array) -> None:
    for q in range(best.size):
        new, old = x[q], best[q]
        best[q] = new if (new > old) | (new != new) else old


@_njit
def _where_max(x: Array, place: Array, best: Array, which: Array) -> None:
    for q in range(best.size):
        new, old = x[q], best[q]
        better = (new > old) | ((new != new) & (old == old))
        best[q] = new if better else old
        which[q] = place if better else which[q]


@_njit
def _max_pool(x: Array, first: Array, second: Array) -> Any:
    batch, height, width, channels = x.shape
    oh, k1, s1, d1, top = _axis(height, first)
    ow, k2, s2, d2, left = _axis(width, second)
    y = np.empty((batch, oh, ow, channels), x.dtype)
    flat, out = x.reshape(x.size), y.reshape(y.size)
    for b in range(batch):
        for i in range(oh):
            line = i * s1 - top
            for j in range(ow):
                column = j * s2 - left
                at = ((b * oh + i) * ow + j) * channels
                best = out[at : at + channels]
                best[:] = -np.inf
                for a in range(_first(line, d1), _stop(line, k1, d1, height)):
                    for c in range(_first(column, d2), _stop(column, k2, d2, width)):
                        at = ((b * height + line + a * d1) * width + column + c * d2) * channels
                        _max(flat[at : at + channels], best)
    return y


@_njit
def _find_max(
    image: Array, shape: Any, start: Array, first: Array, second: Array, best: Array, which: Array
) -> None:
    """Find the largest entries of a window, as places in the image without channels."""
    (height, width, channels), (line, column) = shape, start
    (k1, d1), (k2, d2) = first, second
    best[:] = -np.inf
    which[:] = -1
    for a in range(_first(line, d1), _stop(line, k1, d1, height)):
        for c in range(_first(column, d2), _stop(column, k2, d2, width)):
            place = (line + a * d1) * width + column + c * d2
            if which[0] < 0:
                which[:] = place
            entries = image[place * channels : (place + 1) * channels]
            _where_max(entries, np.int32(place), best, which)


@_njit
def _max_gather(x: Array, v: Array, first: Array, second: Array) -> Any:
    batch, height, width, channels = x.shape
    if v.shape != x.shape:
        raise ValueError("the arrays do not have the same shape")
    oh, k1, s1, d1, top = _axis(height, first)
    ow, k2, s2, d2, left = _axis(width, second)
    y = np.empty((batch, oh, ow, channels), v.dtype)
    flat, values, out = x.reshape(x.size), v.reshape(v.size), y.reshape(y.size)
    best, which = np.empty(channels, x.dtype), np.empty(channels, np.int32)
    shape = (height, width, channels)
    size = height * width * channels
    for b in range(batch):
        image, source = flat[b * size : (b + 1) * size], values[b * size : (b + 1) * size]
        for i in range(oh):
            for j in range(ow):
                start = (i * s1 - top, j * s2 - left)
                _find_max(image, shape, start, (k1, d1), (k2, d2), best, which)
                at = ((b * oh + i) * ow + j) * channels
                for q in range(channels):
                    out[at + q] = source[which[q] * channels + q]
    return y


@_njit
def _max_scatter(x: Array, y: Array, first: Array, second: Array) -> Any:
    batch, height, width, channels = x.shape
    oh, k1, s1, d1, top = _axis(height, first)
    ow, k2, s2, d2, left = _axis(width, second)
    if y.shape != (batch, oh, ow, channels):
        raise ValueError("the results do not have the shape that the images have")
    found = np.zeros(x.shape, y.dtype)
    flat, values, out = x.reshape(x.size), y.reshape(y.size), found.reshape(found.size)
    best, which = np.empty(channels, x.dtype), np.empty(channels, np.int32)
    shape = (height, width, channels)
    size = height * width * channels
    for b in range(batch):
        image, target = flat[b * size : (b + 1) * size], out[b * size : (b + 1) * size]
        for i in range(oh):
            for j in range(ow):
                start = (i * s1 - top, j * s2 - left)
                _find_max(image, shape, start, (k1, d1), (k2, d2), best, which)
                at = ((b * oh + i) * ow + j) * channels
                for q in range(channels):
                    target[which[q] * channels + q] += values[at + q]
    return found


@_njit
def _sum_pool(x: Array, first: Array, second: Array) -> Any:
    batch, height, width, channels = x.shape
    oh, k1, s1, d1, top = _axis(height, first)
    ow, k2, s2, d2, left = _axis(width, second)
    y = np.zeros((batch, oh, ow, channels), x.dtype)
    flat, out = x.reshape(x.size), y.reshape(y.size)
    for b in range(batch):
        for i in range(oh):
            line = i * s1 - top
            for j in range(ow):
                column = j * s2 - left
                at = ((b * oh + i) * ow + j) * channels
                target = out[at : at + channels]
                for a in range(_first(line, d1), _stop(line, k1, d1, height)):
                    for c in range(_first(column, d2), _stop(column, k2, d2, width)):
                        at = ((b * height + line + a * d1) * width + column + c * d2) * channels
                        source = flat[at : at + channels]
                        for q in range(channels):
                            target[q] += source[q]
    return y


@_njit
def _sum_spread(y: Array, height: int, width: int, first: Array, second: Array) -> Any:
    batch, rows, columns, channels = y.shape
    oh, k1, s1, d1, top = _axis(height, first)
    ow, k2, s2, d2, left = _axis(width, second)
    if rows != oh or columns != ow:
        raise ValueError("the results do not have the shape that the images have")
    x = np.zeros((batch, height, width, channels), y.dtype)
    out, flat = x.reshape(x.size), y.reshape(y.size)
    for b in range(batch):
        for i in range(oh):
            line = i * s1 - top
            for j in range(ow):
                column = j * s2 - left
                at = ((b * oh + i) * ow + j) * channels
                source = flat[at : at + channels]
                for a in range(_first(line, d1), _stop(line, k1, d1, height)):
                    for c in range(_first(column, d2), _stop(column, k2, d2, width)):
                        at = ((b * height + line + a * d1) * width + column + c * d2) * channels
                        target = out[at : at + channels]
                        for q in range(channels):
                            target[q] += source[q]
    return x


def max_pool(window: Window) -> tuple[Any, str | None]:
    """Get the kernel of an Op, and its key for the cache on the disk."""
    first, second = window.axis(0), window.axis(1)

    @_njit
    def max_pool_kernel(x: Array) -> Any:
        return _max_pool(np.ascontiguousarray(x), first, second)

    return max_pool_kernel, source_key("max_pool", window, __name__)


def max_gather(window: Window) -> tuple[Any, str | None]:
    """Get the kernel of an Op, and its key for the cache on the disk."""
    first, second = window.axis(0), window.axis(1)

    @_njit
    def max_gather_kernel(x: Array, v: Array) -> Any:
        return _max_gather(np.ascontiguousarray(x), np.ascontiguousarray(v), first, second)

    return max_gather_kernel, source_key("max_gather", window, __name__)


def max_scatter(window: Window) -> tuple[Any, str | None]:
    """Get the kernel of an Op, and its key for the cache on the disk."""
    first, second = window.axis(0), window.axis(1)

    @_njit
    def max_scatter_kernel(x: Array, y: Array) -> Any:
        return _max_scatter(np.ascontiguousarray(x), np.ascontiguousarray(y), first, second)

    return max_scatter_kernel, source_key("max_scatter", window, __name__)


def sum_pool(window: Window) -> tuple[Any, str | None]:
    """Get the kernel of an Op, and its key for the cache on the disk."""
    first, second = window.axis(0), window.axis(1)

    @_njit
    def sum_pool_kernel(x: Array) -> Any:
        return _sum_pool(np.ascontiguousarray(x), first, second)

    return sum_pool_kernel, source_key("sum_pool", window, __name__)


def sum_spread(window: Window) -> tuple[Any, str | None]:
    """Get the kernel of an Op, and its key for the cache on the disk."""
    first, second = window.axis(0), window.axis(1)

    @_njit
    def sum_spread_kernel(y: Array, height: Array, width: Array) -> Any:
        h, w = np.int64(height.item()), np.int64(width.item())
        return _sum_spread(np.ascontiguousarray(y), h, w, first, second)

    return sum_spread_kernel, source_key("sum_spread", window, __name__)
