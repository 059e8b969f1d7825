"""What a step costs, what the loop around it adds, and PyTorch's eager step beside it.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/step.py

CPU time of one thread, the minimum of many repeats; all networks are trained
by adam on cross-entropy, in float32. PyTorch's column needs torch.
"""

import math

import numpy as np
from peers import have, torch_mlp
from timing import seconds

import theanets
from theanets.training import setup

SIZES = [([10, 20, 3], 32), ([64, 100, 10], 32), ([784, 512, 256, 10], 128)]
BATCHES = 64


def ours(sizes, x, y, batch):
    """Make functions that take the bare compiled steps of all batches, and those of an epoch."""
    net = theanets.Classifier(sizes)
    run = setup.make_run(net, [x, y], None, "adam", batch_size=batch, progress=False)
    step = run.engine.step.function
    starts = range(0, len(x), batch)
    ready = [(x[i : i + batch].copy(), y[i : i + batch].astype("int32")) for i in starts]

    def bare():
        for arrays in ready:
            step(*arrays)

    return bare, lambda: run.engine.epoch(0, 0, math.inf, None)


def torch_step(sizes, x, y, batch):
    """Get the time of PyTorch's eager step, or NaN without PyTorch."""
    torch = have("torch")
    if torch is None:
        return math.nan
    net = torch_mlp(torch, sizes)
    optimizer = torch.optim.Adam(net.parameters())
    loss = torch.nn.CrossEntropyLoss()
    inputs, labels = torch.tensor(x[:batch]), torch.tensor(y[:batch]).long()

    def step():
        optimizer.zero_grad()
        loss(net(inputs), labels).backward()
        optimizer.step()

    return seconds(step)


def main():
    rng = np.random.default_rng(0)
    print(f"{'network':>20} {'batch':>5} {'step':>10} {'loop':>7} {'torch':>10} {'ratio':>6}")
    for sizes, batch in SIZES:
        x = rng.normal(size=(batch * BATCHES, sizes[0])).astype("float32")
        y = rng.integers(0, sizes[-1], len(x))
        bare, epoch = ours(sizes, x, y, batch)
        bare, epoch = (seconds(f, least=0.1, repeats=15) / BATCHES for f in (bare, epoch))
        peer = torch_step(sizes, x, y, batch)
        print(
            f"{'-'.join(map(str, sizes)):>20} {batch:5d} {bare * 1e6:7.1f} us "
            f"{100 * (epoch / bare - 1):+6.1f}% {peer * 1e6:7.1f} us {bare / peer:6.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
