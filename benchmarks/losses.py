"""Test accuracy on the handwritten digits with each loss over classes, all else by default.

Run as ``python benchmarks/losses.py``; prints the mean of three seeds.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import theanets

LINEAR, SOFTMAX = (10, "linear"), (10, "softmax")
LOSSES = {
    "xe": SOFTMAX,
    "focal": SOFTMAX,
    "hinge": LINEAR,
    "squared_hinge": LINEAR,
    "square": LINEAR,
    "squentropy": LINEAR,
    "structured_hinge": SOFTMAX,
    "softmax_margin": SOFTMAX,
    "perceptron": SOFTMAX,
}


def accuracy(loss, output, seed):
    """Get the accuracy on a fifth of the digits."""
    x, y = load_digits(return_X_y=True)
    x, xt, y, yt = train_test_split(x / 16, y, test_size=0.2, random_state=seed, stratify=y)
    x, xv, y, yv = train_test_split(x, y, test_size=0.2, random_state=seed, stratify=y)
    net = theanets.Classifier([64, 100, output], loss=loss, rng=seed)
    net.train([x, y], [xv, yv])
    return net.score(xt, yt), len(net.history)


def main():
    print(f"{'loss':>18} {'output':>8} {'accuracy':>9} {'lowest':>7} {'epochs':>7}")
    for loss, output in LOSSES.items():
        found = [accuracy(loss, output, seed) for seed in range(3)]
        scores = [score for score, _ in found]
        epochs = np.mean([count for _, count in found])
        print(
            f"{loss:>18} {output[1]:>8} {np.mean(scores):9.4f} {min(scores):7.4f} {epochs:7.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
