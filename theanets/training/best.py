"""The best parameters so far, and how long ago a validation last improved."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..data.finite import all_finite
from ..monitors import improves
from . import stored
from .criterion import LOSS, Criterion

log = logging.getLogger("theanets")

Monitors = Mapping[str, float]


class Best:
    """Keeps the parameters of the best validation, and counts those that fail to improve.

    Parameters
    ----------
    params : dict of str to ndarray
        The parameters at the start, which count as the best until there was a
        validation.
    criterion : Criterion
        Which monitor says what is best; its direction is known.

    Attributes
    ----------
    figure : float
        The criterion in the best validation, as it is to be small.
    loss : float
        The loss then.
    epoch : int
        When that was.
    values : list of ndarray
        The parameters then.
    train, valid : dict
        The monitors then; before there is a best validation, those of the first.
    goal : float
        The figure that a validation has to improve on, to be a success.
    failures : int
        Validations in a row that did not.
    updates : int
        Updates before the last validation; -1 if there was none.
    """

    def __init__(self, params: Mapping[str, Any], criterion: Criterion = LOSS) -> None:
        self.criterion = criterion
        self.figure = self.loss = self.goal = math.inf
        self.epoch = self.failures = 0
        self.updates = -1
        self.values: list[Any] = list(params.values())
        self.train: dict[str, float] = {}
        self.valid: dict[str, float] = {}
        self._finite = {name: all_finite(value) for name, value in params.items()}

    @property
    def value(self) -> float:
        """The criterion in the best validation."""
        return self.criterion.shown(self.figure)

    def begin(self, train: Monitors) -> None:
        """Take the monitors of the first batch for those of training with the initial parameters.

        Where training data come batch by batch, nothing else is known of these.
        """
        if not self.epoch and not self.train:
            self.train = dict(train)

    def consider(
        self,
        valid: Monitors,
        train: Monitors,
        *,
        epoch: int,
        updates: int,
        values: Callable[[], Sequence[Any]],
        min_improvement: float = 0.0,
        anew: bool = False,
    ) -> bool:
        """Take a validation into account, and keep the parameters if it is the best.

        Parameters
        ----------
        valid, train : dict
            Monitors of the validation, and the last ones of training.
        epoch, updates : int
            How many there were before.
        values : callable
            Gets copies of the parameters' values.
        min_improvement : float
            The part of the goal by which a success improves on it.
        anew : bool
            Whether what was the best before does not count any more.

        Returns
        -------
        bool
            Whether the loss, and the parameters if they are the best, are finite.

        Raises
        ------
        DataError
            If the criterion has no value in the first validation, though the loss has one.
        """
        self.updates = updates
        figure = self.criterion.figure(valid)
        first = anew or not math.isfinite(self.figure)
        if not self.valid:
            self.train, self.valid = dict(train), dict(valid)
        if self.criterion.diverged(valid):
            return False
        if first and not math.isfinite(figure):
            raise self.criterion.undefined(valid)
        if anew or improves(figure, self.figure):
            found = list(values())
            if not self._sound(found):
                return False
            self.figure, self.loss, self.epoch, self.values = figure, valid["loss"], epoch, found
            self.train, self.valid = dict(train), dict(valid)
        if anew or improves(figure, self.goal, min_improvement):
            self.goal, self.failures = figure, 0
        else:
            self.failures += 1
        return True

    def _sound(self, values: Sequence[Any]) -> bool:
        """Tell whether parameters are finite that were so at the start."""
        broken = [
            name
            for (name, finite), value in zip(self._finite.items(), values, strict=True)
            if finite and not all_finite(value)
        ]
        if broken:
            # The loss may not show it: what is divided by an infinite variance is 0.
            log.warning("%s became NaN or infinite", ", ".join(broken))
        return not broken

    def state(self) -> dict[str, Any]:
        """Get what a checkpoint holds of it besides the values, by the names that files have."""
        return {
            "best_loss": self.loss,
            "_best": self.figure,
            "best_epoch": self.epoch,
            "_best_train": self.train,
            "_best_valid": self.valid,
            "_last_success": self.goal,
            "_failures": self.failures,
            "_validated": self.updates,
        }

    def restore(self, state: Mapping[str, Any], values: Sequence[Any]) -> None:
        """Continue from what `state` returned, which was in a file since, and the values then.

        Raises
        ------
        LookupError, ValueError
            If something is missing, or is not of its kind; then nothing is changed.
        """
        figures = [
            stored.number(key, state[key]) for key in ("best_loss", "_best", "_last_success")
        ]
        monitors = [stored.monitors(key, state[key]) for key in ("_best_train", "_best_valid")]
        counts = [stored.count(key, state[key]) for key in ("best_epoch", "_failures")]
        updates = stored.count("_validated", state["_validated"], -1)
        self.loss, self.figure, self.goal = figures
        self.train, self.valid = monitors
        self.epoch, self.failures = counts
        self.updates, self.values = updates, list(values)
