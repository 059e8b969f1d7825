"""What is known of a structure holds as long as nothing in it has changed."""

import numpy as np
import pytensor.tensor as pt

import theanets
from theanets.structure.snapshot import Watch

MODE = "FAST_COMPILE"


def test_things_are_watched_by_identity():
    class Thing:
        def __init__(self):
            self.a, self.b = 1, [1]

    def check(thing, *changes):
        for change in changes:
            watch = Watch([thing])
            assert watch.same() and watch.same()
            change()
            assert not watch.same()

    table, listed, group, thing = {"a": 1, "b": None}, [1, 2], {1}, Thing()
    array = np.zeros(3)
    check(
        table,
        lambda: table.update(a=2),
        lambda: table.update(c=2),
        lambda: table.pop("b"),
        lambda: table.update(d=table.pop("c")),
        lambda: table.update(a=[2]),
        lambda: table.update(a=[2]),  # an equal one
        lambda: table.update(a=array),
        table.clear,
        lambda: table.update(a=1),
    )
    check(listed, listed.clear, lambda: listed.append(None), lambda: listed.insert(0, None))
    check(group, lambda: group.add(2), group.clear, lambda: group.add(1))
    check(
        thing,
        lambda: setattr(thing, "a", 2),
        lambda: setattr(thing, "b", [1]),
        lambda: setattr(thing, "c", None),
        lambda: delattr(thing, "a"),
    )
    check(array, lambda: array.__setitem__(1, 1.0))


class Mixed(theanets.Layer, register=False):
    """A layer of a user's whose transform depends on things of many kinds."""

    def setup(self):
        self.scale, self.factors, self.table = 1.0, [1.0], {"a": 1.0}

    def transform(self, inputs):
        return inputs.only * np.float32(self.scale * sum(self.factors) * sum(self.table.values()))


def test_no_change_of_a_layer_goes_unnoticed():
    net = theanets.Regressor([2, dict(form=Mixed, size=2, name="m")], rng=0, mode=MODE)
    layer, x, predict = net.layers[1], np.ones((1, 2), "f"), net.predictor()

    def check(factor):
        for f in (net.predict, predict, net.predict, predict):
            np.testing.assert_allclose(f(x), factor * x)

    check(1)
    layer.scale = 2.0
    check(2)
    layer.factors.append(2.0)
    check(6)
    layer.table["b"] = 1.0
    check(12)
    layer.table = {"a": 0.5}
    check(3)
    layer.factors[0] = 2.0
    check(4)
    vars(layer)["scale"] = 1.0
    check(2)


def test_a_network_that_takes_over_a_loss_takes_its_targets(rng):
    loss = theanets.Loss.build("mse")
    one, two = (theanets.Regressor([n, 2], loss=loss, rng=0, mode=MODE) for n in (3, 4))
    data = [(rng.normal(size=(5, n)), rng.normal(size=(5, 2))) for n in (3, 4)]
    expected = [one.evaluate(data[0])["loss"], two.evaluate(data[1])["loss"]]
    for net, some, value in zip(
        (one, two, one), (*data, data[0]), [*expected, expected[0]], strict=True
    ):
        net.predict(some[0])
        assert net.evaluate(some)["loss"] == value


class Told(theanets.Layer, register=False):
    """A layer that says itself what its expressions depend on."""

    factor = 1.0

    def cache_key(self):
        return (super().cache_key(), Told.factor)

    def transform(self, inputs):
        return pt.mul(inputs.only, np.float32(Told.factor))


def test_a_key_of_a_layers_own_is_asked_each_time(monkeypatch):
    net = theanets.Regressor([2, dict(form=Told, size=2, name="m")], rng=0, mode=MODE)
    x, predict = np.ones((1, 2), "f"), net.predictor()
    for factor in (1.0, 3.0, 1.0):
        monkeypatch.setattr(Told, "factor", factor)
        np.testing.assert_allclose(net.predict(x), factor * x)
        np.testing.assert_allclose(predict(x), factor * x)
