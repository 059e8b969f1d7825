"""Setting up: from the arguments of ``train`` to a run of training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import backends, optimizers, process
from .. import callbacks as _callbacks
from .. import rng as _rng
from ..callbacks import upkeep
from ..data import Dataset
from ..data.mapped import Kept
from ..errors import ConfigurationError
from ..options import flag
from ..regularizers import Constraint, Regularizer
from ..structure import Structure, ranges
from . import influence, resume
from .averaging import Averages
from .compiled import compile_evaluation, compile_gradient, compile_step, trained
from .criterion import Criterion
from .engines import Engine, GradientEngine, LBFGSEngine
from .evaluation import Evaluation, Gradient, Step
from .identity import identity
from .loop import Run
from .options import LoopOptions, TrainOptions, keywords
from .resume import Checkpoint
from .task import Datasets, Seeds, Task

#: Examples in a batch that one makes an update of, and in one that is only evaluated.
BATCH_SIZE, EVALUATION_SIZE = 32, 512


def make_run(
    net: Structure,
    train: Any,
    valid: Any = None,
    algo: Any = "adam",
    *,
    run_number: int = 0,
    network: Any = None,
    made: type[Run] = Run,
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
    made : type
        The class of the run.

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
    network = net if network is None else network
    options = TrainOptions.parse(kwargs, keywords(algo), net.mode)
    loop = options.loop
    criterion = Criterion.build(loop.criterion)
    optimizer = optimizers.build(algo, **options.hypers)
    task = Task.of(net, options)
    seeds = Seeds.of(network, run_number, loop)
    data = datasets(net, train, valid, options, seeds, shuffle=optimizer.first_order)
    ranges.check(net.graph, task.losses)
    influence.inform(net, task.losses, data.whole)
    influence.check(task, data)
    optimizer = optimizer.for_run(*options.limits.length(data.train.batches))
    # Where there is no loss, the penalties are all there is.
    penalized = criterion.penalized or not task.losses
    validated = validation(task, task.penalties if penalized else [])
    moves = engine(task, optimizer, data.train, seeds.run, loop.monitor_gradients)
    # Without data to validate on, what the step measures is all there is.
    step: Any = getattr(moves, "step", None)
    measured = step if data.valid is None and step is not None else validated
    criterion = criterion.resolve(measured.directions)
    # Before anything is read: it may be that one file is written as two things.
    params = [*net.params, *net.state]
    epochs, _ = options.limits.length(data.train.batches)
    averages = Averages.of(task.average, params, step, epochs)
    called = callbacks(net, network, data.train, loop)
    checkpoint = Checkpoint(None, loop.checkpoint_every)
    if loop.checkpoint is not None:
        described = identity(task, optimizer, seeds.chosen, data, criterion, averages.kind)
        resume.check(loop.checkpoint, described)
        checkpoint = Checkpoint(loop.checkpoint, loop.checkpoint_every, described, seeds.adopted)
    constrain(task)
    averages.start()
    return made(
        moves,
        params,
        options.limits,
        evaluation=validated,
        data=data,
        callbacks=called,
        network=network,
        checkpoint=checkpoint,
        criterion=criterion,
        averages=averages,
    )


# ---- data ----------------------------------------------------------------------------


def datasets(
    net: Structure, train: Any, valid: Any, options: TrainOptions, seeds: Seeds, *, shuffle: bool
) -> Datasets:
    """Make the data sets of a run.

    Parameters
    ----------
    net : Structure
        The network that needs them.
    train, valid : Any
        See `theanets.Network.train`.
    options : TrainOptions
        How data become batches.
    seeds : Seeds
        All runs with one ``seeds.chosen`` hold back the same examples.
    shuffle : bool
        Whether training data are shuffled; an algorithm that uses all data at
        once does not depend on the size of batches either.
    """
    given, fields = options.data, net.fields
    size = given.batch_size
    if size is None:
        size = BATCH_SIZE if shuffle else EVALUATION_SIZE
    common: dict[str, Any] = {
        "axis": given.axis,
        "rounded": backends.compiles_by_shape(options.mode),
        "prefetch": given.prefetch,
        "sizes": net.sizes(fields),
    }
    train_data = Dataset(
        fields,
        train,
        batch_size=size,
        batches=given.batches,
        seed_rng=_rng.generator(seeds.run, "shuffle"),
        shuffle=shuffle,
        where="train data",
        buckets=bool(given.buckets),
        least=max((layer.least_examples for layer in net.layers), default=1),
        **common,
    )
    # Results do not depend on the size of batches, the time does.
    whole, large = None, max(train_data.batch_size, EVALUATION_SIZE)
    held = given.validation_split
    if held is not None:
        if valid is not None:
            raise ConfigurationError(
                f"validation_split={held!r} beside data to validate on; give one of them"
            )
        chosen = _rng.generator(seeds.chosen, "validation_split")
        train_data, part = train_data.split(held, chosen)
        return Datasets(train_data, part.ordered(large), train_data.ordered(large))
    if train_data.examples is not None:
        whole = train_data.ordered(large)
    number, where = given.valid_batches, "valid data"
    if valid is None:
        # Arrays are validated on as they are; batches that come in only once, or
        # anew each time, are not asked for more.
        if whole is None or number is None:
            return Datasets(train_data, whole, whole)
        valid, where = train, "train data"
    if hasattr(valid, "__next__"):
        if number is None:
            raise ConfigurationError(
                f"valid data: the {type(valid).__name__} gives its batches only once, but there "
                "are many validations; give valid_batches=<number>, of which so many are kept, "
                "or arrays, or something that can start anew"
            )
        valid = Kept(valid, number)
    valid_data = Dataset(
        fields,
        valid,
        batch_size=size if number else large,
        batches=number,
        seed_rng=_rng.generator(seeds.run, "valid"),
        shuffle=False,
        where=where,
        **common,
    )
    return Datasets(train_data, valid_data, whole)


# ---- what is compiled ------------------------------------------------------------------


def evaluation(
    task: Task, regularizers: Sequence[Regularizer], *, noise: bool = False
) -> Evaluation:
    """Get what measures a network without training it, compiled now or before.

    Parameters
    ----------
    task : Task
        The network, and what is measured of it.
    regularizers : list of Regularizer
        Penalties to measure with the losses; their strengths are not set yet.
    noise : bool
        Whether to put in the noise among them.
    """
    net = task.net
    # What keeps strengths is not shared with what the user evaluates meanwhile.
    kind = "validate" if regularizers and not noise else "evaluate"
    found: Evaluation = task.cached(
        kind,
        regularizers,
        lambda: compile_evaluation(
            net.graph,
            net.variables,
            task.losses,
            regularizers,
            watched=task.monitors,
            metrics=task.metrics,
            mode=task.mode,
            seed=net.seed,
            noise=noise,
            revise=task.revise(regularizers, False, task.monitors),
        ),
    )
    return found


def validation(task: Task, penalties: Sequence[Regularizer]) -> Evaluation:
    """Get what validates a network in a run, with strengths of its own."""
    found = evaluation(task, penalties)
    found.assign(task.losses, penalties, task.scale)
    return found


def engine(
    task: Task, optimizer: Any, data: Dataset, seed: int, monitor_gradients: Any = False
) -> Engine:
    """Get what changes the parameters, with what it has compiled now or before.

    Parameters
    ----------
    task : Task
        The network to train.
    optimizer : Optimizer
        How.
    data : Dataset
        On what.
    seed : int
        Seed of noise, and of what is random in the optimizer.
    monitor_gradients : bool
        Whether to measure the norm of each gradient.
    """
    net, regularizers = task.net, task.regularizers
    if not optimizer.first_order:
        compiled = gradient(task)
        moving = trained(net.graph, task.frozen)
        return LBFGSEngine(compiled, moving, optimizer, data, regularizers)
    gradients = flag("monitor_gradients", monitor_gradients, "train")
    step: Step = task.cached(
        ("step", optimizer.cache_key(), gradients, task.unchanged, task.moving),
        regularizers,
        lambda: compile_step(
            net.graph,
            net.variables,
            task.losses,
            regularizers,
            optimizer,
            watched=task.monitors,
            metrics=task.metrics,
            watch_gradients=gradients,
            frozen=task.frozen,
            mode=task.mode,
            rng=_rng.generator(seed, "optimizer"),
            revise=task.revise(regularizers, True, task.monitors),
            averaged=task.moving,
        ),
    )
    step.assign(task.losses, regularizers, task.scale)
    return GradientEngine(step, optimizer, data, seed)


def gradient(task: Task) -> Gradient:
    """Get the gradient of a network over all data, compiled now or before."""
    net, regularizers = task.net, task.regularizers
    found: Gradient = task.cached(
        ("gradient", task.unchanged),
        regularizers,
        lambda: compile_gradient(
            net.graph,
            net.variables,
            task.losses,
            regularizers,
            frozen=task.frozen,
            mode=task.mode,
            revise=task.revise(regularizers, True),
        ),
    )
    found.evaluation.assign(task.losses, regularizers, task.scale)
    return found


# ---- what else a run has -----------------------------------------------------------------


def callbacks(
    net: Structure, network: Any, data: Dataset, loop: LoopOptions
) -> list[_callbacks.Callback]:
    """Get what is called during a run: what the user asks for, and what the network needs."""
    progress = process.lazily("theanets.callbacks.progress")  # and rich, which is slow
    given = _callbacks.build(loop.callbacks)
    upkeep.check_paths(loop.checkpoint, loop.save_progress, given)
    return [
        *progress.build(loop.progress),
        *given,
        *upkeep.resets(net, data),
        *upkeep.saver(network, loop.save_progress, loop.save_every),
    ]


def constrain(task: Task) -> None:
    """Apply constraints: the parameters at the start may turn out to be the best."""
    net = task.net
    with process.hold([*net.params, *net.state]):
        before = [variable.get_value() for variable in task.frozen]
        for regularizer in task.regularizers:
            if isinstance(regularizer, Constraint):
                regularizer.apply(net.layers)
        for variable, value in zip(task.frozen, before, strict=True):
            variable.set_value(value)
