"""Layers of theanets 0.8: their forms, parameters and outputs, and how they are specified."""

import numpy as np
import pytest

import theanets
from theanets import convolution, recurrent

X = np.random.default_rng(1).normal(size=(12, 4)).astype("f")
FAST = {"mode": "FAST_COMPILE"}

# ---- layers: forms, parameters and outputs -------------------------------------------------

AXES = {"feedforward": 4, "recurrent": 4, "images": (6, 5, 4)}
#: Size 6 after 4 inputs. Forms; further keywords; shapes of parameters; outputs besides out.
LAYERS = [
    ("feedforward ff", "feedforward", {}, {"w": (4, 6), "b": (6,)}, "pre"),
    ("classifier softmax", "feedforward", {}, {"w": (4, 6), "b": (6,)}, "pre"),
    ("conv1", "recurrent", {"filter_size": 3}, {"w": (6, 4, 1, 3), "b": (6,)}, "pre"),
    ("conv2", "images", {"filter_size": (3, 2)}, {"w": (6, 4, 3, 2), "b": (6,)}, "pre"),
    ("rnn", "recurrent", {}, {"xh": (4, 6), "hh": (6, 6), "b": (6,)}, "pre"),
    ("bcrnn", "recurrent", {"num_modules": 3}, {"xh": (4, 6), "hh": (6, 6), "b": (6,)}, "pre"),
    ("clockwork", "recurrent", {"periods": (1, 2)}, {"xh": (4, 6), "hh": (6, 6), "b": (6,)}, "pre"),
    (
        "rrnn",
        "recurrent",
        {"rate": "matrix"},
        {"xh": (4, 6), "hh": (6, 6), "b": (6,), "r": (6,), "xr": (4, 6)},
        "pre hid rate",
    ),
    (
        "rrnn",
        "recurrent",
        {"rate": "vector"},
        {"xh": (4, 6), "hh": (6, 6), "b": (6,), "r": (6,)},
        "pre hid rate",
    ),
    *(
        (
            "rrnn",
            "recurrent",
            {"rate": rate},
            {"xh": (4, 6), "hh": (6, 6), "b": (6,)},
            "pre hid rate",
        )
        for rate in ("uniform", "log")
    ),
    (
        "mrnn",
        "recurrent",
        {"factors": 2},
        {"xh": (4, 6), "xf": (4, 2), "hf": (6, 2), "fh": (2, 6), "b": (6,)},
        "pre factors",
    ),
    (
        "lstm",
        "recurrent",
        {},
        {"xh": (4, 24), "hh": (6, 24), "b": (24,), "ci": (6,), "cf": (6,), "co": (6,)},
        "cell",
    ),
    (
        "gru",
        "recurrent",
        {},
        {"w": (4, 18), "b": (18,), "hh": (6, 6), "hr": (6, 6), "hz": (6, 6)},
        "pre hid rate",
    ),
    (
        "mut1",
        "recurrent",
        {},
        {
            **{name: (4, 6) for name in ("xh", "xr", "xz")},
            **{name: (6, 6) for name in ("hh", "hr")},
            **{name: (6,) for name in ("bh", "br", "bz")},
        },
        "pre hid rate",
    ),
    (
        "scrn",
        "recurrent",
        {"context_size": 2},
        {
            "w": (4, 8),
            "hh": (6, 6),
            "sh": (2, 6),
            "ho": (6, 6),
            "so": (2, 6),
            "b": (6,),
            "r": (2,),
        },
        "hid state rate",
    ),
]


@pytest.mark.parametrize("forms, kind, keywords, params, others", LAYERS)
def test_layers(forms, kind, keywords, params, others):
    for form in forms.split():
        module = {"feedforward": theanets, "recurrent": recurrent, "images": convolution}[kind]
        spec = dict(form=form.upper(), size=6, name="l", **keywords)
        layer = module.Regressor([AXES[kind], spec, 3], loss=None).layers[1]
        found = {p.name.removeprefix("l."): p.get_value().shape for p in layer.params}
        assert found == params
        assert set(others.split()) | {"out"} <= set(layer.output_shapes)
        assert layer.to_spec()["name"] == "l"


@pytest.mark.parametrize("form", ["concatenate", "concat", "product", "prod"])
def test_layers_that_merge(form):
    sizes = (5, 6) if "con" in form else (5, 5)
    layers = [4, sizes[0], sizes[1], dict(form=form, inputs=("hid1", "hid2:out"))]
    layer = theanets.Regressor([*layers, 3]).layers[3]
    assert (layer.output_size, layer.params) == (sum(sizes) if "con" in form else 5, [])


