"""Scores of models."""

import numpy as np
import pytest
from model_cases import LABELS, RNG, X, Y, autoencoder, classifier, regressor
from sklearn.metrics import accuracy_score, r2_score

import theanets


def test_score_of_a_regressor():
    net = regressor()
    y = net.predict(X) + 0.5 * Y * [1, 2, 3]
    assert net.score(X, y) == pytest.approx(r2_score(y, net.predict(X)), rel=1e-12)
    shifted = y + np.array([0, 1000, 0])
    assert net.score(X, shifted) == pytest.approx(r2_score(shifted, net.predict(X)))
    w = RNG.uniform(size=30)
    expected = r2_score(y, net.predict(X), sample_weight=w)
    for form in (w, w[:, None], w.tolist(), np.repeat(w[:, None], 3, axis=1)):
        assert net.score(X, y, form) == pytest.approx(expected, rel=1e-12)
    w = RNG.uniform(size=(30, 3))
    each = [r2_score(y[:, i], net.predict(X)[:, i], sample_weight=w[:, i]) for i in range(3)]
    assert net.score(X, y, w) == pytest.approx(np.mean(each), rel=1e-12)
    assert net.score(X, net.predict(X)) == 1


def test_score_ignores_what_has_no_weight():
    net = regressor()
    w = (RNG.uniform(size=(30, 3)) < 0.7).astype(float)
    expected = net.score(X, Y, w)
    assert net.score(X, np.where(w == 0, np.nan, Y), w) == expected
    rows = RNG.uniform(size=30) < 0.5
    assert net.score(X, Y, rows) == pytest.approx(r2_score(Y[rows], net.predict(X[rows])))


def test_score_of_one_variable_takes_a_vector():
    net = theanets.Regressor([4, 1])
    y = RNG.normal(size=30)
    expected = r2_score(y, net.predict(X)[:, 0])
    assert net.score(X, y) == net.score(X, y[:, None]) == pytest.approx(expected)


def test_score_leaves_out_constant_variables():
    net, y = regressor(), Y.copy()
    y[:, 1] = 7
    others = [0, 2]
    assert net.score(X, y) == pytest.approx(r2_score(y[:, others], net.predict(X)[:, others]))


def test_score_of_a_classifier():
    net = classifier()
    predicted = net.predict(X)
    assert net.score(X, LABELS) == accuracy_score(LABELS, predicted)
    assert net.score(X, LABELS[:, None]) == accuracy_score(LABELS, predicted)
    assert net.score(X, predicted.tolist()) == 1
    w = RNG.uniform(size=30)
    expected = accuracy_score(LABELS, predicted, sample_weight=w)
    assert net.score(X, LABELS, w) == pytest.approx(expected)
    assert net.score(X, LABELS, w[:, None]) == pytest.approx(expected)


def test_score_of_an_autoencoder():
    net = autoencoder()
    expected = r2_score(X, net.predict(X))
    for form in (X, [X], {"in": X}, X.tolist()):
        assert net.score(form) == pytest.approx(expected)
    w = RNG.uniform(size=30)
    assert net.score(X, w) == pytest.approx(r2_score(X, net.predict(X), sample_weight=w))
    net = autoencoder(weighted=True)
    w = (RNG.uniform(size=X.shape) < 0.7).astype(float)
    seen = np.where(w == 0, 0, X)
    each = [r2_score(X[:, i], net.predict(seen)[:, i], sample_weight=w[:, i]) for i in range(4)]
    assert net.score(np.where(w == 0, np.nan, X), w) == pytest.approx(np.mean(each))


@pytest.mark.parametrize("ignore", [-100, 0])
def test_score_leaves_out_labels_that_the_loss_ignores(ignore):
    net = theanets.Classifier([4, 5, 3], loss={"form": "xe", "ignore_index": ignore})
    labels = RNG.integers(0, 3, len(X))
    labels[::3] = ignore
    kept, w = labels != ignore, RNG.uniform(0.5, 1, len(X))
    right = net.predict(X) == labels
    assert net.score(X, labels) == pytest.approx(right[kept].mean())
    assert net.score(X, labels) == pytest.approx(net.evaluate([X, labels])["acc"])
    assert net.score(X, labels, w) == pytest.approx(np.average(right[kept], weights=w[kept]))
    with pytest.raises(theanets.DataError, match="ignored"):
        net.score(X, np.full(len(X), ignore))
