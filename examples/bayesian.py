"""A Bayesian neural network: PyMC samples the weights of a network of theanets.

    python examples/bayesian.py [--draws 500] [--plot bayesian.png]

The data are scikit-learn's diabetes: the progress of the disease against the
body mass index. The network is an ordinary one, whose parameters are replaced
by random variables. It needs PyMC.
"""

import argparse

import numpy as np
import pymc as pm
from sklearn.datasets import load_diabetes

import theanets


def model(x, y, hidden=5):
    """Make the model, with a normal prior on each parameter."""
    net = theanets.Regressor([1, (hidden, "tanh"), 1], dtype="float64")
    with pm.Model() as bayesian:
        inputs = pm.Data("x", x)
        priors = {p.name: pm.Normal(p.name, 0, 1, shape=p.get_value().shape) for p in net.params}
        mean = net.outputs(replace={"in": inputs, **priors})["out:out"]
        pm.Deterministic("mean", mean)
        noise = pm.HalfNormal("noise", 1)
        pm.Normal("y", mean, noise, observed=y, shape=mean.shape)
    return bayesian


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--plot", help="file for a picture of the posterior")
    options = parser.parse_args()
    features, y = load_diabetes(return_X_y=True)
    x, y = features[:, [2]], y[:, None]
    x, y = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    grid = np.linspace(x.min(), x.max(), 100)[:, None]
    with model(x, y):
        trace = pm.sample(options.draws, tune=options.draws, chains=2, random_seed=1)
        pm.set_data({"x": grid})
        drawn = pm.sample_posterior_predictive(
            trace, var_names=["mean", "y"], predictions=True, random_seed=1
        )["predictions"]
    bands = {
        name: np.quantile(drawn[name].values, [0.05, 0.5, 0.95], axis=(0, 1))[..., 0]
        for name in ("mean", "y")
    }
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
    for name, alpha, label in (("y", 0.15, "90% of observations"), ("mean", 0.4, "90% of means")):
        low, _, high = bands[name]
        axes.fill_between(grid[:, 0], low, high, alpha=alpha, color="C0", lw=0, label=label)
    axes.plot(grid[:, 0], bands["mean"][1], color="C0", label="median")
    axes.plot(x[:, 0], y[:, 0], ".", color="0.35", ms=3, label="patients")
    axes.set(xlabel="body mass index (deviations)", ylabel="progress of disease (deviations)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
