"""Data: what users give, as mini-batches of arrays that compiled code accepts."""

from __future__ import annotations

from .batches import Dataset
from .coerce import gather
from .fields import Field
from .inputs import Ready, chunks, prepare
from .intake import comes_in_batches
from .whole import resident

__all__ = ["Dataset", "Field", "Ready", "chunks", "comes_in_batches", "gather", "prepare"]
__all__ += ["resident"]
