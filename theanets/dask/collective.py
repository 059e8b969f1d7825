"""The group of workers that train together, by MPI, PyTorch's gloo or XGBoost's collective."""

from __future__ import annotations

import importlib
import importlib.util
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from distributed import get_worker

from .. import spmd
from ..errors import ConfigurationError, GroupError
from ..mpi import MPIGroup
from .scheduler import meet

Array = npt.NDArray[Any]

#: Seconds that a message by MPI may take to come.
CHECK = 30.0


class Gloo:
    """Processes that are connected by gloo, see `theanets.spmd.Group`.

    One of a process at a time.

    Parameters
    ----------
    said : list
        What `say` has given in each, by rank.
    rank, size : int
        Which process of how many this one is.
    timeout : float
        Seconds that one waits for the others.
    """

    #: What has to be installed.
    package: ClassVar[str] = "torch"

    def __init__(self, said: list[Any], rank: int, size: int, timeout: float) -> None:
        import torch
        import torch.distributed

        self._tensor, self._distributed = torch.from_numpy, torch.distributed
        self.rank, self.size = rank, size
        self._distributed.init_process_group(
            "gloo",
            init_method=f"tcp://{said[0][0]}:{said[0][1]}",
            rank=rank,
            world_size=size,
            timeout=timedelta(seconds=timeout),
        )

    @staticmethod
    def able() -> bool:
        """Tell whether this process can be one of such a group."""
        return importlib.util.find_spec("torch") is not None

    @staticmethod
    def say(rank: int, size: int, timeout: float) -> Any:
        """Get what the others have to know: of rank 0, an address at which nobody listens."""
        if rank:
            return None
        host = _host()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as found:
            found.bind((host, 0))
            return host, found.getsockname()[1]

    def sum(self, array: Array) -> Array:
        """Add up the arrays of all processes, in place."""
        if array.size:
            self._distributed.all_reduce(self._tensor(array))
        return array

    def broadcast(self, data: bytes) -> bytes:
        """Get the bytes of rank 0."""
        length = np.array([len(data)])
        self._distributed.broadcast(self._tensor(length), 0)
        found = np.zeros(int(length[0]), np.uint8)
        if self.rank == 0:
            found[:] = np.frombuffer(data, np.uint8)
        if found.size:
            self._distributed.broadcast(self._tensor(found), 0)
        return found.tobytes()

    def abort(self, error: BaseException) -> None:
        """End the waiting of the others, by closing the connections to them."""
        self.close()

    def close(self) -> None:
        """Close the connections; once."""
        if self._distributed.is_initialized():
            self._distributed.destroy_process_group()


