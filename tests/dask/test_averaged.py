"""Replicas that train for an epoch by themselves, and are averaged."""

import numpy as np
import pytest

pytest.importorskip("distributed")

from dask_cases import arrays, blocks, losses, network, values

import theanets
import theanets.dask

EPOCH = {"sync": "epoch", "epochs": 3, "learning_rate": 0.05}


def test_one_batch_of_each_replica_is_one_of_all_data(client):
    # A step of gradient descent is linear in the gradient: the mean over all rows is the mean
    # of the replicas' means, weighted by their numbers of rows.
    x, y = arrays()
    net, whole = network(), network()
    options = {**EPOCH, "algo": "sgd", "batch_size": 200, "momentum": 0.9, "nesterov": False}
    found = theanets.dask.train(client, net, blocks(x, y), replicas=3, **options)
    expected = whole.train(
        [x, y], algo="sgd", epochs=3, learning_rate=0.05, batch_size=200, momentum=0.9
    )
    np.testing.assert_allclose(values(net), values(whole), rtol=1e-4, atol=1e-6)
    assert losses(net) == pytest.approx(losses(whole), rel=1e-5)
    assert [r["train_loss"] for r in net.history] == pytest.approx(
        [r["train_loss"] for r in whole.history], rel=1e-5
    )
    assert found[1] == pytest.approx(expected[1], rel=1e-5)
    assert net.history.stop_reason == "epochs"


def test_it_learns_and_does_not_depend_on_who_computes(client, tmp_path):
    x, y = arrays(classes=3)
    data, valid = blocks(x, y), blocks(x[:50], y[:50], sizes=(20, 30))
    options = {**EPOCH, "batch_size": 8, "metrics": ["f1"], "weight_l2": 1e-3, "replicas": 2}
    nets = [theanets.Classifier([4, 6, 3], rng=3) for _ in range(3)]
    before = nets[0].evaluate([x, y])["loss"]
    found = theanets.dask.train(client, nets[0], data, valid, **options)
    assert nets[0].evaluate([x, y])["loss"] < 0.7 * before
    measured = nets[0].evaluate([x[:50], y[:50]], metrics=["f1"])
    assert found[1]["f1"] == pytest.approx(measured["f1"])
    assert found[1]["loss"] == pytest.approx(measured["loss"], rel=1e-5)
    # In memory, and as a dict.
    named = dict(zip(["in", "target"], data))
    theanets.dask.train(client, nets[1], named, [x[:50], y[:50]], **options)
    np.testing.assert_allclose(values(nets[1]), values(nets[0]), rtol=1e-6)
    # In two parts, of which the second goes on from the first.
    path = tmp_path / "run.ckpt"
    theanets.dask.train(client, nets[2], data, valid, checkpoint=path, **{**options, "epochs": 1})
    net = theanets.Classifier([4, 6, 3])  # as of a script that is started again
    theanets.dask.train(client, net, data, valid, checkpoint=path, **options)
    np.testing.assert_array_equal(values(net), values(nets[0]))
    assert losses(net) == losses(nets[0])
    with pytest.raises(theanets.errors.FileError, match="replicas"):
        theanets.dask.train(
            client, nets[2], data, valid, checkpoint=path, **{**options, "replicas": 3, "epochs": 5}
        )


def test_targets_that_differ_are_warned_of(client):
    x, y = arrays(classes=3)
    order = np.argsort(y)
    net = theanets.Classifier([4, 6, 3], rng=3)
    with pytest.warns(UserWarning, match=r"targets differ .* shuffle"):
        theanets.dask.train(client, net, blocks(x[order], y[order]), replicas=3, **EPOCH)
    x, y = arrays()
    order = np.argsort(y[:, 1])
    with pytest.warns(UserWarning, match="targets differ"):
        theanets.dask.train(client, network(), blocks(x[order], y[order]), replicas=3, **EPOCH)


@pytest.mark.parametrize(
    "keywords, message",
    [
        ({"max_updates": 3}, "max_updates=3"),
        ({"validation_split": 0.1}, "validation_split"),
        ({"average": "ema"}, "average"),
        ({"algo": "layerwise"}, "layerwise"),
        ({"replicas": 0}, "replicas=0"),
        ({"hidden_dropou": 0.1}, "hidden_dropout"),
    ],
)
def test_what_has_no_meaning_is_refused(client, keywords, message):
    given = {**EPOCH, **keywords}
    with pytest.raises(theanets.ConfigurationError, match=message):
        theanets.dask.train(client, network(), blocks(*arrays()), **given)


def test_losses_and_layers_that_need_all_rows_are_refused(client):
    x, y = arrays(classes=3)
    net = theanets.Classifier([4, 6, 3], loss={"form": "xe", "class_weight": "balanced"})
    with pytest.raises(theanets.ConfigurationError, match="balanced"):
        theanets.dask.train(client, net, blocks(x, y), **EPOCH)
    net = theanets.recurrent.Regressor([4, {"form": "rnn", "size": 3, "stateful": True}, 3])
    series, targets = np.zeros((9, 5, 4)), np.zeros((9, 5, 3))
    with pytest.raises(theanets.ConfigurationError, match="stateful"):
        theanets.dask.train(client, net, blocks(series, targets, sizes=(5, 4)), **EPOCH)
    with pytest.raises(theanets.DataError, match="empty"):
        empty = blocks(x[:0], y[:0], sizes=(0,))
        theanets.dask.train(client, theanets.Classifier([4, 3]), empty, **EPOCH)
