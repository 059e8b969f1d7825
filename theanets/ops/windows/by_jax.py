"""The Ops of `convolution` and `pooling` for JAX: its own convolutions and reductions of windows.

The height and width of images have to be known where an Op makes images; all
else JAX knows when it compiles.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from pytensor.graph.basic import Apply
from pytensor.link.jax.dispatch import jax_funcify

from .convolution import Convolution, FilterGradient, ImageGradient
from .pooling import MaxGather, MaxPool, MaxScatter, SumPool, SumSpread, entries
from .window import Window

Function = Callable[..., Any]


def _convolve(window: Window, groups: int) -> Function:
    def convolve(x: jax.Array, filters: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(
            x,
            filters,
            window.stride,
            window.padding(x.shape[1:3]),
            rhs_dilation=window.dilation,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups or x.shape[3],
        )

    return convolve


def _reduce(window: Window, start: float, reducer: Function) -> Function:
    def reduce(x: jax.Array) -> jax.Array:
        return lax.reduce_window(
            x,
            x.dtype.type(start),
            reducer,
            (1, *window.entries(x.shape[1:3]), 1),
            (1, *window.stride, 1),
            ((0, 0), *window.padding(x.shape[1:3]), (0, 0)),
            window_dilation=(1, *window.dilation, 1),
        )

    return reduce


def _pullback(function: Function, at: Any, cotangent: jax.Array) -> Any:
    return jax.vjp(function, at)[1](cotangent)[0]


def _lengths(node: Apply) -> tuple[int, int]:
    lengths = node.outputs[0].type.shape[1:3]
    if None in lengths:
        raise NotImplementedError(
            f"JAX needs to know the height and width of the images that {node.op} makes; they "
            f"are {lengths}"
        )
    return lengths


@jax_funcify.register(Convolution)
def _convolution(op: Convolution, **kwargs: Any) -> Function:
    return _convolve(op.window, op.groups)


@jax_funcify.register(FilterGradient)
def _filter_gradient(op: FilterGradient, **kwargs: Any) -> Function:
    convolve = _convolve(op.window, op.groups)

    def filter_gradient(x: jax.Array, y: jax.Array) -> jax.Array:
        seen = x.shape[3] // (op.groups or x.shape[3])
        zeros = jax.numpy.zeros((*op.window.size, seen, y.shape[3]), x.dtype)
        return _pullback(lambda filters: convolve(x, filters), zeros, y)

    return filter_gradient


@jax_funcify.register(ImageGradient)
def _image_gradient(op: ImageGradient, node: Apply, **kwargs: Any) -> Function:
    convolve, lengths = _convolve(op.window, op.groups), _lengths(node)

    def image_gradient(
        filters: jax.Array, y: jax.Array, height: jax.Array, width: jax.Array
    ) -> jax.Array:
        channels = filters.shape[2] * (op.groups or y.shape[3])
        zeros = jax.numpy.zeros((y.shape[0], *lengths, channels), y.dtype)
        return _pullback(lambda x: convolve(x, filters), zeros, y)

    return image_gradient


@jax_funcify.register(MaxPool)
def _max_pool(op: MaxPool, **kwargs: Any) -> Function:
    return _reduce(op.window, -jax.numpy.inf, lax.max)


@jax_funcify.register(MaxScatter)
def _max_scatter(op: MaxScatter, **kwargs: Any) -> Function:
    window, jnp = op.window, jax.numpy
    pool = _reduce(window, -jnp.inf, lax.max)

    def max_scatter(x: jax.Array, y: jax.Array) -> jax.Array:
        if window.dilation == (1, 1):
            return _pullback(pool, x, y)
        # JAX has no derivative of this one.
        pads = window.padding(x.shape[1:3])
        every = ((0, 0), *pads, (0, 0))
        inside, largest = jnp.pad(jnp.ones(x.shape, bool), every), pool(x)
        values = jnp.pad(x, every, constant_values=-jnp.inf)
        found, left = jnp.zeros(values.shape, y.dtype), jnp.ones(largest.shape, bool)
        for entry in entries(x.shape, window):
            value = values[entry]
            same = (value == largest) | (jnp.isnan(value) & jnp.isnan(largest))
            here = left & inside[entry] & same
            left &= ~here
            found = found.at[entry].add(jnp.where(here, y, 0))
        (top, _), (start, _) = pads
        return found[:, top : top + x.shape[1], start : start + x.shape[2]]

    return max_scatter


@jax_funcify.register(MaxGather)
def _max_gather(op: MaxGather, **kwargs: Any) -> Function:
    window, jnp = op.window, jax.numpy

    def max_gather(x: jax.Array, v: jax.Array) -> jax.Array:
        # JAX's derivative of the reduction would break ties in another way.
        shape = x.shape
        pads = ((0, 0), *window.padding(shape[1:3]), (0, 0))
        inside = jnp.pad(jnp.ones(shape, bool), pads)
        x, v = jnp.pad(x, pads, constant_values=-jnp.inf), jnp.pad(v, pads)
        best, value, found = (jnp.asarray(start) for start in (-jnp.inf, 0.0, False))
        for entry in entries(shape, window):
            new = x[entry]
            larger = (new > best) | (jnp.isnan(new) & ~jnp.isnan(best))
            better = inside[entry] & (~found | larger)
            best, value = jnp.where(better, new, best), jnp.where(better, v[entry], value)
            found = found | inside[entry]
        return value.astype(v.dtype)

    return max_gather


@jax_funcify.register(SumPool)
def _sum_pool(op: SumPool, **kwargs: Any) -> Function:
    return _reduce(op.window, 0, lax.add)


@jax_funcify.register(SumSpread)
def _sum_spread(op: SumSpread, node: Apply, **kwargs: Any) -> Function:
    pool, lengths = _reduce(op.window, 0, lax.add), _lengths(node)

    def sum_spread(y: jax.Array, height: jax.Array, width: jax.Array) -> jax.Array:
        zeros = jax.numpy.zeros((y.shape[0], *lengths, y.shape[3]), y.dtype)
        return _pullback(pool, zeros, y)

    return sum_spread
