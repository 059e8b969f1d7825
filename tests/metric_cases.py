"""Data and references for the tests of metrics."""

import warnings

import numpy as np
import pytest

reference = pytest.importorskip("sklearn.metrics")
RNG = np.random.default_rng(11)
X = RNG.normal(size=(37, 4))
LABELS = RNG.choice([0, 1, 2, 4], size=37)
VALUES = RNG.normal(size=(37, 3)) * [1, 5, 0.1] + [0, 2, 0]
WEIGHTS = RNG.uniform(0.2, 3, size=37) * (RNG.uniform(size=37) < 0.8)
OF_VALUES = {
    "r2": reference.r2_score,
    "mae": reference.mean_absolute_error,
    "mse": reference.mean_squared_error,
    "rmse": reference.root_mean_squared_error,
}


def quiet(function, *args, weights=None, **kwargs):
    """Call a function of scikit-learn on what has a weight, without its warnings."""
    seen = np.ones(len(args[0]), bool) if weights is None else weights != 0
    args = [a[seen] for a in args]
    weights = None if weights is None else weights[seen]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(function(*args, sample_weight=weights, **kwargs))
