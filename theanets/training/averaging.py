"""Averages of parameters over a run: they are validated, and kept, in place of the parameters."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pytensor
import pytensor.tensor as pt

from .. import process
from ..errors import ConfigurationError
from ..options import Configured, Number, Whole
from ..registry import Registered, Registry
from . import stored

Array = npt.NDArray[Any]


class Average(Configured, Registered, abstract=True):
    """Base class of averages; ``average=`` of ``train`` takes one, its name, or a dict.

    Running means and variances of ``batch_norm`` are averaged as parameters are.
    """

    registry: ClassVar[Registry[type[Average]]] = Registry("average")
    #: Whether it is computed in each update, by the compiled step.
    each_update: ClassVar[bool] = False

    def __init__(self, **options: Any) -> None:
        self.set_options(options, f"average={Average.registry.name_of(type(self))!r}")

    def for_run(self, epochs: int | None) -> Self:
        """Get the average for a run of so many epochs, where that is known."""
        return self

    def described(self) -> dict[str, Any]:
        """Get its name and options."""
        options = {key: getattr(self, key) for key in self.valid_options()}
        return {"form": Average.registry.name_of(type(self)), **options}


class EMA(Average):
    r"""Exponential moving average of the parameters after each update.

    It begins with the parameters at the start:

    .. math:: \bar\theta \leftarrow m \bar\theta + (1 - m) \theta

    Parameters
    ----------
    momentum : float
        The m, in [0, 1); 0.99 by default. What the average remembers are about
        the last :math:`1 / (1 - m)` updates.

    References
    ----------
    Polyak & Juditsky 1992, "Acceleration of stochastic approximation by averaging".
    """

    each_update = True
    options: ClassVar[dict[str, Any]] = {"momentum": Number(0.99, "fraction")}
    momentum: float


class SWA(Average):
    """Stochastic weight averaging: the mean of the parameters after each epoch from one on.

    Parameters
    ----------
    start : int, optional
        The first epoch whose parameters count, from 1; by default the last quarter of the
        epochs that ``epochs``, or ``max_updates``, of ``train`` leave room for.

    References
    ----------
    Izmailov et al. 2018, "Averaging weights leads to wider optima and better generalization".
    """

    options: ClassVar[dict[str, Any]] = {"start": Whole(None)}
    start: int | None

    def for_run(self, epochs: int | None) -> Self:
        if self.start is not None:
            return self
        if epochs is None:
            raise ConfigurationError(
                "average='swa' begins in the last quarter of a run, but this one has no limit of "
                "epochs: give epochs=<number>, or average={'form': 'swa', 'start': <epoch>}"
            )
        found = copy.copy(self)
        found.start = 3 * epochs // 4 + 1
        return found


def build(spec: Any) -> Average | None:
    """Make an average of None, an instance, a class, a name, or a dict with the name as ``form``.

    Raises
    ------
    ConfigurationError
        If the name or an option is unknown, or a value has no meaning.
    """
    if spec is None or isinstance(spec, Average):
        return spec
    options: dict[str, Any] = {}
    if isinstance(spec, Mapping) and "form" in spec:
        options = {key: value for key, value in spec.items() if key != "form"}
        spec = spec["form"]
    if isinstance(spec, str):
        return Average.registry[spec](**options)
    if isinstance(spec, type) and issubclass(spec, Average):
        return spec(**options)
    raise ConfigurationError(
        f"average={spec!r} is none of {', '.join(map(repr, Average.registry.names()))}, nor a "
        "dict with one of these as 'form'"
    )


class Moving:
    """Averages that a compiled step updates, and what they keep in an update."""

    def __init__(self, updates: dict[Any, Any], variables: Sequence[Any], dtype: str) -> None:
        self.momentum = pytensor.shared(np.asarray(0, dtype), name="average/momentum")
        self.variables: list[Any] = []
        one = pt.constant(np.asarray(1, dtype))
        for variable in variables:
            zeros = np.zeros_like(variable.get_value(borrow=True))
            shape = variable.type.shape
            mean = pytensor.shared(zeros, name=f"average/{variable.name}", shape=shape)
            new = mean + (one - self.momentum) * (updates.get(variable, variable) - mean)
            updates[mean] = pt.cast(new, mean.dtype)
            self.variables.append(mean)

    def moved(self, to: Callable[[Any], Any]) -> Moving:
        """Get the same on other variables: those of another network."""
        found = copy.copy(self)
        found.momentum, found.variables = to(self.momentum), list(map(to, self.variables))
        return found

    def start(self, momentum: float, values: Sequence[Array]) -> None:
        """Begin with some values."""
        self.momentum.set_value(np.asarray(momentum, self.momentum.dtype))
        self.put(values)

    def put(self, values: Sequence[Array]) -> None:
        """Set the averages."""
        for variable, value in zip(self.variables, values, strict=True):
            variable.set_value(value)

    def get(self) -> list[Array]:
        """Get the averages."""
        return [np.array(variable.get_value()) for variable in self.variables]


class Averages:
    """The averages of a run, if there are to be any.

    Parameters
    ----------
    kind : Average or None
        What they are.
    params : sequence of shared variables
        What is averaged: parameters and state.
    moving : Moving, optional
        Where the compiled step keeps them.

    Attributes
    ----------
    count : int
        How many epochs are averaged, where epochs are.
    began : int
        Updates that there were before the first average.
    """

    def __init__(
        self, kind: Average | None, params: Sequence[Any], moving: Moving | None = None
    ) -> None:
        self.kind, self.params = kind, list(params)
        self.count = self.began = 0
        self._moving = moving
        self._means: list[Array] = []

    @classmethod
    def of(cls, kind: Average | None, params: Sequence[Any], step: Any, epochs: int | None) -> Self:
        """Get those of a run of so many epochs, with some step, if it has one.

        Raises
        ------
        ConfigurationError
            If the average needs what the run has not.
        """
        if kind is None:
            return cls(None, params)
        if kind.each_update and step is None:
            raise ConfigurationError(
                "average='ema' is of single updates, which this algorithm has not; average='swa' "
                "is of its iterations"
            )
        return cls(kind.for_run(epochs), params, getattr(step, "moving", None))

    def start(self) -> None:
        """Begin with the parameters as they are."""
        if self.kind is not None:
            self._means = self._values()
        if self._moving is not None:
            self._moving.start(getattr(self.kind, "momentum", 0.0), self._means)

    @property
    def active(self) -> bool:
        """Whether there is an average now."""
        return self._moving is not None or self.count > 0

    @property
    def waits(self) -> bool:
        """Whether there is none yet."""
        return self.kind is not None and not self.active

    def epoch(self, epoch: int, updates: int) -> None:
        """Take an epoch into account that has ended."""
        start = getattr(self.kind, "start", None)
        if start is None or epoch < start:
            return
        self.began = self.began if self.count else updates
        self.count += 1
        # What became infinite is found by the next validation.
        with np.errstate(invalid="ignore", over="ignore"):
            for mean, value in zip(self._means, self._values(), strict=True):
                mean += (value - mean) / self.count

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Put the averages, if there are any, in the place of the parameters for a while."""
        if not self.active:
            yield
            return
        own = self._values()
        self._set(self.values())
        try:
            yield
        finally:
            self._set(own)

    def values(self) -> list[Array]:
        """Get the averages."""
        return self._means if self._moving is None else self._moving.get()

    def arrays(self) -> dict[str, Array]:
        """Get what a checkpoint holds of them, by name."""
        if not self.active:
            return {}
        return {
            f"average/{param.name}": value
            for param, value in zip(self.params, self.values(), strict=True)
        }

    def state(self) -> dict[str, int] | None:
        """Get what else a checkpoint holds of them."""
        return None if self.kind is None else {"count": self.count, "began": self.began}

    def restore(self, state: Any, values: Sequence[Array]) -> None:
        """Continue from what was in a file, which has no values where there were no averages."""
        if self.kind is None:
            return
        self.count, self.began = (stored.count(key, state[key]) for key in ("count", "began"))
        if values and self._moving is not None:
            self._moving.put(values)
        elif values:
            self._means = list(values)

    def _values(self) -> list[Array]:
        with process.hold(self.params):
            return [np.array(param.get_value()) for param in self.params]

    def _set(self, values: Sequence[Array]) -> None:
        with process.hold(self.params):
            for param, value in zip(self.params, values, strict=True):
                param.set_value(value)
