"""What kernels for Numba do with arrays, as parts of them and not functions of their own.

NumPy's functions are functions of Python in Numba, in layers of up to five, each of which
is compiled by itself before it becomes a part of what calls it. What is an `intrinsic` here is
written into what calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.core.imputils import impl_ret_borrowed, impl_ret_new_ref
from numba.extending import intrinsic
from numba.np import arrayobj
from pytensor.link.numba.cache import compile_numba_function_src
from pytensor.link.numba.dispatch.basic import numba_njit

WORD = ir.IntType(64)

#: Writes a value: what compiles, the builder, and the arguments.
Generate = Callable[[Any, Any, list[Any]], Any]
#: Gets the type of the result, and what writes it, from the types of the arguments.
Compute = Callable[[tuple[Any, ...]], tuple[Any, Generate]]


def whole(name: str, count: int, compute: Compute, **options: Any) -> Any:
    """Get a function of so many arguments that is one intrinsic.

    Functions of any number of them put them into a tuple, so that Numba counts who uses the
    arrays in it.
    """
    names = ", ".join(f"x{i}" for i in range(count))

    def computed(typing: Any, kinds: tuple[Any, ...]) -> Any:
        result, write = compute(kinds)

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return write(context, builder, list(values))

        return result(*kinds), generate

    scope = {"computed": computed, "intrinsic": intrinsic}
    source = (
        "@intrinsic\n"
        f"def body(typing, {names}):\n    return computed(typing, ({names},))\n\n"
        f"def {name}({names}):\n    return body({names})\n"
    )
    return numba_njit(compile_numba_function_src(source, name, scope, scope), **options)


def refuse(context: Any, builder: Any, wrong: Any, message: str) -> None:
    """Raise ValueError where something is so."""
    with builder.if_then(wrong, likely=False):
        context.call_conv.return_user_exc(builder, ValueError, (message,))


def any_of(builder: Any, flags: Sequence[Any]) -> Any:
    """Tell whether any is so."""
    found = ir.IntType(1)(0)
    for flag in flags:
        found = builder.or_(found, flag)
    return found


def product(builder: Any, lengths: Sequence[Any]) -> Any:
    """Get the product of lengths."""
    found = WORD(1)
    for length in lengths:
        found = builder.mul(found, length)
    return found


def array_of(context: Any, builder: Any, kind: Any, value: Any = None) -> Any:
    """Get the parts of an array, or of one to come."""
    make = context.make_array(kind)
    return make(context, builder) if value is None else make(context, builder, value)


def lengths_of(builder: Any, array: Any) -> list[Any]:
    """Get the lengths of the axes."""
    return list(cgutils.unpack_tuple(builder, array.shape))


def strides_of(builder: Any, array: Any) -> list[Any]:
    """Get how many bytes it is from entry to entry along each axis."""
    return list(cgutils.unpack_tuple(builder, array.strides))


def view(
    context: Any,
    builder: Any,
    kind: Any,
    array: Any,
    shape: Sequence[Any],
    strides: Sequence[Any],
    data: Any = None,
) -> Any:
    """Get an array in the memory of another."""
    found = array_of(context, builder, kind)
    arrayobj.populate_array(
        found,
        data=array.data if data is None else data,
        shape=list(shape),
        strides=list(strides),
        itemsize=array.itemsize,
        meminfo=array.meminfo,
        parent=array.parent,
    )
    return found


def dense(builder: Any, array: Any, shape: Sequence[Any]) -> list[Any]:
    """Get the strides of an array of that shape that lies row by row."""
    found: list[Any] = []
    size = array.itemsize
    for length in reversed(shape):
        found.append(size)
        size = builder.mul(size, length)
    return found[::-1]


def item(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    """Get an integer of 64 bits from an array without axes; Numba has numbers there at times."""
    if isinstance(kind, types.Array):
        if kind.ndim:
            raise TypingError("a length is no array")
        array = array_of(context, builder, kind, value)
        value, kind = arrayobj.load_item(context, builder, kind, array.data), kind.dtype
    return context.cast(builder, value, kind, types.int64)


def by_rows(context: Any, builder: Any, kind: Any, array: Any) -> tuple[Any, Any, bool]:
    """Get an array row by row, with its type; and whether it had to be copied for that."""
    if kind.layout == "C":
        return array, kind, False
    shape = lengths_of(builder, array)
    plain = types.Array(kind.dtype, kind.ndim, "C")
    made = arrayobj._empty_nd_impl(context, builder, plain, shape)
    copy(context, builder, kind, array, plain, made, shape)
    return made, plain, True


def copy(
    context: Any, builder: Any, kind: Any, array: Any, target_kind: Any, target: Any, shape: Any
) -> None:
    """Copy entries into an array of the same shape, whatever the layouts."""

    def pointer(kind: Any, array: Any, places: Any) -> Any:
        strides = strides_of(builder, array)
        return cgutils.get_item_pointer2(
            context, builder, array.data, shape, strides, kind.layout, places, False, False
        )

    with cgutils.loop_nest(builder, shape, WORD) as places:
        value = arrayobj.load_item(context, builder, kind, pointer(kind, array, places))
        into = pointer(target_kind, target, places)
        arrayobj.store_item(context, builder, target_kind, value, into)


def returned(context: Any, builder: Any, kind: Any, array: Any, fresh: bool) -> Any:
    """Get what a function gives back: an array of its own, or one in others' memory."""
    give = impl_ret_new_ref if fresh else impl_ret_borrowed
    return give(context, builder, kind, array._getvalue())


