"""Limits: when training validates, and when it stops."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ConfigurationError
from ..options import Number, whole_number


@dataclass
class Limits:
    """When to validate, and when to stop.

    None, or infinity, is no limit. Where several are reached at once, the one that is
    named, as ``stop_reason``, is the first of these: ``max_updates``, ``epochs``,
    ``patience``, ``max_seconds``.

    Attributes
    ----------
    epochs : int, optional
        Passes over the training data.
    max_updates : int, optional
        Updates of the parameters, exactly.
    max_seconds : float, optional
        Wall-clock time; checked about every 0.05 seconds at least, or after
        each update that takes longer.
    patience : int, optional
        How many validations in a row may fail to improve the loss, or what
        else is the criterion; one more ends training.
    min_improvement : float
        A validation succeeds if its loss is less than that of the last one
        that succeeded, by more than this fraction of its absolute value. (So
        small improvements add up. This is for ``patience``: the best parameters are
        those of the best validation, however little better, see `Best.consider`.)
    validate_every : int
        Epochs between validations. There is always one before the first and
        after the last update.
    """

    epochs: int | None = None
    max_updates: int | None = None
    max_seconds: float | None = None
    patience: int | None = 10
    min_improvement: float = 0.0
    validate_every: int = 1

    def __post_init__(self) -> None:
        if self.min_improvement is None:
            self.min_improvement = 0.0
        if self.validate_every is None:
            self.validate_every = 1
        for name in ("epochs", "max_updates", "max_seconds", "patience", "min_improvement"):
            value = getattr(self, name)
            if not (isinstance(value, (float, np.floating)) and value == math.inf):
                Number(None, "nonnegative").check(name, value)
            elif name != "min_improvement":
                setattr(self, name, None)
        for name in ("epochs", "max_updates", "patience"):
            value = getattr(self, name)
            if value is not None and value != int(value):
                raise ConfigurationError(f"{name}={value!r} is not an integer")
        every: Any = self.validate_every
        whole = isinstance(every, (float, np.floating)) and every.is_integer()
        self.validate_every = whole_number("validate_every", int(every) if whole else every)

    def reached(self, epoch: int, updates: int, failures: int, seconds: float) -> str | None:
        """Tell which limit is reached: the reason for a run to stop, see `History`, or None.

        Parameters
        ----------
        epoch, updates : int
            How many there were.
        failures : int
            Validations in a row that failed to improve.
        seconds : float
            The time since the start.
        """
        # First, as the last update may be in the middle of what counts as the last epoch.
        if self.max_updates is not None and updates >= self.max_updates:
            return "updates"
        if self.epochs is not None and epoch >= self.epochs:
            return "epochs"
        if self.patience is not None and failures > self.patience:
            return "patience"
        return "time" if self.max_seconds is not None and seconds >= self.max_seconds else None

    def length(self, batches: int | None) -> tuple[int | None, int | None]:
        """Get how many epochs and updates there are at most, where that is known.

        Parameters
        ----------
        batches : int or None
            Updates in an epoch, if known.
        """
        epochs = None if self.epochs is None else int(self.epochs)
        updates = None if self.max_updates is None else int(self.max_updates)
        if batches and epochs is not None:
            updates = epochs * batches if updates is None else min(epochs * batches, updates)
        if batches and updates is not None:
            epochs = -(-updates // batches)
        return epochs, updates
