"""The Ops of `chain` for PyTorch: the recursions of `chain_by_numpy`, on the device.

Labels are not checked, which would be to wait for a device; one out of range counts nowhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pytensor.link.pytorch.dispatch import pytorch_funcify
from torch import Tensor

from .chain import ForwardBackward, PathCounts, Tangent, Viterbi
from .chain_by_numpy import TINY_STEP

Function = Callable[..., Any]


@pytorch_funcify.register(ForwardBackward)
def _forward_backward(op: ForwardBackward, **kwargs: Any) -> Function:
    @torch.compiler.disable
    def forward_backward(unary: Tensor, transition: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        found = _sums(unary.double(), transition.double()[None], mask)
        return tuple(array.to(unary.dtype) for array in found)

    return forward_backward


@pytorch_funcify.register(Tangent)
def _tangent(op: Tangent, **kwargs: Any) -> Function:
    @torch.compiler.disable
    def tangent(
        unary: Tensor, transition: Tensor, mask: Tensor, d_unary: Tensor, d_transition: Tensor
    ) -> tuple[Tensor, ...]:
        # By a complex step, as in `chain_by_numpy`.
        directions = d_unary.double(), d_transition.double()
        every = torch.cat([d.reshape(-1) for d in directions])
        largest = every.abs().amax() if every.numel() else every.sum()
        step = TINY_STEP / largest.clamp_min(torch.finfo(torch.float64).tiny / TINY_STEP)
        pairs = zip((unary, transition), directions, strict=True)
        u, a = (torch.complex(*torch.broadcast_tensors(x.double(), step * d)) for x, d in pairs)
        found = _sums(u, a, mask)
        return tuple((array.imag / step).to(unary.dtype) for array in found[1:])

    return tangent


def _sums(u: Tensor, a: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Do what `chain_by_numpy` does for real or complex scores."""
    batch, time, k = u.shape
    inner, start, end = a[:, :k, :k], a[:, k, :k], a[:, :k, k]
    exists = mask[:, :, None]
    # Whether any step was there before each, and before the end.
    many = exists.cumsum(1)
    before, started = many > exists.long(), exists.any(1)
    alpha, alphas = u.new_zeros((batch, k)), []
    for t in range(time):
        alphas.append(alpha)
        step = torch.where(before[:, t], _logsumexp(alpha[:, :, None] + inner, 1), start)
        alpha = torch.where(exists[:, t], step + u[:, t], alpha)
    logz = torch.where(started[:, 0], _logsumexp(alpha + end, 1), 0)
    # Where no sequence is possible, all probabilities are 0.
    scale = torch.where(torch.isfinite(logz), logz, 0)[:, None]
    beta, betas = end.expand(batch, k), []
    pairs = u.new_zeros((batch, k, k))
    for t in reversed(range(time)):
        betas.append(beta)
        after = inner + (u[:, t] + beta)[:, None, :]
        both = alphas[t][:, :, None] + after - scale[:, :, None]
        pairs = pairs + _exp_where((exists[:, t] & before[:, t])[:, :, None], both)
        beta = torch.where(exists[:, t], _logsumexp(after, 2), beta)
    node, firsts = torch.zeros_like(u), u.new_zeros((batch, k))
    if time:
        after_each = torch.stack([*alphas[1:], alpha], 1) + torch.stack(betas[::-1], 1)
        node = _exp_where(exists, after_each - scale[:, None])
        firsts = torch.where(before, 0, node).sum(1)
    lasts = _exp_where(started, alpha + end - scale)
    rows = torch.cat([pairs, firsts[:, None]], 1)
    column = torch.cat([lasts, lasts.new_zeros((batch, 1))], 1)
    return logz, node, torch.cat([rows, column[:, :, None]], 2)


def _exp_where(condition: Tensor, x: Tensor) -> Tensor:
    return torch.exp(torch.where(condition, x, -torch.inf))


def _logsumexp(x: Tensor, axis: int) -> Tensor:
    if not x.is_complex():
        return torch.logsumexp(x, axis)
    top = x.real.amax(axis, keepdim=True)
    top = torch.where(torch.isfinite(top), top, 0)
    return torch.log(torch.exp(x - top).sum(axis)) + top.squeeze(axis)


@pytorch_funcify.register(Viterbi)
def _viterbi(op: Viterbi, **kwargs: Any) -> Function:
    @torch.compiler.disable
    def viterbi(unary: Tensor, transition: Tensor, mask: Tensor) -> Tensor:
        batch, time, k = unary.shape
        u, a = unary.double(), transition.double()
        exists = mask[:, :, None]
        before = exists.cumsum(1) > exists.long()
        state, choices = u.new_zeros((batch, k)), []
        for t in range(time):
            best, earlier = (state[:, :, None] + a[:k, :k]).max(1)
            choices.append(earlier)
            step = torch.where(before[:, t], best, a[k, :k]) + u[:, t]
            state = torch.where(exists[:, t], step, state)
        label, path = (state + a[:k, k]).argmax(1, keepdim=True), [mask[:, :0].int()]
        for t in reversed(range(time)):
            path.append(torch.where(exists[:, t], label, 0).int())
            moves = exists[:, t] & before[:, t]
            label = torch.where(moves, choices[t].gather(1, label), label)
        return torch.cat(path[::-1], 1)

    return viterbi


@pytorch_funcify.register(PathCounts)
def _path_counts(op: PathCounts, **kwargs: Any) -> Function:
    @torch.compiler.disable
    def path_counts(labels: Tensor, transition: Tensor, mask: Tensor) -> Tensor:
        # All steps at once: which step was there last before each, and before the end.
        batch, time = labels.shape
        k = len(transition) - 1
        places = torch.arange(1, time + 1, device=mask.device)
        none = mask.new_zeros((batch, 1), dtype=torch.int64)
        last = torch.cat([none, torch.where(mask, places, 0)], 1).cummax(1).values
        known = torch.cat([none + k, labels.long()], 1)
        old = known.gather(1, last)[:, :, None]
        new = torch.cat([torch.where(mask, labels.long(), -1), none + k], 1)[:, :, None]
        # There is no way from the boundary to itself.
        new[:, -1] = torch.where(last[:, -1:] > 0, k, -1)
        each = torch.arange(k + 1, device=mask.device)
        ways = [(x == each).to(transition.dtype) for x in (old, new)]
        return torch.einsum("btk,btl->bkl", *ways)

    return path_counts
