"""The Ops of `operation` for PyTorch; `torch.compile`, which takes long for them, leaves them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pytensor.graph.basic import Apply
from pytensor.link.pytorch.dispatch import pytorch_funcify

from . import arrays
from .expressions import is_biased, is_dropping
from .operation import Attend, AttendGradient


def _number(value: Any, like: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(value, dtype=like.dtype, device=like.device)


def _largest(x: torch.Tensor) -> torch.Tensor:
    return x.amax(-1, keepdim=True) if x.shape[-1] else x.new_zeros((*x.shape[:-1], 1))


LIBRARY = arrays.Library(
    xp=torch,
    axes=lambda x, order: x.permute(order),
    largest=_largest,
    number=_number,
    integers=lambda n, like: torch.arange(n, device=like.device),
)


def _add(bias: torch.Tensor, columns: torch.Tensor, changes: torch.Tensor) -> torch.Tensor:
    return bias.index_add(1, columns, changes)


def _options(node: Apply) -> dict[str, Any]:
    return {
        "lib": LIBRARY,
        "biased": is_biased(node.inputs[5]),
        "dropping": is_dropping(node.inputs[6]),
    }


@pytorch_funcify.register(Attend)
def _attend(op: Attend, node: Apply, **kwargs: Any) -> Callable[..., Any]:
    options = _options(node)
    return torch.compiler.disable(lambda *inputs: arrays.forward(*inputs, **options))


@pytorch_funcify.register(AttendGradient)
def _attend_gradient(op: AttendGradient, node: Apply, **kwargs: Any) -> Callable[..., Any]:
    options = _options(node)
    return torch.compiler.disable(lambda *inputs: arrays.backward(*inputs, add=_add, **options))
