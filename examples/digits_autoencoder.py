"""Compare a deep autoencoder of digits with and without layerwise pretraining.

Trains tied autoencoders of the sizes 64, 32, 16, 8, 16, 32, 64 on the digits
that scikit-learn ships, from several seeds: by adam alone, and by as many updates
of which the first half is spent layer by layer. Shows the mean squared error of
the reproduction of digits that training never saw, of pixels in [0, 1]:

    python examples/digits_autoencoder.py
    python examples/digits_autoencoder.py --updates 600 --seeds 1
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits

import theanets

SIZES = (32, 16, 8)


def load(seed=0):
    """Get 1797 images of 8 x 8 pixels in [0, 1] in three parts."""
    images = load_digits().data
    order = np.random.default_rng(seed).permutation(len(images))
    return np.split(images[order] / 16, [1150, 1437])


def build(seed, activation):
    """Get an autoencoder whose second half has the weights of the first, transposed."""
    hidden = [(size, activation) for size in SIZES]
    tied = [("tied", activation)] * (len(SIZES) - 1)
    return theanets.Autoencoder([64, *hidden, *tied, "tied"], rng=seed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=3000, help="of each network in all")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--activation", default="sigmoid", help="of the hidden layers")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    args = parser.parse_args()

    train, valid, test = load()
    # Half of the updates are for the stages, of which there is one for each hidden layer.
    stage = args.updates // 2 // len(SIZES)
    common = dict(learning_rate=args.learning_rate, patience=None)
    print(f"the mean image: {np.mean((test - train.mean(axis=0)) ** 2):.6f}")
    print(f"{args.updates} updates; layerwise: {len(SIZES)} x {stage}, then adam with the others")
    print("seed  adam      layerwise, adam")
    errors = []
    for seed in range(args.seeds):
        alone = build(seed, args.activation)
        alone.train([train], [valid], max_updates=args.updates, **common)
        both = build(seed, args.activation)
        both.train([train], [valid], algo="layerwise", max_updates=stage, **common)
        rest = args.updates - stage * len(SIZES)
        both.train([train], [valid], max_updates=rest, **common)
        errors.append([net.evaluate([test])["mse"] for net in (alone, both)])
        print("{:4d}  {:.6f}  {:.6f}".format(seed, *errors[-1]))
    print("mean  {:.6f}  {:.6f}".format(*np.mean(errors, axis=0)))


if __name__ == "__main__":
    main()
