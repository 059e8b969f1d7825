"""Training in step: workers that add up their gradients, and what is done where one is lost."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

from distributed import get_worker, wait
from distributed.worker import thread_state

from .. import spmd
from ..callbacks import Callback
from ..errors import ConfigurationError, Error, GroupError
from ..saving import arrays
from . import collective
from .models import Shipped, again, workers
from .scheduler import Lost, alone
from .shards import Shards, in_arrays, together

log = logging.getLogger("theanets")

#: Seconds between two looks at which workers there are.
WATCH = 0.5
#: Seconds that workers which have lost one may take to end.
ENDING = 60.0


class LostWorkerError(Error, RuntimeError):
    """Workers were lost again and again, so that training did not come to its end."""


class Launcher:
    """Starts one training in the workers that have the data, and watches over it.

    Parameters
    ----------
    client : distributed.Client
        Of the cluster.
    net : Network
        As it is before.
    data, valid : dask collections
        The data; each block is a shard.
    options : dict
        Keywords of ``train``.
    restarts : int
        How often training may begin again with the workers that are left.
    timeout : float
        Seconds that a worker waits for the others.
    """

    def __init__(
        self,
        client: Any,
        net: Any,
        data: Any,
        valid: Any,
        options: dict[str, Any],
        restarts: int,
        timeout: float,
    ) -> None:
        self.client, self.options = client, options
        self.restarts, self.timeout = restarts, timeout
        self._net = Shipped(net)
        self._parts = {"train": self._persisted(Shards(data, "train data", series=True))}
        if valid is not None:
            self._parts["valid"] = self._persisted(Shards(valid, "valid data", series=True))

    def _persisted(self, shards: Shards) -> list[Any]:
        """Get a future of each block, which stays where it is."""
        from dask import delayed

        block = delayed(_block, pure=True)
        return list(self.client.compute([block(shards.names, *b) for b in shards.blocks]))

    def run(self) -> tuple[Any, ...]:
        """Train, anew as often as may be; get what rank 0 has in the end."""
        for attempt in range(self.restarts + 1):
            owners = self._owners()
            try:
                with alone(self.client, owners) as key:
                    return self._attempt(key, owners)
            except Lost as error:
                log.warning(
                    "%s; %s", error, "begins again" if attempt < self.restarts else "gives up"
                )
                lost = error
        raise LostWorkerError(f"{lost}; restarts={self.restarts} are used up") from lost

    def _owners(self) -> dict[str, dict[str, list[int]]]:
        """Find which worker has which shards; each is of one worker."""
        every = [future for part in self._parts.values() for future in part]
        wait(every)
        for future in every:
            if future.status == "error":
                future.result()
        live = len(workers(self.client))
        kept = self._parts["train"]
        holders = self.client.who_has(every)
        if len({a for f in kept for a in holders[f.key]}) < min(live, len(kept)):
            self.client.rebalance(every)
            holders = self.client.who_has(every)
        owners: dict[str, dict[str, list[int]]] = {}
        for kind, part in self._parts.items():
            for number, future in enumerate(part):
                # Of several that have it, the one with the fewest.
                address = min(
                    holders[future.key],
                    key=lambda a: (len(owners.get(a, {}).get(kind, ())), a),
                    default=None,
                )
                if address is None:
                    return self._owners()  # lost in between, and computed anew
                owners.setdefault(address, {}).setdefault(kind, []).append(number)
        # Each process needs something to train on.
        for address in [a for a, own in owners.items() if "train" not in own]:
            other = next(a for a, own in owners.items() if "train" in own)
            own = owners.pop(address)
            owners[other]["valid"] = [*owners[other].get("valid", ()), *own["valid"]]
        return dict(sorted(owners.items()))

    def _attempt(self, key: str, owners: dict[str, dict[str, list[int]]]) -> tuple[Any, ...]:
        client, addresses = self.client, list(owners)
        kind = ""
        if len(addresses) > 1:
            with _losing():
                pids = client.run(_process, workers=addresses)
                able = client.run(collective.able, workers=addresses)
            if len(set(pids.values())) < len(pids):
                raise ConfigurationError(
                    "sync='step' needs workers that are processes of their own, which these are "
                    "not: Client(processes=True), or sync='epoch'"
                )
            kind = collective.common(list(able.values()))
        # Anew, as those who had it may all be lost.
        shipped = again(lambda: client.scatter(self._net, broadcast=True, hash=False))
        futures = []
        for rank, (worker, own) in enumerate(owners.items()):
            held = {
                kind: {number: self._parts[kind][number] for number in numbers}
                for kind, numbers in own.items()
            }
            futures.append(
                client.submit(
                    _work,
                    shipped,
                    list(held.get("train", {})),
                    list(held.get("train", {}).values()),
                    list(held.get("valid", {})) if "valid" in self._parts else None,
                    list(held.get("valid", {}).values()),
                    kind,
                    (key, rank, len(addresses), self.timeout),
                    self.options,
                    workers=[worker],
                    allow_other_workers=False,
                    pure=False,
                    retries=0,
                )
            )
        try:
            return self._watched(dict(zip(addresses, futures, strict=True)))
        finally:
            # What still runs is told to end; see `_Wanted`.
            client.cancel(list(futures), force=True)

    def _watched(self, futures: dict[str, Any]) -> tuple[Any, ...]:
        """Wait for all, or for the first that fails or is lost, and then for the others to end."""
        gone: list[str] = []
        failed: dict[str, Any] = {}
        left, until = list(futures), float("inf")
        while left and time.monotonic() < until:
            with contextlib.suppress(TimeoutError, CancelledError):
                wait([futures[worker] for worker in left], timeout=WATCH)
            live = workers(self.client)
            gone = [worker for worker in futures if worker not in live]
            failed = {
                w: f for w, f in futures.items() if f.status in ("error", "cancelled", "lost")
            }
            left = [w for w, f in futures.items() if f.status == "pending" and w not in gone]
            if (gone or failed) and until == float("inf"):
                until = time.monotonic() + ENDING
        if not gone and not failed:
            result: tuple[Any, ...] = next(iter(futures.values())).result()
            return result
        errors = [f.exception() for f in failed.values() if f.status == "error"]
        # What was said by all because another failed is not what failed.
        own = [e for e in errors if not isinstance(e, GroupError)]
        own = [e for e in own if type(e).__name__ not in ("KilledWorker", "CancelledError")]
        if own and not gone:
            raise own[0]
        lost = ", ".join(gone) or ", ".join(failed)
        raise Lost(f"worker {lost} is lost, or the connection to it")


@contextlib.contextmanager
def _losing() -> Iterator[None]:
    """Tell what is raised where a worker is lost that something is asked of."""
    try:
        yield
    except (OSError, KeyError, ValueError) as error:
        raise Lost("a worker is lost") from error


def _process() -> tuple[str, int]:
    return socket.gethostname(), os.getpid()


def _block(names: Any, *parts: Any) -> Any:
    """Get the arrays of a block, in memory."""
    return together(names, in_arrays(parts))


class _Wanted(Callback):
    """Ends a run of which nobody waits for the result any more: the client is gone."""

    def __init__(self) -> None:
        self._tasks = get_worker().state.tasks
        self._key = thread_state.key
        self._next = 0.0

    def batch(self, run: Any) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + 0.5
            task = self._tasks.get(self._key)
            if task is None or task.state in ("cancelled", "released"):
                run.stop("cancelled")

    epoch = batch


def _work(
    shipped: Shipped,
    numbers: list[int],
    shards: list[Any],
    valid_numbers: list[int] | None,
    valid_shards: list[Any],
    kind: str,
    place: tuple[str, int, int, float],
    options: dict[str, Any],
) -> tuple[Any, ...] | None:
    """Train as one of a group, in a worker."""
    net = shipped.model.clone()
    given = dict(options)
    if place[1] == 0:
        callbacks = given.pop("callbacks", None)
        own = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks] * bool(callbacks)
        given["callbacks"] = [*own, _Wanted()]
    valid = None if valid_numbers is None else dict(zip(valid_numbers, valid_shards, strict=True))
    with collective.joined(kind, *place) as group:
        monitors = spmd.train(net, group, dict(zip(numbers, shards, strict=True)), valid, **given)
    return (monitors, arrays(net), net.history) if place[1] == 0 else None
