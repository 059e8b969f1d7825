"""The Ops of `kernels` for Numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import cgutils, types
from numba.core.imputils import impl_ret_borrowed
from numba.core.types import ExternalFunction
from numba.extending import intrinsic, overload
from numba.np.arrayobj import populate_array
from pytensor.link.numba.dispatch.basic import numba_njit

from ..base import Array, source_key

XXGEMM = ExternalFunction(
    # What numpy.dot calls in Numba: a character for the type; whether each factor is transposed;
    # the sizes; alpha, two factors with the lengths of their columns, beta, and the result.
    "numba_xxgemm",
    types.intc(
        *[types.char] * 3,
        *[types.intp] * 3,
        *[types.voidptr, types.voidptr, types.intp, types.voidptr, types.intp],
        *[types.voidptr, types.voidptr, types.intp],
    ),
)

XXGEMV = ExternalFunction(
    # A character for the type; whether the matrix is transposed; the sizes, alpha, the matrix with
    # the length of its columns, a vector, beta, and the result.
    "numba_xxgemv",
    types.intc(
        *[types.char] * 2,
        *[types.intp] * 2,
        *[types.voidptr, types.voidptr, types.intp],
        *[types.voidptr] * 3,
    ),
)


def _product(a: Array, b: Array, transpose_a: bool, transpose_b: bool) -> Any:
    """Multiply matrices that lie row by row; one function for all that may be transposed."""
    raise NotImplementedError


@overload(_product, jit_options={"fastmath": False})
def _compiled_product(a: Any, b: Any, transpose_a: bool, transpose_b: bool) -> Any:
    dtype = np.dtype(a.dtype.name)
    kind, one, zero = ord({4: "s", 8: "d"}[dtype.itemsize]), np.ones(1, dtype), np.zeros(1, dtype)
    no, yes = ord("n"), ord("t")

    def product(a: Any, b: Any, transpose_a: bool, transpose_b: bool) -> Any:
        m, k = (a.shape[1], a.shape[0]) if transpose_a else (a.shape[0], a.shape[1])
        same_k, n = (b.shape[1], b.shape[0]) if transpose_b else (b.shape[0], b.shape[1])
        if k != same_k:
            raise ValueError("matrices of sizes that do not fit are multiplied")
        result = np.empty((m, n), a.dtype)
        if m == 0 or n == 0:
            return result
        if k == 0:
            for i in range(m):
                for j in range(n):
                    result[i, j] = 0
            return result
        # BLAS counts by columns: to it, each matrix is transposed, and so is the product.
        first, second = yes if transpose_b else no, yes if transpose_a else no
        ldb, lda = b.shape[1], a.shape[1]
        alpha, beta, out = one.ctypes, zero.ctypes, result.ctypes
        failed = XXGEMM(
            kind, first, second, n, m, k, alpha, b.ctypes, ldb, a.ctypes, lda, beta, out, n
        )
        if failed:
            raise RuntimeError("BLAS could not multiply")
        return result

    return product


def _rows(x: Array) -> Any:
    """Get a matrix, or its transpose, in one piece and row by row."""
    raise NotImplementedError


@overload(_rows, inline="always")
def _compiled_rows(x: Any) -> Any:
    def as_it_is(x: Any) -> Any:
        return x

    def transposed(x: Any) -> Any:
        return x.T

    def copied(x: Any) -> Any:
        return np.ascontiguousarray(x)

    return {"C": as_it_is, "F": transposed}.get(x.layout, copied)


def _by_columns(x: Array) -> Any:
    """Tell whether a matrix lies column by column."""
    raise NotImplementedError


@overload(_by_columns, inline="always")
def _compiled_by_columns(x: Any) -> Any:
    it_does = x.layout == "F"

    def by_columns(x: Any) -> Any:
        return it_does

    return by_columns


def matmul(transpose_a: bool, transpose_b: bool) -> tuple[Any, str | None]:
    """Get the kernel of a product, and its key for the cache on the disk."""

    def kernel(a: Array, b: Array) -> Any:
        return _product(
            _rows(a), _rows(b), transpose_a != _by_columns(a), transpose_b != _by_columns(b)
        )

    key = source_key(__name__, f"matmul-{transpose_a:d}{transpose_b:d}")
    return numba_njit(kernel, fastmath=False), key


def row_argmax() -> tuple[Any, str | None]:
    """Get the kernel of the largest of each row, and its key for the cache on the disk."""

    @numba_njit(fastmath=False)
    def row_argmax_kernel(x: Array) -> Any:
        columns = x.shape[-1]
        if columns == 0:
            raise ValueError("the largest of no values is asked for")
        rows = np.ascontiguousarray(x).reshape(x.size // columns, columns)
        result = np.zeros(len(rows), np.int64)
        # In a short row, it is a toss-up whether an entry is the largest so far: no branches.
        short = columns <= 16
        for i in range(len(rows)):
            best = rows[i, 0]
            if short:
                at = 0
                for j in range(1, columns):
                    value = rows[i, j]
                    larger = (not value <= best) & (best == best)
                    best = value if larger else best
                    at = j if larger else at
                result[i] = at
            else:
                for j in range(1, columns):
                    value = rows[i, j]
                    if value > best or (value != value and best == best):
                        best = value
                        result[i] = j
        return result.reshape(x.shape[:-1])

    return row_argmax_kernel, source_key(__name__, "row_argmax")


def row_softmax(log: bool) -> tuple[Any, str | None]:
    """Get the kernel of the softmax of each row, and its key for the cache on the disk."""

    @numba_njit(fastmath=False)
    def row_softmax_kernel(x: Array) -> Any:
        columns = x.shape[-1]
        rows = np.ascontiguousarray(x).reshape(x.size // max(columns, 1), columns)
        result = np.empty_like(rows)
        for i in range(len(rows)):
            largest = rows[i, 0]
            for j in range(1, columns):
                largest = max(largest, rows[i, j])
            total = x.dtype.type(0)
            for j in range(columns):
                shifted = rows[i, j] - largest
                power = np.exp(shifted)
                total += power
                result[i, j] = shifted if log else power
            scale = np.log(total) if log else total
            for j in range(columns):  # an operation on a slice takes seconds to compile
                result[i, j] = result[i, j] - scale if log else result[i, j] / scale
        return result.reshape(x.shape)

    return row_softmax_kernel, source_key(__name__, f"row_softmax-{log:d}")


def sums(over: str) -> tuple[Any, str | None]:
    """Get the kernel of sums, and its key for the cache on the disk."""
    if over == "all":

        def kernel(x: Array) -> Any:
            total = np.float64(0)
            for value in x.flat:
                total += value
            return np.asarray(x.dtype.type(total))
    elif over == "last":

        def kernel(x: Array) -> Any:
            columns = x.shape[-1]
            result = np.zeros(x.shape[:-1], x.dtype)
            totals = result.reshape(result.size)
            rows = np.ascontiguousarray(x).reshape(result.size, columns)
            for i in range(len(rows)):
                total = np.float64(0)
                for j in range(columns):
                    total += rows[i, j]
                totals[i] = total
            return result
    else:

        def kernel(x: Array) -> Any:
            columns = x.shape[-1]
            rows = np.ascontiguousarray(x).reshape(x.size // max(columns, 1), columns)
            totals = np.zeros(columns, np.float64)
            for i in range(len(rows)):
                for j in range(columns):
                    totals[j] += rows[i, j]
            return totals.astype(x.dtype)

    return numba_njit(kernel, fastmath=False), source_key(__name__, f"sums-{over}")


def fill(ndim: int) -> tuple[Any, str | None]:
    """Get the kernel of an array of one value, and its key for the cache on the disk."""
    kernel = numba_njit((_fill_1, _fill_2, _fill_3)[ndim - 1], fastmath=False)
    return kernel, source_key(__name__, f"fill-{ndim}")


def _fill_1(value: Array, n: Any) -> Any:
    return np.full((n.item(),), value.item(), value.dtype)


def _fill_2(value: Array, n: Any, m: Any) -> Any:
    return np.full((n.item(), m.item()), value.item(), value.dtype)


def _fill_3(value: Array, n: Any, m: Any, k: Any) -> Any:
    return np.full((n.item(), m.item(), k.item()), value.item(), value.dtype)


def rows() -> tuple[Any, str | None]:
    """Get the kernel of a row that is repeated, and its key for the cache on the disk."""

    def kernel(row: Array, count: Array) -> Any:
        columns = row.shape[1]
        result = np.empty((count.item(), columns), row.dtype)
        for i in range(len(result)):
            for j in range(columns):
                result[i, j] = row[0, j]
        return result

    return numba_njit(kernel, fastmath=False), source_key(__name__, "rows")


def axes(order: tuple[int | str, ...], ndim: int) -> tuple[Any, str | None]:
    """Get the kernel of an array with other axes, and its key for the cache on the disk.

    Parameters
    ----------
    order : tuple of int and 'x'
        The axes to keep; where there is an ``'x'``, an axis of length 1 is added.
    ndim : int
        Number of axes of the array. Those that are not kept have to be of length 1.
    """
    kept = [axis for axis in order if axis != "x"]
    dropped = tuple(axis for axis in range(ndim) if axis not in kept)
    swapped = {"C": "F", "F": "C", "A": "A"}

    def layout(before: str) -> str:
        # An axis of length 1 can lie anywhere.
        if kept == sorted(kept):
            return "C" if before == "F" and len(order) < 2 else before
        return swapped[before] if kept == sorted(kept, reverse=True) else "A"

    @intrinsic
    def view(context: Any, x: Any) -> Any:
        result = x.copy(ndim=len(order), layout=layout(x.layout))

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            old = context.make_array(x)(context, builder, values[0])
            new = context.make_array(result)(context, builder)
            shape = cgutils.unpack_tuple(builder, old.shape)
            strides = cgutils.unpack_tuple(builder, old.strides)
            one = context.get_constant(types.intp, 1)
            populate_array(
                new,
                data=old.data,
                shape=[one if axis == "x" else shape[axis] for axis in order],
                strides=[old.itemsize if axis == "x" else strides[axis] for axis in order],
                itemsize=old.itemsize,
                meminfo=old.meminfo,
                parent=old.parent,
            )
            return impl_ret_borrowed(context, builder, result, new._getvalue())

        return result(x), generate

    def kernel(x: Array) -> Any:
        for axis in dropped:
            if x.shape[axis] != 1:
                raise ValueError("an axis of a length other than 1 is left out")
        return view(x)

    def of_all(x: Any) -> Any:
        return view(x)

    def of_scalar(x: Any) -> Any:
        return view(np.asarray(x))  # Numba hands arrays without axes on as numbers at times

    made = numba_njit(kernel if dropped else of_all if ndim else of_scalar, fastmath=False)
    names = ",".join(map(str, order))
    return made, source_key(__name__, f"axes-{ndim}-{names}")


def positions(dtype: str) -> tuple[Any, str | None]:
    """Get the kernel of positions along the last axis, and its key for the cache on the disk."""
    kind = np.dtype(dtype)

    @numba_njit(fastmath=False)
    def positions_kernel(x: Array) -> Any:
        found = np.empty(x.shape[-1], kind)
        for i in range(len(found)):
            found[i] = i
        return found.reshape(_row_shape(x))

    return positions_kernel, source_key(__name__, f"positions-{dtype}")


def _row_shape(x: Array) -> Any:
    """Get (1, ..., n) for an array (..., n)."""
    raise NotImplementedError


@overload(_row_shape, inline="always")
def _compiled_row_shape(x: Any) -> Any:
    leading = (1,) * (x.ndim - 1)

    def row_shape(x: Any) -> Any:
        return (*leading, x.shape[-1])

    return row_shape
