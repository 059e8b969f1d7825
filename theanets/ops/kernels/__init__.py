"""Ops that stand in for PyTensor's where a linker compiles them slowly, and the rewrites."""

from .operations import Axes, Fill, MatMul, Positions, RowArgmax, Rows, RowSoftmax, Sums

__all__ = ["Axes", "Fill", "MatMul", "Positions", "RowArgmax", "RowSoftmax", "Rows", "Sums"]
