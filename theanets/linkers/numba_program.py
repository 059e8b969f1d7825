"""A graph as a program: a list of its operations, which are called by their addresses.

PyTensor makes one function of a whole graph. Numba compiles that with all operations in it,
once more, and LLVM takes longer than in proportion to its length: half of the time of the first
training of a network of some layers. A program needs none of that, as `numba_interpreter` goes
through any. What is compiled are the operations, which graphs have in common.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

import numba
import numpy as np
from numba.core.dispatcher import Dispatcher
from numba.core.errors import NumbaError
from numba.core.registry import cpu_target
from numba.core.types import Array, BaseTuple, Boolean, Number, Omitted
from numba.np.numpy_support import as_dtype
from pytensor.graph.basic import Constant
from pytensor.graph.fg import FunctionGraph
from pytensor.link.numba.dispatch.basic import numba_typify

from ..ops.base import source_key
from ..versions import numba_fingerprint
from . import numba_interpreter
from .numba_cache import kept
from .numba_sparing import spare, sparing

#: From how many operations on a graph is a program. Few are compiled as one function as soon,
#: and that is called faster.
LEAST = 30
#: Values lie at multiples of so many bytes.
ALIGNED = 16

_fingerprint: Any = numba_fingerprint()


class Unfit(Exception):
    """Raised where a graph cannot be a program."""


class Program:
    """A graph as a program, which is written when the types of its inputs are known.

    Parameters
    ----------
    whole : Dispatcher
        The function of the whole graph, for inputs with which it cannot be a program.
    graph : FunctionGraph
        Is not held on to, as it may have arrays of a network.
    find : callable
        Gets the function of an operation in a graph, or None.

    Attributes
    ----------
    operations : list of (function, inputs, outputs)
        Of variables, there are their numbers: those of the graph's inputs come first.
    constants : dict
        Their values, by their numbers.
    outputs : list of int
    count : int
        Number of variables.

    Raises
    ------
    Unfit
        If there is an operation without a function.
    """

    def __init__(
        self, whole: Dispatcher, graph: FunctionGraph, find: Callable[[Any], Dispatcher | None]
    ) -> None:
        if _fingerprint is None or len(graph.apply_nodes) < LEAST:
            raise Unfit
        spare(whole)
        self.whole = whole
        self.constants: dict[int, Any] = {}
        self.operations: list[tuple[Dispatcher, list[int], list[int]]] = []
        numbers: dict[Any, int] = {}

        def number(x: Any) -> int:
            if isinstance(x, Constant) and x not in numbers:
                self.constants[len(numbers)] = numba_typify(x.data, variable=x)
            return numbers.setdefault(x, len(numbers))

        for x in graph.inputs:
            number(x)
        for node in graph.toposort():
            function = find(node)
            if not isinstance(function, Dispatcher):
                raise Unfit
            read = [number(x) for x in node.inputs]
            self.operations.append((function, read, [number(x) for x in node.outputs]))
        self.outputs = [number(x) for x in graph.outputs]
        self.count = len(numbers)
        self._typed: dict[bytes, Callable[..., Any]] = {}

    @property
    def py_func(self) -> Any:
        """The function of the whole graph in Python, as a `Dispatcher` has it."""
        return self.whole.py_func

    def __call__(self, *inputs: Any) -> Any:
        """Compute the outputs."""
        try:
            kind = _fingerprint(inputs)
        except NotImplementedError:
            return self._of_others(inputs)
        typed = self._typed.get(kind)
        if typed is None:
            typed = self._typed[kind] = self._for_types(inputs)
        return typed(*inputs)

    def _of_others(self, inputs: Sequence[Any]) -> Any:
        """Compute the outputs from what may be arrays of other classes than NumPy's own."""
        mapped = [np.asarray(x) if isinstance(x, np.memmap) else x for x in inputs]
        if any(x is not y for x, y in zip(inputs, mapped, strict=True)):
            return self(*mapped)
        return self.whole(*inputs)

    def _for_types(self, inputs: Sequence[Any]) -> Callable[..., Any]:
        try:
            with sparing():
                return Typed(self, [numba.typeof(x) for x in inputs])
        except (Unfit, NumbaError):
            # Numba's own message, if there is one, is about the function of the graph.
            return self.whole


