"""The Ops of `ctc` for PyTorch, on the device.

PyTorch's own `ctc_loss` has no frames left out, no scores but log probabilities, and no
derivative of its gradient. Labels are not checked, which would be to wait for a device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pytensor.link.pytorch.dispatch import pytorch_funcify
from torch import Tensor

from .ctc import LOWEST, Alignments, Tangent


@pytorch_funcify.register(Alignments)
def _alignments(op: Alignments | Tangent, **kwargs: Any) -> Callable[..., Any]:
    @torch.compiler.disable
    def alignments(scores: Tensor, labels: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        # The steps are those of `theanets.ops.sequences.ctc.alignments`.
        states, skips, final = _states(labels.long(), op.blank)
        batch, time, _ = scores.shape
        where = states[:, None].expand(batch, time, states.shape[1])
        at, exists = scores.double().gather(2, where), mask[:, :, None]
        alpha = at.new_full(states.shape, -torch.inf)
        alpha[:, 0] = 0
        alphas = []
        for t in range(time):
            two = torch.where(skips, _shift(alpha, 2), -torch.inf)
            step = _sum(alpha, _shift(alpha, 1), two) + at[:, t]
            alpha = torch.where(exists[:, t], step, alpha)
            alphas.append(alpha)
        beta = torch.where(final, 0.0, -torch.inf).to(at)
        total = _sum(*(alpha + beta).unbind(1))
        possible = torch.isfinite(total)[:, None]
        betas = []
        for t in reversed(range(time)):
            betas.append(beta)
            after = beta + at[:, t]
            two = _shift(torch.where(skips, after, -torch.inf), -2)
            step = _sum(after, _shift(after, -1), two)
            beta = torch.where(exists[:, t], step, beta)
        usage = torch.zeros_like(scores, dtype=at.dtype)
        if time:
            # Normalized by frame: beside scores of 1e30, the total has no digits left.
            share = torch.stack(alphas, 1) + torch.stack(betas[::-1], 1)
            share = torch.where(exists & possible[:, None], share, -torch.inf)
            share = torch.exp(share - _finite(share.amax(2, keepdim=True)))
            norm = share.sum(2, keepdim=True)
            usage = usage.scatter_add(2, where, share / torch.where(norm > 0, norm, 1))
        return total.to(scores.dtype), usage.to(scores.dtype)

    return alignments


@pytorch_funcify.register(Tangent)
def _tangent(op: Tangent, **kwargs: Any) -> Callable[..., Any]:
    alignments = _alignments(op)

    @torch.compiler.disable
    def tangent(scores: Tensor, labels: Tensor, mask: Tensor, direction: Tensor) -> Tensor:
        def usage(scores: Tensor) -> Tensor:
            found: Tensor = alignments(scores, labels, mask)[1]
            return found

        # What was computed without a record is copied, so that it may have a tangent.
        with torch.inference_mode(False):
            pair = scores.clone(), direction.to(scores.dtype, copy=True)
            found: Tensor = torch.func.jvp(usage, pair[:1], pair[1:])[1]
        return found

    return tangent


def _states(labels: Tensor, blank: int) -> tuple[Tensor, Tensor, Tensor]:
    """Get what `theanets.ops.sequences.ctc.alignment_states` does."""
    batch, most = labels.shape
    order = torch.argsort(labels < 0, dim=1, stable=True)
    states = labels.new_full((batch, 2 * most + 1), blank)
    states[:, 1::2] = torch.where(labels < 0, blank, labels).gather(1, order)
    skips = torch.zeros_like(states, dtype=torch.bool)
    skips[:, 2:] = (states[:, 2:] != blank) & (states[:, 2:] != states[:, :-2])
    lengths = (labels >= 0).sum(1, keepdim=True)
    place = torch.arange(states.shape[1], device=labels.device)
    return states, skips, (place >= 2 * lengths - 1) & (place <= 2 * lengths)


def _sum(*parts: Tensor) -> Tensor:
    """Log of a sum, whose derivative is no NaN where all of it is impossible."""
    stacked = torch.stack(parts)
    top = _finite(stacked.amax(0))
    total = torch.exp(stacked - top).sum(0)
    some = total > 0
    return torch.where(some, top + torch.log(torch.where(some, total, 1)), -torch.inf)


def _finite(top: Tensor) -> Tensor:
    """Get what may be subtracted; the results do not depend on it."""
    return top.detach().clamp_min(LOWEST)


def _shift(x: Tensor, by: int) -> Tensor:
    by = max(-x.shape[1], min(by, x.shape[1]))
    none = x.new_full((x.shape[0], abs(by)), -torch.inf)
    return torch.cat([none, x[:, :-by]] if by > 0 else [x[:, -by:], none], 1)
