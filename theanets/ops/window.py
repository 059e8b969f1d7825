"""The window of a convolution or pooling, where pickles of earlier versions look for it."""

from .windows.window import Window

__all__ = ["Window"]
