"""Data: what users give, as mini-batches of arrays that compiled code accepts."""

from __future__ import annotations

from .batches import Dataset, chunks, gather, is_stream, prepare
from .coerce import Field

__all__ = ["Dataset", "Field", "chunks", "gather", "is_stream", "prepare"]
