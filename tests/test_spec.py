"""Specifications of layers: every form that a user may write, and every mistake."""

import itertools
import re

import numpy as np
import pytest

import theanets
from theanets.activations import Prelu
from theanets.errors import ConfigurationError, UnknownNameError
from theanets.layers import Classifier, Feedforward, Input
from theanets.spec import parse_loss


def described(net, which=1):
    layer = net.layers[which]
    return type(layer), layer.output_shape, layer.activation.name


def build(spec, **kwargs):
    return theanets.Network([10, spec, 3], **kwargs)


@pytest.mark.parametrize(
    ("spec", "form", "size", "activation"),
    [
        (20, Feedforward, 20, "relu"),
        (np.int64(20), Feedforward, 20, "relu"),
        (np.uint8(20), Feedforward, 20, "relu"),
        ((20,), Feedforward, 20, "relu"),
        ([20], Feedforward, 20, "relu"),
        ((20, "tanh"), Feedforward, 20, "tanh"),
        (["Tanh", np.int32(20)], Feedforward, 20, "tanh"),
        ((20, "ff"), Feedforward, 20, "relu"),
        (("FeedForward", 20), Feedforward, 20, "relu"),
        ((20, Feedforward, "tanh+elu"), Feedforward, 20, "tanh+elu"),
        (((20,), "tanh"), Feedforward, 20, "tanh"),
        ((20, "softmax"), Classifier, 20, "softmax"),
        ((20, Prelu), Feedforward, 20, "prelu"),
        ((20, Prelu()), Feedforward, 20, "prelu"),
        ((20, lambda x: x), Feedforward, 20, "<lambda>"),
        (dict(size=20), Feedforward, 20, "relu"),
        (dict(shape=(np.int64(20),), activation="tanh"), Feedforward, 20, "tanh"),
        (dict(shape=20), Feedforward, 20, "relu"),
        (dict(form="Classifier", size=20), Classifier, 20, "softmax"),
        (dict(form=Feedforward, size=20), Feedforward, 20, "relu"),
        (Feedforward(size=20), Feedforward, 20, "relu"),
        (Feedforward("x", size=np.int64(20), activation="tanh"), Feedforward, 20, "tanh"),
    ],
    # Addresses in names would differ between the processes that run the tests.
    ids=lambda value: re.sub(" at 0x[0-9a-f]+", "", str(value)),
)
def test_forms(spec, form, size, activation):
    net = build(spec)
    assert described(net) == (form, (size,), activation)
    assert all(type(n) is int for layer in net.layers for n in layer.output_shape)
    assert net.find(1, "w").get_value().shape == (10, size)


def test_order_does_not_matter():
    for spec in itertools.permutations((20, "ff", "softmax")):
        assert described(build(spec)) == (Feedforward, (20,), "softmax"), spec
    for spec in itertools.permutations((20, "tanh", Feedforward)):
        assert described(build(spec)) == (Feedforward, (20,), "tanh"), spec


def test_forms_without_a_size():
    for spec in ("tied", ("tied",), dict(form="tied")):
        net = theanets.Autoencoder([10, 4, spec])
        assert net.layers[2].output_shape == (10,)
    assert theanets.Autoencoder([10, 4, theanets.layers.Tied]).layers[2].output_shape == (10,)


