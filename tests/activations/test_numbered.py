"""Activations with a number in their name."""

import io

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import theanets
from theanets import activations

#: Values and derivatives, of NumPy.
FORMULAS = {
    "leaky:0.1": (lambda x: np.where(x > 0, x, 0.1 * x), lambda x: np.where(x > 0, 1, 0.1)),
    "relu:2": (lambda x: np.clip(x, 0, 2), lambda x: ((x > 0) & (x < 2)) * 1.0),
    "elu:0.5": (
        lambda x: np.where(x > 0, x, 0.5 * np.expm1(np.minimum(x, 0))),
        lambda x: np.where(x > 0, 1, 0.5 * np.exp(np.minimum(x, 0))),
    ),
    "celu:0.5": (
        lambda x: np.where(x > 0, x, 0.5 * np.expm1(np.minimum(x, 0) / 0.5)),
        lambda x: np.where(x > 0, 1, np.exp(np.minimum(x, 0) / 0.5)),
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FORMULAS)
def test_formula_and_limits(name, dtype):
    x = pt.vector(dtype=dtype)
    built = activations.build(name)
    y = built(x)
    compute = pytensor.function([x], [y, pytensor.grad(y.sum(), x)], mode="FAST_COMPILE")
    given = np.array([-1e30, -900, -3, -0.2, 1e-3, 0.7, 3, 1e30], dtype)
    for found, formula in zip(compute(given), FORMULAS[name], strict=True):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, formula(given.astype(float)), rtol=1e-6)
    low, high = activations.limits(built)
    values = FORMULAS[name][0](given.astype(float))
    assert (low is None) == ("leaky" in name)
    assert low is None or low == pytest.approx(values.min())
    assert (high is None) or high == values.max()


def test_files_and_compositions():
    net = theanets.Regressor([3, (4, "Leaky:0.1+relu:6"), 2], rng=1, mode="FAST_COMPILE")
    file = io.BytesIO()
    net.save(file)
    file.seek(0)
    again = theanets.Regressor.load(file)
    x = np.random.default_rng(0).normal(size=(5, 3)) * 9
    np.testing.assert_array_equal(again.predict(x), net.predict(x))
    assert again.layers[1].activation.name == net.clone().layers[1].activation.name


@pytest.mark.parametrize(
    "name, message",
    [
        ("leaky", "needs a number: 'leaky:0.01'"),
        ("leaky:x", "needs a number: 'leaky:0.01'"),
        ("relu:0", "needs a positive number: 'relu:6'"),
        ("elu:-1", "needs a positive number: 'elu:0.5'"),
        ("celu:nan", "needs a positive number: 'celu:0.5'"),
    ],
)
def test_numbers_without_meaning(name, message):
    with pytest.raises(theanets.ConfigurationError, match=message):
        theanets.Regressor([3, (4, name), 2])
