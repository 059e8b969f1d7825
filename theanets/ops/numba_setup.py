"""How what Numba compiles is kept on the disk: without a function around each function.

PyTensor's linker puts a function of its own around each piece of code that it
hands to Numba, and keeps that one. So Numba compiles twice as many functions,
and optimizes the whole of a graph twice. Here, a piece that Numba can compile
as it is, is kept itself, under the same key.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher
from pytensor import config
from pytensor.link.numba.cache import CACHED_SRC_FUNCTIONS
from pytensor.link.numba.dispatch import basic

_wrapped = basic.numba_funcify_ensure_cache
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
