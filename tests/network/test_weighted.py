"""Weighted targets in networks: exact, and weight 0 means no influence at all."""

import numpy as np
import pytensor
import pytest
import scipy.sparse as sp

import theanets

RNG = np.random.default_rng(3)
X = RNG.normal(size=(12, 4))
Y = RNG.normal(size=(12, 3))
LABELS = RNG.integers(0, 3, 12)


class Watch(theanets.Callback):
    """Keeps the parameters after an update."""

    def batch(self, run):
        self.values = [p.get_value() for p in run.params]


def regressor(**kwargs):
    net = theanets.Regressor(
        [4, (5, "tanh"), 3], dtype="float64", weighted=True, **{"rng": 13, **kwargs}
    )
    return net, (X, Y), RNG.uniform(size=(12, 3))


def classifier(**kwargs):
    net = theanets.Classifier(
        [4, (5, "tanh"), 3], dtype="float64", weighted=True, **{"rng": 13, **kwargs}
    )
    return net, (X, LABELS), RNG.uniform(size=12)


def autoencoder(**kwargs):
    net = theanets.Autoencoder(
        [4, (2, "tanh"), 4], dtype="float64", weighted=True, **{"rng": 13, **kwargs}
    )
    return net, (X,), RNG.uniform(size=(12, 4))


MODELS = [regressor, classifier, autoencoder]


def errors(net, data):
    """The error of each entry, by NumPy."""
    if isinstance(net, theanets.Classifier):
        return -np.log(net.predict_proba(data[0])[np.arange(len(data[1])), data[1]])
    return (net.predict(data[0]) - data[-1]) ** 2


def gradients(net, data):
    loss = net.loss()
    function = pytensor.function(net.variables, [loss, *pytensor.grad(loss, net.params)])
    return function(*(np.asarray(a, v.dtype) for a, v in zip(data, net.variables, strict=True)))


@pytest.mark.parametrize("model", MODELS)
def test_value(model):
    net, data, w = model()
    expected = (w * errors(net, data)).sum() / w.sum()
    for size in (1, 5, 12):
        assert net.evaluate([*data, w], batch_size=size)["loss"] == pytest.approx(expected)
    named = dict(zip(["in", "target"], data, strict=False))
    assert net.evaluate({**named, "weights": w})["loss"] == pytest.approx(expected)


WRONG = [(-1.0, "-1"), (-1e-40, "-1e-40"), (1e38, "1e[+]38"), (1e-46, "1e-46"), (1e200, "1e[+]200")]


@pytest.mark.parametrize(("wrong", "shown"), WRONG)
@pytest.mark.parametrize("form", [np.asarray, list, sp.csr_array, iter, "memmap", "named"])
def test_weights_without_meaning_are_refused(wrong, shown, form, tmp_path):
    net = theanets.Regressor([4, 3], weighted=True)
    w = np.ones((12, 3))
    w[5, 1], w[0] = wrong, 0
    data = [X, Y, w]
    if form == "memmap":
        np.save(tmp_path / "w.npy", w)
        data = [X, Y, np.load(tmp_path / "w.npy", mmap_mode="r")]
    elif form == "named":
        data = {"in": X, "target": Y, "weights": w}
    elif form is not iter:
        data = [X, Y, form(w)]
    with pytest.raises(
        theanets.DataError, match=f"weights.* has the weight {shown}; expected 0, or"
    ):
        net.train(iter([data]) if form is iter else data, [X, Y, np.ones(12)], epochs=1)
    if form is np.asarray:
        with pytest.raises(theanets.DataError, match="weight"):
            net.losses[0].value(X[:, :3].astype("float32"), Y, w)


@pytest.mark.parametrize("size", [1e-30, 1e-9, 1e9, 1e30])
def test_the_size_of_weights_changes_nothing(size):
    net, data, w = regressor()
    net = theanets.Regressor([4, 3], weighted=True, rng=1)
    w[0] = 0
    expected = net.evaluate([*data, w])["loss"]
    w = w * size / w[w > 0].min() if size < 1 else w * size / w.max()
    assert net.evaluate([*data, w])["loss"] == pytest.approx(expected, rel=1e-5)
    net.train([*data, w], algo="sgd", learning_rate=0.1, epochs=3, progress=False)
    other = theanets.Regressor([4, 3], weighted=True, rng=1)
    other.train([*data, w / size], algo="sgd", learning_rate=0.1, epochs=3, progress=False)
    for one, two in zip(net.params, other.params, strict=True):
        np.testing.assert_allclose(one.get_value(), two.get_value(), rtol=1e-4, atol=1e-6)
    assert net.history.best_epoch > 0


