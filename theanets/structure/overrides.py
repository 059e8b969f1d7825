"""Methods of a network's expressions that a subclass overrides, in training and evaluation.

What `Structure.loss`, ``monitors`` and ``updates`` of such a class return is
what is trained, measured and updated. While they are asked for that, the
methods of `Structure` give the expressions of the objective that is being
built, so that ``super().loss(...)`` shares its graph, its noise and the
variables of its strengths.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

from .. import process
from ..errors import ConfigurationError, takes_any
from ..expressions import Expression, scalar
from ..objective import Objective, distinct
from ..registry import is_ours
from ..regularizers import Regularizer
from ..spec import frozen

if TYPE_CHECKING:
    from .base import Structure

#: The methods, and the name of the monitor that has what an overriding loss gives.
METHODS = ("loss", "monitors", "updates")
OWN = "own"


@dataclass
class Shown:
    """The objective whose expressions the methods of a network give."""

    net: Structure
    objective: Objective
    training: bool
    regularizers: Sequence[Regularizer]
    scale: float

    def fits(self, training: bool | None, keywords: Mapping[str, Any]) -> bool:
        """Tell whether a call is about the same graph."""
        given = {"regularizers": self.regularizers, "penalty_scale": self.scale}
        same = all(key in given and keywords[key] is given[key] for key in keywords)
        asked = "regularizers" in keywords or not self.regularizers
        return same and asked and training in (None, self.training)


_shown: ContextVar[Shown | None] = ContextVar("shown", default=None)


def shown(net: Structure, training: bool | None, keywords: Mapping[str, Any]) -> Objective | None:
    """Get the objective that is being built for a network, if a call is about its graph."""
    found = _shown.get()
    if found is None or found.net is not net or not found.fits(training, keywords):
        return None
    return found.objective


def adopt(net: Structure, updates: Mapping[Any, Any]) -> None:
    """Let the function that is being compiled for a network update the noise of another graph."""
    found = _shown.get()
    if found is not None and found.net is net:
        for variable, value in updates.items():
            found.objective.outputs.updates.setdefault(variable, value)


def overridden(net: Structure) -> list[str]:
    """Get the methods that the network's class overrides, outside of this package."""
    if not net._asks_methods:
        return []
    found = []
    for name in METHODS:
        cls = next(c for c in type(net).__mro__ if name in vars(c))
        if not is_ours(cls):
            found.append(name)
    return found


def key(net: Structure) -> Hashable:
    """Get what expressions of overridden methods may depend on: the user's attributes."""
    if not overridden(net):
        return None
    own = getattr(net, "_own", ())
    weights = tuple(loss.weight for loss in net.losses)
    return type(net), weights, frozen({k: v for k, v in vars(net).items() if k not in own})


def reviser(
    net: Structure,
    regularizers: Sequence[Regularizer],
    scale: float,
    training: bool,
    watched: Any = (),
) -> Callable[[Objective], None] | None:
    """Get what makes an objective that of a network whose class overrides methods.

    Parameters
    ----------
    net : Structure
        The network.
    regularizers : list of Regularizer
        Those of the objective.
    scale : float
        What multiplies their penalties.
    training : bool
        Whether layers show their training form.
    watched : dict or list
        The monitors that the user asked for.

    Returns
    -------
    callable or None
        Changes the objective; None if there is nothing to do.
    """
    methods = overridden(net)
    if not methods:
        return None
    given = {"regularizers": regularizers, "penalty_scale": scale}

    def revise(objective: Objective) -> None:
        with (
            process.building(net.dtype),
            _showing(Shown(net, objective, training, regularizers, scale)),
        ):
            if "loss" in methods:
                _own_loss(objective, _call(net, "loss", {"training": training, **given}))
            if "monitors" in methods:
                means = objective.means()
                before = {
                    id(mean): pair
                    for (_, mean), pair in zip(means, objective.terms.items(), strict=True)
                }
                returned = _call(net, "monitors", {"monitors": watched, **given})
                _own_monitors(objective, returned, before)
            if training and "updates" in methods:
                pairs = _call(net, "updates", {"training": training, **given})
                objective.outputs.updates = dict(pairs)

    return revise


@contextmanager
def _showing(what: Shown) -> Iterator[None]:
    token = _shown.set(what)
    try:
        yield
    finally:
        _shown.reset(token)


def _call(net: Structure, name: str, keywords: Mapping[str, Any]) -> Any:
    """Call a method of the user's with those of the keywords that it takes."""
    method = getattr(net, name)
    taken = signature(method).parameters
    if not takes_any(taken):
        keywords = {k: v for k, v in keywords.items() if k in taken}
    return method(**keywords)


def _own_loss(objective: Objective, returned: Any) -> None:
    total = scalar(returned, "what loss() returns").astype(objective.total.dtype)
    before, batch = objective.total, objective.batch
    if total is before:
        return
    name = distinct(OWN, objective.terms)
    if _contains(total, before):
        # What is in super().loss() is measured exactly, over batches of any sizes.
        objective.added[name] = ((total - before) * batch, batch)
    else:
        objective.metrics = {
            key: pairs[0] if len(pairs) == 1 else (mean * batch, batch)
            for (key, pairs), (_, mean) in zip(
                objective.terms.items(), objective.means(), strict=True
            )
        }
        objective.losses, objective.penalties = {}, {}
        objective.added[name] = (total * batch, batch)
    objective.total, objective._means = total, None


def _contains(expression: Expression, part: Expression) -> bool:
    seen, stack = set(), [expression]
    while stack:
        variable = stack.pop()
        if variable is part:
            return True
        if variable not in seen and variable.owner is not None:
            stack.extend(variable.owner.inputs)
        seen.add(variable)
    return False


def _own_monitors(objective: Objective, returned: Any, before: Mapping[int, Any]) -> None:
    items = list(returned.items() if isinstance(returned, Mapping) else returned)
    if not all(isinstance(item, (tuple, list)) and len(item) == 2 for item in items):
        raise ConfigurationError(f"monitors() returned {returned!r}, not pairs (name, expression)")
    fixed = {*objective.losses, *objective.added, *objective.penalties}
    metrics: dict[str, Any] = {}
    for name, expression in items:
        old, pairs = before.get(id(expression), (None, []))
        if old == name and name in fixed:
            continue
        if len(pairs) == 1:
            pair = pairs[0]
        else:
            value = scalar(expression, f"monitor {name!r}").astype(objective.total.dtype)
            pair = (value * objective.batch, objective.batch)
        metrics[distinct(str(name), {"loss", "err", *fixed, *metrics})] = pair
    objective.metrics = metrics
