"""Metrics: named figures of how well outputs agree with targets, exact over batches.

A metric adds up what it needs, batch by batch, in double precision; so it is
the same for batches of any size, the last one included. Definitions are those
of scikit-learn for all data at once, with the weights of the targets as
``sample_weight``; an entry of weight 0 has no influence, as if it was not
there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ConfigurationError
from .base import KINDS, Metric, Part, part
from .calibration import CalibrationError
from .classification import AUC, F1, Accuracy, Averaged, BalancedAccuracy, Precision, Recall, TopK
from .quantile import Coverage, Pinball
from .regression import MAE, MSE, R2, RMSE
from .sequences import LabelErrorRate

__all__ = [
    "AUC",
    "F1",
    "KINDS",
    "MAE",
    "MSE",
    "R2",
    "RMSE",
    "Accuracy",
    "BalancedAccuracy",
    "CalibrationError",
    "Coverage",
    "LabelErrorRate",
    "Metric",
    "Part",
    "Pinball",
    "Precision",
    "Recall",
    "TopK",
    "build",
    "part",
]


def build(spec: Any) -> Metric:
    """Make a metric.

    Parameters
    ----------
    spec : str, dict, Metric or subclass of it
        A registered name; ``'top_5'``, a number of classes; ``'f1_micro'``, a
        name and an average; or a dict with the name as ``'form'`` and the
        options.

    Raises
    ------
    ConfigurationError
        If there is no such metric, or an option is wrong.
    """
    if isinstance(spec, Metric):
        return spec
    if isinstance(spec, type) and issubclass(spec, Metric):
        return spec()
    options: dict[str, Any] = {}
    if isinstance(spec, Mapping):
        options = dict(spec)
        spec = options.pop("form", None)
    if not isinstance(spec, str):
        raise ConfigurationError(
            f"metrics: {spec!r} is not a metric; expected a name, a dict with the name as 'form', "
            "or a theanets.metrics.Metric"
        )
    name = spec.lower()
    start, _, end = name.rpartition("_")
    if name not in Metric.registry:
        if start == "top" and end.isdigit():
            return TopK(**{"k": int(end), **options})
        if start in Metric.registry and issubclass(Metric.registry[start], Averaged):
            return Metric.registry[start](**{"average": end, **options})
    return Metric.registry[name](**options)
