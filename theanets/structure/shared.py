"""Networks that share the parameters of another one, or take over its values.

These functions are methods of `Structure`, for which they stand here.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from .. import process
from ..graph import Graph
from ..layers import Layer
from ..losses import Loss

if TYPE_CHECKING:
    from .base import Structure

S = TypeVar("S", bound="Structure")


def sharing(
    net: S,
    layers: Iterable[Layer],
    losses: Sequence[Loss] | None = None,
    own_methods: bool = True,
) -> S:
    """Get a network of the same kind on other layers, or with other losses.

    It has the seed, the type, and the attributes of the user's. Training
    one trains the other, as far as they have layers in common; so only one
    of them is trained at a time.

    Parameters
    ----------
    layers : list of Layer
        In order; those of this network are shared, with their parameters.
    losses : list of Loss, optional
        Then targets and compiled functions are its own. By default losses,
        targets and functions are those of this network: what data need
        must be the same, and functions are told apart by the layers.
    own_methods : bool
        Whether what a subclass overrides is about it, too; see
        `theanets.structure.overrides`.

    Raises
    ------
    ConfigurationError
        If the layers do not fit each other.
    """
    graph = Graph(net.dtype, net.graph.seed)
    for layer in layers:
        graph.add(layer)
    # Not by the class, which may take other arguments in a subclass of the user's.
    made = object.__new__(type(net))
    vars(made).update(vars(net))
    made.graph = graph
    if losses is not None:
        made.losses = list(losses)
        made._begin()
    if not own_methods:
        made._asks_methods = False
    return made


def go_on_from(net: Structure, other: Structure) -> None:
    """Take over all that training changes, and the seed, of a network of the same structure.

    Parameters
    ----------
    other : Structure
        Its parameters have the same shapes.
    """
    mine, theirs = ([*one.params, *one.state] for one in (net, other))
    with process.hold([*mine, *theirs]):  # also while another thread trains
        for target, source in zip(mine, theirs, strict=True):
            target.set_value(source.get_value(borrow=True).copy(), borrow=True)
    net.reseed(other.seed)
    net.history, net._runs = other.history, other._runs


def clone(net: S) -> S:
    """Get a network of the same build, with the same values, of which nothing is shared.

    It is what `copy.deepcopy` gives. What was compiled for one network of a build is used by
    all of them in a process, so that the clone computes, and trains, at once. It goes on from
    where this one is: with its seed, history and metadata.

    Returns
    -------
    Network
        Of the same class.

    Examples
    --------
    Start two trainings from the same parameters::

        twin = net.clone()
        twin.train(data, learning_rate=0.1)
    """
    return copy.deepcopy(net)
