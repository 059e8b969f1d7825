"""What of the user's own survives in copies and pickles of a network."""

import copy
import pickle

import numpy as np
import pytensor.tensor as pt
import pytest
from pytensor.graph.traversal import ancestors

import theanets

COPIES = {
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "pickle": lambda net: pickle.loads(pickle.dumps(net)),
    "again": lambda net: copy.deepcopy(pickle.loads(pickle.dumps(net))),
}
X = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")


class Wide(theanets.Regressor):
    def __init__(self, width, note):
        self.note = note
        super().__init__([4, (width, "tanh"), 2], rng=3)
        self.width = width


class Multiplied(theanets.Layer):
    """With a factor that is no option, and an expression that it keeps."""

    def setup(self):
        self.factor = 1.0
        self.add_weights("w")

    def transform(self, inputs):
        self.last = pt.dot(inputs.only, self.find("w"))
        return self.activation(self.factor * self.last)


class Shifted(theanets.Loss):
    shift = 0.0

    def errors(self, target, output):
        return abs(target - output) + self.shift


class Opaque:
    def __init__(self, value):
        self.value = value


@pytest.fixture(params=COPIES)
def make(request):
    return COPIES[request.param]


def test_attributes_of_the_network(make):
    net = Wide(6, "set before the constructor of the base")
    net.scaler = {"mean": X.mean(axis=0), "names": ["a", "b"]}
    net.opaque = Opaque([1, 2])
    net._private = 3
    made = make(net)
    assert (made.note, made.width) == (net.note, 6)
    np.testing.assert_array_equal(made.scaler["mean"], X.mean(axis=0))
    assert made.scaler["names"] == ["a", "b"]
    assert made.opaque.value == [1, 2]
    assert made._private == 3
    made.scaler["names"].append("c")
    assert net.scaler["names"] == ["a", "b"]


def test_parts_of_the_network_are_those_of_the_copy(make):
    net = theanets.recurrent.Regressor([4, dict(form="bidirectional", size=4), "batch_norm", 2])
    net.best = net.layers[1]
    net.half = net.layers[1].workers[0]
    net.found = {"weights": [net.find("out.w")], "losses": (net.losses[0], 1)}
    net.running = net.state[0]
    net.inputs_by_layer = {net.layers[0]: net.inputs[0]}
    net.me = net
    made = make(net)
    assert made is not net
    assert made.best is made.layers[1]
    assert made.half is made.layers[1].workers[0]
    assert made.found["weights"][0] is made.find("out.w")
    assert made.found["losses"] == (made.losses[0], 1)
    assert made.running is made.state[0]
    assert made.inputs_by_layer == {made.layers[0]: made.inputs[0]}
    assert made.me is made
    # The network's own are still its own.
    assert net.best is net.layers[1]


def test_data_of_layers_and_losses(make):
    net = theanets.Regressor([4, (3, Multiplied, "linear"), 2], loss="shifted")
    net.predict(X)
    before = net.evaluate([X, X[:, :2]])
    net.layers[1].factor = 3.0
    net.layers[1].note = {"why": ("tried", 2)}
    net.losses[0].shift = 1.5
    net.losses[0].table = np.arange(3)
    made = make(net)
    np.testing.assert_array_equal(made.predict(X), net.predict(X))
    assert made.evaluate([X, X[:, :2]]) == net.evaluate([X, X[:, :2]]) != before
    assert made.layers[1].note == {"why": ("tried", 2)}
    np.testing.assert_array_equal(made.losses[0].table, np.arange(3))
    # Expressions belong to one network: that of the copy is of its own parameters.
    assert made.find("hid1.w") in ancestors([made.layers[1].last])


def test_what_training_keeps_is_not_in_the_way(make):
    net = theanets.Regressor([4, 3, 2])
    kwargs = dict(algo="sgd", epochs=1)
    net.train([X, X[:, :2]], **kwargs)
    made = make(net)
    assert made.train([X, X[:, :2]], **kwargs) == net.train([X, X[:, :2]], **kwargs)
    # While a run is under way, too.
    epochs = net.itertrain([X, X[:, :2]], **kwargs)
    next(epochs)
    np.testing.assert_array_equal(make(net).predict(X), net.predict(X))
    epochs.close()


def test_what_cannot_be_pickled_is_not_left_out_in_silence():
    net = theanets.Regressor([4, 2])
    net.function = lambda x: x
    assert copy.deepcopy(net).function is net.function
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(net)


def test_pickles_of_earlier_versions():
    net = theanets.Regressor([4, 3, 2])
    state = net.__getstate__()
    for key in ("layers", "losses", "attributes"):
        del state[key]
    made = theanets.Regressor.__new__(theanets.Regressor)
    made.__setstate__(state)
    np.testing.assert_array_equal(made.predict(X), net.predict(X))
    assert copy.deepcopy(made).num_params == net.num_params


def test_a_file_has_metadata_and_no_attributes(tmp_path):
    net = Wide(6, "note")
    net.metadata["note"] = "kept"
    net.save(tmp_path / "net")
    loaded = theanets.Network.load(tmp_path / "net")
    assert loaded.metadata == {"note": "kept"}
    assert not hasattr(loaded, "note")
    assert not hasattr(loaded, "width")
