"""What theanets 0.8 documented of models: their arguments, and what they do."""

import inspect

import numpy as np
import pytest
from surface_cases import FAST, ONCE, RNG, SERIES, X, Y

import theanets
from theanets import convolution, recurrent
from theanets.errors import ConfigurationError

OLD = pytest.mark.filterwarnings("ignore::DeprecationWarning")
LABELS = np.arange(12) % 3


#: Arguments by name and order, as documented; further ones may come after.
ARGUMENTS = {
    "Network": "layers loss weighted rng",
    "Network.itertrain": "train valid algo",
    "Network.feed_forward": "x",
    "Network.predict": "x",
    "Network.score": "x y w",
    "Network.find": "which param",
    "Network.build_graph": "regularizers",
    "Network.add_layer": "layer is_output",
    "Network.add_loss": "loss",
    "Autoencoder.encode": "x layer sample",
    "Autoencoder.decode": "z layer",
    "Autoencoder.score": "x w",
    "Classifier.predict": "x",
    "Classifier.classify": "x",
    "Classifier.predict_proba": "x",
    "Classifier.predict_logit": "x",
    "Classifier.score": "x y w",
    "recurrent.batches": "arrays steps batch_size rng",
    "recurrent.Text": "text alpha min_count unknown",
    "recurrent.Text.classifier_batches": "steps batch_size rng",
    "recurrent.Classifier.predict_sequence": "labels steps streams rng",
    "Experiment": "network",
    "Layer": "name",
    "Layer.add_weights": "name nin nout",
    "Layer.add_bias": "name size",
    "Loss": "target weight weighted output_name",
    "util.random_matrix": "rows cols mean std sparsity radius diagonal rng",
    "util.random_vector": "size mean std rng",
    "activations.build": "spec layer",
}


@pytest.mark.parametrize("path", ARGUMENTS)
def test_arguments(path):
    found = theanets
    for name in path.split("."):
        found = getattr(found, name)
    names = [name for name in inspect.signature(found).parameters if name not in ("self", "net")]
    expected = ARGUMENTS[path].split()
    assert names[: len(expected)] == expected


def test_networks():
    net = theanets.Network(layers=[4, 5, 3], loss="mse", weighted=False, rng=13)
    assert [p.name for p in net.params] == ["hid1.w", "hid1.b", "out.w", "out.b"]
    assert [v.name for v in net.variables] == ["in", "target"]
    assert net.find("hid1", "w") is net.find(1, 0) is net.params[0]
    with pytest.raises(KeyError):
        net.find("hid1", "nothing")
    with pytest.raises(KeyError):
        net.find("nothing", "w")
    outputs = net.feed_forward(X, **FAST)
    assert set(outputs) == {"in:out", "hid1:pre", "hid1:out", "out:pre", "out:out"}
    np.testing.assert_array_equal(outputs["out:out"], net.predict(X, **FAST))
    assert net.score(X, Y, **FAST) <= 1
    assert net.loss(weight_l2=0.1).ndim == 0
    assert {"mse", "hidden_l1"} <= set(dict(net.monitors(hidden_l1=0.1)))
    assert net.updates(hidden_noise=0.1)


def test_autoencoders():
    net = theanets.Autoencoder(layers=(4, (3, "sigmoid"), (2, "sigmoid"), (3, "tied"), (4, "tied")))
    assert [v.name for v in net.variables] == ["in"]
    for layer, size in ((None, 2), ("hid1", 3), (1, 3), (net.layers[2], 2)):
        z = net.encode(X, layer=layer, **FAST)
        assert z.shape == (12, size)
        np.testing.assert_allclose(net.decode(z, layer, **FAST), net.predict(X, **FAST), rtol=1e-5)
    assert set(np.unique(net.encode(X, sample=True, **FAST))) <= {0, 1}
    assert net.score(X, **FAST) <= 1


