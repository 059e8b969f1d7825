"""The structure of networks: layers, losses and targets, and their expressions."""

from __future__ import annotations

from .base import Structure
from .snapshot import Snapshot

__all__ = ["Snapshot", "Structure"]
