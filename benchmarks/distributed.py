"""What training in several processes costs: efficiencies by MPI and Dask, a model of more machines.

python benchmarks/distributed.py                       # two processes, one thread each
python benchmarks/distributed.py --ways mpi dask       # some ways only
python benchmarks/distributed.py --plot curves.svg     # and the model as a plot

Each network trains in one process and in two, on batches of the same size, one after the other in
the same run. An efficiency is the CPU time of the one by that of the two together: the ratio of
an update, the median over several turns, as other programs disturb each of them. MPI waits by
looking again and again, so that a process uses the CPU as long as the other is late, which where
other programs run is most of the time. So there are two figures: with all that, and with the time
that a message takes if nobody is late, which is measured by itself, in place of the time in it.

By Dask two worker processes do the same: `theanets.dask.train` with ``sync="step"``, whose CPU time
is that of both workers (gloo sleeps where it waits), and with ``sync="epoch"``, an epoch of which
takes a worker at least a second, with the time of the client that averages. One process is a
worker that trains by itself. ``dask-mpi`` is ``sync="step"`` by workers that MPI has started, of
whose messages is counted what of MPI's own is.

Of more machines nothing is measured. There is a model: the time of an update of here by one
worker, and for the sum of all gradients in a ring, 2 (n - 1) messages of an n-th of the bytes
each, with a latency and a bandwidth, or by halving and doubling with 2 log2(n) of them.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Workers that start run this file again, and do not find the one beside it by themselves.
sys.path.insert(0, str(Path(__file__).resolve().parent))
import distributed_dask

# Dask imports packages of which this folder has the names.
sys.path[:] = [p for p in sys.path if Path(p).resolve() != Path(__file__).resolve().parent]

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

#: Layers, steps of series if they are, batch size, updates, and what it is to reach.
WORKS = {
    "lstm 50-100-50": ((50, ("lstm", 100), 50), 20, 32, 60, 0.9),
    "784-512-256-10, 1024": ((784, 512, 256, 10), 0, 1024, 12, 0.8),
    "784-512-256-10, 128": ((784, 512, 256, 10), 0, 128, 80, 0.5),
    "10-20-3": ((10, 20, 3), 0, 128, 1500, None),
}
#: Seconds that an update takes, about.
USUAL = dict(zip(WORKS, (5e-3, 22e-3, 3.6e-3, 6e-5)))
WAYS = ("mpi", *distributed_dask.WAYS)
#: Of the model: seconds from machine to machine, bytes in a second, workers.
LATENCY, BANDWIDTH, WORKERS = 25e-6, 10e9 / 8, (8, 64)


def network(layers, steps):
    """Get a network of some layers."""
    import theanets

    kind = theanets.recurrent.Regressor if steps else theanets.Classifier
    return kind(layers, rng=1)


def data(layers, steps, rows, seed=0):
    """Get arrays for it."""
    import numpy as np

    rng = np.random.default_rng(seed)
    if steps:
        return [
            rng.normal(size=(rows, steps, size)).astype("float32")
            for size in (layers[0], layers[-1])
        ]
    x = rng.normal(size=(rows, layers[0])).astype("float32")
    return [x, rng.integers(0, layers[-1], rows).astype("int32")]


def timed(train, updates):
    """Get the CPU seconds of an update: what more of them take more."""
    took = []
    for many in (2, 2 + updates):
        begin = time.process_time()
        train(max_updates=many)
        took.append(time.process_time() - begin)
    return (took[1] - took[0]) / updates


def meet(comm):
    """Wait for the others, and sleep meanwhile."""
    request = comm.Ibarrier()
    while not request.Test():
        time.sleep(0.002)


def messages(comm, size):
    """Get the seconds of a sum of so many numbers, where nobody is late."""
    import numpy as np
    from mpi4py import MPI

    vector, took = np.zeros(size, "float32"), []
    for _ in range(300):
        begin = time.perf_counter()
        comm.Allreduce(MPI.IN_PLACE, vector)
        took.append(time.perf_counter() - begin)
    return float(np.quantile(took, 0.2))


def measure(target, names, turns, divisor):
    """Do the work of one of the processes, which MPI has started."""
    import numpy as np
    from mpi4py import MPI

    from theanets import mpi, spmd

    class Group(mpi.MPIGroup):
        """One that measures the CPU time of messages."""

        inside = 0.0

        def sum(self, array):
            begin = time.process_time()
            found = super().sum(array)
            self.inside += time.process_time() - begin
            return found

    comm = MPI.COMM_WORLD
    rows, group = [], Group()

    def one(net, arrays, kwargs, updates):
        """Get the CPU seconds of an update by one process."""
        return timed(lambda **more: net.train(arrays, **kwargs, **more), updates)

    def both(net, half, kwargs, updates):
        """Get those of both, and what of it is in messages."""

        def train(**more):
            group.inside = 0.0
            spmd.train(net, group, {comm.rank: half}, **kwargs, **more)
            inside.append(group.inside)

        inside = []
        found = [timed(train, updates), (inside[1] - inside[0]) / updates]
        return [comm.allreduce(value) for value in found]

    for name in names:
        layers, steps, batch, updates, goal = WORKS[name]
        updates = max(2, updates // divisor)
        arrays = data(layers, steps, batch * 16)
        half = [a[comm.rank :: comm.size] for a in arrays]
        kwargs = dict(algo="adam", batch_size=batch, patience=None, progress=False)
        kwargs["validate_every"] = 10**6
        nets = [network(layers, steps) for _ in range(2)]
        size = int(sum(p.get_value().size for p in nets[0].params))
        message = messages(comm, size)
        turned, waiting, seconds = [], [], []
        for turn in range(turns + 1):
            meet(comm)
            alone = one(nets[0], arrays, kwargs, updates) if comm.rank == 0 else 0.0
            meet(comm)
            whole, inside = both(nets[1], half, kwargs, updates)
            if turn:  # the first one compiles
                seconds.append(alone)
                waiting.append(alone / whole)
                turned.append(alone / (whole - inside + 2 * message))
        rows.append(
            {
                "work": name,
                "batch": batch,
                "goal": goal,
                "efficiency": float(np.median(turned)),
                "turns": turned,
                "waiting": float(np.median(waiting)),
                "message": message,
                "seconds": float(np.min(seconds)),
                "bytes": 4 * size,
            }
        )
    if comm.rank == 0:
        Path(target).write_text(json.dumps(rows))


def modelled(seconds, size, workers):
    """Get the efficiency of so many workers, each of which has a batch of one worker."""
    ring = 2 * (workers - 1) * (LATENCY + size / workers / BANDWIDTH)
    halving = 2 * math.log2(workers) * LATENCY + 2 * (1 - 1 / workers) * size / BANDWIDTH
    return seconds / (seconds + min(ring, halving))


def by_mpi(names, turns, divisor):
    """Start two processes, and get what they measured."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    mpiexec = shutil.which("mpiexec", path=places)
    if mpiexec is None:
        raise SystemExit("there is no mpiexec: pip install mpi4py mpich")
    environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "rows.json"
        options = ["--worker", str(target), "--turns", str(turns), "--divisor", str(divisor)]
        command = [mpiexec, "-np", "2", sys.executable, "-m", "mpi4py", __file__, *options]
        subprocess.run([*command, "--only", *names], env=environment, check=True)
        return json.loads(target.read_text())


