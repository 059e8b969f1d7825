"""Clean series of noise: an autoencoder of series that sees each from both sides.

Series are sums of two waves of random period, phase and height. Training adds
noise to the input, and asks for the series without it. Prints the mean squared
error of series that training never saw, with noise: as they are, smoothed by the
best of moving averages, and after the network:

    python examples/recurrent_autoencoder.py
    python examples/recurrent_autoencoder.py --updates 100 --plot denoised.png
"""

import argparse
import time

import numpy as np

from theanets import recurrent

NOISE = 0.5


def draw(rng, steps, examples=64):
    """Get an array (examples, steps, 1) of variance 1."""
    period = np.exp(rng.uniform(np.log(8), np.log(40), size=(2, examples, 1)))
    phase = rng.uniform(0, 2 * np.pi, size=(2, examples, 1))
    height = rng.normal(size=(2, examples, 1))
    series = (height * np.sin(2 * np.pi * np.arange(steps) / period + phase)).sum(axis=0)
    return series[:, :, None].astype("float32")


def smooth(noisy, width):
    """Get moving averages over ``width`` steps, which is odd."""
    ends = np.pad(noisy, ((0, 0), (width // 2, width // 2), (0, 0)), mode="edge")
    return np.lib.stride_tricks.sliding_window_view(ends, width, axis=1).mean(axis=-1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100, help="length of the series")
    parser.add_argument("--updates", type=int, default=3000, help="how many")
    parser.add_argument("--plot", help="file for a picture of one series (needs matplotlib)")
    args = parser.parse_args()
    if args.plot:
        import matplotlib.pyplot as plt

    clean = draw(np.random.default_rng(1), args.steps, 1000)
    noisy = clean + np.random.default_rng(2).normal(scale=NOISE, size=clean.shape)
    print(f"with noise: {np.mean((noisy - clean) ** 2):.4f}")
    print(f"smoothed: {min(np.mean((smooth(noisy, k) - clean) ** 2) for k in (3, 5, 7, 9)):.4f}")

    net = recurrent.Autoencoder([1, dict(form="bidirectional", worker="lstm", size=64), 1])
    rng, start = np.random.default_rng(0), time.perf_counter()
    net.train(
        lambda: [draw(rng, args.steps)],
        [draw(np.random.default_rng(3), args.steps, 200)],
        max_updates=args.updates,
        patience=None,
        learning_rate=3e-3,
        max_gradient_norm=1,
        input_noise=NOISE,
    )
    found = net.predict(noisy)
    seconds = time.perf_counter() - start
    print(f"by the network: {np.mean((found - clean) ** 2):.4f} in {seconds:.0f} s")
    if args.plot:
        worst = np.argmax(np.mean((noisy - clean) ** 2, axis=(1, 2)))
        for series, style in ((noisy, "."), (clean, "-"), (found, "--")):
            plt.plot(series[worst, :, 0], style)
        plt.legend(["with noise", "without", "by the network"])
        plt.savefig(args.plot)
        print(f"the series of most noise is in {args.plot}")


if __name__ == "__main__":
    main()
