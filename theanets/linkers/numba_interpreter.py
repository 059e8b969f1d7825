"""What goes through the operations of a graph, each of which is called by its address.

All values of a graph are in one piece of memory, each at its place, as Numba lays it out. A
program is a list of integers, see `numba_program`: first, `HEAD` has the numbers of inputs,
operations, outputs and arrays, and the address of the class of arrays; then there are

- for each input, its place;
- for each operation the addresses of its caller and of itself, how many places follow, how
  many of them are of arrays that nobody reads afterwards, and these places;
- for each output its place, its number of axes, and the address of its dtype;
- the places of all arrays.

A caller takes the arguments of an operation from their places, and puts what it gives into
others. There is one for each combination of types; it is not compiled for an operation.

Nothing is checked here. Whoever writes a program has to, as one with a mistake ends the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from pytensor.link.numba.dispatch.basic import numba_njit

#: How many integers come before the places of inputs.
HEAD = 5

_WORD = ir.IntType(64)
#: What counts the references to an array's memory: where it is, an array begins with that.
_COUNTED = types.MemInfoPointer(types.voidptr)
#: What callers take: the addresses of an operation, of the memory, and of a list of places.
_TAKEN = [types.int64] * 3


def interpreter() -> Any:
    """Get the function that goes through programs.

    Returns
    -------
    Dispatcher
        Of Numba's, a function of a program (a vector of int64); memory for the values (of
        uint8), zeroed but for constant numbers; and, by their addresses, two lists of Python's:
        of inputs, and as long as there are outputs.
    """

    def interpret(program: Any, memory: Any, taken: int, given: int) -> None:
        inputs, operations, outputs, arrays, kind = program[:HEAD]
        base, first = memory.ctypes.data, program.ctypes.data
        last = len(program) - arrays
        at = HEAD
        for i in range(inputs):
            if _take(taken, i, base + program[at]):
                raise TypeError("an argument is not an array")
            at += 1
        for _ in range(operations):
            caller, operation, places, over = program[at : at + 4]
            at += 4
            _call(caller, operation, base, first + 8 * at, first + 8 * last, arrays)
            at += places
            for i in range(at, at + over):
                _release(base + program[i])
            at += over
        for i in range(outputs):
            _give(given, i, base + program[at], program[at + 1], program[at + 2], kind)
            at += 3
        for i in range(last, len(program)):
            _release(base + program[i])

    return numba_njit(interpret, final_function=True, fastmath=False)


def callers(signatures: Sequence[tuple[Sequence[Any], Any]]) -> Any:
    """Get the function that tells of callers.

    Parameters
    ----------
    signatures : list of (arguments, result)
        Types of Numba's, which operations are compiled for.

    Returns
    -------
    Dispatcher
        Of Numba's, a function that writes the callers' addresses into a vector of int64.
    """

    @intrinsic
    def addresses(context: Any, found: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            data = context.make_array(found)(context, builder, values[0]).data
            for i, (arguments, result) in enumerate(signatures):
                caller = _caller(context, builder.module, f"caller_{i}", arguments, result)
                place = builder.gep(data, [ir.Constant(_WORD, i)])
                builder.store(builder.ptrtoint(caller, _WORD), place)
            return context.get_dummy_value()

        return types.none(found), generate

    def tell_callers(found: Any) -> None:
        addresses(found)

    return numba_njit(tell_callers, final_function=True, fastmath=False)


def _caller(context: Any, module: Any, name: str, arguments: Any, result: Any) -> Any:
    convention = context.call_conv
    caller = ir.Function(module, convention.get_function_type(types.none, _TAKEN), name)
    caller.linkage = "internal"
    builder = ir.IRBuilder(caller.append_basic_block("entry"))
    operation, memory, places = convention.get_arguments(caller)
    places = builder.inttoptr(places, _WORD.as_pointer())
    count = 0

    def next_place(model: Any) -> Any:
        nonlocal count
        place = builder.load(builder.gep(places, [ir.Constant(_WORD, count)]))
        count += 1
        return builder.inttoptr(builder.add(memory, place), model.get_data_type().as_pointer())

    def taken(kind: Any) -> Any:
        if isinstance(kind, types.BaseTuple):  # of arguments, as in ``function(*arguments)``
            return context.make_tuple(builder, kind, [taken(one) for one in kind])
        if isinstance(kind, types.Omitted):
            return None  # the function knows what it is
        model = context.data_model_manager[kind]
        return model.load_from_data_pointer(builder, next_place(model))

    values = [taken(kind) for kind in arguments]
    pointer = _function(builder, operation, convention.get_function_type(result, arguments))
    status, given = convention.call_function(builder, pointer, result, arguments, values)
    with builder.if_then(status.is_error, likely=False):
        convention.return_status_propagate(builder, status)
    several = isinstance(result, types.BaseTuple)
    for i, kind in enumerate(result if several else [result]):
        model = context.data_model_manager[kind]
        value = builder.extract_value(given, i) if several else given
        builder.store(model.as_data(builder, value), next_place(model))
    convention.return_value(builder, context.get_dummy_value())
    return caller


def _function(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


@intrinsic
def _call(
    context: Any, caller: Any, operation: Any, memory: Any, places: Any, arrays: Any, count: Any
) -> Any:
    """Call an operation. Where it fails, let go of all arrays, and hand the error on."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        caller, *taken, arrays, count = values
        convention = context.call_conv
        pointer = _function(builder, caller, convention.get_function_type(types.none, _TAKEN))
        status, _ = convention.call_function(builder, pointer, types.none, _TAKEN, taken)
        with builder.if_then(status.is_error, likely=False):
            places = builder.inttoptr(arrays, _WORD.as_pointer())
            with cgutils.for_range(builder, count) as loop:
                place = builder.load(builder.gep(places, [loop.index]))
                _let_go(context, builder, builder.add(taken[1], place))
            convention.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return types.none(*[types.int64] * 6), generate


