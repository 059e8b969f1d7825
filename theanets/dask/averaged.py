"""Training by averages: replicas of a network, each of which trains for an epoch by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
from distributed import wait

from .. import rng as _rng
from ..errors import ConfigurationError, DataError, warn
from ..losses.factors import Factors
from ..options import whole_number
from ..training import Run, setup
from ..training.engines import Epoch, GradientEngine
from ..training.options import LIMITS, TrainOptions, keywords
from ..training.task import Seeds
from .disk import Mixed, OnDisk
from .models import Shipped, again, workers
from .shards import Shards, together

#: Rows of the data by which the client finds out what they are.
_SAMPLE = 8
#: Keywords that are the client's alone.
_CLIENT = {"callbacks", "progress", "checkpoint", "checkpoint_every"}
_CLIENT |= {"save_progress", "save_every", "rng", *LIMITS}
#: Keywords that have no meaning for replicas, which each have some of the rows.
_REFUSED = {"max_updates", "train_batches", "iteration_size", "valid_batches", "validation_split"}
_REFUSED |= {"axis", "average", "prefetch"}
#: How far the share of a label, or a mean in standard deviations, may be from that of all data.
_DIFFERENT = 0.1


class Replicas:
    """The rows of the data, in parts that the workers of a cluster hold.

    Parameters
    ----------
    client : distributed.Client
        Of the cluster.
    data : dask collections
        Cut into blocks, which go to the parts in turn.
    where : str
        What they are called in messages.
    number : int
        How many parts, at most.
    on_disk : bool
        Whether workers have them on the disk.
    """

    def __init__(self, client: Any, data: Any, where: str, number: int, on_disk: bool) -> None:
        self.client = client
        shards = Shards(data, where)
        number = min(number, len(shards.blocks))
        addresses = sorted(workers(client))
        # The blocks of a part are to be in one worker, if it lives.
        places = [
            {"workers": [addresses[i % len(addresses)]], "allow_other_workers": True}
            for i in range(number)
        ]
        held: list[Any] = []
        for i, place in enumerate(places):
            blocks = shards.blocks[i::number]
            if on_disk:
                made = [_delayed(_written, shards.names, *block) for block in blocks]
                held.append(client.compute(made, **place))
            else:
                held.append(client.compute(_delayed(_join, shards.names, blocks), **place))
        wait(held)
        sizes = client.gather([client.submit(_rows, part) for part in held])
        kept = [i for i, size in enumerate(sizes) if size]
        self.parts, self.sizes = [held[i] for i in kept], [int(sizes[i]) for i in kept]
        self._places = [places[i] for i in kept]
        if not self.parts:
            raise DataError(f"{where}: all blocks are empty; expected is at least one example")

    def sample(self) -> Any:
        """Get a few rows."""
        return self.client.submit(_head, self.parts[0]).result()

    def map(self, function: Any, *common: Any, each: Sequence[Any] | None = None) -> list[Any]:
        """Call a function for each part, with what they have in common; in any worker."""

        def once() -> list[Any]:
            # Anew each time, as those who had it may all be lost.
            held = self.client.scatter(common, broadcast=True, hash=False)
            futures = [
                self.client.submit(function, held, part, one, pure=False, **place)
                for part, one, place in zip(
                    self.parts, each or [None] * len(self.parts), self._places, strict=True
                )
            ]
            found: list[Any] = self.client.gather(futures)
            return found

        return again(once)


class AveragedEngine(GradientEngine):
    """An epoch of each replica, of which parameters and the optimizer's state are averaged.

    Parameters
    ----------
    engine : GradientEngine
        That of the client, which makes no updates itself.
    params : list of shared variables
        Parameters and state.
    replicas : Replicas
        What is trained on.
    task : tuple
        The network and the keywords, for workers.
    seed : int
        Of the run.
    """

    def __init__(
        self, engine: Any, params: Sequence[Any], replicas: Replicas, task: Any, seed: int
    ) -> None:
        vars(self).update(vars(engine))
        self._params, self._replicas, self._task, self._seed = params, replicas, task, seed

    def epoch(self, epoch: int, update: int, limit: float, pacing: Any) -> Epoch:
        """Train each replica for an epoch."""
        self.partial = Epoch(0, {})
        state = {name: v.get_value() for name, v in self.arrays().items()}
        values = _values(self._params)
        sizes = self._replicas.sizes
        seeds = [
            int(_rng.generator(self._seed, "replica", i, epoch).integers(2**31))
            for i in range(len(sizes))
        ]
        schedule = self.optimizer.schedule.state()
        common = (*self._task, values, (state, schedule, epoch, update))
        found = self._replicas.map(_epoch, *common, each=seeds)
        share = np.asarray(sizes) / sum(sizes)
        for variable in self._params:
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
        if state.get("replicas") != self._replicas.sizes:
            raise ValueError(
                f"its replicas have {state.get('replicas')} rows, those of now "
                f"{self._replicas.sizes}; give replicas= as it was"
            )
        super().restore(state)
        self._seed = state["seed"]


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
    if not isinstance(run.engine, GradientEngine) or not isinstance(run, AveragedRun):
        raise ConfigurationError(f"algo={algo!r} averages nothing; use sync='step'")
    run.held, run.task = data, (shipped, for_workers)
    loop = TrainOptions.parse(kwargs, keywords(algo), net.mode).loop
    seed = Seeds.of(run.network, run_number, loop).run
    run.engine = AveragedEngine(run.engine, run.params, data["train"], run.task, seed)
    run.batches = None
    _warn_of_differences(net, data["train"])
    return run


def replicas_of(client: Any, number: Any) -> int:
    """Get how many replicas there are to be, by default one for each worker."""
    if number is None:
        return max(1, len(workers(client)))
    return whole_number("replicas", number)


def _values(params: Sequence[Any]) -> dict[str, Any]:
    return {str(p.name): p.get_value() for p in params}


def _mean(arrays: Sequence[Any], share: Any) -> Any:
    """Average arrays, in float64; of what is counted, the mean is an integer again."""
    first = np.asarray(arrays[0])
    total = sum(s * np.asarray(array, float) for s, array in zip(share, arrays, strict=True))
    return (np.rint(total) if first.dtype.kind in "iu" else np.asarray(total)).astype(first.dtype)


def _warn_of_differences(net: Any, replicas: Replicas) -> None:
    """Warn where the targets of some replicas are other ones than those of others."""
    fields = [field for field in net.fields if field.role == "target"]
    if len(replicas.parts) < 2 or not fields:
        return
    index = [field.name for field in net.fields].index(fields[0].name)
    found = replicas.map(_targets, index, fields[0].name, fields[0].classes)
    share = np.asarray(replicas.sizes) / sum(replicas.sizes)
    mean = sum(s * m for s, (m, _) in zip(share, found, strict=True))
    square = sum(s * q for s, (_, q) in zip(share, found, strict=True))
    scale = 1.0 if fields[0].classes else np.sqrt(np.maximum(square - mean**2, 1e-12))
    # What chance makes of so many rows, four standard deviations of it, is no difference.
    chance = [(2 if fields[0].classes else 4) / math.sqrt(size) for size in replicas.sizes]
    far = [float(np.max(np.abs(m - mean) / scale)) for m, _ in found]
    worst = max(range(len(far)), key=lambda i: far[i] - chance[i])
    if far[worst] > _DIFFERENT + chance[worst]:
        warn(
            f"the targets differ between replicas: those of replica {worst} of {len(far)} are "
            "others than those of all data, so that averages of parameters that were trained on "
            "them are much worse than sync='step'; shuffle the rows before they are cut in blocks"
        )


# ---- what tasks do -----------------------------------------------------------------------


def _delayed(function: Any, *arguments: Any) -> Any:
    from dask import delayed

    return delayed(function, pure=True)(*arguments)


def _join(names: Any, blocks: list[list[Any]]) -> Any:
    columns = zip(*blocks, strict=True)
    return together(names, [np.concatenate([np.asarray(b) for b in column]) for column in columns])


def _written(names: Any, *parts: Any) -> tuple[Any, OnDisk]:
    return names, OnDisk([np.asarray(part) for part in parts])


def _blocks(data: Any) -> tuple[Any, list[OnDisk]] | None:
    """Get the names of the arrays and the blocks of a part that is on the disk."""
    if isinstance(data, list) and isinstance(data[0], tuple):
        return data[0][0], [block for _, block in data]
    return None


def _arrays(data: Any) -> list[Any]:
    return list(data.values()) if isinstance(data, Mapping) else list(data)


def _rows(data: Any) -> int:
    blocks = _blocks(data)
    return len(_arrays(data)[0]) if blocks is None else sum(block.rows for block in blocks[1])


def _head(data: Any) -> Any:
    blocks = _blocks(data)
    if blocks is not None:
        first = next(block for block in blocks[1] if block.rows)
        return together(blocks[0], first.read(0, _SAMPLE))
    names = list(data) if isinstance(data, Mapping) else None
    return together(names, [array[:_SAMPLE] for array in _arrays(data)])


def _targets(common: Any, data: Any, _: Any) -> tuple[Any, Any]:
    """Get means of a target, and of its square; of labels their shares."""
    index, name, classes = common
    blocks = _blocks(data)
    if blocks is not None:
        # Of rows from all over: some of each block.
        some = [block.read(0, max(_SAMPLE, block.rows // 10)) for block in blocks[1]]
        data = together(blocks[0], [np.concatenate(column) for column in zip(*some, strict=True)])
    target = data[name] if isinstance(data, Mapping) else data[index]
    if classes:
        labels = np.asarray(target).ravel().astype(int)
        counts = np.bincount(labels[(labels >= 0) & (labels < classes)], minlength=classes)
        return counts / max(1, counts.sum()), np.zeros(classes)
    rows = np.asarray(target, float).reshape(len(target), -1)
    return rows.mean(axis=0), (rows**2).mean(axis=0)


def _made(common: Any, data: Any, seed: int | None) -> Any:
    """Make a run of this worker's part, with the parameters of all."""
    shipped, options, values = common[:3]
    net = shipped.model.clone()
    kept: dict[str, Any] = {"rng": seed, "patience": None, "progress": False, "made": AveragedRun}
    blocks, valid = _blocks(data), None
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


def _measure(common: Any, data: Any, _: Any) -> list[Any]:
    """Measure what a run validates, on a part of the data."""
    run = _made(common, data, None)
    found = run.measured()
    run.finish()
    return found
