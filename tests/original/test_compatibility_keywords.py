"""What scripts of earlier versions use: trainers, keywords that have other names or are gone."""

import warnings

import numpy as np
import pytensor.tensor as pt
import pytest

import theanets
from theanets.errors import ConfigurationError

X = np.random.default_rng(1).normal(size=(16, 4)).astype("f")
Y = np.random.default_rng(2).normal(size=(16, 3)).astype("f")
LABELS = np.arange(16) % 3
FAST = {"epochs": 1, "mode": "FAST_COMPILE"}

# ---- trainers -------------------------------------------------------------------------------

TRAINERS = {
    "DownhillTrainer": (("sgd",), {"algo": "sgd"}),
    "SampleTrainer": ((), {"algo": "sample"}),
    "SupervisedPretrainer": (("sgd",), {"algo": "layerwise", "subalgo": "sgd"}),
    "UnsupervisedPretrainer": (("sgd",), {"algo": "pretrain", "subalgo": "sgd"}),
}


@pytest.mark.parametrize("name", TRAINERS)
def test_trainers(name):
    """By itself, or as algo=, a trainer does what its name does, to the same bits."""
    args, keywords = TRAINERS[name]
    found = []
    for how in ("by name", "alone", "as algo"):
        net = theanets.Regressor([4, 5, 3], rng=2)
        if how == "by name":
            net.train([X, Y], **keywords, **FAST)
        else:
            with pytest.warns(DeprecationWarning, match=rf"train\(data, algo='{keywords['algo']}'"):
                trainer = getattr(theanets.trainer, name)(*args, net)
            if how == "alone":
                assert all(len(pair) == 2 for pair in trainer.itertrain([X, Y], **FAST))
            else:
                net.train([X, Y], algo=trainer, **FAST)
        found.append(net.predict(X, mode="FAST_COMPILE"))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    untrained = theanets.Regressor([4, 5, 3], rng=2).predict(X, mode="FAST_COMPILE")
    assert not np.allclose(found[0], untrained)


def test_a_callable_makes_the_network_of_an_experiment():
    experiment = theanets.Experiment(
        lambda n, rng: theanets.Regressor([4, n, 3], rng=rng), 7, rng=2
    )
    assert experiment.network.layers[1].size == 7
    assert experiment.network.seed == 2


# ---- keywords -------------------------------------------------------------------------------


def test_renamed_keywords(tmp_path):
    net = theanets.Regressor([4, 3])
    with pytest.warns(DeprecationWarning, match="filename_or_handle= is now target="):
        net.save(filename_or_handle=tmp_path / "net")
    with pytest.warns(DeprecationWarning, match="filename_or_handle= is now source=") as caught:
        again = theanets.Regressor.load(filename_or_handle=tmp_path / "net")
    assert {one.filename for one in caught} == {__file__}
    np.testing.assert_array_equal(again.find("out.w").get_value(), net.find("out.w").get_value())
    other = theanets.Regressor([4, 3], rng=5)
    with pytest.warns(DeprecationWarning):
        assert other.load(filename_or_handle=tmp_path / "net") is other
    text = theanets.recurrent.Text("hello", min_count=1)
    with pytest.warns(DeprecationWarning, match="txt= is now text="):
        labels = text.encode(txt="hole")
    with pytest.warns(DeprecationWarning, match="enc= is now labels="):
        assert text.decode(enc=labels) == "hole"
    experiment = theanets.Experiment(net)
    with pytest.warns(DeprecationWarning, match="path= is now target="):
        experiment.save(path=tmp_path / "other")
    with pytest.warns(DeprecationWarning, match="path= is now source="):
        experiment.load(path=tmp_path / "other")


def test_the_time_in_names_of_files(tmp_path, monkeypatch):
    now = iter(range(100, 200))
    monkeypatch.setattr("theanets.callbacks.upkeep.time.time", lambda: next(now) + 0.5)
    net = theanets.Regressor([4, 3])
    keywords = {"epochs": 3, "mode": "FAST_COMPILE", "save_every": 1}
    net.train([X, Y], save_progress=str(tmp_path / "a{}-{x}.pkl"), **keywords)
    found = sorted(path.name for path in tmp_path.iterdir())
    assert len(found) == 4  # after each epoch, and the best in the end
    assert all(name.startswith("a10") and name.endswith("-{x}.pkl") for name in found)
    last = theanets.Regressor.load(tmp_path / found[-1])
    np.testing.assert_array_equal(last.find("out.w").get_value(), net.find("out.w").get_value())
    net.train([X, Y], save_progress=tmp_path / "b{}", **FAST)  # a path
    assert any(path.name.startswith("b1") for path in tmp_path.iterdir())


