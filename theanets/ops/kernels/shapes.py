"""Ops on shapes of arrays and their parts, in the place of PyTensor's that compile for longer."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Constant
from pytensor.tensor import as_tensor, tensor

from ...expressions import Expression
from ..base import Array, KernelOp


class Shaped(KernelOp):
    """An array with another shape, what ``Reshape`` gives.

    The lengths are no vector, so that none has to be made.

    Parameters
    ----------
    ndim : int
        Its number of axes.
    """

    __props__ = ("ndim",)
    view_map = {0: [0]}  # noqa: RUF012

    def __init__(self, ndim: int) -> None:
        self.ndim = ndim

    def make_node(self, x: Expression, *lengths: Expression) -> Apply:
        """Take an array and the length of each axis, one of which may be -1."""
        known = [int(n.data) if isinstance(n, Constant) else -1 for n in lengths]
        shape = [n if n >= 0 else None for n in known]
        return Apply(self, [x, *map(_wide, lengths)], [tensor(dtype=x.dtype, shape=shape)])

    def perform(self, node: Apply, inputs: Sequence[Array], outputs: list[list[Any]]) -> None:
        """Give an array another shape."""
        x, *lengths = inputs
        outputs[0][0] = np.reshape(x, [int(n) for n in lengths])

    def shapes_of(
        self, inputs: Sequence[Expression], shapes: Sequence[tuple[Expression, ...]]
    ) -> list[tuple[Expression, ...]]:
        """Get the lengths."""
        lengths = inputs[1:]
        size = prod(shapes[0])
        # The product of all, one of which is -1 at most, is minus that of the others then.
        others = prod(lengths)
        return [tuple(pt.switch(pt.lt(n, 0), size // pt.abs(others), n) for n in lengths)]

    def kernel(self) -> tuple[Any, str | None]:
        """Get the compiled function, and its key for the cache on the disk."""
        from . import shapes_by_numba

        return shapes_by_numba.shaped(self.ndim)


class Length(KernelOp):
    """The length of an axis, what ``Shape_i`` gives.

    Parameters
    ----------
    axis : int
        The axis, from 0.
    """

    __props__ = ("axis",)

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def make_node(self, x: Expression) -> Apply:
        """Take an array."""
        return Apply(self, [x], [tensor(dtype="int64", shape=())])

    def perform(self, node: Apply, inputs: Sequence[Array], outputs: list[list[Any]]) -> None:
        """Get the length."""
        outputs[0][0] = np.asarray(inputs[0].shape[self.axis], "int64")

    def output_shapes(self, *shapes: tuple[Expression, ...]) -> list[tuple[Expression, ...]]:
        """Get that of a number."""
        return [()]

    def kernel(self) -> tuple[Any, str | None]:
        """Get the compiled function, and its key for the cache on the disk."""
        from . import shapes_by_numba

        return shapes_by_numba.length(self.axis)


class Parts(KernelOp):
    """An array in parts, one behind the other along an axis, what ``Split`` gives.

    Parameters
    ----------
    axis : int
        The axis, from 0.
    count : int
        How many parts there are.
    """

    __props__ = ("axis", "count")

    def __init__(self, axis: int, count: int) -> None:
        self.axis = axis
        self.count = count
        self.view_map = {i: [0] for i in range(count)}

    def make_node(self, x: Expression, sizes: Expression) -> Apply:
        """Take an array and a vector of the lengths of the parts."""
        known: list[int | None] = [None] * self.count
        if isinstance(sizes, Constant) and len(sizes.data) == self.count:
            known = sizes.data.tolist()
        shapes = [(*x.type.shape[: self.axis], n, *x.type.shape[self.axis + 1 :]) for n in known]
        return Apply(self, [x, sizes], [tensor(dtype=x.dtype, shape=shape) for shape in shapes])

    def perform(self, node: Apply, inputs: Sequence[Array], outputs: list[list[Any]]) -> None:
        """Get views of an array."""
        x, sizes = inputs
        if len(sizes) != self.count or min(sizes) < 0 or sum(sizes) != x.shape[self.axis]:
            raise ValueError(
                f"an axis of length {x.shape[self.axis]} is not divided into {self.count} parts "
                f"by {sizes.tolist()}"
            )
        parts = np.split(x, np.cumsum(sizes[:-1]), axis=self.axis)
        for place, part in zip(outputs, parts, strict=True):
            place[0] = part

    def shapes_of(
        self, inputs: Sequence[Expression], shapes: Sequence[tuple[Expression, ...]]
    ) -> list[tuple[Expression, ...]]:
        """Get the shape with each of the sizes."""
        before, after = shapes[0][: self.axis], shapes[0][self.axis + 1 :]
        return [(*before, inputs[1][i], *after) for i in range(self.count)]

    def kernel(self) -> tuple[Any, str | None]:
        """Get the compiled function, and its key for the cache on the disk."""
        from . import shapes_by_numba

        return shapes_by_numba.parts(self.axis, self.count)


class Joined(KernelOp):
    """Arrays of one type, one behind the other along an axis, what ``Join`` gives.

    Parameters
    ----------
    axis : int
        The axis, from 0.
    count : int
        How many arrays there are.
    """

    __props__ = ("axis", "count")

    def __init__(self, axis: int, count: int) -> None:
        self.axis = axis
        self.count = count

    def make_node(self, *arrays: Expression) -> Apply:
        """Take arrays with the same lengths along the other axes."""
        known = [x.type.shape[self.axis] for x in arrays]
        shape = [
            next((x.type.shape[axis] for x in arrays if x.type.shape[axis] is not None), None)
            for axis in range(arrays[0].ndim)
        ]
        shape[self.axis] = None if None in known else sum(known)
        return Apply(self, list(arrays), [tensor(dtype=arrays[0].dtype, shape=shape)])

    def perform(self, node: Apply, inputs: Sequence[Array], outputs: list[list[Any]]) -> None:
        """Put arrays behind each other."""
        outputs[0][0] = np.concatenate(inputs, axis=self.axis)

    def output_shapes(self, *shapes: tuple[Expression, ...]) -> list[tuple[Expression, ...]]:
        """Get the sum of the lengths along the axis."""
        found = list(shapes[0])
        found[self.axis] = sum((shape[self.axis] for shape in shapes[1:]), found[self.axis])
        return [tuple(found)]

    def kernel(self) -> tuple[Any, str | None]:
        """Get the compiled function, and its key for the cache on the disk."""
        from . import shapes_by_numba

        return shapes_by_numba.joined(self.axis, self.count)


class Vector(KernelOp):
    """A vector of numbers, what ``MakeVector`` gives.

    Parameters
    ----------
    dtype : str
        The type of its entries.
    count : int
        How many there are.
    """

    __props__ = ("dtype", "count")

    def __init__(self, dtype: str, count: int) -> None:
        self.dtype = dtype
        self.count = count

    def make_node(self, *numbers: Expression) -> Apply:
        """Take numbers."""
        return Apply(self, list(numbers), [tensor(dtype=self.dtype, shape=(self.count,))])

    def perform(self, node: Apply, inputs: Sequence[Array], outputs: list[list[Any]]) -> None:
        """Make the vector."""
        outputs[0][0] = np.asarray([x.item() for x in inputs], self.dtype)

    def output_shapes(self, *shapes: tuple[Expression, ...]) -> list[tuple[Expression, ...]]:
        """Get how many there are."""
        return [(as_tensor(self.count, dtype="int64"),)]

    def kernel(self) -> tuple[Any, str | None]:
        """Get the compiled function, and its key for the cache on the disk."""
        from . import shapes_by_numba

        return shapes_by_numba.vector(self.dtype, self.count)


def _wide(n: Expression) -> Expression:
    """Get a constant in 64 bits: it has the smallest type that holds it."""
    return as_tensor(n.data, dtype="int64") if isinstance(n, Constant) else n
