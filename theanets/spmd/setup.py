"""Setting up: from the arguments of ``train`` in each process to a run of all."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .. import backends, checkpoint, optimizers
from .. import rng as _rng
from ..data import Dataset
from ..errors import ConfigurationError, is_integer
from ..metrics import Metric
from ..options import flag
from ..structure import Structure, ranges
from ..training import influence, resume, setup
from ..training.averaging import Averages
from ..training.compiled import trained
from ..training.criterion import Criterion
from ..training.engines import Engine
from ..training.evaluation import Evaluation
from ..training.identity import describe, difference, identity
from ..training.options import LoopOptions, TrainOptions, keywords
from ..training.task import Datasets, Seeds, Task
from .compiled import FLAGS, Share, carries, check_additive, share
from .engines import GroupEngine, GroupLBFGS
from .exchange import Exchange
from .run import GroupCheckpoint, GroupRun
from .sampling import Shards


def make_run(
    net: Structure,
    train: dict[int, Any],
    valid: dict[int, Any],
    algo: Any = "adam",
    *,
    exchange: Exchange,
    run_number: int = 0,
    network: Any = None,
    **kwargs: Any,
) -> GroupRun:
    """Make this process's run, as `theanets.training.setup.make_run` does for one alone."""
    network = net if network is None else network
    options, criterion, optimizer, task = exchange.agree(lambda: _asked(net, algo, kwargs))
    loop = options.loop
    # Before anything is exchanged whose size depends on it.
    check_same(exchange, _keywords(options, criterion, optimizer, task))
    seeds, kept = _agreed(exchange, net, network, run_number, loop)
    data = _datasets(net, train, valid, options, seeds, exchange, optimizer.first_order)

    def everyone(counts: Any) -> Any:
        return exchange.total(len(counts), lambda: counts)

    ranges.check(net.graph, task.losses)
    influence.inform(net, task.losses, data.whole, everyone)
    influence.check(task, data, everyone)
    epochs, updates = options.limits.length(data.train.batches)
    optimizer = optimizer.for_run(epochs, updates)
    penalized = criterion.penalized or not task.losses
    validated = exchange.agree(lambda: _validation(task, penalized))
    moves = _engine(task, optimizer, data.train, seeds.run, loop.monitor_gradients, exchange)
    exchange.agree(lambda: _try(task, moves, data.train))
    criterion = criterion.resolve(validated.directions)
    params = [*net.params, *net.state]
    averages = Averages.of(task.average, params, getattr(moves, "step", None), epochs)
    if kept:
        for part in {id(part): part for part in data if part is not None}.values():
            part.identify()
    described = identity(task, optimizer, seeds.chosen, data, criterion, averages.kind)
    described["shards"] = data.train.sizes
    check_same(exchange, describe({**described, "limits": vars(options.limits)}))
    called = exchange.agree(
        lambda: setup.callbacks(net, network, data.train, loop) if exchange.first else []
    )
    if loop.checkpoint is not None:
        exchange.agree(lambda: resume.check(loop.checkpoint, described) if exchange.first else None)
    place = GroupCheckpoint(
        exchange, loop.checkpoint, loop.checkpoint_every, described, seeds.adopted
    )
    setup.constrain(task)
    averages.start()
    return exchange.agree(
        lambda: GroupRun(
            moves,
            params,
            options.limits,
            evaluation=validated,
            data=data,
            callbacks=called,
            network=network,
            checkpoint=place,
            criterion=criterion,
            averages=averages,
            exchange=exchange,
        )
    )


def _asked(
    net: Structure, algo: Any, kwargs: Mapping[str, Any]
) -> tuple[TrainOptions, Criterion, Any, Task]:
    """Find what the keywords mean; refuse those that have no meaning in a group."""
    options = TrainOptions.parse(kwargs, keywords(algo), net.mode)
    if options.data.valid_batches is not None:
        raise ConfigurationError(
            f"valid_batches={options.data.valid_batches!r}: in a group, all data are validated on; "
            "give less data instead"
        )
    carried = [str(v.name) for v in net.state] + [str(x.name) for x in net.layers if x.stateful]
    if carried:
        raise ConfigurationError(carries(carried))
    optimizer = optimizers.build(algo, **options.hypers)
    return options, Criterion.build(options.loop.criterion), optimizer, Task.of(net, options)


def _keywords(
    options: TrainOptions, criterion: Criterion, optimizer: Any, task: Task
) -> dict[str, Any]:
    """Get what decides how many numbers the processes exchange, and when, as JSON can hold it."""
    loop = options.loop
    return describe(
        {
            "losses": [loss.to_spec() for loss in task.losses],
            "algorithm": repr(optimizer),
            "regularizers": [[r.name, r.weight] for r in task.regularizers],
            "criterion": [criterion.name, criterion.direction],
            "metrics": loop.metrics,
            "monitors": loop.monitors,
            "monitor_gradients": loop.monitor_gradients,
            "checkpoint": loop.checkpoint is not None,
            "validation_split": options.data.validation_split,
        }
    )


def _agreed(
    exchange: Exchange, net: Structure, network: Any, run_number: int, loop: LoopOptions
) -> tuple[Seeds, bool]:
    """Take over the parameters and seeds of rank 0.

    Returns
    -------
    (Seeds, bool)
        And whether there is a checkpoint.
    """
    variables = {str(v.name): v for v in [*net.params, *net.state]}

    def first() -> bytes:
        seeds = Seeds.of(network, run_number, loop)
        header = {"seed": network.seed, "seeds": seeds, "kept": loop.checkpoint is not None}
        file = io.BytesIO()
        arrays = {name: v.get_value(borrow=True) for name, v in variables.items()}
        checkpoint.write(file, arrays, header)
        return file.getvalue()

    data = exchange.decide(first)

    def take() -> tuple[Seeds, bool]:
        arrays, header = checkpoint.read(io.BytesIO(data))
        shapes = {name: [str(a.dtype), list(a.shape)] for name, a in arrays.items()}
        own = {n: [v.dtype, list(v.get_value(borrow=True).shape)] for n, v in variables.items()}
        differs = difference(shapes, own, "parameters")
        if differs:
            raise ConfigurationError(f"the networks of the processes are different: {differs}")
        if not exchange.first:
            for name, array in arrays.items():
                variables[name].set_value(array)
            if network.seed != header["seed"]:
                network.reseed(header["seed"])
        return Seeds(*header["seeds"]), bool(header["kept"])

    return exchange.agree(take)


