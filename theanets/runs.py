"""Runs: what a call of ``train`` comes to, one algorithm after the other."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any

from . import optimizers, pretraining
from .errors import check_keywords, unknown
from .training import options, setup


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
    check_keywords("train", set(kwargs) - valid, [*valid, *options.ARGUMENTS])
    found = [{k: v for k, v in kwargs.items() if k in names} for names in known]
    return [options.numbered(own, i) for i, own in enumerate(found, start=1)]


def makers(
    net: Any, algo: Any, train: Any, valid: Any, kwargs: Mapping[str, Any], network: Any = None
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
    check_keywords("train", set(kwargs) - known, [*known, *options.ARGUMENTS])
    if pretraining.method(algo) is not None:
        yield from pretraining.makers(net, algo, train, valid, kwargs, network)
        return
    yield lambda number: setup.make_run(
        net, train, valid, algo, run_number=number, network=network, **kwargs
    )


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
