"""Optimizers: from named hyper-parameters to a chain of transforms to symbolic updates."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from ..errors import ConfigurationError, check_keywords, formerly
from ..expressions import Expression, Shared
from ..ops.kernels.settled import settle
from ..options import flag
from ..registry import Registered, Registry
from . import hyper, schedules, transforms
from .hyper import Hyper

CLIPPING = (
    Hyper("max_gradient_elem", 0.0, "limit", deprecated=("gradient_clip", "max_gradient_clip")),
    Hyper("max_gradient_norm", 0.0, "limit"),
    Hyper("max_global_norm", 0.0, "limit"),
)


class Optimizer(Registered, abstract=True):
    """Base class of everything that `build` makes.

    A subclass is registered under its ``names`` and its lower-case class name;
    ``abstract=True`` registers nothing, ``register='...'`` replaces the class
    name.

    Attributes
    ----------
    first_order : bool
        Whether the optimizer gives symbolic updates (`FirstOrder`).
    hypers : tuple of Hyper
        The numeric hyper-parameters.
    flags : dict of str to bool
        Keywords that are True or False, with their defaults. They are part of
        the structure.
    values : dict of str to float
        Values of the hyper-parameters, by the names of ``hypers``.
    """

    registry: ClassVar[Registry[type[Optimizer]]] = Registry("optimizer")
    first_order: ClassVar[bool]
    hypers: ClassVar[tuple[Hyper, ...]] = ()
    flags: ClassVar[dict[str, bool]] = {}

    def __init__(self, **kwargs: Any) -> None:
        where = self.name()
        wrong = [key for key in kwargs if key not in self.keywords()]
        check_keywords(where, wrong, self.keywords())
        given = {key: value for key, value in kwargs.items() if value is not None}
        self.values = hyper.values(where, self.all_hypers(), given)
        self.options = {
            key: flag(key, given.get(key, default), where)
            for key, default in self.all_flags().items()
        }

    @classmethod
    def name(cls) -> str:
        """Get the name for messages."""
        return cls.__name__

    @classmethod
    def all_hypers(cls) -> tuple[Hyper, ...]:
        """Get the hyper-parameters, those of the base classes included."""
        return cls.hypers

    @classmethod
    def all_flags(cls) -> dict[str, bool]:
        """Get the flags, those of the base classes included."""
        return cls.flags

    @classmethod
    def keywords(cls) -> set[str]:
        """Get all keywords that are accepted, deprecated ones included."""
        return {key for item in cls.all_hypers() for key in item.keywords} | set(cls.all_flags())

    def cache_key(self) -> Hashable:
        """Equal for two optimizers that differ only in the values of hyper-parameters."""
        return (type(self), tuple(self.options.items()))

    structure = property(formerly("structure", "cache_key"))

    def for_run(self, epochs: int | None, updates: int | None) -> Self:
        """Get the optimizer for a run of so many epochs and updates, where these are known."""
        return self

    def __repr__(self) -> str:
        given = ", ".join(f"{key}={value!r}" for key, value in (self.values | self.options).items())
        return f"{type(self).__name__}({given})"


@dataclass
class Updates:
    """The symbolic updates of one optimizer for some parameters.

    Attributes
    ----------
    updates : dict of shared variable to expression
        New values of parameters, state and generators.
    state : dict of str to shared variable
        All numbers that the optimizer keeps: ``'hid1.w/m'``, ``'t'``, ...
    generators : dict of str to shared variable
        Random generators; with ``state`` and ``hyper``, all that is needed to
        continue bit for bit.
    hyper : dict of str to shared variable
        The hyper-parameters, as 0-d shared variables.
    cache_key : hashable
        That of the optimizer that made it.
    """

    updates: dict[Any, Any]
    state: dict[str, Any]
    generators: dict[str, Any]
    hyper: dict[str, Any]
    cache_key: Hashable
    _fill: dict[str, float] = field(repr=False)
    _start: dict[str, np.random.Generator] = field(repr=False)

    def moved(self, to: Callable[[Shared], Shared]) -> Updates:
        """Get the same on other variables, once the updates are compiled: without these."""

        def every(variables: Mapping[str, Any]) -> dict[str, Any]:
            return {name: to(variable) for name, variable in variables.items()}

        return replace(
            self,
            updates={},
            state=every(self.state),
            generators=every(self.generators),
            hyper=every(self.hyper),
        )

    def reset(self) -> None:
        """Put state and generators back to their initial values."""
        for name, variable in self.state.items():
            shape = variable.get_value(borrow=True).shape
            variable.set_value(np.full(shape, self._fill[name], variable.dtype), borrow=True)
        for name, generator in self._start.items():
            self.generators[name].set_value(copy.deepcopy(generator))

    def set_rate(self, value: float) -> None:
        """Set the learning rate for the updates that follow."""
        rate = self.hyper["learning_rate"]
        # Schedules come here before each update, and set_value checks what is known to be right.
        rate.container.storage[0] = np.asarray(value, rate.dtype)


class FirstOrder(Optimizer, abstract=True):
    r"""Base class of optimizers that only need gradients.

    Parameters
    ----------
    learning_rate : float or None
        Step size; None is the algorithm's own default.
    learning_rate_schedule : str, dict, Schedule or callable
        How the learning rate changes; see `theanets.optimizers.schedules`.
    momentum : float
        :math:`\mu` in [0, 1); see `transforms.AddMomentum`.
    nesterov : bool
        Whether momentum looks ahead; without momentum it has no effect.
    max_gradient_elem : float
        Clip each element of a gradient; 0 or None is off, here and below.
    max_gradient_norm : float
        Rescale the gradient of each parameter to at most this L2 norm.
    max_global_norm : float
        Rescale all gradients together to at most this L2 norm. The forms of
        clipping may be combined; they apply in this order.
    decoupled_weight_decay : float
        See `transforms.DecayWeights`; 0 is off.

    Attributes
    ----------
    default_rate, default_momentum, default_nesterov, default_decay
        Defaults of an algorithm.
    schedule : Schedule
        Gives the factors for ``values['learning_rate']``.
    """

    first_order = True
    default_rate: ClassVar[float] = 0.01
    default_momentum: ClassVar[float] = 0.0
    default_nesterov: ClassVar[bool] = False
    default_decay: ClassVar[float] = 0.0

    def __init__(self, *, learning_rate_schedule: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.schedule = schedules.build(learning_rate_schedule)

    @classmethod
    def all_hypers(cls) -> tuple[Hyper, ...]:
        return (
            Hyper("learning_rate", cls.default_rate),
            Hyper("momentum", cls.default_momentum, "fraction"),
            *CLIPPING,
            Hyper("decoupled_weight_decay", cls.default_decay, "nonnegative"),
            *cls.hypers,
        )

    @classmethod
    def all_flags(cls) -> dict[str, bool]:
        return {"nesterov": cls.default_nesterov, **cls.flags}

    @classmethod
    def keywords(cls) -> set[str]:
        return super().keywords() | {"learning_rate_schedule"}

    def for_run(self, epochs: int | None, updates: int | None) -> Self:
        found = copy.copy(self)
        found.schedule = self.schedule.for_run(epochs, updates)
        return found

    def scale(self) -> list[transforms.Transform]:
        """Get the transforms from (clipped) gradients to directions; none is plain descent."""
        return []

    def chain(self) -> list[transforms.Transform]:
        """Get all transforms, in the order of their application."""
        steps: list[transforms.Transform] = []
        if self.values["max_gradient_elem"] > 0:
            steps.append(transforms.ClipElements())
        if self.values["max_gradient_norm"] > 0:
            steps.append(transforms.ClipNorms())
        if self.values["max_global_norm"] > 0:
            steps.append(transforms.ClipGlobalNorm())
        steps.extend(self.scale())
        steps.append(transforms.ScaleByRate())
        if self.values["momentum"] > 0:
            steps.append(transforms.AddMomentum(self.options["nesterov"]))
        if self.values["decoupled_weight_decay"] > 0:
            steps.append(transforms.DecayWeights())
        return steps

    def cache_key(self) -> Hashable:
        return tuple(self.chain())

    def apply(
        self,
        params: Sequence[Shared],
        gradients: Sequence[Expression],
        loss: Expression | None = None,
        dtype: str = "float32",
        rng: np.random.Generator | None = None,
        names: Sequence[str] | None = None,
    ) -> Updates:
        """Build the updates.

        Parameters
        ----------
        params : sequence of shared variable
            What to change; floating point.
        gradients : sequence of expression
            Gradient of the loss for each parameter.
        loss : expression, optional
            The loss, for transforms that need more than its gradients.
        dtype : str
            Of the hyper-parameters: that of the network.
        rng : numpy.random.Generator, optional
            Source of randomness for algorithms that need it; None draws a
            fresh seed. The generator itself is not advanced.
        names : sequence of str, optional
            What the parameters are called in `Updates.state`, which has to be
            distinct; by default their names.

        Returns
        -------
        Updates
        """
        params, gradients = list(params), list(gradients)
        names = [p.name for p in params] if names is None else list(names)
        _check_params(params, gradients, names)
        gradients = [transforms.fit(g, p) for g, p in zip(gradients, params, strict=True)]
        settle(gradients)
        called = dict(zip(params, names, strict=True))
        state = transforms.State(gradients, loss, self._cast(dtype), dtype, rng, called)
        steps = gradients
        for transform in self.chain():
            steps = transform(steps, params, state)
        moved = [(p, transforms.fit(p - step, p)) for p, step in zip(params, steps, strict=True)]
        return Updates(
            updates={**dict(moved), **state.updates},
            state=state.variables,
            generators=state.generators,
            hyper=state.hypers,
            cache_key=self.cache_key(),
            _fill=state.initial,
            _start={name: var.get_value() for name, var in state.generators.items()},
        )

    def assign(self, updates: Updates) -> None:
        """Write this optimizer's hyper-parameters into updates of the same chain of transforms."""
        if updates.cache_key != self.cache_key():
            raise ConfigurationError(
                f"{self!r} is the chain {self.cache_key()}, "
                f"but the updates were made by {updates.cache_key}"
            )
        for name, variable in updates.hyper.items():
            variable.set_value(self._cast(variable.dtype)[name], borrow=True)

    def _cast(self, dtype: str) -> dict[str, np.ndarray]:
        return {h.name: h.cast(self.values[h.name], dtype) for h in self.all_hypers()}


