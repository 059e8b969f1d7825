"""Layers, activations, losses and regularizers that were written for earlier versions."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from custom_cases import X, Y, again, predict, trained

import theanets
from theanets import util
from theanets.errors import ConfigurationError

OLD = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def relu(x):
    return np.maximum(x, 0)


# ---- layers ---------------------------------------------------------------------------------


class OldAffine(theanets.Layer):
    """All that a layer of theanets 0.8 uses."""

    __extra_registration_keys__ = ("AFF",)

    def __init__(self, factor=1, **kwargs):
        super(OldAffine, self).__init__(**kwargs)  # noqa: UP008
        self.factor = factor

    def resolve_outputs(self):
        (shape,) = self._input_shapes.values()
        self._output_shapes["out"] = (*shape[:-1], self.kwargs["size"])

    def setup(self):
        self.add_weights("w", self.input_size, self.output_size)
        self.add_bias("b", self.output_size, mean=0.1)

    def transform(self, inputs):
        pre = self.factor * pt.dot(inputs[self.input_name], self.find("w")) + self.find("b")
        return dict(pre=pre, out=self.activate(pre)), []


class OldScaled(theanets.Layer):
    """Keywords that no constructor names, and the helpers for a single input."""

    def setup(self):
        self.add_weights("w", nin=self.input_size, nout=self.output_size)

    def transform(self, inputs):
        x = self._only_input(inputs)
        return self.activate(self.kwargs.get("gain", 1) * pt.dot(x, self.find("w"))), []


class OldNoBias(theanets.Layer):
    """As in the documentation of theanets: inputs are taken for the input."""

    def transform(self, inputs):
        return pt.dot(inputs, self.find("w"))

    def setup(self):
        self.add_weights("w", nin=self.input_size, nout=self.size)


class OldPopped(theanets.Layer):
    """An argument that is taken out of the keywords."""

    def __init__(self, **kwargs):
        self.shift = kwargs.pop("shift", 0.0)
        super().__init__(**kwargs)

    def transform(self, inputs):
        return inputs[self.input_name] + self.shift, []


class OldDrawn(theanets.Layer):
    """Numbers by the names of NumPy's older generator; a shared variable of its own."""

    def setup(self):
        noise = self.rng.randn(self.input_size, self.output_size)
        sign = 2 * self.rng.randint(2, size=self.output_size) - 1
        self.add_param("w", noise * sign * (1 + self.rng.rand()))
        self.other = pytensor.shared(np.zeros(3, util.FLOAT), name=self._fmt("other"))

    def transform(self, inputs):
        return self.activate(pt.dot(inputs[self.input_name], self.find("w"))), []


@OLD
@pytest.mark.parametrize("form", ["oldaffine", "aff", "AFF", OldAffine])
def test_a_layer_of_earlier_versions(form):
    net = theanets.Regressor([4, dict(form=form, size=6, factor=3), 3], rng=1)
    layer = net.layers[1]
    assert (layer.factor, layer.kwargs["size"], layer.output_shape) == (3, 6, (6,))
    trained(net)
    w, b = (net.find("hid1", name).get_value() for name in "wb")
    found = net.feed_forward(X, mode="FAST_COMPILE")
    np.testing.assert_allclose(found["hid1:pre"], 3 * X @ w + b, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["hid1:out"], relu(found["hid1:pre"]), rtol=1e-5)
    loaded = again(net)
    assert loaded.layers[1].factor == 3
    # What it is now is kept, also after loading; so is the default.
    loaded.layers[1].factor = -2.5
    assert again(loaded).layers[1].factor == -2.5
    assert again(theanets.Regressor([4, (6, form), 3], rng=1)).layers[1].factor == 1


@OLD
def test_keywords_of_a_constructor_and_those_of_all_layers():
    spec = dict(form="oldaffine", size=6, factor=2, activation="tanh", std=0.01, mean_b=5, name="a")
    net = again(theanets.Regressor([4, spec, dict(form="oldaffine", size=2, inputs="a"), 3], rng=1))
    layer = net.layers[1]
    assert (layer.name, layer.factor, layer.activation.name) == ("a", 2, "tanh")
    assert layer.find("w").get_value().std() < 0.02
    np.testing.assert_array_equal(layer.find("b").get_value(), 5)
    assert net.layers[2].input_name == "a:out"
    alone = OldAffine(2, size=6, name="b")
    assert theanets.Regressor([4, alone, 3], rng=1).layers[1].factor == 2


