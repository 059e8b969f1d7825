"""Schedules: what one is, and how it is made from a name, a dict or a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

from ..errors import ConfigurationError, check_arguments, check_keywords
from ..expressions import check_takes
from ..options import Choice, number
from ..registry import Registered, Registry, signature_of


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
        self.unit: str = Choice("epoch", ("epoch", "update")).check("unit", unit, self.where)

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

    def for_run(self, epochs: int | None, updates: int | None) -> Self:
        """Get the schedule for a run of so many epochs and updates, where these are known."""
        return self

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


class Custom(Schedule, abstract=True):
    """A schedule from a function.

    Parameters
    ----------
    function : callable
        ``(update, epoch) -> factor``, with the meaning of `Schedule.factor`.
    """

    def __init__(self, function: Callable[[int, int], float]) -> None:
        super().__init__()
        check_takes(f"schedule {function!r}", function, ["update", "epoch"])
        self.function = function

    def factor(self, update: int, epoch: int) -> float:
        result = self.function(update, epoch)
        return number("factor", result, "nonnegative", f"schedule {self.function!r}")


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
    elif callable(spec) and not isinstance(spec, type):
        check_keywords(f"schedule {spec!r}", kwargs, ())
        return Custom(spec)
    else:
        raise ConfigurationError(
            f"learning_rate_schedule={spec!r} is not a schedule; "
            "expected a name, a dict, a Schedule, or a callable (update, epoch) -> factor"
        )
    check_arguments(f"schedule {cls.__name__}", signature_of(cls.__init__), (), kwargs)
    return cls(**kwargs)
