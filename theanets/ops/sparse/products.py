r"""Products of sparse matrices: the work, and its derivative's, is by the entries that are stored.

A matrix X (batch, size) is three vectors, as in SciPy's ``csr_array``:
``data`` and ``indices`` have the values and the columns of the stored entries,
row by row, and those of row i are at ``indptr[i]`` to ``indptr[i + 1]``. An
entry that is stored several times is the sum of these.

`Dense` makes X itself of them. It stands for X in a network's graph, and
`dot` takes it apart again, so that it is computed only where something else
looks at X.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply

from ...expressions import Expression
from ...process import lazily
from ..base import KernelOp, float_tensor, length, source_key

Array = npt.NDArray[Any]


def is_sparse(array: Any) -> bool:
    """Tell whether something is a sparse matrix of SciPy, without importing that part of it."""
    # It takes a quarter of a second, and who has such a matrix has it imported.
    module = sys.modules.get("scipy.sparse")
    return module is not None and module.issparse(array)


def placeholder(name: str | None, dtype: str, size: int) -> Expression:
    """Make a symbolic sparse matrix: `Dense` of three new vectors.

    Parameters
    ----------
    name : str or None
        Its name.
    dtype : str
        Type of the entries.
    size : int
        Number of columns.
    """
    prefix = "" if name is None else f"{name}."
    data = pt.tensor(name=f"{prefix}data", dtype=dtype, shape=(None,))
    indices = pt.tensor(name=f"{prefix}indices", dtype="int32", shape=(None,))
    indptr = pt.tensor(name=f"{prefix}indptr", dtype="int32", shape=(None,))
    return Dense()(data, indices, indptr, size, name=name)


def vectors(x: Expression) -> list[Expression] | None:
    """Get ``data``, ``indices`` and ``indptr`` of a symbolic sparse matrix; None of others."""
    node = getattr(x, "owner", None)
    return node.inputs[:3] if node is not None and isinstance(node.op, Dense) else None


def with_data(x: Expression, data: Expression) -> Expression:
    """Get a symbolic sparse matrix with other values of the entries that are stored."""
    _, indices, indptr, size = x.owner.inputs
    return Dense()(data, indices, indptr, size)


def dot(x: Expression, w: Expression) -> Expression:
    """Get the product of a symbolic matrix, sparse or not, and a dense one."""
    found = vectors(x)
    return pt.dot(x, w) if found is None else Product()(*found, w)


class SparseOp(KernelOp):
    """Base class of Ops of ``data``, ``indices``, ``indptr`` and more."""

    __props__ = ()
    #: Name of the kernel.
    name: str

    def kernel(self) -> tuple[Any, str | None]:
        """Get the compiled function, and its key for the cache on the disk."""
        from . import by_numba

        return getattr(by_numba, self.name), source_key(by_numba.__name__, self.name)

    def vectors(
        self, data: Expression, indices: Expression, indptr: Expression
    ) -> list[Expression]:
        """Get the three vectors, or refuse what they are."""
        data, indices, indptr = float_tensor(data, 1, "data"), *map(pt.as_tensor, (indices, indptr))
        for index in (indices, indptr):
            if index.ndim != 1 or index.dtype != "int32":
                raise TypeError(f"indices {index.type} are not a vector of int32")
        return [data, indices, indptr]

    def matrix(self, value: Any, dtype: str) -> Any:
        """Get a dense matrix of a type, or refuse what it is."""
        value = pt.as_tensor(value)
        if value.ndim != 2 or value.dtype != dtype:
            raise TypeError(f"{value.type} is not a matrix of {dtype}")
        return value

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        return [[i in (0, 3) and node.inputs[i].ndim > 0] for i in range(len(node.inputs))]

    def _rows(self, shape: Any) -> Any:
        return shape[0] - 1


class Dense(SparseOp):
    """The matrix X (batch, size) itself, of ``data``, ``indices``, ``indptr`` and ``size``."""

    name = "dense"

    def make_node(
        self, data: Expression, indices: Expression, indptr: Expression, size: Expression
    ) -> Apply:
        found = self.vectors(data, indices, indptr)
        size, known = length(size)
        return Apply(self, [*found, size], [pt.tensor(dtype=found[0].dtype, shape=(None, known))])

    def perform(self, node: Apply, inputs: Sequence[Array], storage: list[list[Any]]) -> None:
        data, indices, indptr, size = inputs
        storage[0][0] = matrix(data, indices, indptr, int(size)).toarray()

    def shapes_of(
        self, inputs: Sequence[Expression], shapes: Sequence[tuple[Expression, ...]]
    ) -> list[tuple[Expression, ...]]:
        return [(self._rows(shapes[2]), inputs[3])]

    def pullback(
        self,
        inputs: Sequence[Expression],
        outputs: Sequence[Expression],
        cotangents: Sequence[Expression],
    ) -> list[Expression]:
        _, indices, indptr, _ = inputs
        g = cotangents[0][_row_of(indices, indptr), indices]
        return [g, *(DisconnectedType()() for _ in range(3))]


class Product(SparseOp):
    """The product X @ w (batch, units), of ``data``, ``indices``, ``indptr`` and ``w``."""

    name = "product"

    def make_node(
        self, data: Expression, indices: Expression, indptr: Expression, w: Expression
    ) -> Apply:
        found = self.vectors(data, indices, indptr)
        w = self.matrix(w, found[0].dtype)
        y = pt.tensor(dtype=w.dtype, shape=(None, w.type.shape[1]))
        return Apply(self, [*found, w], [y])

    def perform(self, node: Apply, inputs: Sequence[Array], storage: list[list[Any]]) -> None:
        data, indices, indptr, w = inputs
        storage[0][0] = np.ascontiguousarray(matrix(data, indices, indptr, len(w)) @ w)

    def output_shapes(self, *shapes: tuple[Expression, ...]) -> list[tuple[Expression, ...]]:
        return [(self._rows(shapes[2]), shapes[3][1])]

    def pullback(
        self,
        inputs: Sequence[Expression],
        outputs: Sequence[Expression],
        cotangents: Sequence[Expression],
    ) -> list[Expression]:
        data, indices, indptr, w = inputs
        g = cotangents[0]
        size = w.shape[0] if w.type.shape[0] is None else w.type.shape[0]
        return [
            _at_entries(indices, indptr, w, g),
            DisconnectedType()(),
            DisconnectedType()(),
            TransposedProduct()(data, indices, indptr, g, size),
        ]


class TransposedProduct(SparseOp):
    """The product X.T @ y (size, units): ``data``, ``indices``, ``indptr``, ``y`` and ``size``."""

    name = "transposed_product"

    def make_node(
        self,
        data: Expression,
        indices: Expression,
        indptr: Expression,
        y: Expression,
        size: Expression,
    ) -> Apply:
        found = self.vectors(data, indices, indptr)
        y = self.matrix(y, found[0].dtype)
        size, known = length(size)
        w = pt.tensor(dtype=y.dtype, shape=(known, y.type.shape[1]))
        return Apply(self, [*found, y, size], [w])

    def perform(self, node: Apply, inputs: Sequence[Array], storage: list[list[Any]]) -> None:
        data, indices, indptr, y, size = inputs
        storage[0][0] = np.ascontiguousarray(matrix(data, indices, indptr, int(size)).T @ y)

    def shapes_of(
        self, inputs: Sequence[Expression], shapes: Sequence[tuple[Expression, ...]]
    ) -> list[tuple[Expression, ...]]:
        return [(inputs[4], shapes[3][1])]

    def pullback(
        self,
        inputs: Sequence[Expression],
        outputs: Sequence[Expression],
        cotangents: Sequence[Expression],
    ) -> list[Expression]:
        data, indices, indptr, y, _ = inputs
        g = cotangents[0]
        return [
            _at_entries(indices, indptr, g, y),
            DisconnectedType()(),
            DisconnectedType()(),
            Product()(data, indices, indptr, g),
            DisconnectedType()(),
        ]


def matrix(data: Array, indices: Array, indptr: Array, size: int) -> Any:
    """Get SciPy's matrix of three vectors.

    Parameters
    ----------
    data, indices, indptr : ndarray
        Values, columns, and where rows start.
    size : int
        Number of columns.

    Returns
    -------
    scipy.sparse.csr_array

    Raises
    ------
    ValueError
        If they are not those of such a matrix: SciPy's products would read
        and write what is not theirs.
    """
    steps = np.diff(indptr)
    if (
        len(indptr) < 1
        or indptr[0] != 0
        or (steps < 0).any()
        or not indptr[-1] <= len(indices) == len(data)
    ):
        raise ValueError("indptr, indices and data are not those of a sparse matrix")
    if len(indices) and not (indices.min() >= 0 and indices.max() < size):
        raise ValueError(f"a column of a sparse matrix is not in [0, {size})")
    sp = lazily("scipy.sparse")
    return sp.csr_array((data, indices, indptr), shape=(len(steps), size))


def _row_of(indices: Expression, indptr: Expression) -> Expression:
    """Get the row of each entry that is stored."""
    return pt.searchsorted(indptr, pt.arange(indices.shape[0]), side="right") - 1


def _at_entries(
    indices: Expression, indptr: Expression, w: Expression, y: Expression
) -> Expression:
    """Get the entries of y @ w.T that X stores; for the derivative with respect to ``data``."""
    return (y[_row_of(indices, indptr)] * w[indices]).sum(axis=1)