def test_what_is_old_says_what_is_new():
    with pytest.warns(DeprecationWarning) as caught:
        theanets.Regressor([4, (6, OldScaled), 3], rng=1)
    texts = {str(one.message) for one in caught}
    assert texts == {
        "self.activate is now self.activation",
        "self._only_input(inputs) is now inputs.only",
    }
    assert {one.filename for one in caught} == {__file__}


@OLD
def test_keywords_that_a_layer_looks_at():
    net = theanets.Regressor([4, dict(form="oldscaled", size=6, gain=2.0), 3], rng=1)
    plain = theanets.Regressor([4, (6, "oldscaled"), 3], rng=1)
    found = [n.feed_forward(X, mode="FAST_COMPILE")["hid1:out"] for n in (net, plain)]
    np.testing.assert_allclose(found[0], 2 * found[1], rtol=1e-5)
    assert abs(found[1]).max() > 0.1
    assert again(trained(net)).layers[1].kwargs["gain"] == 2
    # Those that it does not look at are refused, as soon as that is known.
    wrong = theanets.Regressor([4, dict(form="oldscaled", size=6, gian=2.0), 3], rng=1)
    with pytest.raises(ConfigurationError, match=r"'hid1' got .* 'gian' \(did you mean 'gain'\?\)"):
        wrong.outputs()
    with pytest.raises(ConfigurationError, match="OldDrawn got unknown keyword 'gain'"):
        theanets.Regressor([4, dict(form="olddrawn", size=6, gain=2.0), 3], rng=1)


def test_keywords_that_a_layer_passes_on():
    class Passing(theanets.Layer, register=False):
        def setup(self):
            self.made = dict(**self.kwargs)

        def transform(self, inputs):
            return inputs.only

    net = theanets.Regressor([4, dict(form=Passing, odd=3), 3], rng=1)
    net.outputs()
    assert net.layers[1].made == {"odd": 3}


def test_inputs_that_are_taken_for_the_input():
    """Principal components by a tied autoencoder, in the words of the documentation."""
    assert theanets.Layer.build("oldnobias", size=4).shape == (4,)
    net = theanets.Autoencoder(layers=(4, (3, "oldnobias", "linear"), (4, "tied", "linear")), rng=1)
    assert net.layers[2].partner is net.layers[1]
    w, b = net.find("hid1", "w").get_value(), net.find("out", "b").get_value()
    np.testing.assert_allclose(predict(net), X @ w @ w.T + b, rtol=1e-4, atol=1e-5)
    again(trained(net, [X]))


@OLD
def test_a_partner_by_name():
    layers = [4, dict(form="olddrawn", size=3, name="d"), dict(form="tied", partner="d")]
    net = theanets.Autoencoder(layers)
    assert net.layers[2].partner is net.layers[1]
    again(trained(net, [X]))


@pytest.mark.parametrize(
    "spec", [(3, "rnn"), (3, "gru"), dict(form="conv1", size=3, filter_size=2)]
)
def test_what_cannot_be_a_partner(spec):
    with pytest.raises(ConfigurationError, match=r"parameter 'w' of shape \(inputs, outputs\)"):
        theanets.recurrent.Autoencoder([4, spec, dict(form="tied", partner="hid1")])
    with pytest.raises(ConfigurationError, match="found no untied"):
        theanets.recurrent.Autoencoder([4, spec, "tied"])


def test_an_argument_that_is_taken_out():
    net = again(theanets.Regressor([4, dict(form="oldpopped", shift=0.5), 3], rng=1))
    assert net.layers[1].shift == 0.5
    np.testing.assert_allclose(net.feed_forward(X, mode="FAST_COMPILE")["hid1:out"], X + 0.5)


