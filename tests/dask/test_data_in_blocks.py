"""What comes in blocks: classes that no worker can import, tables, series, and what is refused."""

import importlib.util

import numpy as np
import pytest

pytest.importorskip("distributed")

import dask
import dask.array as da
import dask.bag
import dask.dataframe as dd
import pandas as pd
import pytensor.tensor as pt
from dask_cases import adds_up, arrays, blocks, losses, network, values

import theanets
import theanets.dask

EPOCH = {"sync": "epoch", "epochs": 2, "replicas": 2, "batch_size": 200, "algo": "sgd"}


def local_network():
    """Get a network of classes that are defined in a function, as in a notebook."""

    class LocalLoss(theanets.Loss, names=("local",)):
        def __call__(self, outputs):
            return ((outputs[self.output_name] - self._target) ** 2).mean()

    class LocalLayer(theanets.Layer):
        def setup(self):
            self.add_weights("w")

        def transform(self, inputs):
            return pt.tanh(pt.dot(inputs.only, self.find("w")))

    class LocalModel(theanets.Regressor):
        pass

    return LocalModel([4, (6, "locallayer"), 3], loss="local", rng=3)


def test_classes_of_a_notebook_go_along(client):
    x, y = arrays()
    net, whole = local_network(), local_network()
    np.testing.assert_allclose(
        theanets.dask.predict(client, net, blocks(x)[0]).compute(), whole.predict(x), atol=1e-6
    )
    theanets.dask.train(client, net, blocks(x, y), learning_rate=0.1, **EPOCH)
    whole.train([x, y], algo="sgd", batch_size=200, epochs=2, learning_rate=0.1)
    np.testing.assert_allclose(values(net), values(whole), rtol=1e-4, atol=1e-6)
    assert losses(net)[-1] < net.history.initial["loss"]


def test_what_workers_cannot_import_is_said(monkeypatch):
    from theanets.dask import models

    class Elsewhere:
        """Stands for a class of a module that only this process has."""

        def __reduce__(self):
            return importlib.import_module, ("only_here",)

    data = models._pickled(Elsewhere())
    with pytest.raises(theanets.ConfigurationError, match=r"only_here.*upload_file"):
        models._received("a key", data)


def frames():
    x, y = arrays()
    frame = pd.DataFrame(x, columns=list("abcd")).assign(
        n=pd.array(np.arange(153) % 5, "Int64"), city="Rome", when=pd.Timestamp(2020, 1, 1)
    )
    return frame, pd.DataFrame(y)


def parts(frame):
    return dd.from_pandas(frame, npartitions=3)


def test_columns_that_may_lack_values_are_numbers(client):
    """NumPy makes objects of a table with such a column."""
    x, y = frames()
    x = x[["a", "n"]]
    nets = [theanets.Regressor([2, 3], rng=1) for _ in range(2)]
    for net, memory in zip(nets, (True, False)):
        data = [parts(x), parts(y)]
        theanets.dask.train(client, net, data, memory=memory, learning_rate=0.01, **EPOCH)
    whole = theanets.Regressor([2, 3], rng=1)
    whole.train([x, y], algo="sgd", batch_size=200, epochs=2, learning_rate=0.01)
    for net in nets:
        np.testing.assert_allclose(values(net), values(whole), rtol=1e-4, atol=1e-6)


NO_NUMBERS = r"columns 'city' \(\w+\), 'when' \(datetime64\[\w+\]\) hold no numbers; .*get_dummies"


@pytest.mark.parametrize("how", ["train", "evaluate", "predict", "here", "here predicts"])
def test_columns_without_numbers_are_named(client, how):
    x, y = frames()
    net = theanets.Regressor([7, 3])
    call = {
        "train": lambda: theanets.dask.train(client, net, [parts(x), parts(y)], sync="epoch"),
        "evaluate": lambda: theanets.dask.evaluate(None, net, [parts(x), parts(y)]),
        "predict": lambda: theanets.dask.predict(None, net, parts(x)),
        "here": lambda: net.train([x, y]),
        "here predicts": lambda: net.predict(x),
    }[how]
    with pytest.raises(theanets.DataError, match=NO_NUMBERS):
        call()


def test_a_column_of_categories_is_named_if_these_are_no_numbers():
    net = theanets.Regressor([1, 3])
    _, y = frames()
    for kind, message in [("str", r"column 'c' \(category\) holds no numbers"), (int, None)]:
        column = pd.Series(np.arange(153) % 3).astype(kind).astype("category").rename("c")
        for data, call in ((column.to_frame(), net.evaluate), (parts(column.to_frame()), None)):
            call = call or (lambda data: theanets.dask.evaluate(None, net, data))
            target = y if isinstance(data, pd.DataFrame) else parts(y)
            if message is None:
                assert call([data, target])["loss"] > 0
                continue
            with pytest.raises(theanets.DataError, match=message):
                call([data, target])


