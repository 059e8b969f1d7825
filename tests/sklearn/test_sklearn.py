"""The estimators keep to scikit-learn's conventions, and compute what the networks compute."""

import io
import pickle
import subprocess
import sys
import threading

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import load_iris, make_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import theanets
from theanets import backends
from theanets.sklearn import NetAutoencoder, NetClassifier, NetRegressor, reuse

FAST = dict(epochs=2, patience=None, random_state=0)
EVERY = [NetClassifier, NetRegressor, NetAutoencoder]


@pytest.fixture(autouse=True)
def empty_pool(request):
    # What others have left may well be of use to the many checks.
    if "check" not in request.fixturenames:
        reuse._idle.clear()


@pytest.fixture
def compiled(monkeypatch):
    """Names of the functions that get compiled."""
    names = []
    real = backends.function

    def function(*args, **kwargs):
        names.append(kwargs["name"])
        return real(*args, **kwargs)

    monkeypatch.setattr(backends, "function", function)
    return names


def data(cls, rng, n=40):
    x = rng.normal(size=(n, 5))
    y = {NetClassifier: (x[:, 0] > 0).astype(int), NetRegressor: x[:, :2] @ [1.0, 2.0]}
    return x, y.get(cls)


def output(estimator, x):
    method = "transform" if isinstance(estimator, NetAutoencoder) else "predict"
    return getattr(estimator, "predict_proba", getattr(estimator, method))(x)


# ---- scikit-learn's own checks ---------------------------------------------------------

# Few updates, that lead far enough.
CHECKED = dict(hidden_layers=(10,), epochs=12, batch_size=100, learning_rate=0.05)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks([cls(**CHECKED) for cls in EVERY])
def test_check_of_scikit_learn(estimator, check):
    check(estimator)


# ---- it is the network of the same parameters ------------------------------------------


@pytest.mark.parametrize("cls", EVERY)
def test_trains_as_the_network_does(cls, rng):
    x, y = data(cls, rng)
    options = dict(batch_size=7, weight_l2=0.1, hidden_dropout=0.2, learning_rate=0.01)
    estimator = cls([6, (4, "tanh")], activation="sigmoid", **options, **FAST).fit(x, y)
    model = {NetClassifier: theanets.Classifier, NetRegressor: theanets.Regressor}
    last = {NetClassifier: 2, NetRegressor: 1}.get(cls, 5)
    net = model.get(cls, theanets.Autoencoder)(
        [5, (6, "sigmoid"), (4, "tanh"), last],
        rng=np.random.RandomState(0).randint(np.iinfo(np.int32).max),
        dtype="float64",
    )
    net.train([x] if y is None else [x, y], epochs=2, patience=None, **options)
    for mine, theirs in zip(estimator.network_.params, net.params):
        np.testing.assert_array_equal(mine.get_value(), theirs.get_value())


def test_outputs_of_classifier_agree(rng):
    x, y = data(NetClassifier, rng)
    for labels in (y, y + 2 * (x[:, 1] > 0)):
        names = np.array(["red", "green", "blue", "a longer name"])[labels]
        net = NetClassifier((8,), **FAST).fit(x, names)
        assert list(net.classes_) == sorted(set(names))
        probabilities, scores = net.predict_proba(x), net.decision_function(x)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)
        np.testing.assert_allclose(np.exp(net.predict_log_proba(x)), probabilities)
        if len(net.classes_) == 2:
            np.testing.assert_allclose(1 / (1 + np.exp(-scores)), probabilities[:, 1])
        else:
            odds = np.exp(scores)
            np.testing.assert_allclose(odds / odds.sum(axis=1, keepdims=True), probabilities)
        best = net.classes_[probabilities.argmax(axis=1)]
        np.testing.assert_array_equal(net.predict(x), best)
        assert net.score(x, names) == np.mean(best == names)


