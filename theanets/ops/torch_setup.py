"""What PyTensor's PyTorch linker has to be told before it compiles a network.

Our Ops, and some of PyTensor's that its linker does not know, are done there by
NumPy: right, but on the CPU, and with a copy for each from and to a device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pytensor.link.pytorch.dispatch import pytorch_funcify
from pytensor.scalar.basic import EQ
from pytensor.tensor.basic import ScalarFromTensor
from pytensor.tensor.math import Argmax

from .base import KernelOp


def by_numpy(op: Any, node: Any, **kwargs: Any) -> Callable[..., Any]:
    """Get a function of tensors that calls an Op's ``perform``."""

    @torch.compiler.disable
    def run(*inputs: Any) -> Any:
        arrays = [
            np.asarray(i.detach().cpu() if isinstance(i, torch.Tensor) else i, v.type.dtype)
            for i, v in zip(inputs, node.inputs, strict=True)
        ]
        storage: list[Any] = [[None] for _ in node.outputs]
        op.perform(node, arrays, storage)
        device = next((i.device for i in inputs if isinstance(i, torch.Tensor)), None)
        found = tuple(
            torch.as_tensor(np.asarray(cell[0], out.type.dtype), device=device)
            for cell, out in zip(storage, node.outputs, strict=True)
        )
        return found if len(found) > 1 else found[0]

    return run


for kind in (KernelOp, Argmax):
    pytorch_funcify.register(kind)(by_numpy)


@pytorch_funcify.register(ScalarFromTensor)
def _scalar(op: Any, **kwargs: Any) -> Callable[..., Any]:
    # What was computed of shapes alone is a number.
    return lambda x: x[()] if isinstance(x, torch.Tensor) else x


@pytorch_funcify.register(EQ)
def _equal(op: Any, **kwargs: Any) -> Callable[..., Any]:
    # PyTensor takes `torch.equal`, which compares arrays as a whole.
    return torch.eq
