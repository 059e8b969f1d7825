"""Neural networks as symbolic graphs on PyTensor, with lists of weighted losses.

::

    net = theanets.Regressor([10, 20, 3], loss='mae')
    net.add_loss('mse', weight=2)
    net.train([x, y], [x_valid, y_valid], hidden_dropout=0.1)
    net.predict(x_new)

- Models: `Regressor`, `Classifier`, `Autoencoder`, and `Network` for others.
- What they are made of: `theanets.layers`, `theanets.losses`,
  `theanets.activations`, `theanets.regularizers`, `theanets.optimizers`.
- What one derives from: `Layer`, `Loss`, `Activation`, `Regularizer`,
  `Callback`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from .interruption import uninterrupted

# A part of these imports could not be made again.
with uninterrupted():
    from . import (
        activations,
        compat,
        convolution,
        feedforward,
        init,
        layers,
        losses,
        main,
        metrics,
        monitors,
        process,
        recurrent,
        regularizers,
        trainer,
        util,
    )
    from .activations import Activation
    from .backends import devices
    from .derivatives import derivative, divergence, laplacian
    from .errors import (
        ConfigurationError,
        DataError,
        Error,
        FileError,
        GroupError,
        UnknownNameError,
        ZeroGradientWarning,
    )
    from .experiment import Experiment
    from .feedforward import Autoencoder, Classifier, Regressor
    from .history import History
    from .layers import Layer
    from .losses import Loss
    from .network import Network
    from .precompile import warmup
    from .regularizers import Regularizer, penalty
    from .rng import set_seed
    from .util import log

if TYPE_CHECKING:
    from . import callbacks, optimizers, plot
    from .callbacks import Callback
    from .interop import from_keras, from_torch
    from .minimization import iterminimize, minimize
    from .original import load_original

__version__ = "0.9.0"

compat.install()

__all__ = [
    "Activation",
    "Autoencoder",
    "Callback",
    "Classifier",
    "ConfigurationError",
    "DataError",
    "Error",
    "Experiment",
    "FileError",
    "GroupError",
    "History",
    "Layer",
    "Loss",
    "Network",
    "Regressor",
    "Regularizer",
    "UnknownNameError",
    "ZeroGradientWarning",
    "activations",
    "callbacks",
    "convolution",
    "derivative",
    "devices",
    "divergence",
    "feedforward",
    "from_keras",
    "from_torch",
    "init",
    "iterminimize",
    "laplacian",
    "layers",
    "load_original",
    "log",
    "losses",
    "main",
    "metrics",
    "minimize",
    "monitors",
    "optimizers",
    "penalty",
    "plot",
    "recurrent",
    "regularizers",
    "set_seed",
    "trainer",
    "util",
    "warmup",
]

#: Modules that are imported when they are asked for first: who only predicts has no use for them.
_MODULES = {"callbacks", "drawing", "interop", "minimization", "models", "optimizers"}
_MODULES |= {"original", "plot", "pretraining", "profiling", "runs", "training"}
#: What is so, and the module that has it.
_LATER = {
    **{name: name for name in _MODULES},
    "Callback": "callbacks",
    "from_keras": "interop",
    "from_torch": "interop",
    "iterminimize": "minimization",
    "load_original": "original",
    "minimize": "minimization",
}

if not TYPE_CHECKING:  # for a type checker, every name would exist

    def __getattr__(name: str) -> Any:
        if name not in _LATER:
            here = sys.modules[__name__]
            message = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(message, name=name, obj=here)
        module = process.lazily(f"{__name__}.{_LATER[name]}")
        return module if name in _MODULES else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