def by_dask(names, ways, turns, divisor):
    """Get what two workers of Dask measured."""
    ways = distributed_dask.possible(ways)
    if not ways:
        return []
    works = {name: (*WORKS[name][:4], USUAL[name]) for name in names}
    environment = dict.fromkeys(THREADS, "1")
    return distributed_dask.measured(works, network, data, ways, turns, divisor, environment)


def show(rows):
    """Print what was measured, and what the model makes of it."""
    of_dask, rows = [r for r in rows if "sync" in r], [r for r in rows if "sync" not in r]
    if of_dask:
        print("two workers of Dask, one thread each: CPU time of one process by that of both")
    for row in of_dask:
        distributed_dask.show(row, next((r for r in rows if r["work"] == row["work"]), None))
    if not rows:
        return
    print("two processes, one thread each: CPU time of one process by that of both")
    for row in rows:
        goal = "" if row["goal"] is None else f"  (to reach: {row['goal']:.2f})"
        spread = f"{min(row['turns']):.2f} to {max(row['turns']):.2f}"
        print(
            f"  {row['work']:22} batch {row['batch']:4}  {1e3 * row['seconds']:8.3f} ms  "
            f"efficiency {row['efficiency']:.2f} ({spread}), {row['waiting']:.2f} with waiting, "
            f"a message {1e3 * row['message']:.3f} ms{goal}"
        )
    print(
        f"a model, not measured: {BANDWIDTH * 8 / 1e9:.0f} Gb/s, {1e6 * LATENCY:.0f} us, the batch "
        "above in each worker"
    )
    for row in rows:
        found = ", ".join(
            f"{100 * modelled(row['seconds'], row['bytes'], n):.0f} % of {n} workers"
            for n in WORKERS
        )
        print(f"  {row['work']:22} {row['bytes'] / 1e6:6.3f} MB  {found}")


def plot(rows, target):
    """Draw the model."""
    import matplotlib
    import matplotlib.pyplot as plt

    matplotlib.rcParams["svg.hashsalt"] = "theanets"

    rows = [row for row in rows if "sync" not in row]
    workers = [2**i for i in range(8)]
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for row in rows:
        label = row["work"] if "," in row["work"] else f"{row['work']}, {row['batch']}"
        axes.plot(
            workers, [modelled(row["seconds"], row["bytes"], n) for n in workers], label=label
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(workers, workers)
    axes.set(xlabel="workers", ylabel="efficiency", ylim=(0, 1.02))
    axes.set_title("A model: 10 Gb/s, 25 us, this many examples in each worker", fontsize=9)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(target, metadata={"Date": None} if str(target).endswith(".svg") else None)


def main():
    """Measure, or print again."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--divisor", type=int, default=1, help="of the numbers of updates")
    parser.add_argument("--json", type=Path, help="where to keep what was measured")
    parser.add_argument("--plot", type=Path, help="where to draw the model")
    parser.add_argument("--show", action="store_true", help="print what --json has kept")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.plot and not given.show and "mpi" not in given.ways:
        parser.error("--plot draws what --ways mpi has measured")
    if given.worker:
        measure(given.worker, given.only, given.turns, given.divisor)
        return
    if given.show:
        rows = json.loads(given.json.read_text())
    else:
        rows = by_mpi(given.only, given.turns, given.divisor) if "mpi" in given.ways else []
        rows += by_dask(given.only, given.ways, given.turns, given.divisor)
    if given.json and not given.show:
        given.json.write_text(json.dumps(rows, indent=1))
    show(rows)
    if given.plot:
        plot(rows, given.plot)


if __name__ == "__main__":
    main()
