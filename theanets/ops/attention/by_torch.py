"""The Ops of `operation` for PyTorch; `torch.compile`, which takes long for them, leaves them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pytensor.graph.basic import Apply
from pytensor.link.pytorch.dispatch import pytorch_funcify

from . import arrays
from .expressions import options_of
from .keeping import Keep
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
    return {"lib": LIBRARY, **options_of(node.inputs)}


@pytorch_funcify.register(Attend)
def _attend(op: Attend, node: Apply, **kwargs: Any) -> Callable[..., Any]:
    options = _options(node)
    return torch.compiler.disable(lambda *inputs: arrays.forward(*inputs, **options))


@pytorch_funcify.register(AttendGradient)
def _attend_gradient(op: AttendGradient, node: Apply, **kwargs: Any) -> Callable[..., Any]:
    options = _options(node)
    return torch.compiler.disable(lambda *inputs: arrays.backward(*inputs, add=_add, **options))


@pytorch_funcify.register(Keep)
def _keep(op: Keep, node: Apply, **kwargs: Any) -> Callable[..., Any]:
    def keep(
        array: torch.Tensor, rows: torch.Tensor, lengths: torch.Tensor, places: torch.Tensor
    ) -> torch.Tensor:
        steps = torch.arange(rows.shape[1], device=rows.device)[None, :]
        b, t = torch.nonzero(steps < lengths[:, None], as_tuple=True)
        found = array.clone()
        found[b, places[b] + t] = rows[b, t]
        return found

    return torch.compiler.disable(keep)
