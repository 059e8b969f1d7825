"""What is asked of models and of data to calibrate on."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError, DataError

Array = npt.NDArray[Any]


def labels(model: Any, y: npt.ArrayLike, proba: Array) -> tuple[Array, Array]:
    """Get labels as numbers, and probabilities (or their logarithms), a row for each label.

    Parameters
    ----------
    model : Network or estimator
        Of the second, ``classes_`` says which labels there are.
    y : array_like
        A label for each prediction.
    proba : ndarray of shape (..., classes)
        What was predicted.

    Raises
    ------
    DataError
        If they do not fit, or there are none.
    """
    try:
        found, classes = np.asarray(y), proba.shape[-1]
    except ValueError as error:
        raise DataError(f"y is not an array of labels: {error}") from error
    known = getattr(model, "classes_", None)
    if found.shape != proba.shape[:-1]:
        raise DataError(f"y has shape {found.shape}, but predictions {proba.shape[:-1]}")
    if not found.size:
        raise DataError("y has no labels to calibrate on")
    if known is not None:
        places = np.searchsorted(known, found).clip(0, classes - 1)
        wrong = known[places] != found
    elif found.dtype.kind not in "iub":
        raise DataError(f"y has the type {found.dtype}; labels are integers")
    else:
        places, wrong = found.astype(int), (found < 0) | (found >= classes)
    if wrong.any():
        raise DataError(
            f"y has the label {found[wrong].tolist()[0]!r}, which is no class of the model"
        )
    return places.reshape(-1), proba.reshape(-1, classes)


def predicted(model: Any, x: Any) -> Array:
    """Get the values that a model predicts.

    Raises
    ------
    ConfigurationError
        If it predicts none.
    """
    if isinstance(model, type) or not callable(getattr(model, "predict", None)):
        what = f"the class {model.__name__}" if isinstance(model, type) else repr(model)
        raise ConfigurationError(
            f"model={what} has no method predict; expected a network or an estimator"
        )
    if hasattr(model, "predict_proba"):
        raise ConfigurationError(
            f"{type(model).__name__} predicts classes, which have no intervals; use "
            "ConformalClassifier"
        )
    return numbers("predictions", model.predict(x))


def numbers(name: str, values: Any) -> Array:
    """Get an array of floats.

    Raises
    ------
    DataError
        If it is none of numbers.
    """
    try:
        found = np.asarray(values)
        if found.dtype.kind in "biuf":
            return found.astype(float)
        if found.dtype.kind == "O":
            return np.asarray(values, float)
        said = f"the type {found.dtype}"
    except (TypeError, ValueError) as error:
        said = str(error)
    raise DataError(f"{name} are not an array of numbers: {said}")


def weights_of(w: npt.ArrayLike | None, shape: tuple[int, ...]) -> Array:
    """Get weights of a shape, 1 each where none are given.

    Raises
    ------
    DataError
        If they have another shape, or are negative, not finite, or all 0.
    """
    if w is None:
        return np.ones(shape).reshape(-1)
    found = numbers("weights", w)
    if found.shape != shape:
        raise DataError(f"weights have shape {found.shape}; expected {shape}")
    if not (np.isfinite(found) & (found >= 0)).all() or not found.any():
        raise DataError("weights are numbers of at least 0, and not all 0")
    return found.reshape(-1)


def probabilities_of(model: Any, x: Any) -> Array:
    """Get the probabilities of classes that a model predicts, of shape (..., classes).

    Raises
    ------
    ConfigurationError
        If it predicts none, or classes are not one for each example.
    """
    check_classifier(model)
    return np.asarray(model.predict_proba(x), float)


def check_classifier(model: Any) -> None:
    """Refuse what does not say the probabilities of one class for each example."""
    if isinstance(model, type) or not hasattr(model, "predict_proba"):
        name = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise ConfigurationError(
            f"{name} does not predict classes; expected a classifier that was trained"
        )
    net = getattr(model, "network_", model)
    if getattr(model, "_several", False):
        raise ConfigurationError("the estimator predicts sets of classes, not one of them")
    layer = getattr(net, "output_layer", None)
    if layer is not None and layer.chooses_jointly:
        raise ConfigurationError("the labels of a crf layer are not predicted one by one")
