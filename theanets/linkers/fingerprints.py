"""What a graph is, in bytes that are the same in every process.

Pickles are not: they tell an object that is there twice from two that are equal.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.fg import FunctionGraph

from ..versions import features

#: Whose operations are what they were as long as the files of these packages are.
KNOWN = ("pytensor", __package__.partition(".")[0])
#: Bytes of all constants of a graph, beyond which it has no fingerprint.
MOST = 10_000_000
_PLAIN = (type(None), bool, int, float, complex, str, bytes)


class Unknown(Exception):
    """Raised for what has no fingerprint."""


def package_of(what: Any) -> str:
    """Get the package of a class or function; "" if it does not say."""
    module: str = getattr(what, "__module__", None) or ""
    return module.partition(".")[0]


def is_known(what: Any) -> bool:
    """Tell whether a class or function is of a package whose files are known."""
    return package_of(what) in KNOWN


def of(graph: FunctionGraph) -> str:
    """Get the fingerprint of a graph: of all that rewriting it depends on, but for the rewrites.

    Raises
    ------
    Unknown
        If there is something in it of another package, or of which it is not known what makes
        two of it equal; or if its constants are large.
    """
    digest = hashlib.sha256()
    places: dict[Any, int] = {}
    known: dict[int, str] = {}  # operations and types live as long as the graph
    size = 0

    def described(what: Any) -> str:
        found = known.get(id(what))
        if found is None:
            found = known[id(what)] = describe(what)
        return found

    def put(variable: Any) -> None:
        places[variable] = len(places)
        tags = sorted(vars(variable.tag).keys() - {"trace"})
        digest.update(f"{described(variable.type)}{tags};".encode())

    for variable in graph.inputs:
        put(variable)
    nodes: list[Any] = [*graph.toposort(), None]
    for node in nodes:
        inputs = graph.outputs if node is None else node.inputs
        for x in inputs:
            if isinstance(x, Constant) and x not in places:
                size += getattr(x.data, "nbytes", 0)
                if size > MOST:
                    raise Unknown("constants")
                digest.update(f"{describe(x.data)}:".encode())
                put(x)
        digest.update(f"{[places[x] for x in inputs]}".encode())
        if node is not None:
            digest.update(described(node.op).encode())
            for x in node.outputs:
                put(x)
    protected = [
        (type(feature).__name__, [x in getattr(feature, "protected", ()) for x in graph.inputs])
        for feature in features(graph) or ()
    ]
    digest.update(repr((protected, sorted((graph.update_mapping or {}).items()))).encode())
    return digest.hexdigest()


def describe(what: Any, within: tuple[int, ...] = ()) -> str:
    """Get a text that is equal for what is equal, and for nothing else.

    Raises
    ------
    Unknown
        If that is not known.
    """
    kind = type(what)
    if kind in _PLAIN:
        return f"{kind.__name__}({what!r})"
    if isinstance(what, (np.ndarray, np.generic)):
        data = hashlib.sha256(np.ascontiguousarray(what).tobytes()).hexdigest()
        if what.dtype.hasobject:
            raise Unknown(kind)
        return f"{kind.__name__}({what.dtype.str},{what.shape},{data})"
    if isinstance(what, np.dtype):
        return f"dtype({what.str})"
    if isinstance(what, type):
        if is_known(what) or what.__module__ in ("builtins", "numpy"):
            return f"class({what.__module__}.{what.__qualname__})"
        raise Unknown(what)
    if isinstance(what, (FunctionType, BuiltinFunctionType, np.ufunc)):
        return _of_function(what)
    if id(what) in within or isinstance(what, (Variable, Apply, FunctionGraph)):
        raise Unknown(kind)  # inner graphs
    within = (*within, id(what))
    if isinstance(what, slice):
        what = (what.start, what.stop, what.step)
    if kind in (tuple, list, slice):
        return f"{kind.__name__}({','.join(describe(one, within) for one in what)})"
    if kind in (set, frozenset):
        return f"{kind.__name__}({','.join(sorted(describe(one, within) for one in what))})"
    if kind is dict or (isinstance(what, Mapping) and is_known(kind)):
        # PyTensor's keep their hash once somebody has asked for it.
        pairs = [f"{describe(k, within)}={describe(v, within)}" for k, v in what.items()]
        return f"{kind.__name__}({','.join(sorted(pairs))})"
    if not is_known(kind):
        raise Unknown(kind)
    props = getattr(kind, "__props__", None)
    if props is not None:
        parts = {name: getattr(what, name) for name in props}
    elif dataclasses.is_dataclass(kind):
        parts = {f.name: getattr(what, f.name) for f in dataclasses.fields(kind)}
    elif isinstance(what, tuple) and hasattr(what, "_asdict"):
        parts = what._asdict()
    elif hasattr(what, "__dict__"):
        parts = vars(what)
    else:
        raise Unknown(kind)
    return f"{kind.__module__}.{kind.__qualname__}{describe(dict(parts), within)}"


def _of_function(what: Any) -> str:
    module, name = getattr(what, "__module__", None) or "numpy", what.__name__
    known = is_known(what) or module.partition(".")[0] in ("numpy", "math")
    if not known or name == "<lambda>" or getattr(what, "__closure__", None):
        raise Unknown(what)
    return f"function({module}.{getattr(what, '__qualname__', name)})"
