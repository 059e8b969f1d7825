"""Find an unknown coefficient of a differential equation from noisy measurements.

Heat spreads along a rod whose ends are cold, and how fast it does is not known:

    u_t = k u_xx,    u(t, 0) = u(t, 1) = 0.

A network is to agree with 200 measurements, and to solve the equation. The
coefficient is one more parameter: a shared variable, trained with the network.

    python examples/diffusion.py [--plot diffusion.png]
"""

import argparse
import time

import numpy as np
import pytensor
import pytensor.tensor as pt

import theanets

TRUE, NOISE = 0.2, 0.01


def solution(t, x):
    """Compute the temperature for a start of two waves."""
    decay = np.exp(-TRUE * np.pi**2 * t)
    return decay * np.sin(np.pi * x) + 0.5 * decay**4 * np.sin(2 * np.pi * x)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=500, help="iterations of L-BFGS, at most")
    parser.add_argument("--dtype", default="float64")
    parser.add_argument("--plot", help="file for a picture")
    args = parser.parse_args()

    rng = np.random.default_rng(0)
    first = dict(size=16, activation="tanh", std_w=2, std_b=1)
    net = theanets.Regressor([2, first, (16, "tanh"), 1], dtype=args.dtype, rng=1)
    log_k = pytensor.shared(np.zeros((), args.dtype), "log_k")  # so that k is positive: 1 at first

    def temperature(tx):
        return (tx[:, 1:] * (1 - tx[:, 1:])) * net.outputs(replace={"in": tx})["out:out"]

    measured = rng.uniform(0, 1, size=(200, 2))
    values = solution(*measured.T) + NOISE * rng.normal(size=200)
    points = pt.as_tensor(rng.uniform(0, 1, size=(300, 2)).astype(args.dtype))
    u = temperature(points)
    u_t = theanets.derivative(u, points, along=0)
    left = u_t - pt.exp(log_k) * theanets.derivative(u, points, 2, along=1)
    guess = temperature(pt.as_tensor(measured.astype(args.dtype)))[:, 0]
    misfit = pt.sqr((guess - values.astype(args.dtype)) / NOISE).mean()

    began = time.perf_counter()
    how = dict(algo="l-bfgs", history=30, gradient_tolerance=1e-8, patience=None)
    how["monitors"] = {"k": pt.exp(log_k), "misfit": misfit}
    found = theanets.minimize(100 * pt.sqr(left).mean() + misfit, epochs=args.epochs, **how)
    seconds = time.perf_counter() - began
    k = float(np.exp(log_k.get_value()))
    print(
        f"{len(found.history)} iterations, {seconds:.0f} seconds: k is {k:.4f}, in truth {TRUE}, "
        f"which is {abs(k / TRUE - 1):.2%} off; the misfit is {found.train['misfit']:.2f}"
    )
    if args.plot:
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
        axes.axhline(TRUE, color="0.75", lw=5, label="truth")
        axes.plot([row["valid_k"] for row in found.history.rows], color="C0", label="found")
        axes.set(xlabel="iteration", ylabel="coefficient k", yscale="log")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        figure.savefig(args.plot, dpi=120)


if __name__ == "__main__":
    main()
