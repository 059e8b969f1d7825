"""The Ops of `operation` for Numba: blocks of queries, one head of one example after the other.

The scores of a block with all keys that it reaches are one product of matrices, and so is
the weighted sum. They are the largest arrays that are made: as large as `ROWS` times the keys.
Products are BLAS's, on the arrays as they lie, so that nothing is copied. Blocks are where
they begin and how long their rows are: views of arrays would take Numba ten times as long to
compile.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types
from numba.core.imputils import impl_ret_borrowed
from numba.core.types import ExternalFunction
from numba.extending import intrinsic, overload
from pytensor.link.numba.dispatch.basic import numba_njit

from ..base import Array
from ..recurrent.exponentials import FUNCTIONS, _exp32, _plus, loop

#: Indices without a sign need no test of it, which would keep loops from being vectorized.
U = np.uint64
#: Queries in a block.
ROWS = 64

_XXGEMM = ExternalFunction(
    # As in `theanets.ops.kernels.by_numba`.
    "numba_xxgemm",
    types.intc(
        *[types.char] * 3,
        *[types.intp] * 3,
        *[types.voidptr, types.voidptr, types.intp, types.voidptr, types.intp],
        *[types.voidptr, types.voidptr, types.intp],
    ),
)
_NO, _YES = ord("n"), ord("t")


def _njit(function: Any) -> Any:
    return numba_njit(function, fastmath=False, error_model="numpy")


@intrinsic
def _anyhow(context: Any, x: Any) -> Any:
    """Get an array as one of which the compiler knows no layout: all share a function then."""
    result = x.copy(layout="A", readonly=False)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return impl_ret_borrowed(context, builder, result, arguments[0])

    return result(x), generate


@intrinsic
def _at(context: Any, x: Any, place: Any) -> Any:
    """Get where an entry of an array is in memory, by how many entries come before it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(x)(context, builder, arguments[0]).data
        found = builder.gep(data, [arguments[1]])
        return builder.bitcast(found, context.get_value_type(types.voidptr))

    return types.voidptr(x, types.intp), generate


def _kind(x: Array) -> int:
    """Get what BLAS calls the type of an array."""
    raise NotImplementedError


@overload(_kind, inline="always")
def _compiled_kind(x: Any) -> Any:
    kind = ord("s") if x.dtype == types.float32 else ord("d")

    def of(x: Any) -> Any:
        return kind

    return of


@_njit
def _times(
    kind: int,
    shape: Any,
    a: Any,
    lda: int,
    transpose_a: bool,
    b: Any,
    ldb: int,
    transpose_b: bool,
    adding: bool,
    out: Any,
    ldc: int,
    numbers: Array,
) -> None:
    """Multiply matrices into a third, or add to it.

    The shape is that of the product, and how many products each entry is a sum of. What
    follows a matrix is from row to row. The numbers are 1 and 0.
    """
    m, n, k = shape
    # BLAS counts by columns: to it, each matrix is transposed, and so is the product.
    first, second = _YES if transpose_b else _NO, _YES if transpose_a else _NO
    one, start = _at(numbers, 0), _at(numbers, 0 if adding else 1)
    failed = _XXGEMM(kind, first, second, n, m, k, one, b, ldb, a, lda, start, out, ldc)
    if failed:
        raise RuntimeError("BLAS could not multiply")


def _exp(x: Any) -> Any:
    """Exponential function of x <= 0, as fast as the type allows."""
    raise NotImplementedError


@overload(_exp, inline="always")
def _compiled_exp(x: Any) -> Any:
    function = _exp32 if x == types.float32 else FUNCTIONS["float64"].exp

    def exp(x: Any) -> Any:
        return function(x)

    return exp


@_njit
def _check(q: Array, k: Array, v: Array, ranges: Array, reach: Array, bias: Array) -> None:
    batch, queries, heads, size = q.shape
    keys, groups = k.shape[1], k.shape[2]
    fits = k.shape[0] == batch == v.shape[0] and k.shape[3] == size
    if not fits or v.shape[1] != keys or v.shape[2] != groups:
        raise ValueError("attention: shapes of queries, keys and values do not fit")
    if groups < 1 or heads % groups:
        raise ValueError("attention: heads of keys do not divide those of queries")
    if ranges.shape[0] != batch or ranges.shape[1] != 3 or reach.shape[0] != 2:
        raise ValueError("attention: ranges or reach have another shape")
    for b in range(batch):
        fits = 0 <= ranges[b, 0] <= queries and 0 <= ranges[b, 1] <= keys
        if not fits or ranges[b, 2] < 0 or ranges[b, 2] > keys:
            raise ValueError("attention: ranges are not those of queries and keys")
    if bias.size and bias.shape[0] != heads:
        raise ValueError("attention: biases are not of as many heads")


