"""Activations: formulas against NumPy, gradients against finite differences, parameters."""

import copy

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode
from scipy import special

import theanets
from theanets import activations
from theanets.activations import Activation
from theanets.errors import ConfigurationError, UnknownNameError

EPSILON = 1e-7


def _center(z):
    return z - z.mean(axis=-1, keepdims=True)


def _std(z):
    return z / np.sqrt(np.mean(_center(z) ** 2, axis=-1, keepdims=True) + EPSILON)


def _maxout(z, slope, intercept):
    return np.stack([z * s + i for s, i in zip(slope.T, intercept.T)]).max(axis=0)


def _where(z, positive, other):
    result = np.where(z > 0, positive, other)
    result[np.isnan(z)] = np.nan
    return result


def _elu(z, gain):
    return _where(z, z, gain * np.expm1(np.minimum(z, 0)))


# By name: the formula, of what the activation gets and of its parameters in their order.
TWINS = {
    "linear": lambda z: z,
    "logistic": special.expit,
    "sigmoid": special.expit,
    "tanh": np.tanh,
    "softmax": lambda z: special.softmax(z, axis=-1),
    "softplus": lambda z: np.logaddexp(0, z),
    "relu": lambda z: np.maximum(z, 0),
    "rect:max": lambda z: np.maximum(z, 0),
    "rect:min": lambda z: np.minimum(z, 1),
    "rect:minmax": lambda z: np.clip(z, 0, 1),
    "norm:mean": _center,
    "norm:dc": _center,
    "norm:max": lambda z: z / np.maximum(np.abs(z).max(axis=-1, keepdims=True), EPSILON),
    "norm:std": _std,
    "norm:z": lambda z: _std(_center(z)),
    "prelu": lambda z, leak: _where(z, z, leak * z),
    "leaky-relu": lambda z, leak: _where(z, z, leak * z),
    "lgrelu": lambda z, gain, leak: _where(z, gain * z, leak * z),
    "leaky-gain-relu": lambda z, gain, leak: _where(z, gain * z, leak * z),
    "elu": _elu,
    "maxout:1": _maxout,
    "maxout:3": _maxout,
    "tanh+norm:z": lambda z: _std(_center(np.tanh(z))),
    "prelu+prelu": lambda z, a, b: _where(z, z, b * a * z),
    "prelu + tanh + LGReLU": lambda z, a, g, b: (lambda y: _where(y, g * y, b * y))(
        np.tanh(_where(z, z, a * z))
    ),
}
ROWWISE = ("norm", "softmax")


class Bound:
    """An activation of a layer of some units, in float64, as a function and with its gradients."""

    def __init__(self, name, units, rng, mode=None):
        self.layer = theanets.layers.Feedforward("hid1", size=units, activation=name)
        source = theanets.layers.Input("in", size=2)
        source.bind({}, dtype="float64")
        self.layer.bind({"in": source}, dtype="float64")
        self.params = self.layer.params[2:]
        for param in self.params:
            # Not what it starts with, and different for each unit.
            param.set_value(rng.uniform(0.3, 1.7, param.get_value().shape))
        x = pt.matrix("x", dtype="float64")
        seed = pt.matrix("seed", dtype="float64")
        y = self.layer.activation(x)
        assert y.dtype == "float64"
        cost = (y * seed).sum()
        self.value = pytensor.function([x], y, mode=mode)
        grads = pytensor.grad(cost, [x, *self.params], disconnected_inputs="raise")
        self.gradient = pytensor.function([x, seed], grads, mode=mode)

    @property
    def values(self):
        return [param.get_value() for param in self.params]


def test_all_names_have_a_twin():
    names = set(Activation.registry.names()) - {"maxout"}
    own = {name for name in names if Activation.registry[name].__module__ == "theanets.activations"}
    assert own <= set(TWINS)


@pytest.mark.parametrize("name", TWINS)
def test_formula(name, rng):
    bound = Bound(name, 5, rng)
    z = np.concatenate(
        [
            rng.normal(0, 3, (4, 5)),
            np.zeros((1, 5)),
            np.ones((1, 5)),
            np.full((1, 5), -7.5),
            [[1e4, -1e4, 1e30, -1e30, 0.0]],
            [[1e-8, -1e-8, 1.0, 1 - 1e-12, 0.5]],
        ]
    )
    with np.errstate(over="ignore", under="ignore"):
        expected = TWINS[name](z, *bound.values)
    found = bound.value(z)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", TWINS)
def test_nan_passes(name, rng):
    z = rng.normal(size=(3, 5))
    z[1, 2] = np.nan
    nan = np.isnan(Bound(name, 5, rng).value(z))
    assert nan[1, 2]
    assert not nan[[0, 2]].any()
    if not any(kind in name for kind in ROWWISE):
        assert nan.sum() == 1


@pytest.mark.parametrize("name", TWINS)
def test_gradient(name, rng):
    """Central differences of a random projection, for the input and each parameter."""
    bound = Bound(name, 5, rng)
    z = rng.normal(0, 1.5, (6, 5))
    z[np.abs(z) < 0.02] += 0.1  # away from where a slope jumps
    z[np.abs(z - 1) < 0.02] += 0.1
    seed = rng.normal(size=z.shape)
    found = bound.gradient(z, seed)
    assert [g.shape for g in found] == [z.shape, *(v.shape for v in bound.values)]

    def projected(array, index, step):
        before = array[index]
        array[index] = before + step
        for param, value in zip(bound.params, values):
            param.set_value(value)
        result = (bound.value(z) * seed).sum()
        array[index] = before
        return result

    values = bound.values
    for gradient, array in zip(found, [z, *values]):
        expected = np.zeros_like(array)
        for index in np.ndindex(*array.shape):
            up, down = projected(array, index, 1e-6), projected(array, index, -1e-6)
            expected[index] = (up - down) / 2e-6
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", TWINS)
def test_gradient_is_finite_at_extremes(name, rng):
    # As it is written: rewrites hide 0 * inf in a branch that is not taken.
    bound = Bound(name, 5, rng, Mode("py", None))
    z = np.array(
        [
            [1e4, -1e4, 1e30, -1e30, 0.0],
            [0, 0, 0, 0, 0],
            [1, 1, 1, 1, 1],
            [800, 750, -800, 90, -90],
        ]
    )
    with np.errstate(over="ignore", under="ignore"):
        found = bound.gradient(z, rng.normal(size=z.shape))
    for gradient in found:
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("name", "at", "slope"),
    [
        ("relu", 0.0, 0.0),
        ("rect:min", 1.0, 0.0),
        ("rect:minmax", 0.0, 0.0),
        ("rect:minmax", 1.0, 0.0),
    ],
)
def test_gradient_at_a_kink(name, at, slope, rng):
    bound = Bound(name, 1, rng)
    (found,) = bound.gradient(np.array([[at]]), np.ones((1, 1)))
    assert found[0, 0] == slope


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
