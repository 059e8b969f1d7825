"""Recurrences by PyTorch's own kernels, which are cuDNN's on a GPU, where the equations agree.

They do for `rnn` with relu or tanh, `gru` with ``reset_after``, and `lstm` without peepholes and
normalization. PyTorch multiplies the input of a recurrence by weights; here that was done
before, so that these are ones. It has one length for all series: those that are shorter go on,
and what comes of that is left out; backward they are turned around first, each by its own length.

A `Kernel` hands on PyTorch's own record of what it did in the place of the arrays that
`RecurrentBackward` reads, and a `KernelGradient` goes back by it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import pytensor.tensor as pt
import torch
from pytensor.compile.mode import optdb
from pytensor.graph.basic import Apply
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import GraphRewriter
from pytensor.link.c.type import generic
from pytensor.link.pytorch.dispatch import pytorch_funcify

from .by_numpy import backward_inputs
from .cell import Cell, with_cotangents
from .operation import RecurrentBackward, RecurrentForward
from .trace import Layout, trace

#: The tag of the rewrite, for `Mode.including`.
KERNELS = "theanets_torch_kernels"

Function = Callable[..., Any]


# ---- which recurrences they are ----------------------------------------------------


def _rnn(activation: Any) -> Any:
    def step(x: Any, s: Any, v: Any, dot: Any, count: Any) -> Any:
        (through,) = dot("hh", s.h)
        pre = x.h + through + v.b
        out = activation(pre)
        return {"h": out}, {"out": out, "pre": pre}

    return step


def _gru(x: Any, s: Any, v: Any, dot: Any, count: Any) -> Any:
    hid_bias, reset_bias, rate_bias = v.b
    through, hr, hz = dot("hh", s.h)
    reset = pt.sigmoid(x.reset + hr + reset_bias)
    rate = pt.sigmoid(x.rate + hz + rate_bias)
    pre = x.hid + reset * (through + v.bh) + hid_bias
    hid = pt.tanh(pre)
    out = s.h + rate * (hid - s.h)
    return {"h": out}, {"out": out, "pre": pre, "hid": hid, "rate": rate}


def _lstm(x: Any, s: Any, v: Any, dot: Any, count: Any) -> Any:
    parts = zip([x.i, x.f, x.c, x.o], dot("hh", s.h), v.b, strict=True)
    i, f, c, o = (a + b + bias for a, b, bias in parts)
    cell = pt.sigmoid(f) * s.c + pt.sigmoid(i) * pt.tanh(c)
    out = pt.sigmoid(o) * pt.tanh(cell)
    return {"h": out, "c": cell}, {"out": out, "cell": cell}


def _layout(blocks: Sequence[str], states: str, **vectors: Any) -> Layout:
    n = len(blocks)
    packed: Any = ("n",) * n
    return Layout(
        sizes=("n",),
        blocks=dict.fromkeys(blocks, "n"),
        states=dict.fromkeys(states, "n"),
        vectors={"b": packed if n > 1 else "n", **vectors},
        dots={"hh": ("n", packed)},
    )


FORMS: dict[str, tuple[Layout, Any]] = {
    "rnn_relu": (_layout("h", "h"), _rnn(lambda x: pt.switch(x <= 0, 0, x))),
    "rnn_tanh": (_layout("h", "h"), _rnn(pt.tanh)),
    "gru": (_layout(("hid", "reset", "rate"), "h", bh="n"), _gru),
    "lstm": (_layout("ifco", "hc"), _lstm),
}


@lru_cache
def _known(dtype: str) -> dict[Cell, str]:
    """Get the cells that PyTorch has kernels for."""
    return {trace(layout, step, dtype)[0]: form for form, (layout, step) in FORMS.items()}


# ---- the operations ----------------------------------------------------------------


class Kernel(Op):
    """A recurrence by PyTorch: the output of each step, final states, and, if taped, a record.

    Parameters
    ----------
    form : str
        One of `FORMS`.
    reverse : bool
    taped : bool
        Whether there is a gradient.
    types : tuple of Type
        Those of its outputs.
    """

    __props__ = ("form", "reverse", "taped", "types")
    records = True  # by PyTorch's own means, for the gradient

    def __init__(self, form: str, reverse: bool, taped: bool, types: tuple[Any, ...]) -> None:
        self.form, self.reverse, self.taped, self.types = form, reverse, taped, types

    def make_node(self, *inputs: Any) -> Apply:
        """Apply it to the inputs of `RecurrentForward`."""
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
    z, states = leaves[0], leaves[1 : 3 if op.form == "lstm" else 2]
    batch, times, _ = z.shape
    if not (batch and times):
        return (z.new_zeros((batch, times, states[0].shape[1])), *states)
    # To look at lengths on a GPU would be to wait for it.
    if lengths.device.type == "cpu" and bool((lengths == times).all()):
        z = z.flip(1) if op.reverse else z
        out, *final = _KERNELS[op.form](z, leaves[1:], op.taped)
        return (out.flip(1) if op.reverse else out, *final)
    steps = torch.arange(times, device=z.device)
    exists = steps < lengths[:, None]
    places = torch.where(exists, lengths[:, None] - 1 - steps, steps)
    z = torch.where(exists[:, :, None], z, 0)
    z = _taken(z, places) if op.reverse else z
    out, *final = _KERNELS[op.form](z, leaves[1:], op.taped)
    ends = _taken(out, (lengths - 1).clamp_min(0)[:, None])[:, 0]
    final[0] = torch.where(lengths[:, None] > 0, ends, states[0])
    out = torch.where(exists[:, :, None], out, 0)
    return (_taken(out, places) if op.reverse else out, *final)


def _taken(x: Any, places: Any) -> Any:
    """Get the steps at some places, (batch, steps)."""
    return x.gather(1, places[:, :, None].expand(-1, -1, x.shape[2]))


# ---- PyTorch's kernels ---------------------------------------------------------------


def _by_rnn(kernel: Any, z: Any, others: Sequence[Any], taped: bool) -> tuple[Any, ...]:
    h, b, hh = others
    params = [_ones(z), hh.t(), b, torch.zeros_like(b)]
    return _called(kernel, z, h[None].contiguous(), params, taped)


def _by_gru(z: Any, others: Sequence[Any], taped: bool) -> tuple[Any, ...]:
    h, b, bh, hh = others
    n = h.shape[1]

    def turned(x: Any) -> Any:
        # PyTorch has reset, rate, hidden; and its rate is that at which a state stays.
        return torch.cat([x[n : 2 * n], -x[2 * n :], x[:n]])

    none = torch.zeros_like(bh)
    params = [turned(_ones(z)), turned(hh.t()), turned(b), torch.cat([none, none, bh])]
    return _called(torch.gru, z, h[None].contiguous(), params, taped)


def _by_lstm(z: Any, others: Sequence[Any], taped: bool) -> tuple[Any, ...]:
    h, c, b, hh = others
    params = [_ones(z), hh.t(), b, torch.zeros_like(b)]
    return _called(torch.lstm, z, (h[None].contiguous(), c[None].contiguous()), params, taped)


_KERNELS: dict[str, Function] = {
    "rnn_relu": partial(_by_rnn, torch.rnn_relu),
    "rnn_tanh": partial(_by_rnn, torch.rnn_tanh),
    "gru": _by_gru,
    "lstm": _by_lstm,
}


def _ones(z: Any) -> Any:
    return torch.eye(z.shape[2], dtype=z.dtype, device=z.device)


def _called(kernel: Any, z: Any, states: Any, params: Any, taped: bool) -> tuple[Any, ...]:
    # With biases, one layer, no dropout, to be differentiated or not, one direction, batch first.
    out, *final = kernel(z.contiguous(), states, params, True, 1, 0.0, taped, False, True)
    return (out, *(state[0] for state in final))


# ---- the rewrite -----------------------------------------------------------------------


def use_kernels(fgraph: FunctionGraph) -> None:
    """Let PyTorch's kernels run the recurrences of a graph that they are for."""
    for node in fgraph.toposort():
        if isinstance(node.op, RecurrentForward):
            form = _known(node.op.dtype).get(node.op.cell)
            gradients = None if form is None else _gradients(fgraph, node)
            if gradients is not None:
                _replace(fgraph, node, form, gradients)


