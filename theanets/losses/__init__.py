"""Losses: what a network minimizes.

=======  ==========================  =======================================
name     class                       error of one entry
=======  ==========================  =======================================
`mse`    `MeanSquaredError`          ``(y - t) ** 2``
`mae`    `MeanAbsoluteError`         ``|y - t|``
`xe`     `CrossEntropy`              ``-log p[t]``
`hinge`  `Hinge`                     ``max(0, margin + max z[k] - z[t])``
=======  ==========================  =======================================
"""

from __future__ import annotations

from .base import Loss
from .classification import Classification, CrossEntropy, Hinge
from .regression import MeanAbsoluteError, MeanSquaredError, Regression

__all__ = [
    "Classification",
    "CrossEntropy",
    "Hinge",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Regression",
]
