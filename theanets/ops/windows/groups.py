"""Convolution in groups, in NumPy: each filter sees some of the channels.

Channels of images and of results are in so many groups of neighbours; the
filters of a group of results, (size..., m / groups, n), see the channels of the
group of the same number. With one channel in each group, of images and of
results, the convolution is depthwise: then it is done channel by channel, and
not as a matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ..base import Array
from .window import Window

#: Stands for as many groups as there are channels, each of one of images and one of results.
EACH = 0


def by_group(function: Callable[[Array, Array], Array], a: Array, b: Array, groups: int) -> Array:
    """Compute each group by itself: what has the channels last, from arrays that have them so.

    Raises
    ------
    ValueError
        If the groups do not divide the channels.
    """
    parts = zip(_split(a, groups), _split(b, groups), strict=True)
    found = np.stack([function(one, other) for one, other in parts], axis=-2)
    return found.reshape(*found.shape[:-2], -1)


def _split(a: Array, groups: int) -> Array:
    if a.shape[-1] % groups:
        raise ValueError(f"{groups} groups do not divide {a.shape[-1]} channels")
    parts = a.reshape(*a.shape[:-1], groups, a.shape[-1] // groups)
    return np.ascontiguousarray(np.moveaxis(parts, -2, 0))


def depthwise(x: Array, filters: Array, window: Window) -> Array:
    """Compute results (batch, positions..., n) of images (..., n) and filters (size..., 1, n)."""
    padded = _padded(x, window)
    y = np.zeros((len(x), *window.positions(x.shape[1:3]), x.shape[3]), x.dtype)
    for a, c, part in _taps(padded, y.shape[1:3], window):
        y += part * filters[a, c, 0]
    return y


def depthwise_filters(x: Array, y: Array, window: Window) -> Array:
    """Compute the filters of images and results; shapes as in `depthwise`."""
    filters = np.empty((*window.size, 1, x.shape[3]), x.dtype)
    for a, c, part in _taps(_padded(x, window), y.shape[1:3], window):
        filters[a, c, 0] = np.einsum("bijm,bijm->m", part, y)
    return filters


def depthwise_images(filters: Array, y: Array, lengths: tuple[int, int], window: Window) -> Array:
    """Compute the images, of some height and width, of filters and results."""
    (top, bottom), (left, right) = window.padding(lengths)
    height, width = lengths
    padded = np.zeros((len(y), height + top + bottom, width + left + right, y.shape[3]), y.dtype)
    for a, c, part in _taps(padded, y.shape[1:3], window):
        part += y * filters[a, c, 0]
    return np.ascontiguousarray(padded[:, top : top + height, left : left + width])


def _padded(x: Array, window: Window) -> Array:
    return np.pad(x, ((0, 0), *window.padding(x.shape[1:3]), (0, 0)))


def _taps(
    padded: Array, positions: tuple[int, int], window: Window
) -> Iterator[tuple[int, int, Array]]:
    """Get, for each entry of the filters, what it meets at all positions, as a view."""
    (s1, s2), (d1, d2), (oh, ow) = window.stride, window.dilation, positions
    for a, c in np.ndindex(*window.size):
        end = a * d1 + (oh - 1) * s1 + 1, c * d2 + (ow - 1) * s2 + 1
        yield a, c, padded[:, a * d1 : end[0] : s1, c * d2 : end[1] : s2]