@pytest.mark.parametrize(
    "layers",
    [
        (10, 20, 3),
        (n for n in (10, 20, 3)),
        iter([10, 20, 3]),
        np.array([10, 20, 3]),
        map(int, "543"),
        {10: 0, 20: 0, 3: 0}.keys(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_collections_of_layers(layers):
    net = theanets.Network(layers)
    assert [layer.name for layer in net.layers] == ["in", "hid1", "out"]


@pytest.mark.parametrize(
    "layers", ["10", 10, None, dict(size=10), Feedforward(size=3), Feedforward]
)
def test_not_a_collection_of_layers(layers):
    with pytest.raises(ConfigurationError, match="is not a list of layers"):
        theanets.Network(layers)


@pytest.mark.parametrize(
    ("first", "shape", "ndim"),
    [
        (10, (10,), 2),
        ((10, "input"), (10,), 2),
        (("Input", 10), (10,), 2),
        ((28, 28, 1), (28, 28, 1), 4),
        ([None, 12], (None, 12), 3),
        (dict(form="input", shape=(7, 12)), (7, 12), 3),
        (dict(form="input", size=12, ndim=3), (None, 12), 3),
        (dict(size=12, ndim=np.int64(4)), (None, None, 12), 4),
        (Input("in", size=12, ndim=3), (None, 12), 3),
        (Input("in", shape=12), (12,), 2),
    ],
    ids=str,
)
def test_inputs(first, shape, ndim):
    net = theanets.Network([first], loss=None)
    assert net.layers[0].output_shape == shape
    assert net.inputs[0].type.shape == (None, *shape)
    assert net.inputs[0].ndim == ndim


@pytest.mark.parametrize("sparse", [False, True, "csr", "csc"])
def test_sparse_inputs(sparse, rng):
    sp = pytest.importorskip("scipy.sparse")
    net = theanets.Regressor([dict(size=5, sparse=sparse), 3, 2])
    x = rng.normal(size=(6, 5)) * (rng.random((6, 5)) < 0.4)
    np.testing.assert_allclose(net.predict(sp.csr_array(x)), net.predict(x), rtol=1e-6)


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        (0, "size 0 is not positive"),
        (-3, "size -3 is not positive"),
        (2.5, "is a float; expected an int"),
        (True, "is a bool; expected an int"),
        (None, "needs a size"),
        ({20}, "is a set"),
        (int, "is a type"),
        (Prelu, "is a type"),
        ((), "is empty"),
        ((20, 30, "tanh"), "names two shapes: .*20.* and .*30"),
        ((20, "tanh", "relu"), "names two activations: 'tanh' and 'relu'"),
        ((20, "ff", "tied"), "names two forms: 'ff' and 'tied'"),
        ((20, 2.5), "2.5 is neither a size, nor the name of a layer or an activation"),
        ((20, True), "True is neither"),
        ((20, int), "int'> is neither"),
        ((20, "tahn"), "'tahn' is neither .*did you mean 'tanh'"),
        ((20, "feedfoward"), "did you mean 'feedforward'"),
        ((20, "maxout:x"), "needs a number of pieces"),
        ("feedfoward", "is not the name of a layer .*did you mean 'feedforward'"),
        ("tanh", r"an activation without a size; expected \(100, 'tanh'\)"),
        ("ff", "needs a size"),
        ((4, 5), r"shape \(4, 5\) is not a size"),
        ((None, "ff"), "None is neither"),
        (dict(size=0), "size 0"),
        (dict(size="20"), "'20' is neither a size nor a shape"),
        (dict(size=2.5), "2.5 is neither a size nor a shape"),
        (dict(shape=(2.5,)), "size 2.5 is not an integer"),
        (dict(size=20, shape=(20,)), "both a size and a shape"),
        (dict(size=20, activaton="tanh"), "'activaton' .did you mean 'activation'"),
        (dict(size=20, noise=0.1), "unknown keyword 'noise'"),
        (dict(size=20, form="fedforward"), "unknown layer 'fedforward' .did you mean"),
        (dict(size=20, form=int), "form=.*int.* is not a Layer class"),
        (dict(size=20, name="a:b"), "'a:b' is not a word"),
        (dict(size=20, name=3), "3 is not a word"),
        (dict(size=20, std="a"), "std='a' is not a finite number"),
        (dict(size=20, std_q=1), "'std_q'"),
        (dict(size=20, rng="x"), "rng='x'"),
        (dict(size=20, inputs=3), "inputs=3; expected the name of an output"),
        (dict(size=20, inputs=[]), "has no inputs"),
        (dict(size=20, inputs="im"), "'im:out' .did you mean 'in:out'"),
        (dict(size=20, inputs="in:pre"), "unknown input of layer 'hid1' 'in:pre'"),
        (dict(size=20, inputs=Feedforward("z", size=4)), "unknown input of layer 'hid1'"),
        (dict(form="classifier", size=20, activation="tanh"), "a classifier layer is a softmax"),
        (dict(form="input", size=4, inputs="in"), "cannot have inputs"),
        (dict(form="input", size=4, sparse="coo"), "sparse='coo'"),
        (dict(form="input"), "needs a size or a shape"),
        (dict(form="input", shape=(3, 4), ndim=2), "more than ndim - 1"),
        (dict(form="input", size=4, ndim="x"), "ndim='x'"),
    ],
    ids=str,
)
def test_mistakes(spec, part):
    with pytest.raises(ConfigurationError, match=part):
        build(spec)


@pytest.mark.parametrize("first", ["tied", ("ff", 10), Feedforward(size=10)])
def test_first_layer_must_be_an_input(first):
    with pytest.raises(ConfigurationError, match="it must be an input: a size"):
        theanets.Network([first])


def test_names():
    net = theanets.Network(
        [
            10,
            20,
            dict(size=20, name="mine"),
            30,
            dict(form="input", size=4),
            Feedforward(size=7, inputs="in2"),
            Feedforward(size=3),
        ]
    )
    names = [layer.name for layer in net.layers]
    assert names == ["in", "hid1", "mine", "hid3", "in2", "hid4", "out"]


def test_default_names_make_way_for_given_ones():
    net = theanets.Network([10, dict(size=4, name="hid2"), 4, dict(form="input", size=3), 4, 3])
    assert [layer.name for layer in net.layers] == ["in", "hid2", "hid3", "in2", "hid4", "out"]
    net = theanets.Network([dict(size=4, name="in2"), dict(form="input", size=3)], loss=None)
    assert [layer.name for layer in net.layers] == ["in2", "in3"]


@pytest.mark.parametrize("name", ["in", "hid1"])
def test_duplicate_names(name):
    with pytest.raises(ConfigurationError, match=f"layer name '{name}' is taken; layers: in, hid1"):
        theanets.Network([10, 20, dict(size=3, name=name), 3])


@pytest.mark.parametrize(
    ("model", "activation"),
    [
        (theanets.Network, "linear"),
        (theanets.Regressor, "linear"),
        (theanets.Classifier, "softmax"),
    ],
)
@pytest.mark.parametrize(
    "spec",
    [3, (3,), dict(size=3), Feedforward(size=3), Feedforward("out", size=3), (3, "ff")],
    ids=str,
)
def test_default_activation_of_the_output(model, activation, spec):
    # An instance belongs to the first network it is in.
    spec = Feedforward(spec.name, size=3) if isinstance(spec, Feedforward) else spec
    assert model([10, 20, spec]).layers[-1].activation.name == activation


def test_given_activation_of_the_output():
    for spec in ((3, "tanh"), Feedforward(size=3, activation="tanh")):
        assert theanets.Regressor([10, spec]).layers[-1].activation.name == "tanh"


def test_losses():
    parsed = parse_loss({"form": "mse", "weight": 2}, weight=3)
    assert (parsed.form, parsed.options) == ("mse", {"weight": 3})
    parsed = parse_loss({"loss": "mae"})
    assert parsed.form == "mae"
    with pytest.raises(ConfigurationError, match="has no 'form'"):
        parse_loss({"weight": 2})


def test_unknown_forms_are_key_errors():
    with pytest.raises(UnknownNameError):
        build(dict(form="lstmm", size=3))
    with pytest.raises(KeyError):
        theanets.Layer.build("lstmm", size=3)
    assert isinstance(theanets.Layer.build("FF", "x", size=3), Feedforward)
