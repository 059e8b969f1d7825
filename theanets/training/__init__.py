"""Training: the loop over epochs, and what runs in it."""

from __future__ import annotations

from ..history import History
from .loop import Run

__all__ = ["History", "Run"]
