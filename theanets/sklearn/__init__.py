"""Networks as estimators of scikit-learn.

`NetClassifier`, `NetRegressor` and `NetAutoencoder` have the methods and the
conventions of scikit-learn's own estimators, and go wherever these go: into
pipelines, grid searches, cross-validation, and files of pickle and joblib.
"""

from __future__ import annotations

try:
    import sklearn  # noqa: F401
except ImportError as error:
    raise ImportError(
        "theanets.sklearn needs scikit-learn; install it with: pip install 'theanets[sklearn]'"
    ) from error

from .autoencoder import NetAutoencoder
from .estimators import NetClassifier, NetRegressor
from .pipelines import register as register_onnx

__all__ = ["NetAutoencoder", "NetClassifier", "NetRegressor", "register_onnx"]

# In pickles they are named by where users find them.
for _estimator in (NetAutoencoder, NetClassifier, NetRegressor):
    _estimator.__module__ = __name__
