"""Solve Burgers' equation, a wave that steepens and spreads, by a network.

    u_t + u u_x = v u_xx,    u(0, x) = -sin(pi x),    u(t, -1) = u(t, 1) = 0.

The network is multiplied so that any parameters fulfil the start and the
walls; what it leaves over of the equation is minimized at random points.
Compared with the exact solution, an integral (Hopf 1950, Cole 1951).

    python examples/burgers.py [--plot burgers.png]
"""

import argparse
import time

import numpy as np
import pytensor.tensor as pt

import theanets

VISCOSITY = 0.1


def solution(t, x):
    """Compute the solution by Gauss and Hermite's rule; t and x are vectors."""
    nodes, weights = np.polynomial.hermite.hermgauss(80)
    y = x[:, None] - np.sqrt(4 * VISCOSITY * t)[:, None] * nodes
    density = weights * np.exp(-np.cos(np.pi * y) / (2 * np.pi * VISCOSITY))
    return -(np.sin(np.pi * y) * density).sum(axis=1) / density.sum(axis=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=700, help="iterations of L-BFGS, at most")
    parser.add_argument("--points", type=int, default=400)
    parser.add_argument("--dtype", default="float64")
    parser.add_argument("--plot", help="file for a picture")
    args = parser.parse_args()

    first = dict(size=20, activation="tanh", std_w=2, std_b=1)
    net = theanets.Regressor([2, first, (20, "tanh"), 1], dtype=args.dtype, rng=1)

    def wave(tx):
        t, x = tx[:, :1], tx[:, 1:]
        return -pt.sin(np.pi * x) + t * (1 - x**2) * net.outputs(replace={"in": tx})["out:out"]

    points = np.random.default_rng(0).uniform([0, -1], [1, 1], size=(args.points, 2))
    tx = pt.as_tensor(points.astype(args.dtype))
    u = wave(tx)
    gradient = theanets.derivative(u, tx)[:, 0]
    u_t, u_x = gradient[:, :1], gradient[:, 1:]
    left = u_t + u * u_x - VISCOSITY * theanets.derivative(u, tx, 2, along=1)
    began = time.perf_counter()
    how = dict(algo="l-bfgs", history=30, gradient_tolerance=1e-8, patience=None)
    found = theanets.minimize(pt.sqr(left).mean(), epochs=args.epochs, **how)
    seconds = time.perf_counter() - began
    t, x = map(np.ravel, np.meshgrid(np.linspace(0, 1, 51), np.linspace(-1, 1, 101), indexing="ij"))
    grid = np.stack([t, x], axis=1).astype(args.dtype)
    guess = wave(pt.as_tensor(grid)).eval()[:, 0].reshape(51, 101)
    error = np.abs(guess - solution(t, x).reshape(51, 101))
    print(
        f"{len(found.history)} iterations, {seconds:.0f} seconds, {found.history.stop_reason}: "
        f"left over {found.train['loss']:.1e}, at most {error.max():.1e} from the solution"
    )
    if args.plot:
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
        for k, row in enumerate((0, 12, 25, 50)):
            exact = solution(t, x).reshape(51, 101)[row]
            axes.plot(x[:101], exact, color="0.75", lw=5, label="solution" if k == 0 else None)
            axes.plot(x[:101], guess[row], color=f"C{k}", label=f"network, t = {row / 50:g}")
        axes.set(xlabel="x", ylabel="u")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        figure.savefig(args.plot, dpi=120)


if __name__ == "__main__":
    main()
