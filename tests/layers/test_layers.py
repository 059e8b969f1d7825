"""Layers: formulas against NumPy, gradients by finite differences, weights, sharing."""

import numpy as np
import pytest
from layer_checks import check_gradient, randomize, values

import theanets
from theanets.errors import ConfigurationError, UnknownNameError
from theanets.layers import Classifier, Feedforward, Input, Tied

# ---- feedforward, classifier ---------------------------------------------------------


@pytest.mark.parametrize("shape", [(5,), (7, 5), (2, 7, 5)])
def test_feedforward(shape, rng):
    net = theanets.Regressor([shape, (4, "tanh"), 3], dtype="float64")
    randomize(net, rng)
    v = values(net)
    x = rng.normal(size=(6, *shape))
    found = net.feed_forward(x)
    pre = x @ v["hid1.w"] + v["hid1.b"]
    np.testing.assert_allclose(found["hid1:pre"], pre)
    np.testing.assert_allclose(found["hid1:out"], np.tanh(pre))
    np.testing.assert_allclose(found["out:out"], np.tanh(pre) @ v["out.w"] + v["out.b"])


def test_several_inputs(rng):
    layers = [
        5,
        (4, "tanh"),
        dict(size=3, inputs=["in", "hid1:pre", "in"], activation="tanh"),
        dict(size=2, name="out", inputs=("hid2", "hid1")),
    ]
    net = theanets.Regressor(layers, dtype="float64")
    randomize(net, rng)
    v = values(net)
    assert list(v) == [
        *("hid1.w", "hid1.b"),
        *("hid2.w_in:out", "hid2.w_hid1:pre", "hid2.w_in:out'", "hid2.b"),
        *("out.w_hid2:out", "out.w_hid1:out", "out.b"),
    ]
    x = rng.normal(size=(6, 5))
    pre = x @ v["hid1.w"] + v["hid1.b"]
    first, second = v["hid2.w_in:out"], v["hid2.w_in:out'"]
    hid2 = np.tanh(x @ (first + second) + pre @ v["hid2.w_hid1:pre"] + v["hid2.b"])
    out = hid2 @ v["out.w_hid2:out"] + np.tanh(pre) @ v["out.w_hid1:out"] + v["out.b"]
    np.testing.assert_allclose(net.predict(x), out)
    check_gradient(net, rng)


def test_names_of_several_weights():
    net = theanets.Regressor([5, 4, dict(size=3, name="out", inputs=["in", "hid1:pre"])])
    params = net.layers[2].params
    assert net.find("out", "w_1") is net.find("out", "w_in") is net.find("out", 0) is params[0]
    assert net.find("out", "w_2") is net.find("out", "w_hid1:pre") is params[1]
    assert net.find("out", "b") is net.find("out", -1) is net.find("out", np.int64(2)) is params[2]
    for wrong in ("w", "w_0", "w_3", "w_hid1", 3, -4, None):
        with pytest.raises(UnknownNameError, match="parameter of layer 'out'"):
            net.layers[2].find(wrong)


def test_scale_of_several_weights(rng):
    """The weights of all inputs together are drawn like those of one input of their sizes."""
    joint = [400, dict(size=100, name="a"), dict(size=500, name="out", inputs=["in", "a"])]
    net = theanets.Regressor(joint)
    for key in ("w_in", "w_a"):
        w = net.find("out", key).get_value()
        assert w.std() == pytest.approx(np.sqrt(2 / (400 + 100 + 500)), rel=0.05)


def test_inputs_that_do_not_fit():
    x, y = dict(form="input", shape=(None, 5), name="y"), dict(form="input", shape=(7, 5), name="z")
    with pytest.raises(ConfigurationError, match=r"in:out \(4,\), y:out \(None, 5\)"):
        theanets.Network([4, x, dict(size=3, inputs=["in", "y"], name="out")])
    with pytest.raises(ConfigurationError, match=r"in:out \(6, 5\), z:out \(7, 5\)"):
        theanets.Network([(6, 5), y, dict(size=3, inputs=["in", "z"], name="out")])
    net = theanets.Network([(7, 5), x, dict(size=3, inputs=["y", "in"], name="out")])
    assert net.layers[2].output_shape == (7, 3)
    with pytest.raises(ConfigurationError, match="needs to know the last axis of its input"):
        theanets.Network([(3, None), 4])


