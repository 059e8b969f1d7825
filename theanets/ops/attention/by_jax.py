"""The Ops of `operation` for JAX. Shapes and ranges are not checked: it raises no such errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from pytensor.graph.basic import Apply
from pytensor.link.jax.dispatch import jax_funcify

from . import arrays
from .expressions import is_biased, is_dropping
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
    return {
        "lib": LIBRARY,
        "biased": is_biased(node.inputs[5]),
        "dropping": is_dropping(node.inputs[6]),
    }


@jax_funcify.register(Attend)
def _attend(op: Attend, node: Apply, **kwargs: Any) -> Callable[..., Any]:
    options = _options(node)
    return lambda *inputs: arrays.forward(*inputs, **options)


@jax_funcify.register(AttendGradient)
def _attend_gradient(op: AttendGradient, node: Apply, **kwargs: Any) -> Callable[..., Any]:
    options = _options(node)
    return lambda *inputs: arrays.backward(*inputs, add=_add, **options)
