"""A Bayesian last layer on a trained classifier, which then is no longer sure of what is wrong.

    python examples/bayesian_digits.py [--train 1000] [--seeds 3] [--plot digits.png]

Scikit-learn's digits. The network is trained as ever, then Laplace's method gives its last
layer a posterior; the features stay as they are. The expected calibration error says by how
much the probability of the class that is chosen differs from the share of those that are
right. It needs PyMC.
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits

import theanets
import theanets.bayes
from theanets import calibration


def measures(probabilities, labels):
    """Get the accuracy, the calibration error and the mean log-loss."""
    accuracy = np.mean(probabilities.argmax(axis=1) == labels)
    of_labels = np.maximum(probabilities[range(len(labels)), labels], 1e-300)
    error = calibration.calibration_error(probabilities, labels, 10)
    return accuracy, error, -np.mean(np.log(of_labels))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=int, default=1000, help="digits to train on")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3, help="how many networks are trained")
    parser.add_argument("--plot", help="file for a picture of the calibration")
    args = parser.parse_args()
    x, y = load_digits(return_X_y=True)
    print("        accuracy        calibration error   log-loss")
    for seed in range(args.seeds):
        order = np.random.default_rng(seed).permutation(len(x))
        train, test = order[: args.train], order[args.train :]
        net = theanets.Classifier([64, (30, "relu"), 10], dtype="float64", rng=seed)
        net.train([x[train] / 16, y[train]], algo="l-bfgs", epochs=args.epochs, progress=False)
        posterior = theanets.bayes.fit(
            net, [x[train] / 16, y[train]], "laplace", priors={"out": "fan"}, draws=200, rng=seed
        )
        before = net.predict_proba(x[test] / 16)
        after = posterior.predict_proba(x[test] / 16)
        pairs = zip(measures(before, y[test]), measures(after, y[test]))
        print(f"seed {seed}:", "   ".join(f"{one:.4f} -> {other:.4f}" for one, other in pairs))
    if args.plot:
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(1, 2, figsize=(8, 4.2), layout="constrained")
        for ax, found, label in zip(axes, (before, after), ("as trained", "Bayesian last layer")):
            theanets.plot.reliability(calibration.reliability(found, y[test], 10), ax, label=label)
        figure.savefig(args.plot, dpi=120)


if __name__ == "__main__":
    main()