class Rabit:
    """Processes that are connected by XGBoost's collective, see `theanets.spmd.Group`.

    Parameters
    ----------
    said, rank, size, timeout
        As of `Gloo`.
    """

    package: ClassVar[str] = "xgboost"

    #: What has told the processes of this one's last group of each other.
    _tracker: Any = None

    def __init__(self, said: list[Any], rank: int, size: int, timeout: float) -> None:
        from xgboost import collective

        self._collective, self._open = collective, True
        self.rank, self.size = rank, size
        # A connection is one thread's alone: in another, each process would be the only one. And
        # L-BFGS computes in a thread of its own.
        self._thread = ThreadPoolExecutor(1, "theanets-rabit")
        self._do(
            collective.init,
            dmlc_communicator="rabit",
            dmlc_tracker_uri=said[0][0],
            dmlc_tracker_port=said[0][1],
            # Ranks are in the order of these.
            dmlc_task_id=f"{rank:09}",
            dmlc_timeout=max(1, int(timeout)),
            # One that is gone does not come back.
            dmlc_retry=1,
        )

    def _do(self, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        return self._thread.submit(function, *arguments, **keywords).result()

    @staticmethod
    def able() -> bool:
        """Tell whether this process can be one of such a group."""
        return importlib.util.find_spec("xgboost") is not None

    @classmethod
    def say(cls, rank: int, size: int, timeout: float) -> Any:
        """Let the process of rank 0 be where the others ask for each other."""
        if rank:
            return None
        from xgboost.core import XGBoostError
        from xgboost.tracker import RabitTracker

        if cls._tracker is not None:
            with suppress(XGBoostError):  # it may still wait for one that was lost
                cls._tracker.free()
        cls._tracker = RabitTracker(size, _host(), sortby="task", timeout=max(1, int(timeout)))
        cls._tracker.start()
        found = cls._tracker.worker_args()
        return str(found["dmlc_tracker_uri"]), int(found["dmlc_tracker_port"])

    def sum(self, array: Array) -> Array:
        """Add up the arrays of all processes."""
        if not array.size:
            return array
        found: Array = self._do(self._collective.allreduce, array, self._collective.Op.SUM)
        return found

    def broadcast(self, data: bytes) -> bytes:
        """Get the bytes of rank 0."""
        found: bytes = self._do(self._collective.broadcast, data, 0)
        return found

    def abort(self, error: BaseException) -> None:
        """End the waiting of the others, by closing the connections to them."""
        self.close()

    def close(self) -> None:
        """Close the connections; once."""
        from xgboost.core import XGBoostError

        if self._open:
            self._open = False
            with suppress(XGBoostError):  # rank 0, which is told of it, may be lost
                self._do(self._collective.finalize)
            self._thread.shutdown()


class World(MPIGroup):
    """Some of the processes that were started by one ``mpiexec``, see `theanets.mpi`.

    Parameters
    ----------
    said, rank, size, timeout
        As of `Gloo`.
    """

    package: ClassVar[str] = "mpi4py"

    def __init__(self, said: list[Any], rank: int, size: int, timeout: float) -> None:
        world = _running()
        assert world is not None
        members = world.Get_group().Incl([number for number, _ in said])
        # Of these alone: others, such as the scheduler, do not come.
        super().__init__(world.Create_group(members, said[0][1]))
        members.Free()

    @staticmethod
    def check(said: list[Any], rank: int, timeout: float) -> None:
        """Refuse workers of several ``mpiexec``: each tells the next one that it is there.

        Where it does not come, MPI would wait for ever.
        """
        world = _running()
        assert world is not None
        ranks, tag = [number for number, _ in said], said[0][1]
        before, after = ranks[rank - 1], ranks[(rank + 1) % len(ranks)]
        own, found = np.array([tag, *ranks]), np.zeros(1 + len(ranks), int)
        request = world.Isend(own, after, tag)
        end = time.monotonic() + timeout
        while not world.Iprobe(before, tag):
            if time.monotonic() > end:
                raise ConfigurationError(
                    "sync='step': the workers have MPI, but were not started by one mpiexec, so "
                    "that they do not find each other by it; start all by one, or as processes "
                    "without MPI (dask-mpi --worker-class distributed.Nanny)"
                )
            time.sleep(0.001)
        world.Recv(found, before, tag)
        request.Wait()
        if (own != found).any():
            raise ConfigurationError("sync='step': the workers were not started by one mpiexec")

    @staticmethod
    def able() -> Any:
        """Tell which of how many processes this one is, that were started with it by MPI."""
        world = _running()
        return None if world is None else (world.Get_rank(), world.Get_size())

    @staticmethod
    def say(rank: int, size: int, timeout: float) -> Any:
        """Get its number in the world, and what this group's messages are known by."""
        world = _running()
        assert world is not None
        return world.Get_rank(), time.time_ns() % 32767  # the least that MPI has to know

    def close(self) -> None:
        """Let the communicator go."""
        self.comm.Free()


def _running() -> Any:
    """Get the processes that were started together, if this worker is one of several."""
    module = sys.modules.get("mpi4py.MPI")  # a worker that has none is not to begin with it
    if module is None or not module.Is_initialized() or module.Is_finalized():
        return None
    # Tasks run in threads.
    threads = module.Query_thread() >= module.THREAD_SERIALIZED
    return module.COMM_WORLD if threads and module.COMM_WORLD.Get_size() > 1 else None


#: By their names; the first that all workers are able to is taken.
KINDS: dict[str, type[World] | type[Gloo] | type[Rabit]] = {
    "mpi": World,
    "torch": Gloo,
    "xgboost": Rabit,
}


def able() -> dict[str, Any]:
    """Tell for each kind whether this process is able to it."""
    return {name: kind.able() for name, kind in KINDS.items()}


def common(found: Sequence[dict[str, Any]]) -> str:
    """Get the kind of group that all workers are able to, of what `able` says in each."""
    for name in KINDS:
        each = [one.get(name) for one in found]
        if name == "mpi" and all(each):
            # As many in all, and each another one: whether they are of one world is seen later.
            ranks, sizes = zip(*each, strict=True)
            if len(set(sizes)) == 1 and len(set(ranks)) == len(ranks):
                return name
        elif all(each):
            return name
    needed = " or ".join(kind.package for name, kind in KINDS.items() if name != "mpi")
    raise ConfigurationError(
        f"sync='step' needs {needed} in each worker, which adds up gradients: pip install "
        "xgboost-cpu, which is small, or torch; or sync='epoch', which needs nothing"
    )


@contextmanager
def joined(kind: str, key: str, rank: int, size: int, timeout: float) -> Iterator[Any]:
    """Be one of a group, in a worker.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    key : str
        Of the training.
    rank, size : int
        Which worker of how many this is.
    timeout : float
        Seconds that one waits for the others, once all have begun.

    Raises
    ------
    GroupError
        If another one does not come.
    """
    if size == 1:
        yield spmd.Alone()
        return
    made = KINDS[kind]
    importlib.import_module(made.package)  # which takes time, in which nobody is to wait
    # Who waits for a connection cannot be told that it will not come. So all are there first.
    meet(key, "begun", rank, size)
    said = meet(key, "ready", rank, size, made.say(rank, size, timeout))
    if made is World:
        World.check(said, rank, min(timeout, CHECK))
        meet(key, "checked", rank, size)
    try:
        group = made(said, rank, size, timeout)
    except ConfigurationError:
        raise
    except (OSError, RuntimeError, ValueError) as error:  # whatever the package raises
        raise GroupError(f"rank {rank} of {size} has not found the others: {error}") from error
    try:
        yield group
    finally:
        group.close()


def _host() -> str:
    """Get the address of this worker's machine."""
    address: str = get_worker().address
    return address.split("://")[-1].rpartition(":")[0].strip("[]")
