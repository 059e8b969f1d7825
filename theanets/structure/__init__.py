"""The structure of networks: layers, losses and targets, and their expressions."""

from __future__ import annotations

from .base import Structure, check_network
from .snapshot import Snapshot

__all__ = ["Snapshot", "Structure", "check_network"]
