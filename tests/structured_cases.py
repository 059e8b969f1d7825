"""Structured losses: twins, costs, and the paths of chains, all enumerated."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import logsumexp

Array = np.ndarray


def infinite(s: Array, c: Array, t: int) -> float:
    return float((s + c).max() - s[c <= c.min() + 1e-9].max())


# Losses of one choice, from scores and costs of all outputs, and the target's place among them.
TWINS: dict[str, tuple[dict[str, Any], Callable[[Array, Array, int], float]]] = {
    "crf": ({}, lambda s, c, t: logsumexp(s) - s[t]),
    "perceptron": ({}, lambda s, c, t: s.max() - s[t]),
    "structured_hinge": ({}, lambda s, c, t: (s + c).max() - s[t]),
    "softmax_margin": ({}, lambda s, c, t: logsumexp(s + c) - s[t]),
    "risk": ({}, lambda s, c, t: c @ np.exp(s - logsumexp(s))),
    "ramp": ({}, lambda s, c, t: (s + c).max() - s.max()),
    "ramp 2": ({"variant": 2}, lambda s, c, t: s.max() - (s - c).max()),
    "ramp 3": ({"variant": 3}, lambda s, c, t: (s + c).max() - (s - c).max()),
    "soft_ramp": ({}, lambda s, c, t: logsumexp(s + c) - logsumexp(s)),
    "soft_ramp 2": ({"variant": 2}, lambda s, c, t: logsumexp(s) - logsumexp(s - c)),
    "soft_ramp 3": ({"variant": 3}, lambda s, c, t: logsumexp(s + c) - logsumexp(s - c)),
    "infinite_ramp": ({}, infinite),
}
K, TIME = 4, 5

# Row 1 costs nothing at two labels, row 2 has its least cost elsewhere than at the target.
MATRIX = np.array(
    [[0, 1.5, 0.3, 2.0], [0.0, 0, 0.7, 0.4], [0.2, 1.1, 0.4, 0.9], [1.3, 0.25, 0.6, 0]]
)
VECTOR = np.array([0.5, 2.0, 1.0, 0.1])
COSTS = {
    "none": (None, 1 - np.eye(K)),
    "matrix": (MATRIX, MATRIX),
    "vector": (VECTOR, VECTOR[:, None] * (1 - np.eye(K))),
}


def differences(f: Callable[[Array], Any], x: Array, step: float = 1e-5) -> Array:
    found = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        high, low = x.copy(), x.copy()
        high[i] += step
        low[i] -= step
        found[i] = (f(high) - f(low)) / (2 * step)
    return found


class Chains:
    """The scores of all label sequences of a chain, by enumeration."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.transition = rng.normal(size=(K, K))
        self.start = rng.normal(size=K)
        self.end = rng.normal(size=K)

    def twin(self, case: str, z: Array, y: Array, mask: Array, cost: Array) -> Array:
        """Compute the loss of each sequence."""
        found = []
        for scores, labels, seen in zip(z, y, mask != 0, strict=True):
            scores, labels = scores[seen], labels[seen]
            n = len(labels)
            paths = np.array(list(itertools.product(range(K), repeat=n)), int).reshape(K**n, n)
            s = scores[np.arange(n), paths].sum(axis=1)
            c = cost[labels, paths].sum(axis=1)
            if n:
                s = s + self.start[paths[:, 0]] + self.end[paths[:, -1]]
                s += self.transition[paths[:, :-1], paths[:, 1:]].sum(axis=1)
            target = int(np.flatnonzero((paths == labels).all(axis=1))[0])
            found.append(TWINS[case][1](s, c, target))
        return np.array(found)

    @property
    def options(self) -> dict[str, Any]:
        return {"transition": self.transition, "start": self.start, "end": self.end}
