"""The estimators in the tools of scikit-learn, and functions that several of them use."""

import io
import pickle
import threading

import joblib
import numpy as np
import pytest
from estimator_cases import EVERY, FAST, data, output
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import theanets
from theanets import backends
from theanets.sklearn import NetAutoencoder, NetClassifier, NetRegressor
from theanets.structure import builds


@pytest.fixture
def compiled(monkeypatch):
    """Names of the functions that get compiled, of which there are none yet."""
    builds.clear()
    names = []
    real = backends.function

    def function(*args, **kwargs):
        names.append(kwargs["name"])
        return real(*args, **kwargs)

    monkeypatch.setattr(backends, "function", function)
    return names


# ---- in scikit-learn's tools ------------------------------------------------------------


def test_grid_search_in_a_pipeline_compiles_once(compiled):
    x, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), NetClassifier((5,), **FAST))
    grid = {"netclassifier__weight_l2": [0.1, 0.2], "netclassifier__learning_rate": [0.01, 0.1]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(x, y)
    assert search.best_params_["netclassifier__learning_rate"] == 0.1
    assert search.best_score_ > 0.6
    assert sorted(compiled) == ["evaluate", "predict", "step"]
    scores = cross_val_score(search.best_estimator_, x, y, cv=3)
    assert scores.mean() == pytest.approx(search.best_score_)
    assert len(compiled) == 3


@pytest.mark.parametrize("cls", EVERY)
def test_pickled(cls, rng):
    x, y = data(cls, rng)
    net = cls((6,), **FAST).fit(x, y)
    file = io.BytesIO()
    joblib.dump(net, file)
    file.seek(0)
    copies = [pickle.loads(pickle.dumps(net)), joblib.load(file)]
    for other in copies:
        np.testing.assert_array_equal(output(other, x), output(net, x))
        assert other.history_.rows == net.history_.rows
    # They go on alike, the optimizer's state included.
    for other in (net, *copies):
        other.partial_fit(x, y).partial_fit(x, y)
    np.testing.assert_array_equal(output(copies[0], x), output(net, x))


@pytest.mark.slow
def test_processes(rng):
    x, y = data(NetClassifier, rng)
    net = NetClassifier((4,), mode="FAST_COMPILE", **FAST)
    apart = cross_val_score(net, x, y, cv=2, n_jobs=2)
    np.testing.assert_array_equal(apart, cross_val_score(net, x, y, cv=2))


# ---- functions that are used again ------------------------------------------------------


@pytest.mark.parametrize("algo", ["adam", "l-bfgs"])
def test_functions_used_again_change_nothing(algo, rng, compiled):
    x, y = data(NetClassifier, rng)
    layers = [6, "batch_norm", (4, "tanh")]
    noise = dict(hidden_dropout=0.4, learning_rate=0.03) if algo == "adam" else {}
    net = NetClassifier(layers, algo=algo, batch_size=8, **noise, **FAST)
    first = net.fit(x, y).predict_proba(x)
    assert net.history_.best_epoch > 0
    number = len(compiled)
    network = net.network_
    other = clone(net).set_params(random_state=1).fit(x[::-1], y)
    second = other.predict_proba(x)
    assert np.abs(second - first).max() > 1e-6
    np.testing.assert_array_equal(net.predict_proba(x), first)
    np.testing.assert_array_equal(clone(net).fit(x, y).predict_proba(x), first)
    assert len(compiled) == number and net.network_ is network
    builds.clear()
    np.testing.assert_array_equal(clone(net).fit(x, y).predict_proba(x), first)
    assert len(compiled) == 2 * number
    np.testing.assert_array_equal(clone(other).fit(x[::-1], y).predict_proba(x), second)
    # The networks themselves are nobody else's.
    np.testing.assert_array_equal(network.predict_proba(x), first)
    network.train([x, y], epochs=1, patience=None)
    np.testing.assert_array_equal(net.predict_proba(x), network.predict_proba(x))


def test_structures_that_differ_share_nothing(rng, compiled):
    x, y = data(NetRegressor, rng)
    base = dict(hidden_layers=[(4, "tanh")], dtype="float64", **FAST)
    options = [
        {},
        dict(hidden_layers=[(4, "relu")]),
        dict(hidden_layers=[5]),
        dict(loss="mae"),
        dict(loss={"form": "huber", "delta": 2}),
        dict(dtype="float32"),
        dict(mode="FAST_COMPILE"),
        dict(output_activation="softplus"),
    ]
    fits = [lambda given=given: NetRegressor(**{**base, **given}).fit(x, y) for given in options]
    fits += [
        lambda: NetRegressor(**base).fit(x, y, rng.uniform(size=40)),
        lambda: NetRegressor(**base).fit(x[:, :4], y),
        lambda: NetAutoencoder(**base).fit(x),
    ]
    for fit in fits:
        before = len(compiled)
        fit()
        assert "step" in compiled[before:]
    before = len(compiled)
    for fit in fits:
        fit()
    # A weight is a number that the step is told.
    NetRegressor(**{**base, "loss": [{"form": "mse", "weight": 2}]}).fit(x, y)
    assert len(compiled) == before


def test_code_of_the_user_is_compiled_anew(rng):
    x, y = data(NetRegressor, rng)
    scale = [1.0]

    def scaled(target, output):
        return scale[0] * (target - output) ** 2

    class Own(theanets.Layer, register=False):
        def transform(self, inputs):
            return scale[0] * inputs.only

    for options in (dict(loss=scaled), dict(hidden_layers=[4, Own])):
        losses = []
        for scale[0] in (1.0, 5.0):
            net = NetRegressor(**{"hidden_layers": [4], **options}, **FAST).fit(x, y)
            losses.append(net.history_.rows[0]["train_loss"])
        assert losses[0] != losses[1]
    seen = []
    NetRegressor([4], callbacks=seen.append, **FAST).fit(x, y)
    assert len(seen) == 2


def test_an_error_does_not_spoil_what_is_shared(rng):
    x, y = data(NetRegressor, rng)
    net = NetRegressor((4,), **FAST)
    expected = clone(net).fit(x, y).predict(x)
    with pytest.raises(theanets.ConfigurationError):
        clone(net).set_params(epochs=-1).fit(x, y)
    np.testing.assert_array_equal(net.fit(x, y).predict(x), expected)


def test_threads(rng):
    x, y = data(NetRegressor, rng)
    expected = [
        NetRegressor((4,), **{**FAST, "random_state": i}).fit(x, y).predict(x) for i in range(4)
    ]
    found = [None] * 4

    def work(i):
        net = NetRegressor((4,), **{**FAST, "random_state": i}, mode="FAST_COMPILE")
        found[i] = net.fit(x, y).predict(x)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(found, expected)
