"""The part of ``distributed.py`` about Dask: what `theanets.dask.train` costs in two workers.

Workers get these functions by value, since they know no file of this folder.
"""

import contextlib
import importlib.util
import operator
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

#: What each way is called by ``sync=``, and the packages of which it needs one.
WAYS = {"dask": "step", "epoch": "epoch", "dask-mpi": "step"}
NEEDS = {"dask": ("torch", "xgboost"), "epoch": ("distributed",), "dask-mpi": ("dask_mpi",)}
#: What is to be reached: of the efficiency by MPI, and by itself.
OF_MPI, BY_EPOCH = 0.9, 0.85
#: Seconds that an epoch of a worker takes, about.
EPOCH = 1.2


def possible(ways):
    """Get those of the ways for which all is installed; say what is left out."""
    found = []
    for way in [way for way in WAYS if way in ways]:
        for needed in (("distributed",), NEEDS[way]):
            if not any(map(importlib.util.find_spec, needed)):
                print(f"{way} is left out: there is no {' and no '.join(needed)}")
                break
        else:
            found.append(way)
    return found


def alone(network, layers, steps, arrays, kwargs, counts):
    """Get the CPU seconds of trainings by this process; the last keywords are of each."""
    net, took = network(layers, steps), []
    for more in counts:
        begin = time.process_time()
        net.train(arrays, **kwargs, **more)
        took.append(time.process_time() - begin)
    return took


def joined(*halves):
    """Get the arrays of all rows."""
    import numpy as np

    return [np.concatenate(column) for column in zip(*halves)]


def measure_messages():
    """Let this worker measure the CPU time in MPI's messages."""
    from theanets.dask.collective import World

    def timed(self, array):
        begin = time.process_time()
        found = plain(self, array)
        World.inside += time.process_time() - begin
        return found

    plain, World.inside, World.sum = World.sum, 0.0, timed


def inside():
    """Get the CPU seconds in MPI's messages so far."""
    from theanets.dask.collective import World

    return World.inside


def message(key, rank, size):
    """Get the seconds of a sum of so many numbers, where nobody is late."""
    import numpy as np

    from theanets.dask import collective

    vector, took = np.zeros(size, "float32"), []
    with collective.joined("mpi", key, rank, 2, 60.0) as group:
        for _ in range(300):
            begin = time.perf_counter()
            group.sum(vector)
            took.append(time.perf_counter() - begin)
    return float(np.quantile(took, 0.2))


def used(client, also_here):
    """Get the CPU seconds that workers have taken so far, and maybe this process."""
    here = time.process_time() if also_here else 0.0
    return here + sum(client.run(time.process_time).values())


