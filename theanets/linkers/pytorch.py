"""PyTorch: a graph as one Python function, which `torch.compile` compiles."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from pytensor.link.pytorch.linker import PytorchLinker

from .base import Compiled


class PyTorch(Compiled):
    """Knows recurrences, convolutions and pooling; what it does not know NumPy computes."""

    mode = "PYTORCH"
    kinds = (PytorchLinker,)
    package = "torch"
    dispatch = "pytensor.link.pytorch.dispatch"
    forms = ("linkers.torch_numpy", "ops.recurrent.by_torch", "ops.windows.by_torch")

    def compiling(self) -> AbstractContextManager[None]:
        """Tell it what only our functions need; see `torch_setup`, which imports PyTorch."""
        from . import torch_setup  # noqa: F401

        return nullcontext()