def series():
    rng = np.random.default_rng(0)
    found = np.empty(9, object)
    found[:] = [rng.normal(size=(t, 4)).astype("float32") for t in (3, 5, 2, 4, 4, 5, 1, 3, 2)]
    targets = np.empty(9, object)
    targets[:] = [one[:, :2] for one in found]
    return found, targets


def recurrent():
    return theanets.recurrent.Regressor([4, (3, "rnn"), 2], rng=1, weighted=True)


def test_series_of_different_lengths_are_evaluated_by_blocks():
    x, y = series()
    found = theanets.dask.evaluate(None, recurrent(), blocks(x, y, sizes=(4, 5)))
    assert found["loss"] == pytest.approx(recurrent().evaluate([list(x), list(y)])["loss"])


def test_series_of_different_lengths_train_in_step(client):
    if not adds_up():
        pytest.skip("needs PyTorch or XGBoost, which add up gradients")
    x, y = series()
    net, whole = recurrent(), recurrent()
    options = {"epochs": 2, "batch_size": 9, "algo": "sgd", "learning_rate": 0.1}
    theanets.dask.train(client, net, blocks(x, y, sizes=(4, 5)), **options)
    whole.train([list(x), list(y)], **options)
    np.testing.assert_allclose(values(net), values(whole), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("memory", [True, False])
def test_series_of_different_lengths_are_refused_with_a_recipe(client, memory):
    x, y = series()
    with pytest.raises(theanets.DataError, match=r"dx, array 1 of 1 holds objects, .*pad these"):
        theanets.dask.predict(client, recurrent(), blocks(x, sizes=(4, 5))[0])
    data = blocks(x, y, sizes=(4, 5))
    with pytest.raises(theanets.DataError, match=r"array 1 of 2 holds objects, .*'lengths': steps"):
        theanets.dask.train(client, recurrent(), data, memory=memory, sync="epoch")


def test_series_that_are_padded_are_trained_on_as_the_recipe_says(client):
    x, y = series()
    steps = np.array([len(one) for one in x], "int32")
    padded = [np.zeros((9, 5, n), "float32") for n in (4, 2)]
    for whole, ragged in zip(padded, (x, y)):
        for row, one in zip(whole, ragged):
            row[: len(one)] = one
    layers = [4, dict(form="lengths", name="lengths", of="in"), (3, "rnn"), 2]
    nets = [theanets.recurrent.Regressor(layers, rng=1, weighted=True) for _ in range(2)]
    weights = (np.arange(5) < steps[:, None]).astype("float32")[..., None]
    given = dict(
        zip(["in", "lengths", "target", "weights"], (padded[0], steps, padded[1], weights))
    )
    named = {key: blocks(value, sizes=(4, 5))[0] for key, value in given.items()}
    theanets.dask.train(client, nets[0], named, learning_rate=0.1, **EPOCH)
    assert losses(nets[0])[-1] < nets[0].history.initial["loss"]
    assert losses(nets[0])[-1] == pytest.approx(nets[0].evaluate(given)["loss"], rel=1e-5)


@pytest.mark.parametrize(
    "given, recipe",
    [
        (lambda: dask.bag.from_sequence([{"a": 1.0}]), r"is a Bag; .*to_dataframe\(\)"),
        (lambda: dask.delayed(np.zeros)((3, 4)), "is a Delayed; .*from_delayed"),
        (lambda: np.zeros((3, 4)), "is a ndarray; .*from_array"),
    ],
)
def test_what_has_no_rows_is_refused_with_a_recipe(client, given, recipe):
    with pytest.raises(theanets.DataError, match=recipe):
        theanets.dask.predict(client, network(), given())
    y = da.zeros((3, 3))
    with pytest.raises(theanets.DataError, match=recipe):
        theanets.dask.train(client, network(), [given(), y], sync="epoch")


@pytest.mark.parametrize(
    "replicas, sizes, hint",
    [
        (3, (70, 31, 52), r"give replicas=2, and the data in the blocks that they had"),
        (
            2,
            (52, 70, 31),
            r"\[122, 31\] rows, those of now \[83, 70\]; give the data in the blocks",
        ),
        (2, (52, 70, 30), "the data are not those"),
    ],
)
def test_a_checkpoint_of_other_blocks_says_what_to_give(client, tmp_path, replicas, sizes, hint):
    x, y = arrays()
    path, options = tmp_path / "run.ckpt", {"sync": "epoch", "checkpoint": tmp_path / "run.ckpt"}
    theanets.dask.train(client, network(), blocks(x, y), replicas=2, epochs=1, **options)
    before = path.read_bytes()
    rows = sum(sizes)
    with pytest.raises(theanets.FileError, match=hint):
        data = blocks(x[:rows], y[:rows], sizes=sizes)
        theanets.dask.train(client, network(), data, replicas=replicas, epochs=2, **options)
    assert path.read_bytes() == before
