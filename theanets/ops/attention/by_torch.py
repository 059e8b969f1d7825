"""The Ops of `operation` for PyTorch; `torch.compile`, which takes long for them, leaves them.

On a CPU, attention without biases and dropout is PyTorch's own kernel, which goes through blocks
of scores. It gives the logs of the sums as well, and 0 for queries that attend to nothing, as ours.
The rest, and other devices, compute the formula of `arrays`.
"""

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

_NAME = "_scaled_dot_product_flash_attention_for_cpu"
#: The kernel and its derivative; None where this version of PyTorch does not have it.
_KERNEL: Any = getattr(torch.ops.aten, _NAME, None)
_KERNEL_BACKWARD: Any = getattr(torch.ops.aten, f"{_NAME}_backward", None)


def _add(bias: torch.Tensor, columns: torch.Tensor, changes: torch.Tensor) -> torch.Tensor:
    return bias.index_add(1, columns, changes)


class _Call:
    """What the kernel takes, for some queries and keys.

    Parameters
    ----------
    q, k, ranges, reach, places : tensor
        Inputs of `operation.Attend`, on a CPU.
    """

    def __init__(
        self,
        q: torch.Tensor,
        k: torch.Tensor,
        ranges: torch.Tensor,
        reach: torch.Tensor,
        places: torch.Tensor,
    ) -> None:
        self._shape, self._groups = q.shape, k.shape[2]
        self._each = q.shape[2] // k.shape[2]
        asked, there = ranges.numpy().T
        #: How many keys some series has at most.
        self.keys = int(there.max())
        whole = bool((there == self.keys).all() and (asked == q.shape[1]).all())
        before, behind = reach.tolist()
        first = places.numpy()
        low, high = int(first.min()), int(first.max()) + q.shape[1] - 1
        back, ahead = before >= high, behind >= self.keys - 1 - low
        square = behind == low == 0 and high + 1 == self.keys == q.shape[1]
        self.options: dict[str, Any] = {"dropout_p": 0.0, "is_causal": False}
        if whole and back and ahead:
            return
        if whole and back and square and self._each == 1:
            self.options["is_causal"] = True
            return
        key = torch.arange(self.keys)
        distance = key - (places[:, None, None] + torch.arange(q.shape[1])[:, None])
        counts = (distance >= -before) & (distance <= behind)
        if not whole:
            counts = counts & (key < ranges[:, 1, None])[:, None]
            counts = counts & (torch.arange(q.shape[1]) < ranges[:, 0, None])[:, :, None]
        mask = torch.zeros(counts.shape, dtype=q.dtype).masked_fill_(~counts, -torch.inf)
        self.options["attn_mask"] = mask[:, None].repeat(1, 1, self._each, 1)

    def rows(self, x: torch.Tensor) -> torch.Tensor:
        """Get (batch, groups, each * queries, size) from (batch, queries, heads, size)."""
        batch, queries, _, _ = self._shape
        x = x.permute(0, 2, 1, 3)
        return x.reshape((batch, self._groups, self._each * queries, -1)) if self._each > 1 else x

    def queries(self, x: torch.Tensor) -> torch.Tensor:
        """Do the opposite of `rows`."""
        batch, queries, heads, _ = self._shape
        return x.reshape((batch, heads, queries, -1)).permute(0, 2, 1, 3)

    def existing(self, x: torch.Tensor) -> torch.Tensor:
        """Get keys or values (batch, groups, keys, size), those that some series has."""
        return x[:, : self.keys].permute(0, 2, 1, 3)

    def logs(self, x: torch.Tensor) -> torch.Tensor:
        """Get the logs of the sums in the shape of the rows, or back."""
        batch, queries, heads, _ = self._shape
        rows = (batch, self._groups, self._each * queries)
        return x.reshape((batch, heads, queries) if x.shape == rows else rows)

    def all_keys(self, x: torch.Tensor, count: int) -> torch.Tensor:
        """Get changes of all keys or values (batch, count, groups, size)."""
        x = x.permute(0, 2, 1, 3)
        if self.keys == count:
            return x
        return torch.nn.functional.pad(x, (0, 0, 0, 0, 0, count - self.keys))


def _fits(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, options: dict[str, Any]) -> bool:
    """Tell whether the kernel can do it."""
    return (
        _KERNEL is not None
        and q.device.type == "cpu"
        and not (options["biased"] or options["dropping"])
        and q.shape[3] == v.shape[3]
        and 0 not in (*q.shape, *k.shape)
    )


@pytorch_funcify.register(Attend)
def _attend(op: Attend, node: Apply, **kwargs: Any) -> Callable[..., Any]:
    options = options_of(node.inputs)

    def attend(*inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        q, k, v, ranges, reach, _, _, places = inputs
        if not _fits(q, k, v, options):
            out, logs = arrays.forward(*inputs, lib=LIBRARY, **options)
            return out, logs
        call = _Call(q, k, ranges, reach, places)
        if not call.keys:
            return torch.zeros_like(q), q.new_zeros(tuple(q.shape[i] for i in (0, 2, 1)))
        out, logs = _KERNEL(call.rows(q), call.existing(k), call.existing(v), **call.options)
        return call.queries(out), call.logs(logs)

    return torch.compiler.disable(attend)


@pytorch_funcify.register(AttendGradient)
def _attend_gradient(op: AttendGradient, node: Apply, **kwargs: Any) -> Callable[..., Any]:
    options = options_of(node.inputs)

    def attend_gradient(*inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        q, k, v, ranges, reach, bias, _, places, logs, out, arriving = inputs
        if not _fits(q, k, v, options):
            return arrays.backward(*inputs, lib=LIBRARY, add=_add, **options)
        call = _Call(q, k, ranges, reach, places)
        if not call.keys:
            return tuple(map(torch.zeros_like, (q, k, v, bias)))
        d_q, d_k, d_v = _KERNEL_BACKWARD(
            call.rows(arriving),
            call.rows(q),
            call.existing(k),
            call.existing(v),
            call.rows(out),
            call.logs(logs),
            **call.options,
        )
        each = (call.all_keys(x, k.shape[1]) for x in (d_k, d_v))
        return call.queries(d_q), *each, torch.zeros_like(bias)

    return torch.compiler.disable(attend_gradient)


@pytorch_funcify.register(Keep)
def _keep(op: Keep, node: Apply, **kwargs: Any) -> Callable[..., Any]:
    def keep(
        array: torch.Tensor, rows: torch.Tensor, lengths: torch.Tensor, places: torch.Tensor
    ) -> torch.Tensor:
        if array.shape[0] == 1 and array.device.type == "cpu":
            place, many = int(places), int(lengths)
            array[0, place : place + many] = rows[0, :many]
            return array
        steps = torch.arange(rows.shape[1], device=rows.device)[None, :]
        b, t = torch.nonzero(steps < lengths[:, None], as_tuple=True)
        array[b, places[b] + t] = rows[b, t]
        return array

    return torch.compiler.disable(keep)
