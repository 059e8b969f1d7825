"""Eight threads that call one function: in turns, under its lock, or a copy of it for each.

python benchmarks/at_once.py [MODE ...]

Calls a second by the clock, of a classifier 64-100-10, the best of several rounds: of one
thread that has the function to itself, and of all together.
"""

import sys
import threading
import time
from functools import partial

import numpy as np
import pytensor

import theanets
from theanets import backends, process

THREADS = 8


def rate(calls, seconds=0.5, rounds=5):
    """Get how many calls a second some functions get, in a thread each."""
    best = 0
    for _ in range(rounds):
        counts, done = [0] * len(calls), threading.Event()

        def work(i, call, counts=counts, done=done):
            while not done.is_set():
                call()
                counts[i] += 1

        threads = [threading.Thread(target=work, args=pair) for pair in enumerate(calls)]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        done.set()
        for thread in threads:
            thread.join()
        best = max(best, sum(counts) / (time.perf_counter() - start))
    return best


def functions(net, x):
    """Get the function of a network's probabilities under its lock, and copies without one."""
    output = net.outputs()["out:out"]
    locked = backends.function(net.inputs, output, mode=net.mode)
    alone = []
    start = time.perf_counter()
    for _ in range(THREADS):
        # With a lock of its own; the parameters are the same.
        made = pytensor.function(net.inputs, output, mode=net.mode)
        made.trust_input = True
        alone.append(process.Function(made, process.share([]), compiles=False))
    for function in (locked, *alone):
        function(x)
    return locked, alone, (time.perf_counter() - start) / THREADS


def main():
    rng = np.random.default_rng(0)
    for mode in sys.argv[1:] or ["NUMBA", "CVM"]:
        net = theanets.Classifier([64, 100, 10], rng=0, mode=mode)
        for rows in (1, 4096):
            x = rng.normal(size=(rows, 64)).astype("float32")
            locked, alone, seconds = functions(net, x)
            work = {
                "alone": [locked],
                "lock": [locked] * THREADS,
                "copies": alone,
                "predict alone": [net.predict_proba],
                "predict": [net.predict_proba] * THREADS,
            }
            found = {name: rate([partial(f, x) for f in of]) for name, of in work.items()}
            rates = ", ".join(f"{name} {value:,.0f}" for name, value in found.items())
            print(f"{mode}, {rows} rows: {rates} calls/s; a copy took {seconds:.2f} s", flush=True)


if __name__ == "__main__":
    main()
