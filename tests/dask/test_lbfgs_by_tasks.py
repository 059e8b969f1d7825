"""L-BFGS on all data by plain tasks of Dask: workers add up, and the client goes along."""

import numpy as np
import pytest

pytest.importorskip("distributed")

from dask_cases import arrays, blocks, here, losses, network, values

import theanets
import theanets.dask
from theanets import optimizers

LBFGS = {"algo": "l-bfgs", "epochs": 4, "weight_l2": 1e-3}


def assert_same(net, whole):
    np.testing.assert_allclose(values(net), values(whole), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(losses(net), losses(whole), rtol=1e-8)
    np.testing.assert_allclose(net.history["train_loss"], whole.history["train_loss"], rtol=1e-8)
    assert losses(net)[-1] < 0.8 * net.history.initial["loss"]
    assert net.history.stop_reason == whole.history.stop_reason == "epochs"


@pytest.mark.parametrize("memory", [True, False])
def test_it_is_that_of_one_process_on_all_rows(client, memory):
    x, y = arrays()
    net, whole = network("float64"), network("float64")
    options = {**LBFGS, "history": 5}
    found = theanets.dask.train(
        client, net, blocks(x, y), replicas=2, memory=memory, sync="epoch", **options
    )
    expected = whole.train([x, y], **options)
    assert_same(net, whole)
    assert found[1] == pytest.approx(expected[1], rel=1e-8)


def test_classes_and_frozen_parameters():
    x, y = arrays(classes=3)
    order = np.argsort(y)  # which does not matter here, and is not warned of
    nets = [theanets.Classifier([4, 6, 3], rng=3, dtype="float64") for _ in range(3)]
    options = {**LBFGS, "freeze": "hid1.*", "metrics": ["f1"]}
    here(x[order], y[order]).train(nets[0], **options)
    nets[1].train([x, y], **options)
    assert_same(nets[0], nets[1])
    for name in "wb":
        kept, before = (net.find("hid1", name).get_value() for net in (nets[0], nets[2]))
        np.testing.assert_array_equal(kept, before)
    np.testing.assert_allclose(nets[0].history["valid_f1"], nets[1].history["valid_f1"])


def test_one_algorithm_after_the_other():
    x, y = arrays()
    net, whole = network("float64"), network("float64")
    options = {"algo": ["sgd", "l-bfgs"], "epochs": 2, "batch_size": 200}
    here(x, y).train(net, **options)
    whole.train([x, y], **options)
    np.testing.assert_allclose(values(net), values(whole), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    "layers, keywords, message",
    [
        ([4, 6, "batch_norm", 3], {}, "each batch changes"),
        ([4, 6, 3], {"hidden_dropout": 0.1}, "dropout"),
        ([4, 6, 3], {"max_norm": 1.0}, "max_norm"),
        ([4, 6, 3], {"checkpoint": "a.ckpt"}, "checkpoint"),
        ([4, 6, 3], {"learning_rate": 0.1}, "learning_rate"),
    ],
)
def test_what_l_bfgs_cannot_do_is_refused(layers, keywords, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = theanets.Regressor(layers, rng=3)
    before = values(net)
    with pytest.raises(theanets.ConfigurationError, match=message):
        here(*arrays()).train(net, **{**LBFGS, **keywords})
    np.testing.assert_array_equal(values(net), before)


def test_losses_that_take_rows_together_are_refused():
    def together(target, output):
        return ((target - output).mean(axis=0) ** 2).sum()

    net = theanets.Regressor([4, 3], loss=together)
    with pytest.raises(theanets.ConfigurationError, match="takes examples together"):
        here(*arrays()).train(net, **LBFGS)


@pytest.mark.parametrize("algo", optimizers.names())
def test_every_algorithm_works_by_epochs(algo):
    net = network()
    here(*arrays()).train(net, algo, epochs=2)
    assert losses(net)[-1] < net.history.initial["loss"]
