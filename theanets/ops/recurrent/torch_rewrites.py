"""Which recurrences PyTorch's own kernels compute: those of the same equations.

They do for `rnn` with relu or tanh, `gru` with ``reset_after``, and `lstm` without peepholes and
normalization. A product of the series with weights is part of it, if nothing else needs that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pytensor.tensor as pt
from pytensor.compile.mode import optdb
from pytensor.graph.basic import Apply
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.basic import GraphRewriter
from pytensor.link.c.type import generic
from pytensor.tensor.elemwise import DimShuffle
from pytensor.tensor.math import Dot
from pytensor.tensor.shape import Reshape

from .by_numpy import backward_inputs
from .cell import Cell, with_cotangents
from .operation import RecurrentBackward, RecurrentForward
from .torch_kernels import Kernel, KernelGradient
from .trace import Layout, trace

#: The tag of the rewrite, for `Mode.including`.
KERNELS = "theanets_torch_kernels"


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


@dataclass(frozen=True)
class _Product:
    """A product of series and weights that only a recurrence takes.

    Attributes
    ----------
    flat, weights : variable
        What is multiplied, (batch * time, width) and (width, size).
    shape : variable
        That of the product as series.
    back : list of lists of (variable, bool)
        For each gradient of the recurrence, what comes of that of the product: gradients of
        the weights, if true, or of what they multiply.
    """

    flat: Any
    weights: Any
    shape: Any
    back: list[list[tuple[Any, bool]]]


def _product(fgraph: FunctionGraph, node: Apply, gradients: Sequence[Apply]) -> _Product | None:
    """Get the product that a recurrence runs over, if nothing else needs it or its gradient."""
    z = node.inputs[0]
    shaped = z.owner
    if shaped is None or not isinstance(shaped.op, Reshape):
        return None
    dot = shaped.inputs[0].owner
    if dot is None or not isinstance(dot.op, Dot) or {v.type.ndim for v in dot.inputs} != {2}:
        return None
    clients = {client for client, _ in fgraph.clients[z]}
    if clients - {node, *gradients} or len(fgraph.clients[dot.outputs[0]]) > 1:
        return None
    flat, weights = dot.inputs
    back = []
    for gradient in gradients:
        found = []
        for client, _ in fgraph.clients[gradient.outputs[0]]:
            if not isinstance(client.op, Reshape) or client.op.ndim != 2:
                return None
            arriving = client.outputs[0]
            for other, _ in fgraph.clients[arriving]:
                if not isinstance(other.op, Dot):
                    return None
                first, second = other.inputs
                of_weights = second is arriving and _turned(first) is flat
                if not of_weights and not (first is arriving and _turned(second) is weights):
                    return None
                found.append((other.outputs[0], of_weights))
        back.append(found)
    return _Product(flat, weights, shaped.inputs[1], back)


def _turned(x: Any) -> Any:
    """Get what a variable is the transpose of."""
    node = x.owner
    turns = node is not None and isinstance(node.op, DimShuffle) and node.op.new_order == (1, 0)
    return node.inputs[0] if turns else None


def _replace(fgraph: FunctionGraph, node: Apply, form: Any, gradients: list[Apply]) -> None:
    op = node.op
    kept = [i for i, yes in enumerate(op.kept) if yes]
    final = node.outputs[len(kept) :]
    out = dict(zip(kept, node.outputs, strict=False)).get(_shown(op))
    kind = node.inputs[0].type.clone(shape=(None, None, None)) if out is None else out.type
    types = (kind, *(v.type for v in final), *([generic] if gradients else []))
    product = _product(fgraph, node, gradients)
    inputs = list(node.inputs)
    if product is not None:
        batch, times, _ = (product.shape[i] for i in range(3))
        series = product.flat.reshape((batch, times, product.flat.shape[1]))
        inputs = [series, *node.inputs[1:], product.weights]
    own = Kernel(form, op.reverse, bool(gradients), types, product is not None)
    new = own(*inputs, return_list=True)
    pairs = list(zip(final, new[1:], strict=False))
    if out is not None:
        pairs.append((out, new[0]))
    for i, gradient in enumerate(gradients):
        other = gradient.op
        stored = backward_inputs(with_cotangents(other.cell, other.given), other.given)
        arriving = gradient.inputs[len(node.inputs) + len(stored) :]
        places = ((0,) if any(other.given) else ()) + ((1,) if any(other.final) else ())
        given = gradient.outputs
        kinds = [inputs[0].type, *(v.type for v in given[1:])]
        kinds += [product.weights.type] if product is not None else []
        found = KernelGradient(places, tuple(kinds))(new[-1], *arriving, return_list=True)
        pairs += zip(given[1:], found[1:], strict=False)
        if product is None:
            pairs.append((given[0], found[0]))
            continue
        for variable, of_weights in product.back[i]:
            result = found[-1] if of_weights else found[0].reshape(product.flat.shape)
            pairs.append((variable, variable.type.filter_variable(result)))
    fgraph.replace_all(pairs, reason=KERNELS, import_missing=True)


class _UseKernels(GraphRewriter):
    def apply(self, fgraph: FunctionGraph) -> None:
        use_kernels(fgraph)


optdb.register(KERNELS, _UseKernels(), position=1000)
