"""Metrics of labels and decisions."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from .. import process
from ..errors import ConfigurationError
from ..options import Choice, Whole
from .base import Array, Metric, Part, mean, ratio


class Counted(Metric, abstract=True):
    """Base class of metrics of counts: how often each class is met, is predicted, and occurs."""

    kinds: ClassVar[tuple[str, ...]] = ("classes", "labels", "binary")

    def start(self, kind: str, size: int) -> None:
        """Begin with counts of 0, of shape (3, classes, variables)."""
        self.counts = np.zeros((3, 2, size) if kind == "binary" else (3, size, 1))

    def add(self, part: Part) -> None:
        """Add the counts of a batch."""
        y, p, w = part.target, part.decisions, part.weights
        if part.kind == "binary":
            for c in (0, 1):
                for i, which in enumerate(((y == c) & (p == c), p == c, y == c)):
                    self.counts[i, c] += (w * which).sum(axis=0)
            return
        for i, (labels, weights) in enumerate(((y, w * (p == y)), (p, w), (y, w))):
            self.counts[i, :, 0] += np.bincount(labels, weights, minlength=part.size)

    def state(self) -> dict[str, Array]:
        """Get the counts."""
        return {"counts": self.counts}

    def merge(self, state: Mapping[str, Array]) -> None:
        """Add the counts of another one."""
        self.counts += state["counts"]


class Accuracy(Counted, names=("accuracy", "acc")):
    """The share of labels, or of decisions, that are met: ``accuracy_score``.

    Each decision of an output with several counts for itself.
    """

    def value(self) -> float:
        """Get the share."""
        return float(ratio(self.counts[0].sum(), self.counts[2].sum(), np.nan))


class BalancedAccuracy(Counted, names=("balanced_accuracy",)):
    """The mean recall of the classes that occur: ``balanced_accuracy_score``.

    Of an output with several decisions, the mean over these.
    """

    def value(self) -> float:
        """Get the mean recall."""
        met, _, occur = self.counts
        recalls = ratio(met, occur, 0)
        means = ratio(recalls.sum(axis=0), (occur > 0).sum(axis=0), np.nan)
        return mean(means, occur.sum(axis=0) > 0)


class Averaged(Counted, abstract=True):
    """Base class of metrics of one class that are averaged over classes."""

    options: ClassVar[dict[str, Any]] = {
        "average": Choice("auto", ("auto", "binary", "macro", "micro", "weighted"))
    }
    average: str

    @property
    def name(self) -> str:
        """What the figure is called."""
        return super().name + (f"_{self.average}" if self.average != "auto" else "")

    def start(self, kind: str, size: int) -> None:
        """Begin with counts of 0."""
        super().start(kind, size)
        _, classes, variables = self.counts.shape
        self.rule = self.average
        if self.rule == "auto":
            self.rule = "binary" if (classes, variables) == (2, 1) else "macro"
        if self.rule == "binary" and (classes, variables) != (2, 1):
            raise ConfigurationError(
                f"metric {self.name!r} is for two classes or one decision, but there are "
                f"{classes if variables == 1 else variables}; use average='macro', 'micro' or "
                "'weighted'"
            )

    def value(self) -> float:
        """Get the average."""
        several = self.counts.shape[2] > 1
        counts = self.counts[:, 1] if several else self.counts[:, :, 0]
        _, predicted, occur = counts
        if not self.counts[2].sum():
            return float("nan")
        if self.rule == "binary":
            return float(self.score(*counts[:, 1]))
        if self.rule == "micro":
            return float(self.score(*counts.sum(axis=1)))
        scores = self.score(*counts)
        if self.rule == "weighted":
            return float(ratio((scores * occur).sum(), occur.sum(), 0))
        return mean(scores, (predicted + occur > 0) | several)

    def score(self, met: Array, predicted: Array, occur: Array) -> Array:
        """Get the figure of each class, 0 where it is not defined."""
        raise NotImplementedError


class Precision(Averaged):
    r"""The share of what is predicted that is right, :math:`TP / (TP + FP)`: ``precision_score``.

    Parameters
    ----------
    average : {'auto', 'binary', 'macro', 'micro', 'weighted'}
        How classes are averaged. ``'binary'``: only class 1 counts, or yes;
        ``'macro'``: the mean over the classes that occur or are predicted, or
        over the decisions of an output with several; ``'weighted'``: the same,
        with their frequencies as weights; ``'micro'``: of the counts of all
        classes together. ``'auto'`` is binary for two classes and for outputs
        with one decision, macro for others.

    Notes
    -----
    0 where nothing is predicted.
    """

    def score(self, met: Array, predicted: Array, occur: Array) -> Array:
        """Get the precision."""
        return ratio(met, predicted, 0)


class Recall(Averaged):
    r"""The share of what occurs that is predicted, :math:`TP / (TP + FN)`: ``recall_score``.

    0 where a class does not occur. The options are those of `Precision`.
    """

    def score(self, met: Array, predicted: Array, occur: Array) -> Array:
        """Get the recall."""
        return ratio(met, occur, 0)


class F1(Averaged, names=("f1",)):
    r"""The harmonic mean of precision and recall, :math:`2 TP / (2 TP + FP + FN)`: ``f1_score``.

    0 where a class neither occurs nor is predicted. The options are those of
    `Precision`.
    """

    def score(self, met: Array, predicted: Array, occur: Array) -> Array:
        """Get the harmonic mean."""
        return ratio(2 * met, predicted + occur, 0)


class TopK(Metric, names=("top_k",)):
    """The share of labels that are among the k classes of the highest scores.

    As ``top_k_accuracy_score``. ``'top_5'`` is short for ``k=5``. Of classes
    with the same score the first ones count as higher.

    Parameters
    ----------
    k : int
        At least 1 and less than the number of classes; 5 by default.
    """

    kinds: ClassVar[tuple[str, ...]] = ("classes",)
    options: ClassVar[dict[str, Any]] = {"k": Whole(5)}
    k: int

    @property
    def name(self) -> str:
        """What the figure is called."""
        return f"top_{self.k}"

    def start(self, kind: str, size: int) -> None:
        """Begin with counts of 0."""
        if self.k >= size:
            raise ConfigurationError(
                f"metric {self.name!r} of {size} classes is always 1; k must be less than {size}"
            )
        self.counts = np.zeros(2)

    def add(self, part: Part) -> None:
        """Add the counts of a batch."""
        of_label = np.take_along_axis(part.output, part.target[:, None].astype(int), axis=1)
        earlier = np.arange(part.size) < part.target[:, None]
        rank = ((part.output > of_label) | (earlier & (part.output == of_label))).sum(axis=1)
        # A NaN is not higher than anything.
        met = (rank < self.k) & ~np.isnan(of_label[:, 0])
        self.counts += (part.weights * met).sum(), part.weights.sum()

    def state(self) -> dict[str, Array]:
        """Get the counts."""
        return {"counts": self.counts}

    def merge(self, state: Mapping[str, Array]) -> None:
        """Add the counts of another one."""
        self.counts += state["counts"]

    def value(self) -> float:
        """Get the share."""
        return float(ratio(self.counts[0], self.counts[1], np.nan))


class AUC(Metric, names=("auc", "roc_auc")):
    """The area below the curve of true over false positives: ``roc_auc_score``.

    The probability that of two examples, one of a class and one of another,
    the score of that class is higher for the first. For two classes that of
    class 1; for more the mean over classes, each against all others (by their
    log-probabilities); for several decisions the mean over these. NaN where
    only one of two classes occurs. A ranking cannot be added up over batches:
    all outputs are kept until the end.

    It needs scikit-learn.
    """

    kinds: ClassVar[tuple[str, ...]] = ("classes", "binary")

    def start(self, kind: str, size: int) -> None:
        """Begin with nothing."""
        try:
            self.roc_auc_score = importlib.import_module("sklearn.metrics").roc_auc_score
        except ImportError:
            raise ConfigurationError(
                "metric 'auc' needs scikit-learn, which is not installed: "
                "pip install 'theanets[sklearn]'"
            ) from None
        self.parts: list[Part] = []
        self.kind, self.size = kind, size

    def add(self, part: Part) -> None:
        """Keep a batch."""
        self.parts.append(part)

    def state(self) -> dict[str, Array]:
        """Get the outputs, and what they are compared with."""
        if not self.parts:
            return {}
        keys = ("target", "output", "weights")
        found = {key: np.concatenate([getattr(part, key) for part in self.parts]) for key in keys}
        return {**found, "logits": np.array(self.parts[0].logits)}

    def merge(self, state: Mapping[str, Array]) -> None:
        """Keep what another one has kept."""
        if state:
            y, z, w, logits = (state[key] for key in ("target", "output", "weights", "logits"))
            self.parts.append(Part(self.kind, y, z, w, self.size, bool(logits)))

    def value(self) -> float:
        """Get the area, of all that was kept."""
        if not self.parts:
            return float("nan")
        y, z, w = (
            np.concatenate([getattr(part, key) for part in self.parts])
            for key in ("target", "output", "weights")
        )
        first = self.parts[0]
        if first.kind == "binary":
            columns = [(y[:, i] > 0, z[:, i], w[:, i]) for i in range(first.size)]
        elif first.size == 2:
            columns = [(y == 1, z[:, 1] - z[:, 0], w)]
        else:
            # Only probabilities of different examples can be compared.
            if first.logits:
                log_softmax = process.lazily("scipy.special").log_softmax  # slow to import
                z = log_softmax(z.astype(float), axis=1)
            columns = [(y == i, z[:, i], w) for i in range(first.size)]
        return float(np.mean([self._area(*column) for column in columns]))

    def _area(self, positive: Array, scores: Array, weights: Array) -> float:
        seen = weights != 0
        positive, scores, weights = positive[seen], scores[seen], weights[seen]
        if not positive.any() or positive.all() or not np.isfinite(scores).all():
            return float("nan")
        return float(self.roc_auc_score(positive, scores, sample_weight=weights))