def _datasets(
    net: Structure,
    train: Mapping[int, Any],
    valid: Mapping[int, Any],
    options: TrainOptions,
    seeds: Seeds,
    exchange: Exchange,
    first_order: bool,
) -> Any:
    given, fields = options.data, net.fields
    size = given.batch_size
    if size is None:
        size = setup.BATCH_SIZE if first_order else setup.EVALUATION_SIZE
    held = given.validation_split
    large = max(size, setup.EVALUATION_SIZE) if is_integer(size) else setup.EVALUATION_SIZE

    def dataset(data: Any, where: str) -> Dataset:
        return Dataset(
            fields,
            data,
            batch_size=large,
            seed_rng=_rng.generator(seeds.run, "unused"),
            shuffle=False,
            axis=given.axis,
            where=where,
            rounded=backends.compiles_by_shape(options.mode),
            prefetch=given.prefetch,
            sizes=net.sizes(fields),
        )

    def own() -> tuple[dict[int, Dataset], dict[int, Dataset]]:
        if held is not None and valid:
            raise ConfigurationError(
                f"validation_split={held!r} beside data to validate on; give one of them"
            )
        mine = {i: dataset(data, f"train data, shard {i}") for i, data in train.items()}
        others = {i: dataset(data, f"valid data, shard {i}") for i, data in valid.items()}
        if held is not None:
            for i, data in mine.items():
                chosen = _rng.generator(seeds.chosen, "validation_split", i)
                mine[i], others[i] = data.split(held, chosen)
        return mine, others

    mine, others = exchange.agree(own)
    trains = Shards(
        mine,
        exchange,
        batch_size=size,
        batches=given.batches if first_order else None,
        seed=_rng.as_seed(_rng.generator(seeds.run, "shards")),
        buckets=bool(given.buckets) and first_order,
        prefetch=given.prefetch,
    )
    # Numbers of those that are there, of which some processes may have none.
    every = sorted(
        n for text in exchange.gather(json.dumps(list(others)).encode()) for n in json.loads(text)
    )
    if not every:
        return Datasets(trains, trains, trains)  # type: ignore[arg-type]
    valids = Shards(
        {every.index(number): data for number, data in others.items()},
        exchange,
        batch_size=large,
        where="valid data",
    )
    return Datasets(trains, valids, trains)  # type: ignore[arg-type]


def _validation(task: Task, penalized: bool) -> Evaluation:
    found = setup.validation(task, task.penalties if penalized else [])
    for metric in found.measures.metrics:
        if type(metric).merge is Metric.merge:
            raise ConfigurationError(
                f"metric {metric.name!r} cannot be added up over processes: the class "
                f"{type(metric).__name__} does not say how, by state and merge"
            )
    return found


def _engine(
    task: Task,
    optimizer: Any,
    shards: Shards,
    seed: int,
    monitor_gradients: Any,
    exchange: Exchange,
) -> Engine:
    regularizers = task.regularizers
    if not optimizer.first_order:
        local = exchange.agree(lambda: setup.gradient(task))
        moving = trained(task.net.graph, task.frozen)
        return exchange.agree(
            lambda: GroupLBFGS(local, moving, optimizer, shards, regularizers)  # type: ignore
        )

    def step() -> Share:
        gradients = flag("monitor_gradients", monitor_gradients, "train")
        found: Share = task.cached(
            ("share", optimizer.cache_key(), gradients, task.unchanged, task.moving),
            regularizers,
            lambda: share(
                task,
                optimizer,
                watch_gradients=gradients,
                rng=_rng.generator(seed, "optimizer"),
            ),
        )
        found.assign(task.losses, regularizers, task.scale)
        return found

    return GroupEngine(exchange.agree(step), optimizer, shards, seed)


#: Examples on which is tried whether they can be taken apart.
FEW = 8


def _try(task: Task, moves: Engine, shards: Shards) -> None:
    """Refuse what is not a sum over examples, by trying it on a few of each shard."""
    step: Share | None = getattr(moves, "step", None)
    by_shape = backends.compiles_by_shape(task.mode)
    if step is not None and not step.generators and not by_shape:
        function, names = step.function, step.names[: step.num_terms // 2]
        first = FLAGS
    else:
        # Noise is another one of each part, and some linkers compile for each size.
        plain = replace(task, mode="FAST_COMPILE") if by_shape else task
        found = setup.validation(plain, task.penalties)
        function, names, first = found.function, found.names, 0
    for data in shards.own.values():
        if data.examples is not None and data.examples > 1:
            check_additive(function, names, first, data, min(FEW, data.examples))


def check_same(exchange: Exchange, described: dict[str, Any]) -> None:
    """Refuse that processes train differently."""
    own = json.dumps(described, default=str)
    first = exchange.decide(own.encode)

    def compare() -> None:
        differs = difference(json.loads(first), json.loads(own))
        if differs:
            raise ConfigurationError(
                f"rank {exchange.group.rank} trains differently from rank 0: {differs} (was is "
                "that of rank 0)"
            )

    exchange.agree(compare)
