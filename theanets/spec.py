"""What the user wrote for a layer or a loss, as plain data."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from types import SimpleNamespace
from typing import Any

import numpy as np

from .errors import ConfigurationError, is_integer, nearest


@dataclass(frozen=True)
class LayerSpec:
    """A layer as the user described it.

    Attributes
    ----------
    form : str, type or None
        Registered name or class of the layer; None where nothing was said.
    shape : tuple or None
        Shape of one example's output; a size is a shape of one axis.
    options : dict
        All else, by keyword: ``name``, ``activation``, ``inputs``, ...
    whole : bool
        Whether the shape was said to be one, by the keyword ``shape``, and is no size.
    """

    form: str | type | None = None
    shape: tuple[int | None, ...] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    whole: bool = False


@dataclass(frozen=True)
class LossSpec:
    """A loss as the user described it: its form and its keywords."""

    form: Any
    options: dict[str, Any] = field(default_factory=dict)


def as_shape(value: Any, spec: object) -> tuple[int | None, ...]:
    """Get the shape that a size, or a sequence of sizes, stands for.

    Parameters
    ----------
    value : int, tuple or list
        Any integers of at least 1; None or -1, within a sequence, is any length.
    spec : object
        What it belongs to, for messages.

    Raises
    ------
    ConfigurationError
        If a size is not a positive integer.
    """
    if is_integer(value):
        return (_size(value, spec),)
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, (tuple, list)):
        raise ConfigurationError(
            f"layer {spec!r}: {value!r} is neither a size nor a shape; expected an integer, "
            "or a tuple of integers and None"
        )
    return tuple(None if v is None or _is_any(v) else _size(v, spec) for v in value)


def _is_any(value: object) -> bool:
    return is_integer(value) and value == -1


def _size(value: Any, spec: object) -> int:
    if not is_integer(value):
        raise ConfigurationError(f"layer {spec!r}: size {value!r} is not an integer")
    if value < 1:
        raise ConfigurationError(f"layer {spec!r}: size {value} is not positive")
    if value >= 2**31:
        raise ConfigurationError(f"layer {spec!r}: size {value} is not below 2 ** 31")
    return int(value)


def parse_layer(
    spec: Any,
    forms: Callable[[object], bool],
    activations: Callable[[object], bool],
    names: Callable[[], list[str]],
) -> LayerSpec:
    """Turn any form of a layer's specification into a `LayerSpec`.

    Parameters
    ----------
    spec : int, str, tuple, list, dict, type or LayerSpec
        ``100`` is a size; ``'flat'`` a form, as is a class; ``(28, 28, 1)`` a shape;
        ``(100, 'tanh')`` any mix of one size or shape, one form (name or
        class) and one activation, in any order; a dict has the keywords of
        the layer, and ``form`` and ``size`` or ``shape``.
    forms, activations : callable
        Tell whether something is the name or class of a layer, or of an
        activation.
    names : callable
        Get all names of layers and activations, for messages.

    Returns
    -------
    LayerSpec

    Raises
    ------
    ConfigurationError
        If the specification has no meaning; says which part.
    """
    if isinstance(spec, LayerSpec):
        return spec
    if is_integer(spec):
        return LayerSpec(shape=(_size(spec, spec),))
    if isinstance(spec, type) and forms(spec):
        return LayerSpec(form=spec)
    if isinstance(spec, str):
        if forms(spec):
            return LayerSpec(form=spec)
        if activations(spec):
            raise ConfigurationError(
                f"layer {spec!r} is an activation without a size; expected (100, {spec!r})"
            )
        raise ConfigurationError(
            f"layer {spec!r} is not the name of a layer{nearest(spec, names())}"
        )
    if isinstance(spec, Mapping):
        return _parse_mapping(spec)
    if isinstance(spec, (tuple, list)):
        return _parse_sequence(spec, forms, activations, names)
    raise ConfigurationError(
        f"layer {spec!r} is a {type(spec).__name__}; expected an int, str, tuple, dict, "
        "Layer instance or Layer class"
    )


def _parse_mapping(spec: Mapping[str, Any]) -> LayerSpec:
    options = dict(spec)
    form = options.pop("form", None)
    size, shape = options.pop("size", None), options.pop("shape", None)
    if size is not None and shape is not None:
        raise ConfigurationError(f"layer {dict(spec)!r} has both a size and a shape")
    whole = isinstance(shape, (tuple, list))
    shape = size if shape is None else shape
    found = None if shape is None else as_shape(shape, dict(spec))
    return LayerSpec(form, found, options, whole)


def _parse_sequence(
    spec: tuple[Any, ...] | list[Any],
    forms: Callable[[object], bool],
    activations: Callable[[object], bool],
    names: Callable[[], list[str]],
) -> LayerSpec:
    if not spec:
        raise ConfigurationError("layer () is empty; expected a size, a form or an activation")
    if all(is_integer(value) or value is None for value in spec):
        return LayerSpec(shape=as_shape(spec, spec))
    parts: dict[str, Any] = {}

    def put(key: str, value: Any) -> None:
        if key in parts:
            raise ConfigurationError(
                f"layer {spec!r} names two {key}s: {parts[key]!r} and {value!r}"
            )
        parts[key] = value

    either = []
    for value in spec:
        if is_integer(value) or isinstance(value, (tuple, list)):
            put("shape", as_shape(value, spec))
        elif forms(value) and activations(value):
            either.append(value)
        elif forms(value):
            put("form", value)
        elif activations(value) or (callable(value) and not isinstance(value, (str, type))):
            put("activation", value)
        else:
            raise ConfigurationError(
                f"layer {spec!r}: {value!r} is neither a size, nor the name of a layer "
                f"or an activation{nearest(str(value), names())}"
            )
    # 'softmax' is both: a form, unless another one is named.
    for value in either:
        put("activation" if "form" in parts else "form", value)
    options = {"activation": parts["activation"]} if "activation" in parts else {}
    return LayerSpec(parts.get("form"), parts.get("shape"), options)


def parse_loss(spec: Any, **keywords: Any) -> LossSpec:
    """Turn any form of a loss's specification into a `LossSpec`.

    Parameters
    ----------
    spec : str, dict, type, Loss or callable
        A dict has the loss's keywords and its name as ``form``.
    **keywords
        Further keywords of the loss; they win over those of a dict.

    Returns
    -------
    LossSpec

    Raises
    ------
    ConfigurationError
        If a dict does not say which loss.
    """
    if isinstance(spec, Mapping):
        options = {**spec, **keywords}
        form = options.pop("form", None) or options.pop("loss", None)
        if form is None:
            raise ConfigurationError(f"loss {dict(spec)!r} has no 'form' that names the loss")
        return LossSpec(form, options)
    return LossSpec(spec, dict(keywords))


#: Types that most values have.
_PLAIN = {str, int, float, bool, type(None)}
#: Packages whose objects do not change what is computed from them, or say so themselves;
#: and so are loggers, modules, locks, and all else of the standard library ...
_KNOWN = {"theanets", "pytensor", "numpy", *sys.stdlib_module_names}
#: ... but for what only holds values.
_HOLDERS = (Namespace, SimpleNamespace)


def frozen(value: Any, met: list[Any] | None = None) -> Hashable:
    """Get what tells a value from others, as what can be the key of a dict.

    Collections and arrays go by their contents, an object of a class of the
    user's by itself and by its attributes, which may be set anew; anything else that
    can be hashed by itself, and the rest by identity. So are the objects that
    are attributes of such an object: who changes what is further down gives an
    object anew. What is met again is not looked at again, so that the time is by the
    number of the things there are.

    Parameters
    ----------
    value : Any
        The value.
    met : list, optional
        Gets what was looked into and can be changed in place: as long as each of these has the
        very same things in it, what is returned here is the same.
    """
    seen: dict[tuple[int, bool], tuple[int, Any]] = {}
    found = _part(value, seen, False)
    if met is not None:
        met += [one for _, one in seen.values()]
    return found


def _part(value: Any, seen: dict[tuple[int, bool], tuple[int, Any]], within: bool) -> Any:
    kind: Any = type(value)
    if kind in _PLAIN:
        return value
    sort = _sort(kind)
    if sort == "leaf" or (sort == "object" and within):
        try:
            hash(value)
        except TypeError:
            return _Identity(value)
        return value if sort == "leaf" else _Identity(value)
    key = (id(value), within)
    if sort == "sequence" and _PLAIN.issuperset(map(type, value)):
        seen.setdefault(key, (len(seen), value))
        return tuple(value)
    if key in seen:
        return (..., seen[key][0])
    # It is held so that its id is not that of another meanwhile.
    seen[key] = (len(seen), value)
    if sort == "mapping":
        return tuple(
            [
                (k, v if type(v) in _PLAIN else _part(v, seen, within))
                for k, v in list(value.items())
            ]
        )
    if sort == "sequence":
        return tuple([_part(v, seen, within) for v in list(value)])
    if sort == "set":
        return frozenset([_part(v, seen, within) for v in list(value)])
    if sort == "array":
        return _array(value, seen, within)
    if sort == "arraylike":
        return (kind, _part(np.asarray(value), seen, within))
    # Layers and the like know what of them does not shape expressions.
    without = getattr(kind, "_shapeless", ())
    attributes = {k: v for k, v in list(vars(value).items()) if k not in without}
    return (_Identity(value), _part(attributes, seen, True))


def _array(value: Any, seen: dict[tuple[int, bool], tuple[int, Any]], within: bool) -> Any:
    if value.dtype.hasobject:
        return (value.shape, value.dtype.str, _part(value.tolist(), seen, within))
    # Keys are kept, and are not to keep the numbers.
    content = value.tobytes()
    if len(content) > 64:
        content = blake2b(content, digest_size=16).digest()
    return (value.shape, value.dtype.str, content)


@lru_cache(1024)
def _sort(kind: type) -> str:
    for sort, kinds in (
        ("mapping", Mapping),
        ("sequence", (list, tuple, deque)),
        ("set", (set, frozenset)),
        ("array", np.ndarray),
        ("leaf", type),
        ("object", _HOLDERS),
    ):
        if issubclass(kind, kinds):
            return sort
    if kind.__module__.partition(".")[0] in _KNOWN:
        return "leaf"
    if hasattr(kind, "__array__"):
        return "arraylike"
    return "object" if kind.__dictoffset__ else "leaf"


class _Identity:
    """Equal to itself only; holds on to the value, so that its id is not used again."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)
