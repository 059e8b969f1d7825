"""Files: arrays by name and a JSON header, as safetensors. Nothing in a file is executed."""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as _load
from safetensors.numpy import save as _save

from .errors import ConfigurationError, FileError

PathOrFile: TypeAlias = "str | os.PathLike[str] | IO[bytes]"
Arrays: TypeAlias = "dict[str, npt.NDArray[Any]]"

#: Key of our entry in the metadata of a safetensors file.
KEY = "theanets"
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
    contiguous = {name: np.ascontiguousarray(a) for name, a in arrays.items()}
    data = _save(contiguous, metadata={KEY: text})
    if not isinstance(target, (str, os.PathLike)):
        target.write(data)
        return
    path = Path(target)
    if path.suffix == ".gz":
        data = gzip.compress(data, mtime=0)
    # The same directory: a rename is atomic only within a file system.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read(source: PathOrFile) -> tuple[Arrays, dict[str, Any]]:
    """Read what `write` wrote.

    Parameters
    ----------
    source : path or binary file
        A file object is read from its position to the end of what was written.

    Returns
    -------
    (arrays, header)

    Raises
    ------
    FileError
        If the file is truncated, damaged or not one of ours.
    FileNotFoundError
        If there is no such file.
    """
    if isinstance(source, (str, os.PathLike)):
        where = os.fspath(source)
        with open(source, "rb") as handle:
            data = handle.read()
        if data[:2] == b"\x1f\x8b":
            try:
                data = gzip.decompress(data)
            except (OSError, EOFError) as error:
                raise FileError(f"{where}: the compressed file is damaged: {error}") from None
        stream: IO[bytes] = io.BytesIO(data)
    else:
        where = str(getattr(source, "name", "file object"))
        stream = source
    return _parse(stream, where)


def _parse(stream: IO[bytes], where: str) -> tuple[Arrays, dict[str, Any]]:
    size = stream.read(8)
    if len(size) < 8:
        raise FileError(f"{where}: {len(size)} bytes are too few for a safetensors file")
    (length,) = struct.unpack("<Q", size)
    # The library refuses larger headers too; a foreign file may announce exabytes.
    head = stream.read(length) if length <= 100_000_000 else b""
    try:
        entries = json.loads(head)
        metadata = entries["__metadata__"][KEY]
        header = json.loads(metadata)
        ends = [e["data_offsets"][1] for k, e in entries.items() if k != "__metadata__"]
    except (ValueError, KeyError, TypeError, IndexError):
        raise FileError(
            f"{where}: not a file of theanets (a safetensors file with a {KEY!r} entry in its "
            "metadata)"
        ) from None
    body = stream.read(max(ends, default=0))
    try:
        arrays = dict(_load(size + head + body))
    except SafetensorError as error:
        raise FileError(f"{where}: the file is truncated or damaged: {error}") from None
    if not isinstance(header, dict) or not isinstance(header.get("version"), int):
        raise FileError(f"{where}: the header has no version")
    if header["version"] > VERSION:
        raise FileError(
            f"{where}: written by a later version of theanets (format {header['version']}; "
            f"this one reads up to {VERSION})"
        )
    return arrays, header


def encode(value: Any, where: str) -> Any:
    """Turn a specification into what JSON can hold.

    Callables are written as ``{"callable": name}``, arrays as lists.

    Raises
    ------
    ConfigurationError
        If a value cannot be written.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": str(value.dtype)}
    if isinstance(value, Mapping):
        return {str(k): encode(v, f"{where}[{k!r}]") for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(v, where) for v in value]
    if hasattr(value, "to_spec"):
        return encode(value.to_spec(), where)
    if callable(value):
        return {"callable": getattr(value, "name", None) or getattr(value, "__name__", str(value))}
    raise ConfigurationError(f"{where}: {value!r} cannot be written to a file")


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
        If a callable is not in ``custom``.
    """
    if isinstance(value, Mapping):
        if set(value) == {"callable"}:
            name = value["callable"]
            if name not in custom:
                raise FileError(
                    f"{where}: the network uses the callable {name!r}; give it as "
                    f"custom={{{name!r}: function}}"
                )
            return custom[name]
        if set(value) == {"array", "dtype"}:
            return np.asarray(value["array"], dtype=value["dtype"])
        return {k: decode(v, custom, where) for k, v in value.items()}
    if isinstance(value, list):
        return [decode(v, custom, where) for v in value]
    return value