def _shown(op: Any) -> int:
    """Get which array of a cell's is that of its first state."""
    return op.cell.array(op.cell.trajectory(0))


def _gradients(fgraph: FunctionGraph, node: Apply) -> list[Apply] | None:
    """Get the gradients of a recurrence; None where more is asked for than kernels give."""
    op = node.op
    found: dict[Apply, None] = {}
    kept = [i for i, yes in enumerate(op.kept) if yes]
    own = len(node.inputs)
    for variable, array in zip(node.outputs, kept, strict=False):
        for client, _ in fgraph.clients[variable]:
            other = getattr(client, "op", None)
            if isinstance(other, RecurrentBackward) and client.inputs[:own] == node.inputs:
                found[client] = None
            elif array != _shown(op):
                return None
    if any(fgraph.clients[variable] for variable in node.outputs[len(kept) + 1 :]):
        return None  # of series of different lengths, there is no final cell
    for client in found:
        other = client.op
        given = [i for i, yes in enumerate(other.given) if yes]
        if other.limit or other.reverse != op.reverse or any(other.final[1:]):
            return None
        if given not in ([], [_shown(op)]):
            return None
    return list(found)


def _replace(fgraph: FunctionGraph, node: Apply, form: Any, gradients: list[Apply]) -> None:
    op = node.op
    kept = [i for i, yes in enumerate(op.kept) if yes]
    final = node.outputs[len(kept) :]
    out = dict(zip(kept, node.outputs, strict=False)).get(_shown(op))
    kind = node.inputs[0].type.clone(shape=(None, None, None)) if out is None else out.type
    types = (kind, *(v.type for v in final), *([generic] if gradients else []))
    new = Kernel(form, op.reverse, bool(gradients), types)(*node.inputs, return_list=True)
    pairs = list(zip(final, new[1:], strict=False))
    if out is not None:
        pairs.append((out, new[0]))
    for gradient in gradients:
        other = gradient.op
        stored = backward_inputs(with_cotangents(other.cell, other.given), other.given)
        arriving = gradient.inputs[len(node.inputs) + len(stored) :]
        places = ((0,) if any(other.given) else ()) + ((1,) if any(other.final) else ())
        back = KernelGradient(places, tuple(v.type for v in gradient.outputs))
        pairs += zip(gradient.outputs, back(new[-1], *arriving, return_list=True), strict=True)
    fgraph.replace_all(pairs, reason=KERNELS, import_missing=True)


class _UseKernels(GraphRewriter):
    def apply(self, fgraph: FunctionGraph) -> None:
        use_kernels(fgraph)


optdb.register(KERNELS, _UseKernels(), position=1000)
