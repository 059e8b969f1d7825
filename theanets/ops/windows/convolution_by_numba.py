"""The Ops of `convolution` for Numba: windows as rows of a matrix, and BLAS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from pytensor.link.numba.dispatch.basic import numba_njit

from ..base import Array
from . import groups_by_numba as by
from . import window as _window
from .groups import EACH
from .window import Window, source_key


def _njit(function: Callable[..., Any]) -> Any:
    return numba_njit(function, fastmath=False)


_positions = _njit(_window.positions)
_padding = _njit(_window.padding)
_block = _njit(_window.block)


@_njit
def _padded(x: Array, top: int, bottom: int, left: int, right: int) -> Array:
    batch, height, width, channels = x.shape
    padded = np.zeros((batch, height + top + bottom, width + left + right, channels), x.dtype)
    padded[:, top : top + height, left : left + width] = x
    return padded


# A matrix of windows has one row for each position and one column for each entry
# of a window. Of images with one channel it is written in columns: copies are then
# of whole lines, not of a few numbers. `lines` are lines of results: (image, line).


@_njit
def _gather(x: Array, first: int, lines: int, grid: Any, window: Any, matrix: Array) -> None:
    """Write the windows of some lines into a matrix (positions, entries)."""
    (oh, ow), (k1, k2, s1, s2, d1, d2) = grid, window
    _, height, width, channels = x.shape
    flat = x.reshape(x.size)
    run = k2 * channels
    for line in range(lines):
        b, i = divmod(first + line, oh)
        for j in range(ow):
            row = matrix[line * ow + j]
            for a in range(k1):
                start = ((b * height + i * s1 + a * d1) * width + j * s2) * channels
                if d2 == 1:
                    source, target = flat[start : start + run], row[a * run : (a + 1) * run]
                    for q in range(run):
                        target[q] = source[q]
                else:
                    for c in range(k2):
                        at = start + c * d2 * channels
                        source = flat[at : at + channels]
                        target = row[a * run + c * channels : a * run + (c + 1) * channels]
                        for q in range(channels):
                            target[q] = source[q]


@_njit
def _scatter(matrix: Array, x: Array, first: int, lines: int, grid: Any, window: Any) -> None:
    """Add a matrix (positions, entries) to the windows of some lines."""
    (oh, ow), (k1, k2, s1, s2, d1, d2) = grid, window
    _, height, width, channels = x.shape
    flat = x.reshape(x.size)
    run = k2 * channels
    for line in range(lines):
        b, i = divmod(first + line, oh)
        for j in range(ow):
            row = matrix[line * ow + j]
            for a in range(k1):
                start = ((b * height + i * s1 + a * d1) * width + j * s2) * channels
                if d2 == 1:
                    target, source = flat[start : start + run], row[a * run : (a + 1) * run]
                    for q in range(run):
                        target[q] += source[q]
                else:
                    for c in range(k2):
                        at = start + c * d2 * channels
                        target = flat[at : at + channels]
                        source = row[a * run + c * channels : a * run + (c + 1) * channels]
                        for q in range(channels):
                            target[q] += source[q]


@_njit
def _gather_columns(
    x: Array, first: int, lines: int, grid: Any, window: Any, matrix: Array
) -> None:
    """Write the windows of some lines of one channel into a matrix (entries, positions)."""
    (oh, ow), (k1, k2, s1, s2, d1, d2) = grid, window
    _, height, width, _ = x.shape
    flat = x.reshape(x.size)
    for a in range(k1):
        for c in range(k2):
            row = matrix[a * k2 + c]
            for line in range(lines):
                b, i = divmod(first + line, oh)
                start = (b * height + i * s1 + a * d1) * width + c * d2
                source = flat[start : start + (ow - 1) * s2 + 1]
                target = row[line * ow : (line + 1) * ow]
                if s2 == 1:
                    for j in range(ow):
                        target[j] = source[j]
                else:
                    for j in range(ow):
                        target[j] = source[j * s2]


@_njit
def _scatter_columns(
    matrix: Array, x: Array, first: int, lines: int, grid: Any, window: Any
) -> None:
    """Add a matrix (entries, positions) to the windows of some lines of one channel."""
    (oh, ow), (k1, k2, s1, s2, d1, d2) = grid, window
    _, height, width, _ = x.shape
    flat = x.reshape(x.size)
    for a in range(k1):
        for c in range(k2):
            row = matrix[a * k2 + c]
            for line in range(lines):
                b, i = divmod(first + line, oh)
                start = (b * height + i * s1 + a * d1) * width + c * d2
                target = flat[start : start + (ow - 1) * s2 + 1]
                source = row[line * ow : (line + 1) * ow]
                if s2 == 1:
                    for j in range(ow):
                        target[j] += source[j]
                else:
                    for j in range(ow):
                        target[j * s2] += source[j]


@_njit
def _convolve(x: Array, filters: Array, grid: Any, window: Any) -> Array:
    batch, _, _, channels = x.shape
    oh, ow = grid
    wide = filters.shape[3]
    entries = window[0] * window[1] * channels
    matrix = filters.reshape((entries, wide))
    y = np.empty((batch * oh * ow, wide), x.dtype)
    step = min(batch * oh, _block(ow, entries))
    space = np.empty(step * ow * entries, x.dtype)
    for first in range(0, batch * oh, step):
        lines = min(step, batch * oh - first)
        rows = lines * ow
        part = y[first * ow : first * ow + rows]
        if channels == 1:
            columns = space[: rows * entries].reshape((entries, rows))
            _gather_columns(x, first, lines, grid, window, columns)
            np.dot(columns.T, matrix, part)
        else:
            windows = space[: rows * entries].reshape((rows, entries))
            _gather(x, first, lines, grid, window, windows)
            np.dot(windows, matrix, part)
    return y.reshape((batch, oh, ow, wide))


@_njit
def _filters(x: Array, y: Array, grid: Any, window: Any) -> Array:
    batch, _, _, channels = x.shape
    oh, ow = grid
    wide = y.shape[3]
    entries = window[0] * window[1] * channels
    results = y.reshape((batch * oh * ow, wide))
    total = np.zeros((entries, wide), x.dtype)
    term = np.empty((entries, wide), x.dtype)
    step = min(batch * oh, _block(ow, entries))
    space = np.empty(step * ow * entries, x.dtype)
    for first in range(0, batch * oh, step):
        lines = min(step, batch * oh - first)
        rows = lines * ow
        part = results[first * ow : first * ow + rows]
        if channels == 1:
            columns = space[: rows * entries].reshape((entries, rows))
            _gather_columns(x, first, lines, grid, window, columns)
            np.dot(columns, part, term)
        else:
            windows = space[: rows * entries].reshape((rows, entries))
            _gather(x, first, lines, grid, window, windows)
            np.dot(windows.T, part, term)
        total += term
    return total.reshape((window[0], window[1], channels, wide))


@_njit
def _images(filters: Array, y: Array, x: Array, grid: Any, window: Any) -> None:
    batch, _, _, channels = x.shape
    oh, ow = grid
    wide = y.shape[3]
    entries = window[0] * window[1] * channels
    matrix = filters.reshape((entries, wide))
    results = y.reshape((batch * oh * ow, wide))
    step = min(batch * oh, _block(ow, entries))
    space = np.empty(step * ow * entries, x.dtype)
    for first in range(0, batch * oh, step):
        lines = min(step, batch * oh - first)
        rows = lines * ow
        part = results[first * ow : first * ow + rows]
        if channels == 1:
            columns = space[: rows * entries].reshape((entries, rows))
            np.dot(matrix, part.T, columns)
            _scatter_columns(columns, x, first, lines, grid, window)
        else:
            windows = space[: rows * entries].reshape((rows, entries))
            np.dot(part, matrix.T, windows)
            _scatter(windows, x, first, lines, grid, window)


@_njit
def _grid(height: int, width: int, axes: Any) -> Any:
    k1, s1, d1, low1, high1 = axes[0]
    k2, s2, d2, low2, high2 = axes[1]
    oh = _positions(height, k1, s1, d1, low1, high1)
    ow = _positions(width, k2, s2, d2, low2, high2)
    if oh < 1 or ow < 1:
        raise ValueError("the filters do not fit the images")
    top, bottom = _padding(height, k1, s1, d1, low1, high1)
    left, right = _padding(width, k2, s2, d2, low2, high2)
    return (oh, ow), (top, bottom, left, right)


def _arguments(w: Window) -> tuple[Any, Any, bool]:
    """Get the axes of a window, it without its padding, and whether it has any."""
    return (w.axis(0), w.axis(1)), (*w.size, *w.stride, *w.dilation), any(w.low) or any(w.high)


def _key(kernel: str, w: Window, groups: int) -> str | None:
    return source_key(f"{kernel}_{groups}", w, __name__, by.__name__)


def _channels(groups: int) -> tuple[int, int]:
    """Get which axis of filters, and how often, is as long as images have channels."""
    return (3, 1) if groups == EACH else (2, groups)


def convolution(w: Window, groups: int) -> tuple[Any, str | None]:
    """Get the kernel of an Op, and its key for the cache on the disk."""
    axes, window, pads = _arguments(w)
    axis, times = _channels(groups)

    @_njit
    def of_groups(x: Array, filters: Array, grid: Any, window: Any) -> Any:
        y = np.empty((x.shape[0], grid[0], grid[1], filters.shape[3]), x.dtype)
        xs, fs, ys = by.split(x, groups), by.split(filters, groups), by.split(y, groups)
        for g in range(groups):
            ys[g] = _convolve(xs[g], fs[g], grid, window)
        by.join(ys, y)
        return y

    compute = {EACH: by.depthwise, 1: _convolve}.get(groups, of_groups)

    @_njit
    def convolution_kernel(x: Array, filters: Array) -> Any:
        if x.shape[3] != filters.shape[axis] * times:
            raise ValueError("the images do not have the channels that the filters need")
        grid, (top, bottom, left, right) = _grid(x.shape[1], x.shape[2], axes)
        filters = np.ascontiguousarray(filters)
        if pads:
            return compute(_padded(x, top, bottom, left, right), filters, grid, window)
        return compute(np.ascontiguousarray(x), filters, grid, window)

    return convolution_kernel, _key("convolution", w, groups)


def filter_gradient(w: Window, groups: int) -> tuple[Any, str | None]:
    """Get the kernel of an Op, and its key for the cache on the disk."""
    axes, window, pads = _arguments(w)
    each = groups == EACH

    @_njit
    def of_groups(x: Array, y: Array, grid: Any, window: Any) -> Any:
        filters = np.empty((window[0], window[1], x.shape[3] // groups, y.shape[3]), x.dtype)
        xs, ys, fs = by.split(x, groups), by.split(y, groups), by.split(filters, groups)
        for g in range(groups):
            fs[g] = _filters(xs[g], ys[g], grid, window)
        by.join(fs, filters)
        return filters

    compute = {EACH: by.depthwise_filters, 1: _filters}.get(groups, of_groups)

    @_njit
    def filter_kernel(x: Array, y: Array) -> Any:
        grid, (top, bottom, left, right) = _grid(x.shape[1], x.shape[2], axes)
        if y.shape[:3] != (x.shape[0], grid[0], grid[1]) or (each and y.shape[3] != x.shape[3]):
            raise ValueError("the results do not have the shape that the images have")
        y = np.ascontiguousarray(y)
        if pads:
            return compute(_padded(x, top, bottom, left, right), y, grid, window)
        return compute(np.ascontiguousarray(x), y, grid, window)

    return filter_kernel, _key("filter_gradient", w, groups)


def image_gradient(w: Window, groups: int) -> tuple[Any, str | None]:
    """Get the kernel of an Op, and its key for the cache on the disk."""
    axes, window, pads = _arguments(w)
    axis, times = _channels(groups)

    @_njit
    def of_groups(filters: Array, y: Array, x: Array, grid: Any, window: Any) -> None:
        xs, fs, ys = by.split(x, groups), by.split(filters, groups), by.split(y, groups)
        for g in range(groups):
            _images(fs[g], ys[g], xs[g], grid, window)
        by.join(xs, x)

    compute = {EACH: by.depthwise_images, 1: _images}.get(groups, of_groups)

    @_njit
    def image_kernel(filters: Array, y: Array, height: Array, width: Array) -> Any:
        h, wide = np.int64(height.item()), np.int64(width.item())
        grid, (top, bottom, left, right) = _grid(h, wide, axes)
        if filters.shape[3] != y.shape[3]:
            raise ValueError("the results do not have the channels that the filters have")
        if y.shape[1] != grid[0] or y.shape[2] != grid[1]:
            raise ValueError("the results do not have the shape that the images have")
        channels = filters.shape[axis] * times
        x = np.zeros((y.shape[0], h + top + bottom, wide + left + right, channels), y.dtype)
        compute(np.ascontiguousarray(filters), np.ascontiguousarray(y), x, grid, window)
        if pads:
            return x[:, top : top + h, left : left + wide].copy()
        return x

    return image_kernel, _key("image_gradient", w, groups)
