"""Series that are continued: layers that count steps go on counting; odd seeds and lengths."""

import numpy as np
import pytensor.tensor as pt
import pytest

from theanets import recurrent
from theanets.errors import ConfigurationError, DataError


def counting(cell, x, h):
    return pt.tanh(x + cell.dot(h, "hh")) * (1 + cell.count / 10)


def leaky(cell, x, h):
    return pt.tanh(x + cell.dot(h, "hh"))


COUNTING = {
    "clockwork": dict(form="clockwork", periods=(1, 4)),
    "zoneout": dict(form="clockwork", periods=(1, 4), zoneout=0.2),
    "cell": dict(form="cell", step=counting),
}


@pytest.mark.parametrize("name", COUNTING)
def test_steps_are_counted_over_all_of_a_series(name, rng):
    net = recurrent.Regressor([3, dict(size=4, **COUNTING[name]), 2], dtype="float64")
    x = rng.normal(size=(3, 7, 3))
    whole = net.predict(x)
    stream = net.stream(series=3)
    steps = np.stack([stream.step(x[:, t]) for t in range(7)], axis=1)
    np.testing.assert_allclose(steps, whole, rtol=1e-12)
    # Not at a multiple of the period.
    first, state = net.predict(x[:, :3], return_state=True)
    second = net.predict(x[:, 3:], state=state)
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), whole, rtol=1e-12)
    assert (state["hid1"]["count"] == 3).all()
    stream.reset([1])
    np.testing.assert_allclose(stream.step(x[:, 0])[1], whole[1, 0], rtol=1e-12)


def test_series_of_different_lengths_count_their_own_steps(rng):
    net = recurrent.Regressor([3, dict(size=4, **COUNTING["clockwork"]), 2], dtype="float64")
    x = rng.normal(size=(3, 9, 3))
    lengths = (5, 2, 3)
    _, state = net.predict([a[:n] for a, n in zip(x, lengths)], return_state=True)
    rest = net.predict(np.stack([a[n : n + 4] for a, n in zip(x, lengths)]), state=state)
    for found, a, n in zip(rest, x, lengths):
        np.testing.assert_allclose(found, net.predict(a[None])[0, n : n + 4], rtol=1e-12)


@pytest.mark.parametrize("name", ["clockwork", "cell"])
def test_batches_that_continue_each_other_count_on(name, rng):
    """With a learning rate of almost 0, the losses are those of the whole series."""
    spec = dict(size=4, **COUNTING[name])
    x, y = rng.normal(size=(3, 6, 3)), rng.normal(size=(3, 6, 2))
    nets = [
        recurrent.Regressor([3, dict(spec, stateful=stateful), 2], rng=1, dtype="float64")
        for stateful in (True, False)
    ]
    keywords = {"algo": "sgd", "learning_rate": 1e-12, "epochs": 1}
    parts = [[x[:, :3], y[:, :3]], [x[:, 3:], y[:, 3:]]]
    found = nets[0].train(iter(parts), [x, y], train_batches=2, **keywords)[0]["loss"]
    assert found == pytest.approx(nets[1].evaluate([x, y])["loss"], rel=1e-9)


def test_only_layers_that_count_have_a_state_for_it(rng):
    for spec in (dict(form="cell", step=leaky), dict(form="lstm")):
        net = recurrent.Regressor([3, dict(spec, size=4), 2])
        assert "count" not in net.predict(rng.normal(size=(1, 2, 3)), return_state=True)[1]["hid1"]


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("last", [True, False])
def test_series_without_steps_give_what_zeros_give(weighted, last, rng):
    layers = [3, dict(form="lstm", size=4, last=last), 2]
    net = recurrent.Regressor(layers, weighted=weighted, dtype="float64")
    net.find("out", "b").set_value(np.array([0.5, -0.5]))
    x = rng.normal(size=(1, 4, 3))
    found = net.predict([x[0], x[0, :0], x[0, :2]])
    whole, part = net.predict(x)[0], net.predict(x[:, :2])[0]
    if last:
        np.testing.assert_allclose(found, [whole, [0.5, -0.5], part], rtol=1e-12)
    else:
        np.testing.assert_allclose(found[0], whole, rtol=1e-12)
        np.testing.assert_allclose(found[2, :2], part, rtol=1e-12)
        assert not found[1].any() and not found[2, 2:].any()
    names = list(net.feed_forward([x[0], x[0, :0]]))
    assert names == list(net.feed_forward(x))


def test_label_sequences_of_different_lengths_are_aligned(rng):
    net = recurrent.Classifier([3, (4, "gru"), 4], loss="ctc", dtype="float64")
    xs = [rng.normal(size=(n, 3)) for n in (6, 3, 5)]
    labels = [np.array([1, 2, 3]), np.array([2]), np.array([3, 3])]
    found = net.evaluate([xs, labels])["loss"]
    alone = [net.evaluate([x[None], y[None]])["loss"] for x, y in zip(xs, labels)]
    assert found == pytest.approx(np.mean(alone), rel=1e-10)


@pytest.mark.parametrize(
    "labels, keywords, error, message",
    [
        ([1], {"top_k": 2.5}, ConfigurationError, "top_k=2.5"),
        ([1], {"steps": 2.5}, ConfigurationError, "steps=2.5 is not an integer"),
        ([1], {"steps": -1}, ConfigurationError, "steps=-1"),
        ([1.5], {}, DataError, r"labels=\[1.5\] are not integers"),
        ("the", {}, DataError, "labels='the' are not integers; .*Text.encode"),
    ],
)
def test_seeds_that_are_no_labels_are_refused(labels, keywords, error, message):
    net = recurrent.Classifier([5, (5, "gru"), 5])
    with pytest.raises(error, match=message):
        net.predict_sequence(labels, **{"steps": 3, **keywords})


def test_layers_of_lengths_hold_where_weights_say_more(rng):
    """One weight for each series says nothing of its steps."""
    layers = [3, dict(form="lengths", name="n"), (4, "rnn"), 2]
    net = recurrent.Regressor(layers, weighted=True, dtype="float64")
    x, y, w = rng.normal(size=(3, 5, 3)), rng.normal(size=(3, 5, 2)), rng.uniform(size=3)
    lengths = (5, 2, 4)
    total = count = 0.0
    for a, b, weight, n in zip(x, y, w, lengths):
        errors = (net.predict([a[None, :n], [n]])[0] - b[:n]) ** 2
        total, count = total + weight * errors.sum(), count + weight * errors.size
    assert net.evaluate([x, lengths, y, w])["loss"] == pytest.approx(total / count, rel=1e-12)


def test_predictions_for_no_series_have_states_too():
    net = recurrent.Regressor([3, dict(form="lstm", size=4), 2])
    found, state = net.predict(np.zeros((0, 5, 3)), return_state=True)
    assert found.shape == (0, 5, 2) and state["hid1"]["c"].shape == (0, 4)
