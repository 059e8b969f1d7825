"""The estimators go on with data, and stop."""

import numpy as np
import pytest
import scipy.sparse as sp
from estimator_cases import FAST, data, output
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

import theanets
from theanets.sklearn import NetAutoencoder, NetClassifier, NetRegressor

# ---- going on ---------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [NetClassifier, NetRegressor])
def test_partial_fit_goes_on_with_the_optimizer(cls, rng):
    """Against Adam in NumPy, of a linear model and one batch in each call."""
    x, y = data(cls, rng, 24)
    betas = {"beta1": 0.9, "beta2": 0.999}
    net = cls((), batch_size=24, learning_rate=0.1, train_options=betas, **FAST)
    first = dict(classes=[0, 1]) if cls is NetClassifier else {}

    def matrix(estimator):
        by_ndim = sorted((p.get_value() for p in estimator.network_.params), key=np.ndim)
        return np.vstack(by_ndim[::-1])

    # The initial values are those of a fit without epochs.
    expected = matrix(clone(net).set_params(epochs=0).fit(x, y))
    ones = np.hstack([x, np.ones((24, 1))])
    mean, square = 0.0, 0.0
    for step in range(1, 6):
        out = ones @ expected
        if cls is NetClassifier:
            slope = (np.exp(out) / np.exp(out).sum(axis=1, keepdims=True) - np.eye(2)[y]) / 24
        else:
            slope = 2 * (out - y[:, None]) / out.size
        gradient = ones.T @ slope
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        root = np.sqrt(square / (1 - 0.999**step)) + 1e-8
        expected = expected - 0.1 * mean / (1 - 0.9**step) / root
        net.partial_fit(x, y, **(first if step == 1 else {}))
        np.testing.assert_allclose(matrix(net), expected, rtol=1e-7)
    assert net.n_iter_ == 5


@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value encountered")
@pytest.mark.parametrize(
    "cls, layers, loss, algo, factor",
    [
        (NetRegressor, [], "mse", "adam", 1e30),
        # The loss is finite, and the parameters are; but no step is more than 0 afterwards.
        (NetRegressor, [], "mae", "adam", 1e20),
        # The loss is finite, but not the running variance.
        (NetClassifier, ["batch_norm", 4], None, "momentum", 1e30),
        (NetAutoencoder, [3], None, "rmsprop", 1e30),
    ],
)
def test_an_estimator_learns_on_after_data_that_diverged(cls, layers, loss, algo, factor, rng):
    """As if that call had not been, and with a warning."""
    x, y = (None if a is None else np.asarray(a, "float32") for a in data(cls, rng, 24))
    first = dict(classes=[0, 1]) if cls is NetClassifier else {}
    options = dict(
        loss=loss, algo=algo, mode="FAST_COMPILE", learning_rate=0.01, batch_size=24, random_state=0
    )
    untouched, harmed = (cls(layers, **options).partial_fit(x, y, **first) for _ in range(2))
    for _ in range(2):
        with pytest.warns(ConvergenceWarning, match="from before this call"):
            harmed.partial_fit(x * np.float32(factor), y)
        assert harmed.history_.stop_reason == "diverged"
    untouched.network_._runs = harmed.network_._runs
    for _ in range(3):
        before = output(harmed, x)
        for net in (untouched, harmed):
            net.partial_fit(x, y)
        assert not np.array_equal(output(harmed, x), before)
        np.testing.assert_array_equal(output(harmed, x), output(untouched, x))


def test_partial_fit_takes_weights_and_sparse_inputs(rng):
    x, y = data(NetClassifier, rng)
    weights = rng.uniform(size=40)
    nets = [NetClassifier((4,), batch_size=8, **FAST) for _ in range(2)]
    for i in range(2):
        nets[0].partial_fit(x, y, classes=[0, 1], sample_weight=weights if i else None)
        nets[1].partial_fit(
            sp.csc_array(x), y, classes=[0, 1], sample_weight=weights if i else np.ones(40)
        )
    np.testing.assert_array_equal(nets[0].predict_proba(x), nets[1].predict_proba(sp.coo_array(x)))


