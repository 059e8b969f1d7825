"""What the suite measures: functions that return rows, for `run.py` to print.

A row says what the work is, and for each contender the minimum and the median of
the time of it in seconds. They are timed in turns, in one process.
"""

import math
import os
import statistics
import tempfile
from functools import partial

import convolution
import jobs
import numpy as np
import peers
import recurrent
import sparse
import step
from timing import number, repeated, samples, summary

import theanets
from theanets import prediction
from theanets.training import setup

ROWS_64 = 100_000


def classification(sizes, rows):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, sizes[0])).astype("float32")
    return x, rng.integers(0, sizes[-1], rows)


def titled(sizes):
    return "-".join(map(str, sizes))


def our_epochs(net, data, **options):
    """Make a function that trains for an epoch each time it is called."""
    run = net.itertrain(data, patience=None, validate_every=10**9, progress=False, rng=0, **options)
    next(run)
    return lambda: next(run)


def row(work, contenders, rounds, least=0.05):
    """Time those contenders that there are."""
    known = {name: function for name, function in contenders.items() if function is not None}
    found = samples(known, rounds, least)
    return {"work": work, "times": {name: summary(times) for name, times in found.items()}}


def epochs(quick=False):
    """Training of classifiers for an epoch, shuffled, by adam on cross-entropy"""
    shapes = [([10, 20, 3], 32, 2048), ([64, 100, 10], 8, 2048), ([64, 100, 10], 32, 4096)]
    shapes += [([64, 100, 10], 1024, 16384), ([784, 512, 256, 10], 128, 4096)]
    shapes += [([784, 512, 256, 10], 1024, 4096)]
    if quick:
        shapes = [([10, 20, 3], 32, 64)]
    for sizes, batch, rows in shapes:
        x, y = classification(sizes, rows)
        contenders = {
            "ours": our_epochs(theanets.Classifier(sizes, rng=0), [x, y], batch_size=batch),
            "torch": peers.torch_classifier(sizes, x, y, batch),
            "torch.compile": None
            if quick
            else peers.torch_classifier(sizes, x, y, batch, compiled=True),
            "keras": None if quick else peers.keras_classifier(sizes, x, y, batch),
            "sklearn": peers.sklearn_classifier(sizes, x, y, batch),
        }
        yield row(f"{titled(sizes)}, {rows} rows in batches of {batch}", contenders, *turns(quick))


def turns(quick):
    """Get the number of rounds, and how long a turn takes."""
    return (1, 0) if quick else (9, 0.05)


def steps(quick=False):
    """An epoch of 64 shuffled batches, and 64 bare steps on batches that are ready"""
    for sizes, batch in step.SIZES[:1] if quick else step.SIZES:
        x, y = classification(sizes, batch * step.BATCHES)
        bare, epoch = step.ours(sizes, x, y, batch)
        contenders = {"ours": epoch, "bare steps": bare}
        yield row(f"{titled(sizes)}, batches of {batch}", contenders, *turns(quick))


def sparse_inputs(quick=False):
    """A batch of 128 bags of words, by a classifier with 100 units and 10 classes"""
    for features, count in [(100, 3)] if quick else sparse.SHAPES:
        x, y = sparse.bags(features, count)
        functions = sparse.calls(features, x, y, True)
        if features <= sparse.DENSE_UP_TO:
            dense = sparse.calls(features, x.toarray(), y, False)
            functions |= {f"dense {name}": function for name, function in dense.items()}
        yield row(f"{features} features, {count} not zero", functions, *turns(quick))


def predict(quick=False):
    """Classes of many rows, computed in batches of 4096, and of one row in each call"""
    sizes, rows = [64, 100, 10], 5000 if quick else ROWS_64
    x, _ = classification(sizes, rows)
    net = theanets.Classifier(sizes, rng=0)
    contenders = {
        "ours": lambda: net.predict(x),
        "torch": peers.torch_predict(sizes, x, 4096),
        "keras": None if quick else peers.keras_predict(sizes, x, 4096),
        "sklearn": peers.sklearn_predict(sizes, x),
    }
    yield row(f"{titled(sizes)}, {rows} rows", contenders, *turns(quick))
    one, listed = x[:1], x[:1].tolist()
    plan = prediction.plan(net, ["out:pre"], net.mode)
    contenders = {
        "ours": lambda: net.predict(one),
        "predictor": partial(net.predictor(), one),
        "list": lambda: net.predict(listed),
        "compiled": partial(plan.compile(net).function, one),
        "estimator": peers.our_estimator(sizes, x),
        "torch": peers.torch_predict(sizes, one, 1),
        "sklearn": peers.sklearn_predict(sizes, x, 1),
    }
    yield row(f"{titled(sizes)}, one row", contenders, *turns(quick))


