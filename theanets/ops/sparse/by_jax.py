"""The Ops of `sparse` for JAX, which compiles anew for each number of stored entries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from pytensor.graph.basic import Apply
from pytensor.link.jax.dispatch import jax_funcify

from .products import Dense, Product, TransposedProduct

Function = Callable[..., Any]


def _rows(indices: jax.Array, indptr: jax.Array) -> jax.Array:
    """Get the row of each entry that is stored."""
    return jnp.searchsorted(indptr, jnp.arange(indices.shape[0]), side="right") - 1


@jax_funcify.register(Dense)
def _dense(op: Dense, node: Apply, **kwargs: Any) -> Function:
    known = node.outputs[0].type.shape[1]

    def dense(data: jax.Array, indices: jax.Array, indptr: jax.Array, size: Any) -> jax.Array:
        zeros = jnp.zeros((indptr.shape[0] - 1, int(size) if known is None else known), data.dtype)
        return zeros.at[_rows(indices, indptr), indices].add(data)

    return dense


@jax_funcify.register(Product)
def _product(op: Product, **kwargs: Any) -> Function:
    def product(data: jax.Array, indices: jax.Array, indptr: jax.Array, w: jax.Array) -> jax.Array:
        zeros = jnp.zeros((indptr.shape[0] - 1, w.shape[1]), w.dtype)
        return zeros.at[_rows(indices, indptr)].add(data[:, None] * w[indices])

    return product


@jax_funcify.register(TransposedProduct)
def _transposed(op: TransposedProduct, node: Apply, **kwargs: Any) -> Function:
    known = node.outputs[0].type.shape[0]

    def transposed(
        data: jax.Array, indices: jax.Array, indptr: jax.Array, y: jax.Array, size: Any
    ) -> jax.Array:
        zeros = jnp.zeros((int(size) if known is None else known, y.shape[1]), y.dtype)
        return zeros.at[indices].add(data[:, None] * y[_rows(indices, indptr)])

    return transposed
