"""PyTorch: a graph as one Python function that calls it, operation by operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from pytensor.compile.mode import Mode
from pytensor.link.pytorch.linker import PytorchLinker

from .base import Compiled, Make


class PyTorch(Compiled):
    """Knows attention, recurrences and windows; what it does not know NumPy computes."""

    mode = "PYTORCH"
    kinds = (PytorchLinker,)
    compiles_when_called = False
    package = "torch"
    dispatch = "pytensor.link.pytorch.dispatch"
    forms = (
        "linkers.torch_numpy",
        "linkers.torch_repairs",
        "ops.attention.by_torch",
        "ops.recurrent.by_torch",
        "ops.recurrent.torch_kernels",
        "ops.sequences.chain_by_torch",
        "ops.sequences.ctc_by_torch",
        "ops.windows.by_torch",
    )

    def devices(self) -> list[str]:
        import torch

        return [f"cuda:{i}" for i in range(torch.cuda.device_count())] + ["cpu"]

    def on(self, names: Sequence[str]) -> Callable[[], AbstractContextManager[Any]] | None:
        import torch

        (name,) = self.find_devices(names)
        return partial(torch.device, name)

    def rewritten(self, mode: Mode) -> Mode:
        """Take a linker of ours in the place of PyTensor's, and PyTorch's recurrences."""
        from ..ops.recurrent.torch_rewrites import KERNELS
        from .torch_function import StepLinker

        return Mode(StepLinker(), mode.provided_optimizer, db=mode.optdb).including(KERNELS)

    def compile(
        self, make: Make, inputs: Sequence[Any], outputs: Any, updates: Mapping[Any, Any]
    ) -> Any:
        """Compile expressions, to a function that can hold arrays on the device."""
        from .torch_function import Held

        return Held(make(inputs, outputs, updates))
