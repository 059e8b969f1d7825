"""Recurrences by PyTorch's own kernels, which are cuDNN's on a GPU.

PyTorch multiplies the input of a recurrence by weights; where that was done before, these are
ones. It has one length for all series: those that are shorter go on, and what comes of that is
left out; backward they are turned around first, each by its own length.

A `Kernel` hands on PyTorch's own record of what it did in the place of the arrays that
`RecurrentBackward` reads, and a `KernelGradient` goes back by it. `torch_rewrites` tells where.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.pytorch.dispatch import pytorch_funcify

Function = Callable[..., Any]


class Kernel(Op):
    """A recurrence by PyTorch: the output of each step, final states, and, if taped, a record.

    Parameters
    ----------
    form : str
        ``'rnn_relu'``, ``'rnn_tanh'``, ``'gru'`` or ``'lstm'``.
    reverse : bool
    taped : bool
        Whether there is a gradient.
    types : tuple of Type
        Those of its outputs.
    product : bool
        Whether the last input is the weights that the first one is multiplied by.
    """

    __props__ = ("form", "reverse", "taped", "types", "product")
    records = True  # by PyTorch's own means, for the gradient

    def __init__(
        self, form: str, reverse: bool, taped: bool, types: tuple[Any, ...], product: bool = False
    ) -> None:
        self.form, self.reverse, self.taped, self.types = form, reverse, taped, types
        self.product = product

    def make_node(self, *inputs: Any) -> Apply:
        """Apply it to the inputs of `RecurrentForward`, and weights."""
        return Apply(self, list(inputs), [kind() for kind in self.types])

    def perform(self, node: Apply, inputs: Any, storage: Any) -> None:
        """Compute arrays of NumPy."""
        _perform(_kernel(self), inputs, storage)


class KernelGradient(Op):
    """The derivative of a `Kernel`, from its record and the cotangents of what it returned.

    Parameters
    ----------
    places : tuple of int
        Of which outputs there are cotangents.
    types : tuple of Type
        Those of the gradients, of all inputs but the lengths.
    """

    __props__ = ("places", "types")

    def __init__(self, places: tuple[int, ...], types: tuple[Any, ...]) -> None:
        self.places, self.types = places, types

    def make_node(self, *inputs: Any) -> Apply:
        """Apply it to a record and to cotangents."""
        return Apply(self, list(inputs), [kind() for kind in self.types])

    def perform(self, node: Apply, inputs: Any, storage: Any) -> None:
        """Compute arrays of NumPy."""
        _perform(_gradient(self), inputs, storage)


def _perform(function: Function, inputs: Any, storage: Any) -> None:
    tensors = [i if isinstance(i, tuple) else torch.as_tensor(i) for i in inputs]
    for cell, value in zip(storage, function(*tensors), strict=True):
        cell[0] = value.numpy() if isinstance(value, torch.Tensor) else value


@pytorch_funcify.register(Kernel)
def _kernel(op: Kernel, **kwargs: Any) -> Function:
    def run(z: Any, lengths: Any, *others: Any) -> tuple[Any, ...]:
        leaves = [z, *others]
        if not op.taped:
            return _results(op, lengths, leaves)
        leaves = [leaf.detach().requires_grad_() for leaf in leaves]
        with torch.enable_grad():
            results = _results(op, lengths, leaves)
        return (*(result.detach() for result in results), (leaves, results))

    return run


@pytorch_funcify.register(KernelGradient)
def _gradient(op: KernelGradient, **kwargs: Any) -> Function:
    def run(tape: Any, *cotangents: Any) -> tuple[Any, ...]:
        leaves, results = tape
        pairs = [(results[place], g) for place, g in zip(op.places, cotangents, strict=True)]
        pairs = [(result, g) for result, g in pairs if result.requires_grad]
        found: Sequence[Any] = [None] * len(leaves)
        if pairs:
            wanted, given = zip(*pairs, strict=True)
            # There may be several gradients.
            found = torch.autograd.grad(wanted, leaves, given, retain_graph=True, allow_unused=True)
        each = zip(found, leaves, strict=True)
        return tuple(torch.zeros_like(x, requires_grad=False) if g is None else g for g, x in each)

    return run


def _results(op: Kernel, lengths: Any, leaves: Sequence[Any]) -> tuple[Any, ...]:
    z, others, states = leaves[0], leaves[1:], leaves[1 : 3 if op.form == "lstm" else 2]
    batch, times, _ = z.shape
    if op.product:
        *others, weights = others
    else:
        weights = torch.eye(z.shape[2], dtype=z.dtype, device=z.device)
    if not (batch and times):
        return (z.new_zeros((batch, times, states[0].shape[1])), *states)
    # To look at lengths on a GPU would be to wait for it.
    if lengths.device.type == "cpu" and bool((lengths == times).all()):
        z = z.flip(1) if op.reverse else z
        out, *final = _KERNELS[op.form](z, others, weights.t(), op.taped)
        return (out.flip(1) if op.reverse else out, *final)
    steps = torch.arange(times, device=z.device)
    exists = steps < lengths[:, None]
    places = torch.where(exists, lengths[:, None] - 1 - steps, steps)
    z = torch.where(exists[:, :, None], z, 0)
    z = _taken(z, places) if op.reverse else z
    out, *final = _KERNELS[op.form](z, others, weights.t(), op.taped)
    ends = _taken(out, (lengths - 1).clamp_min(0)[:, None])[:, 0]
    final[0] = torch.where(lengths[:, None] > 0, ends, states[0])
    out = torch.where(exists[:, :, None], out, 0)
    return (_taken(out, places) if op.reverse else out, *final)


def _taken(x: Any, places: Any) -> Any:
    """Get the steps at some places, (batch, steps)."""
    return x.gather(1, places[:, :, None].expand(-1, -1, x.shape[2]))


# ---- PyTorch's kernels ---------------------------------------------------------------


def _by_rnn(kernel: Any, z: Any, others: Any, weights: Any, taped: bool) -> tuple[Any, ...]:
    h, b, hh = others
    params = [weights, hh.t(), b, torch.zeros_like(b)]
    return _called(kernel, z, h[None].contiguous(), params, taped)


def _by_gru(z: Any, others: Any, weights: Any, taped: bool) -> tuple[Any, ...]:
    h, b, bh, hh = others
    n = h.shape[1]

    def turned(x: Any) -> Any:
        # PyTorch has reset, rate, hidden; and its rate is that at which a state stays.
        return torch.cat([x[n : 2 * n], -x[2 * n :], x[:n]])

    none = torch.zeros_like(bh)
    params = [turned(weights), turned(hh.t()), turned(b), torch.cat([none, none, bh])]
    return _called(torch.gru, z, h[None].contiguous(), params, taped)


def _by_lstm(z: Any, others: Any, weights: Any, taped: bool) -> tuple[Any, ...]:
    h, c, b, hh = others
    params = [weights, hh.t(), b, torch.zeros_like(b)]
    return _called(torch.lstm, z, (h[None].contiguous(), c[None].contiguous()), params, taped)


_KERNELS: dict[str, Function] = {
    "rnn_relu": partial(_by_rnn, torch.rnn_relu),
    "rnn_tanh": partial(_by_rnn, torch.rnn_tanh),
    "gru": _by_gru,
    "lstm": _by_lstm,
}


def _called(kernel: Any, z: Any, states: Any, params: Any, taped: bool) -> tuple[Any, ...]:
    # With biases, one layer, no dropout, to be differentiated or not, one direction, batch first.
    out, *final = kernel(z.contiguous(), states, params, True, 1, 0.0, taped, False, True)
    return (out, *(state[0] for state in final))
