"""Data that have no influence on the loss: refused or said, however that comes about."""

import warnings

import numpy as np
import pytest

import theanets
from theanets import DataError
from theanets.losses.ctc import fit
from theanets.ops.sequences.ctc import alignments

RNG = np.random.default_rng(3)
N, T = 12, 5
X, Y, LABELS = RNG.normal(size=(N, 4)), RNG.normal(size=(N, 3)), RNG.integers(0, 2, N)
SERIES, ANSWERS = RNG.normal(size=(N, T, 4)), RNG.normal(size=(N, T, 3))
ONCE = dict(algo="sgd", epochs=1, batch_size=4, progress=False, mode="FAST_COMPILE")


def regressor(**loss):
    return theanets.Regressor([4, 3], weighted=True, rng=1, loss=dict(form="mse", **loss))


def recurrent():
    return theanets.recurrent.Regressor([4, (3, "rnn"), 3], weighted=True, rng=1)


def classifier(**loss):
    weighted = loss.pop("weighted", False)
    return theanets.Classifier([4, 3], rng=1, loss=dict(form="xe", **loss), weighted=weighted)


def steps():
    layers = [4, (3, "rnn"), 3]
    return theanets.recurrent.Classifier(layers, rng=1, loss=dict(form="xe", ignore_index=-1))


# A network; data of which nothing counts; and a change after which some do.
CASES = {
    "examples": (regressor, [X, Y], np.zeros(N)),
    "column": (regressor, [X, Y], np.zeros((N, 1))),
    "entries": (regressor, [X, Y], np.zeros((N, 3))),
    "sum": (lambda: regressor(reduction="sum"), [X, Y], np.zeros(N)),
    "batch": (lambda: regressor(reduction="batch"), [X, Y], np.zeros((N, 3))),
    "steps": (recurrent, [SERIES, ANSWERS], np.zeros((N, T))),
    "labels": (lambda: classifier(weighted=True), [X, LABELS], np.zeros(N)),
    "factors": (lambda: classifier(class_weight=[0, 0, 1]), [X], LABELS),
    "factors of all": (lambda: classifier(class_weight=[0, 0, 0]), [X], LABELS),
    "factors, sum": (
        lambda: classifier(class_weight={0: 0, 1: 0}, reduction="sum"),
        *([X], LABELS),
    ),
    "ignored": (lambda: classifier(ignore_index=-1), [X], np.full(N, -1)),
    "ignored steps": (steps, [SERIES], np.full((N, T), -1)),
}


@pytest.mark.parametrize("case", CASES)
def test_data_of_which_nothing_counts_are_refused(case):
    make, rest, nothing = CASES[case]
    net = make()
    before = [p.get_value() for p in net.params]
    some = nothing.copy()
    some[-1] = 2 if some.dtype.kind == "i" else 1.0
    with pytest.raises(DataError, match=r"train data: nothing counts for the loss 1 \* "):
        net.train([*rest, nothing], **ONCE)
    for old, param in zip(before, net.params, strict=True):
        np.testing.assert_array_equal(param.get_value(), old)
    if case == "factors of all":
        return
    with pytest.raises(DataError, match="valid data: nothing counts"):
        net.train([*rest, some], [*rest, nothing], **ONCE)
    # Batches without any are as good as others.
    net.train([*rest, some], **ONCE)
    assert any((p.get_value() != old).any() for p, old in zip(net.params, before, strict=True))


def test_a_part_that_is_held_back_is_data_to_validate_on():
    weights = np.zeros(N)
    weights[0] = 1
    with pytest.raises(DataError, match="nothing counts"):
        regressor().train([X, Y, weights], validation_split=0.25, **ONCE)


