"""Pretraining: networks that are trained layer by layer, or set to samples."""

from __future__ import annotations

from .algorithms import METHODS, keywords, makers, method

__all__ = ["METHODS", "keywords", "makers", "method"]