@OLD
def test_draws_of_earlier_versions():
    nets = [theanets.Regressor([4, (5, "olddrawn"), 3], rng=seed) for seed in (1, 1, 2)]
    weights = [net.find("hid1.w").get_value() for net in nets]
    assert weights[0].shape == (4, 5)
    np.testing.assert_array_equal(weights[0], weights[1])
    assert abs(weights[0] - weights[2]).max() > 0.1
    layer = nets[0].layers[1]
    assert layer.other.name == "hid1.other"
    for draws, low, high in (
        (layer.rng.rand(1000), 0, 1),
        (layer.rng.randint(3, 5, size=100), 3, 4),
        (layer.rng.randint(3, size=100), 0, 2),
    ):
        assert low <= draws.min() < draws.max() <= high
    assert abs(layer.rng.randn(50, 40).std() - 1) < 0.05
    assert np.ndim(layer.rng.randn()) == np.ndim(layer.rng.rand()) == 0


class OldAppended(theanets.Layer):
    """Shared variables that are appended to the parameters; how others are drawn, by position."""

    def setup(self):
        w = np.full((self.input_size, self.output_size), 0.5, self.kwargs.get("type", "float32"))
        self._params.append(pytensor.shared(w, name=self.kwargs.get("called", self._fmt("w"))))
        self.add_weights("v", self.input_size, self.output_size, 0.4, 0.01)
        self.add_bias("b", self.output_size, 0.2, 0)

    def transform(self, inputs):
        x = inputs[self.input_name]
        return pt.dot(x, self.find("w") + self.find("v")) + self.find("b")


@OLD
def test_parameters_that_are_appended():
    net = theanets.Regressor([4, (5, "oldappended"), 3], rng=1)
    assert [p.name for p in net.layers[1].params] == ["hid1.w", "hid1.v", "hid1.b"]
    w, v, b = (p.get_value() for p in net.layers[1].params)
    assert abs(v.mean() - 0.4) < 0.02 > v.std() > 0.005
    np.testing.assert_array_equal(b, np.float32(0.2))
    found = net.feed_forward(X, mode="FAST_COMPILE")["hid1:out"]
    np.testing.assert_allclose(found, X @ (w + v) + b, rtol=1e-4, atol=1e-4)
    again(trained(net))
    for wrong in ({"type": "float64"}, {"called": "w"}, {"called": "hid2.w"}):
        with pytest.raises(ConfigurationError, match=r"self.add_param\(name, value\) makes those"):
            theanets.Regressor([4, dict(form="oldappended", size=5, **wrong), 3])


class OldLeaky(theanets.layers.Recurrent):
    """A recurrence by scan, of one output."""

    def __init__(self, leak=0.5, **kwargs):
        super().__init__(**kwargs)
        self.leak = leak

    def setup(self):
        self.add_weights("xh", self.input_size, self.output_size)
        self.add_weights("hh", self.output_size, self.output_size)

    def transform(self, inputs):
        x = inputs[self.input_name].dimshuffle(1, 0, 2)

        def step(x_t, h):
            pre = pt.dot(x_t, self.find("xh")) + pt.dot(h, self.find("hh"))
            return self.leak * h + (1 - self.leak) * self.activate(pre)

        start = pt.zeros((x.shape[1], self.output_size), dtype=x.dtype)
        out, updates = pytensor.scan(step, sequences=[x], outputs_info=[start])
        return dict(out=out.dimshuffle(1, 0, 2)), updates


@OLD
def test_a_recurrent_layer():
    spec = dict(form="oldleaky", size=5, leak=0.3, activation="tanh")
    net = theanets.recurrent.Regressor([4, spec, 3], rng=1, mode="FAST_COMPILE")
    series = np.random.default_rng(1).normal(size=(6, 7, 4)).astype("f")
    net.train([series, series[..., :3]], epochs=1)
    xh, hh = (p.get_value() for p in net.layers[1].params)
    h, expected = np.zeros((6, 5)), []
    for t in range(7):
        h = 0.3 * h + 0.7 * np.tanh(series[:, t] @ xh + h @ hh)
        expected.append(h)
    found = again(net, series).feed_forward(series)["hid1:out"]
    np.testing.assert_allclose(found, np.stack(expected, axis=1), rtol=1e-4, atol=1e-5)
    assert set(net.graph.output_names) == {"in:out", "hid1:out", "out:pre", "out:out"}

    class Scanning(theanets.layers.Recurrent, register=False):
        def transform(self, inputs):
            return self._scan(None, [None])

    with pytest.raises(ConfigurationError, match=r"use a layer 'cell', .* or pytensor.scan"):
        theanets.recurrent.Regressor([4, dict(form=Scanning, size=5), 3])


