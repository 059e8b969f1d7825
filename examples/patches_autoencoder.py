"""Learn features of photographs: an autoencoder of whitened patches in colour.

Takes patches of the two photographs that scikit-learn ships, projects them on
their first principal components, scaled to variance 1, and trains an autoencoder
on these. Shows how much of the patches' variance comes back, after the
components alone and after the autoencoder, and draws patches and features:

    python examples/patches_autoencoder.py
    python examples/patches_autoencoder.py --features 100 --picture patches.png
"""

import argparse
import importlib.util

import numpy as np
from sklearn.datasets import load_sample_images
from sklearn.decomposition import PCA

import theanets


def load_patches(size, number, seed=0):
    """Get square patches from random places, which may overlap, as rows in [0, 1]."""
    rng = np.random.default_rng(seed)
    patches = []
    for image in load_sample_images().images:
        rows, columns = (rng.integers(n - size, size=number // 2) for n in image.shape[:2])
        patches += [image[r : r + size, c : c + size].ravel() for r, c in zip(rows, columns)]
    return rng.permutation(np.array(patches) / 255)


def draw(rows, size, path):
    """Draw rows of patches."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(len(rows), len(rows[0]), figsize=(8, len(rows) / 2))
    figure.subplots_adjust(0, 0, 1, 1, 0.1, 0.1)
    for ax, patch in zip(axes.flat, np.concatenate(rows)):
        ax.imshow(patch.clip(0, 1).reshape(size, size, 3))
        ax.axis("off")
    figure.savefig(path, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=8, help="of the patches, in pixels")
    parser.add_argument("--patches", type=int, default=20000, help="how many")
    parser.add_argument("--components", type=int, default=48, help="of the whitening")
    parser.add_argument("--features", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--picture", default="patches.png", help="where features are drawn")
    args = parser.parse_args()

    train, valid, test = np.split(
        load_patches(args.size, args.patches), [args.patches * 8 // 10, args.patches * 9 // 10]
    )
    pca = PCA(args.components, whiten=True).fit(train)
    net = theanets.Autoencoder([args.components, (args.features, "tanh"), args.components])
    data = [[pca.transform(part)] for part in (train, valid)]
    net.train(*data, epochs=args.epochs, input_noise=0.1, weight_l2=0.01)

    code = pca.transform(test)
    found = {"components": code, "autoencoder": net.predict(code)}
    for name, values in found.items():
        error = ((pca.inverse_transform(values) - test) ** 2).sum()
        print(f"{name}: {1 - error / ((test - train.mean(axis=0)) ** 2).sum():.4f} of the variance")
    if importlib.util.find_spec("matplotlib"):
        # Not scaled back: the first components, which are of single colours, would drown all.
        features = net.find("hid1", "w").get_value().T @ pca.components_
        features = 0.5 + 0.5 * features / abs(features).max(axis=1, keepdims=True)
        back = pca.inverse_transform(found["autoencoder"])
        draw([test[:16], back[:16], features[:16], features[16:32]], args.size, args.picture)
        print(f"patches, these reproduced, and features drawn to {args.picture}")


if __name__ == "__main__":
    main()
