"""Predictions and evaluations of blocks are those of the whole, and load a network once."""

import pickle

import numpy as np
import pytest

pytest.importorskip("distributed")

import dask
import dask.array as da
import dask.bag
import dask.dataframe as dd
import pandas as pd

import theanets
import theanets.dask
from theanets.dask import models


def blocks(array, rows=20):
    return da.from_array(array, chunks=(rows, *array.shape[1:]))


@pytest.fixture
def x(rng):
    return rng.normal(size=(103, 4)).astype("float32")


@pytest.fixture
def net():
    return theanets.Regressor([4, 5, (2, "tanh")])


@pytest.mark.parametrize("scheduler", ["threads", "sync"])
def test_of_arrays(net, x, scheduler):
    found = theanets.dask.predict(None, net, blocks(x))
    assert found.chunks == ((20,) * 5 + (3,), (2,)) and found.dtype == "float32"
    expected = net.predict(x)
    net.params[0].set_value(net.params[0].get_value() * 0)  # of the network as it was
    np.testing.assert_array_equal(found.compute(scheduler=scheduler), expected)


def test_of_methods_and_shapes(x, rng):
    net = theanets.Classifier([4, 5, 3])
    labels = theanets.dask.predict(None, net, blocks(x))
    assert labels.shape == (103,) and labels.dtype == net.predict(x).dtype
    np.testing.assert_array_equal(labels, net.predict(x))
    proba = theanets.dask.predict(None, net, blocks(x), method="predict_proba", batch_size=7)
    np.testing.assert_allclose(proba, net.predict_proba(x), rtol=1e-6)
    series = rng.normal(size=(30, 6, 4)).astype("float32")
    net = theanets.recurrent.Regressor([4, (3, "rnn"), 2])
    found = theanets.dask.predict(None, net, blocks(series, 8))
    assert found.shape == (30, 6, 2)
    np.testing.assert_array_equal(found, net.predict(series))


def test_of_several_inputs(x):
    net = theanets.Network([4], loss="mse")
    net.add_layer(form="input", name="other", size=2)
    net.add_layer(form="concatenate", size=6, inputs=["in", "other"], name="both")
    net.add_layer(1, name="out")
    other = x[:, :2] ** 2
    for given in ([x, other], {"other": other, "in": x}):
        several = {k: blocks(v) for k, v in given.items()} if isinstance(given, dict) else None
        several = several or [blocks(given[0]), blocks(given[1], 50)]
        found = theanets.dask.predict(None, net, several)
        np.testing.assert_allclose(found, net.predict(given), rtol=1e-4, atol=1e-6)


def test_of_blocks_of_unknown_size_and_of_none(net, x):
    some = blocks(x)
    some = some[(some[:, 0] > 0) & (da.arange(103, chunks=20) < 40)]  # whole blocks are empty
    found = theanets.dask.predict(None, net, some)
    assert np.isnan(found.shape[0])
    rows = (x[:, 0] > 0) & (np.arange(103) < 40)
    np.testing.assert_allclose(found.compute(), net.predict(x[rows]), rtol=1e-6)


def test_of_dataframes(x):
    frame = pd.DataFrame(x, columns=list("abcd"), index=np.arange(103) * 2)
    parts = dd.from_pandas(frame, npartitions=4)
    net = theanets.Regressor([4, 5, 2])
    found = theanets.dask.predict(None, net, parts)
    assert found.divisions == parts.divisions and list(found.dtypes) == ["float32"] * 2
    expected = pd.DataFrame(net.predict(x), index=frame.index)
    pd.testing.assert_frame_equal(found.compute(), expected)
    few = parts[parts.a > frame.a.max() - 1e-3]  # one row, and partitions that are empty
    labels = theanets.dask.predict(None, theanets.Classifier([4, 3]), few)
    assert isinstance(labels, dd.Series) and len(labels.compute()) == 1


def test_of_estimators(x):
    sklearn = pytest.importorskip("theanets.sklearn")
    y = np.where(x[:, 0] > 0, "yes", "no")
    frame = pd.DataFrame(x, columns=list("abcd"))
    estimator = sklearn.NetClassifier((3,), epochs=1, patience=None, random_state=0).fit(frame, y)
    found = theanets.dask.predict(None, estimator, dd.from_pandas(frame, npartitions=3))
    np.testing.assert_array_equal(found.compute(), estimator.predict(frame))


def test_a_process_has_one_model_for_all_tasks(net, x):
    first, second = models.Shipped(net), models.Shipped(net)
    assert first.key == second.key and first.model is second.model is not net
    arrived = pickle.loads(pickle.dumps(first))
    assert arrived.key == first.key and arrived.model is first.model
    net.params[0].set_value(net.params[0].get_value() * 2)
    assert models.Shipped(net).key != first.key
    for _ in range(models.KEPT):
        net.params[0].set_value(net.params[0].get_value() * 2)
        models.Shipped(net)
    assert first.key not in models._models and len(models._models) == models.KEPT


def test_tasks_have_a_model_in_common(net, x):
    def sizes(dx):
        return len(pickle.dumps(dict(theanets.dask.predict(None, net, dx).__dask_graph__())))

    held = len(pickle.dumps(net))
    assert held < sizes(blocks(x, 60)) < sizes(blocks(x, 3)) < 2 * held + 40_000


