"""What a step of training of blocks of images costs, and PyTorch's eager step beside it.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/blocks.py

The ResNet block has two convolutions of 3 x 3, 64 -> 64, each followed by batch normalization, on
images of 28 x 28, 32 in a batch. The separable block has a depthwise convolution of 3 x 3 and one
of 1 x 1 in their place. Both are trained by sgd on squared errors, in float32. CPU time of one
thread. PyTorch's columns need torch.
"""

import math

import numpy as np
from peers import have
from timing import measure

import theanets
from theanets.training import setup

BATCH, WIDTH, CHANNELS = 32, 28, 64
CONV = dict(form="conv2", size=CHANNELS, filter_size=3, border_mode="same", activation="linear")
SEPARABLE = [
    {**CONV, "groups": CHANNELS},
    {**CONV, "filter_size": 1},
]
NORM = dict(form="batch_norm", activation="relu")
BLOCKS = {
    "ResNet block": [CONV, NORM, CONV, "batch_norm"],
    "separable block": [*SEPARABLE, NORM, *SEPARABLE, "batch_norm"],
}


def data():
    rng = np.random.default_rng(0)
    shape = (BATCH, WIDTH, WIDTH, CHANNELS)
    return [rng.normal(size=shape).astype("float32") for _ in range(2)]


def our_step(block, mode=None):
    """Get the compiled step."""
    layers = [(WIDTH, WIDTH, CHANNELS), dict(form="residual", layers=block, activation="relu")]
    net = theanets.Regressor(layers, mode=mode)
    arrays = data()
    run = setup.make_run(net, arrays, None, "sgd", batch_size=BATCH, progress=False)
    step = run.engine.step.function
    return lambda: step(*arrays)


def torch_step(block):
    """Get PyTorch's step, or None without PyTorch."""
    torch = have("torch")
    if torch is None:
        return None
    nn = torch.nn

    def module(spec):
        if spec == "batch_norm":
            return [nn.BatchNorm2d(CHANNELS)]
        if spec is NORM:
            return [nn.BatchNorm2d(CHANNELS), nn.ReLU()]
        size, groups = spec["filter_size"], spec.get("groups", 1)
        return [nn.Conv2d(CHANNELS, CHANNELS, size, padding=size // 2, groups=groups)]

    net = nn.Sequential(*(one for spec in block for one in module(spec)))
    optimizer = torch.optim.SGD(net.parameters(), 1e-4)
    x, y = (torch.tensor(a).permute(0, 3, 1, 2).contiguous() for a in data())

    def step():
        optimizer.zero_grad()
        ((torch.relu(x + net(x)) - y) ** 2).mean().backward()
        optimizer.step()

    return step


def main():
    print(f"{'train step':<18} {'theanets':>10} {'PyTorch':>10} {'ratio':>6}")
    for name, block in BLOCKS.items():
        steps = [our_step(block), torch_step(block)]
        mine, *peer = measure([step for step in steps if step is not None], 8)
        peer = peer[0] if peer else math.nan
        print(
            f"{name:<18} {mine * 1e3:7.1f} ms {peer * 1e3:7.1f} ms {mine / peer:6.2f}", flush=True
        )


if __name__ == "__main__":
    main()
