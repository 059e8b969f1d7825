"""The estimators keep to scikit-learn's conventions, and compute what the networks compute."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from estimator_cases import EVERY, FAST, data, output
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.metrics import r2_score
from sklearn.utils.estimator_checks import parametrize_with_checks

import theanets
from theanets.sklearn import NetAutoencoder, NetClassifier, NetRegressor

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


# ---- functions that are used again ------------------------------------------------------


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
