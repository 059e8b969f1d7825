"""Our own PyTensor operations: NumPy and Numba implementations, gradients."""

from . import linking

__all__ = ["linking"]
