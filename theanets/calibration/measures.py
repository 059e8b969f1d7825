"""Figures of calibration, of arrays: reliability, its error, and coverage."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..metrics.calibration import BINS, Bins, Reliability
from ..options import whole_number
from .checks import labels, weights_of

Array = npt.NDArray[Any]


def reliability(
    proba: npt.ArrayLike,
    y: npt.ArrayLike,
    bins: int = BINS,
    sample_weight: npt.ArrayLike | None = None,
) -> Reliability:
    """Compare the confidence of predicted classes with how often they are right.

    Parameters
    ----------
    proba : array_like of shape (examples, ..., classes)
        Probabilities; of decisions by one probability, the last axis is missing.
    y : array_like of int of shape (examples, ...)
        Labels, from 0.
    bins : int
        Intervals of confidence, of equal width.
    sample_weight : array_like, optional
        Weights of the labels.

    Returns
    -------
    Reliability

    Raises
    ------
    DataError
        If ``proba`` has other numbers than probabilities, or labels do not fit.
    """
    found = np.asarray(proba, float)
    if found.shape == np.shape(y):
        found = np.stack([1 - found, found], axis=-1)
    if found.ndim < 2 or not ((found >= 0) & (found <= 1 + 1e-6)).all():
        raise DataError("proba has to have numbers from 0 to 1, of shape (examples, ..., classes)")
    if not np.allclose(found.sum(axis=-1), 1, atol=1e-3):
        raise DataError("proba has to sum to 1 over the classes, its last axis")
    places, rows = labels(None, y, found)
    made = Bins(whole_number("bins", bins))
    right = rows.argmax(axis=1) == places
    made.add(np.clip(rows.max(axis=1), 0, 1), right, weights_of(sample_weight, np.shape(y)))
    return made.reliability()


def calibration_error(
    proba: npt.ArrayLike,
    y: npt.ArrayLike,
    bins: int = BINS,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """Get the expected calibration error, see `Reliability.error`; takes what `reliability` takes.

    ``net.evaluate(data, metrics="calibration_error")`` measures it of a network.
    """
    return reliability(proba, y, bins, sample_weight).error


def coverage(y: npt.ArrayLike, predicted: Any) -> float:
    """Get the share of truths that intervals, or sets of classes, contain.

    Parameters
    ----------
    y : array_like
        Targets; or labels as integers, from 0.
    predicted : (low, high), or ndarray of bool
        Intervals of the targets' shape, ends included; or which classes are in
        each set, a further axis.

    Returns
    -------
    float
        From 0 to 1. The mean of ``high - low``, or of ``sets.sum(axis=-1)``, says
        what it costs.
    """
    truth = np.asarray(y)
    if not truth.size:
        raise DataError("y is empty")
    if isinstance(predicted, np.ndarray) and predicted.dtype == bool:
        places, sets = labels(None, truth, predicted)
        return float(sets[np.arange(len(places)), places].mean())
    low, high = (np.asarray(end, float) for end in predicted)
    if truth.shape != low.shape and (*truth.shape, 1) == low.shape:
        truth = truth[..., None]
    if low.shape != truth.shape or high.shape != truth.shape:
        raise DataError(f"intervals have shapes {low.shape} and {high.shape}; y has {truth.shape}")
    return float(((low <= truth) & (truth <= high)).mean())
