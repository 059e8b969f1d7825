"""Models of each kind are exported, and a second runtime, that of onnx, computes the same."""

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator
from onnx_cases import answers, data, difference, expected, randomize
from onnx_forms import FORMS, RECURRENT, recurrent_layer

import theanets
from theanets import recurrent
from theanets.export import to_onnx

MODELS = {
    "network": lambda: theanets.Network([4, (5, "tanh"), 3]),
    "autoencoder": lambda: theanets.Autoencoder([4, (3, "sigmoid"), ("tied", 4)]),
    "regressor": lambda: theanets.Regressor([4, 5, 3], loss="mae", weighted=True),
    "classifier": lambda: theanets.Classifier([4, 5, 3], loss="hinge"),
    "recurrent autoencoder": lambda: recurrent.Autoencoder([4, (3, "rrnn"), 4]),
    "recurrent regressor": lambda: recurrent.Regressor([4, (3, "lstm"), 2], weighted=True),
    "recurrent classifier": lambda: recurrent.Classifier([4, (3, "gru"), 3]),
    "predictor": lambda: recurrent.Predictor([4, (3, "rnn"), 4]),
}


@pytest.mark.parametrize("kind", MODELS)
def test_model(kind):
    assert difference(randomize(MODELS[kind]())) < 1e-5


def test_several_inputs_and_outputs():
    described = [
        dict(size=4, name="left"),
        dict(form="input", size=3, name="right"),
        dict(size=5, name="a", inputs="left", activation="tanh"),
        dict(size=5, name="b", inputs="right", activation="relu"),
        dict(form="product", name="both", inputs=["a", "b"]),
        dict(size=2, name="first", inputs="both"),
        dict(size=3, name="second", inputs=["both", "right"], activation="softmax"),
    ]
    net = theanets.Regressor(described, loss=None)
    net.add_loss("mse", output_name="first")
    net.add_loss("xe", output_name="second", target="y2")
    randomize(net)
    model = to_onnx(net, outputs=["first", "second"])
    assert [i.name for i in model.graph.input] == ["left", "right"]
    assert [o.name for o in model.graph.output] == ["first:out", "second:out"]
    assert difference(net, model=model) < 1e-5


def test_series_of_different_lengths_of_two_inputs():
    net = recurrent.Regressor(
        [
            dict(form="input", name="x", shape=(None, 3)),
            dict(form="input", name="y", shape=(None, 2)),
            dict(form="gru", name="a", size=4, inputs="x", last=True),
            dict(form="lstm", name="b", size=4, inputs="y", last=True),
            dict(size=2, name="out", inputs=["a", "b"]),
        ]
    )
    model = to_onnx(randomize(net), lengths=True)
    axes = {i.name: i.type.tensor_type.shape.dim[1:2] for i in model.graph.input}
    assert [d.dim_param for found in axes.values() for d in found] == ["x_time", "y_time"]
    feeds = {**data(net, 3, 5), "x_lengths": np.array([5, 2, 3], "int32")}
    feeds["y"], feeds["y_lengths"] = feeds["y"][:, :4], np.array([1, 4, 2], "int32")
    found = answers(model, feeds)["out:out"]
    np.testing.assert_allclose(found, net.predict(feeds), atol=1e-5)


@pytest.mark.parametrize(
    "between",
    [
        [
            dict(form="conv1", size=3, filter_size=3, stride=2, border_mode="same"),
            dict(form="pool1", pool_size=2, mode="mean", padding="same"),
            (5, "gru"),
        ],
        [dict(form="pool1", pool_size="global")],
        ["layer_norm", "batch_norm", dict(form="bidirectional", size=6, worker="lstm", last=True)],
    ],
    ids=["windows", "global", "normalized"],
)
def test_steps_that_exist_in_other_layers(between):
    net = randomize(recurrent.Regressor([(None, 4), *between, 3]))
    feeds = {**data(net, 3, 9), "lengths": np.array([9, 4, 6], "int32")}
    found = answers(to_onnx(net, lengths=True), feeds)["out:out"]
    np.testing.assert_allclose(found, net.predict(feeds), atol=1e-5)


# Of the activations of recurrent operators, that runtime knows tanh.
NETS = {
    f"{form} {what}".strip(): FORMS[form][what]
    for form, what in [
        ("feedforward", ""),
        ("layer_norm", ""),
        ("embedding", "of series"),
        ("conv2", "same"),
        ("conv1_transposed", "strided"),
        ("pool2", "mean padded"),
        ("pool1", "max same"),
        ("upsample2", ""),
    ]
} | {form: recurrent_layer(form, **RECURRENT[form][""]) for form in ("lstm", "gru", "mut1", "scrn")}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_reference(name, dtype):
    described = NETS[name]
    series = isinstance(described[0], tuple) and described[0][0] is None
    net = (recurrent if series else theanets).Regressor(described, dtype=dtype)
    model = to_onnx(randomize(net))
    names = [output.name for output in model.graph.output]
    feeds = data(net, 3, 7)
    wanted = expected(net, feeds, names)
    for key, found in zip(names, ReferenceEvaluator(model).run(None, feeds)):
        assert found.dtype == dtype
        atol = 1e-5 if dtype == "float32" else 1e-12
        np.testing.assert_allclose(found, wanted[key], atol=atol)