@OLD
def test_outputs_that_are_not_declared():
    """They are found out: other layers may have them as inputs, and patterns match them."""

    class Both(theanets.layers.Feedforward, register=False):
        def transform(self, inputs):
            pre = pt.dot(inputs.only, self.find("w"))
            return dict(out=self.activate(pre), twice=pt.concatenate([pre, pre], axis=1)), []

    spec = dict(form=Both, size=5)
    net = theanets.Regressor([4, spec, dict(size=3, name="out", inputs=("hid1:twice", "hid1"))])
    assert net.layers[1].output_shapes == {"out": (5,), "twice": (10,)}
    assert net.predict(X, mode="FAST_COMPILE").shape == (16, 3)
    with pytest.raises(ConfigurationError, match="unknown input of layer 'out' 'hid1:pre'"):
        theanets.Regressor([4, spec, dict(size=3, name="out", inputs="hid1:pre")])
    net = theanets.Classifier([4, dict(form=Both, size=3, activation="softmax", name="out")])
    assert net.predict(X, mode="FAST_COMPILE").shape == (16,)
    np.testing.assert_allclose(net.predict_proba(X, mode="FAST_COMPILE").sum(axis=1), 1, rtol=1e-5)


def test_binding_by_hand():
    layer = theanets.layers.Feedforward("l", size=3, inputs="in")
    with pytest.raises(ConfigurationError, match=r"net.add_layer\(layer\) does that"):
        layer.bind(theanets.Regressor([4], loss=None, rng=1))


def test_names_that_later_versions_took(monkeypatch):
    """A class may have the name of one that there was not when it was written."""
    for kind in (theanets.Layer, theanets.Regularizer):
        for attribute in ("_items", "_canonical"):
            monkeypatch.setattr(kind.registry, attribute, dict(getattr(kind.registry, attribute)))
    with pytest.warns(UserWarning, match="layer name 'embedding' now means"):

        class Embedding(theanets.Layer):
            def transform(self, inputs):
                return 2 * inputs.only

    net = theanets.Regressor([4, "embedding", 3], rng=1)
    np.testing.assert_allclose(net.feed_forward(X, mode="FAST_COMPILE")["hid1:out"], 2 * X)
    again(net)
    with pytest.warns(UserWarning, match="regularizer name 'weight_inverse' now means"):

        class WeightInverse(theanets.Regularizer):
            __extra_registration_keys__ = ("weight_inverse",)

            def loss(self, layers, outputs):
                found = [p for _, p in util.params_matching(layers, self.pattern) if p.ndim > 1]
                return sum((1 / (p * p).sum(axis=0)).sum() for p in found) / len(found)

    net = theanets.Regressor([4, 5, 3], rng=1)
    norms = [(1 / (p.get_value() ** 2).sum(axis=0)).sum() for p in net.params if p.ndim > 1]
    found = net.evaluate([X, Y], weight_inverse=0.5, mode="FAST_COMPILE")
    np.testing.assert_allclose(found["loss"] - found["err"], np.mean(norms) / 2, rtol=1e-4)


# ---- registries -----------------------------------------------------------------------------


NAMED = [
    (theanets.Layer, "ff", theanets.layers.Feedforward),
    (theanets.Loss, "MSE", theanets.losses.MeanSquaredError),
    (theanets.Regularizer, "weight_decay", theanets.regularizers.WeightL2),
    (theanets.Activation, "leaky-relu", theanets.activations.Prelu),
]


@pytest.mark.parametrize("base, name, expected", NAMED)
def test_registries(base, name, expected):
    assert type(base.build(name)) is expected
    with pytest.warns(DeprecationWarning, match=r"\.registry\[name\]"):
        assert base.get_class(name) is expected
    with pytest.warns(DeprecationWarning, match=r"name in .*\.registry"):
        assert base.is_registered(name)
    with pytest.warns(DeprecationWarning):
        assert not base.is_registered("nothing of that name")


def test_names_in_an_attribute_are_the_classs_own():
    """A subclass does not take them over, as it once did, without a word."""

    class Further(OldAffine):
        pass

    assert theanets.Layer.registry["aff"] is OldAffine
    assert theanets.Layer.registry["further"] is Further
