"""Convolution in groups for Numba: depthwise by loops over channels, and others by each group.

The innermost loops are over the channels, which lie side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from pytensor.link.numba.dispatch.basic import numba_njit

from ..base import Array


def _njit(function: Callable[..., Any]) -> Any:
    return numba_njit(function, fastmath=False)


@_njit
def split(a: Array, groups: int) -> Array:
    """Get (groups, ..., channels / groups) of an array (..., channels) of four axes."""
    n1, n2, n3, channels = a.shape
    wide = channels // groups
    parts = np.empty((groups, n1, n2, n3, wide), a.dtype)
    for i in range(n1):
        for j in range(n2):
            for k in range(n3):
                for g in range(groups):
                    for m in range(wide):
                        parts[g, i, j, k, m] = a[i, j, k, g * wide + m]
    return parts


@_njit
def join(parts: Array, a: Array) -> None:
    """Write what `split` gives back into an array."""
    groups, n1, n2, n3, wide = parts.shape
    for i in range(n1):
        for j in range(n2):
            for k in range(n3):
                for g in range(groups):
                    for m in range(wide):
                        a[i, j, k, g * wide + m] = parts[g, i, j, k, m]


@_njit
def depthwise(x: Array, filters: Array, grid: Any, window: Any) -> Array:
    """Get the results of images, which have their padding, and filters (size..., 1, channels)."""
    (oh, ow), (k1, k2, s1, s2, d1, d2) = grid, window
    batch, _, _, channels = x.shape
    y = np.zeros((batch, oh, ow, channels), x.dtype)
    for b in range(batch):
        for i in range(oh):
            for j in range(ow):
                total = y[b, i, j]
                for a in range(k1):
                    for c in range(k2):
                        seen, weight = x[b, i * s1 + a * d1, j * s2 + c * d2], filters[a, c, 0]
                        for m in range(channels):
                            total[m] += seen[m] * weight[m]
    return y


@_njit
def depthwise_filters(x: Array, y: Array, grid: Any, window: Any) -> Array:
    """Get the filters of images, which have their padding, and results."""
    (oh, ow), (k1, k2, s1, s2, d1, d2) = grid, window
    batch, _, _, channels = x.shape
    total = np.zeros((k1, k2, 1, channels), x.dtype)
    line = np.empty((k1, k2, channels), x.dtype)
    for b in range(batch):
        for i in range(oh):
            # Of each line by itself, so that rounding does not grow with the batch.
            line[:] = 0
            for j in range(ow):
                result = y[b, i, j]
                for a in range(k1):
                    for c in range(k2):
                        seen, one = x[b, i * s1 + a * d1, j * s2 + c * d2], line[a, c]
                        for m in range(channels):
                            one[m] += seen[m] * result[m]
            total[:, :, 0] += line
    return total


@_njit
def depthwise_images(filters: Array, y: Array, x: Array, grid: Any, window: Any) -> None:
    """Add the images of filters and results to zeros, which have their padding."""
    (oh, ow), (k1, k2, s1, s2, d1, d2) = grid, window
    batch, _, _, channels = x.shape
    for b in range(batch):
        for i in range(oh):
            for j in range(ow):
                result = y[b, i, j]
                for a in range(k1):
                    for c in range(k2):
                        seen, weight = x[b, i * s1 + a * d1, j * s2 + c * d2], filters[a, c, 0]
                        for m in range(channels):
                            seen[m] += result[m] * weight[m]
