"""Evaluation where the blocks of data are."""

from __future__ import annotations

from typing import Any

from dask import compute, delayed

from ..errors import ConfigurationError, DataError
from ..structure import check_network
from ..training.measuring import Measurement
from .models import Shipped, check_client, ship
from .shards import Shards, together

#: Keywords of ``evaluate`` that have no meaning for data in blocks.
_NOT_OF_BLOCKS = ("axis", "batches", "prefetch")


def evaluate(client: Any, net: Any, data: Any, **options: Any) -> dict[str, float]:
    """Evaluate a network on data that are in blocks.

    The figures are those of all rows, to rounding, whatever the sizes of the blocks. Of a block
    its sums and counts travel; for metrics, its targets and outputs too, to one worker.

    Parameters
    ----------
    client : distributed.Client or None
        Whose workers compute; without one, Dask's scheduler, threads of this process for one.
    net : Network
        The network.
    data : list, tuple or dict of dask arrays and dataframes
        As for `theanets.Network.evaluate`, cut into the same blocks of whole rows.
    **options
        As for `theanets.Network.evaluate`: ``metrics``, ``monitors``, ``batch_size``, penalties;
        but not ``axis``, ``batches`` and ``prefetch``.

    Returns
    -------
    dict
        As of `theanets.Network.evaluate`.

    Raises
    ------
    DataError
        If the data are not collections of Dask that are cut alike, or not what the network needs.
    ConfigurationError
        If a keyword is unknown or has a value without meaning.
    """
    check_client(client, optional=True)
    check_network(net)
    for name in _NOT_OF_BLOCKS:
        if name in options:
            raise ConfigurationError(
                f"{name}={options[name]!r} has no meaning for data that are in blocks"
            )
    Measurement(net, **options)
    shards, shipped = Shards(data, "data", series=True), ship(client, net)
    measure = delayed(_measure, pure=True)
    parts = [measure(shipped, shards.names, options, *block) for block in shards.blocks]
    summary = delayed(_summary, pure=True)(shipped, options, parts)
    found: dict[str, float] = (
        compute(summary)[0] if client is None else client.compute(summary).result()
    )
    return found


def _measure(shipped: Shipped, names: Any, options: dict[str, Any], *arrays: Any) -> list[Any]:
    """Measure a block."""
    if not len(arrays[0]):
        return []
    net, data = shipped.model._ready(together(names, arrays))
    return Measurement(net, **options).results(data)


def _summary(shipped: Shipped, options: dict[str, Any], parts: list[list[Any]]) -> dict[str, float]:
    """Get the figures of all blocks."""
    results = [one for part in parts for one in part]
    if not results:
        raise DataError("data: all blocks are empty; expected is at least one example")
    return Measurement(shipped.model, **options).summary(results)
