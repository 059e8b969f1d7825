"""The label error rate, and labels that are read from series."""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import theanets
from theanets import recurrent
from theanets.errors import ConfigurationError, DataError
from theanets.losses import ctc_beam_decode
from theanets.metrics.sequences import edit_distances

LABELS = st.lists(st.lists(st.integers(-1, 3), max_size=6), min_size=1, max_size=4)


def levenshtein(a, b):
    """Compute the edit distance by its recursion."""

    @functools.cache
    def of(i, j):
        if not i or not j:
            return i + j
        same = of(i - 1, j - 1) + (a[i - 1] != b[j - 1])
        return min(of(i - 1, j) + 1, of(i, j - 1) + 1, same)

    return of(len(a), len(b))


def rectangle(rows):
    width = max(map(len, rows))
    return np.array([[*row, *[-1] * (width - len(row))] for row in rows], int).reshape(
        len(rows), width
    )


def labels(row):
    return tuple(int(label) for label in row if label >= 0)


@given(LABELS, LABELS)
def test_edit_distances_are_those_of_the_recursion(first, second):
    many = min(len(first), len(second))
    a, b = rectangle(first[:many]), rectangle(second[:many])
    wanted = [levenshtein(labels(x), labels(y)) for x, y in zip(a, b, strict=True)]
    np.testing.assert_array_equal(edit_distances(a, b), wanted)


def test_edit_distances_of_words():
    def codes(*words):
        return rectangle([[ord(c) for c in word] for word in words])

    first = codes("kitten", "saturday", "", "abc", "abc", "")
    second = codes("sitting", "sunday", "abc", "", "abc", "")
    np.testing.assert_array_equal(edit_distances(first, second), [3, 3, 3, 3, 0, 0])


def read(scores, blank):
    path = scores.argmax(axis=-1)
    return tuple(int(p) for t, p in enumerate(path) if p != blank and (not t or p != path[t - 1]))


TARGETS = np.array([[1, 2, -1], [3, 3, 1], [-1, -1, -1], [2, -1, 2], [-1, 1, 3], [1, 1, 1]])


@pytest.fixture
def net():
    """Make a network whose labels change from frame to frame, some of them the blank."""
    found = recurrent.Classifier([3, (6, "tanh"), 4], rng=3, loss="ctc")
    found.find("out.w").set_value(found.find("out.w").get_value() * 9)
    return found


@pytest.mark.parametrize("blank", [0, 2, -1])
@pytest.mark.parametrize("size", [2, 64])
def test_of_a_network_it_is_that_of_what_is_read(size, blank, net, rng):
    net.set_loss({"form": "ctc", "blank": blank})
    x, targets = rng.normal(size=(6, 7, 3)), TARGETS.copy()
    targets[targets == blank % 4] = 0
    found = net.evaluate([x, targets], metrics=["label_error_rate"], batch_size=size)
    wanted = [read(scores, blank % 4) for scores in net.predict_logit(x)]
    edits = [levenshtein(labels(y), w) for y, w in zip(targets, wanted, strict=True)]
    assert sum(edits) > 0 and len({*wanted}) > 3
    total = (targets >= 0).sum()
    assert found["label_error_rate"] == pytest.approx(sum(edits) / total, rel=1e-12)
    assert net.predict_labels(x) == [list(each) for each in wanted]


def test_it_is_short_of_nothing_where_all_are_right(net, rng):
    x = rng.normal(size=(5, 6, 3))
    targets = rectangle(net.predict_labels(x))
    assert net.evaluate([x, targets], metrics="ler")["label_error_rate"] == 0
    empty = np.full((5, 2), -1)
    assert np.isnan(net.evaluate([x, empty], metrics="ler")["label_error_rate"])


def test_steps_that_do_not_exist_are_not_read(net, rng):
    x = [rng.normal(size=(n, 3)) for n in (7, 2, 5, 1)]
    wanted = [net.predict_labels(one[None])[0] for one in x]
    assert net.predict_labels(x) == wanted and any(wanted)
    edits = [levenshtein(labels(y), tuple(w)) for y, w in zip(TARGETS, wanted, strict=False)]
    found = net.evaluate([x, TARGETS[:4]], metrics="ler")["label_error_rate"]
    assert found == pytest.approx(sum(edits) / (TARGETS[:4] >= 0).sum(), rel=1e-12)


