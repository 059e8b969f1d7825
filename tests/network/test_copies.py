"""What of the user's own survives in copies and pickles of a network."""

import copy
import pickle
from collections import OrderedDict, defaultdict, deque
from functools import partial
from typing import NamedTuple

import numpy as np
import pytensor.tensor as pt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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


# ---- what refers to parts, of any kind -------------------------------------------------


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


class Pair(NamedTuple):
    left: object
    right: object


def array_of(values):
    made = np.empty(len(values), dtype=object)
    made[:] = values
    return made


#: Makes something that holds values, and what gets the values out of it.
HOLDERS = {
    "list": (list, list),
    "tuple": (tuple, list),
    "dict": (lambda values: dict(enumerate(values)), lambda held: list(held.values())),
    "ordered": (lambda values: OrderedDict(enumerate(values)), lambda held: list(held.values())),
    "default": (
        lambda values: defaultdict(list, enumerate(values)),
        lambda held: list(held.values()),
    ),
    "deque": (deque, list),
    "named": (lambda values: Pair(values[0], values[1:]), lambda held: [held.left, *held.right]),
    "object": (Opaque, lambda held: held.value),
    "slots": (Slotted, lambda held: held.value),
    "array": (array_of, list),
    "partial": (lambda values: partial(print, *values), lambda held: list(held.args)),
}


def leaves(net):
    return {
        "network": net,
        "graph": net.graph,
        "layer": net.layers[1],
        "loss": net.losses[0],
        "parameter": net.find("out.w"),
        "input": net.inputs[0],
        "target": net.variables[1],
        "method": net.layers[1].to_spec,
        "text": "text",
        "opaque": OPAQUE,
    }


OPAQUE = Opaque("no part of anything")
nested = st.recursive(
    st.sampled_from(sorted(leaves(theanets.Regressor([4, 3, 2])))),
    lambda inner: st.tuples(st.sampled_from(sorted(HOLDERS)), st.lists(inner, min_size=1)),
    max_leaves=8,
)


def held(kind, net):
    if isinstance(kind, str):
        return leaves(net)[kind]
    holder, inner = kind
    return HOLDERS[holder][0]([held(one, net) for one in inner])


def check_held(value, kind, net, original):
    if isinstance(kind, str):
        expected = leaves(net)[kind]
        if kind == "opaque":
            assert value.value == expected.value
        elif kind == "method":
            assert value.__self__ is expected.__self__
        else:
            assert value is expected or kind == "text"
        return
    holder, inner = kind
    assert type(value) is type(original)
    unpacked = [HOLDERS[holder][1](one) for one in (value, original)]
    for one, old, of in zip(*unpacked, inner, strict=True):
        check_held(one, of, net, old)


@given(kind=nested, how=st.sampled_from(sorted(COPIES)))
@settings(max_examples=60, deadline=None)
def test_whatever_refers_to_parts_refers_to_those_of_the_copy(kind, how):
    net = theanets.Regressor([4, 3, 2], rng=1)
    net.held = held(kind, net)
    made = COPIES[how](net)
    check_held(made.held, kind, made, net.held)
    check_held(net.held, kind, net, net.held)


def test_sets_and_keys_have_the_parts_of_the_copy(make):
    net = theanets.Regressor([4, 3, 2])
    net.chosen = {net.layers[1], net.find("out.w"), 3}
    net.fixed = frozenset(net.params)
    net.notes = OrderedDict({net.layers[1]: "first", net.losses[0]: "loss"})
    made = make(net)
    assert made.chosen == {made.layers[1], made.find("out.w"), 3}
    assert made.fixed == frozenset(made.params)
    assert list(made.notes) == [made.layers[1], made.losses[0]]


def test_expressions_are_of_the_variables_of_the_copy(make):
    net = theanets.Regressor([4, 3, 2])
    net.mean = net.outputs()["hid1:out"].mean()
    made = make(net)

    def mean_of(one):
        return one.mean.eval({one.inputs[0]: X}, mode="FAST_COMPILE")

    before = mean_of(net)
    assert mean_of(made) == before
    made.find("hid1.b").set_value(np.ones(3, "float32"))
    assert mean_of(made) > before == mean_of(net)


def test_a_shallow_copy_shares_what_refers_to_no_part():
    net = theanets.Regressor([4, 3, 2])
    net.table, net.opaque = np.arange(3), Opaque([net.find("out.w"), OPAQUE])
    net.names = ["a"]
    made = copy.copy(net)
    assert made.table is net.table and made.names is not net.names
    assert made.opaque is not net.opaque and made.opaque.value[1] is OPAQUE


def test_objects_are_the_same_inside_and_outside_of_a_network():
    net = theanets.Regressor([4, 3, 2])
    net.opaque = Opaque(1)
    made, opaque = pickle.loads(pickle.dumps((net, net.opaque)))
    assert made.opaque is opaque
    made, opaque = copy.deepcopy((net, net.opaque))
    assert made.opaque is opaque


def test_another_network_that_refers_back(make):
    net, other = theanets.Regressor([4, 3, 2]), theanets.Regressor([2, 2])
    net.other, other.friend = other, net
    made = make(net)
    # A shallow copy has the very same network.
    assert made.other.friend is (net if make is copy.copy else made)
