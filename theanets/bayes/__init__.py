"""Bayesian networks: a network with priors is a model of PyMC, and its posterior predicts.

`model` makes the model, `fit` infers the posterior by one of many methods, and
`Posterior` holds what they all give: draws of parameters, and predictions by
them. It needs PyMC 6, which the extra ``pymc`` installs for Python 3.12 and newer.
"""

from __future__ import annotations

try:
    import pymc  # noqa: F401
except ImportError as error:
    raise ImportError(
        "theanets.bayes needs PyMC 6 and Python 3.12 or newer; install it with: "
        "pip install 'theanets[pymc]'"
    ) from error

from .fitting import fit
from .models import model
from .posterior import Posterior

__all__ = ["Posterior", "fit", "model"]
