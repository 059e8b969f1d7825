"""Files of networks, whole, and how they are spoilt."""

import io

import numpy as np

import theanets
from theanets import checkpoint

X = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")


def network():
    """Get a network of many kinds of layers and options."""
    layers = [
        dict(size=4, name="in"),
        dict(size=6, activation="prelu+maxout:2", std_w=0.1),
        "batch_norm",
        dict(size=2, name="out", inputs="hid1"),
    ]
    net = theanets.Regressor(layers, loss=dict(form="huber", delta=2.0), rng=3)
    net.add_loss("mse", weight=0.5, weighted=True)
    net.metadata = {"names": np.array(["a", "bc"]), "mean": np.arange(3.0), "note": ["x", None]}
    return net


def recurrent():
    layers = [
        3,
        dict(form="bidirectional", size=4, worker="gru"),
        dict(form="clockwork", size=4, periods=(1, 2)),
        dict(form="bcrnn", size=4, num_modules=2),
        dict(form="lstm", size=3, bptt_limit=5),
        2,
    ]
    return theanets.recurrent.Regressor(layers, rng=3)


def convolution():
    layers = [
        (8, 8, 1),
        dict(form="conv2", size=3, filter_size=(2, 2)),
        "pool2",
        "flat",
        (4, "glu"),
        3,
    ]
    return theanets.convolution.Classifier(layers, loss=dict(form="xe", class_weight=[1, 2, 3]))


def symbols():
    layers = [dict(form="symbols", classes=7, shape=(None,)), (3, "embedding"), (4, "crf")]
    return theanets.recurrent.Classifier(layers, loss="crf")


def saved(net):
    handle = io.BytesIO()
    net.save(handle)
    return handle.getvalue()


FILES = {make.__name__: make for make in (network, recurrent, convolution, symbols)}


def with_header(arrays, header):
    handle = io.BytesIO()
    checkpoint.write(handle, arrays, header)
    return handle.getvalue()
