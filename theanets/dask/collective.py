"""The group of workers that train together: messages by gloo, which comes with PyTorch."""

from __future__ import annotations

import socket
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
    address : str
        Where rank 0 waits for the others, ``'tcp://host:port'``.
    rank, size : int
        Which process of how many this one is.
    timeout : float
        Seconds that one waits for the others.
    """

    def __init__(self, address: str, rank: int, size: int, timeout: float) -> None:
        import torch
        import torch.distributed

        self._tensor, self._distributed = torch.from_numpy, torch.distributed
        self.rank, self.size = rank, size
        self._distributed.init_process_group(
            "gloo",
            init_method=address,
            rank=rank,
            world_size=size,
            timeout=timedelta(seconds=timeout),
        )

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


def free_address(host: str) -> str:
    """Get an address of this machine at which nobody listens."""
    with socket.socket() as found:
        found.bind((host, 0))
        return f"tcp://{host}:{found.getsockname()[1]}"
