"""What a training step of a recurrent network costs, and PyTorch's eager step beside it.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/recurrent.py
    ... benchmarks/recurrent.py --layers lstm gru --sizes small big --scan

CPU time of one thread in float32, the minimum of many repeats, interleaved with
PyTorch's: loss, gradient and update by rmsprop of a net with one recurrent layer
and a classifier of each step. PyTorch's column needs torch; ``x gru`` is the ratio to
our own gru of that size. ``first`` is the time of the first step, compilation
included: for a cold one, set ``PYTENSOR_FLAGS=base_compiledir=`` to an empty directory.

``--scan`` adds the same step by PyTensor's scan. ``--memory`` adds the peaks of memory
of a process that trains with our net and of one that trains with PyTorch's, each less
the peak of the same process for the small net, so that libraries and compilers do not
count.
"""

import argparse
import math
import subprocess
import sys
import time

import numpy as np
from peers import have
from timing import measure, peak_memory

import theanets
from theanets.layers.recurrent import base
from theanets.ops.recurrent.trace import NotElementwiseError
from theanets.training import setup

SIZES = {
    "small": (2, 10, 2, 50, 32),
    "middle": (50, 100, 50, 100, 32),
    "big": (128, 256, 128, 64, 64),
}
PLAIN = {
    "gru": dict(form="gru", reset_after=True),
    "rnn": dict(form="rnn", activation="tanh"),
    "gru-before": dict(form="gru"),
    "lstm": dict(form="lstm", peepholes=False),
    "lstm-peepholes": dict(form="lstm"),
    "lstm-normalized": dict(form="lstm", normalized=True),
    "mut1": dict(form="mut1"),
    "rrnn": dict(form="rrnn", activation="tanh"),
    "mrnn": dict(form="mrnn", activation="tanh"),
    "scrn": dict(form="scrn"),
    "clockwork": dict(form="clockwork", activation="tanh", periods=(1, 2)),
    "bcrnn": dict(form="bcrnn", activation="tanh", num_modules=2),
    "bidirectional": dict(form="bidirectional", worker=dict(form="lstm", peepholes=False)),
}
#: PyTorch's layer to compare with, and whether it is bidirectional.
TORCH = {
    "rnn": "RNN",
    "lstm": "LSTM",
    "lstm-peepholes": "LSTM",
    "lstm-normalized": "LSTM",
    "bidirectional": "LSTM",
}


def data(nin, nout, steps, batch):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, steps, nin)).astype("float32")
    return x, rng.integers(0, nout, (batch, steps)).astype("int32")


def ours(name, sizes, x, y):
    nin, size, nout, _, _ = sizes
    net = theanets.recurrent.Classifier([nin, dict(size=size, **PLAIN[name]), nout])
    run = setup.make_run(net, [x, y], None, "rmsprop", batch_size=len(x), progress=False)
    step = run.engine.step.function
    start = time.process_time()
    step(x, y)
    return (lambda: step(x, y)), time.process_time() - start


def by_scan(name, sizes, x, y):
    def refuse(*arguments):
        raise NotElementwiseError("for comparison")

    kept, base.trace = base.trace, refuse
    try:
        return ours(name, sizes, x, y)[0]
    finally:
        base.trace = kept


def by_torch(name, sizes, x, y):
    torch = have("torch")
    if torch is None:
        return None
    nin, size, nout, _, _ = sizes
    both = name == "bidirectional"
    kind = getattr(torch.nn, TORCH.get(name, "GRU"))
    layer = kind(nin, size // (1 + both), batch_first=True, bidirectional=both)
    out = torch.nn.Linear(size, nout)
    optimizer = torch.optim.RMSprop([*layer.parameters(), *out.parameters()])
    loss = torch.nn.CrossEntropyLoss()
    inputs, labels = torch.tensor(x), torch.tensor(y).long().reshape(-1)

    def step():
        optimizer.zero_grad()
        loss(out(layer(inputs)[0]).reshape(-1, nout), labels).backward()
        optimizer.step()

    return step


def peak(kind, name, size):
    """Get the peak of memory, in MB, of a process that does some steps."""
    command = [sys.executable, __file__, "--peak", kind, name, size]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(found.stdout.split()[-1])


def print_peak(kind, name, size):
    sizes = SIZES[size]
    arguments = (name, sizes, *data(sizes[0], sizes[2], *sizes[3:]))
    step = by_torch(*arguments) if kind == "torch" else ours(*arguments)[0]
    for _ in range(10):
        step()
    print(peak_memory())


def memory(name, size, torch):
    """Get the peaks of ours and of PyTorch's, above those for the small net."""
    kinds = ["ours", "torch"] if torch else ["ours"]
    grown = [peak(kind, name, size) - peak(kind, name, "small") for kind in kinds]
    return "  memory " + " / ".join(f"{mb:.0f}" for mb in grown) + " MB"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--layers", nargs="*", default=list(PLAIN), choices=PLAIN)
    parser.add_argument("--sizes", nargs="*", default=list(SIZES), choices=SIZES)
    parser.add_argument("--scan", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print_peak(*options.peak)
        return
    print(
        f"{'layer':>15} {'in-n-out/T/B':>22} {'first':>7} {'step':>9} {'torch':>9} {'ratio':>6} "
        f"{'x gru':>6}"
    )
    gru = {}
    for name in options.layers:
        for size in options.sizes:
            sizes = SIZES[size]
            nin, n, nout, steps, batch = sizes
            x, y = data(nin, nout, steps, batch)
            step, first = ours(name, sizes, x, y)
            functions = [step]
            other = by_torch(name, sizes, x, y)
            if other is not None:
                functions.append(other)
            if options.scan:
                functions.append(by_scan(name, sizes, x, y))
            times = measure(functions, options.rounds)
            torch_time = times[1] if other is not None else math.nan
            if name == "gru":
                gru[size] = times[0]
            line = f"{name:>15} {f'{nin}-{n}-{nout}/{steps}/{batch}':>22} {first:6.1f}s"
            line += (
                f" {times[0] * 1e3:7.2f}ms {torch_time * 1e3:7.2f}ms {times[0] / torch_time:6.2f} "
                f"{times[0] / gru.get(size, math.nan):6.2f}"
            )
            if options.scan:
                line += f"  scan {times[-1] * 1e3:7.2f}ms"
            if options.memory and size != "small":
                line += memory(name, size, other is not None)
            print(line, flush=True)


if __name__ == "__main__":
    main()
