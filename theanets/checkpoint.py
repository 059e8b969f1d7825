"""Files: arrays by name and a JSON header, as safetensors. Nothing in a file is executed."""

from __future__ import annotations

import contextlib
import gzip
import json
import math
import operator
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as _load
from safetensors.numpy import save as _save

from . import atomic
from .errors import ConfigurationError, FileError, naming
from .registry import Registered, same_definition

PathOrFile: TypeAlias = "str | os.PathLike[str] | IO[bytes]"
Arrays: TypeAlias = "dict[str, npt.NDArray[Any]]"

#: Key of our entry in the metadata of a safetensors file.
KEY = "theanets"
#: The types that arrays may have, as the format calls them, and the bytes of a number.
_BYTES = {
    **{f"F{8 * n}": n for n in (2, 4, 8)},
    **{f"{kind}{8 * n}": n for kind in "IU" for n in (1, 2, 4, 8)},
    "BOOL": 1,
}
#: Version of what is written; a file of a later version is refused.
VERSION = 1


def write(target: PathOrFile, arrays: Mapping[str, npt.NDArray[Any]], header: Any) -> None:
    """Write arrays and a header.

    Parameters
    ----------
    target : path or binary file
        A path is written atomically: at every moment it holds the old file or
        the new one. A path that ends in ``.gz`` is compressed. A file object
        is written at its position.
    arrays : dict of str to ndarray
        The arrays.
    header : dict
        Anything that JSON can hold.
    """
    text = json.dumps({"version": VERSION, **header}, allow_nan=True)
    contiguous = {name: np.asarray(a, order="C") for name, a in arrays.items()}
    data = _save(contiguous, metadata={KEY: text})
    if not isinstance(target, (str, os.PathLike)):
        _check_file(target, "write")
        try:
            target.write(data)
        except TypeError:
            where = getattr(target, "name", "file object")
            raise ConfigurationError(
                f"{where}: the file is open as text; open it with 'wb'"
            ) from None
        return
    if Path(target).suffix == ".gz":
        data = gzip.compress(data, mtime=0)
    atomic.write(target, data)


class File:
    """A file that is being read: what it announces, and then its arrays.

    Attributes
    ----------
    where : str
        What messages call it.
    header : dict
        What was written beside the arrays.
    shapes : dict of str to tuple
        Shapes of the arrays by name. Nothing of them was read yet.
    """

    def __init__(self, stream: IO[bytes], where: str, packed: bool = False) -> None:
        self.where = where
        self._stream, self._packed = stream, packed
        self._head, self.header, entries = _parse(stream, where)
        self.shapes, self._end = _announced(entries, where)

    def arrays(self) -> Arrays:
        """Read the arrays; once.

        Raises
        ------
        FileError
            If the file is truncated or damaged.
        """
        body = _read(self._stream, self._end)
        if self._packed:
            # At the end it is compared with what was compressed.
            self._stream.read(1)
        try:
            return dict(_load(self._head + body))
        except (SafetensorError, KeyError) as error:
            raise FileError(f"{self.where}: the file is truncated or damaged: {error}") from None


@contextlib.contextmanager
def reading(source: PathOrFile) -> Iterator[File]:
    """Open what `write` wrote.

    Parameters
    ----------
    source : path or binary file
        A file object is read from its position to the end of what was written.

    Yields
    ------
    File
        No more is read, or decompressed, than the file announces.

    Raises
    ------
    FileError
        If there is no such file, or it is truncated, damaged or not one of ours.
    """
    where = name_of(source)
    if not isinstance(source, (str, os.PathLike)):
        _check_file(source, "read")
        yield File(source, where)
        return
    with contextlib.ExitStack() as stack:
        with naming(source):
            handle = stack.enter_context(open(source, "rb"))
        packed = handle.read(2) == b"\x1f\x8b"
        handle.seek(0)
        stream: Any = gzip.GzipFile(fileobj=handle) if packed else handle
        try:
            yield File(stream, where, packed)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise FileError(f"{where}: the compressed file is damaged: {error}") from None


def read(source: PathOrFile) -> tuple[Arrays, dict[str, Any]]:
    """Read what `write` wrote, see `reading`.

    Returns
    -------
    (arrays, header)
    """
    with reading(source) as file:
        return file.arrays(), file.header


def _check_file(file: Any, method: str) -> None:
    if not hasattr(file, method):
        raise ConfigurationError(f"{file!r} is neither a path nor a file to {method}")


def name_of(source: PathOrFile) -> str:
    """Get what messages call a file."""
    if isinstance(source, (str, os.PathLike)):
        return str(os.fspath(source))
    return str(getattr(source, "name", "file object"))