class Typed:
    """A program for inputs of certain types.

    Parameters
    ----------
    program : Program
    inputs : list of types of Numba's

    Raises
    ------
    Unfit
        If there are values other than arrays and numbers.
    """

    def __init__(self, program: Program, inputs: Sequence[Any]) -> None:
        self._kinds: dict[int, Any] = dict(enumerate(inputs))
        for number, value in program.constants.items():
            kind = numba.typeof(value)
            # No operation writes to a constant, and so none is compiled for constants alone.
            self._kinds[number] = kind.copy(readonly=False) if isinstance(kind, Array) else kind
        if not all(map(_is_plain, self._kinds.values())):
            raise Unfit
        compiled = [self._compiled(*operation) for operation in program.operations]
        ends = [*range(len(inputs)), *program.outputs]
        if not all(isinstance(self._kinds[number], Array) for number in ends):
            raise Unfit  # Numba makes a number of an array without axes at times
        self._memory, places = self._laid_out(program)
        self._constants = [x for i, x in program.constants.items() if self._counts(i)]
        self._outputs = len(program.outputs)
        # What has its address in the program, and is not to be gone before.
        self._callers, addresses = _callers([signature for signature, _ in compiled])
        self._functions = [function for function, _, _ in program.operations]
        self._dtypes = [np.dtype(as_dtype(self._kinds[i].dtype)) for i in program.outputs]
        self._interpret = _interpreter()

        arrays = [place for i, place in enumerate(places) if self._counts(i)]
        taken = [*range(len(inputs)), *filter(self._counts, program.constants)]
        head = [len(taken), len(compiled), self._outputs, len(arrays), id(np.ndarray)]
        written = head + [places[i] for i in taken]
        over = self._over(program)
        for i, (_, read, made) in enumerate(program.operations):
            signature, address = compiled[i]
            used = [places[number] for number in read + made]
            written += [addresses[signature], address, len(used), len(over[i]), *used]
            written += [places[number] for number in over[i]]
        for number, dtype in zip(program.outputs, self._dtypes, strict=True):
            written += [places[number], self._kinds[number].ndim, id(dtype)]
        self._written = np.array(written + arrays, "int64")

    def __call__(self, *inputs: Any) -> list[Any]:
        """Compute the outputs."""
        taken, given = [*inputs, *self._constants], [None] * self._outputs
        # An operation may let another thread in, which calls this one.
        self._interpret(self._written, self._memory.copy(), id(taken), id(given))
        return given

    def _counts(self, number: int) -> bool:
        """Tell whether references to a value are counted, as those to numbers are not."""
        return isinstance(self._kinds[number], Array)

    def _compiled(self, function: Dispatcher, read: list[int], made: list[int]) -> Any:
        """Compile an operation, and get its signature and address."""
        # For the types as Numba has them where there are ``*arguments``.
        taken = function.get_call_template([self._kinds[i] for i in read], {})[2]
        compiled = function.overloads[tuple(taken)]
        arguments, result = compiled.signature.args, compiled.signature.return_type
        found = list(result) if isinstance(result, BaseTuple) else [result]
        address = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
        if len(found) != len(made) or not address:
            raise Unfit
        if not all(map(_is_taken, arguments)) or not all(map(_is_plain, found)):
            raise Unfit
        self._kinds.update(zip(made, found, strict=True))
        return (tuple(arguments), result), address

    def _laid_out(self, program: Program) -> tuple[Any, list[int]]:
        """Get the memory with constant numbers in it, and where each value is."""
        context = cpu_target.target_context
        sizes = {
            kind: context.get_abi_sizeof(context.get_data_type(kind))
            for kind in set(self._kinds.values())
        }
        places, size = [], 0
        for number in range(program.count):
            places.append(size)
            size += -(-sizes[self._kinds[number]] // ALIGNED) * ALIGNED
        memory = np.zeros(size, "uint8")
        for number, value in program.constants.items():
            if not self._counts(number):
                held = np.array([value], as_dtype(self._kinds[number])).view("uint8")
                memory[places[number] : places[number] + len(held)] = held
        return memory, places

    def _over(self, program: Program) -> list[list[int]]:
        """Get the arrays that nobody reads after each of the operations."""
        last = {}
        for i, (_, read, made) in enumerate(program.operations):
            last.update(dict.fromkeys(read + made, i))
        over: list[list[int]] = [[] for _ in program.operations]
        for number, i in last.items():
            if self._counts(number) and number not in program.outputs:
                over[i].append(number)
        return over


def _is_plain(kind: Any) -> bool:
    """Tell whether values of a type may lie in a program's memory."""
    return isinstance(kind, (Array, Number, Boolean))


def _is_taken(kind: Any) -> bool:
    """Tell whether a caller can take an argument: one value, those of ``*arguments``, or none."""
    if isinstance(kind, BaseTuple):
        return all(map(_is_plain, kind))
    return isinstance(kind, Omitted) or _is_plain(kind)


@cache
def _interpreter() -> Any:
    made = _kept(numba_interpreter.interpreter(), "interpreter")
    made.compile((numba.int64[::1], numba.uint8[::1], numba.int64, numba.int64))
    return made


def _callers(signatures: Iterable[Any]) -> tuple[Any, dict[Any, int]]:
    """Get what holds callers, and their addresses by signatures."""
    several = list(dict.fromkeys(signatures))
    made = _kept(numba_interpreter.callers(several), "callers", *map(repr, several))
    addresses = np.zeros(len(several), "int64")
    made(addresses)
    return made, dict(zip(several, addresses.tolist(), strict=True))


def _kept(function: Dispatcher, *parts: str) -> Dispatcher:
    """Have a function kept on the disk, unless there is no source that tells it from older ones."""
    key = source_key(numba_interpreter.__name__, parts[0])
    if key is None:
        return function
    return kept(function, hashlib.sha256("\n".join([key, *parts]).encode()).hexdigest())
