"""Runs with checkpoints, for the tests of these."""

import numpy as np

import theanets


def regression(n=70, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4)).astype("float32")
    return x, np.sin(x.sum(axis=1, keepdims=True)).astype("float32")


DATA, VALID = regression(), regression(40, seed=1)


def regressor(**kwargs):
    return theanets.Regressor([4, (5, "tanh"), "batch_norm", 1], **{"rng": 13, **kwargs})


def rows(net):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in net.history]
