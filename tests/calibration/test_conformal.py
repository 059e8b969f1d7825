"""Split-conformal intervals and sets: their coverage over many replications, and exact ranks."""

import numpy as np
import pytest
from scipy.special import softmax

import theanets
from theanets import calibration
from theanets.errors import ConfigurationError, DataError

MODE = "FAST_COMPILE"
REPLICATIONS, CALIBRATED, SEEN = 200, 50, 200


class Line:
    """A model that is wrong: what conformal intervals promise holds all the same."""

    def predict(self, x):
        return 0.7 * x[:, 0]


class Guess:
    """Probabilities that are far too sure."""

    classes_ = np.arange(3)

    def predict_proba(self, x):
        return softmax(3 * x, axis=1)


@pytest.mark.parametrize("difficulty", [None, lambda x: 1 + np.abs(x[:, 0])])
def test_intervals_cover(rng, difficulty):
    found, sharp = [], []
    for _ in range(REPLICATIONS):
        x = rng.normal(size=(CALIBRATED + SEEN, 1))
        y = x[:, 0] + (1 + np.abs(x[:, 0])) * rng.standard_t(3, size=len(x))
        cut = np.split(x, [CALIBRATED]), np.split(y, [CALIBRATED])
        made = calibration.ConformalRegressor(Line(), cut[0][0], cut[1][0], difficulty)
        interval = made.predict_interval(cut[0][1], 0.9)
        found.append(calibration.coverage(cut[1][1], interval))
        sharp.append((interval[1] - interval[0]).std() > 0)
    assert 0.87 < np.mean(found) < 0.93
    assert all(sharp) == (difficulty is not None)


def test_sets_cover(rng):
    found, sizes = [], []
    for _ in range(REPLICATIONS):
        x = rng.normal(size=(CALIBRATED + SEEN, 3))
        y = (softmax(x, axis=1).cumsum(axis=1) > rng.uniform(size=(len(x), 1))).argmax(axis=1)
        made = calibration.ConformalClassifier(Guess(), x[:CALIBRATED], y[:CALIBRATED])
        sets = made.predict_set(x[CALIBRATED:], 0.9)
        found.append(calibration.coverage(y[CALIBRATED:], sets))
        sizes.append(sets.sum(axis=1).mean())
    assert 0.87 < np.mean(found) < 0.93
    assert 1 < np.mean(sizes) < 3


@pytest.mark.parametrize("level", [0.5, 0.75, 0.8, 0.9])
def test_ends_are_the_rank_that_the_theorem_says(level):
    errors = np.arange(1.0, 10)  # of 9 examples
    made = calibration.ConformalRegressor(Line(), np.zeros((9, 1)), errors)
    low, high = made.predict_interval(np.zeros((1, 1)), level)
    # The next of 10 is among the first k of them with a probability of k / 10.
    assert high == -low == np.ceil(10 * level)


def test_too_few_examples():
    made = calibration.ConformalRegressor(Line(), np.zeros((9, 1)), np.arange(9.0))
    made.predict_interval(np.zeros((1, 1)), 0.9)
    with pytest.raises(DataError, match=r"9 examples are too few .*=0.95; it takes 19"):
        made.predict_interval(np.zeros((1, 1)), 0.95)
    nineteen = calibration.ConformalRegressor(Line(), np.zeros((19, 1)), np.arange(19.0))
    assert nineteen.predict_interval(np.zeros((1, 1)), 0.95)[1] == 18
    for wrong in (0, 1, 90, True, None):
        with pytest.raises(ConfigurationError, match="confidence_level"):
            made.predict_interval(np.zeros((1, 1)), wrong)


def test_networks_of_several_outputs(rng, tmp_path):
    x = rng.normal(size=(60, 2)).astype("float32")
    y = np.stack([x[:, 0], 10 * x[:, 1]], axis=1) * (1 + rng.normal(size=(60, 1)))
    net = theanets.Regressor([2, 2], mode=MODE)
    made = calibration.ConformalRegressor(net, x[:40], y[:40])
    low, high = made.predict_interval(x[40:], 0.8)
    width = (high - low)[0]
    assert width[1] > 3 * width[0]
    errors = np.sort(np.abs(y[:40] - net.predict(x[:40])), axis=0)
    np.testing.assert_allclose(width / 2, errors[32], rtol=1e-6)
    net.metadata["errors"] = made.scores
    net.save(tmp_path / "net")
    loaded = theanets.Network.load(tmp_path / "net")
    again = calibration.ConformalRegressor.of(loaded, loaded.metadata["errors"])
    np.testing.assert_array_equal(
        again.predict_interval(x, 0.8)[0], made.predict_interval(x, 0.8)[0]
    )
    single = theanets.Regressor([2, 1], mode=MODE)
    assert calibration.ConformalRegressor(single, x, y[:, 0]).predict_interval(x)[0].shape == (
        60,
        1,
    )


def test_classifiers_scaled_and_with_names(rng):
    sklearn = pytest.importorskip("theanets.sklearn")
    x = rng.normal(size=(80, 3)).astype("float32")
    names = np.array(["a", "b", "c"])[x.argmax(axis=1)]
    names[:20] = "a"
    estimator = sklearn.NetClassifier(
        (), epochs=5, patience=None, learning_rate=0.1, random_state=1, mode=MODE
    ).fit(x, names)
    scaled = calibration.TemperatureScaling(estimator, x, names)
    for model in (estimator, scaled):
        made = calibration.ConformalClassifier(model, x, names)
        sets = made.predict_set(x, 0.9)
        assert sets.shape == (80, 3)
        truth = np.searchsorted(estimator.classes_, names)
        assert calibration.coverage(truth, sets) >= 0.9
    assert repr(made).startswith("<ConformalClassifier by 80 examples of")


def test_bad_input(rng):
    x = rng.normal(size=(6, 1))
    with pytest.raises(DataError, match="shape"):
        calibration.ConformalRegressor(Line(), x, np.zeros((6, 2)))
    with pytest.raises(DataError, match="NaN"):
        calibration.ConformalRegressor(Line(), x, np.full(6, np.nan))
    with pytest.raises(DataError, match="no examples"):
        calibration.ConformalRegressor(Line(), x[:0], np.zeros(0))
    with pytest.raises(DataError, match="difficulty gives 0"):
        calibration.ConformalRegressor(Line(), x, np.zeros(6), lambda x: np.zeros(6))
    for shape in (3, (6, 2)):
        with pytest.raises(DataError, match="difficulty has shape"):
            calibration.ConformalRegressor(Line(), x, np.zeros(6), lambda x, s=shape: np.ones(s))
    with pytest.raises(ConfigurationError, match="does not predict classes"):
        calibration.ConformalClassifier(Line(), x, np.zeros(6, int))
    with pytest.raises(ConfigurationError, match="predicts classes, which have no intervals"):
        calibration.ConformalRegressor(theanets.Classifier([1, 2]), x, np.zeros(6, int))