@pytest.mark.parametrize("model", MODELS)
def test_weights_of_examples_are_broadcast(model):
    net, data, _ = model()
    w = RNG.uniform(size=12)
    e = errors(net, data)
    expected = (w * e.reshape(12, -1).mean(axis=1)).sum() / w.sum()
    for form in (w, w[:, None]):
        assert net.evaluate([*data, form])["loss"] == pytest.approx(expected)
    watch = [Watch(), Watch()]
    for callback, form in zip(
        watch, (w, np.broadcast_to(w.reshape(-1, *[1] * (e.ndim - 1)), e.shape)), strict=True
    ):
        net, *_ = model()
        net.train([*data, form], epochs=1, callbacks=callback)
    for one, two in zip(watch[0].values, watch[1].values, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("model", MODELS)
def test_weight_zero_is_as_if_the_example_was_not_there(model):
    """Also where what is masked is NaN, in targets and in inputs."""
    net, data, w = model()
    w[[1, 4, 5]] = 0
    kept = w.reshape(12, -1).any(axis=1)
    whole = gradients(net, [*data, w])
    part = gradients(net, [*(a[kept] for a in data), w[kept]])
    for one, two in zip(whole, part, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-15)
    dirty = [
        np.where(kept.reshape(-1, *[1] * (a.ndim - 1)), a, np.nan) if a.dtype.kind == "f" else a
        for a in data
    ]
    clean = net.evaluate([*(a[kept] for a in data), w[kept]])
    found = net.evaluate([*dirty, w])
    assert found == pytest.approx(clean, rel=1e-12)
    watches = []
    for arrays in ([*(a[kept] for a in data), w[kept]], [*dirty, w]):
        net, *_ = model()
        watches.append(Watch())
        net.train(arrays, algo="sgd", learning_rate=0.1, epochs=1, callbacks=watches[-1])
    for one, two in zip(watches[0].values, watches[1].values, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-15)


def test_single_entries_of_a_target_may_be_missing():
    net, (x, y), w = regressor()
    w[RNG.uniform(size=w.shape) < 0.5] = 0
    expected = (w * errors(net, (x, y))).sum() / w.sum()
    dirty = np.where(w == 0, np.nan, y)
    assert net.evaluate([x, dirty, w])["loss"] == pytest.approx(expected)
    one, two = gradients(net, [x, y, w]), gradients(net, [x, dirty, w])
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)
    dirty[0, 0], w[0, 0] = np.inf, 0
    assert net.evaluate([x, dirty, w])["loss"] == pytest.approx(
        (w * np.where(w == 0, 0, errors(net, (x, y)))).sum() / w.sum()
    )


def test_single_entries_of_an_input_may_be_missing():
    """An autoencoder sees 0 in their place."""
    net, (x,), w = autoencoder()
    w[RNG.uniform(size=w.shape) < 0.5] = 0
    seen = np.where(w == 0, 0, x)
    expected = (w * (net.predict(seen) - x) ** 2).sum() / w.sum()
    assert net.evaluate([np.where(w == 0, np.nan, x), w])["loss"] == pytest.approx(expected)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("algo", ["sgd", "adam"])
