"""What sparse inputs cost: by the entries that are not zero, beside the same network fed dense.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/sparse.py

A classifier of bags of words, features-100-10, batches of 128, in float32.
CPU time of one thread for a batch, the minimum of many repeats: of the outputs
(``predict``), of the outputs and all gradients, and of a step of sgd. The
gradient of the weights is dense, so that a step has to fill and to add an
array of their size, which is what the last column has more. The dense network
is measured up to 10,000 features; the ratio is dense to sparse.
"""

import numpy as np
import scipy.sparse as sp
from timing import seconds

import theanets
from theanets.data import Dataset
from theanets.training import compiled, setup

BATCH, UNITS, CLASSES = 128, 100, 10
#: Features, and entries that are not zero in each row.
SHAPES = [(10_000, 10), (10_000, 100), (10_000, 1000), (100_000, 10), (100_000, 100)]
SHAPES += [(100_000, 1000)]
DENSE_UP_TO = 10_000


def bags(features, count):
    """Get a batch of bags of words, and its labels."""
    rng = np.random.default_rng(0)
    columns = np.concatenate([rng.choice(features, count, replace=False) for _ in range(BATCH)])
    values = rng.random(len(columns), dtype=np.float32)
    rows = np.arange(0, len(columns) + 1, count)
    x = sp.csr_array((values, columns, rows), shape=(BATCH, features))
    return x, rng.integers(CLASSES, size=BATCH)


def calls(features, x, y, sparse):
    """Make functions that compute the outputs, these and the gradients, and a step."""
    net = theanets.Classifier([dict(size=features, sparse=sparse), UNITS, CLASSES])
    rng = np.random.default_rng(0)
    data = Dataset(net.fields, [x, y], batch_size=BATCH, seed_rng=rng, shuffle=False)
    ((batch, _),) = data.epoch()
    batch = tuple(np.ascontiguousarray(array) for array in batch)
    evaluation = compiled.compile_evaluation(net.graph, net.variables, net.bound_losses(), ())
    evaluation.assign(net.losses, (), 1.0)
    gradient, _ = compiled.compile_gradient(net.graph, net.variables, net.bound_losses(), ())
    gradient.assign(net.losses, (), 1.0)
    run = setup.make_run(net, [x, y], None, "sgd", batch_size=BATCH, progress=False)
    functions = evaluation.function, gradient.function, run.engine.step.function
    names = "outputs", "gradients", "sgd step"
    return {n: lambda f=f: f(*batch) for n, f in zip(names, functions)}


def main():
    print(
        f"{'features':>8} {'nonzero':>8} {'outputs':>9} {'gradients':>9} {'sgd step':>9}   ratios"
    )
    for features, count in SHAPES:
        x, y = bags(features, count)
        ours = [seconds(f, repeats=15) for f in calls(features, x, y, True).values()]
        ratios = ""
        if features <= DENSE_UP_TO:
            dense = calls(features, x.toarray(), y, False).values()
            dense = [seconds(function, repeats=15) for function in dense]
            ratios = " ".join(f"{d / s:6.1f}" for d, s in zip(dense, ours, strict=True))
        print(
            f"{features:8d} {count:8d} " + " ".join(f"{t * 1e3:6.2f} ms" for t in ours),
            ratios,
            flush=True,
        )


if __name__ == "__main__":
    main()
