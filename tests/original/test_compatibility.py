"""What scripts of earlier versions use: names, where they were, and what they are.

One case for each name; signatures, custom classes and whole scripts have files of their own.
"""

import importlib
import subprocess
import sys
import warnings

import numpy as np
import pytensor.tensor as pt
import pytest

import theanets
from theanets import layers, losses, regularizers, util
from theanets.errors import ConfigurationError


def words(text):
    return text.split()


X = np.random.default_rng(1).normal(size=(16, 4)).astype("f")
Y = np.random.default_rng(2).normal(size=(16, 3)).astype("f")
LABELS = np.arange(16) % 3
FAST = {"epochs": 1, "mode": "FAST_COMPILE"}

LAYERS = words(
    """BCRNN Bidirectional Classifier Clockwork Concatenate Conv1 Conv2 Feedforward Flatten GRU
Input LSTM MRNN MUT1 Pool1 Pool2 Product RNN RRNN Recurrent Reshape SCRN Tied"""
)
LOSSES = words(
    """CrossEntropy GaussianLogLikelihood Hinge KullbackLeiblerDivergence Loss
MaximumMeanDiscrepancy MeanAbsoluteError MeanSquaredError"""
)
REGULARIZERS = words(
    """BernoulliDropout Contractive GaussianNoise HiddenL1 RecurrentNorm RecurrentState Regularizer
WeightL1 WeightL2"""
)

#: What is found at a path, without a warning.
PLACES = {
    **{
        f"theanets.{name}": getattr(theanets.feedforward, name)
        for name in ("Autoencoder", "Classifier", "Regressor")
    },
    "theanets.Activation": theanets.activations.Activation,
    "theanets.Experiment": theanets.experiment.Experiment,
    "theanets.Layer": layers.base.Layer,
    "theanets.Loss": losses.base.Loss,
    "theanets.Network": theanets.network.Network,
    "theanets.Regularizer": regularizers.base.Regularizer,
    "theanets.feedforward.Network": theanets.Network,
    "theanets.recurrent.Network": theanets.Network,
    "theanets.main.Experiment": theanets.Experiment,
    **{f"theanets.layers.{name}": getattr(layers, name) for name in LAYERS},
    "theanets.layers.Layer": theanets.Layer,
    "theanets.layers.base.Layer": theanets.Layer,
    "theanets.layers.convolution.Conv1": layers.Conv1,
    "theanets.layers.convolution.Conv2": layers.Conv2,
    "theanets.layers.feedforward.Classifier": layers.Classifier,
    "theanets.layers.feedforward.Feedforward": layers.Feedforward,
    "theanets.layers.feedforward.Tied": layers.Tied,
    "theanets.layers.recurrent.Recurrent": layers.Recurrent,
    **{
        f"theanets.layers.recurrent.{name}": getattr(layers, name)
        for name in [
            "BCRNN",
            "Bidirectional",
            "Clockwork",
            "GRU",
            "LSTM",
            "MRNN",
            "MUT1",
            "RNN",
            "RRNN",
            "SCRN",
        ]
    },
    **{f"theanets.losses.{name}": getattr(losses, name) for name in LOSSES},
    **{f"theanets.regularizers.{name}": getattr(regularizers, name) for name in REGULARIZERS},
    "theanets.activations.Activation": theanets.Activation,
    "theanets.util.ConfigurationError": theanets.ConfigurationError,
    "theanets.util.Error": theanets.Error,
    "theanets.util.log": theanets.log,
}

#: What is found at a path, with a warning that says where it is now.
MOVED = {
    "theanets.graph.Network": theanets.Network,
    "theanets.graph.LayerError": ConfigurationError,
    **{
        f"theanets.layers.base.{name}": getattr(layers, name)
        for name in ("Concatenate", "Flatten", "Input", "Product", "Reshape")
    },
    **{f"theanets.layers.convolution.{name}": getattr(layers, name) for name in ("Pool1", "Pool2")},
    "theanets.layers.build": theanets.Layer.build,
    "theanets.layers.base.build": theanets.Layer.build,
    "theanets.losses.build": theanets.Loss.build,
    "theanets.activations.COMMON": theanets.Activation.registry,
}


def imported(path):
    """Do what ``from module import name`` does."""
    module, _, name = path.rpartition(".")
    found = {}
    exec(f"from {module} import {name}", found)
    assert found[name] == getattr(importlib.import_module(module), name)
    return found[name]


@pytest.mark.parametrize("path", PLACES)
def test_places(path):
    assert imported(path) is PLACES[path]


@pytest.mark.parametrize("path", MOVED)
def test_moved_names(path):
    with pytest.warns(DeprecationWarning, match=f"^{path} is now theanets[.]") as caught:
        assert imported(path) == MOVED[path]
    # It is shown where it concerns the program that runs, not us.
    assert {one.filename for one in caught} <= {"<string>", __file__}


