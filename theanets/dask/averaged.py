"""Training by averages: replicas of a network, each of which trains for an epoch by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np

from .. import rng as _rng
from ..errors import ConfigurationError
from ..losses.factors import Factors
from ..spmd.compiled import carries, check_additive
from ..training import Run, setup
from ..training.compiled import trained
from ..training.engines import Epoch, GradientEngine, LBFGSEngine
from ..training.evaluation import added_gradient
from ..training.options import LIMITS, TrainOptions, keywords
from ..training.task import Seeds, Task
from .disk import Mixed
from .models import Shipped
from .replicas import Replicas, blocks_of, warn_of_differences

#: Keywords that are the client's alone.
_CLIENT = {"callbacks", "progress", "checkpoint", "checkpoint_every"}
_CLIENT |= {"save_progress", "save_every", "rng", *LIMITS}
#: Keywords that have no meaning for replicas, which each have some of the rows.
_REFUSED = {"max_updates", "train_batches", "iteration_size", "valid_batches", "validation_split"}
_REFUSED |= {"axis", "average", "prefetch"}


class _OfReplicas:
    """An engine of the client's, of which workers do the work.

    Parameters
    ----------
    engine : Engine
        That of the client, on a few rows, which makes no updates itself.
    params : list of shared variables
        Parameters and state.
    replicas : Replicas
        What is trained on.
    task : tuple
        The network and the keywords, for workers.
    """

    def __init__(
        self, engine: Any, params: Sequence[Any], replicas: Replicas, task: tuple[Any, Any]
    ) -> None:
        vars(self).update(vars(engine))
        self._changed, self._replicas, self._task = params, replicas, task

    def _map(self, function: Any, *common: Any, each: Sequence[Any] | None = None) -> list[Any]:
        """Call a function for each replica, with the parameters and state as they are."""
        values = _values(self._changed)
        return self._replicas.map(function, *self._task, values, *common, each=each)


class AveragedEngine(_OfReplicas, GradientEngine):
    """An epoch of each replica, of which parameters and the optimizer's state are averaged.

    Parameters
    ----------
    *engine
        See `_OfReplicas`; the engine is a `GradientEngine`.
    seed : int
        Of the run.
    """

    def __init__(self, *engine: Any, seed: int) -> None:
        super().__init__(*engine)
        self._seed = seed

    def epoch(self, epoch: int, update: int, limit: float, pacing: Any) -> Epoch:
        """Train each replica for an epoch."""
        self.partial = Epoch(0, {})
        state = {name: v.get_value() for name, v in self.arrays().items()}
        sizes = self._replicas.sizes
        seeds = [
            int(_rng.generator(self._seed, "replica", i, epoch).integers(2**31))
            for i in range(len(sizes))
        ]
        schedule = self.optimizer.schedule.state()
        found = self._map(_epoch, (state, schedule, epoch, update), each=seeds)
        share = np.asarray(sizes) / sum(sizes)
        for variable in self._changed:
            each = [values[str(variable.name)] for values, *_ in found]
            variable.set_value(_mean(each, share))
        for name, variable in self.arrays().items():
            variable.set_value(_mean([state[name] for _, state, *_ in found], share))
        monitors = {
            name: float(sum(s * one[3][name] for s, one in zip(share, found, strict=True)))
            for name in found[0][3]
        }
        self.rate = found[0][5]
        finite = all(one[4] for one in found)
        self.partial = Epoch(max(one[2] for one in found), monitors, finite)
        return self.partial

    def state(self) -> dict[str, Any]:
        """Get the schedule's state, the sizes of the replicas, and the seed."""
        return {**super().state(), "replicas": self._replicas.sizes, "seed": self._seed}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        before, now = state.get("replicas") or [], self._replicas.sizes
        if before != now:
            hint = "give the data in the blocks that they had"
            if len(before) != len(now):
                hint = f"give replicas={len(before)}, and {hint[5:]}"
            elif sum(before) != sum(now):
                hint = "the data are not those that it was of"
            raise ValueError(f"its replicas have {before} rows, those of now {now}; {hint}")
        super().restore(state)
        self._seed = state["seed"]


class SummedLBFGS(_OfReplicas, LBFGSEngine):
    """One iteration of L-BFGS on all data for each epoch: SciPy in the client, sums by workers."""

    def _added(self, counts: Any) -> Any:
        found = self._map(_gradient, counts)
        return [np.sum(column, axis=0) for column in zip(*found, strict=True)]

    def _total(self) -> Any:
        return self._added([count.get_value() for count in self.counts])

    def _total_counts(self) -> Any:
        return self._added(None)[0]


class AveragedRun(Run):
    """A run whose data are measured where they are."""

    held: Mapping[str, Replicas]
    task: tuple[Shipped, dict[str, Any]]

    def measured(self) -> list[Any]:
        """Get what goes into the figures of a worker's part."""
        data = self._data.valid
        assert data is not None
        with closing(self._evaluation.results(data)) as results:
            return [np.array(r) if isinstance(r, np.ndarray) else list(r) for r in results]

    def _evaluate(self, data: Any) -> Any:
        kind = "train" if data is self._data.whole else "valid"
        replicas = self.held.get(kind)
        if data is None or replicas is None:
            return super()._evaluate(data)
        found = replicas.map(_measure, *self.task, _values(self.params))
        evaluation = self._evaluation.anew()
        totals = evaluation.added(one for part in found for one in part)
        return self.criterion.clean(evaluation.summary(totals))


