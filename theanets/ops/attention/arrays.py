"""Attention as a formula of arrays: for NumPy, JAX and PyTorch, and for PyTensor's expressions.

All scores are in memory at once. What the arguments are, `operation.Attend` says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: What scores of keys that are not attended to are set to before the largest is looked for.
LOWEST = -1e30
#: Integers of draws have as many bits.
BITS = 32
_MASK = 2**BITS - 1


@dataclass(frozen=True)
class Library:
    """What differs between libraries of arrays.

    Attributes
    ----------
    xp : module
        With ``arange``, ``exp``, ``log``, ``where`` and ``zeros_like``.
    axes : callable
        Puts the axes of an array in another order.
    largest : callable
        Gets the largest of each row, with the axis.
    number : callable
        Gets a number as one of an array's type.
    constant : callable
        Gets an array, as one that derivatives do not go through.
    shift : callable
        Moves integers of 32 bits, in more than these, to the right.
    integers : callable
        Gets the integers from 0 to another, where an array is.
    """

    xp: Any
    axes: Callable[[Any, tuple[int, ...]], Any]
    largest: Callable[[Any], Any]
    number: Callable[[Any, Any], Any]
    constant: Callable[[Any], Any] = lambda x: x
    shift: Callable[[Any, int], Any] = lambda x, by: x >> by
    integers: Callable[[Any, Any], Any] = lambda n, like: None


def mixed(x: Any, lib: Library) -> Any:
    """Mix the bits of integers below 2**32 (the finalizer of MurmurHash3)."""
    x = x ^ lib.shift(x, 16)
    x = (x * 0x85EBCA6B) & _MASK
    x = x ^ lib.shift(x, 13)
    x = (x * 0xC2B2AE35) & _MASK
    return x ^ lib.shift(x, 16)


def kept(shape: Any, noise: Any, like: Any, lib: Library, start: int = 0) -> Any:
    """Get what weights (batch, heads, queries, keys) are multiplied by in dropout: 0, or more.

    Parameters
    ----------
    shape : tuple of int
        Their shape.
    noise : array of int64 of shape (3,)
        Two seeds below 2**32, and how many of 2**32 are dropped.
    like : array
        One of the type and place of the result.
    lib : Library
    start : int
        The number of the first example.
    """
    batch, heads, queries, keys = shape
    rows = lib.integers(batch * heads * queries, like) + start * heads * queries
    rows = mixed((rows * 0x9E3779B1 + noise[0]) & _MASK, lib).reshape((batch, heads, queries, 1))
    columns = (lib.integers(keys, like) * 0x85EBCA77 + noise[1]) & _MASK
    drawn = mixed(rows ^ columns, lib)
    one = lib.number(1, like)
    share = lib.number(noise[2], like) / lib.number(2**BITS, like)
    return lib.xp.where(drawn >= noise[2], one / (one - share), lib.number(0, like))


def scores(
    q: Any,
    k: Any,
    ranges: Any,
    reach: Any,
    bias: Any,
    places: Any,
    lib: Library,
    biased: bool,
    placed: bool,
) -> tuple[Any, Any, Any]:
    """Get scores (batch, heads, queries, keys), which count, and the columns of the biases.

    The columns are those of each example only where ``placed`` says that places differ.
    """
    batch, queries, heads, size = q.shape
    keys, groups = k.shape[1], k.shape[2]
    each = heads // groups
    rows = lib.axes(q, (0, 2, 1, 3)).reshape((batch, groups, each * queries, size))
    found = rows @ lib.axes(k, (0, 2, 3, 1)) * (lib.number(size, q) ** lib.number(-0.5, q))
    found = found.reshape((batch, heads, queries, keys))
    place = lib.integers(queries, q)[None, :, None] + places[:, None, None]
    key = lib.integers(keys, q)
    distance = key[None, None, :] - place
    near = (distance >= -reach[0]) & (distance <= reach[1])
    there = key[None, :] < ranges[:, 1, None]
    asked = lib.integers(queries, q)[None, :] < ranges[:, 0, None]
    counts = (near & there[:, None, :] & asked[:, :, None])[:, None]
    columns = None
    if biased:
        columns = _column(distance, bias, reach).reshape((-1,))
        each = (heads, batch if placed else 1, queries, keys)
        found = found + lib.axes(bias[:, columns].reshape(each), (1, 0, 2, 3))
    return found, counts, columns


def _column(distance: Any, bias: Any, reach: Any) -> Any:
    """Get the column of the bias of each distance; the last ones are for all that is further."""
    count = bias.shape[1]
    # Where nothing behind a query is looked at, there are no columns for that.
    middle = (count - 1) // (1 + (reach[1] > 0))
    return (distance + middle).clip(0, count - 1)


def weights(
    q: Any,
    k: Any,
    ranges: Any,
    reach: Any,
    bias: Any,
    places: Any,
    lib: Library,
    biased: bool,
    placed: bool,
) -> tuple[Any, Any]:
    """Get the weights of the keys, (batch, heads, queries, keys), and the logs of their sums."""
    found, counts, _ = scores(q, k, ranges, reach, bias, places, lib, biased, placed)
    zero, one = lib.number(0, q), lib.number(1, q)
    found = lib.xp.where(counts, found, lib.number(LOWEST, q))
    top = lib.constant(lib.largest(found))
    powers = lib.xp.where(counts, lib.xp.exp(found - top), zero)
    total = powers.sum(axis=-1, keepdims=True)
    some = total > 0
    safe = lib.xp.where(some, total, one)
    return powers / safe, lib.xp.where(some, top + lib.xp.log(safe), zero)[..., 0]


def forward(
    q: Any,
    k: Any,
    v: Any,
    ranges: Any,
    reach: Any,
    bias: Any,
    noise: Any,
    places: Any,
    *,
    lib: Library,
    biased: bool,
    dropping: bool,
    placed: bool,
    start: int = 0,
) -> tuple[Any, Any]:
    """Compute what `operation.Attend` gives."""
    batch, queries, heads, _ = q.shape
    groups = k.shape[2]
    shares, logs = weights(q, k, ranges, reach, bias, places, lib, biased, placed)
    if dropping:
        shares = shares * kept(shares.shape, noise, q, lib, start)
    shares = shares.reshape((batch, groups, heads // groups * queries, k.shape[1]))
    out = (shares @ lib.axes(v, (0, 2, 1, 3))).reshape((batch, heads, queries, v.shape[3]))
    return lib.axes(out, (0, 2, 1, 3)), logs


def backward(
    q: Any,
    k: Any,
    v: Any,
    ranges: Any,
    reach: Any,
    bias: Any,
    noise: Any,
    places: Any,
    logs: Any,
    out: Any,
    arriving: Any,
    *,
    lib: Library,
    biased: bool,
    dropping: bool,
    placed: bool,
    add: Callable[[Any, Any, Any], Any],
    start: int = 0,
) -> tuple[Any, Any, Any, Any]:
    """Compute what `operation.AttendGradient` gives.

    ``add`` sums columns (heads, n) into those of a bias by their numbers (n).
    """
    batch, queries, heads, size = q.shape
    keys, groups = k.shape[1], k.shape[2]
    zero = lib.number(0, q)
    found, counts, columns = scores(q, k, ranges, reach, bias, places, lib, biased, placed)
    logs = logs[..., None]
    # Where nothing counts, an exponent may be anything.
    shares = lib.xp.where(counts, lib.xp.exp(lib.xp.where(counts, found - logs, zero)), zero)
    keep = kept(shares.shape, noise, q, lib, start) if dropping else None

    def grouped(x: Any) -> Any:
        """Get (batch, groups, each * queries, size) from (batch, queries, heads, size)."""
        return lib.axes(x, (0, 2, 1, 3)).reshape(
            (batch, groups, heads // groups * queries, x.shape[3])
        )

    def single(x: Any) -> Any:
        return x.reshape((batch, groups, heads // groups * queries, keys))

    changes = grouped(arriving) @ lib.axes(v, (0, 2, 3, 1))
    changes = changes.reshape((batch, heads, queries, keys))
    used = shares
    if keep is not None:
        used, changes = shares * keep, changes * keep
    mean = lib.axes((arriving * out).sum(axis=-1), (0, 2, 1))[..., None]
    changes = lib.xp.where(counts, shares * (changes - mean), zero)
    d_v = lib.axes(lib.axes(single(used), (0, 1, 3, 2)) @ grouped(arriving), (0, 2, 1, 3))
    d_bias = lib.xp.zeros_like(bias)
    if biased:
        # Where examples have columns in common, there is less to be sorted.
        each = lib.axes(changes, (1, 0, 2, 3)) if placed else changes.sum(axis=0)
        d_bias = add(d_bias, columns, each.reshape((heads, -1)))
    changes = changes * (lib.number(size, q) ** lib.number(-0.5, q))
    d_q = (single(changes) @ lib.axes(k, (0, 2, 1, 3))).reshape((batch, heads, queries, size))
    d_k = lib.axes(single(changes), (0, 1, 3, 2)) @ grouped(q)
    return lib.axes(d_q, (0, 2, 1, 3)), lib.axes(d_k, (0, 2, 1, 3)), d_v, d_bias
