"""A network and data for the tests of regularizers."""

import numpy as np

import theanets

RNG = np.random.default_rng(5)
X = RNG.normal(size=(10, 4))
Y = RNG.normal(size=(10, 3))


def make(**kwargs):
    layers = [4, (5, "tanh"), (6, "sigmoid"), 3]
    return theanets.Regressor(layers, dtype="float64", **{"rng": 13, **kwargs})


def values(net, x=X):
    """The parameters by name, and the hidden outputs as NumPy computes them."""
    found = {p.name: p.get_value() for p in net.params}
    found["hid1"] = np.tanh(x @ found["hid1.w"] + found["hid1.b"])
    found["hid2"] = 1 / (1 + np.exp(-(found["hid1"] @ found["hid2.w"] + found["hid2.b"])))
    found["out"] = found["hid2"] @ found["out.w"] + found["out.b"]
    return found
