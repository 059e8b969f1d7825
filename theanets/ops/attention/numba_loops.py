"""What attention for Numba is made of: products of BLAS's, and loops over rows of scores.

Matrices and rows are where they begin and how long their rows are: views of arrays would take
Numba ten times as long to compile.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, overload
from pytensor.link.numba.dispatch.basic import numba_njit

from ..recurrent.exponentials import FUNCTIONS, _exp32, _plus, loop

#: Indices without a sign need no test of it, which would keep loops from being vectorized.
U = np.uint64

_NO, _YES = ord("n"), ord("t")


def njit(function: Any) -> Any:
    """Compile a function, of arrays or numbers."""
    return numba_njit(function, fastmath=False, error_model="numpy")


@intrinsic
def at(context: Any, x: Any, place: Any) -> Any:
    """Get where an entry of an array is in memory, by how many entries come before it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(x)(context, builder, arguments[0]).data
        found = builder.gep(data, [arguments[1]])
        return builder.bitcast(found, context.get_value_type(types.voidptr))

    return types.voidptr(x, types.intp), generate


def _product(transpose_a: bool, transpose_b: bool, adding: bool) -> Any:
    """Get what multiplies matrices into a third, or adds to it.

    Its arguments are an array of the type of the entries; the number of rows and of columns of
    the product, and how many products each entry is a sum of; and for each factor and the result,
    where it begins, and how far it is from row to row.
    """

    @intrinsic
    def times(
        context: Any,
        x: Any,
        m: Any,
        n: Any,
        k: Any,
        a: Any,
        lda: Any,
        b: Any,
        ldb: Any,
        out: Any,
        ldc: Any,
    ) -> Any:
        kind = x.dtype

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            _, m, n, k, a, lda, b, ldb, out, ldc = arguments
            entry = context.get_value_type(kind)
            pointer = context.get_value_type(types.voidptr)

            def number(value: float) -> Any:
                return builder.bitcast(cgutils.alloca_once_value(builder, entry(value)), pointer)

            def call(name: str, *given: Any) -> None:
                made = ir.FunctionType(ir.IntType(32), [value.type for value in given])
                function = cgutils.get_or_insert_function(builder.module, made, name)
                failed = cgutils.is_not_null(builder, builder.call(function, given))
                with builder.if_then(failed, likely=False):
                    context.call_conv.return_user_exc(
                        builder, RuntimeError, ("BLAS could not multiply",)
                    )

            one, start = number(1), number(1 if adding else 0)
            letter = ir.IntType(8)
            letters = letter(ord("s" if kind == types.float32 else "d"))
            # BLAS counts by columns: to it, each matrix is transposed, and so is the product.
            first, second = (letter(_YES if x else _NO) for x in (transpose_b, transpose_a))
            product = (letters, first, second, n, m, k, one, b, ldb, a, lda, start, out, ldc)
            if transpose_a:
                call("numba_xxgemm", *product)
                return context.get_dummy_value()
            single = builder.icmp_signed("==", m, ir.IntType(64)(1))
            with builder.if_else(single) as (then, otherwise):
                with then:
                    # As of a series that goes on by a step: a matrix is not copied for it.
                    sizes = (k, n) if transpose_b else (n, k)
                    call("numba_xxgemv", letters, first, *sizes, one, b, ldb, a, start, out)
                with otherwise:
                    call("numba_xxgemm", *product)
            return context.get_dummy_value()

        size, where = types.intp, types.voidptr
        sizes = [size, size, size]
        return types.none(x, *sizes, where, size, where, size, where, size), generate

    return times


#: Of rows with rows; of rows with columns; and of columns with rows, added to what is there.
products = _product(False, True, False)
weighted = _product(False, False, False)
add_products = _product(True, False, True)


def _exp(x: Any) -> Any:
    """Exponential function of x <= 0, as fast as the type allows."""
    raise NotImplementedError


@overload(_exp, inline="always")
def _compiled_exp(x: Any) -> Any:
    function = _exp32 if x == types.float32 else FUNCTIONS["float64"].exp

    def exp(x: Any) -> Any:
        return function(x)

    return exp


