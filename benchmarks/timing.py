"""Timers that the benchmarks share, and what they say of the machine.

Times are of the CPU, of one thread: set ``OMP_NUM_THREADS=1`` and the like, see `THREADS`,
before NumPy is imported. What is compared is timed in turns, so that a slow moment of the
machine is not one's alone.
"""

import importlib.metadata
import math
import os
import platform
import resource
import statistics
import time
from pathlib import Path

#: Environment variables that hold the libraries of all contenders to one thread.
THREADS = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    ),
    "1",
) | {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"}
PACKAGES = ("theanets", "pytensor", "numba", "numpy", "scipy", "torch", "keras", "jax")
PACKAGES += ("scikit-learn",)


def repeated(function, calls):
    """Get the CPU time of one call, of several in a row."""
    start = time.process_time()
    for _ in range(calls):
        function()
    return (time.process_time() - start) / calls


def number(function, least):
    """Get how many calls take about so many seconds; calls it at least twice."""
    function()
    calls = 1
    while (found := repeated(function, calls) * calls) < least / 2:
        calls *= 2 if found < least / 4 else math.ceil(least / found)
    return calls


def seconds(function, least=0.05, repeats=25):
    """Get the least CPU time of one call."""
    calls = number(function, least)
    return min(repeated(function, calls) for _ in range(repeats))


def samples(functions, rounds=12, least=0.05):
    """Get CPU times of one call of each of several functions, in turns.

    Parameters
    ----------
    functions : dict of str to callable
        What to time.
    rounds : int
        How many times each has its turn.
    least : float
        Seconds that a turn takes at least, about.

    Returns
    -------
    dict of str to list of float
    """
    calls = {name: number(function, least) for name, function in functions.items()}
    found = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            found[name].append(repeated(function, calls[name]))
    return found


def measure(functions, rounds=12, least=0.05):
    """Get the least CPU time of one call of each of a list of functions, in turns."""
    found = samples(dict(enumerate(functions)), rounds, least)
    return [min(times) for times in found.values()]


def summary(times):
    """Get the minimum and the median of times."""
    return {"min": min(times), "median": statistics.median(times)}


def peak_memory():
    """Get the peak of this process's memory in MB."""
    status = Path("/proc/self/status")
    if status.exists():
        # What getrusage says is no less than what the process had that started this one.
        found = int(status.read_text().split("VmHWM:")[1].split()[0])
    else:
        found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found //= 1024 if platform.system() == "Darwin" else 1
    return found / 1024


def processor():
    """Get the model of the CPU."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def blas():
    """Get the name and the version of NumPy's BLAS."""
    import numpy as np

    found = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{found.get('name', 'unknown')} {found.get('version', '')}".strip()


def machine():
    """Describe the machine, and the versions of all that is measured."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "cpu": processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "blas": blas(),
        "python": platform.python_version(),
        **versions,
    }
