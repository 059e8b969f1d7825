"""Recurrent models: state, prediction of sequences, data of series and text."""

import numpy as np
import pytest

import theanets
from theanets import recurrent
from theanets.errors import ConfigurationError, DataError, UnknownNameError


def ragged(rng, lengths=(5, 2, 7, 1), width=3):
    return [rng.normal(size=(n, width)) for n in lengths]


@pytest.mark.parametrize("form", ["rnn", "lstm", "gru", "scrn"])
def test_predictions_continue_from_a_state(form, rng):
    x = rng.normal(size=(2, 9, 3))
    net = recurrent.Regressor([3, (4, form), (5, form), 2], dtype="float64")
    whole, end = net.predict(x, return_state=True)
    np.testing.assert_allclose(whole, net.predict(x), rtol=1e-12)
    first, state = net.predict(x[:, :4], return_state=True)
    second, after = net.predict(x[:, 4:], state=state, return_state=True)
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), whole, rtol=1e-10)
    for name, parts in end.items():
        for key, value in parts.items():
            np.testing.assert_allclose(after[name][key], value, rtol=1e-10)


def test_stream_is_the_prediction_step_by_step(rng):
    x = rng.normal(size=(3, 6, 2)).astype("float32")
    net = recurrent.Regressor([2, (4, "lstm"), 3])
    stream = net.stream(3)
    found = [stream.step(x[:, t]) for t in range(6)]
    np.testing.assert_allclose(np.stack(found, axis=1), net.predict(x), rtol=1e-5, atol=1e-6)
    stream.reset([1])
    after = stream.step(x[:, 0])
    np.testing.assert_allclose(after[1], found[0][1], rtol=1e-5, atol=1e-6)
    assert np.abs(after[0] - found[0][0]).max() > 1e-4
    with pytest.raises(DataError, match=r"\(3, 2\)"):
        stream.step(x[0])


class Parts:
    """An iterable of batches that can start anew."""

    def __init__(self, parts):
        self.parts = parts

    def __iter__(self):
        return iter(self.parts)

    def __len__(self):
        return len(self.parts)


def test_stateful_training_continues_from_batch_to_batch(rng):
    x, y = rng.normal(size=(2, 8, 3)), rng.normal(size=(2, 8, 1))
    net = recurrent.Regressor([3, dict(form="lstm", size=4, stateful=True), 1], dtype="float64")
    first, second = [x[:, :4], y[:, :4]], [x[:, 4:], y[:, 4:]]
    losses = []
    rates = {"algo": "sgd", "learning_rate": 1e-30, "epochs": 2}
    for train, last in net.itertrain(Parts([first, second]), Parts([first, second]), **rates):
        losses.append(train["loss"])
        valid = last["loss"]
    # What one long series gives; the second epoch starts from the beginning.
    whole = net.evaluate([x, y])["loss"]
    np.testing.assert_allclose(losses, [whole, whole], rtol=1e-10)
    # Validation does not carry states on.
    assert abs(valid - whole) > 1e-5
    assert net.evaluate(Parts([first, second]))["loss"] == pytest.approx(valid, rel=1e-12)


def test_stateful_layers_do_not_run_backward():
    with pytest.raises(ConfigurationError, match="cannot be stateful"):
        recurrent.Regressor([3, dict(form="rnn", size=4, stateful=True, direction="backward"), 1])


def test_states_that_do_not_fit_are_refused(rng):
    net = recurrent.Regressor([2, dict(form="gru", size=4, name="g"), 1])
    x = rng.normal(size=(3, 2, 2))
    with pytest.raises(DataError, match=r"shape \(2, 4\)"):
        net.predict(x, state={"g": {"h": np.zeros((2, 4))}})
    with pytest.raises(UnknownNameError, match="'x'"):
        net.predict(x, state={"x": {}})
    for layer in (dict(form="bidirectional"), dict(form="rnn", direction="backward")):
        net = recurrent.Regressor([2, dict(size=4, **layer), 1])
        with pytest.raises(ConfigurationError, match="backward"):
            net.predict(x, return_state=True)


@pytest.mark.parametrize("form", ["lstm", "bidirectional"])
def test_series_of_different_lengths_as_with_padding_by_hand(form, rng):
    xs = ragged(rng)
    ys = [rng.normal(size=(len(x), 2)) for x in xs]
    nets = [
        recurrent.Regressor([3, (4, form), 2], weighted=True, rng=1, dtype="float64")
        for _ in range(2)
    ]
    x, lengths = recurrent.pad(xs, 9)
    y, _ = recurrent.pad(ys, -3)
    w = np.repeat((np.arange(7) < lengths[:, None])[:, :, None], 2, axis=2).astype(float)
    nets[0].train([xs, ys], algo="sgd", epochs=2)
    nets[1].train([x, y, w], algo="sgd", epochs=2)
    for one, other in zip(nets[0].params, nets[1].params):
        np.testing.assert_allclose(one.get_value(), other.get_value(), rtol=1e-12)
    assert nets[0].evaluate([xs, ys]) == nets[0].evaluate([x, y, w])


