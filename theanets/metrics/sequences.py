"""Metrics of sequences of labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from .base import Array, Metric, Part, ratio


class LabelErrorRate(Metric, names=("label_error_rate", "ler")):
    r"""How many labels are wrong, missing or too many, as a share of those that are wanted.

    .. math:: \frac{\sum_i w_i \, d(t_i, y_i)}{\sum_i w_i \, |t_i|}

    with the edit distance d of targets t and the labels y that are read from the most probable
    alignment of a `ctc` loss: the least number of labels to be put in, left out or replaced, of
    Levenshtein. 0 if all are right; more than 1 if there are many too many. Of words it is
    known as the word error rate, of characters as that of characters.

    Notes
    -----
    Labels are counted over all examples. That is not the mean of the rates of examples, in which
    those with few labels would count as much as others, and those with none not at all.
    """

    kinds: ClassVar[tuple[str, ...]] = ("sequences",)
    better = "min"

    def start(self, kind: str, size: int) -> None:
        """Begin with sums of 0."""
        self.sums = np.zeros(2)

    def add(self, part: Part) -> None:
        """Add the edits, and the labels, of a batch."""
        counts = (part.target >= 0).sum(axis=1)
        edits = edit_distances(part.target, part.output)
        self.sums += part.weights @ edits, part.weights @ counts

    def state(self) -> dict[str, Array]:
        """Get the sums."""
        return {"sums": self.sums}

    def merge(self, state: Mapping[str, Array]) -> None:
        """Add the sums of another one."""
        self.sums += state["sums"]

    def value(self) -> float:
        """Get the rate; NaN if there were no labels."""
        return float(ratio(self.sums[0], self.sums[1], np.nan))


def edit_distances(first: Array, second: Array) -> Array:
    """Get how many labels have to be put in, left out or replaced to make one sequence another.

    Parameters
    ----------
    first, second : ndarray of int of shape (rows, length)
        The lengths may differ. Entries below 0, in any place, are no labels.

    Returns
    -------
    ndarray of int of shape (rows)
    """
    (a, n), (b, m) = _together(first), _together(second)
    places, rows = np.arange(b.shape[1] + 1), np.arange(len(a))
    # From the labels of the first so far, none of them at first, to each beginning of the second.
    distances = np.tile(places, (len(a), 1))
    found = distances[rows, m]
    for i in range(a.shape[1]):
        replaced = distances[:, :-1] + (b != a[:, i, None])
        best = distances + 1
        best[:, 1:] = np.minimum(best[:, 1:], replaced)
        # Labels that are put in: from the best beginning before, one for each further place.
        distances = np.minimum.accumulate(best - places, axis=1) + places
        found = np.where(n == i + 1, distances[rows, m], found)
    return found


def _together(labels: Array) -> tuple[Array, Array]:
    """Get the labels of each row at its beginning, and how many there are."""
    there = labels >= 0
    order = np.argsort(~there, axis=1, kind="stable")
    counts = there.sum(axis=1)
    return np.take_along_axis(labels, order, axis=1)[:, : counts.max(initial=0)], counts
