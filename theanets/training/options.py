"""The arguments of ``train``, taken apart once."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from pytensor.compile.mode import Mode

from .. import backends, optimizers
from ..errors import ConfigurationError, check_keywords
from ..layers import Layer
from ..losses import Loss
from ..options import whole_number
from ..regularizers.keywords import keywords as regularizer_keywords
from .keywords import TrainKeywords
from .limits import Limits

#: The other arguments of ``train``.
ARGUMENTS = ("train", "valid", "algo")


@dataclass(frozen=True)
class DataOptions:
    """How data become batches; see `theanets.Network.train`.

    Attributes
    ----------
    batch_size : int, optional
        Examples in a batch; by default what suits the algorithm.
    train_batches, valid_batches : int, optional
        Batches in an epoch, and in a validation; by default all.
    iteration_size : int, optional
        What the original calls ``train_batches``.
    validation_split : float, optional
        The part of the examples that is held back.
    axis : int
        The axis of the examples.
    buckets : bool
        Whether batches are of series of similar length.
    prefetch : int
        How many batches a thread prepares ahead.
    """

    batch_size: int | None = None
    train_batches: int | None = None
    valid_batches: int | None = None
    iteration_size: int | None = None
    validation_split: float | None = None
    axis: int = 0
    buckets: bool = True
    prefetch: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.buckets, (bool, np.bool_)):
            raise ConfigurationError(f"buckets={self.buckets!r} is not True or False")
        for key in ("train_batches", "iteration_size", "valid_batches"):
            if getattr(self, key) is not None:
                whole_number(key, getattr(self, key))

    @property
    def batches(self) -> int | None:
        """Batches in an epoch, by whichever name."""
        return self.iteration_size if self.train_batches is None else self.train_batches


@dataclass(frozen=True)
class LoopOptions:
    """What happens while a network trains; see `theanets.Network.train` for each."""

    callbacks: Any = None
    criterion: Any = None
    progress: Any = "auto"
    checkpoint: Any = None
    checkpoint_every: int | None = None
    save_progress: Any = None
    save_every: float = 0
    metrics: Any = None
    monitors: Any = ()
    monitor_gradients: Any = False
    freeze: Any = None
    rng: Any = None
    average: Any = None

    def __post_init__(self) -> None:
        if self.checkpoint is not None and not isinstance(self.checkpoint, (str, os.PathLike)):
            raise ConfigurationError(f"checkpoint={self.checkpoint!r} is not a path")


def names(options: type[Any]) -> tuple[str, ...]:
    """Get the keywords that some options are made of."""
    return tuple(field.name for field in fields(options))


LIMITS, DATA, LOOP = names(Limits), names(DataOptions), names(LoopOptions)


def keywords(algo: Any) -> list[str]:
    """Get all keywords that ``train`` accepts with an algorithm."""
    return [
        *LIMITS,
        *DATA,
        *LOOP,
        "mode",
        "device",
        *optimizers.keywords(algo),
        *regularizer_keywords(),
    ]


def check(given: Collection[str], valid: Collection[str]) -> None:
    """Refuse keywords of ``train`` that nobody consumes.

    Parameters
    ----------
    given : list of str
        The keywords.
    valid : list of str
        Those that are accepted.

    Raises
    ------
    ConfigurationError
        If there is another; says so if it is one of layers or of losses.
    """
    wrong = [name for name in given if name not in valid]
    check_keywords("train", wrong, [*valid, *ARGUMENTS], _owner)


def _owner(keyword: str) -> str | None:
    """Say which layers or losses have an option, unless some algorithm has it too."""
    if keyword in TrainKeywords.__annotations__:
        return None
    for kind, registry, example in (
        ("layer", Layer.registry, "dict(form={!r}, {}=...)"),
        ("loss", Loss.registry, "loss=dict(form={!r}, {}=...) for the network"),
    ):
        forms = [form for form in registry if keyword in registry[form].valid_options()]
        if forms:
            listed = ", ".join(map(repr, forms[:3])) + (", ..." if forms[3:] else "")
            return f"an option of a {kind}, {listed}: {example.format(forms[0], keyword)}"
    return None


@dataclass(frozen=True)
class TrainOptions:
    """All keywords of ``train``.

    None for a keyword is as if it were not given, but for a limit, where it is
    no limit.

    Attributes
    ----------
    limits : Limits
        When training validates, and when it stops.
    data : DataOptions
        How data become batches.
    loop : LoopOptions
        What happens in between.
    mode : str, Mode or None
        How to compile, and for which device; if that is not said, as the network says.
    hypers : dict
        Hyper-parameters of the algorithm.
    regularizers : dict
        Penalties, constraints and noise, see `theanets.regularizers.from_kwargs`.
    """

    limits: Limits
    data: DataOptions
    loop: LoopOptions
    mode: Any
    hypers: Mapping[str, Any]
    regularizers: Mapping[str, Any]

    @classmethod
    def parse(
        cls, kwargs: Mapping[str, Any], valid: Collection[str], mode: Mode | str | None = None
    ) -> Self:
        """Take keywords apart.

        Parameters
        ----------
        kwargs : dict
            The keywords.
        valid : list of str
            Those that an algorithm accepts.
        mode : str, Mode or None
            How the network is compiled.

        Raises
        ------
        ConfigurationError
            If a keyword is unknown, a limit or an option of the data has a value without
            meaning, or two devices are named.
        """
        check(kwargs, valid)
        limits = Limits(**{key: kwargs[key] for key in LIMITS if key in kwargs})
        given = {key: value for key, value in kwargs.items() if value is not None}
        asked, device = given.pop("mode", None), given.pop("device", None)
        if device is not None and isinstance(asked, str) and "@" in asked:
            raise ConfigurationError(f"device={device!r} beside mode={asked!r}, which has its own")
        mode = backends.placed(mode if asked is None else asked, device)
        data = DataOptions(**{key: given.pop(key) for key in DATA if key in given})
        loop = LoopOptions(**{key: given.pop(key) for key in LOOP if key in given})
        # In the order of the call, in which penalties are added up.
        known = {*regularizer_keywords()}
        regularizers = {key: value for key, value in given.items() if key in known}
        hypers = {key: value for key, value in given.items() if key not in {*known, *LIMITS}}
        return cls(limits, data, loop, mode, hypers, regularizers)


def numbered(kwargs: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Get the keywords of one of several runs, whose files are called by their numbers.

    ``'run.1.ckpt'`` is the first one's where ``checkpoint='run.ckpt'``.
    """
    path = kwargs.get("checkpoint")
    if not isinstance(path, (str, os.PathLike)):
        return dict(kwargs)
    path = Path(path)
    return {**kwargs, "checkpoint": path.with_name(f"{path.stem}.{number}{path.suffix}")}