def test_one_label_for_each_of_series_of_different_lengths(rng):
    layers = [
        3,
        dict(form="lengths", name="lengths"),
        dict(form="bidirectional", worker="lstm", size=6, inputs="in", last=True),
        2,
    ]
    net = recurrent.Classifier(layers)
    xs = ragged(rng)
    net.train([xs, [0, 1, 1, 0]], algo="sgd", epochs=1)
    together = net.predict_proba(net.padded(xs, "input"))
    alone = [net.predict_proba([x[None], [len(x)]])[0] for x in xs]
    np.testing.assert_allclose(together, alone, rtol=1e-5)
    assert net.predict(xs).shape == (4,)
    np.testing.assert_array_equal(net.predict_proba(xs), together)
    np.testing.assert_array_equal(net.feed_forward(xs)["out:out"], together)
    assert net.score(xs, net.predict(xs)) == 1


def test_weighted_autoencoder_of_series(rng):
    xs = ragged(rng)
    net = recurrent.Autoencoder([3, (10, "rnn"), 3], weighted=True)
    before = net.evaluate(xs)["loss"]
    net.train(xs, epochs=3)
    assert net.evaluate(xs)["loss"] < before


def test_series_of_different_lengths_that_do_not_belong_together(rng):
    net = recurrent.Regressor([3, (4, "rnn"), 2], weighted=True)
    with pytest.raises(DataError, match="differ in length"):
        net.train([ragged(rng, (5, 2)), ragged(rng, (5, 3), 2)], epochs=1)


def test_predictor_learns_and_generates():
    t = np.arange(60) * 0.4
    x = np.sin(t + np.arange(6)[:, None])[:, :, None]
    net = recurrent.Predictor([1, (16, "gru"), 1], dtype="float64")
    net.train(x[:, :40], algo="adam", learning_rate=0.02, epochs=60, batch_size=6)
    found = net.generate(x[:, :40], 3)
    assert found.shape == (6, 3, 1)
    np.testing.assert_allclose(found[:, 0], net.predict(x[:, :40])[:, -1], rtol=1e-10)
    assert np.abs(found - x[:, 40:43]).mean() < 0.3
    # Each step is the prediction for what was generated before.
    longer = np.concatenate([x[:, :40], found[:, :1]], axis=1)
    np.testing.assert_allclose(found[:, 1], net.predict(longer)[:, -1], rtol=1e-8)


def test_predictor_takes_what_batches_draws(rng):
    x = rng.normal(size=(6, 1))
    nets = [recurrent.Predictor([1, (3, "rnn"), 1], rng=1, dtype="float64") for _ in range(2)]
    drawn = recurrent.batches(x, 6, 2, rng=0)
    nets[0].train(drawn, [x[None]], algo="sgd", train_batches=3, epochs=1)
    pairs = [np.stack([x[:-1]] * 2), np.stack([x[1:]] * 2)]
    nets[1].train(lambda: pairs, [x[None]], algo="sgd", train_batches=3, epochs=1)
    for one, other in zip(nets[0].params, nets[1].params):
        np.testing.assert_array_equal(one.get_value(), other.get_value())


def test_lists_of_series_that_a_callable_returns_are_padded(rng):
    xs, ys = ragged(rng), ragged(rng, width=2)

    class Sized:
        def __len__(self):
            return 3

        def __call__(self):
            return [xs, ys]

    nets = [recurrent.Regressor([3, (4, "rnn"), 2], weighted=True, rng=1) for _ in range(2)]
    nets[0].train(Sized(), [xs, ys], algo="sgd", epochs=1)
    nets[1].train(lambda: [xs, ys], [xs, ys], algo="sgd", epochs=1, train_batches=3)
    for one, other in zip(nets[0].params, nets[1].params):
        np.testing.assert_array_equal(one.get_value(), other.get_value())


def copier(classes=4, **options):
    """A net whose most probable next label is one more than the last one."""
    net = recurrent.Classifier([classes, (classes, "rnn", "linear"), classes], **options)
    net.find("hid1", "xh").set_value(np.roll(np.eye(classes), 1, axis=1).astype("float32") * 9)
    net.find("hid1", "hh").set_value(0.9 * np.eye(classes).astype("float32"))
    net.find("out", "w").set_value(np.eye(classes).astype("float32"))
    return net


def test_sequences_depend_on_all_of_the_seed():
    net = copier()
    assert list(net.predict_sequence([2], 3, greedy=True)) == [3, 0, 1]
    # The state sums what was read, with 0.9 for each step that has passed.
    assert next(net.predict_sequence([0, 0, 2], 1, greedy=True)) == 1
    several = list(net.predict_sequence([[0], [2]], 2, streams=2, greedy=True))
    np.testing.assert_array_equal(several, [[1, 3], [2, 0]])


