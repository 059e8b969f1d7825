"""The history, where pickles of earlier versions look for it."""

from ..history import History

__all__ = ["History"]
