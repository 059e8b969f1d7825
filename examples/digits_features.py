"""Draw the features of a denoising autoencoder of handwritten digits.

Each hidden unit has a weight for each pixel: an image. Without noise and
penalties such images look like noise; with ``input_noise`` and ``weight_l2``
they show strokes. Draws both, and shows the mean squared error of digits that
training never saw, as they are and reproduced from noisy ones:

    python examples/digits_features.py
    python examples/digits_features.py --features 100 --noise 0.5 --picture features.png
"""

import argparse
import importlib.util

import numpy as np
from sklearn.datasets import load_digits

import theanets


def load(seed=0):
    """Get 1797 images of 8 x 8 pixels in [0, 1] in three parts."""
    images = load_digits().data
    order = np.random.default_rng(seed).permutation(len(images))
    return np.split(images[order] / 16, [1150, 1437])


def draw(features, path):
    """Draw a square of images for each title."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(features), figsize=(9, 5), layout="constrained")
    for ax, (title, weights) in zip(axes, features.items()):
        side = int(np.ceil(len(weights) ** 0.5))
        canvas = np.zeros((side * 9, side * 9))
        for i, feature in enumerate(weights):
            row, column = (9 * n for n in divmod(i, side))
            canvas[row : row + 8, column : column + 8] = (feature / abs(feature).max()).reshape(
                8, 8
            )
        ax.imshow(canvas, cmap="gray", vmin=-1, vmax=1)
        ax.set_title(title)
        ax.axis("off")
    figure.savefig(path, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, default=64, help="how many")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--noise", type=float, default=0.3, help="its deviation")
    parser.add_argument("--weight-l2", type=float, default=0.05)
    parser.add_argument("--picture", default="digits_features.png")
    args = parser.parse_args()

    train, valid, test = load()
    noisy = test + args.noise * np.random.default_rng(1).normal(size=test.shape)
    features = {}
    for title, options in {
        "plain": {},
        "denoising": {"input_noise": args.noise, "weight_l2": args.weight_l2},
    }.items():
        net = theanets.Autoencoder([64, (args.features, "sigmoid"), 64])
        net.train([train], [valid], epochs=args.epochs, patience=None, **options)
        clean, cleaned = (((net.predict(x) - test) ** 2).mean() for x in (test, noisy))
        print(
            f"{title}: mean squared error {clean:.4f} of test digits, {cleaned:.4f} of noisy ones"
        )
        features[title] = net.find("hid1", "w").get_value().T
    print(f"(the noise itself has {((noisy - test) ** 2).mean():.4f})")
    if importlib.util.find_spec("matplotlib"):
        draw(features, args.picture)
        print(f"features drawn to {args.picture}")


if __name__ == "__main__":
    main()
