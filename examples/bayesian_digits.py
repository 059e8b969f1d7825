"""A Bayesian last layer on a trained classifier, which then knows better how sure it is.

    python examples/bayesian_digits.py [--train 300] [--seeds 3] [--plot digits.png]

Scikit-learn's digits, of which few are to train on. The network is trained as ever, then
Laplace's method gives its last layer a posterior; the features stay as they are. The expected
calibration error says by how much the probability of the class that is chosen differs from
the share of those that are right. It needs PyMC.
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits

import theanets
import theanets.bayes
from theanets import calibration

def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=int, default=300, help="digits to train on")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3, help="how many networks are trained")
    parser.add_argument("--plot", help="file for a picture of the calibration")
    args = parser.parse_args()
    x, y = load_digits(return_X_y=True)
    print("        accuracy        calibration error   log-loss")
    for seed in range(args.seeds):
        order = np.random.default_rng(seed).permutation(len(x))
        train, test = order[: args.train], order[args.train :]
        net = theanets.Classifier([64, (100, "relu"), 10], dtype="float64", rng=seed)
        net.train([x[train] / 16, y[train]], algo="l-bfgs", epochs=args.epochs, progress=False)
        posterior = theanets.bayes.fit(
            net, [x[train] / 16, y[train]], "laplace", priors={"out": "fan"}, draws=200, rng=seed
        )
        before = net.predict_proba(x[test] / 16)
        after = posterior.predict_proba(x[test] / 16)
        figures = []
        for measure in (
            lambda p: np.mean(p.argmax(axis=1) == y[test]),
            lambda p: calibration.calibration_error(p, y[test], 10),
            lambda p: -np.mean(np.log(np.maximum(p[range(len(test)), y[test]], 1e-300))),
        ):
            figures.append(f"{measure(before):.4f} -> {measure(after):.4f}")
        print(f"seed {seed}: {'   '.join(figures)}")
    if args.plot:
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(1, 2, figsize=(8, 4.2), layout="constrained")
        for ax, found, label in zip(axes, (before, after), ("as trained", "Bayesian last layer")):
            theanets.plot.reliability(calibration.reliability(found, y[test], 10), ax, label=label)
        figure.savefig(args.plot, dpi=120)


if __name__ == "__main__":
    main()
