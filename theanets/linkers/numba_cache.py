"""Compiled functions of Numba on the disk: a damaged file is as none, and a full disk no error."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numba.core import config
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.dispatcher import Dispatcher

from ..versions import numba_parts

log = logging.getLogger("theanets")

#: Bytes of the digest at the end of a file.
DIGEST = 16


class _Digested:
    """A file that is written, and the digest of all that was."""

    def __init__(self, file: Any) -> None:
        self._file, self._digest = file, hashlib.blake2b(digest_size=DIGEST)

    def write(self, data: Any) -> Any:
        self._digest.update(data)
        return self._file.write(data)

    def digest(self) -> bytes:
        return self._digest.digest()


def is_whole(path: str) -> bool:
    """Tell whether a file can be read, and is as it was written."""
    try:
        data = Path(path).read_bytes()
    except OSError:
        return False
    body, end = data[:-DIGEST], data[-DIGEST:]
    return hashlib.blake2b(body, digest_size=DIGEST).digest() == end


class WholeFiles(IndexDataCacheFile):
    """Files with their digest at the end, where what reads a pickle does not look.

    Compiled code has no checks of its own: with one bit changed it may compute
    something else, or end the process.
    """

    @contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[_Digested]:
        with super()._open_for_write(filepath) as file:
            digested = _Digested(file)
            yield digested
            file.write(digested.digest())

    def _load_index(self) -> Any:
        return super()._load_index() if is_whole(self._index_path) else {}

    def _load_data(self, name: str) -> Any:
        # Without data the function is compiled, and written under the same name.
        return super()._load_data(name) if is_whole(self._data_path(name)) else None


class KeyedCache(FunctionCache):
    """A function on the disk, told from others by PyTensor's key and the types of its arguments.

    Numba would go by what is in the function's closure too, and that is not
    the same in another process. The key says what the function is.

    Parameters
    ----------
    source : function
        What is compiled.
    form : str
        Tells forms of one function apart.
    """

    _warned = False

    def __init__(self, source: Any, form: str = "keyed") -> None:
        super().__init__(source)
        self._form = form
        # Not the files of PyTensor's own functions, which have no digest.
        self._cache_file = WholeFiles(
            cache_path=self._cache_path,
            filename_base=f"theanets-{form}-{self._impl.filename_base}",
            source_stamp=self._impl.locator.get_source_stamp(),
        )

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        # Numba would take code that was compiled at another level of optimization.
        return sig, codegen.magic_tuple(), self._form, int(config.OPT)

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled function; where that cannot be done, say so once."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            if not KeyedCache._warned:
                KeyedCache._warned = True
                log.warning(
                    "what Numba compiles cannot be kept in %s (%s), so every process compiles it "
                    "anew; PYTENSOR_FLAGS=base_compiledir=<directory> names another place",
                    self._cache_path,
                    error,
                )


def kept(function: Dispatcher, key: str) -> Dispatcher:
    """Have a function itself kept on the disk.

    Parameters
    ----------
    function : Dispatcher
        Of Numba's.
    key : str
        What is equal for functions that do the same.
    """
    parts: Any = numba_parts()
    source = function.py_func
    # PyTensor puts what shared variables hold beside the code, which takes it as arguments.
    for name in source.__code__.co_varnames[: source.__code__.co_argcount]:
        source.__globals__.pop(name, None)
    if source.__code__.co_filename != source.__globals__.get("__file__"):
        # It was generated, into a file that has another name in the next process.
        source.__code__ = source.__code__.replace(co_filename="<string>")
        # Numba imports this module again with the code, also where there is no theanets.
        source.__module__ = parts.module.__name__
    parts.keys[source] = key
    function._cache = KeyedCache(source)
    return function
