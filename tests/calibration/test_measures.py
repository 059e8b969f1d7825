"""Calibration error and coverage, against twins in NumPy; the diagram as it is drawn."""

import numpy as np
import pytest
from scipy.special import softmax

import theanets
from theanets import calibration
from theanets.errors import ConfigurationError, DataError

MODE = "FAST_COMPILE"


def twin(confidence, right, bins, weights):
    """The calibration error, bin by bin."""
    total = 0.0
    for i in range(bins):
        inside = (confidence > i / bins) & (confidence <= (i + 1) / bins)
        inside |= (i == 0) & (confidence == 0)
        w = weights[inside]
        if w.sum():
            gap = np.average(right[inside], weights=w) - np.average(confidence[inside], weights=w)
            total += w.sum() * abs(gap)
    return total / weights.sum()


@pytest.fixture
def predicted(rng):
    return softmax(2 * rng.normal(size=(200, 4)), axis=1), rng.integers(0, 4, 200)


@pytest.mark.parametrize("bins", [1, 7, 15])
@pytest.mark.parametrize("weighted", [False, True])
def test_error(predicted, bins, weighted, rng):
    proba, y = predicted
    w = rng.uniform(size=200) if weighted else np.ones(200)
    expected = twin(proba.max(1), proba.argmax(1) == y, bins, w)
    found = calibration.calibration_error(proba, y, bins, w if weighted else None)
    assert found == pytest.approx(expected, rel=1e-12)
    shown = calibration.reliability(proba, y, bins, w if weighted else None)
    assert shown.counts.sum() == pytest.approx(w.sum())
    assert np.isnan(shown.accuracy[shown.counts == 0]).all()


@pytest.mark.parametrize("size", [7, 200])
def test_metric_of_networks(rng, size):
    x, y = rng.normal(size=(200, 3)), rng.integers(0, 4, 200)
    w = rng.uniform(size=200)
    net = theanets.Classifier([3, 4], weighted=True, mode=MODE, dtype="float64")
    net.find("out", "w").set_value(3 * rng.normal(size=(3, 4)))
    found = net.evaluate([x, y, w], metrics="ece", batch_size=size)
    expected = calibration.calibration_error(net.predict_proba(x), y, sample_weight=w)
    assert found["calibration_error"] == pytest.approx(expected, rel=1e-9)
    net.train([x, y, w], epochs=1, metrics="calibration_error", criterion="calibration_error")
    assert "valid_calibration_error" in net.history.columns


def test_metric_of_decisions(rng):
    x, y = rng.normal(size=(90, 3)), rng.integers(0, 2, (90, 2))
    net = theanets.Regressor([3, (2, "sigmoid")], loss="bce", mode=MODE, dtype="float64")
    found = net.evaluate([x, y], metrics={"form": "ece", "bins": 5}, batch_size=40)
    p = net.predict(x).ravel()
    expected = twin(np.maximum(p, 1 - p), (p > 0.5) == y.ravel(), 5, np.ones(180))
    assert found["calibration_error"] == pytest.approx(expected, rel=1e-9)
    direct = calibration.calibration_error(p, y.ravel(), 5)
    assert direct == pytest.approx(expected, rel=1e-9)
    hinge = theanets.Classifier([3, (4, "linear")], loss="hinge", mode=MODE)
    with pytest.raises(ConfigurationError):
        hinge.evaluate([x, y[:, 0]], metrics="ece")


def test_coverage():
    y = np.arange(4.0)
    assert calibration.coverage(y, (y, y + 1)) == 1
    assert calibration.coverage(y, (y + np.array([0, 1, 0, 1]), y + 2)) == 0.5
    sets = np.array([[True, False], [True, False], [True, True], [False, False]])
    assert calibration.coverage([0, 1, 1, 0], sets) == 0.5
    assert calibration.coverage(y, (y[:, None] - 1, y[:, None])) == 1
    for predicted in ((y[:2], y[:2]), (y, y[:, None])):
        with pytest.raises(DataError, match="shape"):
            calibration.coverage(y, predicted)
    with pytest.raises(DataError, match="empty"):
        calibration.coverage([], ([], []))


def test_bad_probabilities(predicted):
    proba, y = predicted
    for wrong in (proba * 2, -proba, np.log(proba), proba[0]):
        with pytest.raises(DataError, match=r"proba has to|shape"):
            calibration.reliability(wrong, y)
    with pytest.raises(ConfigurationError, match="bins=0"):
        calibration.reliability(proba, y, 0)


def test_diagram(predicted):
    pytest.importorskip("matplotlib").use("Agg")
    found = calibration.reliability(*predicted, bins=10)
    ax = theanets.plot.reliability(found, label="plain")
    some = found.counts > 0
    bars = [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in ax.patches]
    middles = (np.arange(10) + 0.5)[some] / 10
    np.testing.assert_allclose(bars, np.transpose([middles, found.accuracy[some]]))
    assert ax.get_title() == f"plain: calibration error {100 * found.error:.1f} %"
    assert theanets.plot.reliability(found, ax=ax) is ax
