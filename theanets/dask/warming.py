"""Compilation ahead of time, on the machines of a cluster."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from ..data import Field
from ..structure import check_network
from .models import Shipped, check_client, ship, workers

#: Steps of series, and rows, of the data that are made up.
_LENGTH = 4


def warmup(client: Any, net: Any, **options: Any) -> dict[str, float]:
    """Compile on a cluster what a network needs to train and to predict.

    One worker of each machine compiles, into PyTensor's cache on the disk; then all others take
    from there what they need. Workers that all begin with a new network at once each compile
    everything. No parameter of the network changes.

    Parameters
    ----------
    client : distributed.Client
        Of the cluster.
    net : Network
        The network, or one of the same layers and losses; sizes may differ.
    **options
        As for `theanets.Network.train`, where they change what is compiled: ``algo``,
        regularizers, ``metrics``, ``mode``.

    Returns
    -------
    dict of str to float
        Seconds by address of the worker.
    """
    check_client(client)
    check_network(net)
    shipped = ship(client, net)
    machines: dict[str, list[str]] = {}
    for address, worker in workers(client).items():
        machines.setdefault(worker["host"], []).append(address)
    first = [addresses[0] for addresses in machines.values()]
    rest = [address for addresses in machines.values() for address in addresses[1:]]
    seconds: dict[str, float] = {}
    for addresses in (first, rest):
        # A worker that is gone by then leaves its part to another.
        futures = [
            client.compute(
                _use_delayed(shipped, options), workers=[address], allow_other_workers=True
            )
            for address in addresses
        ]
        seconds.update(client.gather(futures))
    return seconds


def _use_delayed(shipped: Any, options: dict[str, Any]) -> Any:
    from dask import delayed

    return delayed(_use, pure=False)(shipped, options)


def _use(shipped: Shipped, options: dict[str, Any]) -> tuple[str, float]:
    """Do with a copy of the network what is done with most."""
    from distributed import get_worker

    start = time.perf_counter()
    net = shipped.model.clone()
    data = {field.name: made_up(field) for field in net.fields}
    inputs = {field.name: data[field.name] for field in net.fields if field.role == "input"}
    given = {"epochs": 1, "batch_size": 2, "progress": False, "patience": None, **options}
    net.train(data, data, **given)
    net.predict(inputs)
    return get_worker().address, time.perf_counter() - start


def made_up(field: Field) -> Any:
    """Get rows that a field takes."""
    shape = (_LENGTH, *(_LENGTH if length is None else length for length in field.shape))
    least, most = field.limits
    value: float = 1 if field.role == "weights" else 0
    if least is not None and most is not None:
        value = (least + most) / 2
    elif least is not None:
        value = max(value, least + 1)
    elif most is not None:
        value = min(value, most - 1)
    if field.lengths is None and field.integral and field.blank == value:
        value += 1
    return np.full(shape, value, dtype=field.dtype)