class Work:
    """One of the works, in the workers of a cluster.

    Parameters
    ----------
    client : distributed.Client
        Of two workers.
    network, data : callable
        Make a network of layers and steps, and arrays of rows for it.
    layers, steps, batch
        What is trained.
    """

    def __init__(self, client, network, data, layers, steps, batch):
        self.client, self.network, self.data = client, network, data
        self.layers, self.steps = layers, steps
        self.kwargs = dict(algo="adam", batch_size=batch, patience=None, progress=False)
        self.kwargs["validate_every"] = 10**6

    def turns(self, way, rows, counts, many, turns):
        """Get the CPU seconds of an update or an epoch, by one process and by both.

        What the second of two trainings takes more than the first has so many of them more.
        """
        import theanets.dask

        net, found = self.network(self.layers, self.steps), []
        first, blocks, whole = self._rows(rows)
        by_mpi = way == "dask-mpi"
        # MPI waits by looking again and again: counted is what a message takes.
        each = 2 * self._message(net) if by_mpi else 0.0
        for _ in range(turns + 1):  # the first one compiles
            given = (self.network, self.layers, self.steps, whole, self.kwargs, counts)
            one = self.client.submit(alone, *given, pure=False, workers=[first]).result()
            both = []
            for more in counts:
                # By epochs, this process takes the averages; by steps it waits.
                begin = used(self.client, way == "epoch")
                begin -= sum(self.client.run(inside).values()) if by_mpi else 0.0
                theanets.dask.train(self.client, net, blocks, sync=WAYS[way], **self.kwargs, **more)
                end = used(self.client, way == "epoch")
                end -= sum(self.client.run(inside).values()) if by_mpi else 0.0
                both.append(end - begin)
            one, both = ((took[1] - took[0]) / many for took in (one, both))
            found.append([one, both + each])
        return found[1:]

    def _message(self, net):
        """Get the seconds of a sum of a network's gradients by MPI."""
        from theanets.dask.scheduler import alone, attend

        size = int(sum(p.get_value().size for p in net.params))
        addresses = sorted(self.client.nthreads())
        attend(self.client)
        with alone(self.client, addresses) as key:
            futures = [
                self.client.submit(message, key, rank, size, workers=[address], pure=False)
                for rank, address in enumerate(addresses)
            ]
            return max(self.client.gather(futures))

    def _rows(self, rows):
        """Make half of the rows in each worker; get the first of these, blocks, and all rows."""
        import dask
        import dask.array as da
        from distributed import wait

        client, addresses = self.client, sorted(self.client.nthreads())
        halves = [
            client.submit(self.data, self.layers, self.steps, rows // 2, seed, workers=[address])
            for seed, address in enumerate(addresses)
        ]
        blocks = []
        for i, like in enumerate(self.data(self.layers, self.steps, 1)):
            shape, item = (rows // 2, *like.shape[1:]), dask.delayed(operator.itemgetter(i))
            parts = [da.from_delayed(item(half), shape, like.dtype) for half in halves]
            blocks.append(da.concatenate(parts))
        blocks = client.persist(blocks)
        whole = client.submit(joined, *halves, workers=addresses[:1])
        wait([*blocks, whole])
        return addresses[0], blocks, whole


def measured(works, network, data, ways, turns, divisor, environment):
    """Measure works in two workers of Dask; get rows of figures.

    Parameters
    ----------
    works : dict
        By name: layers, steps, batch size, number of updates, and the seconds of one.
    network, data : callable
        See `Work`.
    ways : list of str
        Which of `WAYS`.
    turns, divisor : int
        How often, and by what numbers of updates are divided.
    environment : dict
        Of the workers.
    """
    import cloudpickle
    from distributed import Client

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    environment = {**environment, "PYTHONPATH": os.pathsep.join(sys.path)}
    rows = []
    for start, among in ((local, ("dask", "epoch")), (by_mpi, ("dask-mpi",))):
        asked = [way for way in among if way in ways]
        if not asked:
            continue
        with start(environment) as place, Client(**place) as client:
            client.wait_for_workers(2)
            if start is by_mpi:
                client.run(measure_messages)
            for name, (layers, steps, batch, updates, seconds) in works.items():
                work = Work(client, network, data, layers, steps, batch)
                for way in asked:
                    if WAYS[way] == "step":
                        many = max(2, updates // divisor)
                        counts = [{"max_updates": 2}, {"max_updates": 2 + many}]
                        found = work.turns(way, 16 * batch, counts, many, turns)
                    else:
                        size = 2 * batch * max(2, int(EPOCH / seconds) // divisor)
                        found = work.turns(way, size, [{"epochs": 1}, {"epochs": 2}], 1, turns)
                    rows.append(
                        {
                            "work": name,
                            "batch": batch,
                            "sync": WAYS[way],
                            "way": way,
                            "turns": found,
                        }
                    )
    return rows


@contextlib.contextmanager
def local(environment):
    """Start two workers; gives where a client finds them."""
    import dask
    from distributed import LocalCluster

    spawn = {f"distributed.nanny.pre-spawn-environ.{k}": v for k, v in environment.items()}
    with (
        dask.config.set(spawn),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
    ):
        yield {"address": cluster}


@contextlib.contextmanager
def by_mpi(environment):
    """Start two workers by MPI."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    mpiexec = shutil.which("mpiexec", path=places)
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/scheduler.json"
        # Where this file alone is: beside it are names of Dask's packages.
        shutil.copy(__file__, folder)
        paths = os.pathsep.join([environment["PYTHONPATH"], folder])
        main = "from dask_mpi.cli import main; main()"
        options = ["--scheduler-file", file, "--worker-class", "distributed.Worker"]
        options += ["--nthreads", "1", "--no-dashboard", "--local-directory", folder]
        process = subprocess.Popen(
            [mpiexec, "-np", "3", sys.executable, "-c", main, *options],
            env={**os.environ, **environment, "PYTHONPATH": paths},
            stdout=subprocess.DEVNULL,  # where it says that it was ended
        )
        try:
            while not Path(file).exists() and process.poll() is None:
                time.sleep(0.1)
            yield {"scheduler_file": file}
        finally:
            process.terminate()
            process.wait()


def show(row, mpi):
    """Print a row, beside what was measured by MPI if it was."""
    turns = sorted(one / both for one, both in row["turns"])
    efficiency = turns[len(turns) // 2]
    unit, goal = "an update", ""
    if row["sync"] == "epoch":
        unit, goal = "an epoch", f"  (to reach: {BY_EPOCH:.2f})"
    elif mpi is not None:
        goal = f", {efficiency / mpi['efficiency']:.2f} of that by MPI  (to reach: {OF_MPI:.2f})"
    took, spread = min(one for one, _ in row["turns"]), f"{turns[0]:.2f} to {turns[-1]:.2f}"
    print(
        f"  {row['work']:22} batch {row['batch']:4}  {1e3 * took:8.3f} ms {unit}  "
        f"{row['way']}, sync={row['sync']!r}: efficiency {efficiency:.2f} ({spread}){goal}"
    )
