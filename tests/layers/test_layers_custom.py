"""Layers of one's own: what they may return, options, parameters, mistakes."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from layer_checks import check_gradient, randomize, values

import theanets
from theanets.errors import ConfigurationError
from theanets.layers import Inputs


class Stretched(theanets.Layer, names=("sc",)):
    """A bare expression, and an option."""

    options = {"factor": 1.0}  # noqa: RUF012

    def setup(self):
        self.add_weights("w")

    def transform(self, inputs):
        return self.activation(self.factor * pt.dot(inputs.only, self.find("w")))


class Twofold(theanets.Layer):
    """Several outputs of different shapes, and a constant that is float64."""

    default_activation = "linear"

    def resolve_outputs(self):
        return {"out": (self.input_size,), "sum": (), "both": (self.input_size, 2)}

    def transform(self, inputs):
        x = inputs.only
        both = pt.stack([x, -x], axis=-1)
        return {"sum": x.sum(axis=-1), "out": x * np.full(1, 2.0), "both": both}


class Counting(theanets.Layer):
    """Updates of a shared variable."""

    def setup(self):
        self.calls = pytensor.shared(np.asarray(0, "int64"), name="calls")

    def transform(self, inputs):
        return {"out": inputs.only}, [(self.calls, self.calls + 1)]


def test_own_layer(tmp_path, rng):
    spec = dict(form="sc", size=4, factor=3.0, activation="tanh")
    net = theanets.Regressor([5, spec, (6, "Stretched"), 2], dtype="float64")
    randomize(net, rng)
    v = values(net)
    x, y = rng.normal(size=(16, 5)), rng.normal(size=(16, 2))
    found = net.feed_forward(x)
    np.testing.assert_allclose(found["hid1:out"], np.tanh(3 * x @ v["hid1.w"]))
    np.testing.assert_allclose(
        found["hid2:out"], np.maximum(found["hid1:out"] @ v["hid2.w"], 0), atol=1e-12
    )
    check_gradient(net, rng)
    net.train([x, y], epochs=2)
    net.save(tmp_path / "net")
    loaded = theanets.Regressor.load(tmp_path / "net")
    assert loaded.layers[1].factor == 3.0
    np.testing.assert_array_equal(loaded.predict(x), net.predict(x))
    loaded.train([x, y], epochs=1)
    # An attribute that shapes the graph is looked at each time.
    before = net.predict(x)
    net.layers[1].factor = -1.0
    assert not np.allclose(net.predict(x), before)


def test_several_outputs(rng):
    layers = [5, "twofold", dict(size=2, inputs=["hid1:out", "in"], name="out")]
    net = theanets.Regressor(layers)
    assert net.graph.output_names[1:4] == ["hid1:out", "hid1:sum", "hid1:both"]
    x = rng.normal(size=(6, 5)).astype("f")
    found = net.feed_forward(x)
    assert {a.dtype.name for a in found.values()} == {"float32"}
    np.testing.assert_allclose(found["hid1:out"], 2 * x)
    np.testing.assert_allclose(found["hid1:sum"], x.sum(axis=1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["hid1:both"][..., 1], -x)
    tapped = theanets.Regressor([5, Twofold, dict(size=3, inputs="hid1:both", name="out")])
    assert tapped.predict(x).shape == (6, 5, 3)


def test_updates(rng):
    net = theanets.Regressor([5, Counting, 2])
    x, y = rng.normal(size=(8, 5)), rng.normal(size=(8, 2))
    calls = net.layers[1].calls
    net.predict(x)
    assert calls.get_value() == 1
    assert net.outputs().updates[calls].owner is not None
    net.train([x, y], epochs=3, batch_size=4)
    assert calls.get_value() >= 1 + 6


def wrong_layer(result, shapes=None):
    class Wrong(theanets.Layer, register=False):
        def resolve_outputs(self):
            return shapes or {"out": self.input_shape}

        def transform(self, inputs):
            return result(inputs.only)

    return theanets.Network([5, Wrong, 2])


@pytest.mark.parametrize(
    ("result", "part"),
    [
        (lambda x: None, "output 'hid1:out' is a NoneType, not a symbolic"),
        (lambda x: [x], "'hid1:out' is a list"),
        (lambda x: np.zeros((3, 5)), "is a ndarray"),
        (lambda x: (x, {}, {}), "a tuple of 3"),
        (lambda x: {}, r"returned the outputs \[\], but resolve_outputs declares \['out'\]"),
        (lambda x: {"out": x, "odd": x}, r"returned the outputs \['odd', 'out'\]"),
        (lambda x: x.sum(axis=-1), r"has 1 dimensions, .*declared is \(5,\)"),
        (lambda x: x[:, :3], r"has 2 dimensions, of shape \(None, 3\); declared is \(5,\)"),
    ],
)
def test_wrong_results(result, part):
    net = wrong_layer(result)
    with pytest.raises(ConfigurationError, match=part):
        net.outputs()


def test_undefined_transform():
    class Idle(theanets.Layer, register=False):
        pass

    with pytest.raises(TypeError, match=r"Idle does not define transform\(self, inputs\)"):
        theanets.Network([5, Idle, 2]).outputs()


def test_parameter_names_are_unique():
    class Double(theanets.Layer, register=False):
        def setup(self):
            self.add_weights("w")
            self.add_bias("w")

    with pytest.raises(ConfigurationError, match="layer 'hid1' has two parameters 'w'"):
        theanets.Network([5, (4, Double), 2])


def test_options_that_look_like_draws():
    class Ring(theanets.Layer, register=False):
        options = {"radius": 3, "mean_field": True}  # noqa: RUF012

    layer = Ring(size=4, radius=5)
    assert (layer.radius, layer.mean_field, layer.draws) == (5, True, {})


def test_inputs_in_order():
    a, b = pt.matrix(), pt.matrix()
    inputs = Inputs({"b:out": b, "a:out": a}, order=["b:out", "a:out", "b:out"])
    assert inputs.ordered == [b, a, b]
    with pytest.raises(ConfigurationError, match="expected one input, got 3: b:out, a:out"):
        _ = inputs.only
    assert Inputs({"a:out": a}).only is a
