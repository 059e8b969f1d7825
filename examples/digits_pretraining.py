"""Pretrain a deep classifier without labels, then train it with a few.

All but the test digits of scikit-learn's are there to pretrain on, of which only
some have a label. A network with three hidden layers is trained on these alone,
and once more after its layers were denoising autoencoders of all digits:

    python examples/digits_pretraining.py
    python examples/digits_pretraining.py --labels 200 --seeds 1
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits

import theanets


def load(seed):
    """Get 1797 images of 8 x 8 pixels in [0, 1], and their labels, in two parts."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(images))
    images, labels = images[order] / 16, labels[order]
    return (images[:1437], labels[:1437]), (images[1437:], labels[1437:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labels", type=int, default=100, help="how many digits have one")
    parser.add_argument("--epochs", type=int, default=50, help="of each stage of pretraining")
    parser.add_argument("--updates", type=int, default=1000, help="of training with labels")
    parser.add_argument("--activation", default="sigmoid", help="of the hidden layers")
    parser.add_argument("--noise", type=float, default=0.3, help="on the inputs, in pretraining")
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    args = parser.parse_args()

    layers = [64, *((size, args.activation) for size in (100, 64, 32)), 10]
    print("accuracy on test digits")
    print("seed  labels alone  after pretraining")
    rows = []
    for seed in range(args.seeds):
        (images, labels), test = load(seed)
        few = [images[: args.labels], labels[: args.labels]]
        alone, pretrained = (theanets.Classifier(layers, rng=seed) for _ in range(2))
        pretrained.train(
            images, algo="pretrain", epochs=args.epochs, patience=None, input_noise=args.noise
        )
        for net in (alone, pretrained):
            # All updates are made, and nothing is chosen: no digits are spent on a validation.
            net.train(few, max_updates=args.updates, patience=None)
        rows.append([net.score(*test) for net in (alone, pretrained)])
        print("{:4d}  {:12.4f}  {:17.4f}".format(seed, *rows[-1]))
    print("mean  {:12.4f}  {:17.4f}".format(*np.mean(rows, axis=0)))


if __name__ == "__main__":
    main()
