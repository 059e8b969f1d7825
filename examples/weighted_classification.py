"""Find the rare class: weighted targets for a classifier.

The data are scikit-learn's breast cancer, of whose malignant tumours only a few
are kept, as in a screening where most are benign. A network that weights all
examples alike is compared with one that gives both classes the same weight in
all, from several seeds:

    python examples/weighted_classification.py
    python examples/weighted_classification.py --keep 20 --seeds 3
"""

import argparse

import numpy as np
from sklearn.datasets import load_breast_cancer

import theanets


def load(keep, seed):
    """Get standardized features and labels (1 is malignant) to train on and to test on.

    Of the malignant ones, ``keep`` are to train on; half of all are to test on.
    """
    x, benign = load_breast_cancer(return_X_y=True)
    rng = np.random.default_rng(seed)
    malignant, others = (rng.permutation(np.flatnonzero(benign == b)) for b in (0, 1))
    train = rng.permutation(np.r_[malignant[:keep], others[: len(others) // 2]])
    test = np.r_[malignant[len(malignant) // 2 :], others[len(others) // 2 :]]
    x = (x - x[train].mean(axis=0)) / x[train].std(axis=0)
    return (x[train], 1 - benign[train]), (x[test], 1 - benign[test])


def class_weights(labels):
    """Get a weight for each example, so that all classes weigh the same and the mean is 1."""
    counts = np.bincount(labels)
    return (len(labels) / len(counts) / counts)[labels]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=int, default=10, help="malignant examples to train on")
    parser.add_argument("--seeds", type=int, default=10, help="how many")
    parser.add_argument("--epochs", type=int, default=50)
    args = parser.parse_args()

    print("seed   alike: balanced  recall   weighted: balanced  recall")
    rows = []
    for seed in range(args.seeds):
        (x, labels), test = load(args.keep, seed)
        row = []
        for weights in (np.ones(len(x)), class_weights(labels)):
            net = theanets.Classifier([x.shape[1], 20, 2], weighted=True, rng=seed)
            limits = dict(epochs=args.epochs, patience=None, weight_l2=0.1)
            net.train([x, labels, weights], criterion="objective", **limits)
            found = net.evaluate([*test, np.ones(len(test[0]))],
                                 metrics=["balanced_accuracy", "recall"])  # fmt: skip
            row += [found["balanced_accuracy"], found["recall"]]
        rows.append(row)
        print("{:4d}{:18.3f}{:8.3f}{:20.3f}{:8.3f}".format(seed, *row))
    print("mean{:18.3f}{:8.3f}{:20.3f}{:8.3f}".format(*np.mean(rows, axis=0)))


if __name__ == "__main__":
    main()