def autoencoder(quick=False):
    """Training of an autoencoder with tied weights, noise 0.1 and dropout 0.2, for an epoch"""
    sizes, rows = ([12, 6, 3], 128) if quick else ([784, 256, 64], 2048)
    x, _ = classification(sizes, rows)
    layers = [*sizes, *[(size, "tied") for size in sizes[-2::-1]]]
    for noise, dropout in ((0.1, 0.2), (0, 0)):
        net = theanets.Autoencoder(layers, rng=0)
        options = dict(input_noise=noise, hidden_dropout=dropout) if noise else {}
        contenders = {
            "ours": our_epochs(net, [x], batch_size=64, **options),
            "torch": peers.torch_autoencoder(sizes, x, 64, noise, dropout),
            "torch.compile": None
            if quick
            else peers.torch_autoencoder(sizes, x, 64, noise, dropout, compiled=True),
        }
        work = f"{titled([*sizes, *sizes[-2::-1]])}, {rows} rows in batches of 64"
        work += "" if noise else ", without noise and dropout"
        yield row(work, contenders, *turns(quick))


def convolutions(quick=False):
    """A step of a small convolutional network, by adam"""
    for batch, width in [(2, 16)] if quick else convolution.SHAPES:
        contenders = {
            "ours": convolution.our_step(batch, width),
            "torch": convolution.torch_step(batch, width),
            "torch.compile": None if quick else convolution.torch_step(batch, width, compiled=True),
        }
        yield row(f"batch {batch}, {width} x {width}", contenders, *turns(quick))


def recurrence(quick=False):
    """A step of a network with one recurrent layer, by rmsprop"""
    sizes = {"tiny": (2, 3, 2, 4, 2)} if quick else recurrent.SIZES
    for name in ("rnn", "gru", "lstm", "bidirectional"):
        for nin, n, nout, steps, batch in sizes.values():
            if quick and name == "bidirectional":
                continue
            data = recurrent.data(nin, nout, steps, batch)
            shape = (nin, n, nout, steps, batch)
            contenders = {
                "ours": recurrent.ours(name, shape, *data)[0],
                "torch": recurrent.by_torch(name, shape, *data),
                # Slow to compile, so once where only whether it runs is asked.
                "scan": None if quick and name != "rnn" else recurrent.by_scan(name, shape, *data),
            }
            work = f"{name} {nin}-{n}-{nout}, {steps} steps, batch {batch}"
            yield row(work, contenders, *turns(quick))


def accuracy(quick=False):
    """Whole processes: start, imports, data, and training to a test accuracy on the digits"""
    wanted, seeds = (0.3, [0]) if quick else (0.97, range(5))
    kinds = ["ours", *(["torch"] if peers.have("torch") else [])]
    kinds += ["sklearn"] if peers.have("sklearn") else []
    if not quick:
        for kind in kinds:  # what they read is then in memory, and what they compile on disk
            jobs.run("accuracy", kind, 0, wanted)
    found = {kind: [] for kind in kinds}
    for seed in seeds:
        for kind in kinds:
            found[kind].append(jobs.run("accuracy", kind, seed, wanted))
    for what, key in (("CPU time", "cpu"), ("time on the clock", "wall")):
        times = {kind: summary([run[key] for run in runs]) for kind, runs in found.items()}
        yield {"work": f"accuracy {wanted}, {what}", "times": times}
    for what, key in (("epochs", "epochs"), ("peak of memory, MB", "memory")):
        values = {
            kind: statistics.median([run[key] for run in runs]) for kind, runs in found.items()
        }
        yield {"work": what, "values": values}


