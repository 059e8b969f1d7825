"""What is computed for one entry, written in LLVM's language by Numba's own functions.

Numba reads a function of Python, finds its types and optimizes it before it is called from
another, which takes some hundredths of a second for an addition. So nothing is a function
here but operations that are of no row of the table.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import from_dtype
from numba.core import cgutils
from pytensor.graph.basic import Constant
from pytensor.link.numba.dispatch.basic import numba_funcify
from pytensor.scalar import basic

from ...versions import numba_parts

#: A function of values of one entry: what compiles, the builder, types and values; and outputs'.
Emit = Callable[[Any, Any, list[Any], list[Any], list[Any]], list[Any]]

FLOATS = ("float32", "float64")


@dataclass(frozen=True)
class Step:
    """One operation.

    Attributes
    ----------
    emit : callable
        Writes it.
    read : tuple of int
        Where its inputs are among all values.
    dtypes : tuple of str
        Types of its outputs.
    """

    emit: Emit
    read: tuple[int, ...]
    dtypes: tuple[str, ...]


@dataclass(frozen=True)
class Program:
    """A computation for one entry.

    Values are numbered: the inputs, then constants, then the outputs of each step.

    Attributes
    ----------
    dtypes : tuple of str
        Types of the inputs.
    constants : tuple of (str, object)
        Their types, and what they are.
    steps : tuple of Step
        In the order in which they are computed.
    outputs : tuple of int
        Which values are wanted.
    key : str or None
        The same for equal programs; None for one of which nobody can tell.
    calls : bool
        Whether a step is a function, which may raise an error.
    """

    dtypes: tuple[str, ...]
    constants: tuple[tuple[str, Any], ...]
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]
    key: str | None
    calls: bool

    def emit(self, context: Any, builder: Any, values: list[Any]) -> list[Any]:
        """Write it, and get the outputs."""
        types = [_type(dtype) for dtype in self.dtypes]
        values = list(values)
        for dtype, value in self.constants:
            types.append(_type(dtype))
            values.append(context.get_constant_generic(builder, types[-1], value))
        for step in self.steps:
            found = [_type(dtype) for dtype in step.dtypes]
            taken = [types[i] for i in step.read]
            values += step.emit(context, builder, taken, [values[i] for i in step.read], found)
            types += found
        return [values[i] for i in self.outputs]

    @property
    def output_dtypes(self) -> list[str]:
        """Get the types of the outputs."""
        dtypes = [*self.dtypes, *(dtype for dtype, _ in self.constants)]
        dtypes += [dtype for step in self.steps for dtype in step.dtypes]
        return [dtypes[i] for i in self.outputs]


def _type(dtype: str) -> Any:
    return from_dtype(np.dtype(dtype))


def program(node: Any) -> Program:
    """Get the computation of a node of PyTensor's of scalars."""
    dtypes = tuple(x.type.dtype for x in node.inputs)
    if isinstance(node.op, basic.Composite):
        graph = node.op.fgraph
        inputs, nodes, outputs = list(graph.inputs), graph.toposort(), list(graph.outputs)
    else:
        inputs, nodes, outputs = list(node.inputs), [node], list(node.outputs)
    places: dict[Any, int] = {x: i for i, x in enumerate(inputs)}
    constants: list[tuple[str, Any]] = []
    for x in [x for one in nodes for x in one.inputs] + outputs:
        if isinstance(x, Constant) and x not in places:
            places[x] = len(inputs) + len(constants)
            constants.append((x.type.dtype, np.dtype(x.type.dtype).type(x.data)))
    count = len(inputs) + len(constants)
    steps, keys, calls = [], [], False
    for one in nodes:
        emit, key, called = _step(one)
        calls = calls or called
        read = tuple(places[x] for x in one.inputs)
        found = tuple(x.type.dtype for x in one.outputs)
        for x in one.outputs:
            places[x], count = count, count + 1
        steps.append(Step(emit, read, found))
        keys.append((key, read, found))
    wanted = tuple(places[x] for x in outputs)
    shared = None
    if all(key is not None for key, _, _ in keys):
        values = [(dtype, value.tobytes()) for dtype, value in constants]
        described = repr((dtypes, values, keys, wanted))
        shared = hashlib.sha256(described.encode()).hexdigest()
    return Program(dtypes, tuple(constants), tuple(steps), wanted, shared, calls)


def _step(node: Any) -> tuple[Emit, str | None, bool]:
    """Get what writes an operation, its key, and whether it is a function that is called."""
    dtypes = [x.type.dtype for x in node.inputs]
    kind = type(node.op)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if kind is basic.Cast:
        return _cast, name, False
    if kind in OF_ANY:
        return OF_ANY[kind], name, False
    common = str(np.result_type(*dtypes))
    # Not of integers alone: to NumPy, those of int64 and uint64 have float64 in common.
    if common in FLOATS and not set(dtypes).isdisjoint(FLOATS) and kind in OF_FLOATS:
        return _converted(common, OF_FLOATS[kind]), name, False
    if set(dtypes) == {"int64"} and kind in OF_INTEGERS:
        return OF_INTEGERS[kind], name, False
    parts = numba_parts()
    if parts is None:
        return _called(numba_funcify(node.op, node=node)), None, True
    function, key = parts.with_key(node.op, node=node)
    return _called(function), key, True