def test_sequences_are_drawn_with_the_probabilities_of_the_network():
    net = copier()
    net.find("hid1", "xh").set_value(np.log([[1, 2, 3, 4]] * 4).astype("float32"))
    drawn = next(net.predict_sequence([1], 1, streams=20_000, rng=0))
    np.testing.assert_allclose(np.bincount(drawn) / 2000, [1, 2, 3, 4], atol=0.15)
    sharp = next(net.predict_sequence([1], 1, streams=20_000, rng=0, temperature=0.5))
    expected = np.array([1, 4, 9, 16]) / 30
    np.testing.assert_allclose(np.bincount(sharp) / 20_000, expected, atol=0.015)
    best = next(net.predict_sequence([1], 1, streams=200, rng=0, top_k=2))
    assert set(best) == {2, 3}
    again = [list(net.predict_sequence([1], 5, rng=3)) for _ in range(2)]
    assert again[0] == again[1]


@pytest.mark.parametrize("labels, streams", [([], 1), ([4], 1), ([-1], 1)])
def test_wrong_seeds_are_refused(labels, streams):
    with pytest.raises(DataError, match="expected at least one label"):
        copier().predict_sequence(labels, 2, streams=streams)


def test_windows_are_exact_and_all_equally_probable():
    x = np.arange(12)
    draw = theanets.recurrent.batches([x, x * 2], steps=10, batch_size=600, rng=0)
    one, two = draw()
    assert one.shape == (600, 10)
    np.testing.assert_array_equal(one, one[:, :1] + np.arange(10))
    np.testing.assert_array_equal(two, 2 * one)
    assert np.bincount(one[:, 0]).tolist() == pytest.approx([200] * 3, abs=50)
    whole = recurrent.batches(x[:, None], steps=12, batch_size=2)()[0]
    np.testing.assert_array_equal(whole, np.stack([x[:, None]] * 2))


def test_windows_of_several_series():
    series = [np.arange(5), np.arange(100, 103), np.arange(200, 202)]
    (found,) = recurrent.batches([series], steps=3, batch_size=400, rng=0)()
    assert set(found[:, 0]) == {0, 1, 2, 100}
    np.testing.assert_array_equal(found, found[:, :1] + np.arange(3))
    with pytest.raises(DataError, match="longest has 5"):
        recurrent.batches([series], steps=6)
    with pytest.raises(DataError, match="different lengths"):
        recurrent.batches([np.arange(5), np.arange(6)], steps=2)


def test_buckets_hold_each_series_once(rng):
    lengths = rng.integers(1, 50, size=101)
    found = list(recurrent.buckets(lengths, 10, rng=0))
    np.testing.assert_array_equal(np.sort(np.concatenate(found)), np.arange(101))
    spread = [np.ptp(lengths[part]) for part in found]
    assert max(spread) < 15


@pytest.mark.parametrize("unknown", ["\0", "\\", "]", "^", "a"])
def test_text_is_encoded_and_decoded(unknown):
    text = recurrent.Text("a]b\\a]b\\^^zz!", unknown=unknown)
    assert text.classes == 1 + len(text.alpha) and unknown not in text.alpha
    assert text.decode(text.encode(text.text)) == text.text
    assert text.encode("?!") == [0, 0] and text.decode([0]) == unknown
    with pytest.raises(DataError, match="label 99"):
        text.decode([99])


def test_text_with_any_alphabet():
    assert recurrent.Text("abc", alpha="").encode("abc") == [0, 0, 0]
    assert recurrent.Text("abc", alpha="ccb").alpha == "cb"
    assert recurrent.Text("aab").alpha == "a"
    with pytest.raises(ConfigurationError, match="one character"):
        recurrent.Text("abc", unknown="ab")


def test_text_batches():
    text = recurrent.Text("abcab", min_count=1)
    inputs, labels = text.classifier_batches(steps=4, batch_size=1)()
    assert inputs.shape == (1, 4, 4)
    assert text.decode(inputs[0].argmax(axis=1)) == "abca" and text.decode(labels[0]) == "bcab"
    found = list(recurrent.Text("0123456789", min_count=1).contiguous_batches(2, 2))
    read = [["".join(map(str, row - 1)) for row in x.argmax(axis=2)] for x, _ in found]
    assert read == [["01", "45"], ["23", "67"]]
    np.testing.assert_array_equal(found[0][1], [[2, 3], [6, 7]])
    with pytest.raises(DataError, match="no window of 6"):
        text.classifier_batches(steps=5)


def test_streams_of_symbols(rng):
    words = {"form": "symbols", "classes": 9, "shape": (None,)}
    layers = [words, (3, "embedding"), {"form": "gru", "size": 4}, 2]
    net = theanets.recurrent.Classifier(layers, rng=1, dtype="float64")
    x = rng.integers(9, size=(3, 6))
    stream = net.stream(3)
    found = np.stack([stream.step(x[:, t]) for t in range(6)], axis=1)
    np.testing.assert_allclose(found, net.predict_proba(x), rtol=1e-12)
    alone = net.stream()
    np.testing.assert_allclose(alone.step(int(x[0, 0])), found[0, 0], rtol=1e-12)
    for wrong in (9, -1, 1.5, [1, 2], float("nan"), "a"):
        with pytest.raises(theanets.DataError):
            alone.step(wrong)
    # What was refused changed nothing.
    np.testing.assert_allclose(alone.step(x[0, 1]), found[0, 1], rtol=1e-12)