@intrinsic
def _release(context: Any, address: Any) -> Any:
    """Let go of an array."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        _let_go(context, builder, values[0])
        return context.get_dummy_value()

    return types.none(types.int64), generate


def _let_go(context: Any, builder: Any, address: Any) -> None:
    kind = context.get_value_type(_COUNTED)
    pointer = builder.inttoptr(address, kind.as_pointer())
    context.nrt.decref(builder, _COUNTED, builder.load(pointer))
    builder.store(ir.Constant(kind, None), pointer)  # it may be let go of again


@intrinsic
def _take(context: Any, taken: Any, i: Any, address: Any) -> Any:
    """Put an array of a list of Python's in its place, and get 0 if it is one."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        python = context.get_python_api(builder)
        taken, i, address = values
        array = python.list_getitem(builder.inttoptr(taken, python.pyobj), i)
        place = builder.inttoptr(address, cgutils.voidptr_t)
        return builder.sext(python.nrt_adapt_ndarray_from_python(array, place), _WORD)

    return types.int64(*[types.int64] * 3), generate


@intrinsic
def _give(context: Any, given: Any, i: Any, address: Any, ndim: Any, dtype: Any, kind: Any) -> Any:
    """Put an array of Python's into a list: what was taken, if it is that, or a new one."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        python = context.get_python_api(builder)
        given, i, address, ndim, dtype, kind = values
        number = ir.IntType(32)
        takes = [python.voidptr, python.pyobj, number, number, python.pyobj]
        make = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(python.pyobj, takes),
            "NRT_adapt_ndarray_to_python_acqref",
        )
        arguments = [
            builder.inttoptr(address, cgutils.voidptr_t),
            builder.inttoptr(kind, python.pyobj),
            builder.trunc(ndim, number),
            ir.Constant(number, 1),  # it can be written to
            builder.inttoptr(dtype, python.pyobj),
        ]
        array = builder.call(make, arguments)
        with builder.if_then(cgutils.is_null(builder, array), likely=False):
            context.call_conv.return_exc(builder)  # no memory is left
        python.list_setitem(builder.inttoptr(given, python.pyobj), i, array)
        return context.get_dummy_value()

    return types.none(*[types.int64] * 6), generate
