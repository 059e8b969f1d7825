"""Temperature scaling: the confidence of a classifier, corrected by one number."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from ..errors import DataError
from ..options import number
from .checks import check_classifier, labels, weights_of

Array = npt.NDArray[Any]


class TemperatureScaling:
    r"""A classifier whose logits are divided by a temperature.

    :math:`p = softmax(z / T)`, with the T that makes the cross-entropy of the
    given labels least. More than 1 says that the network was too sure. The most
    probable class stays the same.

    Parameters
    ----------
    model : theanets.Classifier or NetClassifier
        It stays as it is.
    x : array_like, list or dict
        Inputs that it was not trained on: those that it was validated on, for
        instance.
    y : array_like of shape (examples, ...)
        Their labels.
    sample_weight : array_like, optional
        Weights of the labels, of their shape.

    Attributes
    ----------
    temperature : float
        The T, more than 0.

    Raises
    ------
    ConfigurationError
        If the model does not predict one of several classes.
    DataError
        If labels do not fit, or no temperature is best: all of them are the most
        probable classes (it would be 0), or the logits say nothing of them (it
        would be infinite).

    References
    ----------
    Guo, Pleiss, Sun & Weinberger 2017, "On calibration of modern neural networks".
    """

    def __init__(
        self, model: Any, x: Any, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> None:
        self.model = model
        places, logits = labels(model, y, self._logits(x))
        weights = weights_of(sample_weight, np.shape(y))
        self.temperature = _best(logits, places, weights)

    @classmethod
    def of(cls, model: Any, temperature: float) -> Self:
        """Make one of a temperature that is known, from a file for instance."""
        made = cls.__new__(cls)
        made.model = model
        made.temperature = number("temperature", temperature, "positive")
        check_classifier(model)
        return made

    def _logits(self, x: Any) -> Array:
        check_classifier(self.model)
        logits = getattr(self.model, "predict_logit", None) or self.model.predict_log_proba
        return np.asarray(logits(x), float)

    def predict_proba(self, x: Any) -> Array:
        """Get the corrected probabilities, of shape (examples, ..., classes)."""
        return softmax(self._logits(x) / self.temperature, axis=-1)

    def predict(self, x: Any) -> Array:
        """Get the most probable class of each example, as the model does."""
        return self.model.predict(x)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.temperature:.4g} of {self.model!r}>"


def _best(logits: Array, places: Array, weights: Array) -> float:
    rows = np.arange(len(places))
    # By the inverse, the cross-entropy is convex: its slopes at both ends say where it is least.
    slope = np.average(logits.mean(axis=1) - logits[rows, places], weights=weights)
    if slope >= 0:
        raise DataError(
            "the logits say nothing of the labels: any temperature makes it worse, and the "
            "probabilities best are all the same"
        )
    if (logits[rows, places] == logits.max(axis=1))[weights > 0].all():
        raise DataError(
            "all labels are the most probable classes, so that the best temperature would be 0: "
            "give examples that the network was not trained on, and more of them"
        )

    def cross_entropy(logarithm: float) -> float:
        logs = log_softmax(logits * np.exp(-logarithm), axis=1)
        return float(-np.average(logs[rows, places], weights=weights))

    # In terms of how far logits are apart, so that any scale of them will do.
    middle = np.log(np.abs(logits - logits.mean(axis=1, keepdims=True)).max())
    found = minimize_scalar(
        cross_entropy, bounds=(middle - 12, middle + 12), method="bounded", options={"xatol": 1e-9}
    )
    return float(np.exp(found.x))
