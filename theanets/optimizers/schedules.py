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

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from ..errors import ConfigurationError, check_keywords
from ..registry import Registered, Registry
from .hyper import from_halflife, number, whole


class Schedule(Registered, abstract=True):
    """Base class of schedules.

    A subclass is registered under its ``names`` and its lower-case class name;
    ``abstract=True`` registers nothing, ``register='...'`` replaces the class
    name.

    Parameters
    ----------
    unit : {'epoch', 'update'}
        What the schedule's time counts.
    """

    registry: ClassVar[Registry[type[Schedule]]] = Registry("schedule")

    def __init__(self, unit: str = "epoch") -> None:
        if unit not in ("epoch", "update"):
            raise ConfigurationError(
                f"{self.where} got unit={unit!r}; expected 'epoch' or 'update'"
            )
        self.unit = unit

    @property
    def where(self) -> str:
        """The schedule's name for messages."""
        return f"schedule {type(self).__name__}"

    def at(self, time: int) -> float:
        """Get the factor at a time, in the schedule's unit."""
        return 1.0

    def factor(self, update: int, epoch: int) -> float:
        """Get the factor for an update.

        Parameters
        ----------
        update : int
            Number of updates made before this one.
        epoch : int
            Number of epochs completed before it.

        Returns
        -------
        float
        """
        return self.at(epoch if self.unit == "epoch" else update)

    def observe(self, loss: float) -> None:
        """Learn of a validation loss."""

    def state(self) -> dict[str, Any]:
        """Get what changes in the course of training, as something for JSON."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` gave."""

    def reset(self) -> None:
        """Forget what was observed."""


class Constant(Schedule):
    """No change: the factor is 1."""


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
        self.every = whole(self.where, "every", every)
        self.ratio = number(self.where, "factor", factor, "positive")

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
            self.decay = from_halflife(number(self.where, "halflife", halflife, "positive"))
        else:
            self.decay = number(self.where, "decay", decay, "shrinkage")

    def at(self, time: int) -> float:
        return float(self.decay**time)


def _cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


class Cosine(Schedule):
    r"""Half a cosine from 1 to a minimum: :math:`m + (1 - m) (1 + \cos(\pi t / T)) / 2`.

    Parameters
    ----------
    total : int
        The T; after it the factor stays at the minimum.
    minimum : float
        The m, in [0, 1].
    unit : {'epoch', 'update'}
        What the time t counts.

    References
    ----------
    Loshchilov, Hutter, "SGDR: stochastic gradient descent with warm restarts",
    ICLR 2017; one period.
    """

    def __init__(self, total: int, minimum: float = 0.0, unit: str = "epoch") -> None:
        super().__init__(unit)
        self.total = whole(self.where, "total", total)
        self.minimum = number(self.where, "minimum", minimum, "unit")

    def at(self, time: int) -> float:
        return _cosine(1.0, self.minimum, min(time / self.total, 1.0))


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
        self.updates = whole(self.where, "updates", updates)
        self.after = build(after)

    def at(self, time: int) -> float:
        return min(1.0, (time + 1) / self.updates)

    def factor(self, update: int, epoch: int) -> float:
        return super().factor(update, epoch) * self.after.factor(update, epoch)

    def observe(self, loss: float) -> None:
        self.after.observe(loss)

    def state(self) -> dict[str, Any]:
        return self.after.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        self.after.restore(state)

    def reset(self) -> None:
        self.after.reset()


class OneCycle(Schedule, names=("one-cycle", "one_cycle")):
    """Half a cosine from 1 up to a maximum, then one from there down to a minimum.

    Parameters
    ----------
    total : int
        Length of both; after it the factor stays at the minimum.
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
        total: int,
        maximum: float = 10.0,
        warm: float = 0.3,
        minimum: float = 1e-4,
        unit: str = "update",
    ) -> None:
        super().__init__(unit)
        self.total = whole(self.where, "total", total)
        self.maximum = number(self.where, "maximum", maximum, "growth")
        self.warm = number(self.where, "warm", warm, "fraction")
        self.minimum = number(self.where, "minimum", minimum, "nonnegative")

    def at(self, time: int) -> float:
        rise = self.warm * self.total
        if time < rise:
            return _cosine(1.0, self.maximum, time / rise)
        return _cosine(self.maximum, self.minimum, min((time - rise) / (self.total - rise), 1.0))


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
        self.ratio = number(self.where, "factor", factor, "shrinkage")
        self.patience = whole(self.where, "patience", patience, least=0)
        self.minimum = number(self.where, "minimum", minimum, "unit")
        self.min_improvement = number(self.where, "min_improvement", min_improvement, "nonnegative")
        self.reset()

    def at(self, time: int) -> float:
        return self.scale

    def observe(self, loss: float) -> None:
        loss = float(loss)
        if math.isfinite(loss) and (
            self.best is None or self.best - loss > abs(self.best) * self.min_improvement
        ):
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


class Custom(Schedule, abstract=True):
    """A schedule from a function.

    Parameters
    ----------
    function : callable
        ``(update, epoch) -> factor``, with the meaning of `Schedule.factor`.
    """

    def __init__(self, function: Callable[[int, int], float]) -> None:
        super().__init__()
        self.function = function

    def factor(self, update: int, epoch: int) -> float:
        result = self.function(update, epoch)
        return number(f"schedule {self.function!r}", "factor", result, "nonnegative")


def build(spec: Any) -> Schedule:
    """Make a schedule.

    Parameters
    ----------
    spec : None, str, dict, Schedule, subclass of it, or callable
        A registered name; a dict with the name as ``'form'`` and the
        parameters; a callable ``(update, epoch) -> factor``. None is constant.

    Returns
    -------
    Schedule
        A given instance is returned as it is.

    Raises
    ------
    ConfigurationError
        If the name or a parameter is unknown, or a value invalid.
    """
    if spec is None:
        return Constant()
    if isinstance(spec, Schedule):
        return spec
    kwargs: dict[str, Any] = {}
    if isinstance(spec, Mapping):
        kwargs = dict(spec)
        if "form" not in kwargs:
            raise ConfigurationError(
                f"learning_rate_schedule={spec!r} lacks 'form', the schedule's name"
            )
        spec = kwargs.pop("form")
    if isinstance(spec, str):
        cls = Schedule.registry[spec]
    elif isinstance(spec, type) and issubclass(spec, Schedule):
        cls = spec
    elif callable(spec):
        check_keywords(f"schedule {spec!r}", kwargs, ())
        return Custom(spec)
    else:
        raise ConfigurationError(
            f"learning_rate_schedule={spec!r} is not a schedule; "
            "expected a name, a dict, a Schedule, or a callable (update, epoch) -> factor"
        )
    parameters = inspect.signature(cls).parameters.values()
    where = f"schedule {cls.__name__}"
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        valid = [p.name for p in parameters]
        check_keywords(where, [key for key in kwargs if key not in valid], valid)
    for p in parameters:
        required = p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        if required and p.name not in kwargs:
            raise ConfigurationError(f"{where} lacks its parameter {p.name!r}")
    return cls(**kwargs)
