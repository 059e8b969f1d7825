"""Copies and pickles of networks: what they hold besides a specification and parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import activations
from .registry import Registered

if TYPE_CHECKING:
    from .saving import Saved


@dataclass(frozen=True)
class Part:
    """Stands for a part of a network, which a copy of the network has too."""

    kind: str
    key: str | int


def exact(net: Saved) -> dict[str, Any]:
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
    own = not isinstance(activation, (activations.Function, activations.Maxout))
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


def detached(value: Any, net: Saved) -> Any:
    """Replace parts of a network by what stands for them, in lists, tuples and dicts too."""
    parts = {id(part): Part(kind, key) for kind, key, part in _parts(net)}
    return _replaced(value, lambda one: parts.get(id(one)))


def attached(value: Any, net: Saved) -> Any:
    """Replace what stands for parts of a network by those of this one."""
    parts = {Part(kind, key): part for kind, key, part in _parts(net)}
    return _replaced(value, lambda one: parts.get(one) if isinstance(one, Part) else None)


def _parts(net: Saved) -> Iterable[tuple[str, str | int, Any]]:
    yield "network", "", net
    for layer in net.layers:
        for one in (layer, *layer.workers):
            yield "layer", str(one.name), one
    for i, loss in enumerate(net.losses):
        yield "loss", i, loss
    for variable in [*net.params, *net.state, *net.inputs]:
        yield "variable", str(variable.name), variable


def _replaced(value: Any, other: Any) -> Any:
    found = other(value)
    if found is not None:
        return found
    if type(value) is dict:
        return {_replaced(k, other): _replaced(v, other) for k, v in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_replaced(v, other) for v in value)
    return value
