"""Activations as objects: their parameters, what names them, and own ones."""

import copy

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import special

import theanets
from theanets import activations
from theanets.activations import Activation
from theanets.errors import ConfigurationError, UnknownNameError


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("prelu", {"leak": 0.25}),
        ("lgrelu", {"gain": 1.0, "leak": 0.25}),
        ("elu", {"gain": 1.0}),
    ],
)
def test_initial_parameters(name, params):
    net = theanets.Regressor([3, (4, name), 2])
    assert [p.name for p in net.layers[1].params] == ["hid1.w", "hid1.b"] + [
        f"hid1.{key}" for key in params
    ]
    for key, value in params.items():
        found = net.find("hid1", key).get_value()
        assert found.dtype == "float32"
        np.testing.assert_array_equal(found, np.full(4, value))


def test_initial_maxout():
    net = theanets.Regressor([3, (40, "maxout:5"), 2])
    slope = net.find("hid1", "slope").get_value()
    assert slope.shape == net.find("hid1", "intercept").get_value().shape == (40, 5)
    assert len(np.unique(slope)) == slope.size  # pieces that are equal stay equal
    assert abs(slope.mean() - 1) < 0.15
    assert not net.find("hid1", "intercept").get_value().any()


PARAMETRIC = ["prelu", "lgrelu", "elu", "maxout:2", "prelu+lgrelu", "tanh+prelu+Prelu+elu"]


@pytest.mark.parametrize("name", PARAMETRIC)
def test_parameters_are_trained_and_saved(name, tmp_path, rng):
    net = theanets.Regressor([4, (6, name), 2])
    own = net.layers[1].params[2:]
    assert len({p.name for p in net.params}) == len(net.params)
    for param in own:
        assert net.find(param.name) is param
        assert net.find("hid1", param.name.partition(".")[2]) is param
    before = [p.get_value() for p in own]
    x, y = rng.normal(size=(32, 4)), rng.normal(size=(32, 2))
    net.train([x, y], algo="sgd", learning_rate=0.1, epochs=2)
    for param, value in zip(own, before):
        assert not np.array_equal(param.get_value(), value), param.name
    net.save(tmp_path / "net")
    loaded = theanets.Regressor.load(tmp_path / "net")
    np.testing.assert_array_equal(loaded.predict(x), net.predict(x))
    loaded.train([x, y], algo="sgd", learning_rate=0.1, epochs=1)
    for param in own:
        assert not np.array_equal(loaded.find(param.name).get_value(), param.get_value())


def test_names_of_composed_parameters():
    net = theanets.Regressor([4, (6, "prelu+tanh+lgrelu"), 2])
    assert [p.name for p in net.layers[1].params] == [
        "hid1.w",
        "hid1.b",
        "hid1.leak",
        "hid1.2_gain",
        "hid1.2_leak",
    ]


def test_instances_are_not_shared():
    """Two layers, and two networks, with one instance have parameters of their own."""
    instance = activations.build("prelu+tanh")
    net = theanets.Regressor([3, (4, instance), (4, instance), 2])
    other = copy.deepcopy(net)
    for model in (net, other):
        with pytensor.config.change_flags(floatX="float32"):
            grads = pytensor.grad(model.loss(), model.params, disconnected_inputs="raise")
        assert len(grads) == 8
    x = np.random.default_rng(1).normal(size=(8, 3)).astype("f")
    np.testing.assert_array_equal(net.predict(x), other.predict(x))
    other.find("hid1", "leak").set_value(np.full(4, 3, "f"))
    assert not np.array_equal(net.predict(x), other.predict(x))


@pytest.mark.parametrize(
    "name", ["ReLU", " Tanh ", "RECT:MinMax", "tanh + relu", "MaxOut:3", "PReLU+ELU"]
)
def test_case_and_spaces_do_not_matter(name):
    built = activations.build(name)
    assert built.name == name.lower().replace(" ", "")
    assert activations.is_activation(name)
    assert theanets.Regressor([3, (4, name), 2]).layers[1].activation.name == built.name


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ("rleu", "did you mean 'relu'"),
        ("tanh+rleu", "did you mean 'relu'"),
        ("", "''"),
        ("tanh+", "''"),
        ("maxout", "maxout:2"),
        ("maxout:", "maxout:2"),
        ("maxout:x", "maxout:2"),
        ("maxout:0", "at least one piece"),
        ("maxout:-1", "maxout:2"),
        (3, "3"),
        (["tanh"], "tanh"),
        (int, "int"),
    ],
)
def test_wrong_specifications(spec, part):
    with pytest.raises(ConfigurationError, match=part):
        activations.build(spec)
    with pytest.raises(ConfigurationError, match=part):
        theanets.Regressor([3, dict(size=4, activation=spec), 2])


