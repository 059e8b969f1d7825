"""The Ops of `operation` for Numba: blocks of queries, one head of one example after the other.

The scores of a block with all keys that it reaches are one product of matrices, and so is
the weighted sum. They are the largest arrays that are made: as large as `ROWS` times the keys.
Products are BLAS's, on the arrays as they lie, so that nothing is copied.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import cgutils
from numba.extending import intrinsic

from ...memory import keep_freed_memory
from ..base import Array, source_key
from ..kernels.arrays_by_numba import (
    WORD,
    array_of,
    by_rows,
    empty,
    lengths_of,
    strides_of,
    zeros,
)
from . import numba_loops
from .numba_loops import (
    add_bias,
    add_changes,
    add_products,
    at,
    changes,
    clear,
    drop,
    largest,
    multiply,
    njit,
    powers,
    products,
    scale,
    weighted,
)

#: Queries in a block.
ROWS = 64


@intrinsic
def _laid(typing: Any, x: Any) -> Any:
    """Get an array with rows (last axis) in one piece, and steps one behind the other.

    It is of a type of which the compiler knows no layout, whatever the array's.
    """
    result = x.copy(layout="A", readonly=False)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (value,) = arguments
        context.nrt.incref(builder, x, value)
        if x.layout == "C":
            return value
        array = array_of(context, builder, x, value)
        (_, steps, _, size), strides = lengths_of(builder, array), strides_of(builder, array)
        few = [builder.icmp_signed("<=", n, WORD(1)) for n in (size, steps)]
        close = builder.icmp_signed("==", strides[3], array.itemsize)
        apart = builder.icmp_signed(">=", strides[1], builder.mul(size, array.itemsize))
        plain = builder.and_(builder.or_(few[0], close), builder.or_(few[1], apart))
        found = cgutils.alloca_once_value(builder, value)
        with builder.if_then(builder.not_(plain), likely=False):
            made, _, _ = by_rows(context, builder, x, array)
            builder.store(made._getvalue(), found)
            context.nrt.decref(builder, x, value)
        return builder.load(found)

    return result(x), generate


@njit
def _check(
    q: Array, k: Array, v: Array, ranges: Array, reach: Array, bias: Array, places: Array
) -> None:
    batch, queries, heads, size = q.shape
    keys, groups = k.shape[1], k.shape[2]
    fits = k.shape[0] == batch == v.shape[0] and k.shape[3] == size
    if not fits or v.shape[1] != keys or v.shape[2] != groups:
        raise ValueError("attention: shapes of queries, keys and values do not fit")
    if groups < 1 or heads % groups:
        raise ValueError("attention: heads of keys do not divide those of queries")
    if ranges.shape[0] != batch or ranges.shape[1] != 2 or reach.shape[0] != 2:
        raise ValueError("attention: ranges or reach have another shape")
    if places.shape[0] != 1 and places.shape[0] != batch:
        raise ValueError("attention: places have another shape")
    for b in range(batch):
        if not (0 <= ranges[b, 0] <= queries and 0 <= ranges[b, 1] <= keys):
            raise ValueError("attention: ranges are not those of queries and keys")
    if bias.size and bias.shape[0] != heads:
        raise ValueError("attention: biases are not of as many heads")


@njit
def _steps(x: Array) -> Any:
    """Get how many entries are from example to example, from step to step, from head to head."""
    size = x.itemsize
    # BLAS wants rows to be apart by their length also where there is but one.
    along = x.strides[1] // size if x.shape[1] > 1 else x.shape[3]
    return x.strides[0] // size, along, x.strides[2] // size


@njit
def _middle(bias: Array, reach: Array) -> int:
    """Get the column of the bias of distance 0, as `arrays`."""
    return (bias.shape[1] - 1) // (2 if reach[1] > 0 else 1)


@njit
def _block(start: int, n: int, offset: int, after: int, reach: Array) -> Any:
    """Get the end of a block of queries, and the keys that it reaches."""
    stop = min(start + ROWS, n)
    lo = max(0, start + offset - reach[0])
    return stop, lo, min(after, stop + offset + reach[1])


@njit
def _row(place: int, lo: int, hi: int, reach: Array) -> Any:
    """Get which keys of a block a query attends to."""
    low = min(max(lo, place - reach[0]), hi) - lo
    return low, max(min(hi, place + reach[1] + 1) - lo, low)


@njit
def attend(
    q: Array,
    k: Array,
    v: Array,
    ranges: Array,
    reach: Array,
    bias: Array,
    noise: Array,
    places: Array,
) -> Any:
    """Compute what `operation.Attend` gives."""
    _check(q, k, v, ranges, reach, bias, places)
    q, k, v = _laid(q), _laid(k), _laid(v)
    batch, queries, heads, size = q.shape
    keys, each, wide = k.shape[1], heads // k.shape[2], v.shape[3]
    out = zeros(q, (batch, queries, heads, wide))
    logs = zeros(q, (batch, heads, queries))
    if out.size == 0 or keys == 0:
        return out, logs
    q0, q1, q2 = _steps(q)
    k0, k1, k2 = _steps(k)
    v0, v1, v2 = _steps(v)
    o1 = heads * wide
    factor = q.dtype.type(1 / np.sqrt(size))
    unscaled = q.dtype.type(np.sqrt(size))
    grow = q.dtype.type(1 / (1 - noise[2] / 2.0**32))
    s, lanes = empty(q, (min(ROWS, queries) * keys,)), empty(q, (16,))
    for b in range(batch):
        n, after = ranges[b, 0], ranges[b, 1]
        offset = places[b if places.shape[0] > 1 else 0]
        for h in range(heads):
            k_at, v_at = b * k0 + h // each * k2, b * v0 + h // each * v2
            for start in range(0, n, ROWS):
                stop, lo, hi = _block(start, n, offset, after, reach)
                rows, width = stop - start, hi - lo
                if width <= 0:
                    continue
                a, c = at(q, b * q0 + start * q1 + h * q2), at(k, k_at + lo * k1)
                products(q, rows, width, size, a, q1, c, k1, at(s, 0), width)
                for i in range(rows):
                    place, begin = start + i + offset, i * width
                    low, high = _row(place, lo, hi, reach)
                    if bias.size:
                        column = lo - place + _middle(bias, reach)
                        add_bias(s, begin, width, bias, h, column, unscaled)
                    if high > low:
                        top = largest(s, begin + low, begin + high, factor, lanes)
                        total = powers(s, begin + low, begin + high, factor, top)
                        scale(s, begin + low, begin + high, q.dtype.type(1) / total)
                        logs[b, h, start + i] = top + np.log(total)
                    clear(s, begin, begin + low)
                    clear(s, begin + high, begin + width)
                    if noise[2] > 0:
                        row = (b * heads + h) * queries + start + i
                        drop(s, begin, width, row, lo, noise, grow)
                a, c = at(v, v_at + lo * v1), at(out, ((b * queries + start) * heads + h) * wide)
                weighted(q, rows, wide, width, at(s, 0), width, a, v1, c, o1)
    return out, logs


@njit
def attend_gradient(
    q: Array,
    k: Array,
    v: Array,
    ranges: Array,
    reach: Array,
    bias: Array,
    noise: Array,
    places: Array,
    logs: Array,
    out: Array,
    arriving: Array,
) -> Any:
    """Compute what `operation.AttendGradient` gives."""
    _check(q, k, v, ranges, reach, bias, places)
    q, k, v, arriving = _laid(q), _laid(k), _laid(v), _laid(arriving)
    batch, queries, heads, size = q.shape
    keys, groups, wide = k.shape[1], k.shape[2], v.shape[3]
    if arriving.shape != (batch, queries, heads, wide) or out.shape != arriving.shape:
        raise ValueError("attention: a gradient of another shape than the sums")
    if logs.shape != (batch, heads, queries):
        raise ValueError("attention: logs of another shape than the scores")
    d_q, d_k, d_v = zeros(q, q.shape), zeros(q, k.shape), zeros(q, v.shape)
    d_bias = zeros(q, bias.shape)
    if out.size == 0 or keys == 0:
        return d_q, d_k, d_v, d_bias
    q0, q1, q2 = _steps(q)
    k0, k1, k2 = _steps(k)
    v0, v1, v2 = _steps(v)
    g0, g1, g2 = _steps(arriving)
    dq1, dk1, dv1 = heads * size, groups * size, groups * wide
    each = heads // groups
    factor = q.dtype.type(1 / np.sqrt(size))
    unscaled = q.dtype.type(np.sqrt(size))
    grow = q.dtype.type(1 / (1 - noise[2] / 2.0**32))
    most = min(ROWS, queries) * keys
    s, d = empty(q, (most,)), empty(q, (most,))
    keep = empty(q, (most if noise[2] > 0 else 0,))
    for b in range(batch):
        n, after = ranges[b, 0], ranges[b, 1]
        offset = places[b if places.shape[0] > 1 else 0]
        for h in range(heads):
            g = h // each
            k_at, v_at = b * k0 + g * k2, b * v0 + g * v2
            for start in range(0, n, ROWS):
                stop, lo, hi = _block(start, n, offset, after, reach)
                rows, width = stop - start, hi - lo
                if width <= 0:
                    continue
                q_at = at(q, b * q0 + start * q1 + h * q2)
                g_at = at(arriving, b * g0 + start * g1 + h * g2)
                s_at, d_at = at(s, 0), at(d, 0)
                c = at(k, k_at + lo * k1)
                products(q, rows, width, size, q_at, q1, c, k1, s_at, width)
                e = at(v, v_at + lo * v1)
                products(q, rows, width, wide, g_at, g1, e, v1, d_at, width)
                for i in range(rows):
                    place, begin = start + i + offset, i * width
                    low, high = _row(place, lo, hi, reach)
                    column = lo - place + _middle(bias, reach)
                    if bias.size:
                        add_bias(s, begin, width, bias, h, column, unscaled)
                    if noise[2] > 0:
                        for j in range(begin, begin + width):
                            keep[j] = 1
                        row = (b * heads + h) * queries + start + i
                        drop(keep, begin, width, row, lo, noise, grow)
                    mean = q.dtype.type(0)
                    for e_ in range(wide):
                        mean += arriving[b, start + i, h, e_] * out[b, start + i, h, e_]
                    if noise[2] > 0:
                        multiply(d, keep, begin + low, begin + high)
                    log = logs[b, h, start + i]
                    changes(s, d, begin + low, begin + high, factor, log, mean)
                    if noise[2] > 0:
                        multiply(s, keep, begin + low, begin + high)
                    for x in (s, d):
                        clear(x, begin, begin + low)
                        clear(x, begin + high, begin + width)
                    if bias.size:
                        add_changes(d_bias, h, d, begin, low, high, column)
                scale(d, 0, rows * width, factor)
                target = at(d_v, ((b * keys + lo) * groups + g) * wide)
                add_products(q, width, wide, rows, s_at, width, g_at, g1, target, dv1)
                target = at(d_k, ((b * keys + lo) * groups + g) * size)
                add_products(q, width, size, rows, d_at, width, q_at, q1, target, dk1)
                target = at(d_q, ((b * queries + start) * heads + h) * size)
                weighted(q, rows, size, width, d_at, width, c, k1, target, dq1)
    return d_q, d_k, d_v, d_bias


@njit
def _keep(array: Array, rows: Array, lengths: Array, places: Array) -> None:
    batch, room, units = array.shape
    if rows.shape[0] != batch or rows.shape[2] != units:
        raise ValueError("attention: rows do not fit the array of those that are kept")
    if lengths.shape[0] != batch or places.shape[0] != batch:
        raise ValueError("attention: lengths or places have another shape")
    for b in range(batch):
        n, place = lengths[b], places[b]
        if n < 0 or n > rows.shape[1] or place < 0 or place + n > room:
            raise ValueError("attention: there is no room for further steps")
        for t in range(n):
            for i in range(units):
                array[b, place + t, i] = rows[b, t, i]


@njit
def keep(array: Array, rows: Array, lengths: Array, places: Array) -> Any:
    """Do what `keeping.Keep` does."""
    _keep(array, rows, lengths, places)
    return array


def kernel(function: Any) -> tuple[Any, str | None]:
    """Get one of these, and its key for the cache on the disk, by the source of all modules."""
    # A step has many arrays of some megabytes: it would ask the system for them again each time.
    keep_freed_memory()
    name = function.py_func.__name__
    return function, source_key(__name__, name, numba_loops.__name__, array_of.__module__)
