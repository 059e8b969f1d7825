"""What a step of a small convolutional network costs, and PyTorch's eager step beside it.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/convolution.py

The network: convolution 1 -> 16 of 5 x 5, pool 2, convolution 16 -> 32 of 5 x
5, pool 2, 10 classes; trained by adam on cross-entropy, in float32. CPU time
of one thread, the minimum of many repeats. The last column is the time per
multiplication, relative to the first row: it should not grow. (Borders weigh
less in larger images, so that multiplications grow faster than the area.)
PyTorch's columns need torch.
"""

import math

import numpy as np
from peers import have
from timing import measure

from theanets import convolution
from theanets.training import setup

#: Examples in a batch, and width and height of the images.
SHAPES = [(32, 28), (128, 28), (32, 56), (32, 112)]


def network(width, **kwargs):
    return convolution.Classifier(
        [
            (width, width, 1),
            dict(form="conv2", size=16, filter_size=5),
            "pool2",
            dict(form="conv2", size=32, filter_size=5),
            "pool2",
            "flat",
            10,
        ],
        **kwargs,
    )


def our_step(batch, width, mode=None):
    """Get the compiled step."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, width, width, 1)).astype("float32")
    y = rng.integers(0, 10, batch).astype("int32")
    net = network(width, mode=mode)
    run = setup.make_run(net, [x, y], None, "adam", batch_size=batch, progress=False)
    step = run.engine.step.function
    return lambda: step(x, y)


def torch_step(batch, width, compiled=False):
    """Get PyTorch's step, eager or by torch.compile, or None without PyTorch."""
    torch = have("torch")
    if torch is None:
        return None
    nn = torch.nn
    last = ((width - 4) // 2 - 4) // 2
    net = nn.Sequential(
        *[nn.Conv2d(1, 16, 5), nn.ReLU(), nn.MaxPool2d(2)],
        *[nn.Conv2d(16, 32, 5), nn.ReLU(), nn.MaxPool2d(2)],
        *[nn.Flatten(), nn.Linear(32 * last * last, 10)],
    )
    optimizer, loss = torch.optim.Adam(net.parameters()), nn.CrossEntropyLoss()
    net = torch.compile(net) if compiled else net
    images, labels = torch.randn(batch, 1, width, width), torch.randint(0, 10, (batch,))

    def step():
        optimizer.zero_grad()
        loss(net(images), labels).backward()
        optimizer.step()

    return step


def multiplications(batch, width):
    """Get the number of multiplications of both convolutions, of one direction."""
    first = width - 4
    second = first // 2 - 4
    return batch * (first**2 * 25 * 16 + second**2 * 25 * 16 * 32)


def main():
    print(f"{'batch':>5} {'image':>9} {'step':>10} {'torch':>10} {'ratio':>6} {'per mult.':>10}")
    first = None
    for batch, width in SHAPES:
        steps = [our_step(batch, width), torch_step(batch, width)]
        mine, *peer = measure([step for step in steps if step is not None], 25)
        peer = peer[0] if peer else math.nan
        each = mine / multiplications(batch, width)
        first = first or each
        print(
            f"{batch:5d} {width:4d}x{width:<4d} {mine * 1e3:7.2f} ms {peer * 1e3:7.2f} ms "
            f"{mine / peer:6.2f} {each / first:10.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
