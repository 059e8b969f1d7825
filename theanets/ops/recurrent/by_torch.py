"""The Ops of `recurrent` for PyTorch, step by step.

`torch.compile` would unroll the loop, and compile anew for each number of steps, so it
leaves these functions as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pytensor.link.pytorch.dispatch import pytorch_funcify

from . import arrays
from .operation import RecurrentBackward, RecurrentForward
from .scalars import functions


def _each(function: Callable[..., Any], *trees: Any) -> Any:
    """Apply a function to the arrays at the same place of several tuples, lists and dicts."""
    first = trees[0]
    if isinstance(first, dict):
        return {key: _each(function, *(tree[key] for tree in trees)) for key in first}
    if isinstance(first, list | tuple):
        return type(first)(_each(function, *parts) for parts in zip(*trees, strict=True))
    return function(*trees)


def scan(step: Any, carry: Any, series: Any, reverse: bool) -> tuple[Any, Any]:
    """Run a loop, as `jax.lax.scan`."""
    times = series[0].shape[0]
    if times == 0:
        # A step of zeros tells which results there would be, and of which shape.
        _, found = step(carry, _each(lambda x: x.new_zeros(x.shape[1:]), series))
        return carry, _each(lambda x: x.new_zeros((0, *x.shape)), found)
    results = []
    for t in reversed(range(times)) if reverse else range(times):
        carry, found = step(carry, _each(lambda x, t=t: x[t], series))
        results.append(found)
    results = results[::-1] if reverse else results
    return carry, _each(lambda *x: torch.stack(x), *results)


LIBRARY = arrays.Library(
    xp=torch,
    operations=functions("torch", np=torch, expit=torch.sigmoid, F=lambda number: number),
    array=lambda x, like: torch.as_tensor(x, dtype=like.dtype, device=like.device),
    scan=scan,
)


@pytorch_funcify.register(RecurrentForward)
def _forward(op: RecurrentForward, **kwargs: Any) -> arrays.Function:
    return torch.compiler.disable(arrays.forward(op, LIBRARY))


@pytorch_funcify.register(RecurrentBackward)
def _backward(op: RecurrentBackward, **kwargs: Any) -> arrays.Function:
    return torch.compiler.disable(arrays.backward(op, LIBRARY))
