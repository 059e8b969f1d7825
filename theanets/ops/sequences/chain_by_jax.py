"""The Ops of `chain` for JAX: the recursions of `chain_by_numpy` as its loops.

Labels are not checked: JAX raises no errors that depend on values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from pytensor.link.jax.dispatch import jax_funcify

from .chain import ForwardBackward, PathCounts, Tangent, Viterbi
from .chain_by_numpy import TINY_STEP

Function = Callable[..., Any]


@jax_funcify.register(ForwardBackward)
def _forward_backward(op: ForwardBackward, **kwargs: Any) -> Function:
    def forward_backward(
        unary: jax.Array, transition: jax.Array, mask: jax.Array
    ) -> tuple[Any, ...]:
        found = _sums(unary.astype(float), transition.astype(float)[None], mask)
        return tuple(array.astype(unary.dtype) for array in found)

    return forward_backward


@jax_funcify.register(Tangent)
def _tangent(op: Tangent, **kwargs: Any) -> Function:
    def tangent(
        unary: jax.Array,
        transition: jax.Array,
        mask: jax.Array,
        d_unary: jax.Array,
        d_transition: jax.Array,
    ) -> tuple[Any, ...]:
        # By a complex step, as in `chain_by_numpy`.
        d_unary, d_transition = d_unary.astype(float), d_transition.astype(float)
        sizes = [jnp.abs(d).max(initial=0.0) for d in (d_unary, d_transition)]
        smallest = jnp.finfo(d_unary.dtype).tiny
        step = TINY_STEP / jnp.maximum(jnp.maximum(*sizes), smallest / TINY_STEP)
        found = _sums(unary + 1j * (step * d_unary), transition + 1j * (step * d_transition), mask)
        node, pair = ((array.imag / step).astype(unary.dtype) for array in found[1:])
        return node, pair

    return tangent


def _sums(u: jax.Array, a: jax.Array, mask: jax.Array) -> tuple[Any, Any, Any]:
    batch, _, k = u.shape
    inner, start, end = a[:, :k, :k], a[:, k, :k], a[:, :k, k]
    series, exists = jnp.swapaxes(u, 0, 1), mask.T[:, :, None]

    def forth(old: Any, now: Any) -> Any:
        alpha, started = old
        scores, seen = now
        step = _logsumexp(alpha[:, :, None] + inner, 1)
        step = jnp.where(started, step, start) + scores
        return (jnp.where(seen, step, alpha), started | seen), old

    first = (jnp.zeros((batch, k), u.dtype), jnp.zeros((batch, 1), bool))
    (alpha, started), before = lax.scan(forth, first, (series, exists))
    alphas = jnp.concatenate([before[0], alpha[None]])
    logz = jnp.where(started[:, 0], _logsumexp(alpha + end, 1), 0)
    # Where no sequence is possible, all probabilities are 0.
    scale = jnp.where(jnp.isfinite(logz), logz, 0)[:, None]

    def back(carry: Any, now: Any) -> Any:
        beta, pairs, firsts = carry
        scores, seen, (alpha, old), new = now
        node = _exp_where(seen, new + beta - scale)
        after = inner + (scores + beta)[:, None, :]
        both = alpha[:, :, None] + after - scale[:, :, None]
        pairs = pairs + _exp_where((seen & old)[:, :, None], both)
        firsts = firsts + jnp.where(old, 0, node)
        return (jnp.where(seen, _logsumexp(after, 2), beta), pairs, firsts), node

    zeros = jnp.zeros((batch, k, k), u.dtype)
    carry = (jnp.broadcast_to(end, (batch, k)), zeros, zeros[:, 0])
    (_, pairs, firsts), nodes = lax.scan(
        back, carry, (series, exists, before, alphas[1:]), reverse=True
    )
    lasts = _exp_where(started, alpha + end - scale)
    pair = jnp.pad(pairs, ((0, 0), (0, 1), (0, 1)))
    pair = pair.at[:, k, :k].set(firsts).at[:, :k, k].set(lasts)
    return logz, jnp.swapaxes(nodes, 0, 1), pair


def _exp_where(condition: jax.Array, x: jax.Array) -> jax.Array:
    return jnp.exp(jnp.where(condition, x, -jnp.inf))


def _logsumexp(x: jax.Array, axis: int) -> jax.Array:
    top = x.real.max(axis=axis, keepdims=True)
    top = jnp.where(jnp.isfinite(top), top, 0)
    return jnp.log(jnp.exp(x - top).sum(axis=axis)) + jnp.squeeze(top, axis)


@jax_funcify.register(Viterbi)
def _viterbi(op: Viterbi, **kwargs: Any) -> Function:
    def viterbi(unary: jax.Array, transition: jax.Array, mask: jax.Array) -> jax.Array:
        batch, _, k = unary.shape
        u, a = unary.astype(float), transition.astype(float)
        exists = mask.T[:, :, None]

        def forth(old: Any, now: Any) -> Any:
            state, started = old
            scores, seen = now
            both = state[:, :, None] + a[:k, :k]
            step = jnp.where(started, both.max(axis=1), a[k, :k]) + scores
            new = (jnp.where(seen, step, state), started | seen)
            return new, (both.argmax(axis=1), started[:, 0])

        first = (jnp.zeros((batch, k), u.dtype), jnp.zeros((batch, 1), bool))
        (state, _), (backs, olds) = lax.scan(forth, first, (jnp.swapaxes(u, 0, 1), exists))

        def back(label: jax.Array, now: Any) -> Any:
            choices, old, seen = now
            earlier = jnp.take_along_axis(choices, label[:, None], axis=1)[:, 0]
            return jnp.where(seen & old, earlier, label), jnp.where(seen, label, 0)

        last = (state + a[:k, k]).argmax(axis=1)
        _, path = lax.scan(back, last, (backs, olds, mask.T), reverse=True)
        return path.T.astype("int32")

    return viterbi


@jax_funcify.register(PathCounts)
def _path_counts(op: PathCounts, **kwargs: Any) -> Function:
    def path_counts(labels: jax.Array, transition: jax.Array, mask: jax.Array) -> jax.Array:
        k = transition.shape[0] - 1
        rows = jnp.arange(labels.shape[0])

        def step(old: Any, now: Any) -> Any:
            counts, last = old
            label, seen = now
            counts = counts.at[rows, last, label].add(seen.astype(counts.dtype))
            return (counts, jnp.where(seen, label, last)), None

        counts = jnp.zeros((labels.shape[0], k + 1, k + 1), transition.dtype)
        start = (counts, jnp.full(labels.shape[0], k, labels.dtype))
        (counts, last), _ = lax.scan(step, start, (labels.T, mask.T))
        return counts.at[rows, last, k].add((last < k).astype(counts.dtype))

    return path_counts