def test_partial_fit_of_unknown_classes(rng):
    x, y = data(NetClassifier, rng)
    with pytest.raises(ValueError, match="needs classes="):
        NetClassifier().partial_fit(x, y)
    with pytest.raises(ValueError, match=r"not among the classes: \[1\]"):
        NetClassifier().partial_fit(x, y, classes=[0, 2])
    net = NetClassifier((3,), **FAST).partial_fit(x, y, classes=[1, 0])
    with pytest.raises(ValueError, match=r"classes are \[0 1 2\]; before they were \[0 1\]"):
        net.partial_fit(x, y, classes=[0, 1, 2])


def test_warm_start(rng):
    x, y = data(NetRegressor, rng)
    net = NetRegressor((6,), warm_start=True, **FAST).fit(x, y)
    before = net.predict(x)
    net.set_params(epochs=0).fit(x, y)
    np.testing.assert_array_equal(net.predict(x), before)
    net.set_params(epochs=2).fit(x, y)
    after = net.predict(x)
    assert np.mean((after - y) ** 2) < np.mean((before - y) ** 2)
    net.set_params(warm_start=False, epochs=2).fit(x, y)
    np.testing.assert_array_equal(net.predict(x), before)
    with pytest.raises(ValueError, match=r"hidden_layers=\(7,\) has other parameters"):
        net.set_params(warm_start=True, hidden_layers=(7,)).fit(x, y)


# ---- stopping ---------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered")
def test_warns_unless_it_converges(rng):
    x, y = data(NetRegressor, rng)
    with pytest.warns(ConvergenceWarning, match=r"epochs=3 were used up") as caught:
        NetRegressor((3,), epochs=3, random_state=0).fit(x, y)
    assert caught[0].filename == __file__
    # A linear model of linear data has nothing to improve after a while.
    net = NetRegressor((), algo="l-bfgs", random_state=0).fit(x, y)
    assert net.history_.stop_reason == "converged"
    assert net.score(x, y) > 0.999
    with pytest.warns(ConvergenceWarning, match="NaN or infinite"):
        NetRegressor((3,), algo="sgd", learning_rate=1e30, random_state=0).fit(x, y)


def test_validation_fraction(rng):
    x, y = data(NetClassifier, rng, 60)
    y[:6], y[6:] = 1, 0
    seen = []
    options = dict(validation_fraction=0.5, callbacks=lambda run: seen.append(run._data.valid))
    NetClassifier((4,), **options, **FAST).fit(x, y, rng.uniform(0.1, 1, size=60))
    valid = [array for (array, *_), _ in seen[0].epoch()]
    labels = np.concatenate([rows[1] for rows, _ in seen[0].epoch()])
    assert len(np.concatenate(valid)) == 30 and labels.sum() == 3
    # A class of one example cannot be in both parts.
    y[1:] = 0
    NetClassifier((4,), **options, **FAST).fit(x, y)
    for wrong in (1.5, 3, True, "a"):
        with pytest.raises(theanets.ConfigurationError, match="validation_fraction="):
            NetClassifier((4,), validation_fraction=wrong, **FAST).fit(x, y)


def test_errors_are_those_of_the_library(rng):
    x, y = data(NetRegressor, rng)
    for options, message in (
        (dict(hidden_layers="10"), "hidden_layers='10' is neither"),
        (dict(hidden_layers=[(10, "tan")]), "did you mean 'tanh'"),
        (dict(train_options={"hidden_l7": 1}), "hidden_l7"),
        (dict(loss="mea"), "mea"),
        (dict(dtype="float16"), "float16"),
        (dict(epochs=-1), "epochs=-1"),
    ):
        with pytest.raises(ValueError, match=message.replace("(", r"\(")):
            NetRegressor(**{**FAST, **options}).fit(x, y)
    with pytest.raises(NotFittedError):
        NetRegressor().predict(x)
