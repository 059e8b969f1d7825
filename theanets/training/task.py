"""What a run is about: a network and what is added to its losses, its data, its seeds."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from .. import backends
from .. import names as _names
from .. import rng as _rng
from ..data import Dataset
from ..losses import Loss
from ..metrics import Metric
from ..regularizers import Regularizer, from_kwargs
from ..structure import Structure, overrides
from . import averaging, resume
from .averaging import Average

if TYPE_CHECKING:
    from .options import LoopOptions, TrainOptions


class Datasets(NamedTuple):
    """The data of a run.

    Attributes
    ----------
    train : Dataset
        What is trained on.
    valid : Dataset or None
        What is validated on; None where only the monitors of training are known.
    whole : Dataset or None
        All training data in order; None if they come batch by batch.
    """

    train: Dataset
    valid: Dataset | None
    whole: Dataset | None


class Seeds(NamedTuple):
    """The seeds of a run.

    Attributes
    ----------
    chosen : int
        What governs the run: its own seed, or that of the network.
    run : int
        Its child for this run, of which all random streams are.
    adopted : int or None
        The seed of a checkpoint, which is to be the network's.
    """

    chosen: int
    run: int
    adopted: int | None

    @classmethod
    def of(cls, network: Structure, run_number: int, loop: LoopOptions) -> Self:
        """Find the seeds of a network's run, before which there were so many."""
        if loop.rng is not None:
            # A seed for this run governs it whatever was before.
            chosen, number, adopted = _rng.as_seed(loop.rng), 0, None
        else:
            # A script that is started again makes a network with another fresh seed.
            adopted = None if network._seed_chosen else resume.seed_of(loop.checkpoint)
            chosen, number = network.seed if adopted is None else adopted, run_number
        return cls(chosen, int(_rng.generator(chosen, "run", number).integers(2**62)), adopted)


@dataclass(frozen=True)
class Task:
    """A network, with all that decides what has to be compiled to train or evaluate it.

    Attributes
    ----------
    net : Structure
        The network.
    losses : list of Loss
        Its losses, each with its target.
    regularizers : list of Regularizer
        Penalties, constraints and noise.
    scale : float
        What multiplies the penalties.
    mode : str, Mode or None
        How to compile.
    monitors, metrics : Any
        What else is measured.
    frozen : list of shared variables
        What stays as it is.
    average : Average or None
        What is validated and kept in the place of parameters.
    """

    net: Structure
    losses: Sequence[Loss]
    regularizers: Sequence[Regularizer]
    scale: float
    mode: Any
    monitors: Any = ()
    metrics: Any = None
    frozen: Sequence[Any] = ()
    average: Average | None = None

    @classmethod
    def of(cls, net: Structure, options: TrainOptions) -> Self:
        """Find what the options of ``train`` mean for a network."""
        loop = options.loop
        regularizers, scale = from_kwargs(net.layers, **options.regularizers)
        return cls(
            net,
            net.bound_losses(),
            regularizers,
            scale,
            options.mode,
            loop.monitors or (),
            loop.metrics,
            frozen(net, loop.freeze),
            averaging.build(loop.average),
        )

    @property
    def moving(self) -> bool:
        """Whether each update is to update averages."""
        return self.average is not None and self.average.each_update

    @property
    def penalties(self) -> list[Regularizer]:
        """Those regularizers that add to the loss."""
        return [r for r in self.regularizers if type(r).loss is not Regularizer.loss]

    @property
    def unchanged(self) -> tuple[str, ...]:
        """Names of what is frozen."""
        return tuple(str(variable.name) for variable in self.frozen)

    def cached(
        self, kind: Hashable, regularizers: Sequence[Regularizer], make: Callable[[], Any]
    ) -> Any:
        """Get what was compiled for the same task before, or compile it."""
        key = (
            kind,
            tuple(r.cache_key() for r in regularizers),
            cache_key(self.monitors),
            cache_key(self.metrics),
            backends.mode_key(self.mode),
        )
        return self.net.cached(key, make)

    def revise(self, regularizers: Sequence[Regularizer], training: bool, watched: Any = ()) -> Any:
        """Get what a subclass of the network's changes in the objective."""
        return overrides.reviser(self.net, regularizers, self.scale, training, watched)


def frozen(net: Structure, patterns: Any) -> list[Any]:
    """Get the parameters, and the state beside them, that are to stay as they are."""
    if patterns is None or (isinstance(patterns, (list, tuple)) and not patterns):
        return []
    every = {str(variable.name): variable for variable in [*net.params, *net.state]}
    found = _names.match_some("parameter", _names.param_patterns(patterns), every)
    return [every[name] for name in found]


def cache_key(measured: Any) -> Hashable:
    """Get what tells monitors or metrics from others; metrics of one kind are alike."""
    if isinstance(measured, Mapping):
        return tuple((k, cache_key(v)) for k, v in measured.items())
    if isinstance(measured, np.ndarray):
        measured = measured.tolist()
    if isinstance(measured, (list, tuple, set)):
        return tuple(cache_key(v) for v in measured)
    found: Hashable = measured
    return cache_key(measured.cache_key()) if isinstance(measured, Metric) else found
