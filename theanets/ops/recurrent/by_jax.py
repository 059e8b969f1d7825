"""The Ops of `recurrent` for JAX, which traces one step and compiles the loop."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from pytensor.link.jax.dispatch import jax_funcify

from . import arrays
from .operation import RecurrentBackward, RecurrentForward


def _scan(step: Any, carry: Any, series: Any, reverse: bool) -> tuple[Any, Any]:
    return lax.scan(step, carry, series, reverse=reverse)


LIBRARY = arrays.Library(
    xp=jnp,
    own={
        "eq": jnp.equal,
        "sigmoid": jax.nn.sigmoid,
        "softplus": jax.nn.softplus,
        "rowsum": lambda x: jnp.sum(x, axis=-1, keepdims=True),
        "rowmax": lambda x: jnp.max(x, axis=-1, keepdims=True),
    },
    array=lambda x, like: jnp.asarray(x, like.dtype),
    scan=_scan,
)


@jax_funcify.register(RecurrentForward)
def _forward(op: RecurrentForward, **kwargs: Any) -> arrays.Function:
    return arrays.forward(op, LIBRARY)


@jax_funcify.register(RecurrentBackward)
def _backward(op: RecurrentBackward, **kwargs: Any) -> arrays.Function:
    return arrays.backward(op, LIBRARY)
