"""What the defaults learn: test accuracy on digits, and R squared on diabetes.

python benchmarks/accuracy.py              # with all defaults, seeds 0..4
python benchmarks/accuracy.py --rates      # each algorithm with several learning rates
"""

import argparse
import warnings

import numpy as np
from sklearn.datasets import load_diabetes, load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler

import theanets
from theanets import optimizers

SEEDS = range(5)


def digits(seed, **kwargs):
    """Get the test accuracy, and the number of epochs, of one split into 64/16/20 percent."""
    x, y = load_digits(return_X_y=True)
    x, xt, y, yt = train_test_split(x / 16, y, test_size=0.2, random_state=seed, stratify=y)
    x, xv, y, yv = train_test_split(x, y, test_size=0.2, random_state=seed, stratify=y)
    net = theanets.Classifier([64, 100, 10], rng=seed)
    net.train([x, y], [xv, yv], **kwargs)
    return net.score(xt, yt), len(net.history), net.history.stop_reason


def diabetes(seed, **kwargs):
    """Get R squared of ours, and of scikit-learn's MLPRegressor with its own defaults."""
    x, y = load_diabetes(return_X_y=True)
    x, xt, y, yt = train_test_split(x, y, test_size=0.25, random_state=seed)
    scale, mean, std = StandardScaler().fit(x), y.mean(), y.std()
    x, xt, y, yt = scale.transform(x), scale.transform(xt), (y - mean) / std, (yt - mean) / std
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it does not converge
        peer = MLPRegressor(random_state=seed).fit(x, y).score(xt, yt)
    x, xv, y, yv = train_test_split(x, y, test_size=0.2, random_state=seed)
    net = theanets.Regressor([10, 64, 1], rng=seed)
    net.train([x, y], [xv, yv], **kwargs)
    return net.score(xt, yt), peer, len(net.history)


def report(title, **kwargs):
    """Print the means over all seeds."""
    ours = [digits(seed, **kwargs) for seed in SEEDS]
    accuracy = [row[0] for row in ours]
    r2, peer, epochs = zip(*(diabetes(seed, **kwargs) for seed in SEEDS))
    print(
        f"{title:24} digits {np.mean(accuracy):.4f} (lowest {min(accuracy):.4f}, "
        f"{np.mean([row[1] for row in ours]):.0f} epochs, stopped by "
        f"{', '.join(sorted({row[2] for row in ours}))})  "
        f"diabetes R2 {np.mean(r2):.3f} (scikit-learn {np.mean(peer):.3f}, "
        f"{np.mean(epochs):.0f} epochs)",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rates", action="store_true", help="vary the learning rate")
    args = parser.parse_args()
    if not args.rates:
        report("all defaults")
        return
    for name in optimizers.Optimizer.registry:
        built = optimizers.build(name)
        if not built.first_order:
            report(name, algo=name)
            continue
        base = built.values["learning_rate"]
        for factor in (0.1, 0.3, 1, 3, 10):
            rate = base * factor
            report(f"{name} {rate:g}", algo=name, learning_rate=rate, epochs=200)


if __name__ == "__main__":
    main()
