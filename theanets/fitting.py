"""Fitting: from the arguments of ``train`` to a run of training."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from . import backends, optimizers, progress
from . import callbacks as _callbacks
from . import rng as _rng
from .compiled import Evaluation, Step, compile_evaluation, compile_gradient, compile_step
from .data import Dataset
from .engines import Engine, GradientEngine, LBFGSEngine
from .errors import ConfigurationError, check_keywords
from .regularizers import Regularizer, from_kwargs
from .regularizers import keywords as regularizer_keywords
from .structure import Structure
from .training import Limits, Run

#: Keywords of ``train`` besides those of optimizers, regularizers and `Limits`.
DATA = ("batch_size", "train_batches", "valid_batches", "iteration_size", "axis")
LOOP = (
    "callbacks",
    "progress",
    "checkpoint",
    "checkpoint_every",
    "save_progress",
    "save_every",
    "monitors",
    "monitor_gradients",
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
    check_keywords("train", set(kwargs) - known, known)

    def take(names: Any) -> dict[str, Any]:
        return {key: kwargs[key] for key in kwargs if key in names and kwargs[key] is not None}

    limits = Limits(**{k: v for k, v in kwargs.items() if k in LIMITS})
    optimizer = optimizers.build(algo, **take(optimizer_keywords - regularizer_names))
    regularizers, scale = from_kwargs(net.layers, **take(regularizer_names))
    losses = net.bound_losses()
    mode = kwargs.get("mode", net.mode)
    own_rng = kwargs.get("rng")
    seed = net.seed if own_rng is None else _rng.as_seed(own_rng)
    run_seed = int(_rng.stream(seed, "run", run_number).integers(2**62))
    train_data, valid_data = _datasets(net, train, valid, optimizer, run_seed, take(DATA))

    watched = kwargs.get("monitors") or ()
    shared = (_structures(regularizers), _watched_key(watched), backends.mode_key(mode))
    evaluation = net.cached(
        ("evaluate", (), *shared[1:]),
        lambda: compile_evaluation(
            net.graph, net.variables, losses, (), watched=watched, mode=mode
        ),
    )
    evaluation.assign(losses, (), scale)
    engine: Engine
    if optimizer.first_order:
        gradients = bool(kwargs.get("monitor_gradients", False))
        step: Step = net.cached(
            ("step", optimizer.structure, gradients, *shared),
            lambda: compile_step(
                net.graph,
                net.variables,
                losses,
                regularizers,
                optimizer,
                watched=watched,
                watch_gradients=gradients,
                mode=mode,
                rng=_rng.stream(run_seed, "optimizer"),
            ),
        )
        step.assign(losses, regularizers, scale)
        engine = GradientEngine(step, optimizer, train_data, run_seed)
    else:
        compiled = net.cached(
            ("gradient", *shared),
            lambda: compile_gradient(net.graph, net.variables, losses, regularizers, mode=mode),
        )
        compiled[0].assign(losses, regularizers, scale)
        engine = LBFGSEngine(compiled, net.params, optimizer, train_data, regularizers)
    every = _callbacks.build(kwargs.get("callbacks"))
    every = [*progress.build(kwargs.get("progress", "auto")), *every]
    every += _saver(net, kwargs.get("save_progress"), kwargs.get("save_every", 0))
    return Run(
        engine,
        net.params,
        limits,
        evaluation=evaluation,
        train_data=train_data,
        valid_data=valid_data,
        callbacks=every,
        network=net,
        checkpoint=kwargs.get("checkpoint"),
        checkpoint_every=kwargs.get("checkpoint_every", 1),
        identity=_identity(net, optimizer, regularizers, scale, seed, run_number, train_data),
    )


def _datasets(
    net: Structure, train: Any, valid: Any, optimizer: Any, seed: int, given: Mapping[str, Any]
) -> tuple[Dataset, Dataset | None]:
    sizes = {"batch_size": given.get("batch_size", 32), "axis": given.get("axis", 0)}
    batches = given.get("train_batches", given.get("iteration_size"))
    train_data = Dataset(
        net.fields,
        train,
        batches=batches,
        seed_rng=_rng.stream(seed, "shuffle"),
        shuffle=optimizer.first_order,
        where="train data",
        **sizes,
    )
    if valid is None:
        # Arrays are validated on as they are; batches that come in only once, or
        # anew each time, are not asked for more.
        if train_data.examples is None:
            return train_data, None
        valid, where = train, "train data"
    else:
        where = "valid data"
    size, number = sizes["batch_size"], given.get("valid_batches")
    valid_data = Dataset(
        net.fields,
        valid,
        # Results do not depend on the size of batches, the time does.
        batch_size=size if number or not isinstance(size, int) else max(size, EVALUATION_SIZE),
        batches=number,
        seed_rng=_rng.stream(seed, "valid"),
        shuffle=False,
        where=where,
        axis=sizes["axis"],
    )
    return train_data, valid_data


def evaluate(net: Structure, data: Any, **kwargs: Any) -> dict[str, float]:
    """Evaluate the clean monitors of a network; see `theanets.Network.evaluate`."""
    names = set(regularizer_keywords())
    known = {"batch_size", "batches", "monitors", "mode", "axis", *names}
    check_keywords("evaluate", set(kwargs) - known, known)
    regularizers, scale = from_kwargs(net.layers, **{k: kwargs[k] for k in kwargs if k in names})
    losses = net.bound_losses()
    mode = kwargs.get("mode", net.mode)
    watched = kwargs.get("monitors") or ()
    found = Dataset(
        net.fields,
        data,
        batch_size=kwargs.get("batch_size", EVALUATION_SIZE),
        batches=kwargs.get("batches"),
        seed_rng=_rng.stream(net.seed, "evaluate"),
        shuffle=False,
        axis=kwargs.get("axis", 0),
        where="data",
    )
    evaluation: Evaluation = net.cached(
        ("evaluate", _structures(regularizers), _watched_key(watched), backends.mode_key(mode)),
        lambda: compile_evaluation(
            net.graph, net.variables, losses, regularizers, watched=watched, mode=mode
        ),
    )
    evaluation.assign(losses, regularizers, scale)
    return evaluation.run(found.epoch())


def _structures(regularizers: Sequence[Regularizer]) -> Any:
    return tuple(r.structure() for r in regularizers)


def _watched_key(watched: Any) -> Any:
    def frozen(value: Any) -> Any:
        if isinstance(value, Mapping):
            return tuple((k, frozen(v)) for k, v in value.items())
        if isinstance(value, (list, tuple)):
            return tuple(frozen(v) for v in value)
        return value

    return frozen(watched)


def _identity(
    net: Structure,
    optimizer: Any,
    regularizers: Sequence[Regularizer],
    scale: float,
    seed: int,
    run_number: int,
    data: Dataset,
) -> dict[str, Any]:
    """Get what must be the same for a checkpoint to be continued."""
    return {
        "parameters": {p.name: list(p.get_value(borrow=True).shape) for p in net.params},
        "losses": [loss.log() for loss in net.losses],
        "algorithm": repr(optimizer),
        "regularizers": [r.log() for r in regularizers],
        "penalty_scale": scale,
        "seed": seed,
        "run": run_number,
        "dtype": net.dtype,
        "batch_size": data.batch_size,
        "train_batches": data.batches,
        "examples": data.examples,
    }


class _Saver(_callbacks.Callback):
    """Saves the network now and then."""

    def __init__(self, net: Any, target: Any, every: float) -> None:
        self.net, self.target, self.every = net, target, every
        self.last = time.perf_counter()

    def epoch(self, run: Run) -> None:
        if isinstance(self.every, float):
            due = time.perf_counter() - self.last >= 60 * self.every
        else:
            due = self.every > 0 and run.epoch % self.every == 0
        if due:
            self.save()

    def end(self, run: Run) -> None:
        self.save()

    def save(self) -> None:
        self.last = time.perf_counter()
        if not isinstance(self.target, (str, os.PathLike)):
            self.target.seek(0)
            self.target.truncate()
        self.net.save(self.target)


def _saver(net: Any, target: Any, every: Any) -> list[_callbacks.Callback]:
    if target is None:
        if every:
            raise ConfigurationError(f"save_every={every!r} needs save_progress=<path or file>")
        return []
    if isinstance(every, bool) or not isinstance(every, (int, float)) or every < 0:
        raise ConfigurationError(
            f"save_every={every!r} is not a number of epochs (int) or minutes (float)"
        )
    return [_Saver(net, target, every)]
