"""How Numba compiles, and how what it compiled is kept on the disk: without what nobody uses.

PyTensor's linker puts a function of its own around each piece of code that it
hands to Numba, and keeps that one. So Numba compiles twice as many functions,
and optimizes the whole of a graph twice. Here, a piece that Numba can compile
as it is, is kept itself, under the same key.

A graph of some length is not compiled as a whole at all, see `numba_program`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from numba.core.dispatcher import Dispatcher
from pytensor import config
from pytensor.graph.basic import Apply, Constant
from pytensor.graph.op import Op
from pytensor.link.numba.linker import NumbaLinker

from ..versions import numba_parts
from .numba_cache import KeyedCache, kept
from .numba_program import Program, Unfit
from .numba_sparing import replaced

#: Without them, all is compiled as PyTensor does it.
_parts: Any = numba_parts()
#: By their keys and what they take. Numba never lets go of what it compiled: networks share it.
_pieces: dict[tuple[Any, ...], Any] = {}
#: By the pieces that are whole graphs, what Python calls; this Numba lets go of, and it is
#: a third of the memory.
_whole: WeakValueDictionary[Any, Any] = WeakValueDictionary()
#: What PyTensor's linker got for operations, by `_described`.
_known: dict[Hashable, tuple[Any, str | None]] = {}
#: How many of these there are at most: networks of ever other sizes have ever other operations.
KNOWN = 10_000


def _keep(op: Op, node: Apply = None, **kwargs: Any) -> tuple[Any, str | None]:
    """Get the function of an Op or a graph, and its key; what PyTensor's linker calls."""
    if not config.numba__cache:
        return _parts.wrapped(op, node=None if node is None else _apart(node), **kwargs)
    if node is None:
        return _made(op, None, **kwargs)
    described = _described(node)
    if described is None:
        return _made(op, _apart(node), **kwargs)
    if described not in _known:
        made = _made(op, _apart(node), **kwargs)
        if len(_known) >= KNOWN:
            _known.clear()
        _known[described] = made
    return _known[described]


def _described(node: Any) -> Hashable | None:
    """Get what is equal for nodes of one function, or None for one that shares it with none.

    A function can depend on all that a node is made of: the Op, the types of its inputs and
    outputs with their lengths, the values of constants, and which inputs are the same. It is
    looked up by these before it is made, as PyTensor's key comes with a new function only, of
    which Numba holds what it refers to.
    """
    if not hasattr(node.op, "__props__"):
        return None  # equal to itself alone
    places: dict[Any, int] = {}
    inputs = []
    for variable in node.inputs:
        place = places.setdefault(variable, len(places))
        constant = isinstance(variable, Constant)
        inputs.append((place, variable.signature() if constant else variable.type))
    described = (
        node.op,
        config.numba__fastmath,
        tuple(inputs),
        tuple(variable.type for variable in node.outputs),
    )
    try:
        hash(described)
    except TypeError:
        return None
    return described


def _made(op: Any, node: Any, **kwargs: Any) -> tuple[Any, str | None]:
    """Get a function that was not there, and its key; one that was, where the key is the same."""
    function, key = _parts.with_key(op, node=node, **kwargs)
    if key is None:
        return function, None
    fast_key = f"{key}_fastmath{int(config.numba__fastmath)}"
    # A key leaves to Numba what it tells functions on the disk apart by: what they take.
    taken = (op if node is None else node).inputs
    types = [(getattr(x.type, "dtype", x.type), getattr(x.type, "ndim", 0)) for x in taken]
    piece = (fast_key, node is None, *types)
    if piece not in _pieces:
        if isinstance(function, Dispatcher):
            _pieces[piece] = kept(function, fast_key)
        else:
            wrapped = _parts.wrapped(op, node=node, **kwargs)[0]
            if isinstance(wrapped, Dispatcher):
                wrapped._cache = KeyedCache(wrapped.py_func, "wrapped")
            _pieces[piece] = wrapped
    return _pieces[piece], key


def _apart(node: Apply) -> Apply:
    """Get a node that is in no graph.

    Functions of PyTensor's refer to the node that they were made for, and Numba never lets go
    of a function. So it would hold the graph, and all variables in it with their arrays. (The
    frozen nodes of inner graphs lead to no others.)
    """
    if type(node) is not Apply:
        return node
    inputs = {v: v if isinstance(v, Constant) else v.type(v.name) for v in node.inputs}
    return Apply(node.op, [inputs[v] for v in node.inputs], [v.type(v.name) for v in node.outputs])


@contextmanager
def compiling(programs: bool = True) -> Iterator[None]:
    """Keep functions without others around them, in what is made meanwhile.

    Parameters
    ----------
    programs : bool
        Whether a graph may be a program instead of a function of Numba's.
    """
    if _parts is None:
        yield
        return
    with (
        replaced(_parts.module, _parts.looked_up, lambda wrapped: _keep),
        replaced(NumbaLinker, "jit_compile", partial(_compiled_once, programs=programs)),
    ):
        yield


def _compiled_once(jit_compile: Callable[..., Any], programs: bool) -> Callable[..., Any]:
    def once(linker: Any, function_and_key: tuple[Any, str | None]) -> Any:
        function, key = function_and_key
        if key is None:
            return jit_compile(linker, function_and_key)
        whole = _whole.get(function)
        if whole is None:
            whole = jit_compile(linker, function_and_key)
            whole._cache = KeyedCache(whole.py_func, "whole")
            if programs:
                with suppress(Unfit):
                    whole = Program(whole, linker.fgraph, _function_of)
            _whole[function] = whole
        return whole

    return once


def _function_of(node: Any) -> Any:
    """Get the function of an operation in a graph that was just converted, if it is kept."""
    function, key = _keep(node.op, node=node)
    return None if key is None else function