@_njit
def _by_rows(x: Array) -> Array:
    """Get an array with rows (last axis) in one piece, and steps one behind the other."""
    size = x.itemsize
    plain = x.shape[3] <= 1 or x.strides[3] == size
    plain = plain and (x.shape[1] <= 1 or x.strides[1] >= size * x.shape[3])
    return x if plain else _anyhow(x.copy())


@_njit
def _steps(x: Array) -> Any:
    """Get how many entries are from example to example, from step to step, from head to head."""
    size = x.itemsize
    # BLAS wants rows to be apart by their length also where there is but one.
    along = x.strides[1] // size if x.shape[1] > 1 else x.shape[3]
    return x.strides[0] // size, along, x.strides[2] // size


@_njit
def _hashed(x: Any) -> Any:
    """Mix the bits of an integer, as `arrays.mixed`."""
    x = np.uint32(x ^ (x >> np.uint32(16)))
    x = np.uint32(x * np.uint32(0x85EBCA6B))
    x = np.uint32(x ^ (x >> np.uint32(13)))
    x = np.uint32(x * np.uint32(0xC2B2AE35))
    return np.uint32(x ^ (x >> np.uint32(16)))


@loop
def _drop(weights: Any, begin: Any, width: Any, row: Any, lo: Any, noise: Any, scale: Any) -> None:
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
def _largest(s: Any, begin: Any, end: Any, factor: Any, lanes: Any) -> Any:
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
def _powers(s: Any, begin: Any, end: Any, factor: Any, top: Any) -> Any:
    """Get the sum of exponentials, which take the place of scores."""
    total = s.dtype.type(0)
    for j in range(U(begin), U(end)):
        x = _exp(s[j] * factor - top)
        s[j] = x
        total = _plus(total, x)
    return total


@loop
def _scale(x: Any, begin: Any, end: Any, factor: Any) -> None:
    for j in range(U(begin), U(end)):
        x[j] *= factor


@loop
def _multiply(x: Any, y: Any, begin: Any, end: Any) -> None:
    for j in range(U(begin), U(end)):
        x[j] *= y[j]


@loop
def _changes(s: Any, d: Any, begin: Any, end: Any, factor: Any, log: Any, mean: Any) -> None:
    """Make of scores and of changes of weights: weights, and changes of scores."""
    for j in range(U(begin), U(end)):
        x = _exp(s[j] * factor - log)
        d[j] = x * (d[j] - mean)
        s[j] = x


@loop
def _clear(x: Any, begin: Any, end: Any) -> None:
    for j in range(U(begin), U(end)):
        x[j] = x.dtype.type(0)


@_njit
def _add_bias(
    s: Any, begin: int, width: int, bias: Any, head: int, column: int, unscaled: Any
) -> None:
    """Add biases to a row of products, whose first key has a column."""
    last = bias.shape[1] - 1
    for j in range(width):
        s[U(begin + j)] += bias[head, min(max(column + j, 0), last)] * unscaled


@_njit
def _add_changes(
    total: Any, head: int, d: Any, begin: int, low: int, high: int, column: int
) -> None:
    """Add a row of changes of scores to those of biases."""
    last = total.shape[1] - 1
    for j in range(low, high):
        total[head, min(max(column + j, 0), last)] += d[begin + j]


@_njit
def _middle(bias: Array, reach: Array) -> int:
    """Get the column of the bias of distance 0, as `arrays`."""
    return (bias.shape[1] - 1) // (2 if reach[1] > 0 else 1)


@_njit
def _block(start: int, n: int, offset: int, first: int, after: int, reach: Array) -> Any:
    """Get the end of a block of queries, and the keys that it reaches."""
    stop = min(start + ROWS, n)
    lo = max(first, start + offset - reach[0])
    return stop, lo, min(after, stop + offset + reach[1])


@_njit
def _row(place: int, lo: int, hi: int, reach: Array) -> Any:
    """Get which keys of a block a query attends to."""
    low = min(max(lo, place - reach[0]), hi) - lo
    return low, max(min(hi, place + reach[1] + 1) - lo, low)


