"""PyTorch: a graph as one Python function, which `torch.compile` compiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from pytensor.link.pytorch.linker import PytorchLinker

from .base import Compiled


class PyTorch(Compiled):
    """Knows attention, recurrences and windows; what it does not know NumPy computes."""

    mode = "PYTORCH"
    kinds = (PytorchLinker,)
    package = "torch"
    dispatch = "pytensor.link.pytorch.dispatch"
    forms = (
        "linkers.torch_numpy",
        "linkers.torch_repairs",
        "ops.attention.by_torch",
        "ops.recurrent.by_torch",
        "ops.windows.by_torch",
    )

    def devices(self) -> list[str]:
        import torch

        return [f"cuda:{i}" for i in range(torch.cuda.device_count())] + ["cpu"]

    def on(self, names: Sequence[str]) -> Callable[[], AbstractContextManager[Any]] | None:
        import torch

        (name,) = self.find_devices(names)
        return partial(torch.device, name)

    def compiling(self) -> AbstractContextManager[None]:
        """Tell it what only our functions need; see `torch_setup`, which imports PyTorch."""
        from . import torch_setup  # noqa: F401

        return nullcontext()
