"""Targets that a loss has no meaning for, and outputs that are logarithms of values."""

from __future__ import annotations

import numpy as np
import pytest

import theanets
from theanets.errors import DataError

X = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")


def network(loss, activation="linear", size=1, **kwargs):
    return theanets.Regressor([4, (size, activation)], loss=loss, rng=1, **kwargs)


@pytest.mark.parametrize(
    ("loss", "activation", "wrong"),
    [
        ("bce", "sigmoid", 2.0),
        ("bce", "sigmoid", -1.0),
        ("bce_logits", "linear", 5.0),
        ("poisson", "linear", -1.0),
        ("gamma", "linear", -0.5),
        ({"form": "hinge", "kind": "binary"}, "linear", 2.0),
    ],
)
def test_targets_out_of_the_range_of_a_loss_are_refused(loss, activation, wrong):
    y = np.ones((6, 1), "float32")
    good, bad = y.copy(), y.copy()
    bad[3] = wrong
    net = network(loss, activation)
    net.train([X, good], epochs=1)
    message = rf"has {wrong:g} at \[3, 0\]; its loss is of numbers in \["
    for data in ([X, bad], lambda: [X, bad], [[X, bad.astype(float)]].__iter__()):
        with pytest.raises(DataError, match=message):
            net.train(data, epochs=1, train_batches=1)
    with pytest.raises(DataError, match=message):
        net.evaluate([X, bad])
    weighted = network(loss, activation, weighted=True)
    weights = np.ones((6, 1), "float32")
    weights[3] = 0
    weighted.train([X, bad, weights], epochs=1)
    with pytest.raises(DataError, match=message):
        weighted.train([X, bad, np.ones((6, 1))], epochs=1)


def test_distributions_are_not_negative():
    net = network("xe", "softmax", 2)
    net.train([X, np.full((6, 2), 0.5)], epochs=1)
    with pytest.raises(DataError, match=r"has -0.5 at \[0, 0\]"):
        net.train([X, np.tile([-0.5, 1.5], (6, 1))], epochs=1)


def test_inputs_that_are_targets():
    net = theanets.Autoencoder([4, 2, (4, "sigmoid")], loss="bce", rng=1)
    net.train([np.abs(X).clip(0, 1)], epochs=1)
    with pytest.raises(DataError, match="its loss is of numbers in"):
        net.train([255 * np.abs(X)], epochs=1)


def test_a_memory_map_is_checked_batch_by_batch(tmp_path):
    y = np.memmap(tmp_path / "y", "float32", "w+", shape=(6, 1))
    y[4] = -2
    with pytest.raises(DataError, match=r"has -2 at \[4, 0\]"):
        network("poisson").train([X, y], epochs=1)


@pytest.mark.parametrize("loss", ["poisson", "gamma"])
def test_logarithms_are_not_compared_with_values(loss, rng):
    x = rng.normal(size=(200, 4))
    means = np.exp(1 + x[:, :1])
    net = theanets.Regressor([4, 1], loss=loss, dtype="float64", rng=1)
    net.find("out.w").set_value(np.array([[1.0], [0], [0], [0]]))
    net.find("out.b").set_value(np.array([1.0]))
    assert net.score(x, means) == pytest.approx(1)
    found = net.evaluate([x, means], metrics=["r2", "mae"])
    assert found["r2"] == pytest.approx(1)
    assert found["mae"] == pytest.approx(0, abs=1e-9)
    # Predictions of a network stay what its layer computes.
    np.testing.assert_allclose(net.predict(x), np.log(means), rtol=1e-9)
    plain = theanets.Regressor([4, (1, "softplus")], loss={"form": loss, "log_input": False})
    y = plain.predict(x)
    assert plain.score(x, y) == pytest.approx(1)


def test_estimators_predict_means(rng):
    regressor = pytest.importorskip("theanets.sklearn").NetRegressor
    x = rng.normal(size=(200, 2))
    y = rng.poisson(np.exp(1 + x[:, 0]))
    options = {"epochs": 60, "patience": None, "learning_rate": 0.05, "random_state": 0}
    model = regressor(hidden_layers=[], loss="poisson", **options)
    model.fit(x, y)
    assert (model.predict(x) > 0).all()
    assert model.score(x, y) > 0.5
