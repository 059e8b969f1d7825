"""Networks and estimators in the processes that compute: each loads a model once."""

from __future__ import annotations

import copy
import hashlib
import io
import pickle
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any, TypeVar

import cloudpickle
from dask import delayed

from .. import saving
from ..errors import ConfigurationError
from ..network import Network
from .scheduler import attend

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
        self._pickled = _pickled(model)
        self.key = hashlib.sha256(self._pickled).hexdigest()
        self.model = _known(self.key, lambda: copy.deepcopy(model))

    def __dask_tokenize__(self) -> str:
        return self.key

    def __reduce__(self) -> Any:
        return _received, (self.key, self._pickled)


def _received(key: str, pickled: bytes) -> Shipped:
    """Get what another process sent; Dask's own pickles name this function."""
    shipped = Shipped.__new__(Shipped)
    shipped.key, shipped._pickled = key, pickled
    shipped.model = _known(key, lambda: _unpickled(pickled))
    return shipped


def _known(key: str, make: Callable[[], Any]) -> Any:
    """Get the model of a key that came first, or one that is made now."""
    with _table:
        found = _models[key] if key in _models else _models.setdefault(key, make())
        _models.move_to_end(key)
        while len(_models) > KEPT:
            _models.popitem(last=False)
        return found


class _Pickler(cloudpickle.Pickler):
    """Sends what no worker can import, such as a loss that is defined in a function.

    A pickle of a network has the names of classes, which mean something where these are defined;
    here it has the classes.
    """

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, Network):
            return saving.reduced_exactly(obj)
        return super().reducer_override(obj)


def _pickled(model: Any) -> bytes:
    file = io.BytesIO()
    _Pickler(file).dump(model)
    return file.getvalue()


def _unpickled(data: bytes) -> Any:
    try:
        return pickle.loads(data)
    except ImportError as error:
        raise ConfigurationError(
            f"a worker cannot import what the model is made of: {error}; put the module where "
            "workers find it, or send it with client.upload_file('module.py')"
        ) from error


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
    attend(client)
    # By a name of its own: what an equal one is called that goes just now would go with it.
    return delayed(again(lambda: client.scatter(shipped, broadcast=True, hash=False)))


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