@pytest.mark.parametrize("form", ["flatten", "flat"])
def test_layers_that_flatten(form):
    assert convolution.Regressor([(6, 5, 4), form, 3]).layers[1].output_size == 120


def test_layers_that_reshape():
    layers = [12, dict(form="reshape", shape=(3, 4)), dict(form="reshape", shape=(-1,)), 3]
    net = theanets.Regressor(layers)
    assert [layer.output_shape for layer in net.layers[1:3]] == [(3, 4), (12,)]


@pytest.mark.parametrize("form", ["pool1", "pool2"])
def test_layers_that_pool(form):
    model, shape, size = {
        "pool1": (recurrent.Regressor, (6, 4), 2),
        "pool2": (convolution.Regressor, (6, 4, 2), (2, 2)),
    }[form]
    spec = dict(form=form, pool_size=size, stride=size, mode="max")
    assert model([shape, spec, "flat", 3]).layers[1].output_shape[0] == 3


@pytest.mark.parametrize("worker", ["rnn", "lstm", "gru", "rrnn", "scrn"])
def test_layers_in_both_directions(worker):
    net = recurrent.Regressor([4, dict(form="bidirectional", worker=worker, size=6, name="bd"), 3])
    names = {p.name.partition(".")[0] for p in net.layers[1].params}
    assert names == {"bd_fw", "bd_bw"}
    assert {"out", "fw_out", "bw_out"} <= set(net.layers[1].output_shapes)


@pytest.mark.parametrize("sparse", [True, "csr", "csc", False])
def test_inputs(sparse):
    layer = theanets.layers.Input(size=4, name="data", ndim=2, sparse=sparse)
    net = theanets.Regressor([layer, 3])
    assert [variable.name for variable in net.inputs] == ["data"]


@pytest.mark.parametrize("key", ["mean", "std", "sparsity", "diagonal"])
def test_how_weights_are_drawn(key):
    for name in (key, f"{key}_w"):
        w = theanets.Regressor([6, {"size": 6, name: 0.5}, 3], rng=1).find("hid1.w").get_value()
        if key == "diagonal":
            np.testing.assert_array_equal(w, np.eye(6) / 2)
        elif key == "sparsity":
            assert (w == 0).sum() == 18
        else:
            assert abs(getattr(w, key)() - 0.5) < 0.25


# ---- specifications of layers ---------------------------------------------------------------

SPECS = {
    "int": (6, "feedforward", "relu"),
    "tuple": ((6, "tanh"), "feedforward", "tanh"),
    "in any order": (("logistic", "ff", 6), "feedforward", "logistic"),
    "a list": ([6, "norm:z"], "feedforward", "norm:z"),
    "a class": ((theanets.layers.Feedforward, 6), "feedforward", "relu"),
    "dict": (dict(size=6, activation="tanh+relu"), "feedforward", "tanh+relu"),
    "dict with a form": (dict(form="FF", size=6, activation="rect:minmax"), "feedforward", None),
    "instance": (theanets.layers.Feedforward("hid1", size=6), "feedforward", "relu"),
    "numpy's integers": (np.int64(6), "feedforward", "relu"),
}


@pytest.mark.parametrize("name", SPECS)
def test_specifications(name):
    spec, form, activation = SPECS[name]
    layer = theanets.Regressor((4, spec, 3)).layers[1]
    assert type(layer) is theanets.Layer.registry[form]
    assert (layer.name, layer.size) == ("hid1", 6)
    assert activation is None or layer.activation.name == activation


def test_names_and_activations_by_default():
    for model, last in ((theanets.Regressor, "linear"), (theanets.Classifier, "softmax")):
        net = model([4, 5, 6, 3])
        assert [layer.name for layer in net.layers] == ["in", "hid1", "hid2", "out"]
        assert [layer.activation.name for layer in net.layers[1:]] == ["relu", "relu", last]
        assert [layer.input_name for layer in net.layers[1:]] == ["in:out", "hid1:out", "hid2:out"]


def test_layers_that_are_added():
    net = theanets.Regressor(loss=None)
    net.add_layer(4)
    net.add_layer((5, "tanh"))
    net.add_layer(form="ff", size=6, name="more")
    net.add_layer(3, is_output=True)
    assert [layer.name for layer in net.layers] == ["in", "hid1", "more", "out"]
    assert net.layers[-1].activation.name == "linear"
    net.set_loss("mse")
    assert net.predict(X, **FAST).shape == (12, 3)
