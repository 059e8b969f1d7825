"""What data cost that are not arrays in memory: memory maps, and batches that come in.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/data.py

An epoch of training of a classifier, 784-512-256-10, by adam on batches of
128, in float32. Wall-clock time for an update, the least of several epochs of
each in turn, and relative to arrays in memory. The last rows are batches that
one waits for: each takes as long to come in as an update, once without and
once with ``prefetch=2``, whose gain is at most a half. (Linkers hold Python's
lock while they compute. So a thread gains where it waits for a disk or a
network, not where it computes: the row before is batches that it takes as long
to compute.)
"""

import math
import tempfile
import time
from pathlib import Path

import numpy as np

import theanets
from theanets import fitting

ROWS, FEATURES, BATCH = 128 * 64, 784, 128


def generate(x, y, wait=0.0, work=0.0):
    """Give batches in order for ever, each after a time of waiting and of computing."""
    while True:
        for first in range(0, len(x), BATCH):
            time.sleep(wait)
            stop = time.perf_counter() + work
            while time.perf_counter() < stop:
                pass
            yield x[first : first + BATCH], y[first : first + BATCH]


def measure(net, kinds, repeats):
    """Get the least time of an update for each kind of data, in turn."""
    runs = {
        name: fitting.make_run(
            net, data, None, "adam", batch_size=BATCH, train_batches=ROWS // BATCH,
            progress=False, prefetch=prefetch,
        )
        for name, (data, prefetch) in kinds.items()
    }  # fmt: skip
    best = dict.fromkeys(runs, math.inf)
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run.engine.epoch(0, 0, math.inf, None)
            best[name] = min(best[name], (time.perf_counter() - start) / (ROWS // BATCH))
    return best


def main():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, FEATURES)).astype("float32")
    y = rng.integers(10, size=ROWS)
    net = theanets.Classifier([FEATURES, 512, 256, 10])
    with tempfile.TemporaryDirectory() as folder:
        maps = []
        for name, array in (("x", x), ("x64", x.astype("float64")), ("y", y)):
            maps.append(np.memmap(Path(folder) / name, array.dtype, "w+", shape=array.shape))
            maps[-1][:] = array
        kinds = {
            "arrays": ([x, y], 0),
            "arrays, prefetch=2": ([x, y], 2),
            "memory maps": ([maps[0], maps[2]], 0),
            "memory maps, prefetch=2": ([maps[0], maps[2]], 2),
            "memory maps of float64": ([maps[1], maps[2]], 0),
            "generator": (generate(x, y), 0),
            "generator, prefetch=2": (generate(x, y), 2),
            "generator of float64": (generate(maps[1], y), 0),
        }
        best = measure(net, kinds, 10)
        step = best["arrays"]
        slow = {
            "generator that computes": (generate(x, y, work=step), 0),
            "generator that computes, prefetch=2": (generate(x, y, work=step), 2),
            "generator that waits": (generate(x, y, wait=step), 0),
            "generator that waits, prefetch=2": (generate(x, y, wait=step), 2),
        }
        best.update(measure(net, slow, 5))
        for name, found in best.items():
            print(f"{name:>36} {found * 1e3:7.2f} ms {100 * (found / step - 1):+6.1f}%", flush=True)


if __name__ == "__main__":
    main()