@njit
def _hashed(x: Any) -> Any:
    """Mix the bits of an integer, as `arrays.mixed`."""
    x = np.uint32(x ^ (x >> np.uint32(16)))
    x = np.uint32(x * np.uint32(0x85EBCA6B))
    x = np.uint32(x ^ (x >> np.uint32(13)))
    x = np.uint32(x * np.uint32(0xC2B2AE35))
    return np.uint32(x ^ (x >> np.uint32(16)))


@loop
def drop(weights: Any, begin: Any, width: Any, row: Any, lo: Any, noise: Any, scale: Any) -> None:
    """Multiply weights of a query, of the keys from ``lo`` on, as `arrays.kept`."""
    none, seed, limit = weights.dtype.type(0), np.uint32(noise[1]), np.uint32(noise[2])
    row = _hashed(np.uint32(np.uint32(row) * np.uint32(0x9E3779B1) + np.uint32(noise[0])))
    for j in range(U(width)):
        column = np.uint32(np.uint32(U(lo) + j) * np.uint32(0x85EBCA77) + seed)
        kept = _hashed(np.uint32(row ^ column)) >= limit
        weights[U(begin) + j] = weights[U(begin) + j] * scale if kept else none


# Each loop is a function: two in one, of which the second needs what the first found, do not
# vectorize.


@loop
def largest(s: Any, begin: Any, end: Any, factor: Any, lanes: Any) -> Any:
    """Get the largest of scores times a factor; lanes are what it is looked for in at once."""
    many, begin, end = U(lanes.shape[0]), U(begin), U(end)
    for lane in range(many):
        lanes[lane] = s[begin] * factor
    stop = begin + (end - begin) // many * many
    for j in range(begin, stop, many):
        for lane in range(many):
            x = s[j + lane] * factor
            lanes[lane] = x if x > lanes[lane] else lanes[lane]
    top = lanes[0]
    for lane in range(many):
        top = lanes[lane] if lanes[lane] > top else top
    for j in range(stop, U(end)):
        x = s[j] * factor
        top = x if x > top else top
    return top


@loop
def powers(s: Any, begin: Any, end: Any, factor: Any, top: Any) -> Any:
    """Get the sum of exponentials, which take the place of scores."""
    total = s.dtype.type(0)
    for j in range(U(begin), U(end)):
        x = _exp(s[j] * factor - top)
        s[j] = x
        total = _plus(total, x)
    return total


@loop
def scale(x: Any, begin: Any, end: Any, factor: Any) -> None:
    """Multiply entries by a number."""
    for j in range(U(begin), U(end)):
        x[j] *= factor


@loop
def multiply(x: Any, y: Any, begin: Any, end: Any) -> None:
    """Multiply entries by those of another array."""
    for j in range(U(begin), U(end)):
        x[j] *= y[j]


@loop
def changes(s: Any, d: Any, begin: Any, end: Any, factor: Any, log: Any, mean: Any) -> None:
    """Make of scores and of changes of weights: weights, and changes of scores."""
    for j in range(U(begin), U(end)):
        x = _exp(s[j] * factor - log)
        d[j] = x * (d[j] - mean)
        s[j] = x


@loop
def clear(x: Any, begin: Any, end: Any) -> None:
    """Set entries to 0."""
    for j in range(U(begin), U(end)):
        x[j] = x.dtype.type(0)


@njit
def add_bias(
    s: Any, begin: int, width: int, bias: Any, head: int, column: int, unscaled: Any
) -> None:
    """Add biases to a row of products, whose first key has a column."""
    last = bias.shape[1] - 1
    for j in range(width):
        s[U(begin + j)] += bias[head, min(max(column + j, 0), last)] * unscaled


@njit
def add_changes(
    total: Any, head: int, d: Any, begin: int, low: int, high: int, column: int
) -> None:
    """Add a row of changes of scores to those of biases."""
    last = total.shape[1] - 1
    for j in range(low, high):
        total[head, min(max(column + j, 0), last)] += d[begin + j]
