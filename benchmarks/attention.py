"""What a step of training with attention costs, and a symbol that is generated, beside PyTorch.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/attention.py
    python benchmarks/attention.py --only memory growth first

Two blocks of attention and a feedforward network of four times the size, with normalization
before each, are trained by sgd on squared errors of series, in float32. PyTorch's are
``TransformerEncoderLayer`` in eager mode. To generate, PyTorch goes through the whole series again
for each symbol, as ``TransformerEncoder`` keeps nothing; ours keep keys and values. CPU time of
one thread. PyTorch's columns need torch, and pytensor-ml's, of steps of training, needs pytensor-ml
(PyTensor 3.3), whose blocks are compiled by NUMBA too; its sgd is plain.

``kept`` has what one more step of a series costs after many. ``memory`` has the peaks of processes
that train, libraries and compilers included. ``growth`` is the exponent of our step's time, by
batch and by steps, with a window and without. ``first`` are whole processes, which start, import
and train the first of these networks for three epochs.
"""

import argparse
import math
import subprocess
import sys
import tempfile
import time

import jobs
import numpy as np
from peers import have
from timing import measure, peak_memory

import theanets
from theanets.training import setup

#: Name: batch, steps, size, heads, whether steps attend to those before only.
STEPS = {
    "32 series, 64 steps, size 64, 4 heads": (32, 64, 64, 4, False),
    "16 series, 256 steps, size 128, 8 heads": (16, 256, 128, 8, False),
    "the same, causal": (16, 256, 128, 8, True),
}
GENERATED = 200
#: How many steps came before one that is timed.
SO_FAR = (10, 100, 1000, 4000)
#: What grows: batches and steps, of size 64 with 4 heads, and with which window.
GROWTH = {
    "batch, 64 steps": ([(batch, 64) for batch in (8, 16, 32, 64, 128)], None),
    "steps, 2 series": ([(2, steps) for steps in (128, 256, 512, 1024, 2048, 4096)], None),
    "steps, window of 64": ([(2, steps) for steps in (128, 256, 512, 1024, 2048, 4096)], 64),
}


def data(batch, steps, size):
    rng = np.random.default_rng(0)
    return [rng.normal(size=(batch, steps, size)).astype("float32") for _ in range(2)]


def blocks(heads, causal, **options):
    made = dict(form="transformer", heads=heads, causal=causal, activation="relu", repeat=2)
    return {**made, **options}


def our_step(batch, steps, size, heads, causal, mode=None, **options):
    """Get the compiled step of training."""
    net = theanets.recurrent.Regressor([size, blocks(heads, causal, **options), size], mode=mode)
    arrays = data(batch, steps, size)
    run = setup.make_run(net, arrays, None, "sgd", batch_size=batch, progress=False)
    step = run.engine.step.function
    return lambda: step(*arrays)


def torch_network(torch, size, heads):
    nn = torch.nn
    layer = nn.TransformerEncoderLayer(
        size, heads, 4 * size, dropout=0, batch_first=True, norm_first=True
    )
    return nn.ModuleList(
        [nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(size, size)]
    )


def torch_step(batch, steps, size, heads, causal):
    """Get PyTorch's step, or None without PyTorch."""
    torch = have("torch")
    if torch is None:
        return None
    encoder, out = net = torch_network(torch, size, heads)
    optimizer = torch.optim.SGD(net.parameters(), 1e-4)
    x, y = map(torch.from_numpy, data(batch, steps, size))
    mask = torch.nn.Transformer.generate_square_subsequent_mask(steps) if causal else None

    def step():
        optimizer.zero_grad()
        found = out(encoder(x, mask=mask, is_causal=causal))
        ((found - y) ** 2).mean().backward()
        optimizer.step()

    return step


def pml_step(batch, steps, size, heads, causal):
    """Get pytensor-ml's step, or None without it."""
    if have("pytensor_ml") is None:
        return None
    import pytensor
    from pytensor_ml.activations import ReLU
    from pytensor_ml.layers import Input, Linear, Sequential, TransformerBlock
    from pytensor_ml.loss import SquaredError
    from pytensor_ml.model import Model
    from pytensor_ml.optim import sgd

    options = dict(d_model=size, n_head=heads, is_causal=causal, activation=ReLU())
    with pytensor.config.change_flags(floatX="float32"):
        parts = [TransformerBlock(f"block{i}", **options) for i in range(2)]
        network = Sequential(*parts, Linear("out", n_in=size, n_out=size))
        model = Model(network(Input("x", shape=(None, steps, size)))).initialize(seed=0)
        step = model.compile_train(sgd(1e-4), SquaredError(), compile_kwargs={"mode": "NUMBA"})
    x, y = data(batch, steps, size)
    return lambda: step(x, y)


