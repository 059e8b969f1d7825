"""Regularizers that are noise: its size, its places, its streams."""

import copy

import numpy as np
import pytensor
import pytest
from penalty_cases import RNG, X, Y, make, values

import theanets
from theanets.regularizers import BernoulliDropout, GaussianNoise

ROWS = np.ones((4000, 1)) * np.array([[1.0, -2.0, 0.5, 3.0]])


def test_dropout_keeps_the_expected_value():
    net = make()
    found = net.feed_forward(ROWS, input_dropout=0.25)
    x = found["in:out"]
    np.testing.assert_allclose(np.unique(x), np.unique([0, *(ROWS[0] / 0.75)]))
    np.testing.assert_array_equal(found["in:out-predrop"], ROWS)
    # Five standard deviations of the mean.
    bound = 5 * np.sqrt(0.25 / 0.75 / len(ROWS))
    np.testing.assert_allclose(x.mean(axis=0) / ROWS[0], 1, atol=bound)
    dropped = x == 0
    np.testing.assert_allclose(dropped.mean(axis=0), 0.25, atol=5 * np.sqrt(0.1875 / len(ROWS)))
    # Entries are independent of each other.
    assert np.abs(np.corrcoef(dropped.T) - np.eye(4)).max() < 5 / np.sqrt(len(ROWS))


def test_noise_has_its_standard_deviation():
    found = make().feed_forward(ROWS, input_noise=0.5)
    noise = found["in:out"] - ROWS
    np.testing.assert_allclose(found["in:out-prenoise"], ROWS)
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=5 * 0.5 / np.sqrt(len(ROWS)))
    np.testing.assert_allclose(noise.std(axis=0), 0.5, atol=5 * 0.5 / np.sqrt(2 * len(ROWS)))
    kurtosis = ((noise / 0.5) ** 4).mean()
    assert kurtosis == pytest.approx(3, abs=5 * np.sqrt(96 / noise.size))


def noisy(net, x, **keywords):
    """The layers whose outputs are not those without noise, given their inputs."""
    found = net.feed_forward(x, **keywords)
    names = {name.partition("-")[0] for name in found if name.endswith(("-prenoise", "-predrop"))}
    changed = {
        n for n in names for c in found if c.startswith(f"{n}-") and (found[n] != found[c]).any()
    }
    assert changed == names
    return sorted(name.removesuffix(":out") for name in names)


PLACES = [
    ({"input_noise": 0.5}, ["b", "in"]),
    ({"hidden_noise": 0.5}, ["h", "k"]),
    ({"output_noise": 0.5}, ["out"]),
    ({"input_dropout": 0.5}, ["b", "in"]),
    ({"hidden_dropout": 0.5}, ["h", "k"]),
    ({"output_dropout": 0.5}, ["out"]),
    ({"noise": 0.5}, ["b", "h", "in", "k"]),
    ({"dropout": 0.3}, ["b", "h", "in", "k"]),
    ({"dropout": {"k": 0.3, "in:out": 0.1}}, ["in", "k"]),
    ({"dropout": {"weight": 0.3, "pattern": "h k"}}, ["h", "k"]),
    ({"noise": {"[hk]": 0.3}}, ["h", "k"]),
    ({"hidden_noise": {"weight": 0.3}}, ["h", "k"]),
    ({"hidden_noise": {"out": 0.3}}, ["out"]),
    ({"regularizers": [BernoulliDropout(0.3)]}, ["b", "h", "in", "k"]),
    ({"regularizers": [GaussianNoise(0.3, "k"), BernoulliDropout(0.3, "in")]}, ["in", "k"]),
    ({"regularizers": {"hidden_noise": 0.3}, "input_dropout": 0.2}, ["b", "h", "in", "k"]),
    ({"noise": {"h": 0.3, "k": 0.0}}, ["h"]),
]


@pytest.mark.parametrize(("keywords", "expected"), PLACES)
def test_places_of_noise(keywords, expected):
    net = theanets.Regressor(
        [
            4,
            {"form": "input", "size": 4, "name": "b"},
            {"size": 4, "inputs": ("in", "b"), "name": "h", "activation": "tanh"},
            {"size": 4, "name": "k", "activation": "tanh"},
            3,
        ]
    )
    before = copy.deepcopy(keywords.get("regularizers"))
    assert noisy(net, [X, X + 1], **keywords) == expected
    if isinstance(before, list):  # Instances of the user stay as they are.
        assert [vars(r) for r in keywords["regularizers"]] == [vars(r) for r in before]


