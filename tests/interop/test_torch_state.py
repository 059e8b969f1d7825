"""Parameters as PyTorch's modules have them, of networks that were made here."""

import re

import numpy as np
import pytest

import theanets


def test_state_without_torch(rng):
    """What is where is that of the formulas of PyTorch's documentation."""
    net = theanets.recurrent.Regressor(
        [3, dict(form="gru", size=4, reset_after=True), ("layer_norm", "relu"), 2], dtype="float64"
    )
    for param in net.params:
        param.set_value(rng.normal(size=param.get_value().shape))
    state = net.to_torch_state()
    assert list(state) == [
        *("hid1.weight_ih_l0", "hid1.weight_hh_l0", "hid1.bias_ih_l0", "hid1.bias_hh_l0"),
        *("hid2.weight", "hid2.bias", "out.weight", "out.bias"),
    ]
    assert all(value.dtype == np.float64 for value in state.values())
    x, h, found = rng.normal(size=(5, 6, 3)), np.zeros((5, 4)), []

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    def parts(value, what):
        return np.split(
            value @ state[f"hid1.weight_{what}_l0"].T + state[f"hid1.bias_{what}_l0"], 3, 1
        )

    for t in range(6):
        (ir, iz, i_n), (hr, hz, hn) = parts(x[:, t], "ih"), parts(h, "hh")
        z, n = sigmoid(iz + hz), np.tanh(i_n + sigmoid(ir + hr) * hn)
        h = (1 - z) * n + z * h
        found.append(h)
    y = np.stack(found, 1)
    y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-5)
    y = np.maximum(y * state["hid2.weight"] + state["hid2.bias"], 0)
    y = y @ state["out.weight"].T + state["out.bias"]
    np.testing.assert_allclose(net.predict(x), y, atol=1e-10)


def test_arrays_are_copies():
    net = theanets.Regressor([3, 2])
    net.to_torch_state()["out.bias"][:] = 7
    assert not net.find("out", "b").get_value().any()


@pytest.mark.parametrize("merge, pick", [("concat", None), ("add", 1)])
def test_flat_images_that_are_merged(merge, pick):
    """Each of the flat images side by side has channels first in PyTorch."""
    conv = dict(form="conv2", size=2, filter_size=1, inputs="in")
    layers = [(2, 3, 1)]
    for name in "ab":
        layers += [dict(conv, name=name), dict(form="flat", name=f"flat_{name}")]
    layers += [dict(form=merge, inputs=["flat_a", "flat_b"]), 1]
    net = theanets.convolution.Regressor(layers)
    w = net.find("out", "w").get_value()
    weight = net.to_torch_state()["out.weight"]
    image = np.arange(12).reshape(2, 2, 3)  # of channels, height, width
    order = image.transpose(1, 2, 0).ravel()
    order = order if pick else np.concatenate([order, order + 12])
    np.testing.assert_array_equal(weight[0, order], w[:, 0])


@pytest.mark.parametrize(
    "layer, message",
    [
        (dict(form="lstm", size=3), "layer 'hid1' (lstm): peepholes=True has no counterpart"),
        (dict(form="gru", size=3), "layer 'hid1' (gru): reset_after=False has no counterpart"),
        (dict(form="rnn", size=3), "activation='relu' has no counterpart"),
        (dict(form="rnn", size=3, activation="tanh", zoneout=0.1), "zoneout=0.1 has no"),
        (dict(form="rnn", size=3, activation="tanh", direction="backward"), "direction='backward'"),
        (dict(form="mut1", size=3), "layer 'hid1' (mut1): it has no counterpart"),
        (dict(form="scrn", size=3), "layer 'hid1' (scrn): it has no counterpart"),
        (dict(size=3, activation="prelu"), "has the parameters w, b, leak"),
        (dict(size=4, form="bidirectional", worker="gru"), "(gru): reset_after=False"),
    ],
)
def test_refused(layer, message):
    if layer.get("activation") is None and layer["form"] == "rnn":
        layer = {**layer, "activation": "logistic"}
        message = "activation='logistic' has no counterpart"
    net = theanets.recurrent.Regressor([2, layer, 1])
    with pytest.raises(theanets.ConfigurationError, match=re.escape(message)):
        net.to_torch_state()


def test_several_inputs_are_refused():
    layers = [2, dict(size=3, name="a"), dict(size=3, name="b", inputs="in")]
    net = theanets.Regressor([*layers, dict(size=1, inputs=["a", "b"])])
    with pytest.raises(theanets.ConfigurationError, match="'concatenate' first"):
        net.to_torch_state()


def test_a_module_may_be_given_for_its_names():
    torch = pytest.importorskip("torch")
    module = torch.nn.Linear(4, 2, bias=False)
    net = theanets.from_torch(module)
    state = net.to_torch_state(module)
    assert list(state) == list(module.state_dict()) == ["weight"]
    np.testing.assert_array_equal(state["weight"], module.weight.detach().numpy())
    with pytest.raises(theanets.ConfigurationError, match="like=3 is neither"):
        net.to_torch_state(3)


def test_a_module_without_values_is_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(theanets.ConfigurationError, match="on PyTorch's device 'meta'"):
        theanets.from_torch(torch.nn.Linear(4, 2, device="meta"))
