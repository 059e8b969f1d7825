"""Random numbers: those that PyTensor draws, faster under Numba, and as themselves under JAX."""

from .operation import Draws, of

__all__ = ["Draws", "of"]
