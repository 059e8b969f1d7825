"""The Ops of `recurrent` for JAX, which traces one step and compiles the loop."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from pytensor.link.jax.dispatch import jax_funcify

from . import arrays
from .operation import RecurrentBackward, RecurrentForward
from .scalars import functions


def _scan(step: Any, carry: Any, series: Any, reverse: bool) -> tuple[Any, Any]:
    return lax.scan(step, carry, series, reverse=reverse)


LIBRARY = arrays.Library(
    xp=jnp,
    # Numbers of Python's take the type of arrays.
    operations=functions("jax", np=jnp, expit=jax.nn.sigmoid, F=lambda number: number),
    array=lambda x, like: jnp.asarray(x, like.dtype),
    scan=_scan,
)


@jax_funcify.register(RecurrentForward)
def _forward(op: RecurrentForward, **kwargs: Any) -> arrays.Function:
    return arrays.forward(op, LIBRARY)


@jax_funcify.register(RecurrentBackward)
def _backward(op: RecurrentBackward, **kwargs: Any) -> arrays.Function:
    return arrays.backward(op, LIBRARY)
