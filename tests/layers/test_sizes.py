"""Sizes that are open until there are arrays: what does not fit is said before anything runs."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

import theanets
from theanets.errors import ConfigurationError, DataError
from theanets.losses import Loss

SERIES = (None, 3)
PAIR = [
    dict(name="a", form="input", shape=(None, 2)),
    dict(name="b", form="input", shape=(None, 2)),
]


def conv1(**kwargs):
    return dict(form="conv1", size=4, filter_size=3, **kwargs)


def zeros(*shape):
    return np.zeros(shape, "float32")


def training(layers, data, model=theanets.Regressor, **kwargs):
    model(layers, rng=1).train(data, epochs=1, **kwargs)


# A network, the shape of its series, and the steps that it makes of them.
CHANGED = [
    ([SERIES, "upsample1", 2], (5, 3), 10),
    ([SERIES, conv1(), 2], (5, 3), 3),
    ([SERIES, conv1(stride=2), 2], (8, 3), 3),
    ([SERIES, "pool1", 2], (7, 3), 3),
    ([SERIES, conv1(), ("rnn", 4), "pool1", 2], (6, 3), 2),
    ([SERIES, conv1(), ("bidirectional", 4), 2], (6, 3), 4),
    ([SERIES, conv1(border_mode="same"), "batch_norm", 2], (6, 3), 6),
]


@pytest.mark.parametrize(("layers", "shape", "steps"), CHANGED)
def test_targets_are_compared_with_what_layers_make(layers, shape, steps):
    x = zeros(4, *shape)
    training(layers, [x, zeros(4, steps, 2)])
    for wrong in {steps - 1, steps + 1, shape[0]} - {steps}:
        message = rf"'target' has shape \(n, {wrong}, 2\).*which has shape \(n, {steps}, 2\) for"
        with pytest.raises(DataError, match=message):
            training(layers, [x, zeros(4, wrong, 2)])
        with pytest.raises(DataError, match=message):
            theanets.Regressor(layers).evaluate([x, zeros(4, wrong, 2)])
        with pytest.raises(DataError, match=f"batch 1: {message}"):
            training(layers, lambda w=wrong: [x, zeros(4, w, 2)], train_batches=2)
        with pytest.raises(DataError, match=f"valid data: {message}"):
            training(layers, [x, zeros(4, steps, 2)], valid=[x, zeros(4, wrong, 2)])


def test_labels():
    layers = [SERIES, "upsample1", 2]
    training(layers, [zeros(8, 5, 3), np.zeros((8, 10), int)], theanets.Classifier)
    with pytest.raises(DataError, match=r"expected \(n, 10\)"):
        training(layers, [zeros(8, 5, 3), np.zeros((8, 5), int)], theanets.Classifier)


def test_images():
    layers = [(None, 6, 3), dict(form="conv2", size=4, filter_size=3), 2]
    training(layers, [zeros(4, 7, 6, 3), zeros(4, 5, 4, 2)])
    with pytest.raises(DataError, match=r"'target' has shape \(n, 7, 4, 2\)"):
        training(layers, [zeros(4, 7, 6, 3), zeros(4, 7, 4, 2)])


@pytest.mark.parametrize("form", ["concatenate", "product", "add"])
def test_inputs_of_a_layer_must_fit(form):
    layers = [*PAIR, dict(name="c", form=form, inputs=["a", "b"]), 2]
    net = theanets.Regressor(layers)
    for other in (6, 1):
        given = {"a": zeros(4, 5, 2), "b": zeros(4, other, 2)}
        with pytest.raises(DataError, match="along axis 0 of an example"):
            net.predict(given)
        with pytest.raises(DataError, match="along axis 0 of an example"):
            net.train({**given, "target": zeros(4, 5, 2)}, epochs=1)
    assert net.predict({"a": zeros(4, 5, 2), "b": zeros(4, 5, 2)}).shape == (4, 5, 2)


def test_an_axis_that_is_declared_to_be_one_is_stretched():
    inputs = [PAIR[0], dict(name="b", form="input", shape=(None, 1))]
    net = theanets.Regressor([*inputs, dict(name="c", form="product", inputs=["a", "b"]), 2])
    assert net.predict({"a": zeros(4, 5, 2), "b": zeros(4, 5, 1)}).shape == (4, 5, 2)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([SERIES, conv1(), 2], "0 positions of a filter"),
        ([SERIES, dict(form="pool1", pool_size=4), 2], "0 positions of a window"),
        ([SERIES, dict(form="reshape", shape=(2, 6)), 2], r"5 \* 3 = 15 entries"),
    ],
)
def test_what_a_layer_cannot_take(layers, message):
    steps = 5 if "reshape" in str(layers) else 2
    with pytest.raises(DataError, match=message):
        theanets.Regressor(layers).predict(zeros(8, steps, 3))


def test_two_targets():
    net = theanets.Regressor([SERIES, 2])
    net.add_loss("mse", target="y2")
    good = {"in": zeros(4, 5, 3), "target": zeros(4, 5, 2), "y2": zeros(4, 5, 2)}
    net.train(good, epochs=1)
    with pytest.raises(DataError, match=r"'y2' has shape \(n, 6, 2\)"):
        net.train({**good, "y2": zeros(4, 6, 2)}, epochs=1)


def test_the_blank_is_no_label():
    net = theanets.recurrent.Classifier([3, (4, "rnn"), 5], loss="ctc")
    x, good = zeros(3, 8, 3), np.array([[1, 2], [3, -1], [4, 4]])
    net.train([x, good], epochs=1)
    wrong = good.copy()
    wrong[2, 1] = 0
    for data in ([x, wrong], lambda: [x, wrong.astype("int32")]):
        with pytest.raises(DataError, match=r"the label 0 at \(2, 1\), which is the blank"):
            net.train(data, epochs=1)
    last = {"form": "ctc", "blank": -1}
    net = theanets.recurrent.Classifier([3, (4, "rnn"), 5], loss=last)
    net.train([x, np.array([[1, 2], [3, -1], [2, 0]])], epochs=1)
    with pytest.raises(DataError, match="the label 4 at"):
        net.train([x, good], epochs=1)


def test_labels_without_weight_may_be_the_blank():
    net = theanets.recurrent.Classifier([3, (4, "rnn"), 5], loss="ctc", weighted=True)
    labels = np.array([[1, 2], [3, 0]])
    net.train([zeros(2, 8, 3), labels, np.array([[1, 1], [1, 0]])], epochs=1)
    with pytest.raises(DataError, match=r"the label 0 at \(1, 1\)"):
        net.train([zeros(2, 8, 3), labels, np.ones((2, 2))], epochs=1)


def test_rows_of_several_outputs():
    with pytest.raises(DataError, match=r"'covar:out' has shape \(4, 2\); expected as many rows"):
        Loss.build("gll").value((zeros(3, 2), np.ones((4, 2))), zeros(3, 2))


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "bsr", "dia", "dok"])
def test_sparse_matrices_of_any_format(form):
    net = theanets.Regressor([4, 2])
    x = np.eye(4)
    sparse = getattr(scipy.sparse, f"{form}_matrix")(x)
    np.testing.assert_array_equal(net.predict(sparse), net.predict(x))
    net.train([sparse, zeros(4, 2)], epochs=1)


def test_masks_of_arrays_in_lists_are_not_lost():
    masked = np.ma.masked_array(zeros(5, 3), mask=False)
    net = theanets.recurrent.Regressor([3, (4, "rnn"), 2])
    for given in (masked, [masked, zeros(4, 3)], [masked, masked], [zeros(4, 3), masked]):
        with pytest.raises(DataError, match="masked array"):
            net.predict(given)


class Length:
    """Batches with a length of its own."""

    def __init__(self, length):
        self.length = length

    def __len__(self):
        return self.length

    def __iter__(self):
        return iter([[zeros(4, 4), zeros(4, 2)]])


@pytest.mark.parametrize("length", [-1, "x", 2.5, 10**30])
def test_a_length_that_is_none(length):
    with pytest.raises(DataError, match=r"the len\(\) of the Length fails"):
        training([4, 2], Length(length))


@pytest.mark.parametrize(
    "keywords",
    [
        {"checkpoint": 5},
        {"save_progress": 5},
        {"axis": "*"},
        {"axis": True},
        {"monitor_gradients": "a"},
        {"callbacks": 5},
        {"criterion": 5},
        {"metrics": 5},
    ],
)
def test_keywords_of_wrong_types(keywords):
    with pytest.raises(ConfigurationError, match=next(iter(keywords))):
        training([4, 2], [zeros(6, 4), zeros(6, 2)], **keywords)
