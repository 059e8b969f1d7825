"""Regularizers: penalties that are added to the loss, and noise in the graph.

=====================  ========================================================
keyword                what it does
=====================  ========================================================
``weight_l2``          mean squared weights, alias ``weight_decay``
``weight_l1``          mean absolute weights, alias ``weight_sparsity``
``hidden_l1``          mean absolute hidden outputs, alias ``hidden_sparsity``
``hidden_l2``          mean squared hidden outputs
``recurrent_state``    mean squared change of recurrent outputs, step to step
``recurrent_norm``     mean squared change of their squared norms
``input_noise`` ...    normal noise on inputs, hidden layers, outputs
``input_dropout`` ...  dropout of inputs, hidden layers, outputs
=====================  ========================================================
"""

from __future__ import annotations

from .base import Regularizer
from .keywords import from_kwargs, keywords
from .noise import BernoulliDropout, GaussianNoise, Noise
from .penalties import HiddenL1, HiddenL2, Penalty, WeightL1, WeightL2, penalty
from .recurrent import RecurrentNorm, RecurrentState

__all__ = [
    "BernoulliDropout",
    "GaussianNoise",
    "HiddenL1",
    "HiddenL2",
    "Noise",
    "Penalty",
    "RecurrentNorm",
    "RecurrentState",
    "Regularizer",
    "WeightL1",
    "WeightL2",
    "from_kwargs",
    "keywords",
    "penalty",
]