@pytest.mark.parametrize("kind", ["noise", "dropout"])
def test_streams_are_independent(kind):
    layers = [50, {"form": "input", "size": 50, "name": "b"}, {"size": 50, "inputs": "in"}]
    net = theanets.Regressor([*layers, 50])
    x = np.ones((200, 50))
    net.find("hid1", "w").set_value(np.zeros((50, 50), "f"))
    net.find("hid1", "b").set_value(np.ones(50, "f"))
    found = net.feed_forward([x, x], **{kind: 0.5})
    draws = [found[n].ravel() for n in ("in:out", "b:out", "hid1:out")]
    assert all(d.std() > 0.4 for d in draws)
    correlation = np.corrcoef(draws) - np.eye(3)
    assert np.abs(correlation).max() < 5 / np.sqrt(x.size)


def test_noise_is_new_in_each_call_and_starts_anew_from_a_seed():
    net = make()
    one, two = (net.predict(X, hidden_dropout=0.5) for _ in range(2))
    assert (one != two).any()
    three, four, five = (net.predict(X, hidden_dropout=0.5, rng=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(three, four)
    assert (four != five).any()
    assert (net.predict(X, hidden_dropout=0.5) != five).any()
    # It does not stick, and networks of one seed agree.
    np.testing.assert_allclose(net.predict(X), values(net)["out"])
    np.testing.assert_array_equal(make().predict(X, hidden_dropout=0.5), one)
    assert (make(rng=1).evaluate([X, Y], input_noise=1)["err"]) != pytest.approx(
        make(rng=2).evaluate([X, Y], input_noise=1)["err"]
    )


def test_monte_carlo_dropout():
    """The mean of many samples of a linear network is what it predicts without noise."""
    net = theanets.Regressor([4, (5, "linear"), 3])
    samples = np.stack([net.predict(X, hidden_dropout=0.5) for _ in range(300)])
    clean = net.predict(X)
    error = samples.std(axis=0) / np.sqrt(len(samples))
    assert (samples.std(axis=0) > 0).all()
    np.testing.assert_array_less(np.abs(samples.mean(axis=0) - clean), 5 * error)
    hidden, weights = net.feed_forward(X)["hid1:out"], net.find("out", "w").get_value()
    spread = np.sqrt((hidden**2) @ (weights**2))  # p / (1 - p) is 1
    np.testing.assert_allclose(samples.std(axis=0), spread, rtol=0.3)


def test_training_sees_noise_and_validation_does_not():
    """For a linear network the mean loss under noise is known."""
    net = theanets.Regressor([4, 3], dtype="float64")
    x, y = RNG.normal(size=(4000, 4)), RNG.normal(size=(4000, 3))
    w = net.find("out", "w").get_value()
    clean = ((net.predict(x) - y) ** 2).mean()
    keywords = {"algo": "sgd", "learning_rate": 1e-12, "epochs": 1, "batch_size": 1000}
    for noise, extra in [
        ({"input_noise": 0.7}, 0.7**2 * (w**2).sum(axis=0).mean()),
        ({"input_dropout": 0.3}, 0.3 / 0.7 * (x**2 @ w**2).mean()),
    ]:
        ((train, valid),) = net.itertrain([x, y], **keywords, **noise)
        assert train["loss"] == pytest.approx(clean + extra, rel=0.1)
        assert train["loss"] > clean + extra / 2
        assert valid["loss"] == pytest.approx(clean, rel=1e-6)
        assert valid["loss"] == valid["err"]


def test_noise_in_symbolic_outputs():
    net = make()
    outputs = net.outputs(training=True, hidden_noise=1)
    function = pytensor.function(net.inputs, outputs["out:out"], updates=outputs.updates)
    assert (function(X) != function(X)).any()
    outputs, updates = net.build_graph([GaussianNoise(1, "hid1")])
    function = pytensor.function(net.inputs, outputs["hid1:out"], updates=updates)
    assert (function(X) != function(X)).all()


def test_a_number_of_numpy_does_not_change_the_type():
    net = theanets.Regressor([4, 5, 3])
    for keywords in ({"hidden_dropout": np.float64(0.5)}, {"noise": np.float64(0.5)}):
        found = net.feed_forward(X, **keywords)
        assert {array.dtype for array in found.values()} == {np.dtype("float32")}


def test_a_softmax_with_noise_has_no_logits():
    net = theanets.Classifier([4, 5, 3])
    outputs = net.outputs(output_noise=0.1)
    assert "out:out" not in outputs.logits
    assert "out:out" in net.outputs(hidden_noise=0.1).logits
