"""The metric: a figure of how well outputs agree with targets."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..errors import formerly
from ..options import Configured
from ..registry import Registered, Registry

Array = npt.NDArray[Any]

#: What a metric may compare, in words: labels with scores of classes, labels with labels
#: (of chains), decisions with log-odds, values with values or quantiles, sequences of labels.
KINDS = {
    "classes": "class labels with scores of the classes",
    "labels": "class labels with the labels of the best path",
    "binary": "decisions, yes or no, with log-odds",
    "values": "values with values",
    "quantiles": "values with quantiles",
    "sequences": "sequences of labels with those that are read from a series",
}


@dataclass
class Part:
    """Targets and outputs of a batch, as metrics get them.

    Attributes
    ----------
    kind : {'classes', 'labels', 'binary', 'values', 'quantiles', 'sequences'}
        What is compared.
    target : ndarray
        Labels (rows), or decisions (0 or 1) or values (rows, variables).
        Steps of series and examples are all rows; of sequences, (rows, length),
        only examples are, and -1 is no label.
    output : ndarray
        Scores (rows, classes), labels (rows), log-odds or values (rows,
        variables), quantiles (rows, variables, orders), sequences (rows, length).
    weights : ndarray
        Of the target's shape, of sequences (rows). Labels of weight 0 have been left out; other
        entries of weight 0 are 0.
    size : int
        Number of classes or variables.
    logits : bool
        Whether scores are logits, whose softmax are probabilities.
    orders : tuple of float
        Of quantiles.
    """

    kind: str
    target: Array
    output: Array
    weights: Array
    size: int
    logits: bool = False
    orders: tuple[float, ...] = ()

    @property
    def decisions(self) -> Array:
        """What is predicted: labels, 0 or 1, or values."""
        if self.kind == "classes":
            return self.output.argmax(axis=-1)
        return (self.output > 0).astype(int) if self.kind == "binary" else self.output


def part(
    kind: str,
    size: int,
    target: npt.ArrayLike,
    output: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    logits: bool = False,
    orders: tuple[float, ...] = (),
) -> Part:
    """Make a `Part` of arrays of any number of leading axes; no weights are 1 each."""
    target, output = np.asarray(target), np.asarray(output)
    if kind == "sequences":
        found = np.ones(len(target)) if weights is None else np.asarray(weights, dtype=float)
        seen = found != 0
        return Part(kind, target[seen], output[seen], found[seen], size)
    if weights is None:
        weights = np.ones(target.shape)
    weights = np.broadcast_to(np.asarray(weights, dtype=float), target.shape)
    if kind in ("classes", "labels"):
        seen = weights.ravel() != 0
        output = output.reshape(-1, size) if kind == "classes" else output.ravel()
        return Part(kind, target.ravel()[seen], output[seen], weights.ravel()[seen], size, logits)
    seen = weights != 0
    if kind == "quantiles":
        target = np.where(seen, target, 0).astype(float).reshape(-1, size)
        output = np.where(seen[..., None], output, 0).astype(float).reshape(-1, size, len(orders))
        return Part(kind, target, output, weights.reshape(-1, size), size, orders=orders)
    target, output = (
        np.where(seen, a, 0).astype(float).reshape(-1, size) for a in (target, output)
    )
    return Part(kind, target, output, weights.reshape(-1, size), size)


class Metric(Configured, Registered, abstract=True):
    """Base class of metrics.

    A subclass is registered under its lower-case class name and the short
    names that are given: ``class Kappa(Metric, names=('kappa',))``. It
    overrides `start`, `add` and `value`, and says what it compares (`kinds`)
    and which direction is better (`better`).

    Parameters
    ----------
    **options
        The options of the subclass.
    """

    registry: ClassVar[Registry[type[Metric]]] = Registry("metric")
    kinds: ClassVar[tuple[str, ...]] = ("classes", "labels", "binary", "values")
    #: ``'max'``, ``'min'``, or None where nobody knows.
    better: str | None = "max"

    def __init__(self, **options: Any) -> None:
        self.set_options(options, f"metric {Metric.registry.name_of(type(self))!r}")
        self.check_options()

    @property
    def name(self) -> str:
        """What the figure is called."""
        return Metric.registry.name_of(type(self)) or type(self).__name__.lower()

    def check_options(self) -> None:
        """Refuse options that have no meaning."""

    def cache_key(self) -> Hashable:
        """Get what tells metrics apart."""
        return (type(self), *((key, getattr(self, key)) for key in self.valid_options()))

    structure = formerly("structure()", "cache_key")

    def start(self, kind: str, size: int) -> None:
        """Begin with nothing.

        Parameters
        ----------
        kind : str
            One of `kinds`.
        size : int
            Number of classes or variables.
        """
        raise NotImplementedError

    def add(self, part: Part) -> None:
        """Add a batch."""
        raise NotImplementedError

    def state(self) -> dict[str, Array]:
        """Get all that was added, as arrays by name.

        Where several processes train together, each has a part of the data. A class that does
        not override this and `merge` is refused there.
        """
        raise NotImplementedError

    def merge(self, state: Mapping[str, Array]) -> None:
        """Add what was added to another one of the same class, kind and options: its `state`."""
        raise NotImplementedError

    def value(self) -> float:
        """Get the figure of all that was added; NaN if there was nothing."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<metric {self.name}>"


def ratio(above: npt.ArrayLike, below: npt.ArrayLike, otherwise: float) -> Array:
    """Divide, where the divisor is not 0."""
    below = np.asarray(below, dtype=float)
    return np.where(below == 0, otherwise, above / np.where(below == 0, 1, below))


def mean(values: Array, which: Any) -> float:
    """Get the mean of some values; NaN if there are none."""
    found = values[np.broadcast_to(which, values.shape)]
    return float(found.mean()) if found.size else float("nan")
