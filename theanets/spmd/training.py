"""Training together: what each process calls."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from .. import pretraining, runs
from ..data import comes_in_batches
from ..errors import ConfigurationError, DataError, is_integer
from ..training import options
from .exchange import Exchange
from .group import Group
from .setup import check_same, make_run

Monitors = dict[str, float]


def train(
    net: Any,
    group: Group,
    shards: Mapping[int, Any],
    valid: Mapping[int, Any] | None = None,
    algo: Any = None,
    **kwargs: Any,
) -> tuple[Monitors, Monitors]:
    """Train a network on data of which each process of a group has a part.

    Every process calls it at the same time, with the same network and keywords and with its own
    data. The network of each then has the same parameters, to the last bit; they begin with those
    of rank 0, and all seeds are its. Each update is that of one batch of ``batch_size`` examples
    in all, of which each shard has a share that fits its size; gradients, losses, monitors and
    metrics are those of the whole batch, or of all data. So what comes of it depends, to
    rounding, on the shards, and not on which process has which.

    Parameters
    ----------
    net : Network
        The network.
    group : Group
        This process's place among the others.
    shards : dict of int to data
        The parts of the data that this process has: arrays, as `theanets.Network.train` takes
        them, by a number. All shards together are numbered 0, 1, 2, ...
    valid : dict of int to data, optional
        Parts of the data to validate on; some processes may have none. By default it is what is
        trained on.
    algo, **kwargs
        See `theanets.Network.train`. Callbacks are called, and files are written, by rank 0
        alone, and it is its clock that ``max_seconds`` means; callbacks must not change the
        parameters.

    Returns
    -------
    (dict, dict)
        Monitors on all training and validation data of the parameters that the network now has.

    Raises
    ------
    ConfigurationError
        If an argument has no meaning, or not in a group: batches that come in one by one,
        ``valid_batches``, pretraining, trainers, algorithms that need more than gradients,
        layers whose statistics or states are those of a batch, and losses and metrics that do
        not add up over examples.
    DataError
        If data do not have the form that the network needs.
    GroupError
        If training fails in another process, or the connection to it.
    """
    exchange = Exchange(group)
    try:
        with exchange.listening():
            found = _train(net, exchange, shards, valid, algo, dict(kwargs))
        if not exchange.sound:
            raise KeyboardInterrupt
        return found
    except BaseException as error:
        abort = getattr(group, "abort", None)
        if error is not exchange.told and abort is not None:
            abort(error)
        raise


def _train(
    net: Any, exchange: Exchange, shards: Any, valid: Any, algo: Any, kwargs: dict[str, Any]
) -> tuple[Monitors, Monitors]:
    exchange.agree(lambda: _check(algo, kwargs))
    check_same(exchange, {"algorithms": len(algo) if isinstance(algo, (list, tuple)) else 1})

    def ready(shards: Any, valid: Any) -> tuple[Any, Any, Any]:
        return _ready(net, exchange, shards, valid)

    several = runs.begin(
        net, shards, valid, algo, kwargs, ready=ready, make=partial(make_run, exchange=exchange)
    )
    result: tuple[Monitors, Monitors] = runs.alone(net, runs.finish, several)
    return result


def _check(algo: Any, kwargs: Mapping[str, Any]) -> None:
    """Refuse algorithms and keywords, before anything else is done."""
    several = algo if isinstance(algo, (list, tuple)) else [algo]
    algorithms = ["adam" if one is None else one for one in several]
    for one in algorithms:
        if hasattr(one, "itertrain") or pretraining.method(one) is not None:
            raise ConfigurationError(
                f"algo={one!r}: in a group, networks train by algorithms of gradients or 'l-bfgs'; "
                "pretrain in one process, and train in the group after that"
            )
    for one, own in zip(algorithms, runs.split(algorithms, kwargs), strict=True):
        known = runs.keywords(one)
        options.check(own, known)


def _ready(
    net: Any, exchange: Exchange, shards: Any, valid: Any
) -> tuple[Any, dict[int, Any], dict[int, Any]]:
    """Get the network that takes the data of all processes, and this one's data."""

    def own() -> tuple[Any, dict[int, Any], dict[int, Any]]:
        given = [_numbered(shards, "train data"), _numbered(valid or {}, "valid data")]
        every = [data for part in given for data in part.values()]
        found, *fitted = net._ready(*every)
        rest = iter(fitted)
        first, second = ({number: next(rest) for number in part} for part in given)
        return found, first, second

    found, first, second = exchange.agree(own)
    names = json.dumps([variable.name for variable in found.variables])
    theirs = [json.loads(text) for text in exchange.gather(names.encode())]

    def compare() -> None:
        if any(one != theirs[0] for one in theirs):
            most = max(theirs, key=len)
            raise DataError(
                "series have different lengths in some processes and not in others: expected "
                f"their lengths in all, as a dict of {', '.join(map(repr, most))}"
            )

    exchange.agree(compare)
    return found, first, second


def _numbered(shards: Any, where: str) -> dict[int, Any]:
    if not isinstance(shards, Mapping) or not all(is_integer(key, 0) for key in shards):
        raise ConfigurationError(
            f"{where}: expected a dict with the data of each shard by its number, {{0: [x, y]}}"
        )
    for number, data in shards.items():
        if comes_in_batches(data):
            raise ConfigurationError(
                f"{where}: shard {number} is a {type(data).__name__} that gives batches; in a "
                "group, each process needs arrays (which may be memory maps)"
            )
    return {int(number): data for number, data in shards.items()}
