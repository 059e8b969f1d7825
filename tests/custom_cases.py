"""Networks with parts written for earlier versions: trained, and once more from a file."""

import io

import numpy as np

import theanets

X = np.random.default_rng(1).normal(size=(16, 4)).astype("f")
Y = np.random.default_rng(2).normal(size=(16, 3)).astype("f")
TRAIN = {"epochs": 2, "mode": "FAST_COMPILE", "algo": "sgd", "learning_rate": 0.1}


def predict(net, x=X):
    return net.predict(x, mode="FAST_COMPILE")


def again(net, x=X):
    """Save and load a network."""
    file = io.BytesIO()
    net.save(file)
    file.seek(0)
    found = theanets.Network.load(file)
    np.testing.assert_array_equal(predict(found, x), predict(net, x))
    return found


def trained(net, data=None):
    """Train a network, which must move all of its parameters."""
    before = [p.get_value() for p in net.params]
    net.train(data or [X, Y], **TRAIN)
    for old, param in zip(before, net.params, strict=True):
        assert not np.allclose(old, param.get_value()), param.name
    return net
