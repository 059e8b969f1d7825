"""Metrics: those of scikit-learn on all data at once, whatever the batches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metric_cases import LABELS, OF_VALUES, RNG, VALUES, WEIGHTS, X, quiet

import theanets
from theanets import metrics
from theanets.errors import ConfigurationError

reference = pytest.importorskip("sklearn.metrics")
CHOICES = (RNG.uniform(size=(37, 3)) < [0.2, 0.5, 0.9]).astype(int)
OF_LABELS = {
    "accuracy": reference.accuracy_score,
    "balanced_accuracy": reference.balanced_accuracy_score,
    **{
        f"{name}_{average}": lambda y, p, f=f, average=average, **kw: f(y, p, average=average, **kw)
        for name, f in (
            ("precision", reference.precision_score),
            ("recall", reference.recall_score),
            ("f1", reference.f1_score),
        )
        for average in ("macro", "micro", "weighted")
    },
}


def spoil(array, weights):
    """Put NaN where the weight is 0."""
    spoiled = array.astype(float)
    spoiled[weights == 0] = np.nan
    return spoiled


def areas(labels, scores, weights):
    area = reference.roc_auc_score
    each = [quiet(area, labels == k, z, weights=weights) for k, z in enumerate(scores.T)]
    return np.mean(each)


@pytest.mark.parametrize("size", [8, 36, 37])
def test_of_classes(size):
    # No label is 3.
    net = theanets.Classifier([4, 6, 5], weighted=True, dtype="float64")
    net.find("out.w").set_value(RNG.normal(size=(6, 5)))
    wanted = [*OF_LABELS, "precision", "f1", "top_2", {"form": "top_k", "k": 4}, metrics.TopK(k=1)]
    found = net.evaluate([X, LABELS, WEIGHTS], metrics=wanted, batch_size=size)
    predicted, proba = net.predict(X), net.predict_proba(X)
    for name, function in OF_LABELS.items():
        expected = quiet(function, LABELS, predicted, weights=WEIGHTS)
        assert found[name] == pytest.approx(expected, rel=1e-12), name
    assert found["acc"] == pytest.approx(found["accuracy"], rel=1e-12)
    assert found["top_1"] == pytest.approx(found["accuracy"], rel=1e-12)
    assert (found["precision"], found["f1"]) == (found["precision_macro"], found["f1_macro"])
    for k in (2, 4):
        function, options = reference.top_k_accuracy_score, {"k": k, "labels": np.arange(5)}
        expected = quiet(function, LABELS, proba, weights=WEIGHTS, **options)
        assert found[f"top_{k}"] == pytest.approx(expected, rel=1e-12)
    # One of the classes has no examples.
    assert np.isnan(net.evaluate([X, LABELS, WEIGHTS], metrics="auc")["auc"])
    labels = LABELS.copy()
    labels[:2], weights = 3, WEIGHTS + 0.1
    found = net.evaluate([X, labels, weights], metrics=["auc", "top_2"], batch_size=size)
    assert found["auc"] == pytest.approx(areas(labels, proba, weights), rel=1e-12)


@pytest.mark.parametrize("size", [8, 37])
def test_of_two_classes(size):
    net = theanets.Classifier([4, 6, 2], dtype="float64")
    labels = LABELS % 3 > 0
    wanted = ["precision", "recall", "f1", "f1_binary", "f1_macro", "auc", "balanced_accuracy"]
    found = net.evaluate([X, labels.astype(int)], metrics=wanted, batch_size=size)
    predicted, proba = net.predict(X), net.predict_proba(X)
    expected = {
        "precision": reference.precision_score(labels, predicted),
        "recall": reference.recall_score(labels, predicted),
        "f1": reference.f1_score(labels, predicted),
        "f1_binary": reference.f1_score(labels, predicted),
        "f1_macro": reference.f1_score(labels, predicted, average="macro"),
        "auc": reference.roc_auc_score(labels, proba[:, 1]),
        "balanced_accuracy": reference.balanced_accuracy_score(labels, predicted),
    }
    assert {key: found[key] for key in wanted} == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("form", ["bce", "bce_logits", "binary_focal", "hinge"])
@pytest.mark.parametrize("units", [1, 3])
def test_of_decisions(form, units):
    activation = "sigmoid" if form in ("bce", "binary_focal") else "linear"
    loss = {"form": form, "kind": "binary"} if form == "hinge" else form
    net = theanets.Regressor([4, 6, (units, activation)], loss=loss, weighted=True, dtype="float64")
    y = CHOICES[:, :units]
    weights = np.repeat(WEIGHTS[:, None], units, axis=1)
    averages = [f"{m}_{a}" for m in ("precision", "f1") for a in ("macro", "micro", "weighted")]
    wanted = ["accuracy", "precision", "recall", "f1", "auc", "balanced_accuracy", *averages]
    targets = spoil(2 * y - 1 if form == "hinge" else y, WEIGHTS)
    found = net.evaluate([X, targets, weights], metrics=wanted, batch_size=8)
    scores = net.predict(X)
    p = (scores > (0.5 if activation == "sigmoid" else 0)).astype(int)
    flat = (y.ravel(), p.ravel())
    accuracy = quiet(reference.accuracy_score, *flat, weights=weights.ravel())
    assert found["accuracy"] == pytest.approx(accuracy, rel=1e-12)
    assert found["acc"] == pytest.approx(accuracy, rel=1e-12)
    # Of one decision it is a problem of two classes, of several one of several labels.
    columns = (y[:, 0], p[:, 0]) if units == 1 else (y, p)
    for name in averages:
        expected = quiet(OF_LABELS[name], *columns, weights=WEIGHTS)
        assert found[name] == pytest.approx(expected, rel=1e-12), name
    average = "binary" if units == 1 else "macro"
    for name in ("precision", "recall", "f1"):
        function = getattr(reference, f"{name}_score")
        expected = quiet(function, *columns, weights=WEIGHTS, average=average)
        assert found[name] == pytest.approx(expected, rel=1e-12), name
    balanced = reference.balanced_accuracy_score
    each = [quiet(balanced, y[:, i], p[:, i], weights=WEIGHTS) for i in range(units)]
    assert found["balanced_accuracy"] == pytest.approx(np.mean(each), rel=1e-12)
    assert found["auc"] == pytest.approx(areas_of_units(y, scores, WEIGHTS), rel=1e-12)


def areas_of_units(y, scores, weights):
    area = reference.roc_auc_score
    columns = range(y.shape[1])
    return np.mean([quiet(area, y[:, i], scores[:, i], weights=weights) for i in columns])


def test_weights_of_each_decision():
    net = theanets.Regressor([4, (3, "sigmoid")], loss="bce", weighted=True, dtype="float64")
    weights = RNG.uniform(size=(37, 3)) * (RNG.uniform(size=(37, 3)) < 0.7)
    found = net.evaluate([X, CHOICES, weights], metrics=["f1", "auc", "accuracy"], batch_size=8)
    p, each = net.predict(X), []
    for i in range(3):
        y, w = CHOICES[:, i], weights[:, i]
        f1 = quiet(reference.f1_score, y, p[:, i] > 0.5, weights=w)
        each.append((f1, quiet(reference.roc_auc_score, y, p[:, i], weights=w)))
    assert (found["f1"], found["auc"]) == pytest.approx(tuple(np.mean(each, axis=0)), rel=1e-12)
    met = weights * ((p > 0.5) == CHOICES)
    assert found["accuracy"] == pytest.approx(met.sum() / weights.sum(), rel=1e-12)


@pytest.mark.parametrize("size", [8, 37])
@pytest.mark.parametrize("offset", [0, 1e7])
def test_of_values(size, offset):
    net = theanets.Regressor([4, 6, 3], loss="huber", weighted=True, dtype="float64")
    net.find("out.b").set_value(net.find("out.b").get_value() + offset)
    y = VALUES + offset
    weights = np.repeat(WEIGHTS[:, None], 3, axis=1)
    data = [X, spoil(y, WEIGHTS), weights]
    found = net.evaluate(data, metrics=list(OF_VALUES), batch_size=size)
    p = net.predict(X)
    for name, function in OF_VALUES.items():
        expected = quiet(function, y, p, weights=WEIGHTS)
        assert found[name] == pytest.approx(expected, rel=1e-7 if offset else 1e-12), name
    assert "acc" not in found


def test_weights_of_each_value():
    net = theanets.Regressor([4, 3], weighted=True, dtype="float64")
    weights = RNG.uniform(size=(37, 3)) * (RNG.uniform(size=(37, 3)) < 0.7)
    found = net.evaluate([X, VALUES, weights], metrics=list(OF_VALUES), batch_size=8)
    p = net.predict(X)
    for name, function in OF_VALUES.items():
        each = [quiet(function, VALUES[:, i], p[:, i], weights=weights[:, i]) for i in range(3)]
        # The loss has the name mse already.
        key = "mse:2" if name == "mse" else name
        assert found[key] == pytest.approx(np.mean(each), rel=1e-12), name
    assert found["mse"] == pytest.approx((weights * (VALUES - p) ** 2).sum() / weights.sum())
    # A variable without any weight has no part in it.
    weights[:, 1] = 0
    found = net.evaluate([X, VALUES, weights], metrics=list(OF_VALUES), batch_size=8)
    rmse, used = OF_VALUES["rmse"], (0, 2)
    each = [quiet(rmse, VALUES[:, i], p[:, i], weights=weights[:, i]) for i in used]
    assert found["rmse"] == pytest.approx(np.mean(each))
    weights[:] = 0
    found = net.evaluate([X, VALUES, weights], metrics=list(OF_VALUES))
    assert all(np.isnan(found[name]) for name in ("r2", "mae", "rmse", "mse:2"))


def test_constant_targets():
    net = theanets.Regressor([4, 2], dtype="float64")
    net.find("out.w").set_value(np.zeros((4, 2)))
    net.find("out.b").set_value(np.array([3.0, 5.0]))
    y = np.full((37, 2), [3.0, 4.0])
    found = net.evaluate([X, y], metrics="r2", batch_size=8)
    assert found["r2"] == reference.r2_score(y, net.predict(X)) == 0.5


SERIES = RNG.normal(size=(13, 6, 3))
LENGTHS = RNG.integers(1, 7, size=13)
MASK = np.arange(6) < LENGTHS[:, None]


def masked(weights):
    return weights * MASK.reshape(MASK.shape + (1,) * (weights.ndim - 2))


def test_of_series_of_classes():
    # Without ties, which scikit-learn counts otherwise.
    layers = [3, ("rnn", 5, "tanh"), 4]
    net = theanets.recurrent.Classifier(layers, weighted=True, dtype="float64")
    net.find("out.w").set_value(3 * RNG.normal(size=(5, 4)))
    labels = RNG.integers(0, 4, size=(13, 6))
    weights = masked(RNG.uniform(0.5, 2, size=(13, 6)))
    wanted = [*OF_LABELS, "top_2", "auc"]
    found = net.evaluate([SERIES, labels, weights], metrics=wanted, batch_size=5)
    proba = net.predict_proba(SERIES).reshape(-1, 4)
    y, w = labels.ravel(), weights.ravel()
    for name, function in OF_LABELS.items():
        expected = quiet(function, y, proba.argmax(axis=1), weights=w)
        assert found[name] == pytest.approx(expected, rel=1e-12), name
    expected = quiet(reference.top_k_accuracy_score, y, proba, k=2, labels=range(4), weights=w)
    assert found["top_2"] == pytest.approx(expected, rel=1e-12)
    assert found["auc"] == pytest.approx(areas(y, proba, w), rel=1e-12)


def test_of_series_of_values():
    net = theanets.recurrent.Regressor(
        [3, ("rnn", 5), 2], loss="huber", weighted=True, dtype="float64"
    )
    y = RNG.normal(size=(13, 6, 2)) + np.array([10, 0])
    weights = masked(np.repeat(RNG.uniform(0.5, 2, size=(13, 6, 1)), 2, axis=2))
    found = net.evaluate([SERIES, y, weights], metrics=list(OF_VALUES), batch_size=5)
    p, w = net.predict(SERIES).reshape(-1, 2), weights[..., 0].ravel()
    for name, function in OF_VALUES.items():
        expected = quiet(function, y.reshape(-1, 2), p, weights=w)
        assert found[name] == pytest.approx(expected, rel=1e-12), name


def test_labels_that_are_ignored():
    net = theanets.Classifier([4, 3], loss={"form": "xe", "ignore_index": -1}, dtype="float64")
    labels = np.where(WEIGHTS == 0, -1, np.minimum(LABELS, 2))
    found = net.evaluate([X, labels], metrics=["f1", "accuracy", "auc"], batch_size=8)
    seen = labels >= 0
    y, p, proba = labels[seen], net.predict(X)[seen], net.predict_proba(X)[seen]
    assert found["f1"] == pytest.approx(reference.f1_score(y, p, average="macro"), rel=1e-12)
    assert found["acc"] == pytest.approx(found["accuracy"]) == pytest.approx(np.mean(y == p))
    assert found["auc"] == pytest.approx(areas(y, proba, None), rel=1e-12)


def test_of_the_best_path_of_a_chain():
    layers = [dict(shape=(None, 3)), dict(form="crf", size=4)]
    net = theanets.Classifier(layers, weighted=True, dtype="float64")
    net.find("out.transition").set_value(2 * RNG.normal(size=(4, 4)))
    labels = RNG.integers(0, 4, size=(13, 6))
    found = net.evaluate([SERIES, labels, MASK], metrics=["f1", "recall"], batch_size=5)
    y, p = labels[MASK], net.predict(SERIES, mask=MASK)[MASK]
    assert (p != net.predict_logit(SERIES)[MASK].argmax(axis=-1)).any()
    assert found["f1"] == pytest.approx(quiet(OF_LABELS["f1_macro"], y, p), rel=1e-12)
    assert found["acc"] == pytest.approx(np.mean(y == p), rel=1e-6)
    with pytest.raises(ConfigurationError, match=r"'auc' compares .*scores.*best path"):
        net.evaluate([SERIES, labels, MASK], metrics="auc")


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)), min_size=1),
    st.integers(1, 9),
)
def test_empty_classes_and_any_batches(rows, size):
    y, p, w = np.array(rows).T
    for name, function in OF_LABELS.items():
        metric = metrics.build(name)
        metric.start("classes", 4)
        for i in range(0, len(y), size):
            rows = slice(i, i + size)
            metric.add(metrics.part("classes", 4, y[rows], np.eye(4)[p[rows]], w[rows]))
        if w.any():
            expected = quiet(function, y, p, weights=w)
            assert metric.value() == pytest.approx(expected, rel=1e-9, abs=1e-12), name
        else:
            assert np.isnan(metric.value())


def test_ties_of_scores():
    metric = metrics.build("top_2")
    metric.start("classes", 4)
    scores = [[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 0], [0, 3, 2, 2], [np.nan] * 4]
    metric.add(metrics.part("classes", 4, [0, 1, 2, 3, 0], np.array(scores, float)))
    assert metric.value() == 2 / 5


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_targets_that_are_between_yes_and_no(activation):
    # Of a sigmoid layer the log-odds are compared, of others probabilities.
    net = theanets.Regressor([4, (3, activation)], loss="bce")
    net.find("out.w").set_value(3 * RNG.normal(size=(4, 3)).astype("float32"))
    y = RNG.uniform(size=(37, 3))
    found = net.evaluate([X, y], metrics="accuracy", batch_size=8)
    expected = np.mean((net.predict(X) > 0.5) == (y > 0.5))
    assert found["acc"] == pytest.approx(expected) == pytest.approx(found["accuracy"])
