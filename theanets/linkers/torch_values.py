"""Values in programs of PyTorch: which are numbers on the host, tensors, and what fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from pytensor.graph.basic import Constant
from pytensor.scalar.basic import ScalarType
from pytensor.tensor.type import TensorType

from .torch_numpy import TensorLike


def tensor(value: Any, device: torch.device) -> Any:
    """Get an array of NumPy on a device; on the CPU without a copy. Nobody writes into it."""
    if isinstance(value, np.random.Generator):
        return TensorLike(value)
    if not isinstance(value, np.ndarray):
        return torch.as_tensor(value, device=device)
    if not (value.flags.c_contiguous and value.flags.writeable):
        value = np.array(value, order="C")  # what PyTorch refuses, or warns of
    return torch.from_numpy(value).to(device)


def is_number(variable: Any) -> bool:
    """Tell whether a variable is a number on the host: with no axes, or a constant of one entry."""
    kind = variable.type
    if isinstance(kind, ScalarType):
        return not kind.dtype.startswith("complex")
    return (
        isinstance(kind, TensorType)
        and all(n == 1 for n in kind.shape)
        and not kind.dtype.startswith("complex")
        and (kind.ndim == 0 or isinstance(variable, Constant))
    )


def is_shape(variable: Any) -> bool:
    """Tell whether a variable may be a tuple of integers on the host."""
    kind = variable.type
    return isinstance(kind, TensorType) and kind.ndim == 1 and kind.dtype.startswith(("int", "ui"))


def check_axes(stretched: Sequence[Sequence[bool]], tensors: Sequence[torch.Tensor]) -> None:
    """Refuse axes of length 1 that are beside longer ones, unless the graph says that they may be.

    PyTorch would repeat what lies along them, where the other linkers refuse.
    """
    lengths = zip(*(each.shape for each in tensors), strict=True)
    for axis, (found, may) in enumerate(zip(lengths, zip(*stretched, strict=True), strict=True)):
        alone = [n == 1 and not yes for n, yes in zip(found, may, strict=True)]
        if any(alone) and any(n != 1 for n in found):
            raise ValueError(
                f"arrays of lengths {found} along axis {axis}: one of length 1 is broadcast only "
                "if it is declared so, as by pytensor.tensor.specify_broadcastable"
            )


def check_bias(bias: torch.Tensor, weights: torch.Tensor) -> None:
    """Refuse a bias that PyTorch would repeat."""
    if len(bias) != weights.shape[1]:
        raise ValueError(
            f"arrays of {weights.shape[1]} columns and of length {len(bias)} cannot be broadcast"
        )
