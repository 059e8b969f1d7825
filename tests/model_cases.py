"""Small models and data for the tests of models at work."""

import numpy as np

import theanets

RNG = np.random.default_rng(4)
X = RNG.normal(size=(30, 4))
Y = RNG.normal(size=(30, 3))
LABELS = RNG.integers(0, 3, 30)


def regressor(**kwargs):
    return theanets.Regressor([4, (5, "tanh"), 3], dtype="float64", **kwargs)


def classifier(**kwargs):
    return theanets.Classifier([4, (5, "tanh"), 3], dtype="float64", **kwargs)


def autoencoder(**kwargs):
    layers = [4, (3, "tanh"), (2, "sigmoid"), (3, "tanh"), 4]
    return theanets.Autoencoder(layers, dtype="float64", **kwargs)
