"""Forecast the sunspots of the next year, and let the forecast run on by itself.

The data are the yearly numbers from 1700 to 2008, see data/README.md. The years
from 1930 on are predicted from those before them, one step ahead, by a network
that was trained on the years before 1930. Two errors to compare with: that of
saying each year what was last year, and that of a linear regression on 9 years:

    python examples/sunspots.py
    python examples/sunspots.py --epochs 5 --seeds 1
"""

import argparse
import time
from pathlib import Path

import numpy as np

from theanets import recurrent

DATA = Path(__file__).parent / "data" / "sunspots.csv"
FIRST = 1930  # the first year that is forecast


def windows(series, length):
    """Get all parts of a series, (parts, length, 1)."""
    return np.lib.stride_tricks.sliding_window_view(series, length)[:, :, None]


def linear(series, start, lags=9):
    """Predict each step from ``start`` on by a regression on the steps before it."""
    rows = windows(series[:-1], lags)[:, :, 0]
    rows = np.column_stack([rows, np.ones(len(rows))])
    known = start - lags
    weights, *_ = np.linalg.lstsq(rows[:known], series[lags:][:known], rcond=None)
    return rows[known:] @ weights


def rms(error):
    return np.sqrt(np.mean(error**2))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=40, help="passes over the data")
    parser.add_argument("--seeds", type=int, default=3, help="how many networks are trained")
    args = parser.parse_args()

    years, spots = np.loadtxt(DATA, delimiter=",", skiprows=1, unpack=True)
    start = int(np.flatnonzero(years == FIRST)[0])
    # The square root makes years of many spots vary as much as those of few.
    series = np.sqrt(spots)
    mean, std = series[:start].mean(), series[:start].std()
    series, back = (series - mean) / std, lambda z: np.maximum(z * std + mean, 0) ** 2
    print(f"{start} years to train on; root of the mean squared error of {len(years) - start}:")
    print(f"the year before: {rms(spots[start - 1 : -1] - spots[start:]):.1f}")
    print(f"linear, 9 years: {rms(back(linear(series, start)) - spots[start:]):.1f}")
    for seed in range(args.seeds):
        began = time.perf_counter()
        net = recurrent.Predictor([1, (32, "gru"), 1], rng=seed)
        # The noise and the epochs did well when 1880-1929 were forecast by the years before.
        net.train(
            [windows(series[:start], 60)],
            epochs=args.epochs,
            patience=None,
            learning_rate=3e-3,
            input_noise=0.3,
            weight_l2=1e-3,
        )
        found = back(net.predict(series[None, :-1, None])[0, start - 1 :, 0])
        seconds = time.perf_counter() - began
        print(f"gru, seed {seed}: {rms(found - spots[start:]):.1f} in {seconds:.0f} s")
    ahead = back(net.generate(series[None, :, None], 33)[0, :, 0])
    print(f"what it expects of the years from {years[-1] + 1:.0f} on:")
    for i, many in enumerate(ahead):
        print(f"{years[-1] + 1 + i:.0f} {'*' * round(many / 4)} {many:.0f}")


if __name__ == "__main__":
    main()
