"""Learning-rate schedules: factors that multiply an optimizer's learning rate.

A schedule of one's own is a callable ``(update, epoch) -> factor``, or a subclass
with a name::

    class Linear(Schedule):
        def __init__(self, total, unit='epoch'):
            super().__init__(unit)
            self.total = total

        def at(self, time):
            return max(0.0, 1 - time / self.total)

    optimizers.build('adam', learning_rate_schedule=dict(form='linear', total=50))
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any, Self

from ..errors import ConfigurationError
from ..monitors import improves
from ..options import number, whole_number
from .hyper import from_halflife
from .schedule import Constant, Custom, Schedule, build

__all__ = [
    "Constant",
    "Cosine",
    "Custom",
    "Exponential",
    "OneCycle",
    "Plateau",
    "Schedule",
    "Staircase",
    "Timed",
    "Warmup",
    "build",
]


class Staircase(Schedule, names=("step",)):
    r"""Steps down: :math:`f^{\lfloor t / n \rfloor}`.

    Parameters
    ----------
    every : int
        The n: time between steps.
    factor : float
        The f, greater than 0.
    unit : {'epoch', 'update'}
        What the time t counts.
    """

    def __init__(self, every: int, factor: float = 0.1, unit: str = "epoch") -> None:
        super().__init__(unit)
        self.every = whole_number("every", every, where=self.where)
        self.ratio = number("factor", factor, "positive", self.where)

    def at(self, time: int) -> float:
        return self.ratio ** (time // self.every)


class Exponential(Schedule):
    r"""Exponential decay: :math:`\gamma^t`.

    Parameters
    ----------
    decay : float
        The :math:`\gamma`, in (0, 1]; or
    halflife : float
        the time after which the factor has halved.
    unit : {'epoch', 'update'}
        What the time t counts.
    """

    def __init__(
        self, decay: float | None = None, halflife: float | None = None, unit: str = "epoch"
    ) -> None:
        super().__init__(unit)
        if (decay is None) == (halflife is None):
            raise ConfigurationError(
                f"{self.where} got decay={decay!r} and halflife={halflife!r}; "
                "expected exactly one of them"
            )
        if halflife is not None:
            self.decay = from_halflife(number("halflife", halflife, "positive", self.where))
        else:
            self.decay = number("decay", decay, "shrinkage", self.where)

    def at(self, time: int) -> float:
        return float(self.decay**time)


def _cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


class Timed(Schedule, abstract=True):
    """Base class of schedules that have an end.

    Parameters
    ----------
    total : int, optional
        When that is; by default the limit of the run, from ``epochs`` or
        ``max_updates`` of ``train``.
    unit : {'epoch', 'update'}
        What the time counts.
    """

    def __init__(self, total: int | None, unit: str) -> None:
        super().__init__(unit)
        self.total = None if total is None else whole_number("total", total, where=self.where)

    @property
    def end(self) -> int:
        """The total.

        Raises
        ------
        ConfigurationError
            If it is not known.
        """
        if self.total is None:
            form = type(self).__name__.lower()
            limits = "epochs=<number>"
            if self.unit == "update":  # of data whose epochs may have any length
                limits = "max_updates=<number>, or epochs= and train_batches=,"
            raise ConfigurationError(
                f"{self.where} got total=None, and the run has no limit to take it from; give "
                f"{limits} to train, or "
                f"learning_rate_schedule={{'form': {form!r}, 'total': <number>}}"
            )
        return self.total

    def for_run(self, epochs: int | None, updates: int | None) -> Self:
        if self.total is not None:
            return self
        found = copy.copy(self)
        # A run without an epoch has no use for it.
        limit = epochs if self.unit == "epoch" else updates
        found.total = None if limit is None else max(1, limit)
        found.at(0)  # Now, if it is not known, and not at the first update.
        return found


class Cosine(Timed):
    r"""Half a cosine from 1 to a minimum: :math:`m + (1 - m) (1 + \cos(\pi t / T)) / 2`.

    Parameters
    ----------
    total : int, optional
        The T; after it the factor stays at the minimum. By default the length
        of the run.
    minimum : float
        The m, in [0, 1].
    unit : {'epoch', 'update'}
        What the time t counts.

    References
    ----------
    Loshchilov, Hutter, "SGDR: stochastic gradient descent with warm restarts",
    ICLR 2017; one period.
    """

    def __init__(self, total: int | None = None, minimum: float = 0.0, unit: str = "epoch") -> None:
        super().__init__(total, unit)
        self.minimum = number("minimum", minimum, "unit", self.where)

    def at(self, time: int) -> float:
        return _cosine(1.0, self.minimum, min(time / self.end, 1.0))


class Warmup(Schedule):
    r"""A linear start, :math:`\min(1, (t + 1) / n)`, times another schedule.

    Parameters
    ----------
    updates : int
        The n: the first time at which the factor is 1 is n - 1.
    after : str, dict, Schedule or callable, optional
        The other schedule; its own time starts with the training too.
    unit : {'epoch', 'update'}
        What the time t counts; updates by default.
    """

    def __init__(self, updates: int, after: Any = None, unit: str = "update") -> None:
        super().__init__(unit)
        self.updates = whole_number("updates", updates, where=self.where)
        self.after = build(after)

    def at(self, time: int) -> float:
        return min(1.0, (time + 1) / self.updates)

    def factor(self, update: int, epoch: int) -> float:
        return super().factor(update, epoch) * self.after.factor(update, epoch)

    def for_run(self, epochs: int | None, updates: int | None) -> Self:
        found = copy.copy(self)
        found.after = self.after.for_run(epochs, updates)
        return found

    def observe(self, loss: float) -> None:
        self.after.observe(loss)

    def state(self) -> dict[str, Any]:
        return self.after.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        self.after.restore(state)

    def reset(self) -> None:
        self.after.reset()


class OneCycle(Timed, names=("one-cycle", "one_cycle")):
    """Half a cosine from 1 up to a maximum, then one from there down to a minimum.

    Parameters
    ----------
    total : int, optional
        Length of both; after it the factor stays at the minimum. By default
        the length of the run.
    maximum : float
        Factor at the top.
    warm : float
        Fraction of the total that the rise takes, in [0, 1).
    minimum : float
        Factor at the end.
    unit : {'epoch', 'update'}
        What the time counts; updates by default.

    References
    ----------
    Smith, Topin, "Super-convergence: very fast training of neural networks
    using large learning rates", 2018.
    """

    def __init__(
        self,
        total: int | None = None,
        maximum: float = 10.0,
        warm: float = 0.3,
        minimum: float = 1e-4,
        unit: str = "update",
    ) -> None:
        super().__init__(total, unit)
        self.maximum = number("maximum", maximum, "growth", self.where)
        self.warm = number("warm", warm, "fraction", self.where)
        self.minimum = number("minimum", minimum, "nonnegative", self.where)

    def at(self, time: int) -> float:
        rise = self.warm * self.end
        if time < rise:
            return _cosine(1.0, self.maximum, time / rise)
        return _cosine(self.maximum, self.minimum, min((time - rise) / (self.end - rise), 1.0))


class Plateau(Schedule):
    """Reduces the factor when the validation loss stops improving.

    Parameters
    ----------
    factor : float
        What each reduction multiplies by, in (0, 1].
    patience : int
        Number of validations in a row without improvement that are tolerated:
        the next one reduces, and the count starts again.
    minimum : float
        The factor does not fall below this.
    min_improvement : float
        A loss is an improvement if it is less than the best so far by more
        than this fraction of the best's absolute value.
    """

    scale: float
    failures: int
    best: float | None

    def __init__(
        self,
        factor: float = 0.1,
        patience: int = 2,
        minimum: float = 0.0,
        min_improvement: float = 0.0,
    ) -> None:
        super().__init__()
        self.ratio = number("factor", factor, "shrinkage", self.where)
        self.patience = whole_number("patience", patience, 0, self.where)
        self.minimum = number("minimum", minimum, "unit", self.where)
        self.min_improvement = number("min_improvement", min_improvement, "nonnegative", self.where)
        self.reset()

    def at(self, time: int) -> float:
        return self.scale

    def observe(self, loss: float) -> None:
        loss = float(loss)
        best = math.inf if self.best is None else self.best
        if improves(loss, best, self.min_improvement):
            self.best, self.failures = loss, 0
            return
        self.failures += 1
        if self.failures > self.patience:
            self.scale, self.failures = max(self.scale * self.ratio, self.minimum), 0

    def state(self) -> dict[str, Any]:
        return {"scale": self.scale, "failures": self.failures, "best": self.best}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.scale = float(state["scale"])
        self.failures = int(state["failures"])
        self.best = None if state["best"] is None else float(state["best"])

    def reset(self) -> None:
        self.scale = 1.0
        self.failures = 0
        self.best = None