def test_of_many_threads(net, x):
    found = theanets.dask.predict(None, net, blocks(x, 1))
    with dask.config.set(scheduler="threads", num_workers=8):
        np.testing.assert_allclose(found.compute(), net.predict(x), rtol=1e-4, atol=1e-6)


def test_workers_get_a_model_once(client, net, x):
    big = theanets.Regressor([4, 20_000, 2], rng=1)
    found = theanets.dask.predict(client, big, blocks(x, 3))
    assert len(pickle.dumps(dict(found.__dask_graph__()))) < 1e5 < len(pickle.dumps(big))
    np.testing.assert_allclose(found.compute(), big.predict(x), rtol=1e-4, atol=1e-7)

    def loaded():
        from theanets.dask import models

        return [id(model) for model in models._models.values()]

    held = client.run(loaded)
    theanets.dask.predict(client, big, blocks(x, 10)).compute()
    assert client.run(loaded) == held and all(held.values())


def test_evaluation_is_that_of_all_rows(client, x, rng):
    net = theanets.Classifier([4, 5, 3], weighted=True)
    labels, weights = rng.integers(3, size=103), rng.uniform(size=103)
    options = {"metrics": ["f1", "auc"], "weight_l2": 0.1, "batch_size": 8}
    expected = net.evaluate([x, labels, weights], **options)
    data = [blocks(x), blocks(labels, 50), blocks(weights)]
    for who in (client, None):
        found = theanets.dask.evaluate(who, net, data, **options)
        assert list(found) == list(expected)
        assert found == pytest.approx(expected, rel=1e-6)
    frame = dd.from_pandas(pd.DataFrame(x).assign(w=weights, y=labels), npartitions=3)
    named = {"in": frame[list(range(4))].to_dask_array(), "target": frame.y, "weights": frame.w}
    found = theanets.dask.evaluate(None, net, named)
    assert found["loss"] == pytest.approx(net.evaluate([x, labels, weights])["loss"], rel=1e-6)


REFUSED = {
    "predict": lambda net, x: net.predict(x),
    "feed_forward": lambda net, x: net.feed_forward([x]),
    "predictor": lambda net, x: net.predictor()(x),
    "train": lambda net, x: net.train([x, x[:, :2]]),
    "validate": lambda net, x: net.train([np.zeros((3, 4)), np.zeros((3, 2))], [x, x[:, :2]]),
    "named": lambda net, x: net.evaluate({"in": x, "out": x}),
    "score": lambda net, x: net.score(np.zeros((3, 4)), x[:, :2]),
}


@pytest.mark.parametrize("how", REFUSED)
@pytest.mark.parametrize("frame", [False, True])
def test_networks_refuse_blocks_with_a_hint(net, x, how, frame):
    given = blocks(x)
    if frame and how in ("predict", "feed_forward", "predictor", "named"):
        given = dd.from_pandas(pd.DataFrame(x), npartitions=2)
    with pytest.raises(theanets.DataError, match=r"Dask .* theanets\.dask\.predict"):
        REFUSED[how](net, given)


def test_recurrent_models_and_bags_are_refused_too(x):
    net = theanets.recurrent.Regressor([4, (3, "rnn"), 2])
    with pytest.raises(theanets.DataError, match="Dask"):
        net.predict(blocks(np.zeros((6, 5, 4))))
    with pytest.raises(theanets.DataError, match="Dask"):
        net.train(dask.bag.from_sequence([1]))


def test_estimators(x):
    sklearn = pytest.importorskip("theanets.sklearn")
    frame = dd.from_pandas(pd.DataFrame(x, columns=list("abcd")), npartitions=2)
    regressor = sklearn.NetRegressor((3,), epochs=1, patience=None, random_state=0)
    with pytest.warns(UserWarning, match="Dask"):
        regressor.fit(frame, frame.a * 2)
    assert regressor.network_.dtype == "float32"
    expected = sklearn.NetRegressor((3,), epochs=1, patience=None, random_state=0)
    held = frame.compute()
    expected.fit(held, held.a * 2)
    np.testing.assert_array_equal(regressor.predict(held), expected.predict(held))
    for method in (regressor.predict, lambda X: regressor.score(X, held.a)):
        with pytest.raises(theanets.DataError, match="Dask"):
            method(frame)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda net, x: theanets.dask.predict(None, net, x), "expected is an array"),
        (lambda net, x: theanets.dask.predict(None, net, blocks(x).rechunk((20, 2))), "{1: -1}"),
        (lambda net, x: theanets.dask.predict(None, net, blocks(x), method="predic"), "predict"),
        (lambda net, x: theanets.dask.predict(None, net, blocks(x), method="feed_forward"), "row"),
        (lambda net, x: theanets.dask.predict(None, net, blocks(x), rng=1), "rng=1"),
        (lambda net, x: theanets.dask.evaluate(None, net, [blocks(x), blocks(x[:9])]), "length"),
        (lambda net, x: theanets.dask.evaluate(None, net, [blocks(x)], batches=2), "batches=2"),
        (lambda net, x: theanets.dask.evaluate(None, net, [blocks(x)], metric="r2"), "metrics"),
    ],
)
def test_what_has_no_meaning_is_refused(net, x, call, message):
    with pytest.raises((theanets.DataError, theanets.ConfigurationError), match=message):
        call(net, x)
