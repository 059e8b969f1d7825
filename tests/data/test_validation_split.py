"""Holding back a part of the training data to validate on."""

from __future__ import annotations

import numpy as np
import pytest

import theanets
from theanets.data import Dataset, Field
from theanets.errors import ConfigurationError, DataError


def dataset(x, **kwargs):
    field = Field("in", "input", "float64", x.shape[1:])
    return Dataset([field], x, seed_rng=np.random.default_rng(1), **kwargs)


def rows(data):
    return np.concatenate([batch[0].copy() for batch, _ in data.epoch()])[:, 0]


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("number", [2, 7, 100])
def test_each_example_is_in_one_part(number, shuffle):
    x = np.arange(float(number))[:, None]
    whole = dataset(x, batch_size=8, shuffle=shuffle)
    rest, held = whole.split(0.3, np.random.default_rng(0))
    assert held.examples == round(0.3 * number)
    assert rest.examples == number - held.examples
    for _ in range(2):
        assert sorted([*rows(rest), *rows(held)]) == list(range(number))
    held = held.ordered(3)
    assert list(rows(held)) == sorted(rows(held))
    assert held.batches == -(-held.examples // 3)


def test_the_part_is_drawn_from_everywhere():
    _, held = dataset(np.arange(1000.0)[:, None]).split(0.5, np.random.default_rng(0))
    assert 400 < np.mean(rows(held.ordered(512))) < 600


@pytest.fixture
def net():
    return theanets.Regressor([2, 3, 1], rng=4)


def test_training_validates_on_what_it_does_not_see(net, rng):
    x, y = rng.normal(size=(50, 2)), rng.normal(size=(50, 1))
    # Targets that nothing can predict: only examples that are trained on get better.
    train, valid = net.train([x, y], epochs=2, validation_split=0.2, batch_size=10)
    again = theanets.Regressor([2, 3, 1], rng=4)
    twice = again.train([x, y], epochs=2, validation_split=0.2, batch_size=10)
    assert (train, valid) == twice
    errors = (net.predict(x) - y)[:, 0] ** 2
    sizes = 40 * train["loss"] + 10 * valid["loss"]
    np.testing.assert_allclose(errors.sum(), sizes, rtol=1e-5)
    assert train["loss"] != valid["loss"]


def test_later_runs_hold_back_the_same_examples(net, rng):
    x, y = rng.normal(size=(50, 2)), rng.normal(size=(50, 1))
    found = []
    for algo in ("sgd", "adam"):
        _, valid = net.train([x, y], algo=algo, epochs=0, validation_split=0.2)
        found.append(valid["loss"])
    assert found[0] == found[1]


def test_series_of_different_lengths(rng):
    net = theanets.recurrent.Regressor([2, (3, "rnn"), 1], rng=0)
    series = [rng.normal(size=(n, 2)) for n in range(1, 21)]
    targets = [one[:, :1] for one in series]
    train, valid = net.train([series, targets], epochs=1, validation_split=0.25, batch_size=4)
    total = sum(float(((net.predict(s[None])[0] - t) ** 2).sum()) for s, t in zip(series, targets))
    # So many steps are in the part that is trained on, a whole number of them.
    steps = (total - 210 * valid["loss"]) / (train["loss"] - valid["loss"])
    assert abs(steps - round(steps)) < 1e-2
    assert 120 <= round(steps) <= 195


@pytest.mark.parametrize("fraction", [0, 0.0, 1.0, 1, -0.1, "a", True, float("nan"), [0.1]])
def test_what_is_no_fraction(net, fraction, rng):
    data = [rng.normal(size=(9, 2)), rng.normal(size=(9, 1))]
    with pytest.raises(ConfigurationError, match="validation_split="):
        net.train(data, validation_split=fraction, epochs=1)


def test_what_cannot_be_split(net, rng):
    data = [rng.normal(size=(9, 2)), rng.normal(size=(9, 1))]
    with pytest.raises(ConfigurationError, match="beside data to validate on"):
        net.train(data, data, validation_split=0.1, epochs=1)
    with pytest.raises(ConfigurationError, match="batches that come in"):
        net.train(lambda: data, validation_split=0.1, epochs=1)
    with pytest.raises(DataError, match="leaves 9 to train on and 0"):
        net.train(data, validation_split=0.01, epochs=1)
