"""What is done in windows of images and series: convolution and pooling."""

from .convolution import Convolution, FilterGradient, ImageGradient
from .groups import EACH
from .pooling import MaxGather, MaxPool, MaxScatter, SumPool, SumSpread
from .window import SAME, Window, one_line, positions, spread

__all__ = [
    "EACH",
    "SAME",
    "Convolution",
    "FilterGradient",
    "ImageGradient",
    "MaxGather",
    "MaxPool",
    "MaxScatter",
    "SumPool",
    "SumSpread",
    "Window",
    "one_line",
    "positions",
    "spread",
]
