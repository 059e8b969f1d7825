r"""Split-conformal prediction: intervals and sets that contain the truth as often as asked for.

The formula is ten lines of NumPy, and holds for any model whose calibration
data are exchangeable with those to come: of n scores of how strange the truth
was, the :math:`\lceil (n + 1) c \rceil`-th smallest is not exceeded by the next one
with a probability of at least c (Vovk, Gammerman & Shafer 2005, "Algorithmic
learning in a random world"; Lei et al. 2018, "Distribution-free predictive
inference for regression").
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError, DataError
from ..options import number
from . import checks
from .checks import labels, probabilities_of

Array = npt.NDArray[Any]


def quantile(scores: Array, level: float) -> Array:
    """Get what the next score does not exceed with a probability of at least the level.

    Parameters
    ----------
    scores : ndarray of shape (examples, ...)
        Those of the calibration data, sorted along the first axis.
    level : float
        In (0, 1).

    Raises
    ------
    DataError
        If the examples are too few for such a level.
    """
    rank = math.ceil((len(scores) + 1) * level - 1e-12)
    if rank > len(scores):
        least = math.ceil(level / (1 - level) - 1e-9)
        raise DataError(
            f"{len(scores)} examples are too few to promise confidence_level={level:g}; it takes "
            f"{least}"
        )
    return scores[rank - 1]


class Conformal:
    """Base class of what calibrates predictions by sorted scores.

    Attributes
    ----------
    scores : ndarray of shape (examples, ...)
        How strange the truth was in each example, sorted.
    """

    def __init__(self, model: Any, scores: Array) -> None:
        self.model = model
        if not len(scores):
            raise DataError("there are no examples to calibrate on")
        if np.isnan(scores).any():
            raise DataError("predictions or targets to calibrate on are NaN")
        self.scores = np.sort(scores, axis=0)

    @classmethod
    def of(cls, model: Any, scores: npt.ArrayLike) -> Self:
        """Make one of scores that are known, from a file for instance."""
        made = cls.__new__(cls)
        Conformal.__init__(made, model, checks.numbers("scores", scores))
        return made

    def __repr__(self) -> str:
        return f"<{type(self).__name__} by {len(self.scores)} examples of {self.model!r}>"


class ConformalRegressor(Conformal):
    """Intervals about the predictions of values, as wide as the errors on other data were.

    The score is the absolute error; of several outputs each has its own. All
    intervals of an output have the same width, but where ``difficulty`` says that
    some are harder than others.

    Parameters
    ----------
    model : theanets.Regressor or NetRegressor
        Anything with a method ``predict``; it stays as it is.
    x : array_like, list or dict
        Inputs that it was not trained on, nor chosen by.
    y : array_like
        Their targets, of the shape of predictions.
    difficulty : callable, optional
        Maps inputs to positive numbers, of the shape of predictions or one for
        each example: how large errors are there. Errors are divided by it.

    Raises
    ------
    DataError
        If targets do not fit, or there are none.
    """

    difficulty: Callable[[Any], Any] | None = None

    def __init__(
        self,
        model: Any,
        x: Any,
        y: npt.ArrayLike,
        difficulty: Callable[[Any], Any] | None = None,
    ) -> None:
        if not (difficulty is None or callable(difficulty)):
            raise ConfigurationError(
                f"difficulty={difficulty!r} is not a callable that maps inputs to positive numbers"
            )
        self.difficulty = difficulty
        predicted, target = checks.predicted(model, x), checks.numbers("y", y)
        if target.ndim == predicted.ndim - 1 and predicted.shape[-1] == 1:
            target = target[..., None]
        if target.shape != predicted.shape:
            raise DataError(f"y has shape {target.shape}, but predictions {predicted.shape}")
        super().__init__(model, np.abs(target - predicted) / self._scale(x, predicted))

    def _scale(self, x: Any, predicted: Array) -> Array:
        if self.difficulty is None:
            return np.ones(())
        found = checks.numbers("difficulties", self.difficulty(x))
        if found.shape != predicted.shape[: found.ndim]:
            raise DataError(
                f"difficulty has shape {found.shape}, but predictions {predicted.shape}; expected "
                "is a number for each example or entry"
            )
        if not (found > 0).all():
            raise DataError(f"difficulty gives {found.min()}; expected are numbers above 0")
        missing = predicted.ndim - found.ndim
        return found.reshape(found.shape + (1,) * missing)

    def predict_interval(self, x: Any, confidence_level: float = 0.9) -> tuple[Array, Array]:
        """Get the lower and upper ends of intervals.

        Parameters
        ----------
        x : array_like, list or dict
            Inputs.
        confidence_level : float
            How often an interval contains the target, at least, in (0, 1).

        Returns
        -------
        (low, high) : ndarrays of the shape of predictions

        Raises
        ------
        DataError
            If the examples to calibrate on are too few for such a level.
        """
        predicted = checks.predicted(self.model, x)
        half = quantile(
            self.scores, number("confidence_level", confidence_level, "inner")
        ) * self._scale(x, predicted)
        return predicted - half, predicted + half


class ConformalClassifier(Conformal):
    """Sets of classes, as large as the probability of the truth on other data demands.

    The score is one minus the probability of the label, which makes the sets
    smallest on average (Sadinle, Lei & Wasserman 2019, "Least ambiguous set-valued
    classifiers with bounded error levels"). A set may be empty, where no class is
    as probable as labels usually are.

    Parameters
    ----------
    model : theanets.Classifier, NetClassifier or TemperatureScaling
        It stays as it is.
    x : array_like, list or dict
        Inputs that it was not trained on, nor chosen by.
    y : array_like
        Their labels.

    Raises
    ------
    ConfigurationError
        If the model does not predict one of several classes.
    DataError
        If labels do not fit, or there are none.
    """

    def __init__(self, model: Any, x: Any, y: npt.ArrayLike) -> None:
        known = getattr(model, "model", model)  # whose classes those of a scaled one are
        places, proba = labels(known, y, probabilities_of(model, x))
        super().__init__(model, 1 - proba[np.arange(len(places)), places])

    def predict_set(self, x: Any, confidence_level: float = 0.9) -> Array:
        """Get which classes are in the set of each example.

        Parameters
        ----------
        x : array_like, list or dict
            Inputs.
        confidence_level : float
            How often a set contains the label, at least, in (0, 1).

        Returns
        -------
        ndarray of bool of shape (examples, ..., classes)

        Raises
        ------
        DataError
            If the examples to calibrate on are too few for such a level.
        """
        proba = probabilities_of(self.model, x)
        return 1 - proba <= quantile(
            self.scores, number("confidence_level", confidence_level, "inner")
        )
