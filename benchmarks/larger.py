"""Training on data larger than the memory of a process: Parquet, Zarr and memory maps.

python benchmarks/larger.py --folder /big/disk                    # 20 million rows x 20 columns
python benchmarks/larger.py --folder /tmp/small --rows 200000     # a smaller one

It writes float32 rows and a target to the folder, where they are not there yet, and trains a
network of 20-64-1 on them for an epoch, validation included: on Dask by two workers with
``sync="epoch", memory=False``, and on MPI, of which each process maps its part of the rows.

**What is limited**: in each worker, once it has imported what it needs and trained on 64 rows,
``RLIMIT_DATA``, to what it has by then and so many MB more. The kernel then refuses any more
memory that is private and writeable: arrays, buffers, the heap, tables of Parquet. Pages of
mapped files are not counted, which the kernel takes back where memory is short; the highest
resident memory that is printed beside it (``VmHWM``, above that before) has them.
"""

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

# Dask imports packages of which this folder has the names.
sys.path[:] = [p for p in sys.path if Path(p).resolve() != Path(__file__).resolve().parent]

#: Rows of a file, or of a block.
BLOCK = 250_000
#: Threads of libraries are for those who have cores to spare.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
SOURCES = ("parquet", "zarr", "memmap", "mpi")


def part(number, rows, columns):
    """Get some rows and their targets, which are other ones for each part."""
    import numpy as np

    rng = np.random.default_rng(number)
    x = rng.standard_normal((rows, columns), dtype="float32")
    return x, np.tanh(x[:, :1] + x[:, 1:2]) + 0.1 * rng.standard_normal((rows, 1), dtype="float32")


def parts(rows, columns):
    """Get all parts one by one, with where they begin."""
    for number, start in enumerate(range(0, rows, BLOCK)):
        yield number, start, part(number, min(BLOCK, rows - start), columns)


def write_parquet(place, rows, columns):
    """Write a directory of files."""
    import pandas as pd

    names = [f"x{i}" for i in range(columns)]
    for number, _, (x, y) in parts(rows, columns):
        frame = pd.DataFrame(x, columns=names).assign(y=y[:, 0])
        frame.to_parquet(place / f"{number:05}.parquet", index=False, use_dictionary=False)


def write_zarr(place, rows, columns):
    """Write two arrays in chunks."""
    import zarr

    arrays = [
        zarr.create_array(
            str(place / name), shape=(rows, wide), chunks=(min(rows, BLOCK), wide), dtype="float32"
        )
        for name, wide in (("x", columns), ("y", 1))
    ]
    for _, start, found in parts(rows, columns):
        for array, values in zip(arrays, found):
            array[start : start + len(values)] = values


def write_memmap(place, rows, columns):
    """Write two files of NumPy's."""
    import numpy as np

    for name, wide in (("x", columns), ("y", 1)):
        np.lib.format.open_memmap(place / f"{name}.npy", "w+", "float32", (rows, wide)).flush()
    for _, start, found in parts(rows, columns):
        for name, values in zip("xy", found):
            # Mapped anew, so that pages which are written do not stay.
            array = np.load(place / f"{name}.npy", mmap_mode="r+")
            array[start : start + len(values)] = values


def made(folder, source, rows, columns):
    """Get the place of the data, written if they are not there."""
    kind = "memmap" if source == "mpi" else source
    place = folder / f"{kind}-{rows}-{columns}"
    if not (place / "done").exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        begin = time.process_time()
        {"parquet": write_parquet, "zarr": write_zarr, "memmap": write_memmap}[kind](
            place, rows, columns
        )
        (place / "done").touch()
        print(
            f"{kind}: wrote {size(place) / 1e6:.0f} MB in {time.process_time() - begin:.0f} s CPU"
        )
    return place


def size(place):
    """Get the bytes of a directory."""
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())


# ---- memory ------------------------------------------------------------------------------


def memory(key):
    """Get a figure of this process, in MB."""
    text = Path("/proc/self/status").read_text()
    return int(re.search(rf"{key}:\s+(\d+) kB", text)[1]) / 1000


def network(columns):
    """Get the network that is trained."""
    import theanets

    return theanets.Regressor([columns, 64, 1], rng=1)


def hold(limit, columns):
    """Limit this process to so many MB more than what it has once it can train."""
    import dask.array
    import dask.dataframe  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import zarr  # noqa: F401

    import theanets.dask  # noqa: F401

    network(columns).train(list(part(0, 64, columns)), epochs=1, progress=False)
    most = int((memory("VmData") + limit) * 1e6)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    return memory("VmRSS")


def again():
    """Begin anew to look for the highest memory; get the CPU time."""
    Path("/proc/self/clear_refs").write_text("5")
    return time.process_time()


def highest():
    """Get the highest resident memory in MB."""
    return memory("VmHWM")


def show(source, place, before, after, cpu, wall, monitors):
    """Print what a training took."""
    peaks = ", ".join(f"{b - a:.0f}" for a, b in zip(before, after))
    print(
        f"{source:8} on disk {size(place) / 1e6:5.0f} MB  {sum(cpu):5.0f} s CPU ({wall:.0f} s)  "
        f"highest memory {peaks} MB above {max(before):.0f} MB of imports  "
        f"loss {monitors[1]['loss']:.4f}",
        flush=True,
    )


# ---- training ----------------------------------------------------------------------------


