"""Copies and pickles of networks: what they hold besides a specification and parameters.

What the user hung on a network may refer to its layers, losses, parameters
and the like. What a copy has refers to those of the copy. In a pickle, a `Part`
stands for each.
"""

from __future__ import annotations

import copy
import gc
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any
from weakref import ref

import numpy as np
from pytensor.compile import Function

from . import activations
from .registry import Registered
from .structure import Structure


@dataclass(frozen=True)
class Part:
    """Stands for a part of a network, which a copy of the network has too."""

    kind: str
    key: str | int


@dataclass(frozen=True)
class Method:
    """Stands for a method of a part; a pickle has no methods of what only stands for one."""

    part: Part
    name: str


def exact(net: Any) -> dict[str, Any]:
    """Get a network's specification with its very classes.

    A registered name means the last definition of a class, which may not be
    that of the network.
    """
    # First, as losses that several networks share are now this one's.
    whole = net.to_spec()
    layers, losses = [], []
    for layer in net.layers:
        described = {**layer.to_spec(), "form": type(layer)}
        named = described.get("activation")
        if isinstance(named, str) and _classes(activations.build(named)) != _classes(
            layer.activation
        ):
            described["activation"] = _fresh(layer.activation)
        layers.append(described)
    for loss in net.losses:
        described = loss.to_spec()
        if isinstance(described["form"], str):
            described["form"] = type(loss)
        losses.append(described)
    return {**whole, "layers": layers, "losses": losses}


def _classes(activation: Any) -> list[type]:
    parts = activation.parts if isinstance(activation, activations.Compose) else [activation]
    return [type(part) for part in parts]


def _fresh(activation: Any) -> Any:
    """Get an activation of the same classes, not set up; those with a name have no arguments."""
    if isinstance(activation, activations.Compose):
        return activations.Compose([_fresh(part) for part in activation.parts])
    own = not isinstance(
        activation, (activations.Function, activations.Maxout, activations.Numbered)
    )
    return type(activation)() if own else activations.build(activation.name)


def named(value: Any) -> Any:
    """Replace classes in a specification by their registered names, where they have some."""
    if isinstance(value, Mapping):
        return {key: named(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [named(one) for one in value]
    if isinstance(value, type) and issubclass(value, Registered):
        return value.registry.name_of(value) or value
    return value


def data_of(parts: Iterable[Any]) -> list[dict[str, Any]]:
    """Get the attributes of layers or losses that are plain data.

    All else in them is made anew with a network.
    """
    return [{k: v for k, v in vars(part).items() if k[0] != "_" and _plain(v)} for part in parts]


def put_data(parts: Iterable[Any], found: Iterable[Mapping[str, Any]]) -> None:
    """Give layers or losses the attributes that `data_of` returned."""
    for part, attributes in zip(parts, found, strict=True):
        vars(part).update(attributes)


def _plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_plain, value.keys())) and all(map(_plain, value.values()))
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(map(_plain, value))
    if isinstance(value, np.ndarray):
        return value.dtype != object
    return value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic))


def detached(value: Any, net: Structure) -> Any:
    """Replace parts of a network by what stands for them, wherever a value refers to them."""
    parts = {id(part): Part(kind, key) for kind, key, part in _parts(net)}

    def other(one: Any) -> Any:
        if isinstance(one, MethodType) and id(one.__self__) in parts:
            return Method(parts[id(one.__self__)], one.__name__)
        return parts.get(id(one))

    return _replaced(value, other)


def attached(value: Any, net: Structure) -> Any:
    """Replace what stands for parts of a network by those of this one."""
    parts = {Part(kind, key): part for kind, key, part in _parts(net)}

    def other(one: Any) -> Any:
        if isinstance(one, Method):
            return getattr(parts[one.part], one.name)
        return parts.get(one) if isinstance(one, Part) else None

    return _replaced(value, other)


def moved(value: Any, net: Structure, other: Structure) -> Any:
    """Replace parts of a network by those of another one, which gets containers of its own."""
    parts = counterparts(net, other)
    return _replaced(value, lambda one: parts.get(id(one)), own=_CONTAINERS)


def counterparts(net: Structure, other: Structure) -> dict[int, Any]:
    """Get the parts of a network by the ids of those of another one in whose place they are."""
    found = {(kind, key): part for kind, key, part in _parts(other)}
    return {id(part): found[kind, key] for kind, key, part in _parts(net) if (kind, key) in found}


def _parts(net: Structure) -> Iterator[tuple[str, str | int, Any]]:
    yield "network", "", net
    yield "graph", "", net.graph
    for layer in net.layers:
        for one in (layer, *layer.workers):
            yield "layer", str(one.name), one
    for i, loss in enumerate(net.losses):
        yield "loss", i, loss
        for kind, variable in (("target", loss._target), ("weights", loss._weights)):
            if variable is not None:
                yield kind, i, variable
    for variable in [*net.params, *net.state, *net.inputs]:
        yield "variable", str(variable.name), variable


#: What is not looked into: `copy` takes the first as they are, PyTensor copies its functions,
#: and another network has parts, and a state, of its own.
_WHOLE = (type, ModuleType, FunctionType, BuiltinFunctionType, CodeType, ref, Function, Structure)
_CONTAINERS = (dict, list, tuple, set, frozenset, deque)


def _replaced(value: Any, other: Callable[[Any], Any], own: tuple[type, ...] = ()) -> Any:
    """Replace objects that a value refers to, in containers and in objects of any class.

    What refers to one of these is copied, as `copy.deepcopy` does it, and all
    else is the same object.

    Parameters
    ----------
    value
        Any object.
    other : callable
        Gets what replaces an object; None if it stays.
    own : tuple of types
        What is copied in any case, if the value is of these, and what is in it.
    """
    reached: dict[int, Any] = {}
    from_where: dict[int, list[int]] = {}
    memo: dict[int, Any] = {}
    stack = [value]
    while stack:
        one = stack.pop()
        if id(one) in reached:
            continue
        reached[id(one)] = one
        found = other(one)
        if found is not None:
            memo[id(one)] = found
        elif not isinstance(one, _WHOLE):
            for inner in _within(one):
                from_where.setdefault(id(inner), []).append(id(one))
                stack.append(inner)
    changed, leading = [*memo, *_nested(value, own)], set()
    while changed:
        key = changed.pop()
        if key not in leading:
            leading.add(key)
            changed += from_where.get(key, ())
    if id(value) not in leading:
        return value
    memo.update({key: one for key, one in reached.items() if key not in leading})
    return copy.deepcopy(value, memo)


def _nested(value: Any, kinds: tuple[Any, ...]) -> set[int]:
    """Get the ids of a value of some types, of what is of these types in it, and so on."""
    found: set[int] = set()
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, kinds) and id(one) not in found:
            found.add(id(one))
            stack += [*one, *one.values()] if isinstance(one, dict) else one
    return found


def _within(value: Any) -> list[Any]:
    """Get what an object refers to."""
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        return list(value.flat)  # the garbage collector does not look into arrays
    return gc.get_referents(value)
