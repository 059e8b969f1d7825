"""The structure of a network: layers added later, compiled functions, description."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import theanets
from theanets.errors import ConfigurationError, UnknownNameError
from theanets.layers import Input


def bits(net):
    return [p.get_value().tobytes() for p in net.params]


# ---- layers ----------------------------------------------------------------------------


def test_nothing():
    for model in (theanets.Network, theanets.Regressor, theanets.Classifier, theanets.Autoencoder):
        net = model()
        assert net.layers == net.params == net.inputs == []
        assert net.num_params == 0


@pytest.mark.parametrize("layers", [[], [3], [3, dict(form="input", size=2)]])
def test_layers_added_later(layers, rng):
    net = theanets.Regressor(layers, rng=1)
    if not layers:
        net.add_layer(3)
    net.add_layer((4, "tanh"))
    net.add_layer(2, name="out")
    whole = theanets.Regressor([*(layers or [3]), (4, "tanh"), 2], rng=1)
    assert [v.name for v in net.variables] == [v.name for v in whole.variables]
    assert net.layers[-1].activation.name == "linear"
    assert bits(net) == bits(whole)
    data = [rng.normal(size=(8, *f.shape)) for f in net.fields]
    net.train(data, epochs=1)
    whole.train(data, epochs=1)
    assert bits(net) == bits(whole)


def test_a_second_head(rng):
    net = theanets.Regressor([3, 4, 2])
    x, y, z = (rng.normal(size=(32, n)) for n in (3, 2, 5))
    net.predict(x)
    head = net.add_layer(5, inputs="hid1", activation="linear")
    loss = net.add_loss("mae", output_name=head.name, target="z", weight=0.5)
    assert [v.name for v in net.variables] == ["in", "target", "z"]
    found = net.feed_forward(x)
    parts = [np.mean((found["out:out"] - y) ** 2), np.abs(found[head.output_name] - z).mean()]
    monitors = net.evaluate({"z": z, "in": x, "target": y})
    assert monitors["loss"] == pytest.approx(parts[0] + 0.5 * parts[1], rel=1e-5)
    loss.weight = 2
    assert net.evaluate([x, y, z])["loss"] == pytest.approx(parts[0] + 2 * parts[1], rel=1e-5)


def test_keywords_win():
    net = theanets.Network([3, 4])
    layer = net.add_layer((5, "tanh"), size=6, activation="relu", name="x", inputs="in")
    assert (layer.output_shape, layer.activation.name, layer.input_names) == (
        (6,),
        "relu",
        ["in:out"],
    )
    layer = net.add_layer(form="ff", size=6)
    assert (layer.name, layer.input_names) == ("hid3", ["x:out"])
    with pytest.raises(ConfigurationError, match="give size when it is made"):
        net.add_layer(theanets.layers.Feedforward(size=3), size=4)


def test_a_layer_that_fails_is_not_added():
    net = theanets.Network([3, 4])
    for wrong in (dict(size=2, inputs="x"), dict(size=2, activation="x"), dict(size=2, name="in")):
        with pytest.raises(ConfigurationError):
            net.add_layer(wrong)
    assert len(net.layers) == 2


def test_find():
    net = theanets.Regressor([3, 4, 2])
    w = net.params[0]
    for which in ((1, 0), ("hid1", "w"), (np.int64(1), "w"), (net.layers[1], "w"), ("hid1.w",)):
        assert net.find(*which) is w
    for wrong in (("hid1", "q"), ("hid2", "w"), (5, 0), ("hid1.q",), (1,), ("in", 0)):
        with pytest.raises(KeyError):
            net.find(*wrong)


# ---- compiled functions -----------------------------------------------------------------


def compilations(monkeypatch):
    made = []
    original = theanets.backends.function

    def counted(*args, **kwargs):
        made.append(kwargs.get("name"))
        return original(*args, **kwargs)

    monkeypatch.setattr(theanets.backends, "function", counted)
    return made


def test_nothing_is_compiled_twice(monkeypatch, rng):
    made = compilations(monkeypatch)
    net = theanets.Regressor([3, (4, "prelu"), 2], loss="mae")
    net.add_loss("mse", weight=0.5)
    x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 2))

    def use():
        net.predict(x)
        net.evaluate([x, y])
        net.train([x, y], epochs=1, weight_l2=0.1, learning_rate=0.1)

    use()
    once = len(made)
    net.losses[1].weight = 2
    net.find("hid1", "w").set_value(np.ones((3, 4), "f"))
    use()
    net.train([x, y], epochs=1, weight_l2=0.5, learning_rate=0.01, batch_size=4)
    net.predict(x[:3])
    assert len(made) == once


@pytest.mark.parametrize(
    "change",
    [
        lambda net: setattr(net.layers[1], "activation", "tanh"),
        lambda net: setattr(net.layers[1], "factor", 3.0),
        lambda net: setattr(net.layers[1], "table", [1.0, 2.5]),
        lambda net: net.layers[1].array.fill(2.0),
        lambda net: setattr(net.layers[1], "function", lambda x: 2 * x),
        lambda net: setattr(net.losses[0], "margin", 0.5),
        lambda net: setattr(net.losses[0], "own", 0.5),
        lambda net: net.set_loss("mse"),
        lambda net: net.add_loss("mse"),
        lambda net: setattr(net.losses[0], "output_name", "hid2:pre"),
    ],
)
def test_whatever_shapes_the_graph_is_seen(change, rng):
    class Shaped(theanets.Layer, register=False):
        options = {"factor": 1.0}  # noqa: RUF012

        def setup(self):
            self.table, self.array, self.function = [1.0, 2.0], np.ones(3), None

        def transform(self, inputs):
            x = self.factor * sum(self.table) * inputs.only * self.array.astype("f")
            return self.activation(self.function(x) if self.function else x)

    class Margin(theanets.losses.Regression, register=False):
        options = {"margin": 0.25}  # noqa: RUF012
        own = 1.0

        def distance(self, target, output):
            return self.own * pt.maximum(pt.abs(target - output) - self.margin, 0)

    net = theanets.Regressor([3, Shaped, 3, 3], loss=Margin())
    x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 3))
    before = net.evaluate([x, y])["loss"]
    assert net.evaluate([x, y])["loss"] == before
    change(net)
    changed = net.evaluate([x, y])["loss"]
    assert changed != pytest.approx(before, rel=1e-4)
    net._cache.clear()
    assert net.evaluate([x, y])["loss"] == changed


def test_the_cache_is_bounded(rng):
    net = theanets.Regressor([3, 2])
    x = rng.normal(size=(8, 3))
    for level in range(1, 30):
        net.predict(x, input_noise=level)
    assert len(net._cache) <= 16


def test_seed_of_noise_at_prediction(rng):
    """A seed starts the noise anew; without it, each call has other noise."""
    net = theanets.Regressor([3, 4, 2])
    x = rng.normal(size=(8, 3))
    calls = [net.predict(x, hidden_dropout=0.5, rng=seed) for seed in (1, None, 2, 1)]
    np.testing.assert_array_equal(calls[0], calls[3])
    assert len({call.tobytes() for call in calls}) == 3


# ---- description -------------------------------------------------------------------------


def test_summary():
    net = theanets.Network(
        [
            (None, 1000),
            (40, "prelu"),
            dict(form="tied", name="back"),
            dict(size=3, name="out", inputs=["hid1:pre", "in"]),
        ],
    )
    net.add_loss("mae", weight=0.5, weighted=True, output_name="back", target="y")
    assert net.summary().splitlines() == [
        "layer  form         inputs        output shape  activation  params",
        "------------------------------------------------------------------",
        "in     input        -             ? x 1000      linear           0",
        "hid1   feedforward  in            ? x 40        prelu       40,080",
        "back   tied         hid1          ? x 1000      relu         1,000",
        "out    feedforward  hid1:pre, in  ? x 3         linear       3,123",
        "44,203 parameters, float32",
        "loss: 1 * mse(out:out, target) + 0.5 * weighted mae(back:out, y)",
    ]
    assert net.num_params == 44_203 == sum(p.get_value().size for p in net.params)
    assert "loss: none" in theanets.Network([3, 2], loss=None).summary()


def test_repr():
    net = theanets.Regressor([(28, 28), 2])
    assert repr(net) == "<Regressor [in (28, 28), out (28, 2)] 1 * mse(out:out, target)>"


def test_expressions_alone(rng):
    """Outputs and loss are plain expressions of the network's variables."""
    net = theanets.Regressor([3, 2], dtype="float64")
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    out = net.outputs()["out:out"].eval({net.inputs[0]: x})
    np.testing.assert_allclose(out, net.predict(x))
    loss = net.loss(weight_l2=0.5).eval(dict(zip(net.variables, [x, y])))
    w = net.find("out", "w").get_value()
    assert loss == pytest.approx(np.mean((out - y) ** 2) + 0.5 * np.mean(w**2))
    outputs, updates = net.build_graph([theanets.regularizers.GaussianNoise(0.1, "in:out")])
    assert len(updates) == 1
    assert list(outputs) == ["in:out", "in:out-prenoise", "out:out", "out:pre"]
    with pytest.raises(UnknownNameError):
        net.outputs(hiden_noise=1)


