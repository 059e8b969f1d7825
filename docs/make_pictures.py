"""Make the pictures of the documentation, from networks trained on scikit-learn's digits.

Run it as ``python docs/make_pictures.py``.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from sklearn.datasets import load_digits

import theanets

IMAGES = Path(__file__).parent / "images"


def load():
    """Get 1797 images of 8 x 8 pixels in [0, 1], and their labels, in three parts."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order] / 16, labels[order]
    return zip(np.split(images, [1150, 1437]), np.split(labels, [1150, 1437]))


def branching():
    """Get a network with branches, a skip connection, and two losses."""
    net = theanets.Classifier(
        [
            64,
            dict(name="shared", size=50),
            dict(name="wide", size=80),
            dict(name="narrow", size=10, activation="tanh", inputs="shared"),
            dict(name="merged", size=30, inputs=["wide", "narrow", "in"]),
            10,
        ],
    )
    net.add_loss("mse", weight=0.1, output_name="narrow:pre", target="style")
    return net


def save(axes, name):
    axes.figure.savefig(IMAGES / name, dpi=96, metadata={"Software": None})


def main():
    IMAGES.mkdir(exist_ok=True)
    train, valid, test = load()

    net = theanets.Classifier([64, (36, "tanh"), 10])
    net.train(train, valid, learning_rate=0.003, weight_l2=0.1, input_noise=0.3, patience=8)
    print(net.history, f"accuracy on test digits: {net.score(*test):.3f}")
    save(theanets.plot.history(net, ["loss", "acc"])[0], "history.png")
    save(theanets.plot.weights(net, "hid1.w", columns=9), "weights.png")
    save(theanets.plot.confusion(net, *test), "confusion.png")
    theanets.plot.graph(branching()).save(IMAGES / "graph.svg")

    net = theanets.Autoencoder([64, (20, "tanh"), 64])
    net.train(train[0], valid[0], learning_rate=0.003, epochs=200)
    print(net.history, f"R squared on test digits: {net.score(test[0]):.3f}")
    save(theanets.plot.reconstructions(net, test[0]), "reconstructions.png")


if __name__ == "__main__":
    main()
