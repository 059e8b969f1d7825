"""Runs: what a call of ``train`` comes to, one algorithm after the other."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from . import optimizers, pretraining
from .errors import ConfigurationError, deprecated, unknown
from .training import Run, options, setup

T = TypeVar("T")


def keywords(algo: Any, subalgo: Any = None) -> set[str]:
    """Get all keywords that ``train`` accepts with an algorithm or a method of pretraining."""
    if pretraining.method(algo) is not None:
        return pretraining.keywords(algo, subalgo)
    if isinstance(algo, str) and algo not in optimizers.Optimizer.registry:
        raise unknown("algorithm", algo, [*optimizers.names(), *pretraining.METHODS])
    return set(options.keywords(algo))


def split(algorithms: Sequence[Any], kwargs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Get the keywords for each of several algorithms that are used one after the other.

    Each gets those that it knows. Each has a checkpoint of its own:
    ``'run.1.ckpt'``, ``'run.2.ckpt'``, ... instead of ``'run.ckpt'``.

    Raises
    ------
    ConfigurationError
        If a keyword is known to none of them.
    """
    if len(algorithms) == 1:
        return [dict(kwargs)]
    subalgo = kwargs.get("subalgo")
    known = [
        kwargs.keys() if hasattr(algo, "itertrain") else keywords(algo, subalgo)
        for algo in algorithms
    ]
    valid = set().union(*known)
    options.check(kwargs, valid)
    found = [{k: v for k, v in kwargs.items() if k in names} for names in known]
    return [options.numbered(own, i) for i, own in enumerate(found, start=1)]


def makers(
    net: Any,
    algo: Any,
    train: Any,
    valid: Any,
    kwargs: Mapping[str, Any],
    network: Any = None,
    make: Callable[..., Run] = setup.make_run,
) -> Iterator[Callable[[int], Any]]:
    """Generate functions that make the runs of an algorithm, one for each stage.

    Parameters
    ----------
    net : Structure
        The network to train.
    algo, train, valid, kwargs
        The arguments of ``train``, with one algorithm.
    network : Structure, optional
        The network of the user's, see `theanets.training.setup.make_run`.
    make : callable
        Makes a run of an algorithm: that, or what does the same with others.

    Yields
    ------
    callable
        Makes a run from the number of runs that there were before.

    Raises
    ------
    ConfigurationError
        If an argument is unknown or has a value without meaning, or a layer
        cannot be pretrained.
    """
    if hasattr(algo, "itertrain"):
        yield lambda number: TrainerRun(algo, train, valid, **kwargs)
        return
    known = keywords(algo, kwargs.get("subalgo"))
    options.check(kwargs, known)
    if pretraining.method(algo) is not None:
        yield from pretraining.makers(net, algo, train, valid, kwargs, network)
        return
    yield lambda number: make(net, train, valid, algo, run_number=number, network=network, **kwargs)


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


def begin(
    network: Any,
    train: Any,
    valid: Any,
    algo: Any,
    kwargs: dict[str, Any],
    ready: Callable[..., Any] | None = None,
    make: Callable[..., Run] = setup.make_run,
) -> Iterator[Run | TrainerRun]:
    """Begin the runs of a call of ``train``, each once the one before it is over.

    Parameters
    ----------
    network : Network
        The network; its history is then that of the run.
    train, valid, algo, kwargs
        See `theanets.Network.train`.
    ready : callable, optional
        Gets the network that takes the data, and the data as it takes them.
    make : callable
        See `makers`.
    """
    for old in ("algorithm", "optimize"):
        if old in kwargs:
            deprecated(f"{old}= is now algo=")
            algo = kwargs.pop(old)
    algorithms = algo if isinstance(algo, (list, tuple)) else [algo]
    if not algorithms:
        raise ConfigurationError("algo=[] names no algorithm")
    algorithms = ["adam" if one is None else one for one in algorithms]
    net, train, valid = (ready or network._ready)(train, valid)
    last: Run | None = None
    for one, own in zip(algorithms, split(algorithms, kwargs), strict=True):
        for made in makers(net, one, train, valid, own, network, make):
            before = None if network._current is None else network._current()
            if before is not None:
                # A run that was left without being closed may not come back and restore
                # its parameters later.
                before.leave()
            run = made(network._runs)
            if isinstance(run, Run):
                run.alone, run.before, last = partial(alone, network), last, run
                network._runs += 1
                network._current = weakref.ref(run)
                network.history = run.history
            yield run


def alone(network: Any, do: Callable[..., T], *arguments: Any) -> T:
    """Do a part of a network's training, unless another thread is at one."""
    if not network._trainer.acquire(blocking=False):
        raise ConfigurationError(
            "another thread trains this network just now: train it after that, or a copy of "
            "it, copy.deepcopy(net); predictions do not have to wait"
        )
    try:
        return do(*arguments)
    finally:
        network._trainer.release()


def finish(runs: Iterator[Run | TrainerRun]) -> Any:
    """Train until all runs are over, or one is interrupted; get the last one's monitors."""
    for run in runs:
        epochs = run.iterate()
        try:
            for _ in epochs:
                pass
        except KeyboardInterrupt:
            # It came between two epochs, outside of what handles it.
            with suppress(StopIteration):
                epochs.throw(KeyboardInterrupt)
        last = run
        if run.stop_reason == "interrupted":
            break
    return last.result()