def our_generation(size, heads, mode=None):
    """Get what goes on with a series, by one step after the other."""
    net = theanets.recurrent.Predictor([size, blocks(heads, True), size], mode=mode)
    (seed, _) = data(1, 1, size)
    return lambda: net.generate(seed, steps=GENERATED)


def torch_generation(size, heads):
    torch = have("torch")
    if torch is None:
        return None
    encoder, out = net = torch_network(torch, size, heads)
    net.eval()
    seed = torch.from_numpy(data(1, 1, size)[0])

    def generate():
        series = seed
        with torch.no_grad():
            for _ in range(GENERATED):
                mask = torch.nn.Transformer.generate_square_subsequent_mask(series.shape[1])
                found = out(encoder(series, mask=mask, is_causal=True))
                series = torch.cat([series, found[:, -1:]], dim=1)

    return generate


def row(name, *functions):
    """Time ours and those of others, None for what is not there, and print a line of them."""
    found = iter(measure([f for f in functions if f is not None], 8))
    mine, *others = (math.nan if f is None else next(found) for f in functions)
    cells = [f"{1e3 * other:7.1f} ms {mine / other:6.2f}" for other in others]
    print(f"{name:<50} {mine * 1e3:7.1f} ms {'  '.join(cells)}", flush=True)


def times():
    """What a step and a series cost"""
    print(
        f"{'2 blocks':<50} {'theanets':>10} {'PyTorch':>10} {'ratio':>6}  {'pytensor-ml':>10} ratio"
    )
    for name, sizes in STEPS.items():
        row(f"train step, {name}", our_step(*sizes), torch_step(*sizes), pml_step(*sizes))
    row(f"generate {GENERATED}, size 64", our_generation(64, 4), torch_generation(64, 4), None)


def kept():
    """What a further step of a series costs, by how many there were"""
    net = theanets.recurrent.Predictor([64, blocks(4, True), 64])
    x, _ = data(1, max(SO_FAR), 64)
    for many in SO_FAR:
        _, state = net.predict(x[:, :many], return_state=True)
        stream, found = net.stream(), []
        stream.state = state
        for row in x[0, :100]:
            start = time.process_time()
            stream.step(row)
            found.append(time.process_time() - start)
        # The first ones make room, and compile.
        print(f"after {many:<6} {1e6 * np.median(found[10:]):7.0f} us", flush=True)


def print_peak(kind, name):
    """Do some steps, and print the peak of memory."""
    sizes = STEPS[name]
    step = our_step(*sizes) if kind == "ours" else torch_step(*sizes)
    for _ in range(3):
        step()
    print(peak_memory())


def peak(kind, name):
    """Get the peak of memory, in MB, of a process that does some steps."""
    command = [sys.executable, __file__, "--peak", kind, name]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(found.stdout.split()[-1])


def memory():
    """Peaks of memory"""
    kinds = ["ours", "torch"] if have("torch") else ["ours"]
    for name in STEPS:
        mine, *peer = (peak(kind, name) for kind in kinds)
        peer = peer[0] if peer else math.nan
        print(f"{name:<42} {mine:7.0f} MB {peer:7.0f} MB {mine / peer:6.2f}", flush=True)


def growth():
    """How the time of our step grows"""
    for name, (sizes, window) in GROWTH.items():
        found = [measure([our_step(*some, 64, 4, False, window=window)], 4)[0] for some in sizes]
        upper = len(sizes) // 2
        numbers = np.log([some[name.startswith("steps")] for some in sizes])
        slope = np.polyfit(numbers[upper:], np.log(found[upper:]), 1)[0]
        cells = " ".join(f"{1e3 * seconds:.1f}" for seconds in found)
        print(f"{name:<20} {cells} ms, exponent of the upper half {slope:.2f}", flush=True)


def first():
    """The first training of a process"""
    with tempfile.TemporaryDirectory() as cache:
        for what in ("empty", "filled"):
            found = jobs.run("first", "transformer", cache=cache)
            cpu, wall = found["cpu"], found["wall"]
            print(f"cache {what}: {cpu:.1f} s of CPU, {wall:.1f} s on the clock", flush=True)


PARTS = {part.__name__: part for part in (times, kept, memory, growth, first)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print_peak(*options.peak)
        return
    for name in options.only:
        print(PARTS[name].__doc__)
        PARTS[name]()


if __name__ == "__main__":
    main()
