"""How far probabilities are from the shares of what comes true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError
from ..options import Whole
from .base import Metric, Part

Array = npt.NDArray[Any]

#: Intervals of confidence that are told apart by default.
BINS = 15


@dataclass
class Reliability:
    """What a reliability diagram shows: predictions by intervals of their confidence.

    Attributes
    ----------
    edges : ndarray of shape (bins + 1,)
        Where intervals end, from 0 to 1; each includes its upper end.
    counts : ndarray of shape (bins,)
        The weight of the predictions in each, their number where they have no weights.
    confidence, accuracy : ndarray of shape (bins,)
        The mean confidence, and the share that is right; NaN where there are none.
    """

    edges: Array
    counts: Array
    confidence: Array
    accuracy: Array

    @property
    def error(self) -> float:
        r"""The expected calibration error.

        :math:`\sum_b n_b |acc_b - conf_b| / \sum_b n_b` (Guo et al. 2017, "On
        calibration of modern neural networks"); NaN where there are no predictions.
        """
        some = self.counts > 0
        if not some.any():
            return float("nan")
        gaps = np.abs(self.accuracy - self.confidence)[some]
        return float(np.average(gaps, weights=self.counts[some]))


class Bins:
    """Sums of weights, confidences and what is right, by intervals of confidence."""

    def __init__(self, number: int) -> None:
        self.number, self.sums = number, np.zeros((3, number))

    def add(self, confidence: Array, right: Array, weights: Array) -> None:
        """Add some predictions."""
        index = np.clip(np.ceil(confidence * self.number).astype(int) - 1, 0, self.number - 1)
        for row, values in zip(self.sums, (1, confidence, right), strict=True):
            row += np.bincount(index, weights * values, self.number)

    def reliability(self) -> Reliability:
        """Get the means."""
        counts, confidence, right = self.sums
        with np.errstate(invalid="ignore"):
            means = confidence / counts, right / counts
        return Reliability(np.linspace(0, 1, self.number + 1), counts.copy(), *means)


class CalibrationError(Metric, names=("calibration_error", "ece")):
    """The expected calibration error: how far confidence is from accuracy, see `Reliability`.

    The confidence of a class is its probability where it is the most probable
    one, that of a decision the probability of what is decided. 0 is best, 1 worst.

    Parameters
    ----------
    bins : int
        Intervals of confidence, 15 by default.
    """

    kinds: ClassVar[tuple[str, ...]] = ("classes", "binary")
    options: ClassVar[dict[str, Any]] = {"bins": Whole(BINS)}
    better = "min"
    bins: int

    @property
    def name(self) -> str:
        """What the figure is called."""
        return "calibration_error"

    def start(self, kind: str, size: int) -> None:
        """Begin with nothing."""
        self.found = Bins(self.bins)

    def add(self, part: Part) -> None:
        """Add the predictions of a batch."""
        scores = part.output.astype(float)
        if part.kind == "binary":
            chosen, right = np.abs(scores), (scores > 0) == (part.target > 0)
            confidence = 1 / (1 + np.exp(-chosen))
            self.found.add(confidence.ravel(), right.ravel(), part.weights.ravel())
            return
        if part.logits:
            scores = np.exp(scores - scores.max(axis=1, keepdims=True))
            scores /= scores.sum(axis=1, keepdims=True)
        elif scores.size and not np.allclose(scores.sum(axis=1), 1, atol=1e-3):
            raise ConfigurationError(
                f"metric {self.name!r} is for probabilities, but the scores of the classes are none"
            )
        self.found.add(
            np.clip(scores.max(axis=1), 0, 1), scores.argmax(axis=1) == part.target, part.weights
        )

    def state(self) -> dict[str, Array]:
        """Get the sums."""
        return {"sums": self.found.sums}

    def merge(self, state: Mapping[str, Array]) -> None:
        """Add the sums of another one."""
        self.found.sums += state["sums"]

    def value(self) -> float:
        """Get the error."""
        return self.found.reliability().error