@pytest.mark.parametrize("holder", [False, True])
def test_neither_are_those_of_layers_that_have_fewer(holder, rng):
    lengths = [dict(form="lengths", name="n", of="in")] if holder else []
    conv = dict(form="conv1", size=6, filter_size=3, stride=2, inputs="in", activation="tanh")
    net = recurrent.Classifier([3, *lengths, conv, 4], rng=3, loss="ctc")
    net.find("out.w").set_value(net.find("out.w").get_value() * 9)
    x = [rng.normal(size=(n, 3)) for n in (11, 4, 7, 3)]
    data = x
    if holder:
        data, counts = recurrent.pad(x)
        data = [data + (np.arange(11)[:, None] >= counts[:, None, None]) * 5, counts]
    alone = recurrent.Classifier([3, conv, 4], rng=3, loss="ctc")
    for name in ("w", "b"):
        for layer in ("hid1", "out"):
            alone.find(layer, name).set_value(net.find(layer, name).get_value())
    wanted = [alone.predict_labels(one[None])[0] for one in x]
    assert net.predict_labels(data) == wanted and any(wanted)


def test_an_output_may_say_how_many_frames_there_are(rng):
    layers = [
        3,
        dict(form="input", name="frames", shape=(1,)),
        dict(size=6, inputs="in", activation="tanh"),
        4,
    ]
    net = recurrent.Classifier(layers, rng=3, loss={"form": "ctc", "frames": "frames"})
    net.find("out.w").set_value(net.find("out.w").get_value() * 9)
    x, frames = rng.normal(size=(4, 7, 3)), np.array([[7.0], [2.0], [4.5], [0.0]])
    scores = net.predict_logit([x, frames])
    wanted = [read(s[:n], 0) for s, n in zip(scores, (7, 2, 5, 0), strict=True)]
    assert net.predict_labels([x, frames]) == [list(each) for each in wanted]
    edits = [levenshtein(labels(y), w) for y, w in zip(TARGETS, wanted, strict=False)]
    found = net.evaluate([x, frames, TARGETS[:4]], metrics="ler")["label_error_rate"]
    assert found == pytest.approx(sum(edits) / (TARGETS[:4] >= 0).sum(), rel=1e-12)


def test_labels_without_weight_are_left_out_and_examples_weighed(rng):
    net = recurrent.Classifier([3, (6, "tanh"), 4], rng=3, loss="ctc", weighted=True)
    net.find("out.w").set_value(net.find("out.w").get_value() * 9)
    x, weights = rng.normal(size=(6, 7, 3)), rng.integers(0, 4, size=TARGETS.shape) / 2
    weights[3] = 0
    found = net.evaluate([x, TARGETS, weights], metrics="ler", batch_size=4)["label_error_rate"]
    edits, total = 0.0, 0.0
    for target, weight, scores in zip(TARGETS, weights, net.predict_logit(x), strict=True):
        kept = labels(np.where(weight != 0, target, -1))
        example = weight.sum() / max((weight != 0).sum(), 1)
        edits += example * levenshtein(kept, read(scores, 0))
        total += example * len(kept)
    assert found == pytest.approx(edits / total, rel=1e-6)


def test_training_goes_on_as_long_as_it_falls(rng):
    """It decides, less being better."""
    x = rng.normal(size=(20, 6, 3))
    y = rng.integers(1, 4, size=(20, 2))
    net = recurrent.Classifier([3, (4, "gru"), 4], rng=1, loss="ctc")
    net.train([x, y], [x, y], epochs=3, metrics="ler", criterion="label_error_rate")
    assert len(net.history["valid_label_error_rate"]) >= 1
    best = min(net.history["valid_label_error_rate"])
    assert net.evaluate([x, y], metrics="ler")["label_error_rate"] == pytest.approx(best)


def test_a_beam_finds_the_most_probable_labels(net, rng):
    x = rng.normal(size=(5, 6, 3))
    net.find("out.w").set_value(net.find("out.w").get_value() / 30)
    wanted = ctc_beam_decode(net.predict_proba(x), width=8)
    assert net.predict_labels(x, width=8) == wanted != net.predict_labels(x)
    with pytest.raises(ConfigurationError, match="width=0"):
        net.predict_labels(x, width=0)


def test_what_has_no_such_labels_is_told(rng):
    x, y = rng.normal(size=(4, 5, 3)), rng.integers(0, 4, size=(4, 5))
    net = recurrent.Classifier([3, (4, "gru"), 4])
    with pytest.raises(ConfigurationError, match="labels that a loss 'ctc' has trained"):
        net.predict_labels(x)
    with pytest.raises(ConfigurationError, match="'label_error_rate' compares sequences of labels"):
        net.evaluate([x, y], metrics="label_error_rate")
    net = recurrent.Classifier([3, (4, "gru"), 4], loss="ctc")
    with pytest.raises(ConfigurationError, match=r"'accuracy' compares .*out:out: sequences of"):
        net.evaluate([x, np.maximum(y, 1)], metrics="accuracy")
    with pytest.raises(DataError, match=r"expected 'in' \(n, any, 3\)"):
        net.predict_labels(x[..., :2])
    assert "label_error_rate" in theanets.metrics.Metric.registry