def test_weights_that_are_all_zero(model, algo):
    net, data, w = model()
    results = gradients(net, [*data, 0 * w])
    assert all((result == 0).all() for result in results)
    before = [p.get_value() for p in net.params]
    with pytest.raises(theanets.DataError, match="train data: nothing counts for the loss"):
        net.train([*data, 0 * w], algo=algo, epochs=2, batch_size=5)
    assert net.evaluate([*data, 0 * w])["loss"] == 0
    # Of batches that come in, all may be so by chance.
    watch, batch = Watch(), [*data, 0 * w]
    options = dict(algo=algo, epochs=1, train_batches=2, callbacks=watch)
    net.train(iter([batch, batch]), [*data, w], **options)
    for value, start in zip(watch.values, before, strict=True):
        np.testing.assert_array_equal(value, start)
    assert net.history["train_loss"] == [0]
    # A batch without weight between others does no harm either.
    w[:5] = 0
    found = net.train([*data, w], algo=algo, epochs=2, batch_size=5)
    assert all(np.isfinite(list(monitors.values())).all() for monitors in found)


def test_several_losses_on_one_weighted_target():
    net, (x, y), w = regressor()
    net.add_loss("mae", weight=2)
    assert [v.name for v in net.variables] == ["in", "target", "weights"]
    e = net.predict(x) - y
    expected = (w * e**2).sum() / w.sum() + 2 * (w * np.abs(e)).sum() / w.sum()
    assert net.evaluate([x, y, w])["loss"] == pytest.approx(expected)


def test_a_loss_without_weights_sees_all_entries():
    net, (x, y), w = regressor()
    net.add_loss("mae", weighted=False)
    e = net.predict(x) - y
    expected = (w * e**2).sum() / w.sum() + np.abs(e).mean()
    assert net.evaluate([x, y, w])["loss"] == pytest.approx(expected)
    w[0, 0], y = 0, y.copy()
    y[0, 0] = np.nan  # Not masked for the second loss.
    with pytest.raises(theanets.DataError, match=r"target.*nan at \[0, 0\]"):
        net.evaluate([x, y, w])
    auto, (x,), w = autoencoder()
    auto.add_loss("mae", weighted=False)
    w[0, 0], x = 0, x.copy()
    x[0, 0] = np.nan
    with pytest.raises(theanets.DataError, match=r"in.*nan at \[0, 0\]"):
        auto.evaluate([x, w])


def test_weighted_accuracy():
    net, (x, labels), w = classifier()
    met = net.predict(x) == labels
    for size in (1, 5, 12):
        found = net.evaluate([x, labels, w], batch_size=size)["acc"]
        assert found == pytest.approx((w * met).sum() / w.sum())


# ---- at work ---------------------------------------------------------------------------------


def test_matrix_completion():
    """A weighted autoencoder fills in the unknown entries of a matrix of low rank."""
    rng = np.random.default_rng(0)
    rank, rows, columns = 2, 300, 20
    matrix = rng.normal(size=(rows, rank)) @ rng.normal(size=(rank, columns))
    hidden = rng.uniform(size=matrix.shape) < 0.3
    known = np.where(hidden, np.nan, matrix)
    net = theanets.Autoencoder([columns, (rank, "linear"), columns], weighted=True)
    net.train([known, ~hidden], algo="adam", learning_rate=0.02, epochs=60, batch_size=30)
    filled = net.predict(known)

    def rmse(guess):
        return np.sqrt(((guess - matrix)[hidden] ** 2).mean())

    means = np.broadcast_to(np.nanmean(known, axis=0), matrix.shape)
    assert rmse(filled) < 0.6 * rmse(means)


def test_a_rare_class_is_found_with_weights():
    """One example in a thousand is positive."""
    rng = np.random.default_rng(0)
    n, positives = 20000, 20
    y = np.zeros(n, int)
    y[rng.choice(n, positives, replace=False)] = 1
    x = rng.normal(size=(n, 5))
    x[y == 1, :2] += 2.5
    keywords = {"algo": "adam", "learning_rate": 0.02, "epochs": 2, "batch_size": 500}

    def recall(net):
        return (net.predict(x)[y == 1] == 1).mean()

    plain = theanets.Classifier([5, 8, 2])
    plain.train([x, y], **keywords)
    assert recall(plain) <= 0.1
    assert plain.score(x, y) >= 0.999 - 1e-9  # as good as always predicting the other class
    weighted = theanets.Classifier([5, 8, 2], weighted=True)
    weighted.train([x, y, np.where(y == 1, n / positives, 1.0)], **keywords)
    assert recall(weighted) >= 0.8
    assert (weighted.predict(x)[y == 0] == 0).mean() > 0.8
