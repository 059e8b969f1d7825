"""Steps of training with mode='PYTORCH' beside PyTorch code of the same network, in eager mode.

    python benchmarks/torch_steps.py [cpu|cuda]

Both train by adam in batches of 32, on one thread of a CPU. Figures are the least of several
rounds, taken in turn, in microseconds a step; of the process where it is a CPU, so that others
on the machine count less. Of the recurrent networks the first three have the equations of
PyTorch's layers, and the others, which are ours by default, are written step by step there.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

import theanets

BATCH, ROWS, STEPS, ROUNDS = 32, 1280, 20, 5


class Stepwise(torch.nn.Module):
    """A `gru` or `lstm` with the equations of ours by default, (batch, time, size) in and out."""

    def __init__(self, form: str, width: int, size: int, batch_first: bool = True) -> None:
        super().__init__()
        self.form, self.size = form, size
        many = {"gru": 3, "lstm": 4}[form]

        def weights(*shape: int) -> torch.nn.Parameter:
            return torch.nn.Parameter(torch.randn(*shape) * 0.1)

        self.xh, self.b = weights(width, many * size), weights(many * size)
        self.hh = weights(size, (2 if form == "gru" else 4) * size)
        self.rest = weights(*((size, size) if form == "gru" else (3, size)))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        """Get the outputs of all steps, as the only one of a tuple."""
        h = c = x.new_zeros(len(x), self.size)
        outputs = []
        for z in torch.addmm(self.b, x.flatten(0, 1), self.xh).unflatten(0, x.shape[:2]).unbind(1):
            if self.form == "gru":
                reset, rate, hid = z.split(self.size, 1)
                before = (h @ self.hh).split(self.size, 1)
                reset, rate = torch.sigmoid(reset + before[0]), torch.sigmoid(rate + before[1])
                h = h + rate * (torch.tanh(hid + (reset * h) @ self.rest) - h)
            else:
                i, f, new, o = torch.addmm(z, h, self.hh).split(self.size, 1)
                i, f = torch.sigmoid(i + c * self.rest[0]), torch.sigmoid(f + c * self.rest[1])
                c = f * c + i * torch.tanh(new)
                h = torch.sigmoid(o + c * self.rest[2]) * torch.tanh(c)
            outputs.append(h)
        return (torch.stack(outputs, 1),)


RECURRENT: dict[str, Any] = {
    "rnn": (dict(form="rnn", activation="tanh"), torch.nn.RNN),
    "gru": (dict(form="gru", reset_after=True), torch.nn.GRU),
    "lstm": (dict(form="lstm", peepholes=False), torch.nn.LSTM),
    "our gru": (dict(form="gru"), partial(Stepwise, "gru")),
    "our lstm": (dict(form="lstm"), partial(Stepwise, "lstm")),
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
