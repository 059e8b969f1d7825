"""Builds: what was compiled for one network, used by others that are built alike.

The graph of a network's function is the same for all networks of a build, but for the shared
variables in it. So what was compiled for one is kept here as a template, see
`theanets.linkers.lending`, and is had by the next one with its own variables: its parameters,
and fresh ones for all else, as the state of an optimizer or random generators. No graph is
built for it.

Which networks are of one build, `described` says: it takes apart all that a function depends
on, and knows what each part is. Where it meets what it does not know, such as a class, a
function or an object of the user's, the network shares nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import is_dataclass
from types import FunctionType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from pytensor import config
from pytensor.compile.mode import Mode
from pytensor.graph.basic import Variable
from pytensor.tensor.random.type import RandomType

from .. import process, spec
from .. import rng as _rng
from ..activations import Activation
from ..graph import Graph
from ..layers import Layer
from ..linkers import lending
from ..losses import Loss
from ..registry import is_ours
from . import overrides

if TYPE_CHECKING:
    from .base import Structure

#: Templates that are kept, a few for each build; the least recently used goes first.
SIZE = 128

#: Gets the variable in the place of another.
To = Callable[[Any], Any]


class Movable(Protocol):
    """What is compiled and can be moved to other variables; none holds expressions.

    It may have an attribute ``alone``: whether it is for its network alone nevertheless.
    """

    def moved(self, to: To) -> Any:
        """Get the same on other variables."""


T = TypeVar("T", bound=Movable)


# ---- which networks are alike ------------------------------------------------------


class _Unknown(Exception):
    """Something that may be different for two networks in ways that cannot be seen."""


#: Attributes of layers that shape values of parameters alone.
_SEEDS = frozenset({"seed", "_network_seed"})
#: PyTensor's flags that functions depend on, besides the mode.
_FLAGS = ("optimizer", "optimizer_excluding", "optimizer_including", "cxx")
_PLAIN = {str, int, float, bool, complex, bytes, type(None)}


def described(net: Structure, key: Hashable, objective: bool) -> Hashable | None:
    """Get what is equal for functions of networks of one build.

    Parameters
    ----------
    net : Structure
        The network.
    key : hashable
        What the function depends on besides the network.
    objective : bool
        Whether it is of the network's losses too.

    Returns
    -------
    hashable or None
        None if the function is for this network alone.
    """
    if not is_ours(type(net)) or (objective and overrides.overridden(net)):
        return None
    if type(net.graph) is not Graph:
        return None  # Layers are all that is known of, and not the expressions of a cost.
    try:
        describer = _Describer(net)
        return (
            type(net),
            net.dtype,
            tuple(str(getattr(config, flag)) for flag in _FLAGS),
            tuple((v.name, v.type) for v in net.inputs),
            tuple(describer.layer(layer) for layer in net.layers),
            tuple(describer.loss(loss) for loss in net.bound_losses()) if objective else None,
            describer(key),
        )
    except _Unknown:
        return None


def _own(net: Structure) -> dict[str, Any]:
    """Get the shared variables of a network by name."""
    found: dict[str, Any] = {}
    for variable in [*net.params, *net.state]:
        if found.setdefault(str(variable.name), variable) is not variable:
            raise _Unknown(variable)
    return found


class _Describer:
    """Takes values apart: by what they are, and variables by their places in a network."""

    def __init__(self, net: Structure) -> None:
        self._places: dict[Any, Hashable] = {v: name for name, v in _own(net).items()}
        self._places.update({v: i for i, v in enumerate(net.variables)})
        self._layers = {id(layer) for layer in net.layers}

    def layer(self, layer: Layer) -> Hashable:
        """Describe a layer by what shapes its expressions."""
        # States that are carried on are variables that come to be while a graph is built.
        if getattr(layer, "stateful", False) or not is_ours(type(layer)):
            raise _Unknown(layer)
        attributes = {k: v for k, v in vars(layer).items() if k not in type(layer)._shapeless}
        return (type(layer), self._mapping(attributes, _SEEDS))

    def loss(self, loss: Loss) -> Hashable:
        """Describe a loss as `functions.structure_key` does, and its variables by their places."""
        if not is_ours(type(loss)):
            raise _Unknown(loss)
        public = {k: v for k, v in vars(loss).items() if k[0] != "_"}
        about = (loss.output_name, loss.main, loss.weighted)
        return (type(loss), self(loss.variables), about, self._mapping(public))

    def __call__(self, value: Any) -> Hashable:
        """Describe a value."""
        kind: Any = type(value)
        if kind in _PLAIN:
            # 1, 1.0 and True are equal.
            return value if kind is str else (kind.__name__, value)
        if isinstance(value, str):
            return str(value)
        if isinstance(value, np.generic | np.ndarray):
            array = np.asarray(value)
            if array.dtype.hasobject:
                raise _Unknown(value)
            return (kind, spec.frozen(array))
        if kind in (tuple, list):
            return tuple([self(one) for one in value])
        if kind in (set, frozenset):
            return frozenset([self(one) for one in value])
        if kind is dict or (issubclass(kind, dict) and is_ours(kind)):
            return self._mapping(value)
        if isinstance(value, Variable):
            if value not in self._places:
                raise _Unknown(value)
            return ("variable", self._places[value], value.name, value.type)
        if isinstance(value, Mode):
            return value
        if isinstance(value, type | FunctionType):
            if is_ours(value) and "<locals>" not in value.__qualname__:
                return value
            raise _Unknown(value)
        if not is_ours(kind):
            raise _Unknown(value)
        if isinstance(value, Layer):
            return ("layer", value.name) if id(value) in self._layers else self.layer(value)
        if isinstance(value, Activation):
            return (kind, self._mapping(vars(value), {"layer"}))
        if is_dataclass(value):
            return (kind, self._mapping(vars(value)))
        raise _Unknown(value)

    def _mapping(self, found: Mapping[Any, Any], without: Any = ()) -> Hashable:
        return tuple([(self(k), self(v)) for k, v in found.items() if k not in without])


# ---- what is kept of them ------------------------------------------------------------


class _Start:
    """The array that a variable has at the start, without the memory that it takes."""

    def __init__(self, value: np.ndarray) -> None:
        if value.size and not (value == value.flat[0]).all():
            raise _Unknown(value)
        self._shape, self._dtype = value.shape, value.dtype
        self._fill = value.flat[0] if value.size else 0

    def value(self) -> np.ndarray:
        """Get it anew."""
        return np.full(self._shape, self._fill, self._dtype)


class _Build:
    """What was compiled for a network, without what is the network's.

    Parameters
    ----------
    compiled : Movable
        It has not been used yet.
    net : Structure
        The network.
    """

    def __init__(self, compiled: Movable, net: Structure) -> None:
        names = {variable: name for name, variable in _own(net).items()}
        places: dict[Any, Any] = {}
        self._names: dict[Any, str] = {}
        self._starts: dict[Any, _Start] = {}

        def to(variable: Any) -> Any:
            if variable not in places:
                place = places[variable] = lending.placeholder(variable)
                if variable in names:
                    self._names[place] = names[variable]
                elif not isinstance(variable.type, RandomType):
                    self._starts[place] = _Start(variable.get_value(borrow=True))
            return places[variable]

        self._compiled = compiled.moved(to)

    def of(self, net: Structure) -> Any:
        """Get what was compiled for another network."""
        own, fresh = _own(net), dict[Any, Any]()

        def to(place: Any) -> Any:
            if place in self._names:
                return own[self._names[place]]
            if place not in fresh:
                variable = fresh[place] = lending.placeholder(place)
                # Random streams are those of the network's seed, as `Outputs` has them.
                noise = isinstance(place.type, RandomType)
                variable.container.storage[0] = (
                    _rng.generator(net.seed, "noise", place.name)
                    if noise
                    else self._starts[place].value()
                )
            return fresh[place]

        return self._compiled.moved(to)


_builds: OrderedDict[Hashable, _Build] = OrderedDict()


def clear() -> None:
    """Forget what was compiled for networks that are gone."""
    with process.table:
        _builds.clear()


def get_or_make(net: Structure, key: Hashable, make: Callable[[], T], objective: bool = True) -> T:
    """Get what was compiled for a network of the same build, moved to this one, or compile it.

    Parameters
    ----------
    net : Structure
        The network.
    key : hashable
        What it depends on besides the network.
    make : callable
        Compiles it, with all random generators but those of noise started anew
        later on; in one thread at a time.
    objective : bool
        Whether it is of the network's losses too.
    """
    found = described(net, key, objective)
    if found is None:
        return make()
    with process.table:
        build = _builds.get(found)
        if build is not None:
            _builds.move_to_end(found)
    if build is not None:
        moved: T = build.of(net)
        return moved
    made = make()
    if not hasattr(made, "moved") or getattr(made, "alone", False):
        return made
    try:
        build = _Build(made, net)
    except _Unknown:
        return made
    with process.table:
        _builds[found] = build
        while len(_builds) > SIZE:
            _builds.popitem(last=False)
    return made