def _parse(stream: IO[bytes], where: str) -> tuple[bytes, dict[str, Any], dict[str, Any]]:
    """Read the head of a file: its bytes, our header, and the entries of the arrays."""
    size = stream.read(8)
    if not isinstance(size, bytes):
        raise ConfigurationError(f"{where}: the file is open as text; open it with 'rb'")
    if len(size) < 8:
        raise FileError(f"{where}: {len(size)} bytes are too few for a safetensors file")
    (length,) = struct.unpack("<Q", size)
    # The library refuses larger headers too; a foreign file may announce exabytes.
    head = _read(stream, length) if length <= 100_000_000 else b""
    try:
        entries = json.loads(head)
        header = json.loads(entries["__metadata__"][KEY])
        version = header["version"]
        del entries["__metadata__"]
    except (ValueError, KeyError, TypeError, RecursionError):
        if size[:1] == b"\x80" and size[1] <= 5:
            raise FileError(
                f"{where}: a pickle, as theanets 0.6 to 0.8 wrote them; theanets.load_original("
                f"{where!r}, trust=True) reads it, if it is of somebody you know"
            ) from None
        raise FileError(
            f"{where}: not a file of theanets (a safetensors file with a {KEY!r} entry in its "
            "metadata)"
        ) from None
    if not isinstance(version, int):
        raise FileError(f"{where}: the header has the version {version!r}, not a number")
    if version > VERSION:
        raise FileError(
            f"{where}: written by a later version of theanets (format {version}; "
            f"this one reads up to {VERSION})"
        )
    return size + head, header, entries


def _announced(entries: Mapping[str, Any], where: str) -> tuple[dict[str, tuple[int, ...]], int]:
    """Get the shapes of the arrays, and the bytes of all of them."""
    shapes, spans = {}, []
    for name, entry in entries.items():
        try:
            shape = tuple(map(operator.index, entry["shape"]))
            first, last = map(operator.index, entry["data_offsets"])
            size = math.prod(shape) * _BYTES[entry["dtype"]]
        except (TypeError, ValueError, KeyError):
            raise FileError(
                f"{where}: the entry of the array {name!r}, {entry!r:.200}, has no meaning here"
            ) from None
        if min(shape, default=0) < 0 or last - first != size:
            raise FileError(
                f"{where}: the array {name!r} of shape {shape} and type {entry['dtype']} has "
                f"{last - first} bytes"
            )
        shapes[name] = shape
        spans.append((first, last))
    # One after the other; the library wants it so, but looks only when all is read.
    end = 0
    for first, last in sorted(spans):
        if first != end:
            raise FileError(f"{where}: the arrays do not follow each other without gaps")
        end = last
    return shapes, end


def _read(stream: IO[bytes], length: int) -> bytes:
    """Read so many bytes, or all that there are: no more memory is asked for."""
    parts = []
    while length > 0:
        part = stream.read(min(length, 2**24))
        if not part:
            break
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def encode(value: Any, where: str, names: dict[str, Any] | None = None) -> Any:
    """Turn a specification into what JSON can hold.

    Callables are written as ``{"callable": name}``, classes that have a registered name as
    that, arrays as lists.

    Parameters
    ----------
    value : Any
        The value.
    where : str
        Describes it in messages.
    names : dict of str to callable, optional
        The callables so far.

    Raises
    ------
    ConfigurationError
        If a value cannot be written, or two callables have the same name.
    """
    names = {} if names is None else names
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return encode(value.item(), where, names)
    if isinstance(value, np.ndarray):
        return {"array": encode(value.tolist(), where, names), "dtype": str(value.dtype)}
    if isinstance(value, Mapping):
        return {str(k): encode(v, f"{where}[{k!r}]", names) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(v, where, names) for v in value]
    if hasattr(value, "to_spec") and not isinstance(value, type):
        return encode(value.to_spec(), where, names)
    if isinstance(value, type) and issubclass(value, Registered):
        known = value.registry.name_of(value)
        if known is not None:
            return known
    if callable(value):
        name = _name_of_callable(value)
        other = names.setdefault(name, value)
        # What is defined within a function may depend on its arguments.
        local = "<" in getattr(value, "__qualname__", "<")
        if other is not value and (local or not same_definition(other, value)):
            raise ConfigurationError(
                f"{where}: two callables have the name {name!r}, by which a file tells them apart"
            )
        return {"callable": name}
    raise ConfigurationError(f"{where}: {value!r} cannot be written to a file")


def _name_of_callable(value: Any) -> str:
    name = None if isinstance(value, type) else getattr(value, "name", None)
    return str(name or getattr(value, "__name__", type(value).__name__))


def decode(value: Any, custom: Mapping[str, Any], where: str) -> Any:
    """Turn what `encode` gave back into a specification.

    Parameters
    ----------
    value : Any
        The value.
    custom : dict of str to callable
        The callables that the file names.
    where : str
        Describes the file in messages.

    Raises
    ------
    FileError
        If a callable is not in ``custom``, or an array has no meaning.
    """
    if isinstance(value, Mapping):
        if set(value) == {"callable"}:
            name = str(value["callable"])
            if name not in custom:
                raise FileError(
                    f"{where}: the network uses the callable {name!r}; give it as "
                    f"custom={{{name!r}: function}}"
                )
            return custom[name]
        if set(value) == {"array", "dtype"}:
            return _array(value["array"], value["dtype"], where)
        return {k: decode(v, custom, where) for k, v in value.items()}
    if isinstance(value, list):
        return [decode(v, custom, where) for v in value]
    return value


def _array(value: Any, dtype: Any, where: str) -> Any:
    try:
        found = np.dtype(dtype)
        # A type of text, or of anything, may announce that each entry is huge.
        if found.kind in "biufU":
            return np.asarray(value, found if found.kind != "U" else "U")
        if found.kind == "O":
            return np.asarray(value, found)
    except (TypeError, ValueError, OverflowError) as error:
        raise FileError(
            f"{where}: an array of type {dtype!r:.50} has no meaning: {error}"
        ) from None
    raise FileError(f"{where}: arrays of type {dtype!r:.50} are not read")
