"""Forecast the sunspots of the next year with intervals, by an ensemble of recurrent networks.

    python examples/bayesian_sunspots.py [--members 5] [--plot sunspots.png]

The yearly numbers from 1700 to 2008, see data/README.md. Networks of one build, trained from
different initial values on the years before 1930, are the draws of a posterior; the noise of
single years is what networks miss that know the years before 1880 only. It needs PyMC.
"""

import argparse
from pathlib import Path

import numpy as np

import theanets.bayes
from theanets import recurrent

DATA = Path(__file__).parent / "data" / "sunspots.csv"
HELD, FIRST = 1880, 1930  # the first years of the noise, and of the forecast


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=5, help="networks of the ensemble")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--plot", help="file for a picture of the forecasts")
    args = parser.parse_args()
    years, spots = np.loadtxt(DATA, delimiter=",", skiprows=1, unpack=True)
    start = int(np.flatnonzero(years == FIRST)[0])
    # The square root makes years of many spots vary as much as those of few.
    series = np.sqrt(spots)
    mean, std = series[:start].mean(), series[:start].std()
    series, back = (series - mean) / std, lambda z: np.maximum(z * std + mean, 0) ** 2
    net = recurrent.Predictor([1, (32, "gru"), 1], rng=0)
    train = dict(learning_rate=3e-3, input_noise=0.3, weight_l2=1e-3, patience=None)

    def fit(stop, **keywords):
        windows = np.lib.stride_tricks.sliding_window_view(series[:stop], 60)[:, :, None]
        keywords = dict(epochs=args.epochs, rng=0, progress=False, **train, **keywords)
        return theanets.bayes.fit(net, [windows], "ensemble", draws=args.members, **keywords)

    known, held = series[None, :-1, None], int(np.flatnonzero(years == HELD)[0])
    guess = fit(held).predict(known).mean(("chain", "draw")).values[0, :, 0]
    noise = np.sqrt(np.mean((guess - series[1:])[held - 1 : start - 1] ** 2))
    print(f"noise of a year: {noise:.2f} deviations")
    posterior, later = fit(start, noise=noise), slice(start - 1, None)
    middle = back(posterior.predict(known).mean(("chain", "draw")).values[0, later, 0])
    print(f"root of the mean squared error: {np.sqrt(np.mean((middle - spots[start:]) ** 2)):.1f}")
    bands = {}
    for share in (0.5, 0.9):
        # Many observations of each network, so that few networks give smooth quantiles.
        drawn = posterior.predict(np.repeat(known, 200, axis=0), "observed", rng=1).values
        bounds = ((1 - share) / 2, (1 + share) / 2)
        low, high = back(np.quantile(drawn[..., later, 0], bounds, axis=(0, 1, 2)))
        inside = np.mean((low <= spots[start:]) & (spots[start:] <= high))
        print(f"{share:.0%} intervals: {inside:.1%} of the years, {np.mean(high - low):.0f} wide")
        bands[share] = low, high
    if args.plot:
        draw(args.plot, years, spots, start, middle, bands)


def draw(path, years, spots, start, middle, bands):
    """Draw the years, their forecasts and the intervals."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    for share, (low, high) in sorted(bands.items(), reverse=True):
        alpha, label = 0.5 - 0.4 * share, f"{share:.0%} of years"
        axes.fill_between(years[start:], low, high, alpha=alpha, color="C0", lw=0, label=label)
    axes.plot(years[start:], middle, color="C0", label="forecast, a year ahead")
    axes.plot(years[start - 20 :], spots[start - 20 :], ".-", color="0.3", ms=4, lw=0.6)
    axes.set(xlabel="year", ylabel="sunspots")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
