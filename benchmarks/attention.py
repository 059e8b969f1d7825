"""What a step of training with attention costs, and a symbol that is generated, beside PyTorch.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/attention.py

Two blocks of attention and a feedforward network of four times the size, with normalization
before each, are trained by sgd on squared errors of series, in float32. PyTorch's are
``TransformerEncoderLayer`` in eager mode. To generate, PyTorch goes through the whole series again
for each symbol, as ``TransformerEncoder`` keeps nothing; ours keep keys and values. CPU time of
one thread. PyTorch's columns need torch.
"""

import math

import numpy as np
from peers import have
from timing import measure

import theanets
from theanets.training import setup

#: Name: batch, steps, size, heads, whether steps attend to those before only.
STEPS = {
    "32 series, 64 steps, size 64, 4 heads": (32, 64, 64, 4, False),
    "16 series, 256 steps, size 128, 8 heads": (16, 256, 128, 8, False),
    "the same, causal": (16, 256, 128, 8, True),
}
GENERATED = 200


def data(batch, steps, size):
    rng = np.random.default_rng(0)
    return [rng.normal(size=(batch, steps, size)).astype("float32") for _ in range(2)]


def blocks(heads, causal):
    return dict(form="transformer", heads=heads, causal=causal, activation="relu", repeat=2)


def our_step(batch, steps, size, heads, causal, mode=None):
    """Get the compiled step of training."""
    net = theanets.recurrent.Regressor([size, blocks(heads, causal), size], mode=mode)
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
    mine, *peer = measure([f for f in functions if f is not None], 8)
    peer = peer[0] if peer else math.nan
    print(f"{name:<42} {mine * 1e3:7.1f} ms {peer * 1e3:7.1f} ms {mine / peer:6.2f}", flush=True)


def main():
    print(f"{'2 blocks':<42} {'theanets':>10} {'PyTorch':>10} {'ratio':>6}")
    for name, sizes in STEPS.items():
        row(f"train step, {name}", our_step(*sizes), torch_step(*sizes))
    row(f"generate {GENERATED}, size 64", our_generation(64, 4), torch_generation(64, 4))


if __name__ == "__main__":
    main()
