"""Small networks and data to train."""

import numpy as np

import theanets

TINY = 1e-30  # a learning rate that leaves float32 parameters as they are


def regression(n=70, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4)).astype("float32")
    y = np.stack([np.sin(x.sum(axis=1)), x[:, 0] * x[:, 1]], axis=1).astype("float32")
    return x, y


def regressor(**kwargs):
    return theanets.Regressor([4, (5, "tanh"), 2], **{"rng": 13, **kwargs})


def values(net):
    return {p.name: p.get_value() for p in net.params}


def same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)


# ---- exact numbers of steps ------------------------------------------------------------


def linear(n=40):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 3))
    return x, x @ rng.normal(size=(3, 2)) + rng.normal(size=(n, 2))
