"""Streams that are copied, pickled, and compiled by a mode of their own; and what cannot be one."""

import copy
import pickle

import numpy as np
import pytest

from theanets import recurrent
from theanets.errors import ConfigurationError, DataError, UnknownNameError

LAYERS = {
    "gru": (4, "gru"),
    "attention": {"form": "attention", "heads": 1, "causal": True},
    "window": {"form": "attention", "heads": 1, "causal": True, "window": 3},
}
WAYS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda stream: pickle.loads(pickle.dumps(stream)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("layer", LAYERS)
def test_a_copy_goes_on_from_the_same_steps(way, layer, rng):
    net = recurrent.Regressor([2, LAYERS[layer], 2], rng=1)
    x = rng.normal(size=(2, 9, 2))
    stream = net.stream(series=2)
    for t in range(5):
        stream.step(x[:, t])
    other = WAYS[way](stream)
    # Neither is disturbed by the steps of the other.
    wrong = [other.step(x[:, 8 - t]) for t in range(4)]
    found = np.stack([stream.step(x[:, t]) for t in range(5, 9)], axis=1)
    np.testing.assert_allclose(found, net.predict(x)[:, 5:], atol=1e-6)
    again = np.concatenate([x[:, :5], x[:, :4:-1]], axis=1)
    np.testing.assert_allclose(np.stack(wrong, axis=1), net.predict(again)[:, 5:], atol=1e-6)


def test_a_shallow_copy_is_of_the_same_network(rng):
    net = recurrent.Regressor([2, (4, "gru"), 2], rng=1)
    shared, own = copy.copy(net.stream()), copy.deepcopy(net.stream())
    net.find("out.b").set_value(np.full(2, 7, "float32"))
    row = rng.normal(size=2)
    np.testing.assert_allclose(shared.step(row) - own.step(row), 7, atol=1e-5)


@pytest.mark.parametrize("which", [[5], -3, "x", [True]])
def test_only_series_that_are_there_are_reset(which):
    with pytest.raises(DataError, match="are not indices of 2 series"):
        recurrent.Regressor([2, (4, "gru"), 2]).stream(series=2).reset(which)


def test_what_continues_series_takes_a_mode(rng):
    net = recurrent.Predictor([2, (4, "gru"), 2], rng=1)
    x = rng.normal(size=(1, 3, 2))
    for call in (
        lambda: net.stream(mode="NUMBAA"),
        lambda: net.generate(x, 2, mode="NUMBAA"),
        lambda: next(text().predict_sequence([1], 2, mode="NUMBAA")),
    ):
        with pytest.raises(UnknownNameError, match="unknown mode 'NUMBAA'"):
            call()
    found = net.generate(x, 3, mode="FAST_COMPILE")
    np.testing.assert_array_equal(found, net.generate(x, 3))


def text():
    symbols = {"form": "symbols", "shape": (None,), "classes": 5}
    return recurrent.Classifier([symbols, {"form": "embedding", "size": 3}, (4, "gru"), 5], rng=1)


def test_there_are_as_many_streams_as_rows_of_labels():
    net = text()
    seeds = [[1, 2], [3, 4]]
    together = np.stack(list(net.predict_sequence(seeds, 4, greedy=True)), axis=1)
    for row, seed in zip(together, seeds):
        assert row.tolist() == list(net.predict_sequence(seed, 4, greedy=True))
    assert next(net.predict_sequence([1], 1, streams=3, rng=0)).shape == (3,)


@pytest.mark.parametrize(
    "labels, options, error, says",
    [
        ([[1, 2], [3]], {}, DataError, "2 sequences of different lengths"),
        ([[1], [2]], {"streams": 3}, DataError, "a row of them for each stream"),
        ([[[1]]], {}, DataError, "expected a sequence of labels"),
        ([1, 9], {}, DataError, r"from 1 to 9: .* all in \[0, 5\)"),
        ([1], {"streams": 0}, ConfigurationError, "streams=0 is not an integer of at least 1"),
    ],
)
def test_labels_that_are_no_seeds_are_refused(labels, options, error, says):
    with pytest.raises(error, match=says):
        text().predict_sequence(labels, 2, **options)


def test_sequences_of_several_inputs_are_refused():
    inputs = [{"form": "input", "name": name, "shape": (None, 3)} for name in ("a", "b")]
    mixed = {"form": "attention", "heads": 1, "size": 4, "inputs": ["a", "b"], "name": "c"}
    net = recurrent.Classifier([*inputs, mixed, 3])
    with pytest.raises(ConfigurationError, match="one input, but the network has 'a' and 'b'"):
        net.predict_sequence([1], 2)


@pytest.mark.parametrize(
    "layers, says",
    [
        ([3, (4, "gru"), 2], r"'out:out' has the shape \(None, 2\), and 'in' \(None, 3\)"),
        ([3, {"form": "gru", "size": 4, "last": True}, 3], r"has the shape \(3,\)"),
        (
            [{"form": "symbols", "shape": (None,), "classes": 5}, (4, "embedding"), 5],
            "use theanets.recurrent.Classifier",
        ),
    ],
)
def test_a_predictor_predicts_what_it_takes(layers, says):
    net = recurrent.Predictor(layers)
    for call in (lambda x: net.train([x], epochs=1), lambda x: net.generate(x, 2)):
        with pytest.raises(ConfigurationError, match=says):
            call(np.ones((2, 4, 3)))


class Tensor:
    """An array of another library."""

    def __init__(self, values, error=None):
        self.values, self.error = values, error
        self.ndim = values.ndim

    def __len__(self):
        return len(self.values)

    def __array__(self, dtype=None, copy=None):
        if self.error:
            raise self.error
        return np.asarray(self.values, dtype)


@pytest.mark.parametrize("steps", [(4, 2), (3, 3)])
def test_series_may_be_arrays_of_other_libraries(steps, rng):
    net = recurrent.Regressor([3, (4, "gru"), 2], rng=1)
    arrays = [rng.normal(size=(n, 3)) for n in steps]
    np.testing.assert_array_equal(net.predict(list(map(Tensor, arrays))), net.predict(arrays))
    targets = [rng.normal(size=(n, 2)) for n in steps]
    data = [arrays, targets]
    found = net.evaluate([list(map(Tensor, each)) for each in data])
    assert found == net.evaluate(data)


def test_a_series_that_cannot_be_an_array_is_refused(rng):
    net = recurrent.Regressor([3, (4, "gru"), 2], rng=1)
    series = [Tensor(rng.normal(size=(4, 3))), Tensor(np.ones((2, 3)), RuntimeError("no grad"))]
    for call in (net.predict, lambda x: net.evaluate([x, x])):
        with pytest.raises(DataError, match=r"series 1 of 2 of .in.*is a Tensor, not one.*no grad"):
            call(series)


@pytest.mark.parametrize("given", [b"abc", 3, [1, 2], None])
def test_what_is_no_text_is_refused(given):
    for call in (recurrent.Text, recurrent.Text("aabb").encode):
        with pytest.raises(DataError, match="expected a str, or a list of these"):
            call(given)


def test_texts_are_read_one_after_the_other():
    assert recurrent.Text(["ab", "ba"]).text == "abba"
