"""Regularizers: penalties that are added to the loss, constraints, and noise in the graph.

=====================  ========================================================
keyword                what it does
=====================  ========================================================
``weight_l2``          mean squared weight of each parameter, alias ``weight_decay``
``weight_l1``          mean absolute weight of each, alias ``weight_sparsity``
``hidden_l1``          mean absolute hidden outputs, alias ``hidden_sparsity``
``hidden_l2``          mean squared hidden outputs
``recurrent_state``    mean squared change of recurrent outputs, step to step
``recurrent_norm``     mean squared change of their squared norms
``contractive``        squared norm of the Jacobian of hidden outputs
``weight_inverse``     mean of the inverse squared norm of units' weights
``orthogonal``         mean squared difference of W'W from the identity
``group_lasso``        norms of the weights of units, or of those of inputs
``max_norm``           limit of the norm of units' weights, after each update
``input_noise`` ...    normal noise on inputs, hidden layers, outputs
``input_dropout`` ...  dropout of inputs, hidden layers, outputs
=====================  ========================================================

Of several parameters or outputs, a penalty is the mean of what it is of each of them.
"""

from __future__ import annotations

from .base import Regularizer
from .constraints import Constraint, MaxNorm
from .contractive import Contractive
from .keywords import from_kwargs, keywords
from .noise import BernoulliDropout, GaussianNoise, Noise
from .penalties import HiddenL1, HiddenL2, Penalty, WeightL1, WeightL2, penalty
from .recurrent import RecurrentNorm, RecurrentState
from .units import GroupLasso, Orthogonal, WeightInverse

__all__ = [
    "BernoulliDropout",
    "Constraint",
    "Contractive",
    "GaussianNoise",
    "GroupLasso",
    "HiddenL1",
    "HiddenL2",
    "MaxNorm",
    "Noise",
    "Orthogonal",
    "Penalty",
    "RecurrentNorm",
    "RecurrentState",
    "Regularizer",
    "WeightInverse",
    "WeightL1",
    "WeightL2",
    "from_kwargs",
    "keywords",
    "penalty",
]
