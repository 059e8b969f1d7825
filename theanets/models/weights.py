"""Weights in files of others: safetensors, by the names that they have there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize, safe_open

from ..data.tables import plain
from ..data.tensors import is_tensor, of_bfloat16
from ..errors import ConfigurationError, DataError, FileError, naming, nearest
from ..export.torch_arrays import Array


class Weights:
    """Arrays by name, from a file or a dict; those that nobody asks for are told.

    Parameters
    ----------
    source : path or mapping
        A file of safetensors, or arrays by name.
    """

    def __init__(self, source: Any) -> None:
        self._asked: set[str] = set()
        if isinstance(source, Mapping):
            self.where = "weights"
            self._arrays = {str(key): _array(str(key), value) for key, value in source.items()}
            return
        if not isinstance(source, (str, os.PathLike)):
            raise ConfigurationError(
                f"{source!r} is neither the path of a file of safetensors nor a dict of arrays"
            )
        self.where = os.fspath(source)
        with naming(source), open(source, "rb"):
            pass
        try:
            self._arrays = _read(source)
        except (SafetensorError, TypeError, ValueError, AttributeError) as error:
            raise FileError(f"{self.where}: no file of safetensors for NumPy: {error}") from error

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def has(self, start: str) -> bool:
        """Tell whether there is any array whose name starts so."""
        return any(name.startswith(start) for name in self._arrays)

    def take(self, name: str, shape: tuple[int, ...] | None = None) -> Array:
        """Get an array.

        Raises
        ------
        FileError
            If there is none of the name, or it has another shape.
        """
        if name not in self._arrays:
            raise FileError(f"{self.where}: there is no {name!r}{nearest(name, self._arrays)}")
        found = self._arrays[name]
        if shape is not None and found.shape != shape:
            raise FileError(f"{self.where}: {name!r} has the shape {found.shape}, expected {shape}")
        if found.dtype.kind != "f":
            raise FileError(f"{self.where}: {name!r} has the type {found.dtype}, expected floats")
        self._asked.add(name)
        wide = found.dtype in (np.float32, np.float64)
        return found if wide else found.astype(np.float32)

    def module(self, path: str, names: Iterable[str]) -> dict[str, Array]:
        """Get the arrays of a module of PyTorch by their short names, those that there are."""
        every = [name for name in names if f"{path}.{name}" in self._arrays]
        return {name: self.take(f"{path}.{name}") for name in every}

    def check_all(self, without: Iterable[str] = ()) -> None:
        """Refuse arrays that nobody asked for; ``without`` are endings of names that say nothing.

        Raises
        ------
        FileError
            Names them.
        """
        ends = tuple(without)
        rest = [n for n in self._arrays if n not in self._asked and not (ends and n.endswith(ends))]
        if rest:
            raise FileError(
                f"{self.where}: {', '.join(map(repr, rest[:5]))}"
                f"{' and others' if len(rest) > 5 else ''} have no place in the network"
            )


def _array(name: str, value: Any) -> Array:
    """Get one of a dict of arrays, which may be tensors, of a module's state for instance."""
    try:
        return plain(value.detach() if is_tensor(value) else value)
    except (DataError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise FileError(
            f"weights: {name!r} is a {type(value).__name__} of {getattr(value, 'dtype', 'objects')}"
            f" that is no array: {str(error).rstrip('.')}; expected floats"
        ) from error


def _read(source: Any) -> dict[str, Array]:
    """Get the arrays of a file; bfloat16, which NumPy does not have, as float32."""
    found, wide = {}, []
    with safe_open(source, framework="numpy") as file:
        for name in file.keys():  # noqa: SIM118
            kind = file.get_slice(name).get_dtype()
            if kind == "BF16":
                wide.append(name)
                continue
            try:
                found[name] = file.get_tensor(name)
            except (TypeError, AttributeError) as error:
                raise FileError(
                    f"{os.fspath(source)}: {name!r} has the type {kind}, which NumPy does not "
                    "have; expected floats of at least 16 bits"
                ) from error
    if wide:
        with open(source, "rb") as raw:
            every = dict(deserialize(raw.read()))
        for name in wide:
            found[name] = of_bfloat16(every[name]["data"], tuple(every[name]["shape"]))
    return found