def test_regressor_has_the_shape_of_its_targets(rng):
    x, y = data(NetRegressor, rng)
    for targets in (y, y[:, None], np.stack([y, -y, y**2], axis=1)):
        net = NetRegressor((8,), **FAST).fit(x, targets)
        assert net.predict(x).shape == targets.shape
        assert net.score(x, targets) == pytest.approx(r2_score(targets, net.predict(x)))
    positive = NetRegressor((8,), output_activation="softplus", **FAST).fit(x, y)
    assert positive.predict(x).min() > 0


def test_autoencoder_code(rng):
    x, _ = data(NetAutoencoder, rng)
    coder = NetAutoencoder([6, (2, "linear"), 4], **FAST).fit(x)
    code = coder.transform(x)
    assert code.shape == (40, 2)
    assert list(coder.get_feature_names_out()) == ["netautoencoder0", "netautoencoder1"]
    copied = coder.inverse_transform(code)
    np.testing.assert_allclose(copied, coder.network_.predict(x))
    assert coder.score(x) == pytest.approx(r2_score(x, copied))
    weights = rng.uniform(size=40)
    assert coder.score(x, sample_weight=weights) == pytest.approx(
        r2_score(x, copied, sample_weight=weights)
    )
    with pytest.raises(theanets.ConfigurationError, match="no hidden layer"):
        NetAutoencoder(()).fit(x)
    other = clone(coder).set_params(code_layer="hid1").fit(x)
    np.testing.assert_allclose(other.transform(x), other.network_.feed_forward(x)["hid1:out"])


def test_losses_and_layers_of_any_kind(rng):
    x, y = data(NetRegressor, rng)

    def fourth_power(target, output):
        return (target - output) ** 4

    losses = ["mae", {"form": "mse", "weight": 2}, fourth_power, theanets.Loss.build("huber")]
    layer = theanets.Layer.build("feedforward", size=3)
    layers = [{"form": "reshape", "shape": (5, 1)}, "flat", (6, "tanh"), layer]
    net = NetRegressor(layers, loss=losses, **FAST).fit(x, y)
    assert [loss.weight for loss in net.network_.losses] == [1, 2, 1, 1]
    assert net.network_.losses[3] is not losses[3] and not layer.bound
    # Twice, as neither the layer nor the loss belongs to a network.
    np.testing.assert_array_equal(clone(net).fit(x, y).predict(x), net.fit(x, y).predict(x))
    assert len(NetRegressor(3, **FAST).fit(x, y).network_.layers) == 3
    assert len(NetRegressor((), **FAST).fit(x, y).network_.layers) == 2


# ---- weights ---------------------------------------------------------------------------


@pytest.mark.parametrize("cls", EVERY)
def test_weight_zero_is_removal(cls, rng):
    x, y = data(cls, rng)
    weights = (rng.uniform(size=40) > 0.3).astype(float)
    kept = weights > 0
    net = cls((6,), batch_size=8, **FAST)
    of_part = output(clone(net).fit(x[kept], None if y is None else y[kept]), x)
    np.testing.assert_array_equal(of_part, output(net.fit(x, y, sample_weight=weights), x))
    assert np.abs(of_part - output(net.fit(x, y), x)).max() > 1e-6


def test_class_weights(rng):
    x, y = make_classification(200, weights=[0.8], random_state=0)
    net = NetClassifier((6,), batch_size=200, **FAST)
    balanced = clone(net).set_params(class_weight="balanced").fit(x, y)
    weights = rng.uniform(0.5, 1, size=200)
    by_class = 200 / (2 * np.bincount(y)[y])
    np.testing.assert_array_equal(
        balanced.predict_proba(x), net.fit(x, y, by_class).predict_proba(x)
    )
    both = clone(net).set_params(class_weight={0: 3.0}).fit(x, y, weights)
    product = np.where(y == 0, 3, 1) * weights
    np.testing.assert_array_equal(both.predict_proba(x), net.fit(x, y, product).predict_proba(x))
    assert np.abs(both.predict_proba(x) - balanced.predict_proba(x)).max() > 1e-6


