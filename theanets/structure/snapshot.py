"""What is known of a network's structure, for as long as that is the same.

What compiled functions depend on is found by walking through all layers and losses, which
takes many times as long as a prediction of one row. So what was found is kept together with
the things that were met on the way, and before it is used again these are compared with what
they were: by identity, which takes a microsecond or two a layer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Mapping
from functools import cached_property
from itertools import chain
from operator import is_
from typing import TYPE_CHECKING, Any

from .. import spec
from ..layers import Layer
from ..layers.legacy import looks_at_keywords
from ..losses import Loss
from ..names import split_output
from .making import default_output

if TYPE_CHECKING:
    from .base import Structure


#: Keys of functions that are kept.
KEYS = 64


class Key:
    """A key of a dict, whose hash is found once."""

    __slots__ = ("_hash", "parts")

    def __init__(self, parts: Hashable) -> None:
        self.parts = parts
        self._hash = hash(parts)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Key) and self.parts == other.parts)


class Watch:
    """Tells whether things that can be changed in place have the same in them as before.

    They are compared by identity: a list that was replaced by an equal one is another. (Of an
    object it is the values of its attributes: one that gets another name stays unnoticed.)

    Parameters
    ----------
    things : iterable
        Dicts, lists, sets, arrays, and objects by their attributes.
    """

    def __init__(self, things: Iterable[Any]) -> None:
        views: list[Any] = []
        #: What has to be frozen to be compared, and what it was.
        self._others: list[tuple[Any, Hashable]] = []
        for thing in things:
            if isinstance(thing, dict) and type(thing).items is dict.items:
                # Not by methods of its own, which may count who looks.
                views += [dict.keys(thing), dict.values(thing)]
            elif isinstance(thing, (list, set, deque)):
                views.append(thing)
            elif hasattr(thing, "__array__") or isinstance(thing, Mapping):
                self._others.append((thing, spec.frozen(thing)))
            elif not isinstance(thing, (tuple, frozenset)):
                views.append(vars(thing).values())
        self._empty = [view for view in views if not view]
        self._views = [view for view in views if view]
        self._lengths = list(map(len, self._views))
        self._were = list(chain.from_iterable(self._views))

    def same(self) -> bool:
        """Tell whether everything is what it was."""
        return (
            not any(self._empty)
            and list(map(len, self._views)) == self._lengths
            and all(map(is_, chain.from_iterable(self._views), self._were))
            and (not self._others or all(spec.frozen(one) == key for one, key in self._others))
        )


class Snapshot:
    """What follows from the structure of a network.

    Parameters
    ----------
    net : Structure
        The network; it is not held.
    before : Snapshot, optional
        That of before, which may turn out to be of the same structure.

    Attributes
    ----------
    structure : hashable
        What functions depend on of layers and losses.
    known : dict
        What else follows from it, for whoever finds it out.
    """

    def __init__(self, net: Structure, before: Snapshot | None = None) -> None:
        self._graph, self._losses = net.graph, net.losses
        self._told = net._last, net.weighted
        layers, losses = net.layers, net.bound_losses()
        met: list[Any] = [net.graph._layers, net.losses]
        of_layers = [_layer_key(layer, met) for layer in layers]
        of_losses = [_loss_key(loss, met) for loss in losses]
        self.structure = Key((*of_layers, *of_losses))
        self._keys: dict[Hashable, Key] = {}
        self.known: dict[str, Any] = {}
        if before is not None and before.structure == self.structure:
            # The very same keys are found again without being compared.
            self.structure, self._keys = before.structure, before._keys
        # What a class says in its own words may depend on anything.
        self._watch = Watch(met) if all(map(_is_usual, (*layers, *losses))) else None

    @cached_property
    def output_name(self) -> str:
        """See `Structure.output_name`."""
        return default_output(self._graph, self._losses, self._told[0])

    @cached_property
    def output_layer(self) -> Layer:
        """The layer of that."""
        return self._graph.layer(split_output(self.output_name)[0])

    @cached_property
    def scores_output(self) -> str:
        """The output from which a class is chosen."""
        return self.output_layer.scores_output

    def key(self, purpose: Hashable) -> Hashable:
        """Get the key of a function of this structure, for what it is."""
        found = self._keys.get(purpose)
        if found is None:
            if len(self._keys) >= KEYS:
                self._keys.clear()
            found = self._keys[purpose] = Key((purpose, self.structure))
        return found

    def holds(self, net: Structure) -> bool:
        """Tell whether the structure of the network is that of before."""
        return (
            self._watch is not None
            and net.graph is self._graph
            and net.losses is self._losses
            and (net._last, net.weighted) == self._told
            and self._watch.same()
        )


def _layer_key(layer: Layer, met: list[Any]) -> Hashable:
    described = layer.cache_key()
    found: list[Any] = []
    key = spec.frozen(described, found)
    # The attributes themselves, and not what was made of them just now.
    parts = described if isinstance(described, tuple) else ()
    made = {id(described), *map(id, parts)}
    met += [layer, *(one for one in found if id(one) not in made)]
    if looks_at_keywords(type(layer)):  # type: ignore[arg-type]
        met.append(layer.kwargs)
    return key


def _loss_key(loss: Loss, met: list[Any]) -> Hashable:
    # All attributes: those of a class of the user may shape the graph too.
    described = {k: v for k, v in vars(loss).items() if k[0] != "_"}
    about = (loss.output_name, loss.main, loss.weighted)
    found: list[Any] = []
    key = (type(loss), *loss.variables, about, spec.frozen(described, found))
    met += [loss, *(one for one in found if one is not described)]
    return key


def _is_usual(part: Any) -> bool:
    """Tell whether nothing but attributes decides about the key of a layer or a loss."""
    if isinstance(part, Layer):
        return type(part).cache_key is Layer.cache_key
    names = ("variables", "output_name", "main", "weighted")
    return all(getattr(type(part), name) is getattr(Loss, name) for name in names)
