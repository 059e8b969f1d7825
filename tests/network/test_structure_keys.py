"""What compiled functions are found by: what is noticed, what is not walked, and what it costs."""

import logging
from types import SimpleNamespace

import numpy as np
import pytensor.tensor as pt
import pytest

import theanets
from theanets import spec
from theanets.spec import frozen
from theanets.structure import overrides


class Scaling(theanets.Layer, register=False):
    """A layer of a user's, whose transform depends on attributes."""

    def setup(self):
        self.add_weights("w")
        self.factors = [1.0]
        self.table = np.ones(100, "float32")

    def transform(self, inputs):
        y = pt.dot(inputs.only, self.find("w")) * np.float32(sum(self.factors))
        return y * self.table.sum().astype("float32")


class Scaled(theanets.Regressor):
    """A network whose loss depends on attributes, of which there are also others."""

    helper = None

    def loss(self, *args, **kwargs):
        return super().loss(*args, **kwargs) * float(np.sum(self.scale))


def depended(net):
    """Get what functions of a network's objective are told apart by."""
    return net.snapshot().structure, overrides.key(net)


@pytest.fixture
def walked(monkeypatch):
    """Count the values that `frozen` looks at."""
    counts = [0]
    part = spec._part

    def counting(*args):
        counts[0] += 1
        return part(*args)

    monkeypatch.setattr(spec, "_part", counting)
    return counts


def deep(count):
    layers = [4, *(dict(form=Scaling, size=4, name=f"l{i}") for i in range(count)), 2]
    return theanets.Regressor(layers, rng=0, mode="FAST_COMPILE")


def test_the_cost_is_by_the_number_of_custom_layers(walked):
    costs = []
    for count in (2, 4, 8):
        net = deep(count)
        walked[0] = 0
        depended(net)
        costs.append(walked[0])
    assert costs[2] - costs[1] == 2 * (costs[1] - costs[0]) > 0


def test_the_cost_is_by_the_number_of_things_met(walked):
    value = [object()]
    for _ in range(200):
        value = [value, value]
    key = frozen({"value": value})
    assert walked[0] < 1000
    assert hash(key) == hash(frozen({"value": value}))


def test_cycles_end():
    one, other = SimpleNamespace(), SimpleNamespace()
    one.other, other.other = other, one
    listed = [one]
    listed.append(listed)
    table = {"one": one}
    table["self"] = table
    for value in (one, listed, table):
        assert frozen(value) == frozen(value)
        hash(frozen(value))


def test_layers_that_know_each_other():
    net = deep(2)
    net.layers[1].friend, net.layers[2].friend = net.layers[2], net.layers[1]
    before = depended(net)
    assert depended(net) == before
    net.layers[2].factors.append(2.0)
    assert depended(net) != before


def changes():
    def replace(value, key, new):
        setattr(value, key, new)

    holder = SimpleNamespace(alpha=1, items=[1])
    array = np.arange(1000.0)
    return {
        "attribute": (holder, lambda: replace(holder, "alpha", 2)),
        "list of an attribute": (holder, lambda: holder.items.append(2)),
        "array": (array, lambda: array.__setitem__(999, -1)),
        "view": (array[::2], lambda: array.__setitem__(998, -1)),
        "objects": (made := np.array([[1], "a", None], object), lambda: made[0].append(2)),
        "times": (
            when := np.zeros(20, "datetime64[s]"),
            lambda: when.__setitem__(0, np.datetime64(5, "s")),
        ),
        "set": (group := {1}, lambda: group.add(2)),
        "mapping": (table := {"a": [1]}, lambda: table["a"].append(2)),
    }


@pytest.mark.parametrize("which", changes())
def test_changes_are_noticed(which):
    value, change = changes()[which]
    before = frozen({"x": value})
    assert frozen({"x": value}) == before
    change()
    assert frozen({"x": value}) != before


def test_keys_do_not_keep_the_numbers_of_arrays():
    _, _, content = frozen(np.zeros(10_000))
    assert len(content) < 100


def test_changes_of_a_custom_layer_are_computed_with():
    net, x = deep(1), np.ones((1, 4), "float32")
    net.find("out", "b").set_value(np.zeros(2, "float32"))
    first = net.predict(x)
    net.layers[1].factors.append(2.0)
    np.testing.assert_allclose(net.predict(x), 3 * first, rtol=1e-5)
    net.layers[1].table[0] = 101
    np.testing.assert_allclose(net.predict(x), 6 * first, rtol=1e-5)


def compiled(net):
    return len(net._cache)


def evaluated(net):
    return net.evaluate([np.ones((3, 4), "float32"), np.zeros((3, 2), "float32")])["loss"]


def test_a_logger_is_itself_whoever_else_logs():
    net = Scaled([4, 2], rng=0, mode="FAST_COMPILE")
    net.scale, net.log = [1.0], logging.getLogger("theanets.test.one")
    before = depended(net)
    logging.getLogger("theanets.test.one.two").isEnabledFor(10)
    net.log.isEnabledFor(10)
    assert depended(net) == before
    net.log = logging.getLogger("theanets.test.three")
    assert depended(net) != before


@pytest.mark.parametrize("scale", [[1.0], np.ones(1)])
def test_changes_of_a_custom_network_are_evaluated_with(scale):
    net = Scaled([4, 2], rng=0, mode="FAST_COMPILE")
    net.scale = scale
    first = evaluated(net)
    net.scale[0] = 3.0
    np.testing.assert_allclose(evaluated(net), 3 * first, rtol=1e-5)


def test_predictions_do_not_look_at_what_a_loss_depends_on(walked):
    net, x = Scaled([4, 2], rng=0, mode="FAST_COMPILE"), np.ones((1, 4), "float32")
    net.scale = [1.0]
    net.predict(x)
    before, net.scale = compiled(net), [[i] for i in range(1000)]
    walked[0] = 0
    net.predict(x)
    assert compiled(net) == before and walked[0] < 200


def test_keywords_that_a_layer_looks_at_are_noticed():
    class Powered(theanets.Layer, register=False):
        def transform(self, inputs):
            return inputs.only ** self.kwargs.get("power", 1)

    net = theanets.Regressor(
        [3, dict(form=Powered, size=3, power=2, name="p"), 2], mode="FAST_COMPILE"
    )
    before = depended(net)
    net.layers[1].kwargs["power"] = 3
    assert depended(net) != before


def test_sizes_of_a_prediction_are_checked_once(monkeypatch):
    net = theanets.recurrent.Regressor([3, ("rnn", 4), 2], mode="FAST_COMPILE")
    calls, kind = [0], type(net.layers[1])
    shapes_for = kind.shapes_for

    def counting(self, found):
        calls[0] += 1
        return shapes_for(self, found)

    monkeypatch.setattr(kind, "shapes_for", counting)
    for _ in range(3):
        net.predict(np.zeros((1, 5, 3), "float32"))
    assert calls[0] <= 2
    before = calls[0]
    net.predict(np.zeros((1, 6, 3), "float32"))
    assert calls[0] > before