def test_classifier(rng):
    net = theanets.Classifier([5, 4, dict(form="classifier", size=3, name="out")], dtype="float64")
    randomize(net, rng)
    found = net.feed_forward(rng.normal(size=(6, 5)))
    e = np.exp(found["out:pre"])
    np.testing.assert_allclose(found["out:out"], e / e.sum(axis=1, keepdims=True))
    check_gradient(net, rng)


# ---- tied ---------------------------------------------------------------------------


def test_tied(rng):
    net = theanets.Autoencoder([5, (4, "tanh"), "tied"], dtype="float64")
    randomize(net, rng)
    v = values(net)
    assert list(v) == ["hid1.w", "hid1.b", "out.b"]
    assert net.num_params == 5 * 4 + 4 + 5
    x = rng.normal(size=(6, 5))
    h = np.tanh(x @ v["hid1.w"] + v["hid1.b"])
    np.testing.assert_allclose(net.predict(x), h @ v["hid1.w"].T + v["out.b"])
    # With respect to w, the derivatives through both of its uses together.
    check_gradient(net, rng)


def test_tied_weights_stay_shared(rng):
    net = theanets.Autoencoder([5, (4, "linear"), "tied"])
    x = rng.normal(size=(20, 5))
    net.train([x], epochs=2, algo="sgd", learning_rate=0.05)
    w, b, c = (p.get_value() for p in net.params)
    np.testing.assert_allclose(net.predict(x), (x @ w + b) @ w.T + c, rtol=1e-4, atol=1e-5)


def partners(layers):
    net = theanets.Network(layers, loss=None)
    return [layer.partner.name for layer in net.layers if isinstance(layer, Tied)]


def test_search_for_a_partner():
    assert partners([9, 6, 4, "tied", "tied"]) == ["hid2", "hid1"]
    assert partners([9, 6, 4, dict(form="tied", partner="hid2"), "tied"]) == ["hid2", "hid1"]
    # Layers that do not fit, that have two inputs, or are taken, are passed over.
    assert partners([9, 6, 4, 5, dict(form="tied", inputs="hid2")]) == ["hid2"]
    two = dict(size=4, inputs=["hid1", "in"])
    assert partners([9, 4, two, dict(form="tied", inputs="hid1")]) == ["hid1"]
    assert partners([9, 6, dict(form="tied", inputs="hid1", partner="hid1"), 6, "tied"]) == [
        "hid1",
        "hid3",
    ]
    hidden = Feedforward("code", size=4)
    assert partners([9, hidden, Tied(partner=hidden)]) == ["code"]


@pytest.mark.parametrize(
    ("layers", "part"),
    [
        ([9, "tied"], "found no untied feedforward layer with one input and 9 outputs"),
        ([9, 6, "tied", "tied"], "found no untied .* 9 outputs"),
        ([9, 6, dict(form="tied", partner="hid2")], "unknown partner of layer 'out' 'hid2'"),
        ([9, 6, dict(form="tied", partner=1)], "unknown partner of layer 'out' 1"),
        ([9, 6, dict(form="tied", partner="in")], "the partner must have one input and"),
        ([9, 6, Tied(partner=Feedforward("z", size=6))], "unknown partner"),
        ([9, 6, 4, dict(form="tied", partner="hid1")], "inputs of size 4, but its partner 'hid1'"),
        ([9, 6, (8, "tied")], r"has size \(8,\), but its partner 'hid1' has inputs of size 9"),
        ([9, 6, dict(form="tied", inputs=["in", "hid1"])], r"takes 1 input\(s\), got"),
        (
            [9, 6, dict(size=4, inputs=["in", "hid1"]), dict(form="tied", partner="hid2")],
            "the partner must have one input and",
        ),
    ],
)
def test_wrong_partners(layers, part):
    with pytest.raises(ConfigurationError, match=part):
        theanets.Network(layers, loss=None)


