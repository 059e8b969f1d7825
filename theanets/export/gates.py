"""The recurrences that ONNX has operators for: LSTM, GRU and RNN.

Whether a recurrence is one of these is told by its equations, which are compared as the data
that `theanets.ops.recurrent` makes of them: so it does not matter which layer they come from.
The operators take the series itself, and its weights, so the product with these is taken apart.
They give the main output at each step and the last states. Where something else is looked at,
such as a cell at each step, the recurrence stays a scan.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.basic import Alloc, MakeVector
from pytensor.tensor.math import Dot
from pytensor.tensor.shape import Reshape

from ..graph import Graph
from ..layers import Input, Layer
from ..ops.recurrent import RecurrentForward, trace
from ..ops.recurrent.cell import Cell
from ..ops.recurrent.values import LEAVES
from .writer import Writer, onnx_type

#: What ONNX calls the activations that it has, too, without parameters.
ACTIVATIONS = {"tanh": "Tanh", "relu": "Relu", "sigmoid": "Sigmoid"}


@dataclass(frozen=True)
class Operator:
    """An operator, and how it takes what a recurrence has.

    Attributes
    ----------
    kind : str
        Its name.
    arrange : callable
        Of the matrix of the input, vectors and weights of the recurrence: gets
        W, R, B and P as ONNX has them, without the axis of directions; P may be None.
    attributes : tuple of pairs
    """

    kind: str
    arrange: Callable[[Any, Sequence[Any], Sequence[Any]], tuple[Any, Any, Any, Any]]
    attributes: tuple[tuple[str, Any], ...] = ()


def _blocks(packed: Any, count: int, order: Sequence[int]) -> list[Any]:
    """Get some of the parts, of equal width, that the last axis holds."""
    n = packed.shape[packed.ndim - 1] // count
    return [packed[..., i * n : (i + 1) * n] for i in order]


def _joined(*parts: Any) -> Any:
    return pt.concatenate(parts, axis=-1)


def _lstm(w: Any, vectors: Sequence[Any], weights: Sequence[Any]) -> tuple[Any, Any, Any, Any]:
    # i, f, c, o here and i, o, f, c there.
    w, r, bias = (_joined(*_blocks(x, 4, (0, 3, 1, 2))) for x in (w, weights[0], vectors[0]))
    peepholes = None
    if len(vectors) > 1:
        ci, cf, co = vectors[1:]
        peepholes = _joined(ci, co, cf)
    return w.T, r.T, _joined(bias, pt.zeros_like(bias)), peepholes


def _gru(w: Any, vectors: Sequence[Any], weights: Sequence[Any]) -> tuple[Any, Any, Any, Any]:
    # Hidden, reset and rate here, and there rate, reset, hidden: of a rate that is what the
    # state keeps, and not what it takes.
    def turned(hid: Any, reset: Any, rate: Any) -> Any:
        return _joined(-rate, reset, hid)

    w, bias = turned(*_blocks(w, 3, range(3))), turned(*_blocks(vectors[0], 3, range(3)))
    if len(weights) == 1:
        r, zero = turned(*_blocks(weights[0], 3, range(3))), pt.zeros_like(vectors[1])
        return w.T, r.T, _joined(bias, zero, zero, vectors[1]), None
    r = turned(weights[1], *_blocks(weights[0], 2, range(2)))
    return w.T, r.T, _joined(bias, pt.zeros_like(bias)), None


def _rnn(w: Any, vectors: Sequence[Any], weights: Sequence[Any]) -> tuple[Any, Any, Any, Any]:
    return w.T, weights[0].T, _joined(vectors[0], pt.zeros_like(vectors[0])), None


def _equations(cell: Cell) -> Hashable:
    """Get what a step does to states, whatever else a cell says."""
    said: list[Any] = []
    for value in cell.values:
        args = value.args if value.op in LEAVES else tuple(said[a] for a in value.args)
        said.append(sha256(repr((value.op, args, value.dim)).encode()).hexdigest())
    dots = tuple((said[dot.value], dot.dim, dot.dims) for dot in cell.dots)
    arrays = (cell.blocks, cell.states, cell.vectors)
    return (*arrays, dots, tuple(said[value] for value in cell.next))


def _of(form: str, **options: Any) -> Hashable:
    """Get the equations of a layer."""
    graph = Graph()
    graph.add(Input("in", shape=(None, 1)))
    layer: Any = Layer.build(form, "layer", size=1, **options)
    graph.add(layer)
    return _equations(trace(layer.layout(), layer.formulas, graph.dtype)[0])


@cache
def _operators(states: int, blocks: int) -> dict[Hashable, Operator]:
    """Get the operators of so many states and gates, by the equations that they have."""
    if (states, blocks) == (2, 4):
        return {_of("lstm", peepholes=yes): Operator("LSTM", _lstm) for yes in (False, True)}
    found: dict[Hashable, Operator] = {}
    for ours, theirs in ACTIVATIONS.items() if states == 1 else ():
        if blocks == 1:
            plain = Operator("RNN", _rnn, (("activations", [theirs]),))
            found[_of("rnn", activation=ours)] = plain
        if blocks == 3:
            gates = ("activations", ["Sigmoid", theirs])
            after = Operator("GRU", _gru, (gates, ("linear_before_reset", 1)))
            found[_of("gru", activation=ours)] = Operator("GRU", _gru, (gates,))
            found[_of("gru", activation=ours, reset_after=True)] = after
    return found


def native(
    op: RecurrentForward, inputs: Sequence[Any], used: Sequence[bool], write: Writer
) -> list[str | None] | None:
    """Write a recurrence as one operator; None where there is none."""
    states, vectors, weights, _ = op.split(inputs)
    known = _operators(len(states), len(op.cell.blocks))
    parts, operator = _factors(inputs[0]), known.get(_equations(op.cell))
    # onnxruntime has these operators for float32 alone.
    if operator is None or parts is None or write.type_of(op.dtype) != "float32":
        return None
    # The arrays of all steps come first, then the last states.
    arrays = [i for i, yes in enumerate(op.kept) if yes]
    main = op.cell.array(op.cell.trajectory(0))
    others = [yes for i, yes in zip(arrays, used, strict=False) if i != main]
    if any(others) or not all(x in write.values for x in weights):
        return None
    series, matrix, time = _as_it_came(*parts, write)
    steps, exist = _steps(inputs[1], time, write)
    *params, peepholes = operator.arrange(matrix, vectors, weights)
    given = write.run([series.dimshuffle(1, 0, 2), *(x[None] for x in params)])
    given += [steps, *("" if _is_zero(x, write) else write.run([x[None]])[0] for x in states)]
    if peepholes is not None:
        given += write.run([peepholes[None]])
    outputs, *final = write.node(
        operator.kind,
        *given,
        count=1 + len(states),
        hidden_size=write.constants[given[2]].shape[2],
        direction="reverse" if op.reverse else "forward",
        **dict(operator.attributes),
    )
    shown = write.transpose(write.squeeze(outputs, 1), 1, 0, 2)
    if exist:
        zero = write.constant(np.zeros((), op.dtype))
        shown = str(write.node("Where", exist, shown, zero, dtype=write.types[shown]))
    found: list[str | None] = [shown if i == main else None for i in arrays]
    return [*found, *(write.squeeze(x, 0) for x in final)]


def _factors(z: Any) -> tuple[Any, Any, Any, Any] | None:
    """Get the rows and the matrix that a series is the product of, and its first two lengths."""
    node = z.owner
    product = node.inputs[0] if node is not None and isinstance(node.op, Reshape) else None
    if product is None or product.owner is None or not isinstance(product.owner.op, Dot):
        return None
    flat, matrix = product.owner.inputs
    shape = node.inputs[1]
    made = shape.owner is not None and isinstance(shape.owner.op, MakeVector)
    batch, time, _ = shape.owner.inputs if made else (shape[i] for i in range(3))
    return flat, matrix, batch, time


def _as_it_came(flat: Any, matrix: Any, batch: Any, time: Any, write: Writer) -> tuple[Any, ...]:
    """Get the series of its rows, the matrix, and the number of steps."""
    if flat.owner is not None and isinstance(flat.owner.op, Reshape):
        series = flat.owner.inputs[0]
        lengths = zip(range(series.ndim - 1), (batch, time), strict=False)
        if series.ndim == 3 and all(_same(series.shape[i], n, write) for i, n in lengths):
            return series, matrix, time
    return flat.reshape((batch, time, flat.shape[1])), matrix, time


def _same(x: Any, y: Any, write: Writer) -> bool:
    """Tell whether two expressions are the same: then they have one name."""
    one, other = write.run([x, y])
    return one == other


def _steps(lengths: Any, time: Any, write: Writer) -> tuple[str, str]:
    """Get the numbers of steps, and which exist; empty names if they all do."""
    node = lengths.owner
    if node is not None and isinstance(node.op, Alloc) and _same(node.inputs[0], time, write):
        return "", ""
    mask = (pt.arange(time) < lengths[:, None])[:, :, None]
    name, exist = write.run([lengths, mask])
    return str(write.node("Cast", name, dtype="int32", to=onnx_type("int32"))), exist


def _is_zero(state: Any, write: Writer) -> bool:
    """Tell whether a state is zero before the first step."""
    node = state.owner
    if node is None or not isinstance(node.op, Alloc):
        return False
    value = write.values.get(node.inputs[0])
    return value is not None and not np.any(value)