def test_other_names_are_unknown_to_modules():
    for module in ("graph", "layers.base", "layers.recurrent", "losses", "activations"):
        found = importlib.import_module(f"theanets.{module}")
        assert not hasattr(found, "Nothing")
        with pytest.raises(ImportError, match="cannot import name 'Nothing'"):
            exec(f"from theanets.{module} import Nothing")


@pytest.mark.parametrize("module", ["main", "trainer", "util", "graph", "recurrent", "layers.base"])
def test_modules_are_there_after_importing_the_package(module):
    code = f"import theanets; theanets.{module}; import theanets.{module}"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=100)


@pytest.mark.parametrize(
    "form", ["conv1", "conv2", "pool1", "pool2", "bcrnn", "ff", "flat", "prod", "concat"]
)
def test_forms_of_layers(form):
    assert form in theanets.Layer.registry


#: What layers have; those that a custom layer uses are in test_compatibility_custom.py.
LAYER = words(
    """add_bias add_weights bind connect find full_name input_name input_shape input_size log
log_params name num_params output_name output_shape output_size params resolve_inputs
resolve_outputs rng setup size to_spec transform"""
)
NETWORK = words(
    """DEFAULT_OUTPUT_ACTIVATION INPUT_NDIM add_layer add_loss build_graph feed_forward find inputs
itertrain layers load loss losses monitors num_params params predict save score set_loss
train updates variables"""
)


@pytest.mark.parametrize("name", LAYER)
def test_layers_have(name):
    assert hasattr(theanets.Regressor([4, 5, 3]).layers[1], name)


@pytest.mark.parametrize("name", NETWORK)
def test_networks_have(name):
    assert hasattr(theanets.Regressor([4, 5, 3]), name)


def test_full_names():
    layer = theanets.Regressor([4, 5, 3]).layers[1]
    assert (layer.full_name, layer.output_name) == ("hid1", "hid1:out")
    with pytest.warns(DeprecationWarning, match="write 'hid1:pre'"):
        assert layer.full_name("pre") == "hid1:pre"
    with pytest.warns(DeprecationWarning, match="write 'hid1:out'"):
        assert layer.output_name() == "hid1:out"
    with pytest.warns(DeprecationWarning):
        assert layer.output_name("pre") == "hid1:pre"


# ---- util -----------------------------------------------------------------------------------


def test_random_arrays():
    """The standard deviation is 1 where none is given, as documented."""
    matrix, vector = util.random_matrix(60, 50, rng=3), util.random_vector(3000, rng=3)
    for array in (matrix, vector):
        assert array.dtype == util.FLOAT == "float32"
        assert abs(array.std() - 1) < 0.05
        assert abs(array.mean()) < 0.05
    np.testing.assert_array_equal(matrix, util.random_matrix(60, 50, rng=3))
    np.testing.assert_allclose(
        util.random_matrix(60, 50, mean=2, std=0.5, rng=3), 2 + matrix / 2, rtol=1e-5
    )
    np.testing.assert_array_equal(util.random_matrix(2, 3, diagonal=4), 4 * np.eye(2, 3))
    assert (util.random_matrix(20, 10, sparsity=0.3, rng=3) == 0).sum() == 60
    square = util.random_matrix(9, 9, radius=0.7, rng=np.random.RandomState(3))
    assert abs(np.linalg.eigvals(square)).max() == pytest.approx(0.7, rel=1e-4)


def test_names_that_match():
    net = theanets.Regressor([4, 5, 6, 3])

    def params(patterns):
        return [name for name, _ in util.params_matching(net.layers, patterns)]

    assert params("hid?.w") == ["hid1.w", "hid2.w"]
    assert params(["*.b", "out.w"]) == ["hid1.b", "hid2.b", "out.w", "out.b"]
    assert params("*") == params(None) == [p.name for p in net.params]
    assert params("HID1.w") == params([]) == []
    assert dict(util.params_matching(net.layers, "hid1.w"))["hid1.w"] is net.find("hid1.w")
    outputs, _ = net.build_graph()
    assert [name for name, _ in util.outputs_matching(outputs, "hid1:*")] == [
        "hid1:out",
        "hid1:pre",
    ]
    assert dict(util.outputs_matching(list(outputs.items()), "in:out")) == {
        "in:out": outputs["in:out"]
    }


def test_containers():
    for many, (real, whole) in enumerate(
        zip(util.FLOAT_CONTAINERS, util.INT_CONTAINERS, strict=True)
    ):
        assert (real("x").ndim, real("x").name, whole().ndim) == (many, "x", many)
        assert whole().dtype == "int32"


def test_registrar():
    base = util.Registrar("Base", (), {})

    class Thing(base):
        __extra_registration_keys__ = ("Stuff",)

        def __init__(self, size):
            self.size = size

    class Other(Thing):
        pass

    assert type(base.build("thing", 3)) is base.get_class("STUFF") is Thing
    assert base.build("other", size=4).size == 4
    assert base.is_registered("Other")
    assert not base.is_registered("base")


def test_detailed_logging():
    with pytest.warns(DeprecationWarning, match="pathname"):
        util.enable_detailed_callsite_logging()


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
