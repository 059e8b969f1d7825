"""Networks that are known by name, with weights of files that others wrote.

`resnet` makes residual networks for images, with the names of torchvision's weights.
"""

from __future__ import annotations

from .residual import resnet

__all__ = ["resnet"]
