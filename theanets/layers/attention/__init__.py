"""Layers that attend: attention, positions, and blocks of these."""

from __future__ import annotations

from .attention import Attention
from .position import Position
from .transformer import Transformer

__all__ = ["Attention", "Position", "Transformer"]
