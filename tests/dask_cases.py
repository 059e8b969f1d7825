"""Clusters, data and networks that the tests of Dask share."""

import importlib.util
import itertools
import os
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np

import theanets

TESTS = Path(__file__).parent
SIZES = (70, 31, 52)


def environment():
    """Get what processes need that know the modules of tests, and compile no more than these."""
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    flags = f"mode=FAST_COMPILE,{os.environ.get('PYTENSOR_FLAGS', '')}".strip(",")
    return {"PYTHONPATH": paths, "PYTENSOR_FLAGS": flags}


#: What workers import sooner or later.
PRELOADED = ["dask.dataframe", "theanets.dask", "torch.distributed", "xgboost.collective"]


def cluster(workers, **options):
    """Start a cluster of processes of one thread each, on a linker that compiles nothing."""
    import dask
    import distributed
    from distributed.utils import get_mp_context

    # Most of a worker's start are imports: each is forked from a process that has done these.
    # It is for workers too that are started again later.
    dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"})
    get_mp_context().set_forkserver_preload(["distributed", *filter(_found, PRELOADED)])
    given = environment()
    spawn = {f"distributed.nanny.pre-spawn-environ.{k}": v for k, v in given.items()}
    # Of what stands there already, a nanny takes its value.
    with dask.config.set(spawn), patch.dict(os.environ, given):
        return distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address=":0",
            processes=True,
            **options,
        )


def _found(name):
    return importlib.util.find_spec(name.partition(".")[0]) is not None


def adds_up():
    """Tell whether something is installed by which workers add up gradients."""
    from theanets.dask import collective

    return any(collective.able().values())


def arrays(classes=None, rows=153):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(rows, 4)).astype("float32")
    values = (x @ rng.normal(size=(4, 3))).astype("float32")
    return x, values if classes is None else values.argmax(axis=1)


def blocks(*found, sizes=SIZES):
    import dask.array as da

    return [da.from_array(a, chunks=(sizes, *((n,) for n in a.shape[1:]))) for a in found]


def rows_of(path, block_info=None):
    """Get the rows of a block from a file that each worker maps by itself."""
    ((start, stop), *_) = block_info[None]["array-location"]
    return np.load(path, mmap_mode="r")[start:stop]


def network(dtype="float32"):
    return theanets.Regressor([4, 6, 3], rng=3, dtype=dtype)


def values(net):
    return np.concatenate([p.get_value().ravel() for p in net.params])


def losses(net):
    return [row["valid_loss"] for row in net.history]


def idle(client):
    """Tell whether no worker computes anything."""
    busy = client.run(lambda dask_worker: dask_worker.state.executing_count)
    return not any(busy.values())


def wait_until(said, seconds=60):
    """Wait until something is so; fail if it does not become so."""
    end = time.monotonic() + seconds
    while not said() and time.monotonic() < end:
        time.sleep(0.1)
    assert said()


class Here:
    """Has what `theanets.dask.replicas.Replicas` has, in this process: no cluster is needed."""

    def __init__(self, parts):
        self.parts, self.sizes = parts, [len(part[0]) for part in parts]

    def replicas(self, data, where):
        return self

    def sample(self):
        return [array[:8] for array in self.parts[0]]

    def map(self, function, *common, each=None):
        each = each or [None] * len(self.parts)
        return [function(common, part, one) for part, one in zip(self.parts, each)]

    def train(self, net, algo, **keywords):
        from theanets.dask.training import _by_epoch

        return _by_epoch(self, net, self.parts, None, algo, keywords)


def here(*found, sizes=SIZES):
    """Cut arrays in parts of this process."""
    ends = np.cumsum([0, *sizes])
    return Here([[a[i:j] for a in found] for i, j in itertools.pairwise(ends)])


class Kills:
    """Kills a worker after some epoch, the first time that it comes to it."""

    def __init__(self, path, epoch, pid=None):
        self.path, self.epoch, self.pid = str(path), epoch, pid

    def __call__(self, run):
        if run.epoch == self.epoch and not os.path.exists(self.path):
            open(self.path, "w").close()
            os.kill(self.pid or os.getpid(), 9)
