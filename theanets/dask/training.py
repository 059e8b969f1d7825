"""Training where the blocks of data are."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from .. import pretraining, runs
from ..data.tables import is_dask
from ..errors import ConfigurationError
from ..options import Number, Whole, flag
from ..saving import set_arrays
from ..structure import check_network
from .averaged import make_run
from .models import Shipped, check_client
from .replicas import Replicas, replicas_of
from .scheduler import attend
from .shards import named
from .stepwise import Launcher

Monitors = dict[str, float]


def train(
    client: Any,
    net: Any,
    data: Any,
    valid: Any = None,
    algo: Any = None,
    *,
    sync: str = "step",
    replicas: int | None = None,
    memory: bool = True,
    restarts: int = 3,
    timeout: float = 300.0,
    **kwargs: Any,
) -> tuple[Monitors, Monitors]:
    """Train a network on data that are in blocks, where the blocks are.

    The blocks come to the workers, and stay there until the call ends.

    ``sync='step'``
        Each update is that of one batch of ``batch_size`` examples in all, of which each worker
        computes a share of the gradient; see `theanets.spmd.train`. What comes of it depends on
        the blocks, to rounding, and not on the workers. Messages go from worker to worker by
        MPI where it has started all of them (``dask-mpi --worker-class distributed.Worker``),
        else by PyTorch's gloo or XGBoost's collective, one of which has to be installed there.
        Where a worker is lost, training begins again with those that are left, from the last
        checkpoint if there is one, with the blocks that were lost computed anew. Several
        trainings on one cluster wait for each other.

    ``sync='epoch'``
        Each replica of the network trains for an epoch on some of the blocks, in batches of
        ``batch_size``; then parameters and the optimizer's state are averaged by their numbers
        of rows. These are plain tasks of Dask, which does those of lost workers again. It is
        as good where the rows are shuffled, and much worse where replicas have other targets
        than each other, of which it warns. ``algo='l-bfgs'`` averages nothing: workers add up the
        gradient over all rows, and each iteration is that of one process.

    Parameters
    ----------
    client : distributed.Client
        Of the cluster.
    net : Network
        Its parameters and its history are then those of the run.
    data : list, tuple or dict of dask arrays and dataframes
        As for `theanets.Network.train`, cut into the same blocks of whole rows.
    valid : optional
        Such data to validate on; with ``sync='epoch'`` also arrays in memory. By default what
        is trained on.
    algo : str, Optimizer, or list of these
        As for `theanets.Network.train`; those of pretraining are refused.
    sync : {'step', 'epoch'}
        What is added up or averaged, and when.
    replicas : int, optional
        How many there are with ``sync='epoch'``; by default one for each worker, and at most
        one for each block.
    memory : bool
        False with ``sync='epoch'`` is for data that are larger than the memory of the workers:
        each writes its blocks to files in its directory, once, and then reads pieces of 4 MB at
        random, of which it mixes the rows of ten at a time. That is nearly as good as mixing all
        rows, unless fewer than some tens of pieces have all of a class.
    restarts : int
        How often ``sync='step'`` may begin again.
    timeout : float
        Seconds that a worker waits for the others with ``sync='step'``, once all have begun.
    **kwargs
        As for `theanets.Network.train`. With ``sync='step'``, callbacks run in a worker, and
        ``checkpoint`` is a path that all workers reach; with ``'epoch'`` both are of this process.

    Returns
    -------
    (train, valid) : dicts
        As of `theanets.Network.train`.

    Raises
    ------
    ConfigurationError
        If an argument is unknown or has no meaning here.
    DataError
        If the data are not collections of Dask that are cut alike, or not what the network needs.
    LostWorkerError
        If workers were lost more often than ``restarts`` says.
    """
    if sync not in ("step", "epoch"):
        raise ConfigurationError(f"sync={sync!r}: expected 'step' or 'epoch'")
    check_client(client)
    check_network(net)
    restarts = Whole(3, least=0).check("restarts", restarts)
    timeout = Number(300.0, "positive").check("timeout", timeout)
    attend(client)
    # What waits for futures of Dask asks the client that is the current one.
    with client.as_current():
        if sync == "epoch":
            on_disk = not flag("memory", memory, "theanets.dask.train")
            held = _Held(client, replicas_of(client, replicas), on_disk)
            return _by_epoch(held, net, data, valid, algo, kwargs)
        for name, value, usual in [("replicas", replicas, None), ("memory", memory, True)]:
            if value is not usual:
                raise ConfigurationError(f"{name}={value!r} is for sync='epoch'")
        given = {**kwargs, "algo": algo}
        launcher = Launcher(client, net, data, valid, given, restarts, timeout)
        return runs.alone(net, partial(_by_step, net, launcher))


class _Held(NamedTuple):
    """How replicas hold their rows."""

    client: Any
    number: int
    on_disk: bool

    def replicas(self, data: Any, where: str) -> Replicas:
        return Replicas(self.client, data, where, self.number, self.on_disk)


def _by_epoch(
    held: _Held, net: Any, data: Any, valid: Any, algo: Any, kwargs: dict[str, Any]
) -> tuple[Monitors, Monitors]:
    for one in algo if isinstance(algo, (list, tuple)) else [algo]:
        if hasattr(one, "itertrain") or pretraining.method(one) is not None:
            raise ConfigurationError(
                f"algo={one!r}: replicas train by algorithms of gradients; pretrain before "
                "that, in one process"
            )
    parts = {"train": held.replicas(data, "train data")}
    if any(map(is_dask, named(valid)[1])):
        parts["valid"], valid = held.replicas(valid, "valid data"), None

    def ready(data: Any, valid: Any) -> Any:
        return net, data, valid

    make = partial(make_run, shipped=Shipped(net))
    several = runs.begin(net, parts, valid, algo, kwargs, ready=ready, make=make)
    found: tuple[Monitors, Monitors] = runs.alone(net, runs.finish, several)
    return found


def _by_step(net: Any, launcher: Launcher) -> tuple[Monitors, Monitors]:
    monitors, values, history = launcher.run()
    set_arrays(net, values, "a worker")
    net.history = history
    net._runs += 1
    found: tuple[Monitors, Monitors] = monitors
    return found