def test_unknown_is_a_key_error():
    with pytest.raises(KeyError):
        activations.build("sgmoid")
    with pytest.raises(UnknownNameError, match=r"valid: .*sigmoid.*tanh"):
        activations.build("sgmoid")


def test_building_leaves_others_alone():
    """Aliases of one function keep the name that they were asked for by."""
    relu, alias = activations.build("relu"), activations.build("rect:max")
    assert (relu.name, alias.name) == ("relu", "rect:max")
    assert activations.build("relu") is not activations.build("relu")


@pytest.mark.parametrize("form", ["function", "instance", "class"])
def test_callables(form, tmp_path, rng):
    def doubled(x):
        return 2 * x

    class Doubled(Activation, register=False):
        def __call__(self, x):
            return 2 * x

    given = {"function": doubled, "instance": Doubled(), "class": Doubled}[form]
    net = theanets.Regressor([3, (4, given), 2])
    x = rng.normal(size=(5, 3)).astype("f")
    found = net.feed_forward(x)
    np.testing.assert_allclose(found["hid1:out"], 2 * found["hid1:pre"], rtol=1e-6)
    net.save(tmp_path / "net")
    name = net.layers[1].activation.name
    with pytest.raises(theanets.FileError, match=name):
        theanets.Regressor.load(tmp_path / "net")
    loaded = theanets.Regressor.load(tmp_path / "net", custom={name: given})
    np.testing.assert_array_equal(loaded.predict(x), net.predict(x))


def test_own_function_of_the_package_is_saved_by_name(tmp_path):
    net = theanets.Regressor([3, (4, activations.tanh), (4, activations.Prelu), 2])
    net.save(tmp_path / "net")
    loaded = theanets.Regressor.load(tmp_path / "net")
    assert [layer.activation.name for layer in loaded.layers] == [
        "linear",
        "tanh",
        "prelu",
        "linear",
    ]


def test_registered_subclass(tmp_path, rng):
    class Gated(Activation, names=("sw",)):
        def __init__(self, beta=2.0):
            self.start = beta

        def setup(self, layer, prefix=""):
            self.beta = layer.add_param(prefix + "beta", np.full(layer.output_size, self.start))

        def __call__(self, x):
            return x * pt.sigmoid(self.beta * x)

    net = theanets.Regressor([3, (4, "gated"), (5, "SW+tanh"), 2])
    np.testing.assert_array_equal(net.find("hid1.beta").get_value(), np.full(4, 2))
    x, y = rng.normal(size=(16, 3)).astype("f"), rng.normal(size=(16, 2))
    found = net.feed_forward(x)
    z = found["hid1:pre"]
    np.testing.assert_allclose(found["hid1:out"], z * special.expit(2 * z), rtol=1e-5, atol=1e-7)
    net.train([x, y], epochs=1)
    net.save(tmp_path / "net")
    loaded = theanets.Regressor.load(tmp_path / "net")
    assert [layer.activation.name for layer in loaded.layers[1:3]] == ["gated", "sw+tanh"]
    np.testing.assert_array_equal(loaded.predict(x), net.predict(x))


def test_undefined_call():
    class Nothing(Activation, register=False):
        pass

    with pytest.raises(TypeError, match="Nothing does not define __call__"):
        Nothing()(pt.vector())


def test_abstract_bases_are_not_registered():
    assert not {"activation", "function", "compose"} & set(Activation.registry.names())


def test_only_our_softmax_has_logits():
    """What is only called softmax, or ends in one, is no softmax of ``pre``."""

    def softmax(x):
        return pt.exp(-x) / pt.exp(-x).sum(axis=-1, keepdims=True)

    def logits(activation):
        net = theanets.Classifier([3, dict(size=4, name="out", activation=activation)])
        return net.outputs().logits

    assert list(logits("softmax")) == list(logits(activations.softmax)) == ["out:out"]
    assert not logits(softmax)
    assert not logits("tanh+softmax")


def test_set_on_a_network():
    """A new activation of a bound layer shows at once, parameters included."""
    net = theanets.Regressor([3, (4, "prelu"), 2])
    x = np.random.default_rng(1).normal(size=(5, 3)).astype("f")
    net.predict(x)
    net.layers[1].activation = "tanh"
    found = net.feed_forward(x)
    np.testing.assert_allclose(found["hid1:out"], np.tanh(found["hid1:pre"]), rtol=1e-5)
    assert [p.name for p in net.layers[1].params] == ["hid1.w", "hid1.b"]
    net.layers[1].activation = "elu"
    assert [p.name for p in net.layers[1].params] == ["hid1.w", "hid1.b", "hid1.gain"]
    with pytest.raises(UnknownNameError):
        net.layers[1].activation = "elo"
    assert net.layers[1].activation.name == "elu"
    assert net.to_spec()["layers"][1]["activation"] == "elu"