def test_balance_is_of_examples_that_count(rng):
    x, y = make_classification(60, weights=[0.8], random_state=0)
    kept = (y == 1) | (rng.uniform(size=60) > 0.6)
    net = NetClassifier((6,), class_weight="balanced", batch_size=8, **FAST)
    np.testing.assert_array_equal(
        clone(net).fit(x[kept], y[kept]).predict_proba(x),
        clone(net).fit(x, y, sample_weight=kept.astype(float)).predict_proba(x),
    )
    # A batch that does not have the class of the weight.
    net.set_params(class_weight={0: 3.0}).partial_fit(x[y == 1], y[y == 1], classes=[0, 1])


def test_several_classes_for_each_example(rng):
    """Against a network of sigmoids that is trained on the same matrix."""
    x = rng.normal(size=(40, 5))
    y = (x[:, :3] > [0.0, -0.5, 5.0]).astype(int)
    net = NetClassifier((8,), batch_size=8, **FAST).fit(x, y)
    other = theanets.Regressor(
        [5, (8, "relu"), (3, "sigmoid")], loss="bce", rng=net.network_.seed, dtype="float64"
    )
    other.train([x, y], epochs=2, patience=None, batch_size=8)
    np.testing.assert_array_equal(net.predict_proba(x), other.predict(x))
    assert list(net.classes_) == [0, 1, 2]
    for several in (net, pickle.loads(pickle.dumps(net)), clone(net).fit(x, sp.csr_array(y))):
        np.testing.assert_array_equal(several.predict(x), other.predict(x) > 0.5)
    assert net.score(x, y) == (net.predict(x) == y).all(axis=1).mean()
    np.testing.assert_allclose(1 / (1 + np.exp(-net.decision_function(x))), net.predict_proba(x))
    np.testing.assert_allclose(net.predict_log_proba(x), np.log(net.predict_proba(x)))
    net = NetClassifier((8,), loss=["bce", "mse"], **FAST).partial_fit(x, y).partial_fit(x, y)
    kept = x[:, 0] > 0
    weighted = clone(net).fit(x, y, sample_weight=kept)
    of_part = clone(net).fit(x[kept], y[kept])
    np.testing.assert_array_equal(weighted.predict_proba(x), of_part.predict_proba(x))
    for wrong, match in (
        (dict(y=y[:, 0]), "one label for each example; before it was a matrix"),
        (dict(y=y[:, :2]), r"classes are \[0 1\]; before"),
        (dict(y=y, classes=[0, 1]), "y has 3 columns, but the classes"),
    ):
        with pytest.raises(ValueError, match=match):
            net.partial_fit(x, **wrong)
    with pytest.raises(ValueError, match="class_weight='balanced' is for one label"):
        net.set_params(class_weight="balanced").fit(x, y)


@pytest.mark.parametrize("weights", [np.zeros(40), np.r_[-1.0, np.ones(39)]])
def test_weights_without_meaning(weights, rng):
    x, y = data(NetRegressor, rng)
    with pytest.raises(ValueError, match=r"weight"):
        NetRegressor(**FAST).fit(x, y, sample_weight=weights)


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


# ---- randomness and types ---------------------------------------------------------------


@pytest.mark.parametrize("cls", EVERY)
def test_random_state_governs_everything(cls, rng):
    x, y = data(cls, rng)
    options = dict(epochs=2, patience=None, hidden_dropout=0.3, batch_size=8)

    def fitted(random_state):
        net = cls((6,), validation_fraction=0.2, **options, random_state=random_state)
        return output(net.fit(x, y), x)

    np.testing.assert_array_equal(fitted(3), fitted(3))
    np.testing.assert_array_equal(*(fitted(np.random.RandomState(3)) for _ in range(2)))
    assert np.abs(fitted(3) - fitted(4)).max() > 1e-6
    assert np.abs(fitted(None) - fitted(None)).max() > 1e-6
    # Without one, the seed of the package, if it was set, else NumPy's as in scikit-learn.
    for set_seed in (theanets.set_seed, np.random.seed):
        theanets.set_seed(None)
        found = []
        for seed in (5, 5, 6):
            set_seed(seed)
            found.append(fitted(None))
        np.testing.assert_array_equal(found[0], found[1])
        assert np.abs(found[0] - found[2]).max() > 1e-6


