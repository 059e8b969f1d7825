"""What PyTensor's PyTorch linker does not compile, or gets wrong, of its own Ops.

Gradients of our Ops are made of these, so all functions have them and not ours alone: each of
them gives what the other linkers give, where PyTensor's stops with an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from pytensor.graph.basic import Apply, Constant
from pytensor.graph.op import Op
from pytensor.link.pytorch.dispatch import pytorch_funcify
from pytensor.scalar.basic import EQ, Mod
from pytensor.tensor.basic import MakeVector, ScalarFromTensor
from pytensor.tensor.shape import Reshape
from pytensor.tensor.subtensor import IncSubtensor, Subtensor, indices_from_subtensor


@pytorch_funcify.register(ScalarFromTensor)
def _scalar(op: Op, **kwargs: Any) -> Callable[..., Any]:
    # What was computed of shapes alone is a number.
    return lambda x: x[()] if isinstance(x, torch.Tensor) else x


@pytorch_funcify.register(EQ)
def _equal(op: Op, **kwargs: Any) -> Callable[..., Any]:
    # PyTensor takes `torch.equal`, which compares arrays as a whole.
    return torch.eq


@pytorch_funcify.register(Mod)
def _mod(op: Op, **kwargs: Any) -> Callable[..., Any]:
    return torch.remainder


_reshape = pytorch_funcify.dispatch(Reshape)


@pytorch_funcify.register(Reshape)
def _reshape_known(op: Op, node: Apply, **kwargs: Any) -> Callable[..., Any]:
    made = node.inputs[1].owner
    if made is None or not isinstance(made.op, MakeVector):
        return _reshape(op, node=node, **kwargs)
    shape = [int(n.data) if isinstance(n, Constant) else -1 for n in made.inputs]
    if shape.count(-1) > 1 or 0 in shape:
        return _reshape(op, node=node, **kwargs)
    # `torch.compile` would stop to find out what comes of the length of another array.
    return lambda x, _: torch.reshape(x, shape)


# ---- slices that run backward ----------------------------------------------------

_subtensor = pytorch_funcify.dispatch(Subtensor)
_inc_subtensor = pytorch_funcify.dispatch(IncSubtensor)


def _runs_backward(index: Any) -> bool:
    step = index.step if isinstance(index, slice) else None
    return isinstance(step, Constant) and int(step.data) < 0


def _forward(indices: Sequence[Any], shape: Sequence[int]) -> tuple[tuple[Any, ...], list[int]]:
    """Get indices of the same entries that run forward, and the axes to turn around.

    The latter are axes of what the indices find, counted from the last.
    """
    found: list[Any] = []
    kept, turned = 0, []
    for index, n in zip(indices, shape, strict=False):
        if isinstance(index, slice):
            parts = (index.start, index.stop, index.step)
            entries = range(n)[slice(*(None if part is None else int(part) for part in parts))]
            if entries.step < 0:
                turned.append(kept)
                entries = entries[::-1]
            # The end of none at all may be -1, which would be the last.
            index = slice(entries.start, max(entries.stop, entries.start), entries.step)
            kept += 1
        else:
            index = int(index)
        found.append(index)
    many = kept + len(shape) - len(found)
    return tuple(found), [axis - many for axis in turned]


@pytorch_funcify.register(Subtensor)
def _slice(op: Op, node: Apply, **kwargs: Any) -> Callable[..., Any]:
    values = _indices(op, node.inputs[1:])
    if values is None:
        return _subtensor(op, node=node, **kwargs)

    def subtensor(x: Any, *others: Any) -> Any:
        forward, turned = _forward(values(others), x.shape)
        return x[forward].flip(turned)

    return subtensor


@pytorch_funcify.register(IncSubtensor)
def _slice_of(op: Op, node: Apply, **kwargs: Any) -> Callable[..., Any]:
    values = _indices(op, node.inputs[2:])
    if values is None:
        return _inc_subtensor(op, node=node, **kwargs)

    def inc_subtensor(x: Any, y: Any, *others: Any) -> Any:
        forward, turned = _forward(values(others), x.shape)
        y = y.flip([axis for axis in turned if axis >= -y.ndim])
        x = x if op.inplace else x.clone()
        x[forward] = y if op.set_instead_of_inc else x[forward] + y
        return x

    return inc_subtensor


def _indices(op: Op, variables: Sequence[Any]) -> Callable[[Sequence[Any]], Any] | None:
    """Get what makes indices of an Op's inputs, or None where none runs backward."""
    if not any(map(_runs_backward, indices_from_subtensor(variables, op.idx_list))):
        return None
    known = [int(v.data) if isinstance(v, Constant) else None for v in variables]

    def values(given: Sequence[Any]) -> Any:
        pairs = zip(known, given, strict=True)
        return indices_from_subtensor([g if k is None else k for k, g in pairs], op.idx_list)

    return values
