"""What a fresh process spends its time on: its first prediction, and its first training.

    python benchmarks/fresh.py [MODE ...]

With a compile cache that is filled, and bytecode of all modules, on one thread; in seconds of
the processor, children's included, so that they say something on a machine with other work too.
The first table has a process that imports, loads a file and predicts, beside one that does the
same with PyTensor alone, which is the least that there can be: the least of several, in turns.
The second has the parts of a first training, also of one with an empty cache.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from timing import THREADS

MODES = ("NUMBA", "CVM", "FAST_COMPILE")
REPEATS = 5

START = """
import json, os, resource, sys, time
began = time.perf_counter()
marks = []

def clock():
    return time.process_time() + sum(os.times()[2:4])

def mark():
    marks.append(clock())

def say():
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size /= 2**20 if sys.platform == "darwin" else 2**10
    print(json.dumps({"marks": marks, "wall": time.perf_counter() - began, "size": size}))
"""

OURS = """
import numpy as np, theanets
mark()
net = theanets.Network.load(sys.argv[1])
mark()
net.predict(np.zeros((1, 64), "float32"))
mark()
say()
"""

BARE = """
import numpy as np, pytensor, pytensor.tensor as pt
mark()
values = np.load(sys.argv[1] + ".npz")
w1, b1, w2, b2 = (pytensor.shared(values[name]) for name in values)
mark()
x = pt.matrix("x", dtype="float32")
out = pt.special.softmax(pt.tanh(x @ w1 + b1) @ w2 + b2, axis=-1)
pytensor.function([x], out)(np.zeros((1, 64), "float32"))
mark()
say()
"""

TRAIN = """
import contextlib
import numpy as np, theanets
mark()
from pytensor.compile.maker import FunctionMaker
from theanets import backends, process

parts, open_parts = {}, []

def timed(part, call):
    # Of what is within another part, that does not count.
    def timing(*args, **kwargs):
        start, within = clock(), [0.0]
        open_parts.append(within)
        try:
            return call(*args, **kwargs)
        finally:
            took = clock() - start
            open_parts.pop()
            parts[part] = parts.get(part, 0) + took - within[0]
            if open_parts:
                open_parts[-1][0] += took
    return timing

process.lazily = timed("imports of training", process.lazily)
FunctionMaker.prepare_fgraph = staticmethod(timed("rewriting", FunctionMaker.prepare_fgraph))
FunctionMaker.create = timed("compiling", FunctionMaker.create)
process.Function._first = timed("compiling", process.Function._first)
process.Function.__call__ = timed("computing", process.Function.__call__)
theanets.training.engines.GradientEngine.epoch = timed(
    "computing", theanets.training.engines.GradientEngine.epoch
)
rng = np.random.default_rng(0)
x, y = rng.normal(size=(320, 64)).astype("float32"), rng.integers(10, size=320).astype("int32")
def import_what_compiles():  # which the first compilation would
    import pytensor.sparse

    if sys.argv[1] == "NUMBA":
        from theanets.linkers import numba_setup

timed("imports of SciPy and the linker", import_what_compiles)()
build = timed("building the network", lambda: theanets.Classifier([64, 100, 10], rng=1))
net = build()
timed("expressions, data, the rest", lambda: net.train([x, y], epochs=1))()
again = clock()
net.train([x, y], epochs=1)
parts = {"import": marks[0], **parts, "(a second training)": clock() - again}
print(json.dumps(parts))
"""

PARTS = ("import", "imports of SciPy and the linker", "building the network")
PARTS += ("imports of training", "expressions, data, the rest", "rewriting", "compiling")
PARTS += ("computing", "(a second training)")


def run(code, mode, folder, *arguments):
    """Run a program in a process of its own, and get what it prints."""
    flags = f"base_compiledir={folder}/{mode},mode={mode},floatX=float32"
    environment = {**os.environ, **THREADS, "PYTENSOR_FLAGS": flags}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPYCACHEPREFIX"] = f"{folder}/bytecode"
    command = [sys.executable, "-W", "ignore", "-c", START + code, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def first_prediction(mode, folder, path):
    """Get rows of the first table."""
    programs = {"theanets": OURS, "PyTensor alone": BARE}
    found = {name: [] for name in programs}
    for repeat in range(REPEATS + 1):
        for name, code in programs.items():
            one = run(code, mode, folder, path)
            if repeat:  # the first fills the cache
                found[name].append(one)
    for name, several in found.items():
        best = min(several, key=lambda one: one["marks"][-1])
        imported, loaded, predicted = best["marks"]
        times = [imported, loaded - imported, predicted - loaded, predicted]
        times.append(min(one["wall"] for one in several))
        cells = [f"{seconds:.2f}" for seconds in times]
        print(f"| {mode}, {name} | {' | '.join(cells)} | {best['size']:.0f} |", flush=True)


def first_training(mode, folder):
    """Get a column of the second table, for an empty cache and a filled one."""
    fresh = run(TRAIN, mode, f"{folder}/training", mode)
    filled = [run(TRAIN, mode, f"{folder}/training", mode) for _ in range(REPEATS)]
    least = min(filled, key=lambda parts: sum(parts.values()))
    return least, fresh


def table(columns):
    """Print the parts of the trainings, in seconds."""
    print(f"| | {' | '.join(columns)} |")
    print(f"|---|{'---|' * len(columns)}")
    for part in PARTS:
        cells = [f"{found.get(part, 0):.2f}" for found in columns.values()]
        print(f"| {part} | {' | '.join(cells)} |")
    sums = [sum(v for k, v in found.items() if k[0] != "(") for found in columns.values()]
    print(f"| together | {' | '.join(f'{s:.2f}' for s in sums)} |")


def main():
    import numpy as np

    import theanets

    modes = sys.argv[1:] or MODES
    net = theanets.Classifier([64, (100, "tanh"), 10], rng=1)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "net.safetensors")
        net.save(path)
        np.savez(f"{path}.npz", *(param.get_value() for param in net.params))
        print("| | import | load | first prediction | together | on the clock | MB |")
        print("|---|---|---|---|---|---|---|")
        for mode in modes:
            first_prediction(mode, folder, path)
        columns = {}
        for mode in modes:
            columns[mode], columns[f"{mode}, cache empty"] = first_training(mode, folder)
        print()
        table(columns)


if __name__ == "__main__":
    main()