def test_types(rng):
    x, y = data(NetRegressor, rng)
    for dtype, given, expected in (
        ("auto", "float64", "float64"),
        ("auto", "float32", "float32"),
        ("auto", "int64", "float64"),
        ("float32", "float64", "float32"),
        (np.float64, "float32", "float64"),
    ):
        net = NetRegressor((3,), dtype=dtype, **FAST).fit(x.astype(given), y)
        assert net.network_.dtype == net.predict(x).dtype == expected
    coder = NetAutoencoder((3,), dtype="float32", **FAST)
    assert coder.__sklearn_tags__().transformer_tags.preserves_dtype == ["float32"]


@pytest.mark.parametrize("cls", EVERY)
def test_sparse_inputs(cls, rng):
    x, y = data(cls, rng)
    x[np.abs(x) < 0.5] = 0
    net = cls((6,), batch_size=8, validation_fraction=0.2, **FAST)
    dense = output(clone(net).fit(x, y, np.arange(40)), x)
    for kind in (sp.csr_array, sp.csc_matrix):
        np.testing.assert_array_equal(output(net.fit(kind(x), y, np.arange(40)), kind(x)), dense)


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
    reuse._idle.clear()
    np.testing.assert_array_equal(clone(net).fit(x, y).predict_proba(x), first)
    assert len(compiled) == 2 * number
    reuse._idle.clear()
    np.testing.assert_array_equal(clone(other).fit(x[::-1], y).predict_proba(x), second)
    # The networks themselves are nobody else's.
    np.testing.assert_array_equal(network.predict_proba(x), first)
    network.train([x, y], epochs=1, patience=None)
    np.testing.assert_array_equal(net.predict_proba(x), network.predict_proba(x))


def test_structures_that_differ_share_nothing(rng):
    x, y = data(NetRegressor, rng)
    base = dict(hidden_layers=[(4, "tanh")], dtype="float64", **FAST)
    options = [
        {},
        dict(hidden_layers=[(4, "relu")]),
        dict(hidden_layers=[5]),
        dict(loss="mae"),
        dict(loss=[{"form": "mse", "weight": 2}]),
        dict(dtype="float32"),
        dict(mode="FAST_COMPILE"),
        dict(output_activation="softplus"),
    ]
    for given in options:
        NetRegressor(**{**base, **given}).fit(x, y)
    NetRegressor(**base).fit(x, y, rng.uniform(size=40))
    NetRegressor(**base).fit(x[:, :4], y)
    NetAutoencoder(**base).fit(x)
    assert len(reuse._idle) == len(options) + 3


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
    assert not reuse._idle and len(seen) == 2


def test_pool_is_limited(rng, monkeypatch):
    x, y = data(NetRegressor, rng)
    monkeypatch.setattr(reuse, "POOL_SIZE", 2)
    nets = [NetRegressor((size,), **FAST).fit(x, y) for size in (2, 3, 4)]
    assert [net.layers[1].output_size for net in reuse._idle.values()] == [3, 4]
    nets[1].predict(x)
    assert [net.layers[1].output_size for net in reuse._idle.values()] == [4, 3]
    monkeypatch.setattr(reuse, "LARGEST", 10)
    NetRegressor((9,), **FAST).fit(x, y).predict(x)
    assert len(reuse._idle) == 2


def test_an_error_does_not_spoil_the_pool(rng):
    x, y = data(NetRegressor, rng)
    net = NetRegressor((4,), **FAST)
    expected = clone(net).fit(x, y).predict(x)
    with pytest.raises(theanets.ConfigurationError):
        clone(net).set_params(epochs=-1).fit(x, y)
    assert not reuse._idle
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


def test_the_package_does_not_need_scikit_learn():
    code = """
import sys
sys.modules["sklearn"] = None
import theanets
try:
    import theanets.sklearn
except ImportError as error:
    assert "theanets[sklearn]" in str(error)
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_does_not_import_scikit_learn():
    code = "import sys, theanets; assert 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
