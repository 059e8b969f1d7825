"""Ops of ours that NumPy computes for PyTorch: on the CPU, with copies from and to a device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.link.pytorch.dispatch import pytorch_funcify, pytorch_typify
from pytensor.tensor.type import TensorType

from ..ops.base import KernelOp


class TensorLike:
    """A NumPy generator that goes through PyTorch's functions as tensors do."""

    def __init__(self, generator: np.random.Generator) -> None:
        self.generator = generator

    def cpu(self) -> TensorLike:
        return self

    def clone(self) -> TensorLike:
        return self  # nothing advances one in place

    def numpy(self) -> np.random.Generator:
        return self.generator


@pytorch_typify.register(np.random.Generator)
def _as_tensor(generator: np.random.Generator, **kwargs: Any) -> TensorLike:
    return TensorLike(generator)


def by_numpy(op: Op, node: Apply, **kwargs: Any) -> Callable[..., Any]:
    """Get a function of tensors that calls an Op's ``perform``."""
    here = torch.get_default_device()

    def array(x: torch.Tensor | TensorLike, variable: Variable) -> Any:
        if not isinstance(variable.type, TensorType):
            return x.generator if isinstance(x, TensorLike) else x
        return np.asarray(x.detach().cpu() if isinstance(x, torch.Tensor) else x, variable.dtype)

    def tensor(x: Any, variable: Variable, device: Any) -> Any:
        if isinstance(x, np.random.Generator):
            return TensorLike(x)
        return torch.as_tensor(np.asarray(x, variable.type.dtype), device=device)

    @torch.compiler.disable
    def run(*inputs: Any) -> Any:
        arrays = [array(i, v) for i, v in zip(inputs, node.inputs, strict=True)]
        storage: list[Any] = [[None] for _ in node.outputs]
        op.perform(node, arrays, storage)
        # Draws have but their size for an input, which is nowhere.
        device = next((i.device for i in inputs if isinstance(i, torch.Tensor) and i.ndim), here)
        found = tuple(
            tensor(cell[0], out, device) for cell, out in zip(storage, node.outputs, strict=True)
        )
        return found if len(found) > 1 else found[0]

    return run


pytorch_funcify.register(KernelOp)(by_numpy)