def starts(quick=False):
    """Whole processes: start, imports, and the first three epochs of training"""
    for kind in ["classifier"] if quick else ["classifier", "lstm"]:
        with tempfile.TemporaryDirectory() as cache:
            cold = jobs.run("first", kind, cache=cache)
            warm = [jobs.run("first", kind, cache=cache) for _ in range(1 if quick else 3)]
        for what, runs in (("empty", [cold]), ("filled", warm)):
            times = {key: summary([run[key] for run in runs]) for key in ("cpu", "wall")}
            yield {"work": f"{kind}, cache {what}", "times": times}


def memory(quick=False):
    """Peaks of memory, in MB, of processes that train in batches of 128"""
    kinds = ["ours", *(["torch"] if peers.have("torch") else [])]
    for sizes in ["10-20-3"] if quick else ["10-20-3", "784-512-256-10"]:
        yield {
            "work": sizes,
            "values": {kind: jobs.run("memory", kind, sizes)["memory"] for kind in kinds},
        }


def threads(quick=False):
    """Epochs of 8192 rows by the clock, with one thread and with one for each core"""
    shapes = [("10-20-3", 32), ("64-100-10", 32), ("64-100-10", 1024), ("784-512-256-10", 128)]
    shapes += [("784-512-256-10", 1024)]
    for sizes, batch in shapes[:1] if quick else shapes:
        times = {}
        for count in (1, os.cpu_count() or 1):
            found = jobs.run("epochs", sizes, batch, 1 if quick else 15, threads=count)
            times["1 thread" if count == 1 else f"{count} threads"] = summary(found["seconds"])
        yield {"work": f"{sizes}, batches of {batch}", "times": times}


def our_step(net, *batch):
    """Make a function that does a compiled step."""
    run = setup.make_run(net, list(batch), None, "adam", batch_size=len(batch[0]), progress=False)
    ((arrays, _),) = run.engine.data.epoch()
    step = run.engine.step.function
    return lambda: step(*arrays)


def by_examples(rows):
    x, y = classification([64, 100, 10], rows)
    return our_epochs(theanets.Classifier([64, 100, 10], rng=0), [x, y], batch_size=128)


def by_width(width):
    sizes = [64, width, width, 10]
    return our_step(theanets.Classifier(sizes, rng=0), *classification(sizes, 128))


def by_depth(depth):
    sizes = [64, *[128] * depth, 10]
    return our_step(theanets.Classifier(sizes, rng=0), *classification(sizes, 128))


def by_steps(steps):
    x, y = recurrent.data(32, 10, steps, 32)
    return our_step(theanets.recurrent.Classifier([32, (64, "gru"), 10], rng=0), x, y)


#: What grows: what it is called, what makes the function to time, and the sizes.
CURVES = {
    "examples": (by_examples, [1024, 2048, 4096, 8192, 16384, 32768]),
    "width": (by_width, [32, 64, 128, 256, 512, 1024]),
    "depth": (by_depth, [1, 2, 4, 8, 16]),
    "time steps": (by_steps, [16, 32, 64, 128, 256, 512]),
}


def exponent(sizes, times):
    """Fit the exponent p of time = c * size ** p, by least squares of the logarithms."""
    slope, _ = np.polyfit(np.log(sizes), np.log(times), 1)
    return float(slope)


def scaling(quick=False):
    """How the time of ours grows: of an epoch with its examples, of a step with the rest"""
    for name, (make, sizes) in CURVES.items():
        sizes = [2, 4] if quick else sizes
        times = []
        for size in sizes:
            function = make(size)
            calls = 1 if quick else number(function, 0.05)
            best = min(repeated(function, calls) for _ in range(turns(quick)[0]))
            times.append(max(best, math.ulp(1)))
        upper = len(sizes) // 2 if len(sizes) > 3 else 0
        yield {
            "work": name,
            "sizes": sizes,
            "seconds": times,
            "exponent": exponent(sizes, times),
            "exponent of the upper half": exponent(sizes[upper:], times[upper:]),
        }


SECTIONS = {
    section.__name__: section
    for section in (
        *(epochs, steps, predict, autoencoder, accuracy, starts),
        *(recurrence, convolutions, sparse_inputs, memory, threads, scaling),
    )
}
