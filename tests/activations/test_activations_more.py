"""Further activations against NumPy twins, their gradients, and what they do at the extremes."""

import io
import math

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import special

import theanets
from theanets import activations

ALPHA, SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def sparsemax(rows):
    """Project by bisection on the threshold."""
    found = np.empty_like(rows)
    for i, row in enumerate(rows):
        low, high = row.min() - 1, row.max()
        for _ in range(200):
            middle = (low + high) / 2
            if np.maximum(row - middle, 0).sum() > 1:
                low = middle
            else:
                high = middle
        found[i] = np.maximum(row - high, 0)
    return found


def gated(x, gate):
    half = x.shape[1] // 2
    return x[:, :half] * gate(x[:, half:])


TWINS = {
    "gelu": lambda x: x * special.ndtr(x),
    "gelu:tanh": lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x * special.expit(x),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "selu": lambda x: SCALE * np.where(x > 0, x, ALPHA * (np.exp(x) - 1)),
    "celu": lambda x: np.where(x > 0, x, np.exp(x) - 1),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "log_softmax": lambda x: x - special.logsumexp(x, axis=-1, keepdims=True),
    "sparsemax": sparsemax,
    "glu": lambda x: gated(x, special.expit),
    "geglu": lambda x: gated(x, lambda half: half * special.ndtr(half)),
    "swiglu": lambda x: gated(x, lambda half: half * special.expit(half)),
}
ALIASES = {
    "swish": "silu",
    "hardsigmoid": "hard_sigmoid",
    "hardtanh": "hard_tanh",
    "logsoftmax": "log_softmax",
    "GELU": "gelu",
}


def compiled(name, dtype="float64"):
    """Get a function from ``x`` and ``g`` to the activation and its pullback of ``g``."""
    with pytensor.config.change_flags(floatX=dtype):
        x, g = pt.matrix("x", dtype=dtype), pt.matrix("g", dtype=dtype)
        y = activations.build(name)(x)
        gradient = pytensor.grad(None, x, known_grads={y: g})
        return pytensor.function([x, g], [y, gradient])


@pytest.mark.parametrize("name", [*TWINS, *ALIASES])
def test_formula_and_gradient(name, rng):
    twin = TWINS[ALIASES.get(name, name)]
    x = rng.normal(0, 3, size=(7, 6))
    y = twin(x)
    g = rng.normal(size=y.shape)
    found, gradient = compiled(name)(x, g)
    np.testing.assert_allclose(found, y, rtol=1e-7, atol=1e-9)
    d = rng.normal(size=x.shape)
    slope = (twin(x + 1e-6 * d) - twin(x - 1e-6 * d)) / 2e-6
    np.testing.assert_allclose((gradient * d).sum(), (g * slope).sum(), rtol=1e-6)


#: Values, and slopes, at -1e30, 0, 1e30, where these are to be what they are exactly.
LIMITS = {
    "gelu": ((0, 0, 1e30), (0, 0.5, 1)),
    "gelu:tanh": ((0, 0, 1e30), (0, 0.5, 1)),
    "silu": ((0, 0, 1e30), (0, 0.5, 1)),
    "mish": ((0, 0, 1e30), (0, 0.6, 1)),
    "selu": ((-ALPHA * SCALE, 0, SCALE * 1e30), (0, SCALE * ALPHA, SCALE)),
    "celu": ((-1, 0, 1e30), (0, 1, 1)),
    "softsign": ((-1, 0, 1), (0, 1, 0)),
    "hard_sigmoid": ((0, 0.5, 1), (0, 1 / 6, 0)),
    "hard_tanh": ((-1, 0, 1), (0, 1, 0)),
}


@pytest.mark.parametrize("name", LIMITS)
def test_extremes(name):
    x = np.array([[-1e30, 0, 1e30, np.nan]], "float32")
    values, slopes = compiled(name, "float32")(x, np.ones_like(x))
    assert values.dtype == slopes.dtype == "float32"
    expected, steep = LIMITS[name]
    np.testing.assert_allclose(values[0, :3], expected, rtol=1e-6, atol=1e-30)
    np.testing.assert_allclose(slopes[0, :3], steep, rtol=1e-6, atol=1e-29)
    assert np.isnan(values[0, 3])


@pytest.mark.parametrize(
    "name, expected",
    [
        ("log_softmax", [[-1e30, 0, -np.inf], [-math.log(3)] * 3]),
        ("sparsemax", [[0, 1, 0], [1 / 3] * 3]),
    ],
)
def test_extreme_rows(name, expected):
    x = np.array([[0, 1e30, -3e38], [7, 7, 7]], "float32")
    values, slopes = compiled(name, "float32")(x, np.eye(2, 3, dtype="float32"))
    np.testing.assert_allclose(values[:, :2], np.array(expected)[:, :2], rtol=1e-6)
    assert np.isfinite(slopes).all()
    assert slopes.dtype == "float32"


def test_sparsemax_is_a_projection(rng):
    x = rng.normal(0, 2, size=(50, 9))
    found, _ = compiled("sparsemax")(x, x)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (found >= 0).all() and (found == 0).mean() > 0.3
    # No other point of the simplex is nearer.
    others = rng.dirichlet(np.ones(9), size=(200, 50))
    assert (((others - x) ** 2).sum(-1) >= ((found - x) ** 2).sum(-1)).all()
    values, _ = compiled("sparsemax")(np.full((1, 3), np.nan), np.ones((1, 3)))
    assert np.isnan(values).all()


@pytest.mark.parametrize("name", TWINS)
def test_in_a_network(name, rng):
    net = theanets.Regressor([3, (4, name), 2])
    x, y = rng.normal(size=(16, 3)), rng.normal(size=(16, 2))
    before = net.evaluate([x, y])["loss"]
    found = net.feed_forward(x)
    assert found["hid1:out"].shape == (16, 4)
    twin = TWINS[name](found["hid1:pre"].astype(float))
    np.testing.assert_allclose(found["hid1:out"], twin, rtol=1e-4, atol=1e-5)
    net.train([x, y], epochs=3, learning_rate=0.01)
    assert net.evaluate([x, y])["loss"] < before
    file = io.BytesIO()
    net.save(file)
    file.seek(0)
    again = theanets.Regressor.load(file)
    assert again.layers[1].activation.name == name
    np.testing.assert_array_equal(again.predict(x), net.predict(x))


def test_glu_has_twice_as_many_weights(rng):
    net = theanets.Regressor([3, (4, "glu"), 2])
    assert net.find("hid1.w").get_value().shape == (3, 8)
    assert net.find("hid1.b").get_value().shape == (8,)
    assert net.graph.shape("hid1:pre") == (8,) and net.graph.shape("hid1") == (4,)
    net = theanets.Regressor(
        [
            *[dict(shape=(9, 3)), (4, "glu+tanh"), 2],
            dict(form="conv1", size=5, filter_size=2, activation="glu"),
        ]
    )
    assert net.find("out.w").get_value().shape == (10, 2, 1, 2)
    assert net.predict(rng.normal(size=(6, 9, 3))).shape == (6, 8, 5)
    net = theanets.Regressor(
        [3, dict(form="ff", inputs=["in", "in"], size=4, activation="glu", name="out")]
    )
    assert net.predict(rng.normal(size=(6, 3))).shape == (6, 4)