@_njit
def _forward(
    q: Array, k: Array, v: Array, ranges: Array, reach: Array, bias: Array, noise: Array
) -> Any:
    _check(q, k, v, ranges, reach, bias)
    q, k, v = _by_rows(q), _by_rows(k), _by_rows(v)
    batch, queries, heads, size = q.shape
    keys, each, wide = k.shape[1], heads // k.shape[2], v.shape[3]
    out = np.zeros((batch, queries, heads, wide), q.dtype)
    logs = np.zeros((batch, heads, queries), q.dtype)
    if out.size == 0 or keys == 0:
        return out, logs
    q0, q1, q2 = _steps(q)
    k0, k1, k2 = _steps(k)
    v0, v1, v2 = _steps(v)
    o1 = heads * wide
    offset, kind = keys - queries, _kind(q)
    factor = q.dtype.type(1 / np.sqrt(size))
    unscaled = q.dtype.type(np.sqrt(size))
    scale = q.dtype.type(1 / (1 - noise[2] / 2.0**32))
    s, lanes = np.empty(min(ROWS, queries) * keys, q.dtype), np.empty(16, q.dtype)
    numbers = np.ones(2, q.dtype)
    numbers[1] = 0
    for b in range(batch):
        n, first, after = ranges[b, 0], ranges[b, 1], ranges[b, 2]
        for h in range(heads):
            k_at, v_at = b * k0 + h // each * k2, b * v0 + h // each * v2
            for start in range(0, n, ROWS):
                stop, lo, hi = _block(start, n, offset, first, after, reach)
                rows, width = stop - start, hi - lo
                if width <= 0:
                    continue
                a, c = _at(q, b * q0 + start * q1 + h * q2), _at(k, k_at + lo * k1)
                shape = (rows, width, size)
                _times(kind, shape, a, q1, False, c, k1, True, False, _at(s, 0), width, numbers)
                for i in range(rows):
                    place, begin = start + i + offset, i * width
                    low, high = _row(place, lo, hi, reach)
                    if bias.size:
                        column = lo - place + _middle(bias, reach)
                        _add_bias(s, begin, width, bias, h, column, unscaled)
                    if high > low:
                        top = _largest(s, begin + low, begin + high, factor, lanes)
                        total = _powers(s, begin + low, begin + high, factor, top)
                        _scale(s, begin + low, begin + high, q.dtype.type(1) / total)
                        logs[b, h, start + i] = top + np.log(total)
                    _clear(s, begin, begin + low)
                    _clear(s, begin + high, begin + width)
                    if noise[2] > 0:
                        row = (b * heads + h) * queries + start + i
                        _drop(s, begin, width, row, lo, noise, scale)
                a, c = _at(v, v_at + lo * v1), _at(out, ((b * queries + start) * heads + h) * wide)
                shape = (rows, wide, width)
                _times(kind, shape, _at(s, 0), width, False, a, v1, False, False, c, o1, numbers)
    return out, logs


