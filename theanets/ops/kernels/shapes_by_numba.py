"""The Ops of `shapes` for Numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import from_dtype
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.np import arrayobj

from ..base import source_key
from .arrays_by_numba import (
    WORD,
    any_of,
    array_of,
    by_rows,
    dense,
    item,
    lengths_of,
    product,
    refuse,
    returned,
    strides_of,
    view,
    whole,
)


def _key(name: str) -> str | None:
    return source_key(__name__, name, array_of.__module__)


def shaped(ndim: int) -> tuple[Any, str | None]:
    """Get the kernel of another shape, and its key for the cache on the disk."""

    def compute(kinds: tuple[Any, ...]) -> Any:
        kind = kinds[0]
        plain = kind.layout == "C"
        result = types.Array(kind.dtype, ndim, "C", readonly=plain and not kind.mutable)

        def write(context: Any, builder: Any, values: list[Any]) -> Any:
            array = array_of(context, builder, kind, values[0])
            array, _, fresh = by_rows(context, builder, kind, array)
            size = product(builder, lengths_of(builder, array))
            wanted = [
                item(context, builder, *pair) for pair in zip(kinds[1:], values[1:], strict=True)
            ]
            minus = [builder.icmp_signed("==", n, WORD(-1)) for n in wanted]
            one, zero = WORD(1), WORD(0)
            known = product(
                builder, [builder.select(m, one, n) for m, n in zip(minus, wanted, strict=True)]
            )
            many = zero
            for flag in minus:
                many = builder.add(many, builder.zext(flag, WORD))
            none = builder.icmp_signed("==", known, zero)
            rest = builder.sdiv(size, builder.select(none, one, known))
            shape = [builder.select(m, rest, n) for m, n in zip(minus, wanted, strict=True)]
            wrong = [builder.icmp_signed("!=", product(builder, shape), size)]
            wrong += [builder.icmp_signed("<", n, zero) for n in shape]
            wrong.append(builder.icmp_signed(">", many, one))
            # Of no entries, there may be any number along an axis.
            unknown = builder.and_(builder.icmp_signed("==", many, one), none)
            refuse(
                context,
                builder,
                any_of(builder, [*wrong, unknown]),
                "an array is given a shape for another number of entries",
            )
            strides = dense(builder, array, shape)
            found = view(context, builder, result, array, shape, strides)
            return returned(context, builder, result, found, fresh)

        return result, write

    return whole("shaped", 1 + ndim, compute), _key(f"shaped-{ndim}")


def length(axis: int) -> tuple[Any, str | None]:
    """Get the kernel of the length of an axis, and its key for the cache on the disk."""
    result = types.Array(types.int64, 0, "C")

    def compute(kinds: tuple[Any, ...]) -> Any:
        def write(context: Any, builder: Any, values: list[Any]) -> Any:
            array = array_of(context, builder, kinds[0], values[0])
            made = arrayobj._empty_nd_impl(context, builder, result, [])
            builder.store(lengths_of(builder, array)[axis], made.data)
            return returned(context, builder, result, made, True)

        return result, write

    return whole("length", 1, compute), _key(f"length-{axis}")


def vector(dtype: str, count: int) -> tuple[Any, str | None]:
    """Get the kernel of a vector of numbers, and its key for the cache on the disk."""
    result = types.Array(from_dtype(np.dtype(dtype)), 1, "C")

    def compute(kinds: tuple[Any, ...]) -> Any:
        def write(context: Any, builder: Any, values: list[Any]) -> Any:
            made = arrayobj._empty_nd_impl(context, builder, result, [WORD(count)])
            for i, (kind, value) in enumerate(zip(kinds, values, strict=True)):
                if isinstance(kind, types.Array):
                    array = array_of(context, builder, kind, value)
                    value = arrayobj.load_item(context, builder, kind, array.data)
                    kind = kind.dtype
                value = context.cast(builder, value, kind, result.dtype)
                pointer = builder.gep(made.data, [WORD(i)])
                arrayobj.store_item(context, builder, result, value, pointer)
            return returned(context, builder, result, made, True)

        return result, write

    return whole("vector", count, compute), _key(f"vector-{dtype}-{count}")


def parts(axis: int, count: int) -> tuple[Any, str | None]:
    """Get the kernel of parts of an array, and its key for the cache on the disk."""

    def compute(kinds: tuple[Any, ...]) -> Any:
        kind, sizes_kind = kinds
        # What is left of all but the outermost axis does not lie in one piece.
        outermost = {"C": 0, "F": kind.ndim - 1}.get(kind.layout)
        result = kind if axis == outermost else kind.copy(layout="A")
        several = types.UniTuple(result, count)

        def write(context: Any, builder: Any, values: list[Any]) -> Any:
            array = array_of(context, builder, kind, values[0])
            sizes = array_of(context, builder, sizes_kind, values[1])
            shape, strides = lengths_of(builder, array), strides_of(builder, array)
            (given,) = lengths_of(builder, sizes)
            message = "the sizes of parts of an array do not add up to its length"
            many = builder.icmp_signed("!=", given, WORD(count))
            refuse(context, builder, many, message)
            (step,) = strides_of(builder, sizes)
            total, starts, found = WORD(0), [], []
            for i in range(count):
                pointer = cgutils.pointer_add(builder, sizes.data, builder.mul(step, WORD(i)))
                size = arrayobj.load_item(context, builder, sizes_kind, pointer)
                found.append(context.cast(builder, size, sizes_kind.dtype, types.int64))
                starts.append(total)
                total = builder.add(total, found[-1])
            wrong = [builder.icmp_signed("<", size, WORD(0)) for size in found]
            wrong.append(builder.icmp_signed("!=", total, shape[axis]))
            refuse(context, builder, any_of(builder, wrong), message)
            views = []
            for start, size in zip(starts, found, strict=True):
                data = cgutils.pointer_add(
                    builder, array.data, builder.mul(start, strides[axis]), array.data.type
                )
                lengths = [*shape[:axis], size, *shape[axis + 1 :]]
                part = view(context, builder, result, array, lengths, strides, data)
                views.append(returned(context, builder, result, part, False))
            return views[0] if count == 1 else context.make_tuple(builder, several, views)

        return result if count == 1 else several, write

    return whole("parts", 2, compute), _key(f"parts-{axis}-{count}")


def joined(axis: int, count: int) -> tuple[Any, str | None]:
    """Get the kernel of arrays behind each other, and its key for the cache on the disk."""

    def compute(kinds: tuple[Any, ...]) -> Any:
        if len({kind.dtype for kind in kinds}) > 1 or len({kind.ndim for kind in kinds}) > 1:
            raise TypingError("arrays of other types are joined")
        result = types.Array(kinds[0].dtype, kinds[0].ndim, "C")

        def write(context: Any, builder: Any, values: list[Any]) -> Any:
            arrays = [array_of(context, builder, *pair) for pair in zip(kinds, values, strict=True)]
            shapes = [lengths_of(builder, array) for array in arrays]
            wrong = [
                builder.icmp_signed("!=", n, wanted)
                for shape in shapes[1:]
                for i, (n, wanted) in enumerate(zip(shape, shapes[0], strict=True))
                if i != axis
            ]
            message = "arrays of other lengths along other axes are joined"
            refuse(context, builder, any_of(builder, wrong), message)
            shape, total = list(shapes[0]), WORD(0)
            for lengths in shapes:
                total = builder.add(total, lengths[axis])
            shape[axis] = total
            made = arrayobj._empty_nd_impl(context, builder, result, shape)
            outer = product(builder, shape[:axis])
            itemsize = made.itemsize
            row = builder.mul(itemsize, product(builder, shape[axis:]))
            into = made.data
            byte = ir.IntType(8).as_pointer()
            for kind, array, lengths in zip(kinds, arrays, shapes, strict=True):
                plain, plain_kind, copied = by_rows(context, builder, kind, array)
                piece = builder.mul(itemsize, product(builder, lengths[axis:]))
                with cgutils.for_range(builder, outer) as loop:
                    source = cgutils.pointer_add(
                        builder, plain.data, builder.mul(loop.index, piece), byte
                    )
                    target = cgutils.pointer_add(builder, into, builder.mul(loop.index, row), byte)
                    cgutils.raw_memcpy(builder, target, source, piece, WORD(1))
                into = cgutils.pointer_add(builder, into, piece, into.type)
                if copied:
                    context.nrt.decref(builder, plain_kind, plain._getvalue())
            return returned(context, builder, result, made, True)

        return result, write

    return whole("joined", count, compute), _key(f"joined-{axis}-{count}")