@OLD
def test_classifiers():
    net = theanets.Classifier(layers=(4, 5, 3))
    train, _ = net.train([X, LABELS], **ONCE)
    assert {"loss", "err", "acc"} <= set(train)
    proba, logits = net.predict_proba(X, **FAST), net.predict_logit(X, **FAST)
    np.testing.assert_allclose(proba, np.exp(logits) / np.exp(logits).sum(axis=1)[:, None], 1e-4)
    for classes in (net.predict(X, **FAST), net.classify(X, **FAST)):
        np.testing.assert_array_equal(classes, proba.argmax(axis=1))
    assert net.score(X, LABELS, np.ones(12), **FAST) == (classes == LABELS).mean()
    weighted = theanets.Classifier(layers=(4, 3), weighted=True)
    weighted.train([X, LABELS, np.ones(12)], **ONCE)


def test_recurrent_models():
    draw = recurrent.batches([SERIES.reshape(30, 4)], steps=5, batch_size=3, rng=1)
    assert [a.shape for a in draw()] == [(3, 5, 4)]
    recurrent.Autoencoder([4, (5, "rnn"), 4]).train(draw, train_batches=2, **ONCE)
    weights = np.ones((6, 5, 3))
    weights[:, :2] = 0
    net = recurrent.Regressor([4, (5, "lstm"), 3], weighted=True)
    net.train([SERIES, SERIES[..., :3], weights], **ONCE)
    assert net.predict(SERIES, **FAST).shape == (6, 5, 3)
    text = recurrent.Text("abracadabra" * 4, alpha="abcdr", min_count=1, unknown="?")
    assert (text.alpha, text.decode(text.encode("abx"))) == ("abcdr", "ab?")
    net = recurrent.Classifier(
        [1 + len(text.alpha), (5, "rnn"), 1 + len(text.alpha)], mode="FAST_COMPILE"
    )
    train, _ = net.train(text.classifier_batches(4, batch_size=3, rng=1), train_batches=2, epochs=1)
    assert "acc" in train
    drawn = list(net.predict_sequence(text.encode("abra"), 5, streams=2, rng=1))
    assert np.shape(drawn) == (5, 2)


def test_convolutional_models():
    images = RNG.normal(size=(6, 8, 7, 2)).astype("f")
    layers = [(8, 7, 2), dict(form="conv2", size=3, filter_size=(3, 3), stride=(2, 2)), "flat", 3]
    convolution.Regressor(layers).train([images, Y[:6]], **ONCE)
    convolution.Classifier(layers).train([images, LABELS[:6]], **ONCE)
    spec = dict(form="conv1", size=3, filter_shape=2, stride=1, border_mode="full")
    with pytest.warns(DeprecationWarning, match="filter_size"):
        recurrent.Regressor([4, spec, 3])


def test_experiments(tmp_path):
    experiment = theanets.Experiment(theanets.Classifier, layers=(4, 5, 3), rng=2)
    experiment.train([X, LABELS], **ONCE)
    assert len(list(experiment.itertrain([X, LABELS], **ONCE))) == 1
    experiment.save(str(tmp_path / "net.pkl.gz"))
    loaded = theanets.Experiment(str(tmp_path / "net.pkl.gz"))
    np.testing.assert_array_equal(
        loaded.network.predict(X, **FAST), experiment.network.predict(X, **FAST)
    )
    with open(tmp_path / "handle", "wb") as handle:
        loaded.network.save(handle)
    with open(tmp_path / "handle", "rb") as handle:
        assert theanets.Network.load(handle).find("out.w") is not None


def test_what_networks_no_longer_have():
    net = theanets.Regressor([4, 3])
    with pytest.raises(AttributeError, match=r"OUTPUT_NDIM.*write nothing: targets have"):
        _ = net.OUTPUT_NDIM
    with pytest.raises(ConfigurationError, match="the first layer"):
        theanets.Regressor([dict(form="ff", size=3)])
