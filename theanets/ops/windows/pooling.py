r"""Pooling of images: the largest entry of each window, or the sum, channel by channel.

Padding has no entries: a window at the border pools what there is of it. Of
several largest entries the first counts, line by line; a NaN counts as larger
than any number. Sums are linear, and so are, for a fixed ``x``, `MaxGather`
and `MaxScatter`, so that all are differentiated by each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply

from ...expressions import Expression
from ..base import float_tensor, length
from .window import Window, WindowOp, static_lengths

Array = npt.NDArray[Any]


class Pooling(WindowOp):
    """Base class of Ops from images ``x`` to (batch, positions..., channels)."""

    def make_node(self, x: Expression) -> Apply:
        x = float_tensor(x, 4, "x")
        return Apply(self, [x], [self._result(x)])

    def _result(self, x: Any) -> Any:
        batch, *lengths, channels = x.type.shape
        return pt.tensor(dtype=x.dtype, shape=(batch, *self.window.positions(lengths), channels))

    def output_shapes(self, *shapes: tuple[Expression, ...]) -> list[tuple[Expression, ...]]:
        batch, *lengths, channels = shapes[0]
        return [(batch, *self.window.positions(lengths), channels)]


class MaxPool(Pooling):
    """The largest entry of each window of ``x``."""

    def kernel(self) -> tuple[Any, str | None]:
        """Get the compiled function, and its key for the cache on the disk."""
        from . import pooling_by_numba

        return pooling_by_numba.max_pool(self.window)

    def perform(self, node: Apply, inputs: Sequence[Array], storage: list[list[Any]]) -> None:
        storage[0][0] = max_pool(inputs[0], self.window)

    def pullback(
        self,
        inputs: Sequence[Expression],
        outputs: Sequence[Expression],
        cotangents: Sequence[Expression],
    ) -> list[Expression]:
        return [MaxScatter(self.window)(inputs[0], cotangents[0])]


class MaxGather(Pooling):
    """The entries of ``v`` where ``x``, of the same shape, has the largest entry of each window."""

    def kernel(self) -> tuple[Any, str | None]:
        """Get the compiled function, and its key for the cache on the disk."""
        from . import pooling_by_numba

        return pooling_by_numba.max_gather(self.window)

    def make_node(self, x: Expression, v: Expression) -> Apply:  # type: ignore[override]
        x, v = float_tensor(x, 4, "x"), float_tensor(v, 4, "v")
        return Apply(self, [x, v], [self._result(x).type.clone(dtype=v.dtype)()])

    def perform(self, node: Apply, inputs: Sequence[Array], storage: list[list[Any]]) -> None:
        x, v = inputs
        storage[0][0] = max_gather(x, v, self.window)

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        return [[False], [True]]

    def pullback(
        self,
        inputs: Sequence[Expression],
        outputs: Sequence[Expression],
        cotangents: Sequence[Expression],
    ) -> list[Expression]:
        return [DisconnectedType()(), MaxScatter(self.window)(inputs[0], cotangents[0])]


class MaxScatter(WindowOp):
    """Adds ``y`` (batch, positions..., channels) where ``x`` has the largest entry of each window.

    The output has the shape of ``x`` and the dtype of ``y``.
    """

    def kernel(self) -> tuple[Any, str | None]:
        """Get the compiled function, and its key for the cache on the disk."""
        from . import pooling_by_numba

        return pooling_by_numba.max_scatter(self.window)

    def make_node(self, x: Expression, y: Expression) -> Apply:
        x, y = float_tensor(x, 4, "x"), float_tensor(y, 4, "y")
        return Apply(self, [x, y], [x.type.clone(dtype=y.dtype)()])

    def perform(self, node: Apply, inputs: Sequence[Array], storage: list[list[Any]]) -> None:
        x, y = inputs
        storage[0][0] = max_scatter(x, y, self.window)

    def output_shapes(self, *shapes: tuple[Expression, ...]) -> list[tuple[Expression, ...]]:
        return [shapes[0]]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        return [[False], [True]]

    def pullback(
        self,
        inputs: Sequence[Expression],
        outputs: Sequence[Expression],
        cotangents: Sequence[Expression],
    ) -> list[Expression]:
        return [DisconnectedType()(), MaxGather(self.window)(inputs[0], cotangents[0])]


class SumPool(Pooling):
    """The sum of each window of ``x``."""

    def kernel(self) -> tuple[Any, str | None]:
        """Get the compiled function, and its key for the cache on the disk."""
        from . import pooling_by_numba

        return pooling_by_numba.sum_pool(self.window)

    def perform(self, node: Apply, inputs: Sequence[Array], storage: list[list[Any]]) -> None:
        storage[0][0] = sum_pool(inputs[0], self.window)

    def pullback(
        self,
        inputs: Sequence[Expression],
        outputs: Sequence[Expression],
        cotangents: Sequence[Expression],
    ) -> list[Expression]:
        return [SumSpread(self.window)(cotangents[0], *static_lengths(inputs[0]))]


class SumSpread(WindowOp):
    """Adds ``y`` (batch, positions..., channels) to each entry of its windows.

    Inputs ``y``, and the height and width of the result.
    """

    def kernel(self) -> tuple[Any, str | None]:
        """Get the compiled function, and its key for the cache on the disk."""
        from . import pooling_by_numba

        return pooling_by_numba.sum_spread(self.window)

    def make_node(self, y: Expression, height: Expression, width: Expression) -> Apply:
        y = float_tensor(y, 4, "y")
        (height, h), (width, w) = length(height), length(width)
        x = pt.tensor(dtype=y.dtype, shape=(y.type.shape[0], h, w, y.type.shape[3]))
        return Apply(self, [y, height, width], [x])

    def perform(self, node: Apply, inputs: Sequence[Array], storage: list[list[Any]]) -> None:
        y, height, width = inputs
        storage[0][0] = sum_spread(y, (int(height), int(width)), self.window)

    def shapes_of(
        self, inputs: Sequence[Expression], shapes: Sequence[tuple[Expression, ...]]
    ) -> list[tuple[Expression, ...]]:
        return [(shapes[0][0], *inputs[1:], shapes[0][3])]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        return [[True], [False], [False]]

    def pullback(
        self,
        inputs: Sequence[Expression],
        outputs: Sequence[Expression],
        cotangents: Sequence[Expression],
    ) -> list[Expression]:
        return [SumPool(self.window)(cotangents[0]), DisconnectedType()(), DisconnectedType()()]


# ---- in NumPy --------------------------------------------------------------------


def max_pool(x: Array, window: Window) -> Array:
    """Compute the largest entry of each window; as `MaxPool`."""
    padded, _ = _padded(x, window, -np.inf)
    parts = [padded[entry] for entry in entries(x.shape, window)]
    return np.maximum.reduce(parts, axis=0)


def max_gather(x: Array, v: Array, window: Window) -> Array:
    """Compute entries where another array has the largest of each window; as `MaxGather`."""
    _check(v.shape, x.shape)
    padded, _ = _padded(v, window, 0)
    y = np.zeros(_shape(x.shape, window), v.dtype)
    for entry, largest in _largest(x, window):
        y[largest] = padded[entry][largest]
    return y


def max_scatter(x: Array, y: Array, window: Window) -> Array:
    """Add to the largest entry of each window; as `MaxScatter`."""
    _check(y.shape, _shape(x.shape, window))
    padded, inner = _padded(np.zeros(x.shape, y.dtype), window, 0)
    for entry, largest in _largest(x, window):
        padded[entry] += np.where(largest, y, 0)
    return np.ascontiguousarray(padded[inner])


def sum_pool(x: Array, window: Window) -> Array:
    """Compute the sum of each window; as `SumPool`."""
    padded, _ = _padded(x, window, 0)
    y = np.zeros(_shape(x.shape, window), x.dtype)
    for entry in entries(x.shape, window):
        y += padded[entry]
    return y


def sum_spread(y: Array, lengths: tuple[int, int], window: Window) -> Array:
    """Add to all entries of each window; as `SumSpread`."""
    shape = (len(y), *lengths, y.shape[3])
    _check(y.shape, _shape(shape, window))
    padded, inner = _padded(np.zeros(shape, y.dtype), window, 0)
    for entry in entries(shape, window):
        padded[entry] += y
    return np.ascontiguousarray(padded[inner])


def _shape(shape: Any, window: Window) -> tuple[int, ...]:
    return (shape[0], *window.positions(shape[1:3]), shape[3])


def _padded(x: Array, window: Window, value: float) -> tuple[Array, Any]:
    """Get an array with its padding, and where it is in that."""
    window.check(x.shape[1:3])
    pads = window.padding(x.shape[1:3])
    inner = tuple(slice(low, low + n) for (low, _), n in zip(pads, x.shape[1:3], strict=True))
    if any(map(any, pads)):
        x = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=value)
    return x, (slice(None), *inner)


def entries(shape: Any, window: Window) -> Iterator[Any]:
    """Generate, for each entry of a window, where it is in a padded array for all positions."""
    counts = window.positions(shape[1:3])
    for offsets in np.ndindex(*window.entries(shape[1:3])):
        steps = zip(offsets, counts, window.stride, window.dilation, strict=True)
        yield (
            slice(None),
            *(slice(k * d, k * d + (count - 1) * s + 1, s) for k, count, s, d in steps),
        )


def _largest(x: Array, window: Window) -> Iterator[tuple[Any, Array]]:
    """Generate the entries of a window, and at which positions each is the largest."""
    padded, _ = _padded(x, window, -np.inf)
    inside, _ = _padded(np.ones((1, *x.shape[1:3], 1), bool), window, False)
    largest = max_pool(x, window)
    left = np.ones(largest.shape, bool)
    for entry in entries(x.shape, window):
        value = padded[entry]
        # Padding is no entry, even if all that there is is -inf.
        here = (
            left & inside[entry] & ((value == largest) | ((value != value) & (largest != largest)))
        )
        left &= ~here
        yield entry, here


def _check(found: Any, expected: Any) -> None:
    if tuple(found) != tuple(expected):
        raise ValueError(f"an array of shape {found} does not have the shape {tuple(expected)}")
