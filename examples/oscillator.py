"""Solve a differential equation by a network that never sees the solution.

A weight on a spring, with friction, is pulled out and let go:

    u'' + 2 d u' + w^2 u = 0,    u(0) = 1,    u'(0) = 0.

What the network's output leaves over of the equation, and of the start, is
minimized at points of time; `theanets.derivative` has the derivatives by time.

    python examples/oscillator.py [--plot oscillator.png]
"""

import argparse
import time

import numpy as np
import pytensor.tensor as pt

import theanets

DAMPING, FREQUENCY, END = 0.5, 4.0, 2.0


def solution(t):
    """Compute how far the weight is out."""
    w = np.sqrt(FREQUENCY**2 - DAMPING**2)
    return np.exp(-DAMPING * t) * (np.cos(w * t) + DAMPING / w * np.sin(w * t))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=600, help="iterations of L-BFGS, at most")
    parser.add_argument("--dtype", default="float64")
    parser.add_argument("--plot", help="file for a picture")
    args = parser.parse_args()

    # Weights that are larger than usual bend the first layer's units at different times.
    first = dict(size=20, activation="tanh", std_w=3, std_b=3)
    net = theanets.Regressor([1, first, (20, "tanh"), 1], dtype=args.dtype, rng=1)
    t = pt.as_tensor(np.linspace(0, END, 100)[:, None].astype(args.dtype))
    u = net.outputs(replace={"in": t})["out:out"]
    speed, acceleration = theanets.derivative(u, t), theanets.derivative(u, t, 2)
    left = (acceleration + 2 * DAMPING * speed) / FREQUENCY**2 + u
    start = pt.sqr(u[0] - 1).sum() + pt.sqr(speed[0] / FREQUENCY).sum()
    cost = pt.sqr(left).mean() + start
    began = time.perf_counter()
    found = theanets.minimize(
        cost, algo="l-bfgs", epochs=args.epochs, history=30, patience=None, tolerance=1e-13
    )
    seconds = time.perf_counter() - began

    grid = np.linspace(0, END, 601)
    error = np.abs(net.predict(grid[:, None])[:, 0] - solution(grid))
    print(
        f"{len(found.history)} iterations, {seconds:.0f} seconds, {found.history.stop_reason}: "
        f"left over {found.train['loss']:.1e}, at most {error.max():.1e} from the solution"
    )
    if args.plot:
        draw(args.plot, grid, net)


def draw(path, grid, net):
    """Draw the network's output over the solution."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
    axes.plot(grid, solution(grid), color="0.7", lw=5, label="solution")
    axes.plot(grid, net.predict(grid[:, None]), color="C0", label="network")
    axes.set(xlabel="time", ylabel="displacement")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
