"""What a service costs: a fresh process until its first answer, one row, threads; for the guide.

    python benchmarks/serving.py

The processes have a compile cache of their own, which is empty at first. Times are the
least of several, and those of the processor, so that they say something on a machine with
other work, too; onnxruntime is beside it where it is installed.
"""

import os
import subprocess
import sys
import tempfile
import time
import timeit
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import theanets

FIRST = """
import resource, sys, time
import numpy as np
{load}
predict(np.zeros((1, 64), "float32"))
size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(time.process_time(), size / (2**20 if sys.platform == "darwin" else 2**10))
"""
OURS = """
import theanets
predict = theanets.Network.load({path!r}).predictor("out")
"""
THEIRS = """
import onnxruntime
session = onnxruntime.InferenceSession({path!r})
predict = lambda x: session.run(["out:out"], {{"in": x}})
"""
ROWS = 2000


def fresh(load, folder):
    """Get the seconds of a fresh process that has answered once, and its memory in MB."""
    environment = {**os.environ, "PYTENSOR_FLAGS": f"base_compiledir={folder}"}
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    command = [sys.executable, "-c", FIRST.format(load=load)]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return tuple(map(float, found.stdout.split()))


def microseconds(call, number=ROWS):
    """Get the time of a call."""
    return 1e6 * min(timeit.repeat(call, timer=time.process_time, number=number, repeat=7)) / number


def threads(call, count):
    """Get the time of a call, where so many threads call at once."""

    def many(_):
        for _ in range(ROWS // count):
            call()

    with ThreadPoolExecutor(count) as pool:
        return microseconds(lambda: list(pool.map(many, range(count))), 1) / ROWS


def main():
    net = theanets.Classifier([64, (100, "tanh"), 10], rng=1, mode="NUMBA")
    with tempfile.TemporaryDirectory() as folder:
        path, exported = str(Path(folder) / "net.safetensors"), str(Path(folder) / "net.onnx")
        net.save(path)
        ours = OURS.format(path=path)
        cold = fresh(ours, folder)
        warm = min(fresh(ours, folder) for _ in range(3))
        size = sum(f.stat().st_size for f in Path(folder, "numba").rglob("*") if f.is_file())
        print(f"first answer, empty cache: {cold[0]:.2f} s, {cold[1]:.0f} MB")
        print(
            f"first answer, filled cache of {size / 1e6:.1f} MB: {warm[0]:.2f} s, {warm[1]:.0f} MB"
        )
        x = np.zeros((1, 64), "float32")
        row, predict = x.tolist(), net.predictor("out")
        print(f"one row, predict_proba: {microseconds(lambda: net.predict_proba(x)):.0f} us")
        print(f"one row, predictor: {microseconds(lambda: predict(x)):.0f} us")
        print(f"one row as a list, predictor: {microseconds(lambda: predict(row)):.0f} us")
        print(f"one row of 8 threads, predictor: {threads(lambda: predict(x), 8):.0f} us")
        try:
            import onnxruntime
        except ImportError:
            return
        net.export(exported)
        theirs = THEIRS.format(path=exported)
        found = min(fresh(theirs, folder) for _ in range(3))
        print(f"onnxruntime, first answer: {found[0]:.2f} s, {found[1]:.0f} MB")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(exported, options)
        run = lambda: session.run(["out:out"], {"in": x})  # noqa: E731
        print(f"onnxruntime, one row: {microseconds(run):.0f} us")
        print(f"onnxruntime, one row of 8 threads: {threads(run, 8):.0f} us")


if __name__ == "__main__":
    main()