def rows_of(path, block_info=None):
    """Get the rows of a block from a file that each worker maps by itself."""
    import numpy as np

    ((start, stop), *_) = block_info[None]["array-location"]
    return np.load(path, mmap_mode="r")[start:stop]


def collections(source, place, rows, columns):
    """Get the data as collections of Dask."""
    import dask.array as da
    import dask.dataframe as dd

    if source == "parquet":
        frame = dd.read_parquet(place)
        return [frame[[f"x{i}" for i in range(columns)]], frame[["y"]]]
    if source == "zarr":
        return [da.from_zarr(str(place / name)) for name in "xy"]
    cut = tuple(min(BLOCK, rows - start) for start in range(0, rows, BLOCK))
    return [
        da.map_blocks(
            rows_of, str(place / f"{name}.npy"), chunks=(cut, (wide,)), dtype="float32", meta=None
        )
        for name, wide in (("x", columns), ("y", 1))
    ]


def keywords(given):
    """Get what training is told."""
    return dict(epochs=given.epochs, batch_size=1024, patience=None, progress=False)


def phases(client):
    """Get a callback, and a dict to which it adds the CPU seconds by the end of each phase."""
    import theanets

    noted = {}

    class Phases(theanets.Callback):
        each_batch = False

        def prepare(self, run):
            noted["read and written"] = used(client)

        def start(self, run):
            noted["validated"] = used(client)

        def epoch(self, run):
            noted[f"epoch {run.epoch}, validated"] = used(client)

    return Phases(), noted


def used(client):
    """Get the CPU seconds of all workers."""
    return sum(client.run(time.process_time).values())


def by_dask(given, sources):
    """Train on two workers of Dask, which are the same for all sources; show what they took."""
    import dask
    from distributed import Client, LocalCluster

    import theanets.dask

    environment = {f"distributed.nanny.pre-spawn-environ.{name}": "1" for name in THREADS}
    environment["distributed.nanny.pre-spawn-environ.PYTHONPATH"] = os.pathsep.join(sys.path)
    with (
        dask.config.set(environment),
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            memory_limit=None,
            dashboard_address=":0",
            local_directory=given.folder / "workers",
        ) as cluster,
        Client(cluster) as client,
    ):
        before = list(client.run(hold, given.limit, given.columns).values())
        for source in sources:
            place = made(given.folder, source, given.rows, given.columns)
            began = list(client.run(again).values())
            begin = time.perf_counter()
            callback, noted = phases(client)
            monitors = theanets.dask.train(
                client,
                network(given.columns),
                collections(source, place, given.rows, given.columns),
                sync="epoch",
                memory=False,
                callbacks=callback,
                **keywords(given),
            )
            wall = time.perf_counter() - begin
            cpu = [b - a for a, b in zip(began, client.run(time.process_time).values())]
            show(source, place, before, list(client.run(highest).values()), cpu, wall, monitors)
            ends = [sum(began), *noted.values()]
            took = [f"{name} {b - a:.0f} s" for name, (a, b) in zip(noted, pairwise(ends))]
            print(f"{'':8} CPU: {', '.join(took)}", flush=True)


def mpi_worker(place, given):
    """Train as one of the processes that MPI has started, and print what it took."""

    import numpy as np
    from mpi4py import MPI

    import theanets.mpi

    comm = MPI.COMM_WORLD
    before = comm.allgather(hold(given.limit, given.columns))
    arrays = [np.load(place / f"{name}.npy", mmap_mode="r") for name in "xy"]
    ends = np.linspace(0, given.rows, comm.size + 1).astype(int)
    own = slice(ends[comm.rank], ends[comm.rank + 1])
    began, begin = again(), time.perf_counter()
    monitors = theanets.mpi.train(
        network(given.columns), [array[own] for array in arrays], **keywords(given)
    )
    wall = time.perf_counter() - begin
    cpu, after = comm.allgather(time.process_time() - began), comm.allgather(highest())
    if comm.rank == 0:
        show("mpi", place, before, after, cpu, wall, monitors)


def by_mpi(given):
    """Train in two processes that MPI starts."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    mpiexec = shutil.which("mpiexec", path=places)
    if mpiexec is None:
        raise SystemExit("there is no mpiexec: pip install mpi4py mpich")
    made(given.folder, "mpi", given.rows, given.columns)
    command = [mpiexec, "-np", "2", sys.executable, "-m", "mpi4py", __file__, "--worker"]
    for name in ("rows", "columns", "limit", "epochs", "folder"):
        command += [f"--{name}", str(getattr(given, name))]
    environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
    subprocess.run(command, env=environment, check=True)


def main():
    """Write the data, train, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "larger")
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--limit", type=float, default=500, help="MB of each worker")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.folder = given.folder.resolve()
    if given.worker:
        mpi_worker(made(given.folder, "mpi", given.rows, given.columns), given)
        return
    bytes_ = given.rows * (given.columns + 1) * 4
    print(
        f"{given.rows} rows x {given.columns} columns and a target, {bytes_ / 1e6:.0f} MB in "
        f"float32; two workers of {given.limit:.0f} MB above imports; {given.epochs} epochs",
        flush=True,
    )
    sources = [source for source in given.only if source != "mpi"]
    if sources:
        by_dask(given, sources)
    if "mpi" in given.only:
        by_mpi(given)


if __name__ == "__main__":
    main()
