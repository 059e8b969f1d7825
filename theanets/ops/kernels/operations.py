"""Ops that stand in for PyTensor's when a graph is compiled, since they compile sooner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pytensor.graph.basic import Apply, Constant
from pytensor.tensor import as_tensor, matrix, tensor
from pytensor.tensor.elemwise import DimShuffle

from ...expressions import Expression
from ...process import lazily
from ..base import Array, KernelOp


class MatMul(KernelOp):
    """The product of two matrices of the same floating type, either may be transposed.

    BLAS reads a transposed matrix as it lies, so nothing is copied. In the C
    linker this is NumPy's product, which has a BLAS where that linker has none.

    Parameters
    ----------
    transpose_a, transpose_b : bool
        Whether a factor is transposed before it is multiplied.
    """

    __props__ = ("transpose_a", "transpose_b")

    def __init__(self, transpose_a: bool = False, transpose_b: bool = False) -> None:
        self.transpose_a = transpose_a
        self.transpose_b = transpose_b

    def make_node(self, a: Expression, b: Expression) -> Apply:
        """Take factors of shape (n, k) and (k, m), or transposed."""
        rows = a.type.shape[1 if self.transpose_a else 0]
        columns = b.type.shape[0 if self.transpose_b else 1]
        return Apply(self, [a, b], [matrix(dtype=a.dtype, shape=(rows, columns))])

    def perform(self, node: Apply, inputs: Sequence[Array], outputs: list[list[Any]]) -> None:
        """Multiply arrays."""
        a, b = inputs
        a = a.T if self.transpose_a else a
        b = b.T if self.transpose_b else b
        outputs[0][0] = np.dot(a, b)

    def output_shapes(self, *shapes: tuple[Expression, ...]) -> list[tuple[Expression, ...]]:
        """Get (n, m)."""
        a, b = shapes
        return [(a[1 if self.transpose_a else 0], b[0 if self.transpose_b else 1])]

    def kernel(self) -> tuple[Any, str | None]:
        """Get the compiled function, and its key for the cache on the disk."""
        from . import by_numba

        return by_numba.matmul(self.transpose_a, self.transpose_b)


class RowArgmax(KernelOp):
    """The index of the first largest value along the last axis; a NaN is the largest."""

    __props__ = ()

    def make_node(self, x: Expression) -> Apply:
        """Take an array (..., m), give integers (...)."""
        return Apply(self, [x], [tensor(dtype="int64", shape=x.type.shape[:-1])])

    def perform(self, node: Apply, inputs: Sequence[Array], outputs: list[list[Any]]) -> None:
        """Find the indices in an array."""
        outputs[0][0] = np.asarray(np.argmax(inputs[0], axis=-1), "int64")

    def output_shapes(self, *shapes: tuple[Expression, ...]) -> list[tuple[Expression, ...]]:
        """Get the shape without its last axis."""
        return [shapes[0][:-1]]

    def kernel(self) -> tuple[Any, str | None]:
        """Get the compiled function, and its key for the cache on the disk."""
        from . import by_numba

        return by_numba.row_argmax()


class RowSoftmax(KernelOp):
    """The softmax along the last axis, or its logarithm.

    Parameters
    ----------
    log : bool
        Whether it is the logarithm.
    """

    __props__ = ("log",)

    def __init__(self, log: bool = False) -> None:
        self.log = log

    def make_node(self, x: Expression) -> Apply:
        """Take an array (..., m), give one of the same shape."""
        return Apply(self, [x], [x.type()])

    def perform(self, node: Apply, inputs: Sequence[Array], outputs: list[list[Any]]) -> None:
        """Compute it for an array."""
        special = lazily("scipy.special")  # takes a third of a second, and is seldom needed
        outputs[0][0] = (special.log_softmax if self.log else special.softmax)(inputs[0], axis=-1)

    def output_shapes(self, *shapes: tuple[Expression, ...]) -> list[tuple[Expression, ...]]:
        """Get the shape as it is."""
        return [shapes[0]]

    def kernel(self) -> tuple[Any, str | None]:
        """Get the compiled function, and its key for the cache on the disk."""
        from . import by_numba

        return by_numba.row_softmax(self.log)


class Sums(KernelOp):
    """Sums over axes, added up in double precision.

    Parameters
    ----------
    over : str
        ``'all'`` axes, the ``'last'``, or the ``'leading'`` ones, which are
        all but the last.
    """

    __props__ = ("over",)

    def __init__(self, over: str) -> None:
        self.over = over

    def make_node(self, x: Expression) -> Apply:
        """Take an array (..., m); give a scalar, an array (...) or a vector (m)."""
        shape = self.output_shapes(x.type.shape)[0]
        return Apply(self, [x], [tensor(dtype=x.dtype, shape=shape)])

    def perform(self, node: Apply, inputs: Sequence[Array], outputs: list[list[Any]]) -> None:
        """Add up an array."""
        (x,) = inputs
        axis = {"all": None, "last": -1, "leading": tuple(range(x.ndim - 1))}[self.over]
        outputs[0][0] = np.asarray(x.sum(axis=axis, dtype="float64"), x.dtype)

    def output_shapes(self, *shapes: tuple[Expression, ...]) -> list[tuple[Expression, ...]]:
        """Get the shape of what remains."""
        (shape,) = shapes
        return [{"all": (), "last": shape[:-1], "leading": shape[-1:]}[self.over]]

    def kernel(self) -> tuple[Any, str | None]:
        """Get the compiled function, and its key for the cache on the disk."""
        from . import by_numba

        return by_numba.sums(self.over)


class Fill(KernelOp):
    """An array of up to three axes, of one value."""

    __props__ = ("shape",)

    def __init__(self, shape: tuple[int | None, ...]) -> None:
        self.shape = shape

    def make_node(self, value: Expression, *lengths: Expression) -> Apply:
        """Take a value and the length of each axis, scalars."""
        output = tensor(dtype=value.dtype, shape=self.shape)
        # A constant has the smallest type that holds it.
        wide = [as_tensor(n.data, dtype="int64") if isinstance(n, Constant) else n for n in lengths]
        return Apply(self, [value, *wide], [output])

    def perform(self, node: Apply, inputs: Sequence[Array], outputs: list[list[Any]]) -> None:
        """Make the array."""
        value, *lengths = inputs
        outputs[0][0] = np.full([int(n) for n in lengths], value, value.dtype)

    def shapes_of(
        self, inputs: Sequence[Expression], shapes: Sequence[tuple[Expression, ...]]
    ) -> list[tuple[Expression, ...]]:
        """Get the lengths."""
        return [tuple(inputs[1:])]

    def kernel(self) -> tuple[Any, str | None]:
        """Get the compiled function, and its key for the cache on the disk."""
        from . import by_numba

        return by_numba.fill(len(self.shape))


class Rows(KernelOp):
    """A row, so many times."""

    __props__ = ()

    def make_node(self, row: Expression, count: Expression) -> Apply:
        """Take an array (1, m) and a number of rows n, a scalar; give an array (n, m)."""
        if isinstance(count, Constant):
            count = as_tensor(count.data, dtype="int64")
        rows = int(count.data) if isinstance(count, Constant) else None
        return Apply(self, [row, count], [matrix(dtype=row.dtype, shape=(rows, row.type.shape[1]))])

    def perform(self, node: Apply, inputs: Sequence[Array], outputs: list[list[Any]]) -> None:
        """Repeat the row."""
        row, count = inputs
        outputs[0][0] = np.repeat(row, int(count), axis=0)

    def shapes_of(
        self, inputs: Sequence[Expression], shapes: Sequence[tuple[Expression, ...]]
    ) -> list[tuple[Expression, ...]]:
        """Get (n, m)."""
        return [(inputs[1], shapes[0][1])]

    def kernel(self) -> tuple[Any, str | None]:
        """Get the compiled function, and its key for the cache on the disk."""
        from . import by_numba

        return by_numba.rows()


class Axes(KernelOp):
    """Axes in another order, with some of length 1 added, or left out.

    What ``DimShuffle`` gives. To Numba it is one function in the place of four,
    and says whether entries still lie side by side, for vector instructions.

    Parameters
    ----------
    order : tuple of int and 'x'
        The axes to keep; where there is an ``'x'``, an axis of length 1 is added.
    ndim : int
        Number of axes of the array. Those that are not kept have to be of length 1.
    """

    __props__ = ("order", "ndim")
    view_map = {0: [0]}  # noqa: RUF012

    def __init__(self, order: tuple[int | str, ...], ndim: int) -> None:
        self.order = order
        self.ndim = ndim
        self.same = DimShuffle(input_ndim=ndim, new_order=order)

    def make_node(self, x: Expression) -> Apply:
        """Take an array."""
        return Apply(self, [x], [self.same(x).type()])

    def perform(self, node: Apply, inputs: Sequence[Array], outputs: list[list[Any]]) -> None:
        """Get a view of an array."""
        self.same.perform(node, inputs, outputs)

    def output_shapes(self, *shapes: Any) -> list[Any]:
        """Get the lengths of the axes that are kept, and 1 for those added."""
        return [tuple(1 if axis == "x" else shapes[0][axis] for axis in self.order)]

    def kernel(self) -> tuple[Any, str | None]:
        """Get the compiled function, and its key for the cache on the disk."""
        from . import by_numba

        return by_numba.axes(self.order, self.ndim)


class Positions(KernelOp):
    """The positions 0, 1, ... along the last axis, as one row.

    It stands in for the constant, which is compiled in: then each number of
    classes would have to be compiled anew.

    Parameters
    ----------
    dtype : str
        An integer type.
    """

    __props__ = ("dtype",)

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype

    def make_node(self, x: Expression) -> Apply:
        """Take an array (..., n), give integers (1, ..., n)."""
        shape = (1,) * (x.type.ndim - 1) + x.type.shape[-1:]
        return Apply(self, [x], [tensor(dtype=self.dtype, shape=shape)])

    def perform(self, node: Apply, inputs: Sequence[Array], outputs: list[list[Any]]) -> None:
        """Count the entries of an array's last axis."""
        (x,) = inputs
        found = np.arange(x.shape[-1], dtype=self.dtype)
        outputs[0][0] = found.reshape((1,) * (x.ndim - 1) + found.shape)

    def output_shapes(self, *shapes: tuple[Expression, ...]) -> list[tuple[Expression, ...]]:
        """Get (1, ..., n)."""
        return [(1,) * (len(shapes[0]) - 1) + (shapes[0][-1],)]

    def kernel(self) -> tuple[Any, str | None]:
        """Get the compiled function, and its key for the cache on the disk."""
        from . import by_numba

        return by_numba.positions(self.dtype)
