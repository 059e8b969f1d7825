"""Factors of classes, in the ways in which one writes them: lists, by label, and balanced."""

import hypothesis
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

import theanets
from theanets.losses import Loss
from theanets.sklearn import NetClassifier

OPTIONS = {"xe": "class_weight", "focal": "alpha"}
FAST = {"mode": "FAST_COMPILE", "epochs": 2, "algo": "sgd", "learning_rate": 0.1}


@pytest.mark.parametrize(("form", "key"), OPTIONS.items())
def test_factors_by_label_are_those_of_a_list(form, key, rng):
    scores, labels = rng.normal(size=(7, 3)), rng.integers(3, size=7)
    for by_label, listed in (
        ({0: 1, 2: 5}, [1, 1, 5]),
        ({"2": 0.5, np.int64(1): 0, 0: 2}, [2, 0, 0.5]),
        ({}, [1, 1, 1]),
        (np.array([3, 1, 2]), [3, 1, 2]),
        ((3, 1, 2), [3, 1, 2]),
    ):
        values = [
            Loss.build(form, logits=True, **{key: given}).value(scores, labels)
            for given in (by_label, listed)
        ]
        assert values[0] == values[1]
    # Of two classes, as Keras and scikit-learn write it, by hand.
    loss = Loss.build("xe", logits=True, class_weight={0: 1, 1: 5})
    logp = scores[:, :2] - np.logaddexp(scores[:, :1], scores[:, 1:2])
    labels = labels % 2
    w = np.where(labels == 1, 5, 1)
    expected = -(w * logp[np.arange(7), labels]).sum() / w.sum()
    assert loss.value(scores[:, :2], labels) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "value",
    ["Balanced", "x", 5, True, [], [[1, 2]], ["a", 1], [None, 1], {0: -1}, {"a": 1}, {True: 1},
     {-1: 1}, {0.5: 1}, {0: "5"}, {0: np.nan}, [np.inf], {(0,): 1}, b"12", object()],
)  # fmt: skip
@pytest.mark.parametrize(("form", "key"), OPTIONS.items())
def test_factors_without_meaning(form, key, value):
    with pytest.raises(theanets.ConfigurationError, match=rf"{key}=.*\{{0: 1, 1: 5\}}"):
        Loss.build(form, **{key: value})


def test_labels_that_the_output_does_not_have():
    net = theanets.Classifier([2, 3], loss={"form": "xe", "class_weight": {3: 2}})
    with pytest.raises(theanets.ConfigurationError, match=r"has the label 3, but .* 0 to 2"):
        net.evaluate([np.ones((2, 2)), [0, 1]])


def balanced(labels, classes, weights=None):
    labels, weights = np.ravel(labels), np.ones(len(labels)) if weights is None else weights
    labels, weights = labels[weights > 0], weights[weights > 0]
    there, found = np.unique(labels), np.ones(classes)
    if (weights == 1).all():
        found[there] = compute_class_weight("balanced", classes=there, y=labels)
    else:
        sums = np.array([weights[labels == label].sum() for label in there])
        found[there] = weights.sum() / (len(there) * sums)
    return found


@pytest.mark.parametrize(("form", "key"), OPTIONS.items())
@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(seed=st.integers(0, 2**32 - 1), weighted=st.booleans())
def test_labels_and_their_indicators_are_equal_data(form, key, seed, weighted):
    rng = np.random.default_rng(seed)
    classes, n = rng.integers(2, 5), rng.integers(1, 9)
    scores, labels = rng.normal(size=(n, classes)), rng.integers(classes, size=n)
    w = rng.integers(3, size=n).astype(float) if weighted else None
    loss = Loss.build(form, logits=True, **{key: (rng.integers(4, size=classes) / 2).tolist()})
    indicators = np.eye(classes)[labels]
    for compute in (loss.value, loss.gradient):
        np.testing.assert_allclose(
            compute(scores, indicators, w), compute(scores, labels, w), rtol=1e-9, atol=1e-12
        )


def test_factors_of_distributions():
    """By hand; and factors of 1 change nothing, whatever the targets add up to."""
    scores, target = (
        np.log([[0.5, 0.25, 0.25], [0.2, 0.4, 0.4]]),
        np.array([[0.5, 0.5, 0], [0, 0, 1]]),
    )
    errors = 0.5 * 4 * np.log(2) + 0.5 * 2 * np.log(4), -1 * np.log(0.4)
    loss = Loss.build("xe", logits=True, class_weight=[4, 2, 1])
    assert loss.value(scores, target) == pytest.approx(sum(errors) / (3 + 1), rel=1e-12)
    ones, plain = (
        Loss.build("xe", logits=True, class_weight=[1, 1, 1]),
        Loss.build("xe", logits=True),
    )
    for given in (target, 3 * target, 0 * target):
        assert ones.value(scores, given) == pytest.approx(plain.value(scores, given), rel=1e-12)


@pytest.mark.parametrize("indicators", [False, True])
def test_an_example_is_balanced_as_often_as_its_weight_says(indicators, rng):
    x, y, w = rng.normal(size=(12, 2)), np.arange(12) % 5 // 2, 1.0 + np.arange(12) % 3
    loss, data = {"form": "xe", "class_weight": "balanced"}, []
    for array in (x, np.eye(3)[y] if indicators else y):
        data.append((array, np.repeat(array, w.astype(int), axis=0)))
    found = []
    for i, weights in ((0, [w]), (1, [])):
        model = theanets.Regressor if indicators else theanets.Classifier
        net = model([2, (3, "softmax")], loss=loss, weighted=not i, rng=1)
        arrays = [a[i] for a in data]
        if indicators and weights:
            weights = [np.repeat(w[:, None], 3, axis=1)]
        net.train([*arrays, *weights], **FAST)
        found.append((net.losses[0].class_weight, net.evaluate([*arrays, *weights])["xe"]))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-12)
    assert not np.allclose(found[0][0], balanced(y, 3))