@_njit
def _backward(
    q: Array,
    k: Array,
    v: Array,
    ranges: Array,
    reach: Array,
    bias: Array,
    noise: Array,
    logs: Array,
    out: Array,
    arriving: Array,
) -> Any:
    _check(q, k, v, ranges, reach, bias)
    q, k, v, arriving = _by_rows(q), _by_rows(k), _by_rows(v), _by_rows(arriving)
    batch, queries, heads, size = q.shape
    keys, groups, wide = k.shape[1], k.shape[2], v.shape[3]
    if arriving.shape != (batch, queries, heads, wide) or out.shape != arriving.shape:
        raise ValueError("attention: a gradient of another shape than the sums")
    if logs.shape != (batch, heads, queries):
        raise ValueError("attention: logs of another shape than the scores")
    d_q, d_k = np.zeros(q.shape, q.dtype), np.zeros(k.shape, q.dtype)
    d_v, d_bias = np.zeros(v.shape, q.dtype), np.zeros(bias.shape, q.dtype)
    if out.size == 0 or keys == 0:
        return d_q, d_k, d_v, d_bias
    q0, q1, q2 = _steps(q)
    k0, k1, k2 = _steps(k)
    v0, v1, v2 = _steps(v)
    g0, g1, g2 = _steps(arriving)
    dq1, dk1, dv1 = heads * size, groups * size, groups * wide
    each, offset, kind = heads // groups, keys - queries, _kind(q)
    factor = q.dtype.type(1 / np.sqrt(size))
    unscaled = q.dtype.type(np.sqrt(size))
    scale = q.dtype.type(1 / (1 - noise[2] / 2.0**32))
    most = min(ROWS, queries) * keys
    s, d = np.empty(most, q.dtype), np.empty(most, q.dtype)
    keep = np.empty(most if noise[2] > 0 else 0, q.dtype)
    numbers = np.ones(2, q.dtype)
    numbers[1] = 0
    for b in range(batch):
        n, first, after = ranges[b, 0], ranges[b, 1], ranges[b, 2]
        for h in range(heads):
            g = h // each
            k_at, v_at = b * k0 + g * k2, b * v0 + g * v2
            for start in range(0, n, ROWS):
                stop, lo, hi = _block(start, n, offset, first, after, reach)
                rows, width = stop - start, hi - lo
                if width <= 0:
                    continue
                q_at = _at(q, b * q0 + start * q1 + h * q2)
                g_at = _at(arriving, b * g0 + start * g1 + h * g2)
                s_at, d_at = _at(s, 0), _at(d, 0)
                c = _at(k, k_at + lo * k1)
                shape = (rows, width, size)
                _times(kind, shape, q_at, q1, False, c, k1, True, False, s_at, width, numbers)
                e = _at(v, v_at + lo * v1)
                shape = (rows, width, wide)
                _times(kind, shape, g_at, g1, False, e, v1, True, False, d_at, width, numbers)
                for i in range(rows):
                    place, begin = start + i + offset, i * width
                    low, high = _row(place, lo, hi, reach)
                    column = lo - place + _middle(bias, reach)
                    if bias.size:
                        _add_bias(s, begin, width, bias, h, column, unscaled)
                    if noise[2] > 0:
                        for j in range(begin, begin + width):
                            keep[j] = 1
                        row = (b * heads + h) * queries + start + i
                        _drop(keep, begin, width, row, lo, noise, scale)
                    mean = q.dtype.type(0)
                    for e_ in range(wide):
                        mean += arriving[b, start + i, h, e_] * out[b, start + i, h, e_]
                    if noise[2] > 0:
                        _multiply(d, keep, begin + low, begin + high)
                    log = logs[b, h, start + i]
                    _changes(s, d, begin + low, begin + high, factor, log, mean)
                    if noise[2] > 0:
                        _multiply(s, keep, begin + low, begin + high)
                    for x in (s, d):
                        _clear(x, begin, begin + low)
                        _clear(x, begin + high, begin + width)
                    if bias.size:
                        _add_changes(d_bias, h, d, begin, low, high, column)
                _scale(d, 0, rows * width, factor)
                target = _at(d_v, ((b * keys + lo) * groups + g) * wide)
                shape = (width, wide, rows)
                _times(kind, shape, s_at, width, True, g_at, g1, False, True, target, dv1, numbers)
                target = _at(d_k, ((b * keys + lo) * groups + g) * size)
                shape = (width, size, rows)
                _times(kind, shape, d_at, width, True, q_at, q1, False, True, target, dk1, numbers)
                target = _at(d_q, ((b * queries + start) * heads + h) * size)
                shape = (rows, size, width)
                _times(kind, shape, d_at, width, False, c, k1, False, False, target, dq1, numbers)
    return d_q, d_k, d_v, d_bias


@_njit
def attend(
    q: Array, k: Array, v: Array, ranges: Array, reach: Array, bias: Array, noise: Array
) -> Any:
    """Compute what `operation.Attend` gives."""
    return _forward(
        _anyhow(q),
        _anyhow(k),
        _anyhow(v),
        _anyhow(ranges),
        _anyhow(reach),
        _anyhow(bias),
        _anyhow(noise),
    )


@_njit
def attend_gradient(
    q: Array,
    k: Array,
    v: Array,
    ranges: Array,
    reach: Array,
    bias: Array,
    noise: Array,
    logs: Array,
    out: Array,
    arriving: Array,
) -> Any:
    """Compute what `operation.AttendGradient` gives."""
    return _backward(
        _anyhow(q),
        _anyhow(k),
        _anyhow(v),
        _anyhow(ranges),
        _anyhow(reach),
        _anyhow(bias),
        _anyhow(noise),
        _anyhow(logs),
        _anyhow(out),
        _anyhow(arriving),
    )
