"""How Numba compiles, and how what it compiled is kept on the disk: without what nobody uses.

PyTensor's linker puts a function of its own around each piece of code that it
hands to Numba, and keeps that one. So Numba compiles twice as many functions,
and optimizes the whole of a graph twice. Here, a piece that Numba can compile
as it is, is kept itself, under the same key.

Numba in turn makes a second form, to be called from C, of each function of
NumPy that a piece needs, and measures how long each of the tens of thousands
of calls of LLVM takes, once for each function that is being compiled then.
That is a fifth of a first training's time; see `sparing`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from numba.core import event
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher
from numba.core.lowering import Lower
from pytensor import config
from pytensor.link.numba.cache import CACHED_SRC_FUNCTIONS
from pytensor.link.numba.dispatch import basic

_wrapped = basic.numba_funcify_ensure_cache
_create_cfunc_wrapper = Lower.create_cfunc_wrapper
_install_timer = event.install_timer
_lock = threading.RLock()


class KeyedCache(FunctionCache):
    """A function on the disk, told from others by PyTensor's key and the types of its arguments.

    Numba would go by what is in the function's closure too, and that is not
    the same in another process. The key says what the function is.
    """

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return sig, codegen.magic_tuple(), "keyed"


def _keep(op: Any, node: Any = None, **kwargs: Any) -> tuple[Any, str | None]:
    """Get the function of an Op or a graph, and its key; what PyTensor's linker calls."""
    if not config.numba__cache:
        return _wrapped(op, node=node, **kwargs)
    function, key = basic.numba_funcify_and_cache_key(op, node=node, **kwargs)
    if key is None:
        return function, None
    if not isinstance(function, Dispatcher):
        return _wrapped(op, node=node, **kwargs)
    source = function.py_func
    if source.__code__.co_filename != source.__globals__.get("__file__"):
        # It was generated, into a file that has another name in the next process.
        source.__code__ = source.__code__.replace(co_filename="<string>")
        # Numba imports this module again with the code, also where there is no theanets.
        source.__module__ = basic.__name__
    CACHED_SRC_FUNCTIONS[source] = f"{key}_fastmath{int(config.numba__fastmath)}"
    function._cache = KeyedCache(source)
    return function, key


@contextmanager
def compiling() -> Iterator[None]:
    """Keep functions without others around them, in what is made meanwhile."""
    with _lock:
        basic.numba_funcify_ensure_cache = _keep
        try:
            yield
        finally:
            basic.numba_funcify_ensure_cache = _wrapped


def _create_used_cfunc_wrapper(self: Any) -> None:
    # What cannot be called from Python is called by compiled code alone, which has no use for it.
    if not self.flags.no_cpython_wrapper:
        _create_cfunc_wrapper(self)


def _install_other_timer(kind: str, *args: Any, **kwargs: Any) -> AbstractContextManager[Any]:
    return nullcontext() if kind == "numba:llvm_lock" else _install_timer(kind, *args, **kwargs)


def sparing(function: Any) -> None:
    """Let Numba leave out what nobody uses when it compiles a function, at its first call.

    Parameters
    ----------
    function : pytensor.compile.Function
        Has been made by PyTensor's linker for Numba.
    """
    dispatcher = function.vm.jit_fn

    def compile(signature: Any) -> Any:
        with _lock:
            Lower.create_cfunc_wrapper = _create_used_cfunc_wrapper
            event.install_timer = _install_other_timer
            try:
                return Dispatcher.compile(dispatcher, signature)
            finally:
                Lower.create_cfunc_wrapper = _create_cfunc_wrapper
                event.install_timer = _install_timer

    dispatcher.compile = compile
