"""Training under JAX where it computes: the same numbers as uncompiled, and times of an update.

    python benchmarks/gpu.py            # on the device of JAX's choice
    python benchmarks/gpu.py --small    # in a minute on a CPU

Wall-clock times of whole epochs by `train`, the least of several, beside PyTorch's eager updates
on its own choice of device, which need torch.
"""

import argparse
import math
import time

import numpy as np
from peers import have, torch_mlp

import theanets
from theanets.training import setup

#: Layers, examples in a batch, and batches in an epoch.
CASES = [([784, 1000, 1000, 10], batch, 60000 // batch) for batch in (128, 1024, 8192)]
SMALL = [([10, 20, 3], 32, 64), ([64, 100, 10], 32, 64)]
CHECKED = {
    "adam": ([6, 8, "batch_norm", 3], {"algo": "adam", "hidden_dropout": 0.2}),
    "momentum": ([6, (8, "tanh"), 3], {"algo": "nag", "momentum": 0.9, "weight_l2": 0.01}),
    "rmsprop": ([6, 8, 3], {"algo": "rmsprop", "max_global_norm": 0.5}),
}


def data(sizes, rows):
    """Make inputs and labels."""
    rng = np.random.default_rng(0)
    return [rng.normal(size=(rows, sizes[0])).astype("f"), rng.integers(sizes[-1], size=rows)]


def difference(layers, options, device):
    """Get the largest difference of parameters from those of training uncompiled, relatively.

    Where the device is no CPU, numbers that are drawn are others.
    """
    found = []
    for where in ({"mode": "JAX", "device": device}, {"mode": "FAST_COMPILE"}):
        net = theanets.Classifier(layers, rng=1)
        start = net.params[0].get_value()
        net.train(data([6, 3], 70), epochs=3, batch_size=16, progress=False, **where, **options)
        assert np.abs(net.params[0].get_value() - start).max() > 1e-3, "it has not been trained"
        found.append([param.get_value() for param in net.params])
    return max(np.abs(a - b).max() / (1 + np.abs(b).max()) for a, b in zip(*found, strict=True))


def least(function, repeats):
    """Get the least time of a call."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def ours(sizes, batch, batches, device, repeats):
    """Get the time of an update within an epoch."""
    net = theanets.Classifier(sizes, rng=1)
    arrays = data(sizes, batch * batches)
    options = {"batch_size": batch, "mode": "JAX", "device": device, "progress": False}
    engine = setup.make_run(net, arrays, None, "adam", **options).engine
    return least(lambda: engine.epoch(0, 0, math.inf, None), repeats) / batches


def eager(sizes, batch, batches, repeats):
    """Get the time of PyTorch's eager update, or NaN without PyTorch."""
    torch = have("torch")
    if torch is None:
        return math.nan
    where = "cuda" if torch.cuda.is_available() else "cpu"
    net = torch_mlp(torch, sizes).to(where)
    optimizer, loss = torch.optim.Adam(net.parameters()), torch.nn.CrossEntropyLoss()
    x, y = (torch.tensor(array, device=where) for array in data(sizes, batch * batches))

    def epoch():
        order = torch.randperm(len(x), device=where)
        for rows in order.split(batch):
            optimizer.zero_grad()
            loss(net(x[rows]), y[rows].long()).backward()
            optimizer.step()
        return float(next(net.parameters()).flatten()[0])  # which waits for the end

    return least(epoch, repeats) / batches


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="what a CPU can do in a minute")
    parser.add_argument("--device", help="the first one of theanets.devices('JAX')")
    asked = parser.parse_args()
    device = asked.device or theanets.devices("JAX")[0]
    print(f"JAX on {device}")
    for name, (layers, options) in CHECKED.items():
        if device.startswith("cpu") or "hidden_dropout" not in options:
            found = difference(layers, options, device)
            print(f"{name:>22}: {found:.1e} from uncompiled")
            assert found < 1e-3, f"{name}: the numbers are others"
    print(f"{'network':>22} {'batch':>5} {'theanets':>10} {'PyTorch':>10} {'ratio':>6}")
    for sizes, batch, batches in SMALL if asked.small else CASES:
        repeats = 3 if asked.small else 5
        own = ours(sizes, batch, batches, device, repeats)
        other = eager(sizes, batch, batches, repeats)
        shown = "-".join(map(str, sizes))
        times = f"{own * 1e6:7.0f} us {other * 1e6:7.0f} us {own / other:6.2f}"
        print(f"{shown:>22} {batch:5} {times}")


if __name__ == "__main__":
    main()
