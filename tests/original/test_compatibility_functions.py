"""Activations, losses and regularizers that were written for earlier versions."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from custom_cases import X, Y, again, predict, trained

import theanets
from theanets import util
from theanets.errors import ConfigurationError

OLD = pytest.mark.filterwarnings("ignore::DeprecationWarning")

# ---- activations ----------------------------------------------------------------------------


class OldGated(theanets.Activation):
    """Parameters that the constructor makes, from the layer."""

    __extra_registration_keys__ = ("gated-unit",)

    def __init__(self, *args, **kwargs):
        super(OldGated, self).__init__(*args, **kwargs)  # noqa: UP008
        self.beta = pytensor.shared(
            abs(self.layer.rng.randn(self.layer.output_size)), name=self.layer._fmt("beta")
        )
        self.params.append(self.beta)

    def __call__(self, z):
        return z * pt.sigmoid(self.beta * z)


class OldNamed(theanets.Activation):
    """The arguments by name, and a parameter that has none."""

    def __init__(self, name, layer, **kwargs):
        super().__init__(name, layer, **kwargs)
        self.slope = pytensor.shared(np.full(layer.size, 0.3, "float32"))
        self.params.append(self.slope)

    def __call__(self, z):
        return self.slope * z


@OLD
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_that_use_their_layer(dtype):
    net = theanets.Regressor([4, (6, "gated-unit"), (5, OldNamed), 3], rng=1, dtype=dtype)
    assert net.find("hid1", "beta").dtype == net.find("hid2", "slope").dtype == dtype
    assert [p.name for p in net.layers[1].activation.params] == ["hid1.beta"]
    trained(net)
    z = X @ net.find("hid1.w").get_value() + net.find("hid1.b").get_value()
    beta = net.find("hid1.beta").get_value()
    found = net.feed_forward(X, mode="FAST_COMPILE")
    np.testing.assert_allclose(found["hid1:out"], z / (1 + np.exp(-beta * z)), rtol=1e-4, atol=1e-5)
    slope = net.find("hid2.slope").get_value()
    np.testing.assert_allclose(found["hid2:out"], slope * found["hid2:pre"], rtol=1e-5)
    loaded = again(net)
    np.testing.assert_array_equal(loaded.find("hid1.beta").get_value(), beta)


@OLD
def test_compositions_of_activations_that_use_their_layer():
    net = theanets.Regressor([4, (6, "oldgated+oldgated+tanh"), 3], rng=1)
    assert {"hid1.beta", "hid1.1_beta"} <= {p.name for p in net.params}
    again(trained(net))
    # Setting it anew makes new parameters.
    layer = net.layers[1]
    before = layer.find("beta")
    layer.activation = "oldgated"
    assert layer.find("beta") is not before
    assert "hid1.1_beta" not in {p.name for p in net.params}


def test_parameters_of_activations():
    layer = theanets.Regressor([4, (5, "prelu"), 3], rng=1).layers[1]
    assert layer.activation.params == [layer.find("leak")]
    assert layer.activation.layer is layer
    assert theanets.Regressor([4, 5, 3], rng=1).layers[1].activation.params == []
    layer = theanets.Regressor([4, 5, 3], rng=1).layers[1]
    built = theanets.activations.build("lgrelu", layer)
    assert {p.name for p in built.params} == {"hid1.gain", "hid1.leak"}
    with pytest.raises(ConfigurationError, match="activation 'oldgated' has no layer yet"):
        theanets.activations.build("oldgated")(pt.matrix())
    with pytest.raises(ConfigurationError, match="unknown keyword 'slope'"):
        theanets.Activation(slope=3)


def test_an_instance_is_an_activation():
    class Cubic(theanets.Activation, register=False):
        def __call__(self, z):
            return z**3

    net = theanets.Regressor([4, dict(size=5, activation=Cubic()), 3], rng=1)
    found = net.feed_forward(X, mode="FAST_COMPILE")
    np.testing.assert_allclose(found["hid1:out"], found["hid1:pre"] ** 3, rtol=1e-4)


# ---- losses and regularizers ----------------------------------------------------------------


class OldPowered(theanets.Loss):
    """An argument, and both forms of a weighted mean."""

    __extra_registration_keys__ = ("POW",)

    def __init__(self, power=2, **kwargs):
        super().__init__(**kwargs)
        self.power = power

    def __call__(self, outputs):
        err = abs(outputs[self.output_name] - self._target) ** self.power
        if self._weights is not None:
            return (self._weights * err).sum() / self._weights.sum()
        return err.mean()


class OldAbsolute(theanets.Loss):
    """A constructor that does not do without a target."""

    def __init__(self, target, weight=1.0, weighted=False, output_name="out"):
        super().__init__(target, weight, weighted, output_name)

    def __call__(self, outputs):
        return abs(outputs[self.output_name] - self._target).mean()


@pytest.mark.parametrize("weighted", [False, True])
def test_a_loss_with_an_argument(weighted):
    net = theanets.Regressor([4, 5, 3], loss=dict(form="pow", power=3), weighted=weighted, rng=1)
    w = np.arange(48).reshape(16, 3).astype("f")
    data = [X, Y, w] if weighted else [X, Y]
    trained(net, data)
    expected = np.average(abs(predict(net) - Y) ** 3, weights=w if weighted else None)
    for one in (net, again(net)):
        assert one.losses[0].power == 3
        found = one.evaluate(data, mode="FAST_COMPILE")["loss"]
        assert found == pytest.approx(expected, rel=1e-5)
    net.losses[0].power = 1.5
    assert again(net).losses[0].power == 1.5


def test_a_loss_that_takes_its_target():
    """And nothing but what losses of earlier versions took."""
    net = trained(theanets.Regressor([4, 3], loss="oldabsolute", rng=1))
    found = again(net).evaluate([X, Y], mode="FAST_COMPILE")["loss"]
    assert found == pytest.approx(abs(predict(net) - Y).mean(), rel=1e-5)
    net = theanets.Regressor([4, 3], loss=dict(form="oldabsolute", weight=0.5), rng=1)
    net.add_loss("oldabsolute", weight=2)
    assert [loss.weight for loss in again(net).losses] == [0.5, 2]


def test_accuracy_of_a_loss():
    labels = np.arange(16) % 3
    for weighted in (False, True):
        net = theanets.Classifier([4, 3], weighted=weighted, rng=1)
        outputs, _ = net.build_graph()
        loss = net.losses[0]
        weights = np.arange(16.0, dtype="f")
        given = {net.inputs[0]: X, loss._target: labels.astype("int32")}
        if weighted:
            given[loss._weights] = weights
        found = loss.accuracy(outputs).eval(given, mode="FAST_COMPILE")
        met = predict(net) == labels
        assert found == pytest.approx(np.average(met, weights=weights if weighted else None))
    with pytest.raises(ConfigurationError, match="'mse' compares values"):
        net = theanets.Regressor([4, 3], rng=1)
        net.losses[0].accuracy(net.build_graph()[0])


def test_a_loss_by_default():
    net = theanets.Regressor([4, 3], loss=None, rng=1)
    net.add_loss()
    net.set_loss(weight=2)
    assert [(loss.name, loss.weight) for loss in net.losses] == [("mse", 2)]
    net.set_loss(form="mae")
    assert net.losses[0].name == "mae"


class OldNothing(theanets.Regularizer):
    """A penalty that matches nothing is a number."""

    def loss(self, layers, outputs):
        return sum(abs(p).mean() for _, p in util.params_matching(layers, self.pattern or "x"))


def test_a_penalty_that_is_a_number():
    net = theanets.Regressor([4, 3], rng=1)
    trained(net)
    found = net.evaluate([X, Y], oldnothing=0.3, mode="FAST_COMPILE")
    assert found["loss"] == found["err"]


def test_the_arguments_of_regularizers():
    with pytest.warns(DeprecationWarning, match=r"WeightL2\(pattern, weight\) is now \(weight"):
        found = theanets.regularizers.WeightL2("hid*", 0.1)
    assert (found.pattern, found.weight) == ("hid*", 0.1)
    found = theanets.Regularizer.build("weight_l2", 0.1, "hid*")
    assert (found.pattern, found.weight) == ("hid*", 0.1)
    found = theanets.Regularizer.build("weight_l2", pattern="hid*", weight=0.1)
    assert (found.pattern, found.weight) == ("hid*", 0.1)
    with pytest.raises(ConfigurationError, match=r"weight='\*' is not a number"):
        theanets.regularizers.WeightL2("*")


def test_regularizers_of_a_network():
    net = theanets.Regressor([4, 5, 3], rng=1)
    with pytest.warns(DeprecationWarning, match=r"is now from_kwargs\(net.layers"):
        found = theanets.regularizers.from_kwargs(net, weight_l2=0.1, hidden_dropout=0.2)
    assert [(type(one).__name__, one.weight) for one in found] == [
        ("WeightL2", 0.1),
        ("BernoulliDropout", 0.2),
    ]
