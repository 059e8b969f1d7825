"""The Ops of `kernels` for Numba."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir
from numba import from_dtype
from numba.core import cgutils, types
from numba.np import arrayobj
from pytensor.link.numba.dispatch.basic import numba_njit

from ..base import Array, source_key
from .arrays_by_numba import (
    WORD,
    any_of,
    array_of,
    by_rows,
    clear,
    empty,
    flat,
    integer,
    item,
    lengths_of,
    product,
    refuse,
    returned,
    scalar,
    strides_of,
    view,
    whole,
    zeros,
)
from .arrays_by_numba import rows as by_row


def _key(name: str) -> str | None:
    return source_key(__name__, name, array_of.__module__)


def matmul(transpose_a: bool, transpose_b: bool) -> tuple[Any, str | None]:
    """Get the kernel of a product, and its key for the cache on the disk."""

    def compute(kinds: tuple[Any, ...]) -> Any:
        kind, other = kinds
        result = types.Array(kind.dtype, 2, "C")

        def write(context: Any, builder: Any, values: list[Any]) -> Any:
            first = _factor(context, builder, kind, values[0], transpose_a)
            second = _factor(context, builder, other, values[1], transpose_b)
            wrong = builder.icmp_signed("!=", first.columns, second.rows)
            refuse(context, builder, wrong, "matrices of sizes that do not fit are multiplied")
            shape = [first.rows, second.columns]
            made = arrayobj._empty_nd_impl(context, builder, result, shape)
            nothing = builder.icmp_signed("==", product(builder, [*shape, first.columns]), WORD(0))
            with builder.if_else(nothing, likely=False) as (then, otherwise):
                with then:
                    clear(builder, made)
                with otherwise:
                    _multiply(context, builder, kind.dtype, first, second, made)
            for factor in (first, second):
                if factor.copied is not None:
                    context.nrt.decref(builder, factor.kind, factor.copied)
            return returned(context, builder, result, made, True)

        return result, write

    key = _key(f"matmul-{transpose_a:d}{transpose_b:d}")
    return whole("matmul", 2, compute, fastmath=False), key


@dataclass
class _Factor:
    """A matrix in one piece.

    Attributes
    ----------
    rows, columns : object
        Its lengths.
    data : object
        Where it begins.
    transposed : bool
        Whether it lies column by column.
    kind, copied : object
        Numba's type, and the array if it was made for this.
    """

    rows: Any
    columns: Any
    data: Any
    transposed: bool
    kind: Any
    copied: Any


def _factor(context: Any, builder: Any, kind: Any, value: Any, transposed: bool) -> _Factor:
    array = array_of(context, builder, kind, value)
    lies_by_columns, copied = kind.layout == "F", None
    if not lies_by_columns:
        array, kind, made = by_rows(context, builder, kind, array)
        copied = array._getvalue() if made else None
    rows, columns = lengths_of(builder, array)
    if transposed:
        rows, columns = columns, rows
    return _Factor(rows, columns, array.data, transposed != lies_by_columns, kind, copied)


def _multiply(
    context: Any, builder: Any, dtype: Any, first: _Factor, second: _Factor, result: Any
) -> None:
    """Write the call of BLAS, which counts by columns: to it, each matrix is transposed."""
    byte, number = ir.IntType(8), ir.IntType(32)
    pointer = byte.as_pointer()
    entry = context.get_value_type(dtype)
    one = cgutils.alloca_once_value(builder, entry(1.0))
    zero = cgutils.alloca_once_value(builder, entry(0.0))
    characters = [byte(ord("s" if dtype == types.float32 else "d"))]
    characters += [byte(ord("t" if x.transposed else "n")) for x in (second, first)]
    sizes = [second.columns, first.rows, first.columns]
    # How far it is from row to row.
    steps = [x.rows if x.transposed else x.columns for x in (first, second)]
    arguments = [
        *characters,
        *sizes,
        *(builder.bitcast(one, pointer), builder.bitcast(second.data, pointer), steps[1]),
        *(builder.bitcast(first.data, pointer), steps[0], builder.bitcast(zero, pointer)),
        *(builder.bitcast(result.data, pointer), second.columns),
    ]
    kind = ir.FunctionType(number, [x.type for x in arguments])
    function = cgutils.get_or_insert_function(builder.module, kind, "numba_xxgemm")
    failed = cgutils.is_not_null(builder, builder.call(function, arguments))
    with builder.if_then(failed, likely=False):
        context.call_conv.return_user_exc(builder, RuntimeError, ("BLAS could not multiply",))


def row_argmax() -> tuple[Any, str | None]:
    """Get the kernel of the largest of each row, and its key for the cache on the disk."""

    @numba_njit(fastmath=False)
    def row_argmax_kernel(x: Array) -> Any:
        columns = x.shape[-1]
        if columns == 0:
            raise ValueError("the largest of no values is asked for")
        rows = by_row(x)
        shaped_result = zeros(types.int64, x.shape[:-1])
        result = flat(shaped_result)
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
        return shaped_result

    return row_argmax_kernel, _key("row_argmax")


def row_softmax(log: bool) -> tuple[Any, str | None]:
    """Get the kernel of the softmax of each row, and its key for the cache on the disk."""

    @numba_njit(fastmath=False)
    def row_softmax_kernel(x: Array) -> Any:
        columns = x.shape[-1]
        rows = by_row(x)
        shaped_result = empty(x, x.shape)
        result = by_row(shaped_result)
        for i in range(rows.shape[0] if columns else 0):
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
        return shaped_result

    return row_softmax_kernel, _key(f"row_softmax-{log:d}")


def sums(over: str) -> tuple[Any, str | None]:
    """Get the kernel of sums, and its key for the cache on the disk."""
    if over == "all":

        def kernel(x: Array) -> Any:
            total = np.float64(0)
            entries = flat(x)
            for i in range(entries.shape[0]):
                total += entries[i]
            return scalar(x.dtype.type(total))
    elif over == "last":

        def kernel(x: Array) -> Any:
            columns = x.shape[-1]
            result = zeros(x, x.shape[:-1])
            totals, rows = flat(result), by_row(x)
            for i in range(rows.shape[0]):
                total = np.float64(0)
                for j in range(columns):
                    total += rows[i, j]
                totals[i] = total
            return result
    else:

        def kernel(x: Array) -> Any:
            columns = x.shape[-1]
            rows, totals = by_row(x), zeros(types.float64, (columns,))
            for i in range(rows.shape[0]):
                for j in range(columns):
                    totals[j] += rows[i, j]
            result = empty(x, (columns,))
            for j in range(columns):
                result[j] = totals[j]
            return result

    return numba_njit(kernel, fastmath=False), _key(f"sums-{over}")


def fill(ndim: int) -> tuple[Any, str | None]:
    """Get the kernel of an array of one value, and its key for the cache on the disk."""

    def compute(kinds: tuple[Any, ...]) -> Any:
        kind = kinds[0]
        result = types.Array(kind.dtype, ndim, "C")

        def write(context: Any, builder: Any, values: list[Any]) -> Any:
            array = array_of(context, builder, kind, values[0])
            value = arrayobj.load_item(context, builder, kind, array.data)
            pairs = zip(kinds[1:], values[1:], strict=True)
            shape = [item(context, builder, *pair) for pair in pairs]
            negative = [builder.icmp_signed("<", n, WORD(0)) for n in shape]
            refuse(context, builder, any_of(builder, negative), "a length is negative")
            made = arrayobj._empty_nd_impl(context, builder, result, shape)
            with cgutils.for_range(builder, made.nitems) as loop:
                place = builder.gep(made.data, [loop.index])
                arrayobj.store_item(context, builder, result, value, place)
            return returned(context, builder, result, made, True)

        return result, write

    return whole("fill", 1 + ndim, compute, fastmath=False), _key(f"fill-{ndim}")


def rows() -> tuple[Any, str | None]:
    """Get the kernel of a row that is repeated, and its key for the cache on the disk."""

    def kernel(row: Array, count: Array) -> Any:
        columns, many = row.shape[1], integer(count)
        if many < 0:
            raise ValueError("a number of rows is negative")
        result = empty(row, (many, columns))
        for i in range(result.shape[0]):
            for j in range(columns):
                result[i, j] = row[0, j]
        return result

    return numba_njit(kernel, fastmath=False), _key("rows")


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

    def compute(kinds: tuple[Any, ...]) -> Any:
        (kind,) = kinds
        if isinstance(kind, types.Number):  # Numba hands arrays without axes on as these at times
            kind = types.Array(kind, 0, "C")
        result = kind.copy(ndim=len(order), layout=layout(kind.layout))

        def write(context: Any, builder: Any, values: list[Any]) -> Any:
            fresh = isinstance(kinds[0], types.Number)
            if fresh:
                old = arrayobj._empty_nd_impl(context, builder, kind, [])
                arrayobj.store_item(context, builder, kind, values[0], old.data)
            else:
                old = array_of(context, builder, kind, values[0])
            shape, strides = lengths_of(builder, old), strides_of(builder, old)
            one = WORD(1)
            wrong = [builder.icmp_signed("!=", shape[axis], one) for axis in dropped]
            if wrong:
                message = "an axis of a length other than 1 is left out"
                refuse(context, builder, any_of(builder, wrong), message)
            lengths = [shape[axis] if isinstance(axis, int) else one for axis in order]
            steps = [strides[axis] if isinstance(axis, int) else old.itemsize for axis in order]
            found = view(context, builder, result, old, lengths, steps)
            return returned(context, builder, result, found, fresh)

        return result, write

    names = ",".join(map(str, order))
    return whole("axes", 1, compute, fastmath=False), _key(f"axes-{ndim}-{names}")


def positions(dtype: str) -> tuple[Any, str | None]:
    """Get the kernel of positions along the last axis, and its key for the cache on the disk."""
    kind = from_dtype(np.dtype(dtype))

    def compute(kinds: tuple[Any, ...]) -> Any:
        result = types.Array(kind, kinds[0].ndim, "C")

        def write(context: Any, builder: Any, values: list[Any]) -> Any:
            array = array_of(context, builder, kinds[0], values[0])
            shape = lengths_of(builder, array)
            shape = [*(WORD(1) for _ in shape[1:]), shape[-1]]
            made = arrayobj._empty_nd_impl(context, builder, result, shape)
            with cgutils.for_range(builder, shape[-1]) as loop:
                place = context.cast(builder, loop.index, types.int64, kind)
                pointer = builder.gep(made.data, [loop.index])
                arrayobj.store_item(context, builder, result, place, pointer)
            return returned(context, builder, result, made, True)

        return result, write

    return whole("positions", 1, compute, fastmath=False), _key(f"positions-{dtype}")
