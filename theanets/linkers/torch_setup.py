"""What only our functions tell PyTensor's PyTorch linker before it compiles a network.

What it does not know is done by NumPy: right, but on the CPU, and with a copy for each from
and to a device. So are random numbers: the same seed gives those of the other linkers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytensor.graph.op import Op
from pytensor.link.pytorch.dispatch import pytorch_funcify
from pytensor.raise_op import CheckAndRaise
from pytensor.tensor.math import Argmax
from pytensor.tensor.random.op import RandomVariable

from .torch_numpy import by_numpy

for kind in (Argmax, RandomVariable):
    pytorch_funcify.register(kind)(by_numpy)


@pytorch_funcify.register(CheckAndRaise)
def _unchecked(op: Op, **kwargs: Any) -> Callable[..., Any]:
    # Data are checked before they get there; `torch.compile` would stop at each check.
    return lambda x, *conditions: x
