"""What scripts of earlier versions use: where names are found, what layers and networks have."""

import importlib
import subprocess
import sys

import numpy as np
import pytest

import theanets
from theanets import layers, losses, regularizers, util
from theanets.errors import ConfigurationError


def words(text):
    return text.split()


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
