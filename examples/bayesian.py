"""A Bayesian neural network: a posterior over the weights of a network of theanets.

    python examples/bayesian.py [--method nuts] [--draws 500] [--plot bayesian.png]

The data are scikit-learn's diabetes: the progress of the disease against the
body mass index. The network is an ordinary one; `theanets.bayes` gives its
parameters priors, and infers them. It needs PyMC.
"""

import argparse

import numpy as np
from sklearn.datasets import load_diabetes

import theanets
import theanets.bayes

OPTIONS = {"nuts": dict(chains=2), "laplace": {}, "advi": {}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", choices=OPTIONS, default="nuts")
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--hidden", type=int, default=5)
    parser.add_argument("--plot", help="file for a picture of the posterior")
    options = parser.parse_args()
    features, y = load_diabetes(return_X_y=True)
    x, y = features[:, [2]], y[:, None]
    x, y = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    own = dict(OPTIONS[options.method])
    if options.method == "nuts":
        own["tune"] = options.draws
    net = theanets.Regressor([1, (options.hidden, "tanh"), 1], dtype="float64", rng=1)
    net.train([x, y], algo="l-bfgs", epochs=50, progress=False)
    posterior = theanets.bayes.fit(
        net, [x, y], options.method, priors=1.0, draws=options.draws, rng=1, **own
    )
    grid = np.linspace(x.min(), x.max(), 100)[:, None]
    bands = {
        what: posterior.predict(grid, what, bands=(0.05, 0.5, 0.95), rng=1).values[..., 0]
        for what in ("mean", "observed")
    }
    low, high = posterior.interval(x, 0.9, rng=2).values
    print(f"90% intervals hold {np.mean((low <= y) & (y <= high)):.1%} of the patients")
    for i in (0, 50, 99):
        low, middle, high = bands["mean"][:, i]
        print(
            f"at {grid[i, 0]:+.1f} deviations: mean {middle:+.2f}, 90% in {low:+.2f} .. {high:+.2f}"
        )
    if options.plot:
        draw(options.plot, x, y, grid, bands)


def draw(path, x, y, grid, bands):
    """Draw the data, and the 90% bands of the mean and of new observations."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for what, alpha, label in (
        ("observed", 0.15, "90% of observations"),
        ("mean", 0.4, "90% of means"),
    ):
        low, _, high = bands[what]
        axes.fill_between(grid[:, 0], low, high, alpha=alpha, color="C0", lw=0, label=label)
    axes.plot(grid[:, 0], bands["mean"][1], color="C0", label="median")
    axes.plot(x[:, 0], y[:, 0], ".", color="0.35", ms=3, label="patients")
    axes.set(xlabel="body mass index (deviations)", ylabel="progress of disease (deviations)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
