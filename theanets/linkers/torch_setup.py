"""What only our functions tell PyTensor's PyTorch linker before it compiles a network.

What it does not know is done by NumPy, see `torch_numpy`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.pytorch.dispatch import pytorch_funcify
from pytensor.raise_op import CheckAndRaise
from pytensor.tensor.math import Argmax

from . import torch_draws  # noqa: F401


@pytorch_funcify.register(Argmax)
def _argmax(op: Argmax, node: Apply, **kwargs: Any) -> Callable[..., Any]:
    many = node.inputs[0].type.ndim
    axes = range(many) if op.axis is None else [axis % many for axis in op.axis]
    others = [axis for axis in range(many) if axis not in axes]

    def argmax(x: torch.Tensor) -> torch.Tensor:
        if len(axes) == 1:
            return torch.argmax(x, dim=axes[0])
        # Among several axes, entries are counted in their order.
        moved = x.permute(*others, *axes)
        return torch.argmax(moved.reshape(*moved.shape[: len(others)], -1), dim=-1)

    return argmax


@pytorch_funcify.register(CheckAndRaise)
def _unchecked(op: Op, **kwargs: Any) -> Callable[..., Any]:
    # Data are checked before they get there, and a device would be waited for.
    return lambda x, *conditions: x
