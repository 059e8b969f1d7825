"""Activations: formulas against NumPy, gradients against finite differences, parameters."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode
from scipy import special

import theanets
from theanets.activations import Activation

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
