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

from .interruption import uninterrupted

# A part of these imports could not be made again.
with uninterrupted():
    from . import (
        activations,
        callbacks,
        compat,
        convolution,
        feedforward,
        init,
        layers,
        losses,
        main,
        metrics,
        monitors,
        optimizers,
        plot,
        recurrent,
        regularizers,
        trainer,
        util,
    )
    from .activations import Activation
    from .callbacks import Callback
    from .derivatives import derivative, divergence, laplacian
    from .errors import (
        ConfigurationError,
        DataError,
        Error,
        FileError,
        UnknownNameError,
        ZeroGradientWarning,
    )
    from .experiment import Experiment
    from .feedforward import Autoencoder, Classifier, Regressor
    from .history import History
    from .layers import Layer
    from .losses import Loss
    from .minimization import iterminimize, minimize
    from .network import Network
    from .original import load_original
    from .precompile import warmup
    from .regularizers import Regularizer, penalty
    from .rng import set_seed
    from .util import log

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
    "divergence",
    "feedforward",
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
