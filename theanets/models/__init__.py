"""Networks that are known by name, with weights of files that others wrote.

`resnet` makes residual networks for images, with the names of torchvision's weights; `gpt2` makes
the causal transformer of a checkpoint with those of Hugging Face. `save_resnet` and `save_gpt2`
write such files.
"""

from __future__ import annotations

from .gpt import gpt2
from .residual import resnet
from .writing import save_gpt2, save_resnet

__all__ = ["gpt2", "resnet", "save_gpt2", "save_resnet"]
