"""Networks and estimators in the processes that compute: each loads a model once."""

from __future__ import annotations

import copy
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any, TypeVar

import cloudpickle
from dask import delayed

from ..errors import ConfigurationError
from ..network import Network

#: Models that a process keeps; the least recently used goes first.
KEPT = 8
#: Seconds until it is tried again what a lost worker made fail.
WAITS = (0.5, 1, 2, 4)

T = TypeVar("T")

_models: OrderedDict[str, Any] = OrderedDict()
_table = threading.Lock()


def check_client(client: Any, *, optional: bool = False) -> None:
    """Refuse what is no client of a cluster, nor None where it is optional."""
    if client is None and optional:
        return
    from distributed import Client

    if not isinstance(client, Client):
        also = ", or None for Dask's own schedulers" if optional else ""
        raise ConfigurationError(f"client={client!r}: expected a distributed.Client{also}")


def check_network(net: Any) -> None:
    """Refuse what is no network."""
    if not isinstance(net, Network):
        raise ConfigurationError(f"net={net!r} is a {type(net).__name__}; expected a network")


class Shipped:
    """A model as it was when it was sent, told from others by what it holds.

    Parameters
    ----------
    model : Network or estimator
        What to send; later changes of it have no effect.

    Attributes
    ----------
    key : str
        A digest of all that the model holds.
    model : Network or estimator
        A copy; in a process that gets it, one for all tasks, whose functions compile once. Any
        number of threads may compute with it.
    """

    def __init__(self, model: Any) -> None:
        self.key = hashlib.sha256(cloudpickle.dumps(model)).hexdigest()
        self.model = _known(self.key, copy.deepcopy(model))

    def __dask_tokenize__(self) -> str:
        return self.key

    def __reduce__(self) -> Any:
        return _received, (self.key, self.model)


def _received(key: str, model: Any) -> Shipped:
    """Get what another process sent; Dask's own pickles name this function."""
    shipped = Shipped.__new__(Shipped)
    shipped.key, shipped.model = key, _known(key, model)
    return shipped


def _known(key: str, model: Any) -> Any:
    """Get the model of a key that came first, or this one."""
    with _table:
        found = _models.setdefault(key, model)
        _models.move_to_end(key)
        while len(_models) > KEPT:
            _models.popitem(last=False)
        return found


def ship(client: Any, model: Any) -> Any:
    """Get what stands for a `Shipped` model in the arguments of tasks.

    Parameters
    ----------
    client : distributed.Client or None
        Whose workers get it now, each once; without one it is a part of the graph.
    model : Network or estimator
        The model.

    Returns
    -------
    Delayed
    """
    shipped = Shipped(model)
    if client is None:
        return delayed(shipped, name=f"model-{shipped.key}", traverse=False)
    return delayed(again(lambda: client.scatter(shipped, broadcast=True, hash=True)))


def again(do: Callable[[], T]) -> T:
    """Do something that fails where a worker is lost meanwhile, as often as may help."""
    for wait in WAITS:
        try:
            return do()
        except (OSError, CancelledError):  # of connections, and of what the worker had
            time.sleep(wait)
    return do()


def workers(client: Any) -> dict[str, Any]:
    """Get what the scheduler knows of the workers that there are now, by their addresses.

    (``client.scheduler_info()`` has no workers every now and then: the client fetches the cluster's
    totals into the same place every two seconds.)
    """
    found: dict[str, Any] = client.sync(client.scheduler.identity, n_workers=-1)["workers"]
    return found