def test_right_size_of_a_tied_layer():
    assert theanets.Autoencoder([9, 6, (9, "tied")]).layers[2].output_shape == (9,)


# ---- series -------------------------------------------------------------------------


def test_time_distributed(rng):
    """Each step of a series is mapped as if it were an example; lengths may vary."""
    series = theanets.Regressor([(None, 5), (4, "prelu"), "tied", 2], dtype="float64")
    single = theanets.Regressor([5, (4, "prelu"), "tied", 2], dtype="float64")
    randomize(series, rng)
    for mine, other in zip(single.params, series.params):
        mine.set_value(other.get_value())
    assert series.layers[-1].output_shape == (None, 2)
    for steps in (1, 7):
        x = rng.normal(size=(3, steps, 5))
        flat = single.predict(x.reshape(-1, 5))
        np.testing.assert_allclose(series.predict(x), flat.reshape(3, steps, 2))
    check_gradient(series, rng)
    y = rng.normal(size=(3, 7, 2))
    train, _ = series.train([x, y], epochs=1)
    assert np.isfinite(train["loss"])


def test_time_distributed_classifier(rng):
    net = theanets.Classifier([dict(size=5, ndim=3), 4, 3], dtype="float64")
    assert net.variables[1].type.shape == (None, None)
    check_gradient(net, rng)
    x = rng.normal(size=(3, 7, 5))
    assert net.predict(x).shape == (3, 7)
    np.testing.assert_allclose(net.predict_proba(x).sum(axis=-1), np.ones((3, 7)))


# ---- how parameters are drawn --------------------------------------------------------


def test_default_draws():
    net = theanets.Regressor([300, 500, 2])
    w = net.find("hid1", "w").get_value()
    assert w.std() == pytest.approx(np.sqrt(2 / 800), rel=0.02)
    assert abs(w.mean()) < 1e-3
    assert not net.find("hid1", "b").get_value().any()


def test_given_draws():
    spec = dict(size=200, mean=1, std=0.1, std_b=0.5, mean_b=-3, sparsity_w=0.25)
    net = theanets.Regressor([300, spec, 2])
    w, b = (p.get_value() for p in net.layers[1].params)
    assert (w == 0).sum() == w.size // 4
    assert w[w != 0].mean() == pytest.approx(1, abs=0.01)
    assert w[w != 0].std() == pytest.approx(0.1, rel=0.05)
    assert b.mean() == pytest.approx(-3, abs=0.2)
    assert b.std() == pytest.approx(0.5, rel=0.2)
    net = theanets.Regressor([3, dict(size=3, diagonal=2), dict(size=3, radius_w=0.7), 2])
    np.testing.assert_array_equal(net.find("hid1", "w").get_value(), 2 * np.eye(3))
    eigenvalues = np.linalg.eigvals(net.find("hid2", "w").get_value())
    assert np.abs(eigenvalues).max() == pytest.approx(0.7, rel=1e-5)


def test_draws_are_kept_in_the_specification():
    net = theanets.Regressor([3, dict(size=4, std_b=0.5, sparsity=0.5, rng=7), 2])
    again = theanets.Regressor.from_spec(net.to_spec())
    for mine, other in zip(net.params, again.params):
        np.testing.assert_array_equal(mine.get_value(), other.get_value())


def test_layers_of_equal_shape_differ():
    net = theanets.Regressor([6, 6, 6, dict(size=6, rng=1), dict(size=6, rng=1), 6])
    weights = [p.get_value() for p in net.params if p.ndim == 2]
    assert len({w.tobytes() for w in weights}) == len(weights) == 5


# ---- a layer in two networks -----------------------------------------------------------


