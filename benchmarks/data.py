"""What data cost that are not arrays in memory: memory maps, and batches that come in.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/data.py

An epoch of training of classifiers by adam, in float32. CPU time for an update, the least of
several epochs of each in turn, and relative to arrays in memory, whose rows are gathered at
random. What checking a batch costs is about the same for each network, so it is the small ones
and the small batches that show it.

The last rows are batches that one waits for, in wall-clock time: each takes as long to come in as
an update of the largest network, once without and once with ``prefetch=2``, whose gain is at most
a half. (Linkers hold Python's lock while they compute. So a thread gains where it waits for a disk
or a network, not where it computes: the row before is batches that it takes as long to compute.)
"""

import math
import tempfile
import time
from pathlib import Path

import numpy as np

import theanets
from theanets.training import setup

#: Sizes of layers, and of batches.
NETWORKS = [
    ([10, 20, 3], 32),
    ([10, 20, 3], 128),
    ([64, 100, 10], 32),
    ([64, 100, 10], 128),
    ([784, 512, 256, 10], 128),
]


def generate(x, y, batch, wait=0.0, work=0.0):
    """Give batches in order for ever, each after a time of waiting and of computing."""
    while True:
        for first in range(0, len(x), batch):
            if wait or work:
                time.sleep(wait)
                stop = time.perf_counter() + work
                while time.perf_counter() < stop:
                    pass
            yield x[first : first + batch], y[first : first + batch]


def measure(net, batch, batches, kinds, repeats, clock):
    """Get the least time of an update for each kind of data, in turn."""
    runs = {
        name: setup.make_run(
            net, data, None, "adam", batch_size=batch, train_batches=batches,
            progress=False, prefetch=prefetch,
        )
        for name, (data, prefetch) in kinds.items()
    }  # fmt: skip
    best = dict.fromkeys(runs, math.inf)
    for _ in range(repeats):
        for name, run in runs.items():
            start = clock()
            run.engine.epoch(0, 0, math.inf, None)
            best[name] = min(best[name], (clock() - start) / batches)
    return best


def show(best):
    """Print times, and what they are relative to the first."""
    step = next(iter(best.values()))
    for name, found in best.items():
        change = 100 * (found / step - 1)
        print(f"{name:>36} {found * 1e6:8.1f} us {change:+6.1f}%", flush=True)


def compare(sizes, batch, folder):
    """Measure all kinds of data for one network."""
    batches = 64 if sizes[0] > 100 else 512
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch * batches, sizes[0])).astype("float32")
    y = rng.integers(sizes[-1], size=len(x))
    net = theanets.Classifier(sizes)
    maps = []
    for name, array in (("x", x), ("x64", x.astype("float64")), ("y", y)):
        path = Path(folder) / f"{name} {sizes} {batch}"
        maps.append(np.memmap(path, array.dtype, "w+", shape=array.shape))
        maps[-1][:] = array
    kinds = {
        "arrays": ([x, y], 0),
        "arrays, prefetch=2": ([x, y], 2),
        "memory maps": ([maps[0], maps[2]], 0),
        "memory maps, prefetch=2": ([maps[0], maps[2]], 2),
        "memory maps of float64": ([maps[1], maps[2]], 0),
        "generator": (generate(x, y, batch), 0),
        "generator, prefetch=2": (generate(x, y, batch), 2),
        "generator of float64": (generate(maps[1], y, batch), 0),
    }
    print(f"{sizes}, batches of {batch}")
    show(measure(net, batch, batches, kinds, 10, time.process_time))
    return net, x, y, batches


def main():
    with tempfile.TemporaryDirectory() as folder:
        for sizes, batch in NETWORKS:
            net, x, y, batches = compare(sizes, batch, folder)
    clock = time.perf_counter
    step = measure(net, batch, batches, {"arrays": ([x, y], 0)}, 5, clock)
    took = step["arrays"]
    slow = {
        "generator that computes": (generate(x, y, batch, work=took), 0),
        "generator that computes, prefetch=2": (generate(x, y, batch, work=took), 2),
        "generator that waits": (generate(x, y, batch, wait=took), 0),
        "generator that waits, prefetch=2": (generate(x, y, batch, wait=took), 2),
    }
    print(f"{sizes}, batches of {batch}, wall-clock time")
    show(step | measure(net, batch, batches, slow, 5, clock))


if __name__ == "__main__":
    main()