GONE = {
    "tied_weights": "a layer 'tied'",
    "hidden_activation": r"\(100, 'tanh'\) for each hidden layer",
    "output_activation": r"\(10, 'tanh'\) for the last layer",
    "decode_from": r"inputs=\['hid1', 'hid2'\]",
    "sparse_input": "sparse=True",
    "batch_size": r"batch_size= of train\(\)",
    "input_noise": r"input_noise= of train\(\)",
    "hidden_dropouts": r"hidden_dropout= of train\(\)",
    "learning_rate": r"learning_rate= of train\(\)",
}
MODELS = [
    theanets.Network,
    theanets.Autoencoder,
    theanets.Classifier,
    theanets.Regressor,
    theanets.recurrent.Autoencoder,
    theanets.recurrent.Classifier,
    theanets.recurrent.Predictor,
    theanets.recurrent.Regressor,
    theanets.convolution.Autoencoder,
    theanets.convolution.Classifier,
    theanets.convolution.Regressor,
]


@pytest.mark.parametrize("keyword", GONE)
def test_keywords_that_are_gone(keyword):
    for model in MODELS:
        pattern = f"^{model.__name__} got unknown keyword '{keyword}' .*write .*{GONE[keyword]}"
        with pytest.raises(ConfigurationError, match=pattern):
            model([4, 4], **{keyword: 1})


@pytest.mark.parametrize("model", MODELS)
def test_wrong_arguments_of_constructors(model):
    """Whatever is wrong, the message is about the class that was called."""
    valid = "valid: dtype, layers, loss, mode, rng, weighted"
    with pytest.raises(
        ConfigurationError, match=rf"'weigted' \(did you mean 'weighted'\?\); {valid}"
    ):
        model([4, 4], weigted=True)
    for wrong in ([4, 4], "mse", True, 1, "float32", None, 7), ([4, 4], "mse", True, 1, 2, 3, 4, 5):
        with pytest.raises(ConfigurationError, match=f"^{model.__name__}: too many positional"):
            model(*wrong)
    with pytest.raises(ConfigurationError, match=f"^{model.__name__}: multiple values.*'layers'"):
        model([4, 4], layers=[4, 4])


def test_constructors_of_ones_own():
    class Narrow(theanets.Regressor):
        def __init__(self, size, factor=1, **kwargs):
            super().__init__([4, size, 3], **kwargs)

    with pytest.raises(ConfigurationError, match=r"^Narrow got unknown keyword 'weigted'"):
        Narrow(5, weigted=True)
    assert Narrow(size=5, rng=3).seed == 3


FORMS = {
    ("layer", "arrnn"): r"rate='matrix'",
    ("layer", "lrrnn"): r"rate='vector'",
    ("layer", "maxout"): "maxout",
    ("layer", "convolution"): "'conv1' or 'conv2'",
    ("layer", "pooling"): "'pool1' or 'pool2'",
    ("activation", "trel"): "rect:minmax",
    ("activation", "trec"): r"lambda z: z \* \(z > 1\)",
    ("activation", "tlin"): r"lambda z: z \* \(abs",
    ("algorithm", "cg"): "l-bfgs",
    ("algorithm", "hf"): "esgd",
    ("algorithm", "newton-cg"): "l-bfgs",
}


@pytest.mark.parametrize("kind, name", FORMS)
def test_forms_that_are_gone(kind, name):
    with pytest.raises(ConfigurationError, match=FORMS[kind, name]):
        if kind == "layer":
            theanets.Regressor([4, dict(form=name, size=5), 3])
        elif kind == "activation":
            theanets.Regressor([4, dict(size=5, activation=name), 3])
        else:
            theanets.Regressor([4, 3]).train([X, Y], algo=name)


def test_keywords_of_layers_that_are_gone():
    with pytest.raises(ConfigurationError, match=r"'input_noise' .*write input_noise= of train"):
        theanets.Regressor([4, dict(size=5, input_noise=0.1), 3])
    with pytest.raises(ConfigurationError, match=r"'dropout' .*write dropout= of train"):
        theanets.Regressor([4, dict(size=5, dropout=0.1), 3])


def test_nothing_warns_where_nothing_is_old():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = theanets.Classifier(layers=[4, (5, "tanh"), 3], loss="xe", weighted=False, rng=13)
        net.train([X, LABELS], **FAST)
        assert pt.as_tensor(net.build_graph()[0]["hid1:out"]).ndim == 2
