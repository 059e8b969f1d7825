"""Measuring: a network evaluated on data, by the keywords of ``evaluate``."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from typing import Any

import numpy as np

from .. import backends
from .. import rng as _rng
from ..data import Dataset
from ..errors import check_keywords
from ..regularizers import from_kwargs
from ..regularizers import keywords as regularizer_keywords
from ..structure import Structure, ranges
from .evaluation import Evaluation
from .setup import EVALUATION_SIZE, evaluation
from .task import Task

#: Keywords of ``evaluate`` besides those of regularizers.
KEYWORDS = {"batch_size", "batches", "metrics", "monitors", "mode", "axis", "prefetch"}


class Measurement:
    """What is measured of a network.

    Parameters
    ----------
    net : Structure
        The network.
    **kwargs
        See `theanets.Network.evaluate`.

    Raises
    ------
    ConfigurationError
        If a keyword is unknown or has a value without meaning.
    """

    def __init__(self, net: Structure, **kwargs: Any) -> None:
        names = {*regularizer_keywords()}
        check_keywords("evaluate", set(kwargs) - KEYWORDS - names, KEYWORDS | names)
        self.net = net
        self.given = {key: value for key, value in kwargs.items() if value is not None}
        of_names = {key: value for key, value in self.given.items() if key in names}
        self._added, scale = from_kwargs(net.layers, **of_names)
        self._mode = self.given.get("mode", net.mode)
        losses, watched = net.bound_losses(), self.given.get("monitors", ())
        metrics = self.given.get("metrics")
        self._task = Task(net, losses, self._added, scale, self._mode, watched, metrics)
        self._strengths = (losses, self._added, scale)
        ranges.check(net.graph, losses, "the loss may have no meaning")

    def dataset(self, data: Any) -> Dataset:
        """Get data as batches."""
        fields, given = self.net.fields, self.given
        return Dataset(
            fields,
            data,
            batch_size=given.get("batch_size", EVALUATION_SIZE),
            batches=given.get("batches"),
            seed_rng=_rng.generator(self.net.seed, "evaluate"),
            shuffle=False,
            axis=given.get("axis", 0),
            where="data",
            rounded=backends.compiles_by_shape(self._mode),
            prefetch=given.get("prefetch", 0),
            sizes=self.net.sizes(fields),
        )

    @property
    def evaluation(self) -> Evaluation:
        """The function, compiled now or before."""
        return evaluation(self._task, self._added, noise=True)

    def run(self, data: Any) -> dict[str, float]:
        """Measure the network on data."""
        found = self.dataset(data)
        # Where the user's code makes the batches, it may wait for whoever trains.
        return self.evaluation.run(
            found, strengths=self._strengths, at_once=found.examples is not None
        )

    def results(self, data: Any) -> list[list[Any]]:
        """Get what of each batch goes into the figures; those of several data, in one list, too."""
        found = self.dataset(data)
        with closing(
            self.evaluation.results(found, strengths=self._strengths, at_once=True)
        ) as each:
            return [
                [np.array(array) for array in (one if isinstance(one, (list, tuple)) else [one])]
                for one in each
            ]

    def summary(self, results: Iterable[list[Any]]) -> dict[str, float]:
        """Get the figures of all data of which `results` came."""
        found = self.evaluation.anew(self._strengths)
        single = not found.measures
        return found.summary(found.added(one[0] if single else one for one in results))


def evaluate(net: Structure, data: Any, **kwargs: Any) -> dict[str, float]:
    """Evaluate the clean monitors of a network; see `theanets.Network.evaluate`."""
    return Measurement(net, **kwargs).run(data)
