"""What is said of models, targets and difficulties that are none."""

import numpy as np
import pytest

import theanets
from theanets.calibration import ConformalClassifier, ConformalRegressor, TemperatureScaling

RNG = np.random.default_rng(0)
X, Y, LABELS = RNG.normal(size=(20, 3)), RNG.normal(size=(20, 1)), RNG.integers(0, 2, 20)
MODE = "FAST_COMPILE"


@pytest.fixture(scope="module")
def net():
    return theanets.Regressor([3, 1], mode=MODE)


@pytest.fixture(scope="module")
def classifier():
    return theanets.Classifier([3, 2], mode=MODE)


@pytest.mark.parametrize("model", [3, None, theanets.Regressor, np.zeros])
def test_models_that_do_not_predict(model):
    with pytest.raises(theanets.ConfigurationError, match="has no method predict; expected a net"):
        ConformalRegressor(model, X, Y)


@pytest.mark.parametrize("model", [3, None, theanets.Classifier])
@pytest.mark.parametrize("kind", [ConformalClassifier, TemperatureScaling])
def test_models_that_do_not_classify(model, kind):
    with pytest.raises(theanets.ConfigurationError, match="does not predict classes; expected a"):
        kind(model, X, LABELS)


@pytest.mark.parametrize("y", [["a"] * 20, [[1], [2, 3]], [{}] * 20, [object()] * 20])
def test_targets_that_are_no_numbers(net, y):
    with pytest.raises(theanets.DataError, match="y are not an array of numbers"):
        ConformalRegressor(net, X, y)


def test_numbers_in_arrays_of_objects(net):
    plain, other = ConformalRegressor(net, X, Y), ConformalRegressor(net, X, Y.astype(object))
    np.testing.assert_array_equal(plain.scores, other.scores)


@pytest.mark.parametrize("y", [[[1], [2, 3]], ["a"] * 20])
def test_labels_that_are_none(classifier, y):
    with pytest.raises(theanets.DataError, match=r"y (is not|has)"):
        ConformalClassifier(classifier, X, y)


@pytest.mark.parametrize("difficulty", [3.0, "x", np.ones(20)])
def test_difficulties_that_cannot_be_asked(net, difficulty):
    with pytest.raises(theanets.ConfigurationError, match="is not a callable that maps inputs"):
        ConformalRegressor(net, X, Y, difficulty)


def test_difficulties_that_are_no_numbers(net):
    with pytest.raises(theanets.DataError, match="difficulties are not an array of numbers"):
        ConformalRegressor(net, X, Y, lambda x: ["a"] * len(x))


def test_scores_and_weights_that_are_no_numbers(net, classifier):
    with pytest.raises(theanets.DataError, match="scores are not an array of numbers"):
        ConformalRegressor.of(net, ["a"])
    with pytest.raises(theanets.DataError, match="weights are not an array of numbers"):
        TemperatureScaling(classifier, X, LABELS, sample_weight=["a"] * 20)
