"""Pretraining: networks that are trained layer by layer, or set to samples."""

from __future__ import annotations

from .algorithms import makers, split

__all__ = ["makers", "split"]
