"""Make the pictures of the documentation, from networks trained on scikit-learn's digits.

Run it as ``python docs/make_pictures.py``.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import theanets
from theanets import calibration

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


def draw_reliability():
    """Draw a network that is too sure, as in the guide, and the same with a temperature."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3200, 10))
    labels = (2 * x[:, :3] + rng.gumbel(size=(3200, 3))).argmax(axis=1)
    train, valid, test = zip(np.split(x, [200, 700]), np.split(labels, [200, 700]))
    net = theanets.Classifier([10, 50, 3], rng=1)
    net.train(train, epochs=100, patience=None)
    scaled = calibration.TemperatureScaling(net, *valid)
    _, axes = plt.subplots(1, 2, figsize=(7.6, 3.8), layout="compressed")
    for ax, model, label in zip(axes, (net, scaled), ("before", "after")):
        found = calibration.reliability(model.predict_proba(test[0]), test[1], bins=10)
        theanets.plot.reliability(found, ax=ax, label=label)
    save(axes[0], "reliability.png")


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

    draw_reliability()

    net = theanets.Autoencoder([64, (20, "tanh"), 64])
    net.train(train[0], valid[0], learning_rate=0.003, epochs=200)
    print(net.history, f"R squared on test digits: {net.score(test[0]):.3f}")
    save(theanets.plot.reconstructions(net, test[0]), "reconstructions.png")


if __name__ == "__main__":
    main()
