"""Pickles read without running anything: each class in them becomes an inert stand-in."""

from __future__ import annotations

import collections
import io
import pickle
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import FileError

#: What a pickle may really make: containers and numbers, by the names that they have in Python 2
#: and 3. Everything else is a stand-in.
PLAIN: dict[str, Any] = {
    f"{module}.{kind.__name__}": kind
    for module in ("builtins", "__builtin__")
    for kind in (set, frozenset, list, dict, tuple, complex)
} | {"collections.OrderedDict": collections.OrderedDict}

#: The kinds of numbers that arrays may hold.
KINDS = "biuf"


class StandIn:
    """An object of a class that is not imported: what it was made of, and its attributes.

    For each class of a pickle there is a subclass of this one, which has its
    name and nothing else.

    Attributes
    ----------
    path : str
        Full name of the class.
    made_of : tuple
        The arguments that it was made of.
    state : Any
        What it was given by ``__setstate__``, if that is not attributes.
    """

    path = ""
    made_of: tuple[Any, ...] = ()
    state: Any = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Keep the arguments."""
        made = object.__new__(cls)
        made.__dict__.update(made_of=args, attributes={})
        return made

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: `__new__` has seen the arguments."""

    def __setstate__(self, state: Any) -> None:
        """Keep the attributes."""
        # Slots come second.
        parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
        if all(part is None or isinstance(part, dict) for part in parts):
            for part in parts:
                self.__dict__["attributes"].update(part or {})
        else:
            self.__dict__["state"] = state

    # What lists, sets and dicts are filled with.

    def append(self, value: Any) -> None:
        """Ignore an element."""

    def extend(self, values: Any) -> None:
        """Ignore elements."""

    def add(self, value: Any) -> None:
        """Ignore an element."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Ignore an entry."""

    def get(self, name: str, default: Any = None) -> Any:
        """Get an attribute."""
        return self.__dict__["attributes"].get(name, default)

    def __contains__(self, name: str) -> bool:
        """Tell whether there is such an attribute."""
        return name in self.__dict__["attributes"]

    @property
    def kind(self) -> str:
        """The name of the class, without its module."""
        return self.path.rpartition(".")[2]


class _Reconstructed(StandIn):
    """What ``copyreg`` makes objects with: the first argument is their class."""

    def __new__(cls, kind: Any = None, *args: Any) -> Any:
        """Make a stand-in of the class that is asked for."""
        if isinstance(kind, type) and issubclass(kind, StandIn):
            return StandIn.__new__(kind)
        return StandIn.__new__(cls, kind, *args)


class _Encoded(StandIn):
    """What bytes are written as in Python 3 for Python 2."""

    def __new__(cls, text: Any = "", encoding: Any = "latin1") -> Any:
        """Get the bytes."""
        return str(text).encode("latin1")


def _array(kind: StandIn, state: Any) -> npt.NDArray[Any]:
    """Make an array of what NumPy writes of one."""
    shape, dtype, fortran, data = state[-4:]
    if isinstance(data, str):
        data = data.encode("latin1")
    made = np.frombuffer(data, _dtype(dtype)) if data else np.zeros(0, _dtype(dtype))
    return made.reshape(shape, order="F" if fortran else "C")


def _dtype(described: Any) -> np.dtype[Any]:
    if not isinstance(described, StandIn) or described.path != "numpy.dtype":
        raise ValueError("the type of an array is not a dtype")
    code = described.made_of[0]
    order = described.state[1] if described.state else "<"
    code = code.decode("ascii") if isinstance(code, bytes) else code
    order = order.decode("ascii") if isinstance(order, bytes) else order
    if not isinstance(code, str) or code[:1] not in KINDS or not code[1:].isdigit():
        raise ValueError(f"arrays of {code!r} are not numbers")
    return np.dtype(code if order not in ("<", ">") else f"{order}{code}")


def array_of(value: Any) -> npt.NDArray[Any] | None:
    """Get the array that an object of a pickle is, or holds; None if there is none.

    Parameters
    ----------
    value : Any
        An array, an array of a GPU, or a shared variable of Theano.
    """
    if isinstance(value, (int, float)):
        return np.array(value)
    if not isinstance(value, StandIn):
        return None
    if value.path.endswith("multiarray._reconstruct") and value.state is not None:
        return _array(value, value.state)
    if value.path.endswith("multiarray.scalar") and len(value.made_of) == 2:
        data = value.made_of[1]
        data = data.encode("latin1") if isinstance(data, str) else data
        return np.frombuffer(data, _dtype(value.made_of[0])).reshape(())
    if value.path.endswith("numeric._frombuffer") and len(value.made_of) == 4:
        data, dtype, shape, order = value.made_of
        return _array(value, (shape, dtype, order == "F", data))
    if "container" in value:
        stored = value.get("container")
        stored = stored.get("storage") if isinstance(stored, StandIn) else None
        return array_of(stored[0]) if isinstance(stored, list) and stored else None
    # Of a GPU: it is written as an array and a function.
    return array_of(value.made_of[0]) if "unpickler" in value.path.lower() else None


class _Reader(pickle.Unpickler):
    """An unpickler for which nothing is imported."""

    def __init__(self, file: io.BytesIO) -> None:
        # Python 2 wrote the bytes of arrays as text.
        super().__init__(file, encoding="latin1")
        self._known: dict[str, Any] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Get the stand-in of a class or function."""
        path = f"{module}.{name}"
        if path in PLAIN:
            return PLAIN[path]
        if path not in self._known:
            base: type = StandIn
            if module in ("copy_reg", "copyreg"):
                base = _Reconstructed
            elif path == "_codecs.encode":
                base = _Encoded
            self._known[path] = type(name.rpartition(".")[2], (base,), {"path": path})
        return self._known[path]

    def persistent_load(self, pid: Any) -> Any:
        """Refuse what would be outside of the file."""
        raise pickle.UnpicklingError(f"it refers to {pid!r} outside of it")


def read_pickle(data: bytes, where: str) -> Any:
    """Read a pickle; of several in a row the first one.

    Parameters
    ----------
    data : bytes
        The pickle.
    where : str
        What messages call it.

    Returns
    -------
    Any
        Containers, numbers and strings as they are, all else as `StandIn`.

    Raises
    ------
    FileError
        If it is damaged.
    """
    try:
        return _Reader(io.BytesIO(data)).load()
    except Exception as error:  # Of a damaged pickle anything may come.
        raise FileError(
            f"{where}: not a pickle, or a damaged one: {type(error).__name__}: {error}"
        ) from error


__all__ = ["StandIn", "array_of", "read_pickle"]
