"""Fitting: from the arguments of ``train`` to a run of training."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from . import backends, optimizers, process
from . import callbacks as _callbacks
from . import names as _names
from . import rng as _rng
from .callbacks import upkeep as _upkeep
from .data import Dataset
from .errors import ConfigurationError, check_keywords, whole_number
from .losses import Loss
from .losses.factors import Factors
from .metrics import Metric
from .options import flag
from .regularizers import Constraint, Regularizer, from_kwargs
from .regularizers import keywords as regularizer_keywords
from .structure import Structure, overrides, ranges
from .training import Run, resume
from .training.compiled import (
    Evaluation,
    Step,
    compile_evaluation,
    compile_gradient,
    compile_step,
    trained,
)
from .training.criterion import Criterion
from .training.engines import Engine, GradientEngine, LBFGSEngine
from .training.identity import identity as describe_run
from .training.limits import Limits

#: The other arguments of ``train``.
ARGUMENTS = ("train", "valid", "algo")
#: Keywords of ``train`` besides those of optimizers, regularizers and `Limits`.
DATA = (
    *("batch_size", "train_batches", "valid_batches", "iteration_size"),
    *("axis", "buckets", "prefetch", "validation_split"),
)
LOOP = (
    "callbacks",
    "criterion",
    "progress",
    "checkpoint",
    "checkpoint_every",
    "save_progress",
    "save_every",
    "metrics",
    "monitors",
    "monitor_gradients",
    "freeze",
    "mode",
    "rng",
)
#: Examples in a batch that is only evaluated.
EVALUATION_SIZE = 512
LIMITS = tuple(field.name for field in dataclasses.fields(Limits))


def keywords(algo: Any) -> list[str]:
    """Get all keywords that ``train`` accepts with an algorithm."""
    return [*LIMITS, *DATA, *LOOP, *optimizers.keywords(algo), *regularizer_keywords()]


def make_run(
    net: Structure,
    train: Any,
    valid: Any = None,
    algo: Any = "adam",
    *,
    run_number: int = 0,
    network: Any = None,
    **kwargs: Any,
) -> Run:
    """Make a run of training from the arguments of ``train``.

    Parameters
    ----------
    net : Structure
        The network.
    train, valid, algo, **kwargs
        See `theanets.Network.train`.
    run_number : int
        How many runs there were before; each has its own random streams.
    network : Structure, optional
        The network of the user's, if it shares parameters with ``net`` but is
        not the same: the one that is saved, and that callbacks get.

    Returns
    -------
    Run

    Raises
    ------
    ConfigurationError
        If an argument is unknown or has a value without meaning.
    DataError
        If the data do not have the form that the network needs.
    """
    optimizer_keywords = optimizers.keywords(algo)
    regularizer_names = set(regularizer_keywords())
    known = {*LIMITS, *DATA, *LOOP, *optimizer_keywords, *regularizer_names}
    check_keywords("train", set(kwargs) - known, [*known, *ARGUMENTS])

    def take(names: Any) -> dict[str, Any]:
        return {key: kwargs[key] for key in kwargs if key in names and kwargs[key] is not None}

    limits = Limits(**{k: v for k, v in kwargs.items() if k in LIMITS})
    criterion = Criterion.build(kwargs.get("criterion"))
    optimizer = optimizers.build(algo, **take(optimizer_keywords - regularizer_names))
    regularizers, scale = from_kwargs(net.layers, **take(regularizer_names))
    losses = net.bound_losses()
    mode = _mode(net, kwargs)
    network = net if network is None else network
    # A script that is started again makes a network with another fresh seed.
    open_seed = kwargs.get("rng") is None and not network._seed_chosen
    adopted = resume.seed_of(kwargs.get("checkpoint")) if open_seed else None
    seed, run_seed = seeds(network, run_number, kwargs, adopted)
    train_data, valid_data, whole_data = _datasets(
        net, train, valid, optimizer, run_seed, take(DATA), seed
    )
    ranges.check(net.graph, losses)
    settle(net, losses, whole_data)
    optimizer = optimizer.for_run(*limits.length(train_data.batches))

    watched, metrics = kwargs.get("monitors") or (), kwargs.get("metrics")
    seen = (_watched_key(watched), _watched_key(metrics))
    shared = (_structures(regularizers), *seen, backends.mode_key(mode))
    # Where there is no loss, the penalties are all there is.
    penalized = criterion.penalized or not losses
    penalties = [r for r in regularizers if penalized and _is_penalty(r)]
    evaluation: Evaluation = net.cached(
        # What has strengths is not shared with what the user evaluates meanwhile.
        ("validate" if penalties else "evaluate", _structures(penalties), *shared[1:]),
        lambda: compile_evaluation(
            net.graph,
            net.variables,
            losses,
            penalties,
            watched=watched,
            metrics=metrics,
            mode=mode,
            noise=False,
            revise=overrides.reviser(net, penalties, scale, False, watched),
        ),
    )
    evaluation.assign(losses, penalties, scale)
    frozen = _frozen(net, kwargs.get("freeze"))
    unchanged = tuple(str(variable.name) for variable in frozen)
    engine: Engine
    measured = evaluation
    if optimizer.first_order:
        gradients = flag("monitor_gradients", kwargs.get("monitor_gradients") or False, "train")
        step: Step = net.cached(
            ("step", optimizer.structure, gradients, unchanged, *shared),
            lambda: compile_step(
                net.graph,
                net.variables,
                losses,
                regularizers,
                optimizer,
                watched=watched,
                metrics=metrics,
                watch_gradients=gradients,
                frozen=frozen,
                mode=mode,
                rng=_rng.stream(run_seed, "optimizer"),
                revise=overrides.reviser(net, regularizers, scale, True, watched),
            ),
        )
        step.assign(losses, regularizers, scale)
        engine = GradientEngine(step, optimizer, train_data, run_seed)
        measured = evaluation if valid_data is not None else step
    else:
        compiled = net.cached(
            ("gradient", unchanged, *shared),
            lambda: compile_gradient(
                net.graph,
                net.variables,
                losses,
                regularizers,
                frozen=frozen,
                mode=mode,
                revise=overrides.reviser(net, regularizers, scale, True),
            ),
        )
        compiled[0].assign(losses, regularizers, scale)
        moving = trained(net.graph, frozen)
        engine = LBFGSEngine(compiled, moving, optimizer, train_data, regularizers)
    criterion = criterion.resolve(measured.directions)
    identity = None
    # Before anything is read: it may be that one file is written as two things.
    called = callbacks(net, network, train_data, kwargs)
    if kwargs.get("checkpoint") is not None:
        identity = describe_run(
            net, optimizer, regularizers, scale, seed, train_data, valid_data, criterion, frozen
        )
        resume.check(kwargs["checkpoint"], identity)
    before = [variable.get_value() for variable in frozen]
    with process.hold([*net.params, *net.state]):
        for regularizer in regularizers:
            # The parameters at the start may turn out to be the best.
            if isinstance(regularizer, Constraint):
                regularizer.apply(net.layers)
        for variable, value in zip(frozen, before, strict=True):
            variable.set_value(value)
    return Run(
        engine,
        [*net.params, *net.state],
        limits,
        evaluation=evaluation,
        train_data=train_data,
        valid_data=valid_data,
        whole_data=whole_data,
        callbacks=called,
        network=network,
        checkpoint=kwargs.get("checkpoint"),
        checkpoint_every=kwargs.get("checkpoint_every"),
        identity=identity,
        seed=adopted,
        criterion=criterion,
    )


def seeds(
    net: Structure, run_number: int, kwargs: Mapping[str, Any], adopted: int | None = None
) -> tuple[int, int]:
    """Get the seed that governs a run, and the run's own.

    A seed that is adopted from a checkpoint stands for the network's.
    """
    own = kwargs.get("rng")
    network = net.seed if adopted is None else adopted
    # A seed for this run governs it whatever was before; the network's governs all its runs.
    seed, number = (network, run_number) if own is None else (_rng.as_seed(own), 0)
    return seed, int(_rng.stream(seed, "run", number).integers(2**62))


def callbacks(
    net: Structure, network: Any, data: Dataset, kwargs: Mapping[str, Any]
) -> list[_callbacks.Callback]:
    """Get what is called during a run: what the user asks for, and what the network needs."""
    progress = process.lazily(f"{__package__}.callbacks.progress")  # and rich, which takes a while
    given = _callbacks.build(kwargs.get("callbacks"))
    _upkeep.check_paths(kwargs.get("checkpoint"), kwargs.get("save_progress"), given)
    return [
        *progress.build(kwargs.get("progress", "auto")),
        *given,
        *_upkeep.resets(net, data),
        *_upkeep.saver(network, kwargs.get("save_progress"), kwargs.get("save_every") or 0),
    ]


def _frozen(net: Structure, patterns: Any) -> list[Any]:
    """Get the parameters, and the state beside them, that are to stay as they are."""
    if patterns is None or (isinstance(patterns, (list, tuple)) and not patterns):
        return []
    every = {str(variable.name): variable for variable in [*net.params, *net.state]}
    found = _names.match_some("parameter", _names.param_patterns(patterns), every)
    return [every[name] for name in found]


def _mode(net: Structure, kwargs: Mapping[str, Any]) -> Any:
    mode = kwargs.get("mode")
    return net.mode if mode is None else mode


class TrainerRun:
    """A run of training by an object of the user's, which has a method ``itertrain``.

    Parameters
    ----------
    trainer : Any
        Its ``itertrain`` takes ``(train, valid, **kwargs)`` and yields pairs
        of monitors.
    train, valid, **kwargs
        The arguments of ``train``.
    """

    stop_reason = None

    def __init__(self, trainer: Any, train: Any, valid: Any, **kwargs: Any) -> None:
        self._iterate = lambda: trainer.itertrain(train, valid, **kwargs)
        self._last: Any = ({}, {})

    def iterate(self) -> Generator[Any, None, None]:
        """Yield what the trainer yields."""
        for monitors in self._iterate():
            self._last = monitors
            yield monitors

    def result(self) -> Any:
        """Get the last monitors."""
        return self._last


class _Kept:
    """The first batches of an iterator, as many times as they are needed."""

    def __init__(self, batches: Iterator[Any], number: int) -> None:
        self._batches = list(islice(batches, number))

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._batches)


def _datasets(
    net: Structure,
    train: Any,
    valid: Any,
    optimizer: Any,
    seed: int,
    given: Mapping[str, Any],
    split_seed: int,
) -> tuple[Dataset, Dataset | None, Dataset | None]:
    """Get the data to train on, to validate on, and all training data in order.

    All runs with one ``split_seed`` hold back the same examples.
    """
    # An algorithm that uses all data at once does not depend on the size.
    default = 32 if optimizer.first_order else EVALUATION_SIZE
    size, axis = given.get("batch_size", default), given.get("axis", 0)
    buckets, prefetch = given.get("buckets", True), given.get("prefetch", 0)
    if not isinstance(buckets, (bool, np.bool_)):
        raise ConfigurationError(f"buckets={buckets!r} is not True or False")
    rounded = backends.compiles_by_shape(_mode(net, given))
    for key in ("train_batches", "iteration_size", "valid_batches"):
        if key in given:
            whole_number(key, given[key])
    fields = net.fields
    sizes = net.sizes(fields)
    train_data = Dataset(
        fields,
        train,
        batch_size=size,
        batches=given.get("train_batches", given.get("iteration_size")),
        seed_rng=_rng.stream(seed, "shuffle"),
        shuffle=optimizer.first_order,
        axis=axis,
        where="train data",
        buckets=bool(buckets),
        rounded=rounded,
        prefetch=prefetch,
        least=max(layer.least_examples for layer in net.layers),
        sizes=sizes,
    )
    # Results do not depend on the size of batches, the time does.
    whole, large = None, max(train_data.batch_size, EVALUATION_SIZE)
    held = given.get("validation_split")
    if held is not None:
        if valid is not None:
            raise ConfigurationError(
                f"validation_split={held!r} beside data to validate on; give one of them"
            )
        train_data, part = train_data.split(held, _rng.stream(split_seed, "validation_split"))
        return train_data, part.ordered(large), train_data.ordered(large)
    if train_data.examples is not None:
        whole = train_data.ordered(large)
    number, where = given.get("valid_batches"), "valid data"
    if valid is None:
        # Arrays are validated on as they are; batches that come in only once, or
        # anew each time, are not asked for more.
        if whole is None or number is None:
            return train_data, whole, whole
        valid, where = train, "train data"
    if hasattr(valid, "__next__"):
        if number is None:
            raise ConfigurationError(
                f"valid data: the {type(valid).__name__} gives its batches only once, but there "
                "are many validations; give valid_batches=<number>, of which so many are kept, "
                "or arrays, or something that can start anew"
            )
        valid = _Kept(valid, number)
    valid_data = Dataset(
        fields,
        valid,
        batch_size=size if number else large,
        batches=number,
        seed_rng=_rng.stream(seed, "valid"),
        shuffle=False,
        axis=axis,
        where=where,
        rounded=rounded,
        prefetch=prefetch,
        sizes=sizes,
    )
    return train_data, valid_data, whole


def settle(net: Structure, losses: Sequence[Loss], data: Dataset | None) -> None:
    """Give losses what they learn from all targets that are trained on, before the first step."""
    for loss in losses:
        if not isinstance(loss, Factors) or not loss.waits:
            continue
        if data is None:
            raise ConfigurationError(
                f"loss {loss.name!r}: {loss.factors}='balanced' needs all targets at once, but "
                "train data come batch by batch; give numbers"
            )
        outputs = net.outputs()
        weights = loss.importance(net.dtype, outputs)
        found = [loss._target] if weights is None else [loss._target, weights]
        # Of a step of series that does not exist, the weight is 0.
        compute = backends.function(net.variables, found, mode="FAST_COMPILE", dtype=net.dtype)
        parts = (compute(*batch) for batch, _ in data.epoch())
        classes = int(net.graph.shape(loss.output_name)[-1] or 0)
        loss.settle(((part[0], part[1] if len(part) > 1 else None) for part in parts), classes)


def evaluate(net: Structure, data: Any, **kwargs: Any) -> dict[str, float]:
    """Evaluate the clean monitors of a network; see `theanets.Network.evaluate`."""
    names = set(regularizer_keywords())
    known = {"batch_size", "batches", "metrics", "monitors", "mode", "axis", *names, "prefetch"}
    check_keywords("evaluate", set(kwargs) - known, known)
    regularizers, scale = from_kwargs(net.layers, **{k: kwargs[k] for k in kwargs if k in names})
    losses = net.bound_losses()
    mode = _mode(net, kwargs)
    watched, metrics = kwargs.get("monitors") or (), kwargs.get("metrics")
    seen = (_watched_key(watched), _watched_key(metrics))
    fields = net.fields
    found = Dataset(
        fields,
        data,
        batch_size=kwargs.get("batch_size", EVALUATION_SIZE),
        batches=kwargs.get("batches"),
        seed_rng=_rng.stream(net.seed, "evaluate"),
        shuffle=False,
        axis=kwargs.get("axis", 0),
        where="data",
        rounded=backends.compiles_by_shape(mode),
        prefetch=kwargs.get("prefetch", 0),
        sizes=net.sizes(fields),
    )
    evaluation: Evaluation = net.cached(
        ("evaluate", _structures(regularizers), *seen, backends.mode_key(mode)),
        lambda: compile_evaluation(
            net.graph,
            net.variables,
            losses,
            regularizers,
            watched=watched,
            metrics=metrics,
            mode=mode,
            seed=net.seed,
            revise=overrides.reviser(net, regularizers, scale, False, watched),
        ),
    )
    # Where the user's code makes the batches, it may wait for whoever trains.
    return evaluation.run(
        found.epoch(),
        strengths=(losses, regularizers, scale),
        at_once=found.examples is not None,
    )


def _is_penalty(regularizer: Regularizer) -> bool:
    return type(regularizer).loss is not Regularizer.loss


def _structures(regularizers: Sequence[Regularizer]) -> Any:
    return tuple(r.structure() for r in regularizers)


def _watched_key(watched: Any) -> Any:
    def frozen(value: Any) -> Any:
        if isinstance(value, Mapping):
            return tuple((k, frozen(v)) for k, v in value.items())
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if isinstance(value, (list, tuple, set)):
            return tuple(frozen(v) for v in value)
        return frozen(value.structure()) if isinstance(value, Metric) else value

    return frozen(watched)