def test_loss_of_nothing():
    with pytest.raises(ConfigurationError, match="has no loss"):
        theanets.Network([3, 2], loss=None).loss()
    with pytest.raises(ConfigurationError, match="needs a loss"):
        theanets.Network([3, 2]).add_loss(None)
    with pytest.raises(ConfigurationError, match=r"no layer that computes an output, only .*'in'"):
        theanets.Network([3]).loss()


def test_inputs_only_take_data(rng):
    """An input with an activation, between others."""
    net = theanets.Regressor(
        [3, Input("b", size=2, activation="tanh"), dict(size=2, inputs=["in", "b"])]
    )
    a, b = rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
    np.testing.assert_allclose(net.feed_forward([a, b])["b:out"], np.tanh(b), rtol=1e-6)


def test_names_that_numpy_reads_as_types():
    net = theanets.Regressor([dict(form="input", size=2, name="int"), 3, dict(size=1, name="out")])
    net.add_loss("mae", target="float")
    assert [v.name for v in net.variables] == ["int", "target", "float"]
    x = np.ones((4, 2))
    assert net.predict(x).shape == (4, 1)
    assert net.evaluate([x, x[:, :1], x[:, :1]])["loss"] >= 0


def test_monitors_are_expressions(rng):
    net = theanets.Classifier([4, (5, "tanh"), 3], dtype="float64")
    x, y = rng.normal(size=(20, 4)), rng.integers(0, 3, 20).astype("int32")
    found = dict(net.monitors({"hid1": 0.5}, weight_l2=0.3))
    values = dict(
        zip(found, pytensor.function(net.variables, list(found.values()))(x, y), strict=True)
    )
    measured = net.evaluate([x, y], monitors={"hid1": 0.5}, weight_l2=0.3)
    assert {"xe", "acc", "weight_l2", "hid1<0.5"} <= set(found)
    for name, value in values.items():
        assert value == pytest.approx(measured[name], rel=1e-12)


def test_updates_are_those_of_the_noise():
    net = theanets.Regressor([4, 5, 3])
    assert net.updates() == []
    (update,) = net.updates(hidden_dropout=0.5)
    generator, after = update
    assert generator.type == after.type and generator is not after