def test_shared_by_two_networks(rng):
    """Parameters, a trained activation included, are made once and trained through both."""
    first = [Input("in", size=5), Feedforward("hid1", size=4, activation="prelu")]
    a = theanets.Regressor([*first, 3])
    w = a.find("hid1", "w")
    a.find("hid1", "leak").set_value(np.full(4, 0.5, "f"))
    b = theanets.Regressor([*first, 2])
    assert b.find("hid1", "w") is w
    assert [p.name for p in b.params] == ["hid1.w", "hid1.b", "hid1.leak", "out.w", "out.b"]
    np.testing.assert_array_equal(b.find("hid1", "leak").get_value(), np.full(4, 0.5))
    x = rng.normal(size=(16, 5))
    before = a.predict(x)
    b.train([x, rng.normal(size=(16, 2))], epochs=1)
    assert not np.array_equal(a.predict(x), before)
    np.testing.assert_array_equal(a.feed_forward(x)["hid1:out"], b.feed_forward(x)["hid1:out"])


@pytest.mark.parametrize(
    ("layers", "kwargs", "part"),
    [
        ([6], {}, r"inputs of shape \[\(5,\)\]; it cannot have .* \[\(6,\)\]"),
        ([dict(size=5, name="x")], {}, r"inputs \['in:out'\]; it cannot have inputs \['x:out'\]"),
        ([5], {"dtype": "float64"}, "dtype float32; it cannot have dtype float64"),
    ],
)
def test_cannot_be_shared(layers, kwargs, part):
    hidden = Feedforward("hid1", size=4)
    a = theanets.Regressor([5, hidden, 3])
    with pytest.raises(
        ConfigurationError, match=f"'hid1' belongs to another network, where it has {part}"
    ):
        theanets.Regressor([*layers, hidden, 3], **kwargs)
    assert a.predict(np.ones((2, 5))).shape == (2, 3)


def test_tied_layer_needs_its_partner():
    code, tied = Feedforward("code", size=4), Tied("out")
    theanets.Autoencoder([5, code, tied])
    theanets.Autoencoder([5, code, tied])
    with pytest.raises(ConfigurationError, match="tied to 'code' of another network"):
        theanets.Autoencoder([5, Feedforward("code", size=4), tied])


def test_again_after_a_failure():
    """What failed to become part of a network can be corrected, and added again."""
    layer = Feedforward("hid1", size=4, activation="rleu")
    net = theanets.Network([5])
    with pytest.raises(UnknownNameError):
        net.add_layer(layer)
    layer.activation = "relu"
    net.add_layer(layer)
    assert [p.name for p in net.params] == ["hid1.w", "hid1.b"]


# ---- description -----------------------------------------------------------------------


def test_attributes():
    net = theanets.Classifier([5, (4, "prelu"), 3])
    layer = net.layers[1]
    assert (layer.input_name, layer.input_shape, layer.input_size) == ("in:out", (5,), 5)
    assert (layer.output_name, layer.output_shape, layer.output_size) == ("hid1:out", (4,), 4)
    assert (layer.full_name, layer.size, layer.num_params) == ("hid1", 4, 5 * 4 + 4 + 4)
    assert "hid1" in layer.log()
    assert "28 parameters" in layer.log()
    assert layer.log_params().splitlines()[0] == "hid1.w: (5, 4) float32"
    assert repr(layer) == "<Feedforward 'hid1' (4,)>"
    assert repr(Feedforward(size=3)) == "<Feedforward '<feedforward>' (3,)>"
    joined = theanets.Network([5, 4, dict(size=3, inputs=["in", "hid1"])]).layers[2]
    for name in ("input_name", "input_shape", "input_size"):
        with pytest.raises(ConfigurationError, match="has 2 inputs"):
            getattr(joined, name)


def test_specification_before_and_after():
    layer = Classifier("out", size=3, std=0.5)
    assert layer.to_spec() == {"form": "classifier", "name": "out", "shape": (3,), "std": 0.5}
    net = theanets.Classifier([5, layer])
    spec = {"inputs": ["in:out"], "activation": "softmax"}
    assert layer.to_spec().items() >= spec.items()
    assert Feedforward("x", size=3, activation="Tanh").to_spec()["activation"] == "Tanh"
    again = theanets.Classifier.from_spec(net.to_spec())
    assert again.to_spec() == net.to_spec()