def _like(x: Any, ndim: int) -> Any:
    if not isinstance(x, types.Array):
        raise TypingError(f"{x} is no array")
    return types.Array(x.dtype, ndim, "C", readonly=False if x.layout != "C" else not x.mutable)


@intrinsic
def flat(typing: Any, x: Any) -> Any:
    """Get all entries, row by row; a view where they lie so."""
    result = _like(x, 1)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        array, _, fresh = by_rows(context, builder, x, array_of(context, builder, x, values[0]))
        shape = [product(builder, lengths_of(builder, array))]
        found = view(context, builder, result, array, shape, [array.itemsize])
        return returned(context, builder, result, found, fresh)

    return result(x), generate


@intrinsic
def rows(typing: Any, x: Any) -> Any:
    """Get the entries as a matrix with the same last axis; a view where they lie row by row."""
    result = _like(x, 2)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        array, _, fresh = by_rows(context, builder, x, array_of(context, builder, x, values[0]))
        *leading, last = lengths_of(builder, array)
        shape = [product(builder, leading), last]
        found = view(context, builder, result, array, shape, dense(builder, array, shape))
        return returned(context, builder, result, found, fresh)

    return result(x), generate


def _made(like: Any, shape: Any, cleared: bool) -> Any:
    result = types.Array(like if isinstance(like, types.Number) else like.dtype, len(shape), "C")

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        given = cgutils.unpack_tuple(builder, values[1], len(shape))
        lengths = [
            context.cast(builder, length, kind, types.intp)
            for length, kind in zip(given, shape, strict=True)
        ]
        made = arrayobj._empty_nd_impl(context, builder, result, lengths)
        if cleared:
            clear(builder, made)
        return returned(context, builder, result, made, True)

    return result(like, shape), generate


@intrinsic
def empty(typing: Any, like: Any, shape: Any) -> Any:
    """Get an array of entries like another's, or of a number's type, with a shape, a tuple."""
    return _made(like, shape, False)


@intrinsic
def zeros(typing: Any, like: Any, shape: Any) -> Any:
    """Get an array of zeros, as `empty`."""
    return _made(like, shape, True)


def clear(builder: Any, array: Any) -> None:
    """Set all of an array to zero."""
    cgutils.memset(builder, array.data, builder.mul(array.itemsize, array.nitems), 0)


@intrinsic
def scalar(typing: Any, x: Any) -> Any:
    """Get an array without axes of a number."""
    result = types.Array(x, 0, "C")

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        made = arrayobj._empty_nd_impl(context, builder, result, [])
        arrayobj.store_item(context, builder, result, values[0], made.data)
        return returned(context, builder, result, made, True)

    return result(x), generate


@intrinsic
def integer(typing: Any, x: Any) -> Any:
    """Get an integer of 64 bits from an array without axes."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return item(context, builder, x, values[0])

    return types.int64(x), generate
