"""The Ops of `operation` for JAX. Shapes and ranges are not checked: it raises no such errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from pytensor.graph.basic import Apply
from pytensor.link.jax.dispatch import jax_funcify

from . import arrays
from .expressions import options_of
from .keeping import Keep
from .operation import Attend, AttendGradient

LIBRARY = arrays.Library(
    xp=jnp,
    axes=lambda x, order: x.transpose(order),
    largest=lambda x: x.max(axis=-1, keepdims=True, initial=arrays.LOWEST),
    number=lambda value, like: jnp.asarray(value, like.dtype),
    integers=lambda n, like: jnp.arange(n, dtype=jnp.int64),
)


def _add(bias: jax.Array, columns: jax.Array, changes: jax.Array) -> jax.Array:
    return bias.at[:, columns].add(changes)


def _options(node: Apply) -> dict[str, Any]:
    return {"lib": LIBRARY, **options_of(node.inputs)}


@jax_funcify.register(Attend)
def _attend(op: Attend, node: Apply, **kwargs: Any) -> Callable[..., Any]:
    options = _options(node)
    return lambda *inputs: arrays.forward(*inputs, **options)


@jax_funcify.register(AttendGradient)
def _attend_gradient(op: AttendGradient, node: Apply, **kwargs: Any) -> Callable[..., Any]:
    options = _options(node)
    return lambda *inputs: arrays.backward(*inputs, add=_add, **options)


@jax_funcify.register(Keep)
def _keep(op: Keep, node: Apply, **kwargs: Any) -> Callable[..., Any]:
    def keep(array: jax.Array, rows: jax.Array, lengths: jax.Array, places: jax.Array) -> jax.Array:
        steps = jnp.arange(rows.shape[1])[None, :]
        # What is beyond the array is not written.
        columns = jnp.where(steps < lengths[:, None], places[:, None] + steps, array.shape[1])
        return array.at[jnp.arange(array.shape[0])[:, None], columns].set(rows, mode="drop")

    return keep
