"""The Op of `ctc` for JAX.

Labels are not checked: JAX raises no errors that depend on values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax
from pytensor.link.jax.dispatch import jax_funcify

from .ctc import Alignments


@jax_funcify.register(Alignments)
def _alignments(op: Alignments, **kwargs: Any) -> Callable[..., Any]:
    def alignments(scores: Any, labels: Any, mask: Any) -> tuple[Any, Any]:
        # The steps are those of `theanets.ops.ctc.alignments`.
        lengths = (labels >= 0).sum(axis=1, keepdims=True)
        order = jnp.argsort(labels < 0, axis=1, stable=True)
        filled = jnp.where(labels < 0, op.blank, labels)
        states = jnp.full((len(labels), 2 * labels.shape[1] + 1), op.blank, labels.dtype)
        states = states.at[:, 1::2].set(jnp.take_along_axis(filled, order, axis=1))
        skips = (states[:, 2:] != op.blank) & (states[:, 2:] != states[:, :-2])
        skips = jnp.pad(skips, ((0, 0), (min(2, states.shape[1]), 0)))[:, : states.shape[1]]
        at = jnp.take_along_axis(scores.astype(float), states[:, None, :], axis=2)
        at, exists = jnp.swapaxes(at, 0, 1), mask.T[:, :, None]

        def forth(alpha: Any, now: Any) -> Any:
            score, seen = now
            step = jnp.logaddexp(alpha, _shift(alpha, 1))
            step = jnp.logaddexp(step, jnp.where(skips, _shift(alpha, 2), -jnp.inf)) + score
            new = jnp.where(seen, step, alpha)
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

        def back(beta: Any, now: Any) -> Any:
            alpha, score, seen = now
            share = jnp.where(seen & possible, alpha + beta, -jnp.inf)
            top = jnp.maximum(share.max(axis=1, keepdims=True), jnp.finfo(share.dtype).min)
            share = jnp.exp(share - top)
            share /= jnp.maximum(share.sum(axis=1, keepdims=True), 1)
            after = beta + score
            step = jnp.logaddexp(after, _shift(after, -1))
            step = jnp.logaddexp(step, _shift(jnp.where(skips, after, -jnp.inf), -2))
            return jnp.where(seen, step, beta), none.at[rows, states].add(share)

        _, usage = lax.scan(back, beta, (alphas, at, exists), reverse=True)
        return total.astype(scores.dtype), jnp.swapaxes(usage, 0, 1).astype(scores.dtype)

    return alignments


def _shift(x: Any, by: int) -> Any:
    pads = (min(max(by, 0), x.shape[1]), min(max(-by, 0), x.shape[1]))
    moved = jnp.pad(x, ((0, 0), pads), constant_values=-jnp.inf)
    return moved[:, : x.shape[1]] if by > 0 else moved[:, pads[1] :]
