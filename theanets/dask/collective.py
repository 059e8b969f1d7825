"""The group of workers that train together, by PyTorch's gloo or XGBoost's collective."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Gloo:
    """Processes that are connected by gloo, see `theanets.spmd.Group`.

    One of a process at a time.

    Parameters
    ----------
    address : (str, int)
        What `begin` has found.
    rank, size : int
        Which process of how many this one is.
    timeout : float
        Seconds that one waits for the others.
    """

    def __init__(self, address: tuple[str, int], rank: int, size: int, timeout: float) -> None:
        import torch
        import torch.distributed

        self._tensor, self._distributed = torch.from_numpy, torch.distributed
        self.rank, self.size = rank, size
        self._distributed.init_process_group(
            "gloo",
            init_method=f"tcp://{address[0]}:{address[1]}",
            rank=rank,
            world_size=size,
            timeout=timedelta(seconds=timeout),
        )

    @staticmethod
    def begin(host: str, size: int, timeout: float) -> tuple[str, int]:
        """Find an address of this machine, that of rank 0, at which nobody listens."""
        with socket.socket() as found:
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
    address, rank, size, timeout
        As of `Gloo`.
    """

    #: What has told the processes of this one's last group of each other.
    _tracker: Any = None

    def __init__(self, address: tuple[str, int], rank: int, size: int, timeout: float) -> None:
        from xgboost import collective

        self._collective, self._open = collective, True
        self.rank, self.size = rank, size
        # A connection is one thread's alone: in another, each process would be the only one. And
        # L-BFGS computes in a thread of its own.
        self._thread = ThreadPoolExecutor(1, "theanets-rabit")
        self._do(
            collective.init,
            dmlc_communicator="rabit",
            dmlc_tracker_uri=address[0],
            dmlc_tracker_port=address[1],
            # Ranks are in the order of these.
            dmlc_task_id=f"{rank:09}",
            dmlc_timeout=max(1, int(timeout)),
            # One that is gone does not come back.
            dmlc_retry=1,
        )

    def _do(self, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        return self._thread.submit(function, *arguments, **keywords).result()

    @classmethod
    def begin(cls, host: str, size: int, timeout: float) -> tuple[str, int]:
        """Let this process, that of rank 0, be where the others ask for each other."""
        from xgboost.core import XGBoostError
        from xgboost.tracker import RabitTracker

        if cls._tracker is not None:
            with suppress(XGBoostError):  # it may still wait for one that was lost
                cls._tracker.free()
        cls._tracker = RabitTracker(size, host, sortby="task", timeout=max(1, int(timeout)))
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


#: By the package that has to be installed in the workers; the first that all have is taken.
KINDS: dict[str, type[Gloo] | type[Rabit]] = {"torch": Gloo, "xgboost": Rabit}


def installed(known: Sequence[str] = tuple(KINDS)) -> list[str]:
    """Get those of the packages that this process has."""
    return [name for name in known if importlib.util.find_spec(name) is not None]
