"""Temperature scaling, against a brute-force grid."""

import pickle

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

import theanets
from theanets import calibration
from theanets.errors import ConfigurationError, DataError

MODE = "FAST_COMPILE"


def data(rng, rows=300):
    """Get inputs, and labels that follow from them with much noise."""
    x = rng.normal(size=(rows, 3)).astype("float32")
    proba = softmax(np.stack([x[:, 0], x[:, 1], 0 * x[:, 0]], axis=1), axis=1)
    return x, (proba.cumsum(axis=1) > rng.uniform(size=(rows, 1))).argmax(axis=1)


def made(factor, layers=(3, 3)):
    """Get a network that knows the truth, but for the scale of its logits."""
    net = theanets.Classifier(list(layers), mode=MODE)
    w = np.zeros((3, 3))
    w[0, 0] = w[1, 1] = factor
    net.find("out", "w").set_value(w.astype("float32"))
    net.find("out", "b").set_value(np.zeros(3, "float32"))
    return net


def loss_of(logits, y, temperature, w=None):
    logs = log_softmax(logits / temperature, axis=-1)
    return -np.average(np.take_along_axis(logs, y[..., None], -1)[..., 0], weights=w)


@pytest.mark.parametrize("factor", [0.02, 0.5, 5.0, 2000.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_the_best_of_a_grid(rng, factor, weighted):
    (x, y), net = data(rng), made(factor)
    w = rng.uniform(size=len(x)) if weighted else None
    scaled = calibration.TemperatureScaling(net, x, y, w)
    grid, logits = np.exp(np.linspace(-8, 10, 2000)), net.predict_logit(x).astype(float)
    losses = [loss_of(logits, y, one, w) for one in grid]
    assert scaled.temperature == pytest.approx(grid[np.argmin(losses)], rel=0.01)
    assert loss_of(logits, y, scaled.temperature, w) <= min(losses) + 1e-9
    # What the network knows but for the scale, is right.
    assert scaled.temperature == pytest.approx(factor, rel=0.35)
    proba = scaled.predict_proba(x)
    np.testing.assert_allclose(proba, softmax(logits / scaled.temperature, axis=1))
    np.testing.assert_array_equal(scaled.predict(x), net.predict(x))
    before = calibration.calibration_error(net.predict_proba(x), y)
    if factor > 1:
        assert calibration.calibration_error(proba, y) < before / 2


def test_steps_of_series(rng):
    x, y = data(rng, 200)
    net = theanets.recurrent.Classifier([3, 3], mode=MODE)
    flat = made(5.0)
    for p, q in zip(net.params, flat.params, strict=True):
        p.set_value(q.get_value())
    one = calibration.TemperatureScaling(flat, x, y)
    two = calibration.TemperatureScaling(net, x.reshape(20, 10, 3), y.reshape(20, 10))
    assert two.temperature == pytest.approx(one.temperature, rel=1e-6)
    assert two.predict_proba(x.reshape(20, 10, 3)).shape == (20, 10, 3)


def test_estimators_with_names_of_classes(rng):
    sklearn = pytest.importorskip("theanets.sklearn")
    x, y = data(rng)
    names = np.array(["c", "b", "a"])
    estimator = sklearn.NetClassifier(
        (), epochs=5, patience=None, learning_rate=0.1, random_state=1, mode=MODE
    ).fit(x, names[y])
    estimator.network_.params[0].set_value(6 * estimator.network_.params[0].get_value())
    scaled = calibration.TemperatureScaling(estimator, x, names[y])
    direct = calibration.TemperatureScaling(
        estimator.network_, x, np.searchsorted(estimator.classes_, names[y])
    )
    assert scaled.temperature == pytest.approx(direct.temperature, rel=1e-4)
    assert scaled.temperature > 2
    assert set(scaled.predict(x)) <= set(names)
    again = pickle.loads(pickle.dumps(scaled))
    np.testing.assert_allclose(again.predict_proba(x), scaled.predict_proba(x), rtol=1e-6)
    with pytest.raises(DataError, match="'d', which is no class"):
        calibration.TemperatureScaling(estimator, x[:2], ["a", "d"])
    matrix = sklearn.NetClassifier((), epochs=1, patience=None, mode=MODE).fit(x, np.eye(3)[y])
    with pytest.raises(ConfigurationError, match="sets of classes"):
        calibration.TemperatureScaling(matrix, x, np.eye(3)[y])


def test_it_is_kept_in_the_network(rng, tmp_path):
    (x, y), net = data(rng), made(4.0)
    scaled = calibration.TemperatureScaling(net, x, y)
    net.metadata["temperature"] = scaled.temperature
    net.save(tmp_path / "net")
    loaded = theanets.Network.load(tmp_path / "net")
    again = calibration.TemperatureScaling.of(loaded, loaded.metadata["temperature"])
    np.testing.assert_array_equal(again.predict_proba(x), scaled.predict_proba(x))
    assert repr(again).startswith(f"<TemperatureScaling {scaled.temperature:.4g} of")
    with pytest.raises(ConfigurationError, match="temperature=0"):
        calibration.TemperatureScaling.of(net, 0)


def test_what_has_no_best_temperature(rng):
    (x, y), net = data(rng), made(1.0)
    right = net.predict(x)
    with pytest.raises(DataError, match="would be 0"):
        calibration.TemperatureScaling(net, x, right)
    with pytest.raises(DataError, match="say nothing of the labels"):
        calibration.TemperatureScaling(made(-1.0), x, right)
    for wrong, match in [
        (y[:5], "shape"),
        (y + 1, "label 3, which is no class"),
        (y - 1, "label -1"),
        (y + 0.0, "labels are integers"),
    ]:
        with pytest.raises(DataError, match=match):
            calibration.TemperatureScaling(net, x, wrong)
    for weights, match in [
        (np.zeros(300), "not all 0"),
        (-np.ones(300), "at least 0"),
        ([1], "shape"),
    ]:
        with pytest.raises(DataError, match=match):
            calibration.TemperatureScaling(net, x, y, weights)
    with pytest.raises(ConfigurationError, match="Regressor does not predict classes"):
        calibration.TemperatureScaling(theanets.Regressor([3, 2]), x, y)
    chain = theanets.recurrent.Classifier([3, (3, "crf")], mode=MODE)
    with pytest.raises(ConfigurationError, match="crf"):
        calibration.TemperatureScaling(chain, x[None], y[None])
