"""What a network ends with: an output that the model's loss has a meaning for, or a warning."""

import numpy as np
import pytest

import theanets
from theanets import DataError, recurrent
from theanets.layers import Residual

MODE = "FAST_COMPILE"
X = np.linspace(-1, 1, 12).reshape(4, 3)
SERIES = np.linspace(-1, 1, 24).reshape(2, 4, 3)


@pytest.mark.parametrize(
    "last",
    [
        dict(form="residual", layers=[5, 4]),
        dict(form="residual", layers=[5, 4], repeat=2),
        dict(form="sequential", layers=[5, dict(form="residual", layers=[4])]),
        dict(form="residual", layers=[3, dict(form="residual", layers=[4])]),
    ],
)
def test_the_sum_of_a_residual_block_is_what_ends_a_classifier(last, tmp_path):
    net = theanets.Classifier([3, last], rng=1, mode=MODE)
    found = net.predict_proba(X)
    assert np.allclose(found.sum(axis=1), 1, atol=1e-6) and found.min() > 0
    ended = [layer for layer in net.layers if layer.activation.name == "softmax"]
    assert len(ended) == 1 and isinstance(ended[0], Residual)
    net.save(tmp_path / "net")
    assert np.array_equal(theanets.Network.load(tmp_path / "net").predict_proba(X), found)
    own = theanets.Classifier([3, {**last, "activation": "sigmoid"}], mode=MODE)
    assert not any(layer.activation.name == "softmax" for layer in own.layers)
    plain = theanets.Regressor([3, last])
    assert all(layer.activation.name in ("linear", "relu") for layer in plain.layers)


@pytest.mark.parametrize(
    "layers",
    [
        [4, "batch_norm"],
        ["layer_norm"],
        [dict(form="attention", heads=1)],
        [dict(form="transformer", heads=1)],
        [(4, "linear"), "pool_time"],
        [(4, "tanh"), dict(form="dropout", rate=0.1)],
        [4, dict(form="sequential", layers=["rms_norm"])],
    ],
)
def test_probabilities_that_are_none_are_warned_of(layers):
    net = recurrent.Classifier([3, *layers], mode=MODE)
    labels = np.zeros(net.predict(SERIES).shape, int)
    with pytest.warns(UserWarning, match="needs numbers of at least 0.*logits=True"):
        net.evaluate([SERIES, labels])


@pytest.mark.parametrize(
    "layers", [[(4, "softmax"), "pool_time"], [(4, "softmax"), dict(form="dropout", rate=0.1)]]
)
def test_probabilities_that_are_passed_on_are_not_warned_of(layers):
    net = recurrent.Classifier([3, *layers], mode=MODE)
    net.evaluate([SERIES, np.zeros(net.predict(SERIES).shape, int)])


def learned(model):
    position = dict(form="position", kind="learned", steps=5, name="where")
    attention = dict(form="attention", heads=2, causal=True)
    return model([3, (4, "linear"), position, attention, 3], rng=1, mode=MODE)


def test_series_that_go_beyond_learned_positions_are_refused():
    net = learned(recurrent.Predictor)
    assert net.generate(SERIES, 2).shape == (2, 2, 3)
    ragged = [SERIES[0], SERIES[1, :2]]
    assert net.generate(ragged, 2).shape == (2, 2, 3)
    for series in (SERIES, ragged):
        with pytest.raises(DataError, match=r"comes to 6 steps, but layer 'where'.* of 5"):
            net.generate(series, 3)
    stream = learned(recurrent.Regressor).stream(2)
    for _ in range(5):
        stream.step(SERIES[:, 0])
    with pytest.raises(DataError, match="6 steps"):
        stream.step(SERIES[:, 0])
    stream.reset()
    stream.step(SERIES[:, 0])


def test_states_of_different_numbers_of_steps_are_refused():
    net = learned(recurrent.Regressor)
    _, state = net.predict(SERIES[:, :2], return_state=True)
    (name,) = (name for name, parts in state.items() if "keys" in parts)
    state[name]["keys"] = state[name]["keys"][:, :1]
    with pytest.raises(DataError, match="'keys' has 1 steps, 'values' has 2 steps; they must"):
        net.predict(SERIES[:, :2], state=state)


def test_series_that_are_too_short_for_a_window_are_predicted_beside_longer_ones():
    net = recurrent.Regressor([3, (4, "linear"), "pool1", 2], rng=1, mode=MODE)
    found = net.predict([SERIES[0, :1], SERIES[1]])
    assert np.allclose(found[1], net.predict(SERIES[1:])[0], atol=1e-6)
    assert not found[0].any()
    with pytest.raises(DataError, match="0 positions of a window"):
        net.predict(SERIES[:, :1])


@pytest.mark.parametrize(
    ("layer", "hint"),
    [
        (dict(form="attention", num_heads=2), "'heads'"),
        (dict(form="attention", embed_dim=4), "'size'"),
        (dict(form="transformer", dim_feedforward=4), "'hidden'"),
        (dict(form="transformer", num_layers=2), "'repeat'"),
        (dict(form="transformer", norm_first=True), "norm='pre'"),
        (dict(form="rms_norm", eps=1e-6), "'epsilon'"),
        (dict(form="self_attention"), "'attention'"),
        ("positional_encoding", "'position'"),
    ],
)
def test_names_of_other_libraries_are_answered_with_those_here(layer, hint):
    with pytest.raises(theanets.ConfigurationError, match=hint):
        recurrent.Regressor([3, layer, 2])


def test_choices_are_named_once():
    with pytest.raises(theanets.ConfigurationError, match="one of None, 'rotary', 'relative' \\("):
        recurrent.Regressor([4, dict(form="attention", position="rotery"), 2])
