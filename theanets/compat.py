"""Names that earlier versions had elsewhere, each where it was, as deprecated aliases.

`theanets.main`, `theanets.trainer` and `theanets.util` are modules of earlier
versions as a whole; what else changed is in `theanets.earlier`.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from . import activations, errors, feedforward, graph, layers, losses, network
from .errors import deprecated
from .layers import base, convolution, pooling

_BASE = ("Input", "Concatenate", "Flatten", "Product", "Reshape")

#: By module, what each name stands for, and where that is now.
NAMES: dict[ModuleType, dict[str, tuple[Any, str]]] = {
    graph: {
        "Network": (network.Network, "theanets.Network"),
        "LayerError": (errors.ConfigurationError, "theanets.ConfigurationError"),
    },
    feedforward: {"load": (network.Network.load, "theanets.Network.load")},
    layers: {"build": (layers.Layer.build, "theanets.Layer.build")},
    base: {
        "build": (layers.Layer.build, "theanets.Layer.build"),
        **{name: (getattr(layers, name), f"theanets.layers.{name}") for name in _BASE},
    },
    convolution: {
        "Pool1": (layers.Pool1, "theanets.layers.Pool1"),
        "Pool2": (layers.Pool2, "theanets.layers.Pool2"),
        "Pooling": (pooling.Pooling, "theanets.layers.pooling.Pooling"),
    },
    losses: {"build": (losses.Loss.build, "theanets.Loss.build")},
    activations: {
        "COMMON": (activations.Activation.registry, "theanets.Activation.registry"),
    },
}


def _finder(module: ModuleType) -> Callable[[str], Any]:
    def find(name: str) -> Any:
        if name not in NAMES[module]:
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
        found, place = NAMES[module][name]
        deprecated(f"{module.__name__}.{name} is now {place}")
        return found

    return find


def install() -> None:
    """Let each module find the names that it had; they are looked up only where it has none."""
    for module in NAMES:
        module.__getattr__ = _finder(module)  # type: ignore[method-assign]
