"""`entrywise.Entrywise` for Numba: one function, whose loop is written in LLVM's language.

Arrays that lie in one piece are gone through as if their axes were as few as can be: one
where none is repeated, or is along all. The loop is a function of its own, to which LLVM is told
that nothing else is where it writes, so that it computes several entries at once.
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import from_dtype
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.np import arrayobj

from ..base import source_key
from . import arrays_by_numba, scalars_by_numba
from .arrays_by_numba import WORD, any_of, array_of, lengths_of, product, refuse, strides_of, whole
from .scalars_by_numba import Program, program

if TYPE_CHECKING:
    from .entrywise import Entrywise

#: What is said of wrong shapes.
UNFIT = (
    "arrays of shapes that do not fit are combined entry by entry: an axis of length 1 is repeated "
    "only where its length was known to be 1 when the expression was made"
)


def kernel(op: Entrywise) -> tuple[Any, str | None]:
    """Get the kernel of what is computed entry by entry, and its key for the cache on the disk."""
    found = program(op.scalar_node())

    def compute(kinds: tuple[Any, ...]) -> Any:
        if not all(isinstance(kind, types.Array) for kind in kinds):
            raise TypingError("what is computed entry by entry is of arrays")
        outputs = [
            types.Array(from_dtype(np.dtype(dtype)), len(op.broadcast[0]), "C")
            for dtype in found.output_dtypes
        ]
        for output, i in op.in_place:
            outputs[output] = kinds[i]
        result = outputs[0] if len(outputs) == 1 else types.Tuple(outputs)

        def write(context: Any, builder: Any, values: list[Any]) -> Any:
            return _Whole(context, builder, op, found, kinds, values).generate(outputs, result)

        return result, write

    key = None
    if found.key is not None:
        described = hashlib.sha256(repr((found.key, op.in_place, op.broadcast)).encode())
        modules = (scalars_by_numba.__name__, arrays_by_numba.__name__)
        key = source_key(__name__, f"entrywise-{described.hexdigest()}", *modules)
    return whole("entrywise", len(op.dtypes), compute), key


@dataclass
class _Operand:
    """An array that is read or written in the loop.

    Attributes
    ----------
    kind, array : object
        Numba's type, and the array.
    repeated : tuple of bool
        Along which axes.
    pointer : object
        Where the entry is.
    steps : list
        How far it is from an entry to the next along each of the loops.
    """

    kind: Any
    array: Any
    repeated: tuple[bool, ...]
    pointer: Any = None
    steps: Any = None


@dataclass
class _Whole:
    """Writes all of a kernel."""

    context: Any
    builder: Any
    op: Entrywise
    program: Program
    kinds: tuple[Any, ...]
    values: list[Any]

    def generate(self, outputs: list[Any], result: Any) -> Any:
        """Write it, and get what is returned."""
        context, builder, op = self.context, self.builder, self.op
        arrays = [
            array_of(context, builder, kind, value)
            for kind, value in zip(self.kinds, self.values, strict=True)
        ]
        shape = self._shape(arrays)
        inputs = [_Operand(*parts) for parts in zip(self.kinds, arrays, op.broadcast, strict=True)]
        in_place = dict(op.in_place)
        together = tuple(map(all, zip(*op.broadcast, strict=True)))
        written = []
        for i, kind in enumerate(outputs):
            if i in in_place:
                written.append(inputs[in_place[i]])
            else:
                made = arrayobj._empty_nd_impl(context, builder, kind, shape)
                written.append(_Operand(kind, made, together))
        self._loop(shape, inputs, written)
        found = []
        for i, operand in enumerate(written):
            value = operand.array._getvalue()
            if i in in_place:
                value = self.values[in_place[i]]
                context.nrt.incref(builder, operand.kind, value)
            found.append(value)
        return found[0] if len(found) == 1 else context.make_tuple(builder, result, found)

    def _shape(self, arrays: list[Any]) -> list[Any]:
        """Get the lengths of the axes, and write the question whether all inputs have them."""
        context, builder = self.context, self.builder
        shapes = [lengths_of(builder, array) for array in arrays]
        one = WORD(1)
        lengths, wrong = [], []
        for axis in range(len(self.op.broadcast[0])):
            wanted = None
            for repeated, shape in zip(self.op.broadcast, shapes, strict=True):
                if repeated[axis]:
                    wrong.append(builder.icmp_unsigned("!=", shape[axis], one))
                elif wanted is None:
                    wanted = shape[axis]
                else:
                    wrong.append(builder.icmp_unsigned("!=", shape[axis], wanted))
            lengths.append(one if wanted is None else wanted)
        if wrong:
            refuse(context, builder, any_of(builder, wrong), UNFIT)
        return lengths

    def _groups(self, operands: list[_Operand]) -> tuple[list[list[int]], bool]:
        """Get which axes one loop goes through, and whether all arrays lie in one piece."""
        plain = all(operand.kind.layout == "C" for operand in operands)
        groups: list[list[int]] = []
        before = None
        for axis, column in enumerate(zip(*self.op.broadcast, strict=True)):
            if all(column):
                continue  # of length 1
            if plain and column == before:
                groups[-1].append(axis)
            else:
                groups.append([axis])
            before = column
        return groups, plain

    def _loop(self, shape: list[Any], inputs: list[_Operand], written: list[_Operand]) -> None:
        """Write the loops as a function, and the call of it."""
        builder = self.builder
        fresh = [x for x in written if not any(x is y for y in inputs)]
        operands = [*inputs, *fresh]
        groups, plain = self._groups(operands)
        lengths = [product(builder, [shape[axis] for axis in axes]) for axes in groups]
        steps = [self._steps(x, groups, lengths, plain) for x in operands]
        # What is known beforehand is written into the function.
        moving = [s for found in steps for s in found if not isinstance(s, int)]
        pointers = [x.array.data for x in operands]
        error = builder.function.args[1]
        arguments = [*lengths, *pointers, *moving]
        parameters = [builder.function.args[0].type, error.type, *(x.type for x in arguments)]
        number = ir.IntType(32)
        name = f"entrywise_{len(builder.module.functions)}"
        function = ir.Function(builder.module, ir.FunctionType(number, parameters), name)
        function.linkage = "internal"
        function.attributes.add("noinline")
        taken = iter(function.args[2:])
        lengths = [next(taken) for _ in lengths]
        for operand in operands:
            operand.pointer = next(taken)
            if any(operand is x for x in written):
                operand.pointer.add_attribute("noalias")
        for operand, found in zip(operands, steps, strict=True):
            operand.steps = [s if isinstance(s, int) else next(taken) for s in found]
        inner = ir.IRBuilder(function.append_basic_block("entry"))
        self._body(inner, lengths, inputs, written, operands, plain)
        inner.ret(number(0))
        none = cgutils.get_null_value(builder.function.args[0].type)
        failed = builder.call(function, [none, error, *arguments])
        if self.program.calls:
            with builder.if_then(cgutils.is_not_null(builder, failed), likely=False):
                builder.ret(failed)

    def _steps(
        self, operand: _Operand, groups: list[list[int]], lengths: list[Any], plain: bool
    ) -> list[Any]:
        """Get how far it is between entries along each loop: numbers of them, or else of bytes."""
        builder = self.builder
        if not plain:
            strides = strides_of(builder, operand.array)
            return [0 if operand.repeated[axis] else strides[axis] for (axis,) in groups]
        found: list[Any] = []
        size: Any = 1
        for (axis, *_), length in zip(groups[::-1], lengths[::-1], strict=True):
            if operand.repeated[axis]:
                found.append(0)
                continue
            found.append(size)
            size = length if isinstance(size, int) else builder.mul(size, length)
        return found[::-1]

    def _body(
        self,
        builder: Any,
        lengths: list[Any],
        inputs: list[_Operand],
        written: list[_Operand],
        operands: list[_Operand],
        plain: bool,
    ) -> None:
        """Write loops within loops; what is repeated is read as far outside as can be."""
        context = self.context
        values: dict[int, Any] = {}

        def read(depth: int) -> None:
            for i, operand in enumerate(inputs):
                moves = [d for d, step in enumerate(operand.steps) if step != 0]
                if (moves[-1] if moves else -1) == depth:
                    value = arrayobj.load_item(context, builder, operand.kind, operand.pointer)
                    wanted = from_dtype(np.dtype(self.op.dtypes[i]))
                    values[i] = context.cast(builder, value, operand.kind.dtype, wanted)

        with ExitStack() as loops:
            read(-1)
            for depth, length in enumerate(lengths):
                index = loops.enter_context(cgutils.for_range(builder, length)).index
                for operand in operands:
                    step = operand.steps[depth]
                    if step == 0:
                        continue
                    if isinstance(step, int):
                        step = WORD(step)
                    far = builder.mul(index, step)
                    if plain:
                        operand.pointer = builder.gep(operand.pointer, [far], inbounds=True)
                    else:
                        operand.pointer = cgutils.pointer_add(builder, operand.pointer, far)
                read(depth)
            found = self.program.emit(context, builder, [values[i] for i in range(len(inputs))])
            dtypes = self.program.output_dtypes
            for operand, value, dtype in zip(written, found, dtypes, strict=True):
                given = context.cast(
                    builder, value, from_dtype(np.dtype(dtype)), operand.kind.dtype
                )
                arrayobj.store_item(context, builder, operand.kind, given, operand.pointer)
