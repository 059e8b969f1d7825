"""What works alone also works together, with each model, layer and number of layers."""

import logging

import numpy as np
import pytest

import theanets
from theanets import activations, layers, losses, regularizers

X = np.random.default_rng(5).uniform(0.1, 1, size=(12, 4))


# ---- models and losses ----------------------------------------------------------------


@pytest.mark.parametrize("given", ["name", "dict", "class", "instance"])
def test_an_autoencoder_takes_losses_of_all_kinds(given):
    loss = {
        "name": "mae",
        "dict": {"form": "mae", "weight": 2},
        "class": losses.MeanAbsoluteError,
        "instance": losses.MeanAbsoluteError(weight=2),
    }[given]
    net = theanets.Autoencoder([4, 3, 4], loss=loss, dtype="float64")
    factor = 2 if given in ("dict", "instance") else 1
    expected = factor * np.abs(net.predict(X) - X).mean()
    assert net.evaluate([X])["loss"] == pytest.approx(expected, rel=1e-12)
    net.train([X], epochs=1)


def test_an_autoencoder_without_a_loss_gets_one_later():
    net = theanets.Autoencoder([4, 3, 4], loss=None)
    assert net.losses == []
    net.add_loss("mse")
    net.train([X], epochs=1)


def test_an_autoencoder_of_distributions():
    """The target is the input itself, of whatever kind the loss wants its target."""
    p = X / X.sum(axis=1, keepdims=True)
    for loss, expected in (
        ("xe", lambda q: -(p * np.log(q)).sum(axis=1).mean()),
        ("kl", lambda q: (p * np.log(p / q)).sum(axis=1).mean()),
    ):
        net = theanets.Autoencoder([4, 3, (4, "softmax")], loss=loss, dtype="float64")
        assert net.evaluate([p])["loss"] == pytest.approx(expected(net.predict(p)), rel=1e-9)
        net.train([p], epochs=1)


def test_one_output_takes_targets_without_an_axis():
    net = theanets.Regressor([4, 1], dtype="float64")
    y = X.sum(axis=1)
    one, other = net.evaluate([X, y]), net.evaluate([X, y[:, None]])
    assert one == other
    assert one["loss"] == pytest.approx(np.mean((net.predict(X)[:, 0] - y) ** 2), rel=1e-12)
    net.train([X, y], epochs=1)


# ---- networks of a single layer ---------------------------------------------------------


def test_noise_at_both_ends_of_a_single_layer():
    """The keywords do not hide each other, and the draws differ."""
    net = theanets.Regressor([4, 4], dtype="float64")
    net.find("out", "w").set_value(np.eye(4))
    found = net.feed_forward(X, input_noise=0.1, output_noise=2.0)
    first = found["in:out"] - found["in:out-prenoise"]
    second = found["out:out"] - found["out:out-prenoise"]
    np.testing.assert_allclose(found["out:out-prenoise"], found["in:out"])
    assert 0.03 < first.std() < 0.2
    assert 1 < second.std() < 4
    assert np.abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.6
    found = net.feed_forward(X, input_dropout=0.5, output_dropout=0.5)
    assert {"in:out-predrop", "out:out-predrop"} <= set(found)


@pytest.mark.parametrize("keyword", ["hidden_noise", "hidden_dropout", "hidden_l1", "contractive"])
def test_a_single_layer_is_not_hidden(keyword):
    net = theanets.Regressor([4, 3])
    with pytest.raises(theanets.ConfigurationError, match=r"no such layer|no hidden layer"):
        net.train([X, X[:, :3]], epochs=1, **{keyword: 0.1})


# ---- layers and activations -----------------------------------------------------------


@pytest.mark.parametrize(
    "layer",
    [
        ("flat", "prelu"),
        dict(form="reshape", shape=(6, 4), activation="prelu"),
        dict(form="concat", inputs=["a", "a"], activation="prelu"),
        dict(form="pool2", activation="prelu"),
        dict(form="conv2", size=3, filter_size=2, activation="prelu"),
        dict(form="batch_norm", activation="prelu"),
    ],
)
def test_any_layer_may_have_an_activation_with_parameters(layer, rng):
    net = theanets.Regressor(
        [dict(form="input", shape=(4, 3, 2), name="a"), layer, "flat", 2], dtype="float64"
    )
    x, y = rng.normal(size=(6, 4, 3, 2)), rng.normal(size=(6, 2))
    before = net.find("hid1", "leak").get_value()
    net.train([x, y], epochs=2, learning_rate=0.1, algo="sgd", patience=None)
    assert (net.find("hid1", "leak").get_value() != before).any()


# ---- names ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "base",
    [
        *(layers.Layer, layers.convolution.Convolution, layers.pooling.Pooling),
        *(layers.recurrent.Recurrent, losses.Loss, activations.Activation),
        *(regularizers.Regularizer, regularizers.Penalty, theanets.optimizers.base.Optimizer),
    ],
)
def test_base_classes_cannot_be_built_by_name(base):
    registry = base.registry
    assert registry.name_of(base) is None
    assert base.__name__ not in registry


def test_braces_in_names_are_only_characters(caplog):
    net = theanets.Regressor([4, dict(size=3, name="a{b}%s"), 2], dtype="float64")
    with caplog.at_level(logging.DEBUG, logger="theanets"):
        net.train([X, X[:, :2]], epochs=1, hidden_noise=0.1, weight_l2={"a{b}%s.w": 0.1})
    assert [record.getMessage() for record in caplog.records]
    assert "a{b}%s" in net.summary()
    assert net.feed_forward(X)["a{b}%s:out"].shape == (12, 3)
