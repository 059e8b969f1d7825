"""What a user may get wrong with recurrent networks, and what the messages say."""

import numpy as np
import pytest

from theanets import recurrent
from theanets.errors import ConfigurationError, DataError

HOLDER = dict(form="lengths", name="n")
X = np.arange(6.0 * 7 * 3).reshape(6, 7, 3) / 100
Y = X[:, :, :2]


def net(*hidden, kind=recurrent.Regressor, **options):
    return kind([3, *hidden, 2], **options)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"form": "gru", "reset_after": "yes"}, "reset_after='yes' is not True or False"),
        ({"form": "lstm", "peepholes": 3}, "peepholes=3"),
        ({"form": "rnn", "last": 2}, "last=2"),
        ({"form": "bidirectional", "last": "all"}, "last='all'"),
        ({"form": "cell", "step": lambda x, h: h}, r"step=.* with \(cell, x, h\)"),
        (
            {"form": "cell", "states": 2, "step": lambda cell, x, h: h},
            r"step=.* with \(cell, x, h, s1\)",
        ),
        ({"form": "cell", "step": lambda cell, x, h: None}, "returned None"),
        ({"form": "cell", "step": lambda cell, x, h: (x + h).sum(axis=1)}, "batch, units"),
    ],
)
def test_options_without_meaning(options, message):
    with pytest.raises(ConfigurationError, match=f"layer 'hid1(_fw)?'.*{message}"):
        net({"size": 4, **options})


@pytest.mark.parametrize(
    "data, message",
    [
        ([X[0], Y[0]], r"\(7, 3\).*x\[None\]"),
        ([X, Y[:, 0]], r"\(6, 2\).*last=True"),
        ([X, Y[:, :5]], r"'target' of shape \(6, 5, 2\) has 5 steps, but 'in'"),
        ([X[:, :0], Y[:, :0]], "empty"),
    ],
)
def test_arrays_that_do_not_fit(data, message):
    with pytest.raises(DataError, match=message):
        net((4, "rnn")).train(data)


def test_steps_may_differ_where_a_layer_changes_them():
    conv = dict(form="conv1", size=4, filter_size=3)
    found = net((4, "rnn"), conv)
    _, valid = found.train([X, Y[:, 2:]], epochs=1, algo="sgd")
    assert found.predict(X).shape == (6, 5, 2)
    assert valid["loss"] == pytest.approx(np.mean((found.predict(X) - Y[:, 2:]) ** 2), rel=1e-5)


def test_a_layer_of_lengths_is_not_what_the_next_layer_takes():
    found = net(HOLDER, (4, "rnn"))
    assert found.layers[2].input_name == "in:out"
    assert found.predict([X, [7] * 6]).shape == (6, 7, 2)


@pytest.mark.parametrize("form", ["conv1", "pool1"])
def test_series_cannot_be_continued_over_layers_that_take_several_steps(form):
    layer = dict(form="conv1", size=4, filter_size=1) if form == "conv1" else form
    for call in (lambda n: n.stream(), lambda n: n.predict(X, return_state=True)):
        with pytest.raises(ConfigurationError, match="'hid1' needs several steps"):
            call(net(layer, (4, "rnn")))


def test_streams_of_one_series_and_with_layers_of_lengths():
    found = net(HOLDER, (4, "rnn"))
    expected = found.predict([X[:1], [7]])[0, 0]
    np.testing.assert_allclose(found.stream().step(X[0, 0]), expected, rtol=1e-6)
    np.testing.assert_allclose(found.stream(1).step(X[:1, 0])[0], expected, rtol=1e-6)
    with pytest.raises(DataError, match=r"\(2,\); expected \(1, 3\)"):
        found.stream().step([1, 2])
    with pytest.raises(DataError, match="NaN"):
        found.stream().step([1, 2, np.nan])
    with pytest.raises(ConfigurationError, match="series=0"):
        found.stream(0)


def test_streams_of_several_inputs():
    layers = [
        3,
        dict(form="input", name="other", shape=(None, 2)),
        dict(form="concat", inputs=["in", "other"]),
        (4, "rnn"),
        1,
    ]
    with pytest.raises(ConfigurationError, match="'in' and 'other'"):
        recurrent.Regressor(layers).stream()


def test_predictor_takes_lists_of_series_of_equal_length():
    found = recurrent.Predictor([3, (4, "rnn"), 3], dtype="float64")
    assert found.evaluate(list(X))["loss"] == pytest.approx(found.evaluate([X])["loss"])
    with pytest.raises(ConfigurationError, match="steps=0"):
        found.generate(X, 0)


def test_one_variable_needs_no_axis():
    found = recurrent.Regressor([1, (4, "rnn"), 1])
    x, y = X[:, :, :1], Y[:, :, :1]
    np.testing.assert_array_equal(found.predict(x[:, :, 0]), found.predict(x))
    assert found.evaluate([x[:, :, 0], y[:, :, 0]]) == found.evaluate([x, y])
    with pytest.raises(DataError, match=r"x\[None\]"):
        found.predict(x[0])


def test_scores_of_series_of_different_lengths():
    found = net((4, "rnn"), weighted=True, dtype="float64")
    lengths = [7, 3, 4, 1, 2, 6]
    xs, ys = ([a[:n] for a, n in zip(z, lengths)] for z in (X, Y))
    mask = np.arange(7) < np.array(lengths)[:, None]
    assert found.score(xs, ys) == pytest.approx(found.score(X, Y, mask))
    same = recurrent.Autoencoder([3, (4, "rnn"), 3], weighted=True, dtype="float64")
    assert same.score(xs) == pytest.approx(same.score(X, mask))
    labels = [np.zeros(n, int) for n in lengths]
    one = net((4, "rnn"), kind=recurrent.Classifier, weighted=True)
    shares = np.concatenate([one.predict(x[None])[0] == 0 for x in xs])
    assert one.score(xs, labels) == pytest.approx(shares.mean())
