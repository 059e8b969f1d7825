"""Random numbers for PyTorch: NumPy's on the CPU, and a device's own elsewhere.

On the CPU arrays of NumPy are tensors, and the same seed gives the numbers of the other linkers.
To another device they would have to go with each step. So there a generator gives but a seed for
each draw, and the device draws by that: other numbers, but the same ones for the same seed, and
for a run that goes on from a checkpoint, which has the generators.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pytensor.graph.basic import Apply
from pytensor.link.pytorch.dispatch import pytorch_funcify
from pytensor.tensor.random.basic import NormalRV, UniformRV
from pytensor.tensor.random.op import RandomVariable
from pytensor.tensor.random.utils import custom_rng_deepcopy
from pytensor.tensor.type_other import NoneTypeT

from .torch_numpy import TensorLike, by_numpy


def _normal(shape: tuple[int, ...], mean: Any, deviation: Any, **options: Any) -> torch.Tensor:
    return torch.randn(shape, **options) * deviation + mean


def _uniform(shape: tuple[int, ...], low: Any, high: Any, **options: Any) -> torch.Tensor:
    return torch.rand(shape, **options) * (high - low) + low


#: What a device draws by itself, which is all that networks of ours draw. NumPy draws the rest.
DRAWN: dict[type, Callable[..., torch.Tensor]] = {NormalRV: _normal, UniformRV: _uniform}


@pytorch_funcify.register(RandomVariable)
def draws(op: RandomVariable, node: Apply, **kwargs: Any) -> Callable[..., Any]:
    """Get the function that draws on PyTorch's device of now."""
    device = torch.get_default_device()
    if device.type == "cpu" or type(op) not in DRAWN or isinstance(node.inputs[1].type, NoneTypeT):
        return by_numpy(op, node)
    return on_device(op, node, device)


def on_device(op: RandomVariable, node: Apply, device: torch.device) -> Callable[..., Any]:
    """Get the function by which a device draws.

    Parameters
    ----------
    op : RandomVariable
        One of `DRAWN`.
    node : Apply
        The shape of what is drawn is among its inputs.
    device : torch.device
    """
    method, dtype = DRAWN[type(op)], getattr(torch, node.outputs[1].type.dtype)
    source = generator(device)

    @torch.compiler.disable
    def draw(state: TensorLike, size: Any, *params: Any) -> tuple[TensorLike, torch.Tensor]:
        after = state.generator if op.inplace else custom_rng_deepcopy(state.generator)
        source.manual_seed(int(after.integers(2**63)))
        shape = tuple(map(int, size))
        found = method(shape, *params, dtype=dtype, device=device, generator=source)
        return TensorLike(after), found

    return draw


def generator(device: torch.device) -> torch.Generator:
    """Make a generator of a device."""
    return torch.Generator(device)
