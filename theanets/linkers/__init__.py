"""What PyTensor's linkers are told before they compile for us."""

from . import linking

__all__ = ["linking"]
