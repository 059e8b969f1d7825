"""Learn features of handwritten digits by reconstruction ICA.

Whitens patches of the digits that scikit-learn ships, and trains a linear
autoencoder with tied weights and more features than inputs, which are to be
sparse. Shows how sparse they are, and draws them if matplotlib is there:

    python examples/rica.py
    python examples/rica.py --features 64 --epochs 20 --picture rica.png
"""

import argparse
import importlib.util

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.datasets import load_digits

import theanets


def load_patches(size, number=10000, seed=0):
    """Get square patches of the images, those that are not blank, as centred rows."""
    windows = sliding_window_view(load_digits().images / 16, (size, size), axis=(1, 2))
    rows = windows.reshape(-1, size * size)
    rows = np.random.default_rng(seed).permutation(rows[rows.std(axis=1) > 0.1])[:number]
    return rows - rows.mean(axis=0)


def whitening(x, keep=0.95):
    """Get matrices that whiten rows and undo that; they keep most of the variance."""
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    count = 1 + np.searchsorted(values[::-1].cumsum() / values.sum(), keep)
    scale, vectors = np.sqrt(values[-count:]), vectors[:, -count:]
    return vectors / scale, (vectors * scale).T


def draw(features, size, path):
    from matplotlib import pyplot as plt

    side = int(np.ceil(len(features) ** 0.5))
    figure, axes = plt.subplots(side, side, figsize=(side / 2, side / 2), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, feature in zip(axes.flat, features):
        limit = np.abs(feature).max()
        ax.imshow(feature.reshape(size, size), cmap="gray", vmin=-limit, vmax=limit)
    figure.savefig(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, default=49, help="how many")
    parser.add_argument("--size", type=int, default=6, help="of the patches, in pixels")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--picture", default="rica.png", help="where the features are drawn")
    args = parser.parse_args()

    x = load_patches(args.size)
    whiten, color = whitening(x)
    train, valid = np.split(x @ whiten, [len(x) * 9 // 10])
    net = theanets.Autoencoder([train.shape[1], (args.features, "linear"), "tied"])

    def report(when):
        h, error = net.encode(valid), net.evaluate([valid])["mse"]
        kurtosis = ((h**4).mean(axis=0) / (h**2).mean(axis=0) ** 2 - 3).mean()
        print(f"{when}: excess kurtosis {kurtosis:.2f}, mean squared error {error:.4f}")

    print(f"{len(x)} patches, {train.shape[1]} inputs, {args.features} features")
    report("before")
    penalties = {"hidden_l1": 1, "weight_inverse": 0.01}
    net.train([train], [valid], epochs=args.epochs, criterion="objective", **penalties)
    report("after")
    if importlib.util.find_spec("matplotlib"):
        draw(net.find("hid1", "w").get_value().T @ color, args.size, args.picture)
        print(f"features drawn to {args.picture}")


if __name__ == "__main__":
    main()
