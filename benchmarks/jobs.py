"""Whole jobs, each a process of its own: from its start until the work is done.

    python benchmarks/jobs.py accuracy ours 0     # until 0.97 on the digits, with seed 0
    python benchmarks/jobs.py accuracy torch 0
    python benchmarks/jobs.py first classifier    # three epochs of training; lstm, transformer
    python benchmarks/jobs.py memory torch 784-512-256-10
    python benchmarks/jobs.py epochs 784-512-256-10 128    # with the threads that the system says

The last line says how it ended, and the peak of memory. `run` starts a job and
adds the CPU time and the time on the clock.
"""

import json
import os
import resource
import subprocess
import sys
import time

from timing import THREADS, peak_memory

#: Epochs after which a job gives up.
MOST = 300


def run(*arguments, cache=None, python=sys.executable, threads=1):
    """Run a job, and get what it said, its CPU time, and the time that passed."""
    environment = {**os.environ, **(THREADS if threads == 1 else dict.fromkeys(THREADS, ""))}
    environment |= {name: str(threads) for name in THREADS if name.endswith("_THREADS")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # a package that is installed has bytecode
    if cache is not None:
        flags = environment.get("PYTENSOR_FLAGS")
        place = f"base_compiledir={cache}"
        environment["PYTENSOR_FLAGS"] = f"{flags},{place}" if flags else place
    command = [python, __file__, *map(str, arguments)]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**json.loads(done.stdout.splitlines()[-1]), "cpu": cpu, "wall": wall}


def digits(seed):
    """Get the training and the test set, of 1437 and 360 images."""
    import numpy as np
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    order = np.random.default_rng(seed).permutation(len(x))
    train, test = order[360:], order[:360]
    return x[train], y[train], x[test], y[test]


def accuracy(kind, seed, wanted=0.97):
    """Train 64-100-10 by adam in batches of 32 until that share of the test set is right."""
    x, y, xt, yt = digits(seed)
    accuracies = {"ours": ours, "torch": torch, "sklearn": sklearn}[kind](x, y, xt, yt, seed)
    for epoch, found in enumerate(accuracies, 1):
        if found >= wanted or epoch == MOST:
            return {"epochs": epoch, "accuracy": float(found)}


def ours(x, y, xt, yt, seed):
    import theanets

    net = theanets.Classifier([64, 100, 10], rng=seed)
    for _, valid in net.itertrain([x, y], [xt, yt], patience=None):
        yield valid["acc"]


def torch(x, y, xt, yt, seed):
    import torch
    from peers import torch_epoch, torch_mlp

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    net, cross_entropy = torch_mlp(torch, [64, 100, 10]), torch.nn.CrossEntropyLoss()

    def loss(inputs, labels):
        return cross_entropy(net(inputs), labels)

    tensors = torch.tensor(x), torch.tensor(y).long()
    epoch = torch_epoch(loss, net.parameters(), tensors, 32)
    inputs, labels = torch.tensor(xt), torch.tensor(yt)
    while True:
        epoch()
        with torch.no_grad():
            yield float((net(inputs).argmax(1) == labels).float().mean())


def sklearn(x, y, xt, yt, seed):
    from sklearn.neural_network import MLPClassifier

    net = MLPClassifier((100,), batch_size=32, alpha=0, random_state=seed)
    while True:
        net.partial_fit(x, y, classes=range(10))
        yield net.score(xt, yt)


def first(kind, epochs=3):
    """Train for a few epochs for the first time."""
    import numpy as np

    import theanets

    if kind == "classifier":
        x, y, xt, yt = digits(0)
        net = theanets.Classifier([64, 100, 10], rng=0)
    elif kind == "transformer":
        rng = np.random.default_rng(0)
        x, y, xt, yt = rng.normal(size=(4, 256, 64, 64)).astype("float32")
        block = dict(form="transformer", heads=4, activation="relu", repeat=2)
        net = theanets.recurrent.Regressor([64, block, 64], rng=0)
    else:
        rng = np.random.default_rng(0)
        x, xt = rng.normal(size=(2, 256, 20, 16)).astype("float32")
        y, yt = rng.integers(0, 4, (2, 256, 20))
        net = theanets.recurrent.Classifier([16, (32, "lstm"), 4], rng=0)
    _, valid = net.train([x, y], [xt, yt], epochs=epochs)
    return {"loss": valid["loss"]}


def memory(kind, sizes):
    """Train a classifier in batches of 128."""
    import numpy as np

    sizes = [int(size) for size in sizes.split("-")]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2048, sizes[0])).astype("float32")
    y = rng.integers(0, sizes[-1], len(x))
    if kind == "ours":
        import theanets

        theanets.Classifier(sizes).train([x, y], epochs=2, batch_size=128)
    else:
        from peers import torch_classifier

        torch_classifier(sizes, x, y, 128)()
    return {}


def epochs(sizes, batch, repeats=15):
    """Train a classifier of 8192 rows, and time its epochs by the clock."""
    import numpy as np

    import theanets

    sizes = [int(size) for size in sizes.split("-")]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8192, sizes[0])).astype("float32")
    y = rng.integers(0, sizes[-1], len(x))
    net = theanets.Classifier(sizes, rng=0)
    run = net.itertrain([x, y], batch_size=int(batch), patience=None, progress=False)
    next(run)
    times = []
    for _ in range(int(repeats)):
        start = time.perf_counter()
        next(run)
        times.append(time.perf_counter() - start)
    return {"seconds": times}


def main():
    name, *arguments = sys.argv[1:]
    if name == "accuracy":
        kind, seed, *wanted = arguments
        found = accuracy(kind, int(seed), *map(float, wanted))
    else:
        found = {"first": first, "memory": memory, "epochs": epochs}[name](*arguments)
    print(json.dumps({**found, "memory": peak_memory()}))


if __name__ == "__main__":
    main()
