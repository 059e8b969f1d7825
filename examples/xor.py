"""Learn exclusive or, which no network without a hidden layer can.

Trains networks without and with hidden units on the four cases, and shows what
they say to each:

    python examples/xor.py
    python examples/xor.py --hidden 3 --seed 1
"""

import argparse

import numpy as np

import theanets

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
Y = np.array([[0], [1], [1], [0]])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hidden", type=int, default=4, help="hidden units")
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    for hidden in ([], [(args.hidden, "tanh")]):
        net = theanets.Regressor([2, *hidden, (1, "sigmoid")], loss="bce", rng=args.seed)
        net.train([X, Y], algo="rprop", max_updates=args.updates, patience=None, validate_every=100)
        loss, units = net.evaluate([X, Y])["loss"], args.hidden if hidden else 0
        print(f"{units} hidden units: cross-entropy {loss:.4f} after {args.updates} updates")
        for (a, b), output in zip(X, net.predict(X)[:, 0]):
            print(f"  {a} xor {b} = {a ^ b}: {output:.3f}")


if __name__ == "__main__":
    main()
