"""Training on several machines by MPI: `train` in each process, on data of its own.

::

    import theanets
    import theanets.mpi

    net = theanets.Regressor([10, 20, 3])
    x, y = read_part(theanets.mpi.rank())        # whatever has the rows of this process
    theanets.mpi.train(net, [x, y], epochs=20)
    if theanets.mpi.rank() == 0:
        net.save('net.safetensors')

It is started as ``mpiexec -n 4 python -m mpi4py script.py``. It needs `mpi4py
<https://mpi4py.readthedocs.io>`_ and an MPI: ``pip install 'theanets[mpi]'``, and ``pip install
mpich`` where the system has none.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import spmd
from .errors import ConfigurationError, is_integer

if TYPE_CHECKING:
    from .network import Network

Monitors = dict[str, float]


class MPIGroup:
    """The processes of a communicator, see `theanets.spmd.Group`.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm, optional
        By default all that were started together.
    """

    def __init__(self, comm: Any = None) -> None:
        self._mpi = _mpi()
        self.comm = self._mpi.COMM_WORLD if comm is None else comm
        if not isinstance(self.comm, self._mpi.Intracomm):
            raise ConfigurationError(f"comm={comm!r} is not an intracommunicator of mpi4py")
        self.rank: int = self.comm.Get_rank()
        self.size: int = self.comm.Get_size()

    def sum(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Add up the arrays of all processes, in place."""
        self.comm.Allreduce(self._mpi.IN_PLACE, array)
        return array

    def broadcast(self, data: bytes) -> bytes:
        """Get the bytes of rank 0."""
        length = np.array([len(data)])
        self.comm.Bcast(length)
        buffer = np.frombuffer(data, np.uint8).copy() if self.rank == 0 else None
        buffer = np.empty(int(length[0]), np.uint8) if buffer is None else buffer
        self.comm.Bcast(buffer)
        return buffer.tobytes()

    def abort(self, error: BaseException) -> None:
        """End all processes: the others wait for this one, which leaves by an exception."""
        if self.size > 1:
            traceback.print_exception(error)
            sys.stdout.flush()
            sys.stderr.flush()
            self.comm.Abort(1)


def train(
    net: Network,
    shard: Any,
    valid: Any = None,
    algo: Any = None,
    *,
    comm: Any = None,
    **kwargs: Any,
) -> tuple[Monitors, Monitors]:
    """Train a network on data of which each process has a part.

    All processes call it with the same arguments, but for the data. After it, the network of
    each has the same parameters; each step was that of one batch of ``batch_size`` examples in
    all, to which each process has added the share that it has of all data. See
    `theanets.spmd.train`.

    Parameters
    ----------
    net : Network
        The network. Its parameters, and its seed, become those of rank 0 first.
    shard : list, tuple, dict or array
        The arrays to train on that this process has, as `theanets.Network.train` takes them;
        processes may have different numbers of examples. Or a dict of several of these
        by number, ``{0: [x, y], 3: [x, y]}``: what comes of training depends on these
        shards, not on which process has which.
    valid : optional
        The data to validate on that this process has, in the same form; some may have none.
        By default those to train on.
    algo, **kwargs
        As for `theanets.Network.train`. Rank 0 alone calls callbacks, shows progress and writes
        files.
    comm : mpi4py.MPI.Comm, optional
        The processes that train together; by default all.

    Returns
    -------
    (dict, dict)
        Monitors on the training and validation data of all processes.

    Raises
    ------
    ConfigurationError
        If an argument has no meaning, or not with several processes.
    DataError
        If the data do not have the form that the network needs.
    GroupError
        If training has failed in another process. Where one cannot tell the others so, it ends
        all of them (``MPI_Abort``).
    ImportError
        If mpi4py or an MPI is not installed.
    """
    group = MPIGroup(comm)
    own = _shards(shard, group.rank)
    others = None if valid is None else _shards(valid, group.rank)
    return spmd.train(net, group, own, others, algo, **kwargs)


def rank() -> int:
    """Get the number of this process among all that were started together, from 0 on."""
    return int(_mpi().COMM_WORLD.Get_rank())


def size() -> int:
    """Get how many processes were started together."""
    return int(_mpi().COMM_WORLD.Get_size())


def _shards(data: Any, rank: int) -> dict[int, Any]:
    several = isinstance(data, Mapping) and data and all(is_integer(key) for key in data)
    return dict(data) if several else {rank: data}


def _mpi() -> Any:
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise ImportError(
            f"training by MPI needs mpi4py and an MPI: {error}; pip install 'theanets[mpi]', and "
            "pip install mpich where the system has no MPI"
        ) from error
    return MPI