def test_one_loss_of_several():
    net = regressor()
    net.add_loss("mae", weight=0.5, target="other", weighted=True)
    nothing, one = np.zeros(N), np.ones(N)
    with pytest.warns(UserWarning, match=r"nothing counts for the loss 0.5 \* weighted mae"):
        net.train([X, Y, one, Y, nothing], **ONCE)
    with pytest.raises(DataError, match=r"1 \* weighted mse.*, 0.5 \* weighted mae"):
        net.train([X, Y, nothing, Y, nothing], **ONCE)
    net.losses[1].weight = 0
    net.train([X, Y, one, Y, nothing], **ONCE)
    with pytest.raises(DataError, match=r"mse\(out:out, target\): the weights"):
        net.train([X, Y, nothing, Y, one], **ONCE)


def test_lbfgs_looks_too():
    with pytest.raises(DataError, match="nothing counts"):
        regressor().train([X, Y, np.zeros(N)], **{**ONCE, "algo": "l-bfgs"})


# ---- labels and their series -------------------------------------------------------


def ctc(**options):
    loss = dict(form="ctc", **options)
    return theanets.recurrent.Classifier([4, (3, "rnn"), 4], rng=1, loss=loss)


def test_labels_fit_where_there_is_an_alignment():
    labels = RNG.integers(-1, 3, size=(300, 5))
    labels[labels == 0] = 3
    frames = RNG.integers(0, 8, 300)
    mask = np.arange(8) < frames[:, None]
    possible = np.isfinite(alignments(np.zeros((300, 8, 4)), labels, mask)[0])
    assert 50 < possible.sum() < 250
    np.testing.assert_array_equal(fit(labels, frames), possible)


FITS, REPEATS, LONG = [1, 2, 1, 3, 1], [1, -1, 1, 2, 2], [1, 2, 3, 3, 3]


@pytest.mark.parametrize("zero_infinity", [True, False])
def test_labels_that_do_not_fit_are_said(zero_infinity):
    labels = np.array([FITS] * 4 + [REPEATS] * 2 + [FITS] * 6)
    net = ctc(zero_infinity=zero_infinity)
    with pytest.warns(UserWarning, match="train data: .* 2 of 12 series .* row 4") as said:
        next(net.itertrain([SERIES, labels], [SERIES[:3], labels[:3]], **ONCE), None)
    assert len(said) == 1
    with pytest.raises(DataError, match="train data: the labels of 12 of 12 series"):
        net.train([SERIES, np.array([LONG] * N)], **ONCE)
    with pytest.raises(DataError, match="valid data: the labels of 3 of 3 series"):
        net.train([SERIES, np.array([FITS] * N)], [SERIES[:3], np.array([LONG] * 3)], **ONCE)


def test_ragged_lists_and_rows_that_are_held_back():
    lengths = [5, 4, 5, 3, 5, 5, 5, 5]
    series = [x[:n] for x, n in zip(SERIES, lengths, strict=False)]
    labels = np.array([[1, 2, 3, 1, -1]] * 8)
    with pytest.warns(UserWarning, match="1 of 8 series do not fit in these, the first in row 3"):
        ctc().train([series, labels], **ONCE)
    # The last row is at no such place in either part.
    labels[3], labels[7] = -1, LONG
    with pytest.warns(UserWarning, match="1 of [26] series .* the first in row 7:"):
        ctc().train([series, labels], validation_split=0.25, **ONCE)


def test_weights_leave_labels_out():
    net = theanets.recurrent.Classifier([4, (3, "rnn"), 4], rng=1, loss="ctc", weighted=True)
    labels, weights = np.array([LONG] * N), np.ones((N, 5))
    weights[:, -1] = weights[:, -2] = 0
    net.train([SERIES, labels, weights], **ONCE)


def test_batches_that_come_in_are_looked_at_one_by_one():
    bad = (SERIES[:3], np.array([FITS, REPEATS, LONG]))
    good = (SERIES[:3], np.array([FITS] * 3))
    for prefetch in (0, 2):
        with pytest.warns(UserWarning) as said:
            ctc().train(iter([good, bad, bad]), [*good], **ONCE, train_batches=3, prefetch=prefetch)
        assert len(said) == 1
        assert "train data, batch 2: the labels of 2 of 3" in str(said[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ctc().train(iter([good, good]), [*good], **ONCE, train_batches=2)
