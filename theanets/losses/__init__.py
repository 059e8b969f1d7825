"""Losses: what a network minimizes.

Each is registered under a short name, see the table in the guide to losses,
and under the lower-case name of its class.
"""

from __future__ import annotations

from .base import Loss
from .binary import BinaryCrossEntropy, BinaryCrossEntropyWithLogits, BinaryFocal
from .classification import Classification, CrossEntropy, Focal, SquareLoss, Squentropy
from .ctc import ConnectionistTemporalClassification, ctc_beam_decode, ctc_greedy_decode
from .distribution import KullbackLeiblerDivergence, MaximumMeanDiscrepancy
from .likelihood import GaussianLogLikelihood, Laplace, MixtureDensity, StudentT
from .margin import Hinge, LSoftmax, SquaredHinge
from .quantile import Quantile
from .ramp import InfiniteRamp, Ramp, SoftRamp
from .regression import (
    Cosine,
    Gamma,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogError,
    Poisson,
    Regression,
    SmoothL1,
)
from .structured import (
    ConditionalRandomField,
    Perceptron,
    Risk,
    SoftmaxMargin,
    Structured,
    StructuredHinge,
)

__all__ = [
    "BinaryCrossEntropy",
    "BinaryCrossEntropyWithLogits",
    "BinaryFocal",
    "Classification",
    "ConditionalRandomField",
    "ConnectionistTemporalClassification",
    "Cosine",
    "CrossEntropy",
    "Focal",
    "Gamma",
    "GaussianLogLikelihood",
    "Hinge",
    "Huber",
    "InfiniteRamp",
    "KullbackLeiblerDivergence",
    "LSoftmax",
    "Laplace",
    "LogCosh",
    "Loss",
    "MaximumMeanDiscrepancy",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogError",
    "MixtureDensity",
    "Perceptron",
    "Poisson",
    "Quantile",
    "Ramp",
    "Regression",
    "Risk",
    "SmoothL1",
    "SoftRamp",
    "SoftmaxMargin",
    "SquareLoss",
    "SquaredHinge",
    "Squentropy",
    "Structured",
    "StructuredHinge",
    "StudentT",
    "ctc_beam_decode",
    "ctc_greedy_decode",
]