def _converted(dtype: str, emit: Emit) -> Emit:
    """Get what converts all inputs to one type first."""

    def converted(context: Any, builder: Any, types: Any, values: Any, outputs: Any) -> list[Any]:
        kind = _type(dtype)
        pairs = zip(values, types, strict=True)
        same = [context.cast(builder, value, given, kind) for value, given in pairs]
        return emit(context, builder, [kind] * len(same), same, outputs)

    return converted


def _call(context: Any, builder: Any, function: Any, types: Any, values: Any) -> tuple[Any, Any]:
    """Call a function for numbers, and get what it gives with its type."""
    typing = context.typing_context
    typed = typing.resolve_value_type(function)
    signature = typing.resolve_function_type(typed, tuple(types), {})
    values = [
        context.cast(builder, value, given, wanted)
        for value, given, wanted in zip(values, types, signature.args, strict=True)
    ]
    call = context.get_function(typed, signature)
    return call(builder, values), signature.return_type


def _called(function: Any) -> Emit:
    """Get what calls a function of PyTensor's linker."""

    def emit(context: Any, builder: Any, types: Any, values: Any, outputs: Any) -> list[Any]:
        found, kind = _call(context, builder, function, types, values)
        if len(outputs) == 1:
            return [context.cast(builder, found, kind, outputs[0])]
        parts = cgutils.unpack_tuple(builder, found, len(outputs))
        return [
            context.cast(builder, part, given, wanted)
            for part, given, wanted in zip(parts, kind.types, outputs, strict=True)
        ]

    return emit


def _numpys(function: Any) -> Emit:
    """Get what computes a function of NumPy's."""

    def emit(context: Any, builder: Any, types: Any, values: Any, outputs: Any) -> list[Any]:
        found, kind = _call(context, builder, function, types, values)
        return [context.cast(builder, found, kind, outputs[0])]

    return emit


def _folded(function: Any) -> Emit:
    """Get what computes a sum or product of any number of values."""

    def emit(context: Any, builder: Any, types: Any, values: Any, outputs: Any) -> list[Any]:
        total = values[0]
        for value in values[1:]:
            total, _ = _call(context, builder, function, types[:2], [total, value])
        return [context.cast(builder, total, types[0], outputs[0])]

    return emit


def _cast(context: Any, builder: Any, types: Any, values: Any, outputs: Any) -> list[Any]:
    return [context.cast(builder, values[0], types[0], outputs[0])]


def _second(context: Any, builder: Any, types: Any, values: Any, outputs: Any) -> list[Any]:
    return [context.cast(builder, values[1], types[1], outputs[0])]


def _switch(context: Any, builder: Any, types: Any, values: Any, outputs: Any) -> list[Any]:
    condition, *choices = values
    chosen = context.is_true(builder, types[0], condition)
    pairs = zip(choices, types[1:], strict=True)
    same = [context.cast(builder, value, given, outputs[0]) for value, given in pairs]
    return [builder.select(chosen, *same)]


def _clip(context: Any, builder: Any, types: Any, values: Any, outputs: Any) -> list[Any]:
    x, low, high = values
    below, above = builder.fcmp_ordered("<", x, low), builder.fcmp_ordered(">", x, high)
    found = builder.select(below, low, builder.select(above, high, x))
    return [context.cast(builder, found, types[0], outputs[0])]


COMPARED: dict[type, Emit] = {
    basic.EQ: _numpys(np.equal),
    basic.NEQ: _numpys(np.not_equal),
    basic.LT: _numpys(np.less),
    basic.LE: _numpys(np.less_equal),
    basic.GT: _numpys(np.greater),
    basic.GE: _numpys(np.greater_equal),
}

#: By the operation: for inputs of which all become one type of floats.
OF_FLOATS: dict[type, Emit] = {
    basic.Add: _folded(operator.add),
    basic.Mul: _folded(operator.mul),
    basic.Clip: _clip,
    **COMPARED,
    **{
        kind: _numpys(getattr(np, kind.nfunc_spec[0]))
        for kind in (
            *(basic.Sub, basic.TrueDiv, basic.Neg, basic.Abs, basic.Sqr, basic.Sqrt),
            *(basic.Exp, basic.Expm1, basic.Log, basic.Log1p, basic.Log2, basic.Log10),
            *(basic.Maximum, basic.Minimum, basic.Sin, basic.Cos, basic.Tanh, basic.Sign),
            *(basic.Floor, basic.Ceil, basic.IsNan, basic.IsInf),
        )
    },
}

#: For inputs that are all integers of 64 bits.
OF_INTEGERS: dict[type, Emit] = {
    basic.Add: _folded(operator.add),
    basic.Mul: _folded(operator.mul),
    basic.Sub: _numpys(np.subtract),
    **COMPARED,
}

#: For inputs of whatever types.
OF_ANY: dict[type, Emit] = {
    basic.Identity: _cast,
    basic.Second: _second,
    basic.Switch: _switch,
}
