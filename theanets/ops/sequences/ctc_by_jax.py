"""The Ops of `ctc` for JAX.

Labels are not checked: JAX raises no errors that depend on values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from pytensor.link.jax.dispatch import jax_funcify

from .ctc import Alignments, Tangent


@jax_funcify.register(Alignments)
def _alignments(op: Alignments | Tangent, **kwargs: Any) -> Callable[..., Any]:
    def alignments(scores: jax.Array, labels: jax.Array, mask: jax.Array) -> tuple[Any, Any]:
        # The steps are those of `theanets.ops.sequences.ctc.alignments`.
        lengths = (labels >= 0).sum(axis=1, keepdims=True)
        order = jnp.argsort(labels < 0, axis=1, stable=True)
        filled = jnp.where(labels < 0, op.blank, labels)
        states = jnp.full((len(labels), 2 * labels.shape[1] + 1), op.blank, labels.dtype)
        states = states.at[:, 1::2].set(jnp.take_along_axis(filled, order, axis=1))
        skips = (states[:, 2:] != op.blank) & (states[:, 2:] != states[:, :-2])
        skips = jnp.pad(skips, ((0, 0), (min(2, states.shape[1]), 0)))[:, : states.shape[1]]
        at = jnp.take_along_axis(scores.astype(float), states[:, None, :], axis=2)
        at, exists = jnp.swapaxes(at, 0, 1), mask.T[:, :, None]

        def forth(alpha: jax.Array, now: Any) -> Any:
            score, seen = now
            two = jnp.where(skips, _shift(alpha, 2), -jnp.inf)
            new = jnp.where(seen, _sum(alpha, _shift(alpha, 1), two) + score, alpha)
            return new, new

        place = jnp.arange(states.shape[1])
        start = jnp.broadcast_to(jnp.where(place == 0, 0.0, -jnp.inf), states.shape)
        last, alphas = lax.scan(forth, start.astype(at.dtype), (at, exists))
        final = (place >= 2 * lengths - 1) & (place <= 2 * lengths)
        beta = jnp.where(final, 0.0, -jnp.inf).astype(at.dtype)
        total = jnp.logaddexp.reduce(last + beta, axis=1)
        possible = jnp.isfinite(total)[:, None]
        rows = jnp.arange(len(labels))[:, None]
        none = jnp.zeros((len(labels), scores.shape[2]), at.dtype)

        def back(beta: jax.Array, now: Any) -> Any:
            alpha, score, seen = now
            share = jnp.where(seen & possible, alpha + beta, -jnp.inf)
            share = jnp.exp(share - _finite(share.max(axis=1, keepdims=True)))
            norm = share.sum(axis=1, keepdims=True)
            share /= jnp.where(norm > 0, norm, 1)
            after = beta + score
            two = _shift(jnp.where(skips, after, -jnp.inf), -2)
            step = _sum(after, _shift(after, -1), two)
            return jnp.where(seen, step, beta), none.at[rows, states].add(share)

        _, usage = lax.scan(back, beta, (alphas, at, exists), reverse=True)
        return total.astype(scores.dtype), jnp.swapaxes(usage, 0, 1).astype(scores.dtype)

    return alignments


@jax_funcify.register(Tangent)
def _tangent(op: Tangent, **kwargs: Any) -> Callable[..., Any]:
    alignments = _alignments(op)

    def tangent(
        scores: jax.Array, labels: jax.Array, mask: jax.Array, direction: jax.Array
    ) -> jax.Array:
        def usage(scores: jax.Array) -> jax.Array:
            return alignments(scores, labels, mask)[1]

        return jax.jvp(usage, (scores,), (direction.astype(scores.dtype),))[1]

    return tangent


def _sum(*parts: jax.Array) -> Any:
    """Log of a sum, whose derivative is no NaN where all of it is impossible."""
    stacked = jnp.stack(parts)
    top = _finite(stacked.max(axis=0))
    total = jnp.exp(stacked - top).sum(axis=0)
    return jnp.where(total > 0, top + jnp.log(jnp.where(total > 0, total, 1)), -jnp.inf)


def _finite(top: Any) -> jax.Array:
    """Get what may be subtracted; the results do not depend on it."""
    return lax.stop_gradient(jnp.maximum(top, jnp.finfo(top.dtype).min))


def _shift(x: jax.Array, by: int) -> jax.Array:
    pads = (min(max(by, 0), x.shape[1]), min(max(-by, 0), x.shape[1]))
    moved = jnp.pad(x, ((0, 0), pads), constant_values=-jnp.inf)
    return moved[:, : x.shape[1]] if by > 0 else moved[:, pads[1] :]
