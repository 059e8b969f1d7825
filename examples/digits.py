"""Train a classifier on the handwritten digits that scikit-learn ships, and save it.

Shows progress, why training stopped, the accuracy on digits that training
never saw, and where the network was saved:

    python examples/digits.py
    python examples/digits.py --epochs 3 --save digits.safetensors
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits

import theanets


def load(seed=0):
    """Get 1797 images of 8 x 8 pixels in [0, 1], and their labels, in three parts."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(images))
    images, labels = images[order] / 16, labels[order]
    bounds = [1150, 1437]
    return zip(np.split(images, bounds), np.split(labels, bounds))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, help="stop after so many passes over the data")
    parser.add_argument("--save", default="digits.safetensors", help="where the network goes")
    args = parser.parse_args()

    train, valid, test = load()
    net = theanets.Classifier([64, 100, 10])
    print(net.summary())
    print("compiling (this takes a while the first time, and then comes from a cache) ...")
    net.train(train, valid, epochs=args.epochs, progress=True)
    print(f"accuracy on {len(test[0])} test digits: {net.score(*test):.4f}")

    net.save(args.save)
    again = theanets.Classifier.load(args.save)
    assert (again.predict(test[0]) == net.predict(test[0])).all()
    print(f"saved to {args.save}; theanets.Classifier.load({args.save!r}) gives the network back")


if __name__ == "__main__":
    main()
