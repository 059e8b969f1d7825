"""What Dask's scheduler knows of trainings: which workers each has while its client is there."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from distributed import get_worker
from distributed.diagnostics.plugin import SchedulerPlugin
from distributed.utils import sync
from tornado.ioloop import PeriodicCallback

from ..errors import ConfigurationError, GroupError

#: What the plugin is called, and what its handlers' names begin with.
NAME = "theanets"
#: Seconds between two looks for what clients have left, and for how long it is looked for.
LOOK, LEFT = 1.0, 600.0


class _Training:
    """One training, which waits for its workers or has them."""

    def __init__(self, client: str, workers: Iterable[str]) -> None:
        self.client, self.workers = client, frozenset(workers)
        self.granted = self.over = False
        self.said: dict[str, dict[int, Any]] = {}
        self._changed = asyncio.Event()

    def change(self, **attributes: Any) -> None:
        """Set attributes, and let those that wait look."""
        vars(self).update(attributes)
        self._changed.set()

    async def until(self, said: Callable[[], bool]) -> bool:
        """Wait until something is so, or this is over; tell whether it is not."""
        while not (said() or self.over):
            self._changed.clear()
            await self._changed.wait()
        return not self.over


class Trainings(SchedulerPlugin):
    """Gives each worker to one training at a time; takes back what clients that are gone had.

    (A `distributed.Lock` of a client that is killed lasts until its lease ends, by default 30
    seconds, and is lost where a client is too busy to renew it.)
    """

    idempotent = True

    async def start(self, scheduler: Any) -> None:
        """Let clients and workers ask."""
        self._scheduler = scheduler
        self._trainings: dict[str, _Training] = {}  # in the order in which they came
        self._gone: dict[str, float] = {}
        for call in (self.begin, self.end, self.meet):
            scheduler.handlers[f"{NAME}_{call.__name__}"] = call
        looks = PeriodicCallback(self._look, 1000 * LOOK)
        scheduler.periodic_callbacks[NAME] = looks
        looks.start()

    async def begin(self, client: str, key: str, workers: list[str]) -> bool:
        """Wait until a training has its workers; tell whether it has, and is not over."""
        known = self._scheduler
        if client not in known.clients or any(worker not in known.workers for worker in workers):
            return False
        training = self._trainings[key] = _Training(client, workers)
        self._grant()
        return await training.until(lambda: training.granted)

    def end(self, key: str) -> None:
        """Take its workers from a training, or its place among those that wait; once."""
        training = self._trainings.pop(key, None)
        if training is not None:
            training.change(over=True)
            self._grant()

    async def meet(self, key: str, where: str, rank: int, size: int, said: Any) -> Any:
        """Wait until all of a group are at some point; get what each says there, or None."""
        training = self._trainings.get(key)
        if training is None:
            return None
        everyone = training.said.setdefault(where, {})
        everyone[rank] = said
        training.change()
        met = await training.until(lambda: len(everyone) == size)
        return [everyone[each] for each in range(size)] if met else None

    def _grant(self) -> None:
        """Give workers to those that wait, the first first, if nobody else has or awaits them."""
        taken: set[str] = set()
        for training in self._trainings.values():
            if not training.granted and not training.workers & taken:
                training.change(granted=True)
            taken |= training.workers

    # ---- what is called by the scheduler -------------------------------------------------

    def add_client(self, scheduler: Any, client: str) -> None:
        """Note that a client is there, maybe again."""
        self._gone.pop(client, None)

    def remove_client(self, scheduler: Any, client: str) -> None:
        """End its trainings."""
        self._gone[client] = time.monotonic()
        for key in [k for k, training in self._trainings.items() if training.client == client]:
            self.end(key)

    def remove_worker(self, scheduler: Any, worker: str, **keywords: Any) -> None:
        """End the waiting for a worker; the client then begins anew, without it."""
        for training in self._trainings.values():
            if worker in training.workers:
                training.change(over=True)

    async def close(self) -> None:
        """End all, as the scheduler does."""
        for key in list(self._trainings):
            self.end(key)

    def _look(self) -> None:
        """Release what was made for a client that was gone by then.

        Data that it scattered, or a graph that it sent, are entered by the scheduler after it has
        taken some time for them, and would then be kept for ever, and computed.
        """
        now = time.monotonic()
        self._gone = {client: at for client, at in self._gone.items() if now - at < LEFT}
        for client in self._gone.keys() & self._scheduler.clients.keys():
            self._scheduler.remove_client(client)


class Lost(Exception):
    """A worker was lost, which those that are left will do without."""


def attend(client: Any) -> None:
    """Let the scheduler of a client's cluster have the plugin, if it has none.

    Raises
    ------
    ConfigurationError
        If theanets is not installed where the scheduler runs.
    """
    try:
        client.register_plugin(Trainings(), name=NAME)
    except ModuleNotFoundError as error:  # raised there
        raise ConfigurationError(
            f"client: the scheduler at {client.scheduler.address} has to import theanets, by which "
            f"it keeps trainings apart: {error}; install it there as on the workers"
        ) from error


@contextmanager
def alone(client: Any, workers: Iterable[str]) -> Iterator[str]:
    """Keep other trainings from some workers; gives the key of this one.

    Parameters
    ----------
    client : distributed.Client
        If it ends, so does this.
    workers : iterable of str
        Their addresses.

    Raises
    ------
    Lost
        If one of the workers is lost before.
    """
    key, scheduler = uuid.uuid4().hex, client.scheduler
    try:
        begin = scheduler.theanets_begin
        if not client.sync(begin, client=client.id, key=key, workers=list(workers)):
            raise Lost("a worker is lost")
        yield key
    finally:
        client.sync(scheduler.theanets_end, key=key)


def meet(key: str, where: str, rank: int, size: int, said: Any = None) -> list[Any]:
    """Wait in a worker until all of a group are at some point.

    Parameters
    ----------
    key : str
        Of the training.
    where : str
        The point.
    rank, size : int
        Who this is, of how many.
    said : str, number or list of these, optional
        What this one has to say there.

    Returns
    -------
    list
        What each of them said, by rank.

    Raises
    ------
    GroupError
        If one of them never will be there: a worker is lost, or the client is gone.
    """
    worker = get_worker()
    ask = worker.scheduler.theanets_meet
    found = sync(worker.loop, ask, key=key, where=where, rank=rank, size=size, said=said)
    if found is None:
        raise GroupError("another worker is lost, or the client is gone")
    return list(found)
