"""Train a convolutional classifier on the handwritten digits that scikit-learn ships.

The digits are images of 8 x 8 pixels with one channel. Prints the accuracy on
digits that training never saw, for each of some seeds:

    python examples/digits_convolution.py
    python examples/digits_convolution.py --epochs 5 --seeds 3
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits

from theanets import convolution


def load(seed=0):
    """Get 1797 images of 8 x 8 x 1 pixels in [0, 1], and their labels, in two parts."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(images))
    images, labels = images[order].reshape(-1, 8, 8, 1) / 16, labels[order]
    return (images[:1437], labels[:1437]), (images[1437:], labels[1437:])


def network(seed=0):
    return convolution.Classifier(
        [
            (8, 8, 1),
            dict(form="conv2", size=32, filter_size=3, border_mode="same", activation="linear"),
            dict(form="batch_norm", activation="relu"),
            "pool2",
            dict(form="conv2", size=64, filter_size=3, border_mode="same", activation="linear"),
            dict(form="batch_norm", activation="relu"),
            "pool2",
            "flat",
            dict(form="dropout", rate=0.5),
            10,
        ],
        rng=seed,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=25, help="passes over the data")
    parser.add_argument("--seeds", type=int, default=1, help="how many networks are trained")
    args = parser.parse_args()

    print(network().summary())
    print("compiling (this takes a while the first time, and then comes from a cache) ...")
    for seed in range(args.seeds):
        train, test = load(seed)
        net = network(seed)
        # All of the data, for so many epochs: nothing is chosen by the test digits.
        net.train(train, epochs=args.epochs, learning_rate=2e-3, patience=None)
        print(f"seed {seed}: accuracy on {len(test[0])} test digits {net.score(*test):.4f}")


if __name__ == "__main__":
    main()