@pytest.mark.parametrize(("form", "key"), OPTIONS.items())
@pytest.mark.parametrize("kind", ["plain", "ignored", "weighted", "sparse", "split"])
def test_balanced_factors_are_those_of_scikit_learn(form, key, kind, rng):
    """And training with them is training with the numbers."""
    x = rng.normal(size=(60, 3)).astype("float32")
    y = np.digitize(rng.uniform(size=60), [0.7, 0.9])
    loss, data, counted, keywords = {"form": form}, [x, y], np.ones(60), {}
    if kind == "ignored":
        y[::4] = -1
        loss["ignore_index"], counted = -1, (y >= 0).astype(float)
    elif kind == "weighted":
        w = rng.uniform(size=60) * (rng.uniform(size=60) > 0.3)
        data, counted = [x, y, w.astype("float32")], w.astype("float32").astype(float)
    elif kind == "sparse":
        data = [sp.csr_array(x), y]
    elif kind == "split":
        keywords["validation_split"] = 0.5
    inputs = {"size": 3, "sparse": True} if kind == "sparse" else 3
    nets = []
    for given in ("balanced", balanced(y, 4, counted).tolist()):
        net = theanets.Classifier(
            [inputs, 4], loss={**loss, key: given}, weighted=kind == "weighted", rng=1
        )
        net.train(data, batch_size=16, **FAST, **keywords)
        nets.append(net)
    found = getattr(nets[0].losses[0], key)
    if kind == "split":
        # Of the examples that are trained on; here it is enough that they are fewer.
        assert found != getattr(nets[1].losses[0], key) and len(found) == 4
        return
    np.testing.assert_allclose(found, getattr(nets[1].losses[0], key), rtol=1e-12)
    np.testing.assert_allclose(
        nets[0].find("out.w").get_value(), nets[1].find("out.w").get_value(), rtol=1e-5
    )


def test_balanced_factors_of_series_and_distributions(rng):
    loss = {"form": "xe", "class_weight": "balanced"}
    net = theanets.recurrent.Classifier([2, (3, "rnn"), 3], loss=loss)
    series = [rng.normal(size=(n, 2)) for n in (2, 5, 3)]
    labels = [np.array([0, 2]), np.array([0, 0, 0, 2, 2]), np.array([0, 2, 0])]
    net.train([series, labels], **FAST)
    np.testing.assert_allclose(
        net.losses[0].class_weight, balanced(np.concatenate(labels), 3), rtol=1e-12
    )
    net = theanets.Regressor([2, (3, "softmax")], loss=loss)
    soft = np.array([[1, 0, 0], [0.5, 0.5, 0], [1, 0, 0], [0.5, 0.5, 0.0]])
    net.train([rng.normal(size=(4, 2)), soft], **FAST)
    np.testing.assert_allclose(net.losses[0].class_weight, [4 / 2 / 3, 4 / 2 / 1, 1])


def test_balance_needs_all_targets(rng):
    loss = {"form": "xe", "class_weight": "balanced"}
    net = theanets.Classifier([2, 2], loss=loss)
    batch = [np.ones((3, 2)), [0, 1, 1]]
    with pytest.raises(theanets.ConfigurationError, match="train first, or give numbers"):
        net.evaluate(batch)
    with pytest.raises(theanets.ConfigurationError, match="batch by batch; give numbers"):
        net.train(lambda: batch, batch, train_batches=2, **FAST)
    net.train(batch, **FAST)
    assert net.losses[0].class_weight == [1.5, 0.75]
    # The numbers stay, as do those that are saved.
    net.train([np.ones((2, 2)), [0, 1]], **FAST)
    assert net.losses[0].class_weight == [1.5, 0.75]


@pytest.mark.parametrize("given", [{0: 1, 1: 5}, "balanced", [1.0, 2.0]])
def test_factors_are_saved(tmp_path, given):
    net = theanets.Classifier([2, 2], loss={"form": "xe", "class_weight": given})
    data = [np.eye(2)[[0, 1, 1]], [0, 1, 1]]
    net.save(tmp_path / "before.st")
    assert theanets.Network.load(tmp_path / "before.st").losses[0].class_weight == given
    net.train(data, **FAST)
    net.save(tmp_path / "after.st")
    again = theanets.Network.load(tmp_path / "after.st")
    assert again.losses[0].class_weight == net.losses[0].class_weight
    assert again.evaluate(data, mode="FAST_COMPILE") == net.evaluate(data, mode="FAST_COMPILE")


def test_estimators_take_losses_that_are_balanced(rng):
    """Each computes its own factors, although functions are shared among equal ones."""
    x, y = rng.normal(size=(40, 3)), np.arange(40) % 4 // 3
    estimator = NetClassifier([], loss={"form": "xe", "class_weight": "balanced"}, **FAST)
    estimator.set_params(patience=None, random_state=0).fit(x, y)
    np.testing.assert_allclose(estimator.network_.losses[0].class_weight, [40 / 60, 2.0])
    estimator.fit(x, 1 - y)
    np.testing.assert_allclose(estimator.network_.losses[0].class_weight, [2.0, 40 / 60])
    assert estimator.loss == {"form": "xe", "class_weight": "balanced"}