def make_run(
    net: Any,
    data: Mapping[str, Replicas],
    valid: Any,
    algo: Any = "adam",
    *,
    shipped: Shipped,
    run_number: int = 0,
    network: Any = None,
    **kwargs: Any,
) -> Run:
    """Make the client's run, as `theanets.training.setup.make_run` makes one of its own data."""
    for name in sorted(_REFUSED & kwargs.keys()):
        if kwargs[name] is not None and kwargs[name] != 0:
            raise ConfigurationError(
                f"{name}={kwargs[name]!r} has no meaning with sync='epoch', by which each replica "
                "has some of the rows; give other data, or sync='step'"
            )
    carries = [layer.name for layer in net.layers if layer.stateful]
    if carries:
        raise ConfigurationError(
            f"sync='epoch': layer {carries[0]!r} is stateful, and the batches of replicas do not "
            "follow each other"
        )
    waiting = [loss.name for loss in net.losses if isinstance(loss, Factors) and loss.waits]
    if waiting:
        raise ConfigurationError(
            f"sync='epoch': loss {waiting[0]!r} needs all targets at once for 'balanced'; give "
            "numbers, or sync='step'"
        )
    for_workers = {k: v for k, v in kwargs.items() if k not in _CLIENT}
    for_workers.update(algo=algo, epochs=kwargs.get("epochs"))
    sample = data["train"].sample()
    own = data["valid"].sample() if "valid" in data else valid
    run = setup.make_run(
        net, sample, own, algo, run_number=run_number, network=network, made=AveragedRun, **kwargs
    )
    assert isinstance(run, AveragedRun)
    run.batches = None
    options = TrainOptions.parse(kwargs, keywords(algo), net.mode)
    if isinstance(run.engine, LBFGSEngine):
        # Workers measure, for which it does not matter how one trains.
        hypers = set(keywords(algo)) - set(keywords("sgd"))
        for_workers = {k: v for k, v in for_workers.items() if k not in hypers} | {"algo": "sgd"}
        run.held, run.task = data, (shipped, for_workers)
        run.engine = SummedLBFGS(run.engine, run.params, data["train"], run.task)
        _check_sums(Task.of(net, options), run)
        return run
    run.held, run.task = data, (shipped, for_workers)
    seed = Seeds.of(run.network, run_number, options.loop).run
    run.engine = AveragedEngine(run.engine, run.params, data["train"], run.task, seed=seed)
    warn_of_differences(net, data["train"])
    return run


def _check_sums(task: Task, run: Run) -> None:
    """Refuse what is not a sum over examples, by trying it on a few."""
    few = run._data.whole
    if task.net.state:
        raise ConfigurationError(carries([str(v.name) for v in task.net.state]))
    if few is not None and few.examples is not None and few.examples > 1:
        found = setup.validation(replace(task, mode="FAST_COMPILE"), task.penalties)
        check_additive(found.function, found.names, 0, few, few.examples)


def _values(params: Sequence[Any]) -> dict[str, Any]:
    return {str(p.name): p.get_value() for p in params}


def _mean(arrays: Sequence[Any], share: Any) -> Any:
    """Average arrays, in float64; of what is counted, the mean is an integer again."""
    first = np.asarray(arrays[0])
    total = sum(s * np.asarray(array, float) for s, array in zip(share, arrays, strict=True))
    return (np.rint(total) if first.dtype.kind in "iu" else np.asarray(total)).astype(first.dtype)


# ---- what tasks do -----------------------------------------------------------------------


def _made(common: Any, data: Any, seed: int | None) -> Any:
    """Make a run of this worker's part, with the parameters of all."""
    shipped, options, values = common[:3]
    net = shipped.model.clone()
    kept: dict[str, Any] = {"rng": seed, "patience": None, "progress": False, "made": AveragedRun}
    blocks, valid = blocks_of(data), None
    if blocks is not None:
        names, held = blocks
        size = options.get("batch_size") or setup.BATCH_SIZE
        data = Mixed(held, names, size, seed)
        valid = Mixed(held, names, max(size, setup.EVALUATION_SIZE), None)
    run = setup.make_run(net, data, valid, **kept, **options)
    for variable in run.params:
        variable.set_value(values[str(variable.name)])
    return run


def _epoch(common: Any, data: Any, seed: int) -> tuple[Any, ...]:
    """Train a replica for an epoch."""
    state, schedule, epoch, update = common[3]
    run = _made(common, data, seed)
    engine = run.engine
    variables = {name: v for name, v in engine.arrays().items() if name in state}
    for name, variable in variables.items():
        variable.set_value(state[name])
    engine.optimizer.schedule.restore(schedule)
    done = engine.epoch(epoch, update, math.inf, None)
    after = {name: variable.get_value() for name, variable in variables.items()}
    found = (_values(run.params), after, done.updates, done.monitors, done.finite, engine.rate)
    run.finish()
    return found


def _gradient(common: Any, data: Any, _: Any) -> tuple[Any, Any]:
    """Add up sums, counts and the gradient of a part; without counts of all data no gradient."""
    _, options, values, counts = common
    run = _made(common, data, None)
    net = run.network
    rest = {key: value for key, value in options.items() if key != "algo"}
    task = Task.of(net, TrainOptions.parse(rest, keywords(options["algo"]), net.mode))
    evaluation, own = setup.gradient(task)
    assert run._data.valid is not None
    size = 0
    if counts is not None:
        for count, value in zip(own, counts, strict=True):
            count.set_value(value)
        size = sum(values[str(p.name)].size for p in trained(net.graph, task.frozen))
    found = added_gradient(evaluation, run._data.valid, size)
    run.finish()
    return found


def _measure(common: Any, data: Any, _: Any) -> list[Any]:
    """Measure what a run validates, on a part of the data."""
    run = _made(common, data, None)
    found = run.measured()
    run.finish()
    return found
