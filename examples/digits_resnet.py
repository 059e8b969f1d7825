"""Train a small ResNet on the handwritten digits that scikit-learn ships.

Two residual blocks, the second of which halves the images; three copies of each
image, moved by up to a pixel, are trained on too. Prints the accuracy on digits
that training never saw, for each of some seeds:

    python examples/digits_resnet.py
    python examples/digits_resnet.py --seeds 3
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits

from theanets import convolution

RELU = dict(form="batch_norm", activation="relu")


def load(seed=0):
    """Get 1797 images of 8 x 8 x 1 pixels in [0, 1], and their labels, in two parts."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(images))
    images, labels = images[order].reshape(-1, 8, 8, 1) / 16, labels[order]
    return (images[:1437], labels[:1437]), (images[1437:], labels[1437:])


def conv(size, **options):
    return dict(
        form="conv2", size=size, filter_size=3, border_mode="same", activation="linear", **options
    )


def block(size, **options):
    layers = [conv(size, **options), RELU, conv(size), "batch_norm"]
    return dict(form="residual", layers=layers, activation="relu")


def network(seed, width):
    return convolution.Classifier(
        [
            (8, 8, 1),
            conv(width),
            RELU,
            block(width),
            block(2 * width, stride=2),
            dict(form="pool2", pool_size="global", mode="mean"),
            10,
        ],
        rng=seed,
    )


def moved(images, labels, seed):
    """Add copies that are moved by up to a pixel along each axis."""
    rng = np.random.default_rng(seed)
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    parts = [images]
    for _ in range(3):
        rows, columns = rng.integers(0, 3, (2, len(images)))
        parts.append(np.stack([x[i : i + 8, j : j + 8] for x, i, j in zip(padded, rows, columns)]))
    return np.concatenate(parts), np.tile(labels, len(parts))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=12, help="passes over the data")
    parser.add_argument("--width", type=int, default=24, help="channels of the first block")
    parser.add_argument("--seeds", type=int, default=1, help="how many networks are trained")
    args = parser.parse_args()

    print(network(0, args.width).summary())
    print("compiling (this takes a while the first time, and then comes from a cache) ...")
    for seed in range(args.seeds):
        train, test = load(seed)
        net = network(seed, args.width)
        # All of the data, for so many epochs: nothing is chosen by the test digits.
        net.train(moved(*train, seed), epochs=args.epochs, learning_rate=2e-3, patience=None)
        print(f"seed {seed}: accuracy on {len(test[0])} test digits {net.score(*test):.4f}")


if __name__ == "__main__":
    main()
