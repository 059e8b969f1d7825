"""The adding problem: remember two marked numbers of a series, and add them at its end.

Each step has a number in [0, 1] and a mark, which is 1 at two steps: one in the
first tenth, one before the middle. Weights say that only the last step's
output counts. Whoever always says 1 has a mean squared error of 0.167:

    python examples/recurrent_addition.py
    python examples/recurrent_addition.py --forms gru --steps 50 --updates 500

Hochreiter & Schmidhuber 1997 posed the problem.
"""

import argparse
import time

import numpy as np

from theanets import recurrent


def draw(rng, steps, examples=32):
    """Get inputs (examples, steps, 2), targets and weights (examples, steps, 1)."""
    inputs = np.zeros((examples, steps, 2), "float32")
    inputs[:, :, 0] = rng.random((examples, steps))
    rows = np.arange(examples)
    inputs[rows, rng.integers(0, steps // 10, examples), 1] = 1
    inputs[rows, rng.integers(steps // 10, steps // 2, examples), 1] = 1
    targets, weights = np.zeros((2, examples, steps, 1), "float32")
    targets[:, -1, 0] = (inputs[:, :, 0] * inputs[:, :, 1]).sum(axis=1)
    weights[:, -1] = 1
    return [inputs, targets, weights]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--forms", nargs="+", default=["gru", "lstm", "clockwork", "transformer"])
    parser.add_argument("--steps", type=int, default=100, help="length of the series")
    parser.add_argument("--updates", type=int, default=4000, help="at most so many")
    args = parser.parse_args()

    test = draw(np.random.default_rng(1), args.steps, 2000)
    print(f"always 1: {np.mean((test[1][:, -1] - 1) ** 2):.4f}")
    for form in args.forms:
        layers = [dict(form=form, size=64)]
        if form == "clockwork":
            layers[0]["periods"] = [1, 2, 4, 8, 16, 32, 64, 128]
        if form == "transformer":
            layers = [(32, "linear"), dict(form=form, heads=4, causal=True), "layer_norm"]
        net = recurrent.Regressor([2, *layers, 1], weighted=True)
        rng, start = np.random.default_rng(0), time.perf_counter()
        for i, (_, valid) in enumerate(
            net.itertrain(
                lambda rng=rng: draw(rng, args.steps),
                draw(np.random.default_rng(2), args.steps, 500),
                train_batches=min(250, args.updates),
                max_updates=args.updates,
                patience=None,
                learning_rate=3e-3 if form == "transformer" else 1e-2,
                max_gradient_norm=1,
            )
        ):
            if i % 4 == 0:
                print(f"  {form}, epoch {i + 1}: {valid['loss']:.4f}", flush=True)
            if valid["loss"] < 1e-3:
                break
        error = np.mean((net.predict(test[0])[:, -1] - test[1][:, -1]) ** 2)
        print(f"{form}: {error:.4f} in {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
