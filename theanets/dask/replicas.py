"""The rows of the data, in parts that workers hold for the replicas of a network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from distributed import wait

from ..errors import DataError, warn
from ..options import whole_number
from .disk import MIXED, PIECE, OnDisk
from .models import again, workers
from .shards import Shards, in_arrays, together

#: Rows of the data by which the client finds out what they are.
_SAMPLE = 8
#: How far the share of a label, or a mean in standard deviations, may be from that of all data.
_DIFFERENT = 0.1


class Replicas:
    """The rows of the data, in parts that the workers of a cluster hold.

    Parameters
    ----------
    client : distributed.Client
        Of the cluster.
    data : dask collections
        Cut into blocks, which go to the parts in turn.
    where : str
        What they are called in messages.
    number : int
        How many parts, at most.
    on_disk : bool
        Whether workers have them on the disk.
    """

    def __init__(self, client: Any, data: Any, where: str, number: int, on_disk: bool) -> None:
        self.client = client
        shards = Shards(data, where)
        number = min(number, len(shards.blocks))
        addresses = sorted(workers(client))
        # The blocks of a part are to be in one worker, if it lives.
        places = [
            {"workers": [addresses[i % len(addresses)]], "allow_other_workers": True}
            for i in range(number)
        ]
        held: list[Any] = []
        for i, place in enumerate(places):
            blocks = shards.blocks[i::number]
            if on_disk:
                made = [_delayed(_written, shards.names, *block) for block in blocks]
                held.append(client.compute(made, **place))
            else:
                held.append(client.compute(_delayed(_join, shards.names, blocks), **place))
        wait(held)
        sizes = client.gather([client.submit(_rows, part) for part in held])
        kept = [i for i, size in enumerate(sizes) if size]
        self.parts, self.sizes = [held[i] for i in kept], [int(sizes[i]) for i in kept]
        self._places = [places[i] for i in kept]
        if not self.parts:
            raise DataError(f"{where}: all blocks are empty; expected is at least one example")

    def sample(self) -> Any:
        """Get a few rows."""
        return self.client.submit(_head, self.parts[0]).result()

    def map(self, function: Any, *common: Any, each: Sequence[Any] | None = None) -> list[Any]:
        """Call a function for each part, with what they have in common; in any worker."""

        def once() -> list[Any]:
            # Anew each time, as those who had it may all be lost.
            held = self.client.scatter(common, broadcast=True, hash=False)
            futures = [
                self.client.submit(function, held, part, one, pure=False, **place)
                for part, one, place in zip(
                    self.parts, each or [None] * len(self.parts), self._places, strict=True
                )
            ]
            found: list[Any] = self.client.gather(futures)
            return found

        return again(once)


def replicas_of(client: Any, number: Any) -> int:
    """Get how many replicas there are to be, by default one for each worker."""
    if number is None:
        return max(1, len(workers(client)))
    return whole_number("replicas", number)


def warn_of_differences(net: Any, replicas: Replicas) -> None:
    """Warn where the targets of some replicas are other ones than those of others."""
    fields = [field for field in net.fields if field.role == "target"]
    if len(replicas.parts) < 2 or not fields:
        return
    index = [field.name for field in net.fields].index(fields[0].name)
    found = replicas.map(_targets, index, fields[0].name, fields[0].classes)
    share = np.asarray(replicas.sizes) / sum(replicas.sizes)
    mean = sum(s * m for s, (m, _) in zip(share, found, strict=True))
    square = sum(s * q for s, (_, q) in zip(share, found, strict=True))
    scale = 1.0 if fields[0].classes else np.sqrt(np.maximum(square - mean**2, 1e-12))
    # What chance makes of so many rows, four standard deviations of it, is no difference.
    chance = [(2 if fields[0].classes else 4) / math.sqrt(size) for size in replicas.sizes]
    far = [float(np.max(np.abs(m - mean) / scale)) for m, _ in found]
    worst = max(range(len(far)), key=lambda i: far[i] - chance[i])
    if far[worst] > _DIFFERENT + chance[worst]:
        warn(
            f"the targets differ between replicas: those of replica {worst} of {len(far)} are "
            "others than those of all data, so that averages of parameters that were trained on "
            "them are much worse than sync='step'; shuffle the rows before they are cut in blocks"
        )


# ---- what tasks do -----------------------------------------------------------------------


def _delayed(function: Any, *arguments: Any) -> Any:
    from dask import delayed

    return delayed(function, pure=True)(*arguments)


def _join(names: Any, blocks: list[list[Any]]) -> Any:
    columns = zip(*blocks, strict=True)
    return together(names, [np.concatenate(in_arrays(column)) for column in columns])


def _written(names: Any, *parts: Any) -> tuple[Any, OnDisk]:
    return names, OnDisk(in_arrays(parts))


def blocks_of(data: Any) -> tuple[Any, list[OnDisk]] | None:
    """Get the names of the arrays and the blocks of a part that is on the disk."""
    if isinstance(data, list) and isinstance(data[0], tuple):
        return data[0][0], [block for _, block in data]
    return None


def _arrays(data: Any) -> list[Any]:
    return list(data.values()) if isinstance(data, Mapping) else list(data)


def _rows(data: Any) -> int:
    blocks = blocks_of(data)
    return len(_arrays(data)[0]) if blocks is None else sum(block.rows for block in blocks[1])


def _head(data: Any) -> Any:
    blocks = blocks_of(data)
    if blocks is not None:
        first = next(block for block in blocks[1] if block.rows)
        return together(blocks[0], first.read(0, _SAMPLE))
    names = list(data) if isinstance(data, Mapping) else None
    return together(names, [array[:_SAMPLE] for array in _arrays(data)])


def _targets(common: Any, data: Any, _: Any) -> tuple[Any, Any]:
    """Get means of a target, and of its square; of labels their shares."""
    index, name, classes = common
    blocks = blocks_of(data)
    if blocks is not None:
        # Of rows from all over: some of each block, and no more than are mixed at a time.
        names, held = blocks
        most = PIECE * MIXED // (len(held) * max(block.row_bytes for block in held))
        some = [block.read(0, max(_SAMPLE, min(block.rows // 10, most))) for block in held]
        data = together(names, [np.concatenate(column) for column in zip(*some, strict=True)])
    target = data[name] if isinstance(data, Mapping) else data[index]
    if classes:
        labels = np.asarray(target).ravel().astype(int)
        counts = np.bincount(labels[(labels >= 0) & (labels < classes)], minlength=classes)
        return counts / max(1, counts.sum()), np.zeros(classes)
    rows = np.asarray(target, float).reshape(len(target), -1)
    return rows.mean(axis=0), (rows**2).mean(axis=0)