def _check_params(params: list[Any], gradients: list[Any], names: Sequence[Any]) -> None:
    if not params:
        raise ConfigurationError("params=[] holds no parameter to optimize")
    if len(params) != len(gradients):
        raise ConfigurationError(
            f"got {len(params)} params but {len(gradients)} gradients; expected one for each"
        )
    seen: set[str] = set()
    for param, name in zip(params, names, strict=True):
        if not name or name in seen:
            raise ConfigurationError(
                f"parameter name {name!r} is empty or occurs twice; expected distinct names"
            )
        seen.add(name)
        if not np.issubdtype(np.dtype(param.dtype), np.floating):
            raise ConfigurationError(
                f"parameter {name!r} has dtype {param.dtype}; expected floating point"
            )


def build(algo: str | type[Optimizer] | Optimizer, /, **kwargs: Any) -> Optimizer:
    """Make an optimizer.

    Parameters
    ----------
    algo : str, Optimizer or subclass of it
        A registered name (case-insensitive), a class, or an optimizer, which
        is returned as it is.
    **kwargs
        Hyper-parameters; None is the same as not given.

    Returns
    -------
    Optimizer

    Raises
    ------
    UnknownNameError
        If the name is not registered.
    ConfigurationError
        If a keyword is unknown, or a value invalid.
    """
    if isinstance(algo, Optimizer):
        check_keywords(f"{type(algo).__name__}, which is built already,", kwargs, ())
        return algo
    return _class(algo)(**kwargs)


def keywords(algo: str | type[Optimizer] | Optimizer) -> set[str]:
    """Get the keywords that an optimizer accepts."""
    return (algo if isinstance(algo, Optimizer) else _class(algo)).keywords()


def names() -> list[str]:
    """Get all registered names, aliases included."""
    return Optimizer.registry.names()


def _class(algo: str | type[Optimizer]) -> type[Optimizer]:
    if isinstance(algo, type) and issubclass(algo, Optimizer):
        return algo
    return Optimizer.registry[algo]
