"""Callbacks: code that runs while a network trains, of the user and ready to use.

What one derives from is `Callback`; `CSVLogger` and `TensorBoard` write what
is measured, `SaveBest` the best network, `EarlyStop` ends training, and
`Prune` a trial of Optuna.
"""

from __future__ import annotations

from .base import Callback, CallbackLike, Callbacks, build, overrides
from .control import EarlyStop, SaveBest
from .logs import CSVLogger
from .pruning import Prune
from .tensorboard import TensorBoard

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackLike",
    "Callbacks",
    "EarlyStop",
    "Prune",
    "SaveBest",
    "TensorBoard",
    "build",
    "overrides",
]
