"""Steps of training with mode='PYTORCH' beside PyTorch code of the same network, in eager mode.

    python benchmarks/torch_steps.py [cpu|cuda]

Both train by adam in batches of 32, on one thread of a CPU. Figures are the least of several
rounds, taken in turn, in microseconds a step; of the process where it is a CPU, so that others
on the machine count less. The recurrent networks have the equations of PyTorch's layers.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import theanets

BATCH, ROWS, STEPS, ROUNDS = 32, 1280, 20, 5

RECURRENT = {
    "rnn": (dict(form="rnn", activation="tanh"), torch.nn.RNN),
    "gru": (dict(form="gru", reset_after=True), torch.nn.GRU),
    "lstm": (dict(form="lstm", peepholes=False), torch.nn.LSTM),
}


def ours(layers: list[Any], data: list[Any], device: str) -> Callable[[], None]:
    """Get what trains for an epoch."""
    kind = theanets.recurrent.Classifier if data[0].ndim == 3 else theanets.Classifier
    net = kind(layers, rng=1, mode="PYTORCH")
    options = dict(algo="adam", batch_size=BATCH, epochs=10**6, patience=0, device=device)
    epochs = net.itertrain(data, validate_every=10**6, **options)
    return lambda: next(epochs) and None


def peer(body: Callable[[Any], Any], params: Any, data: list[Any], device: str) -> Any:
    """Get what trains PyTorch's own network for an epoch."""
    x, y = (torch.as_tensor(array, device=device) for array in data)
    y, optimizer = y.long(), torch.optim.Adam(params)

    def epoch() -> None:
        for rows in torch.randperm(len(x), device=device).split(BATCH):
            optimizer.zero_grad()
            logits = body(x[rows])
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, -2), y[rows].flatten())
            loss.backward()
            optimizer.step()
        loss.item()

    return epoch


def pair(name: str, device: str) -> tuple[Callable[[], None], Callable[[], None]]:
    """Get the epochs of both for a network."""
    rng = np.random.default_rng(0)
    if name == "64-100-10":
        x = rng.normal(size=(ROWS, 64)).astype("float32")
        data = [x, rng.integers(10, size=ROWS).astype("int32")]
        parts = torch.nn.Linear(64, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10)
        model = torch.nn.Sequential(*parts).to(device)
        return ours([64, (100, "relu"), 10], data, device), peer(
            model, model.parameters(), data, device
        )
    layer, kind = RECURRENT[name]
    x = rng.normal(size=(ROWS, STEPS, 10)).astype("float32")
    data = [x, rng.integers(5, size=(ROWS, STEPS)).astype("int32")]
    core, out = kind(10, 50, batch_first=True).to(device), torch.nn.Linear(50, 5).to(device)
    params = [*core.parameters(), *out.parameters()]
    return ours([10, dict(size=50, **layer), 5], data, device), peer(
        lambda x: out(core(x)[0]), params, data, device
    )


def main(device: str = "cpu") -> None:
    """Print a row for each network."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    clock = time.process_time if device == "cpu" else time.perf_counter
    for name in ("64-100-10", *RECURRENT):
        functions, best = pair(name, device), [float("inf")] * 2
        for function in functions:
            function()  # prepares
        for _ in range(ROUNDS):
            for i, function in enumerate(functions):
                start = clock()
                function()
                best[i] = min(best[i], clock() - start)
        mine, other = (1e6 * seconds * BATCH / ROWS for seconds in best)
        print(f"{name:10s} {mine:8.0f} us, PyTorch {other:8.0f} us, ratio {mine / other:.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
