"""Calibration: probabilities, intervals and sets that keep what they promise.

`TemperatureScaling` corrects the confidence of a classifier by one number;
`ConformalRegressor` and `ConformalClassifier` give intervals and sets of classes
that contain the truth as often as is asked for, whatever the network. All are
made of a model that is trained, a network or an estimator of
`theanets.sklearn`, and data that it was not trained on; none changes the model.
`reliability`, `calibration_error` and `coverage` say how well it is met, and
`theanets.plot.reliability` draws it.
"""

from __future__ import annotations

from ..metrics.calibration import Reliability
from .conformal import ConformalClassifier, ConformalRegressor
from .measures import calibration_error, coverage, reliability
from .temperature import TemperatureScaling

__all__ = [
    "ConformalClassifier",
    "ConformalRegressor",
    "Reliability",
    "TemperatureScaling",
    "calibration_error",
    "coverage",
    "reliability",
]
