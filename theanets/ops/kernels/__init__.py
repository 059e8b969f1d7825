"""Ops that stand in for PyTensor's where a linker compiles them slowly, and the rewrites."""

from .entrywise import Entrywise
from .operations import Axes, Fill, MatMul, Positions, RowArgmax, Rows, RowSoftmax, Sums
from .shapes import Joined, Length, Parts, Shaped, Vector

__all__ = [
    "Axes",
    "Entrywise",
    "Fill",
    "Joined",
    "Length",
    "MatMul",
    "Parts",
    "Positions",
    "RowArgmax",
    "RowSoftmax",
    "Rows",
    "Shaped",
    "Sums",
    "Vector",
]
