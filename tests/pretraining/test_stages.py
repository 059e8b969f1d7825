"""Training layer by layer: what the stages are, what each trains and minimizes."""

import numpy as np
import pytest
from stage_cases import ROWS, Watch, same, values

import theanets
from theanets.pretraining.stages import layerwise, unsupervised


@pytest.fixture
def data(rng):
    x = rng.normal(size=(ROWS, 6)).astype("float32")
    return x, x[:, :2] - x[:, 2:4], (x[:, 0] > 0).astype(int)


def image_net(**options):
    layers = [
        (6, 5, 2),
        dict(form="conv2", size=3, filter_size=(3, 2), stride=(2, 1), activation="tanh"),
        dict(form="pool2", pool_size=(2, 2), mode="mean"),
        "flat",
        (4, "sigmoid"),
        3,
    ]
    return theanets.convolution.Classifier(layers, **options)


def layout(stages):
    return [[layer.name for layer in stage.net.layers] for stage in stages]


# ---- what the stages are -------------------------------------------------------------


def test_stages_of_a_chain():
    net = theanets.Classifier([6, 5, 4, 3, 2])
    stages = layerwise(net)
    assert layout(stages)[:2] == [["in", "hid1", "out"], ["in", "hid1", "hid2", "out"]]
    assert stages[-1].net is net
    assert [stage.new for stage in stages] == [["hid1"], ["hid2"], ["hid3"]]
    assert stages[0].net.layers[1] is net.layers[1]
    tap = stages[1].net.layers[-1]
    assert tap is not net.layers[-1]
    assert tap.activation.name == "softmax"
    assert tap.find("w").get_value().shape == (4, 2)


def test_stages_of_tied_layers_have_these():
    net = theanets.Autoencoder([6, 5, 4, 3, ("tied", "relu"), ("tied", "relu"), "tied"])
    stages = layerwise(net)
    assert layout(stages) == [
        ["in", "hid1", "out"],
        ["in", "hid1", "hid2", "hid5", "out"],
        ["in", "hid1", "hid2", "hid3", "hid4", "hid5", "out"],
    ]
    assert stages[0].net.params == [*net.layers[1].params, net.find("out.b")]


def test_stages_of_images_flatten_and_take_along_what_has_no_weights():
    net = image_net()
    stages = layerwise(net)
    assert layout(stages)[0] == ["in", "hid1", "hid2", "hid3", "out"]
    conv = dict(form="conv2", size=3, filter_size=2)
    net = theanets.convolution.Classifier([(6, 5, 2), conv, conv, "batch_norm", "flat", 3])
    first, last = layerwise(net)
    assert [layer.name for layer in first.net.layers] == ["in", "hid1", "out_of_hid1", "out"]
    assert first.net.graph.shape("out_of_hid1") == (5 * 4 * 3,)
    assert last.new == ["hid2"]


def test_stages_of_branches_and_several_outputs():
    net = theanets.Network([6], loss=None)
    for name, size, inputs in [("a", 5, "in"), ("b", 4, "in"), ("c", 3, ["a", "b"])]:
        net.add_layer(size, name=name, inputs=inputs)
    net.add_layer(2, name="early", inputs="a", activation="linear")
    net.add_layer(2, name="late", inputs=["c", "b"], activation="linear")
    net.add_loss("mse", output_name="early", target="y")
    net.add_loss("mae", output_name="late", target="z")
    first, second, third = layerwise(net)
    assert {x.name: x.input_names for x in first.net.layers[2:]} == {
        "early": ["a:out"],
        "late": ["a:out"],
    }
    assert first.net.layers[2].params == net.graph.layer("early").params
    assert second.net.graph.layer("late").input_names == ["b:out", "a:out"]
    assert third.net is net
    assert [v.name for v in first.net.variables] == [v.name for v in net.variables]


def test_a_loss_on_a_later_hidden_layer(data):
    net = theanets.Regressor([6, 5, 4, 3, 2])
    net.add_loss("mse", output_name="hid3", target="code")
    first, second, _ = layerwise(net)
    assert layout([first, second]) == [
        ["in", "hid1", "out", "hid3"],
        ["in", "hid1", "hid2", "out", "hid3"],
    ]
    ours = {id(p) for p in net.layers[3].params}
    assert not {id(p) for p in first.net.params} & ours
    # On top of hid2 there is the layer itself.
    assert {id(p) for p in second.net.params} >= ours
    x, y, _ = data
    net.train([x, y, x[:, :3]], algo="layerwise", epochs=1)


# ---- what a stage trains -------------------------------------------------------------


NETS = {
    "classifier": (lambda: theanets.Classifier([6, 5, (4, "prelu"), 3, 2]), "layerwise"),
    "tied": (lambda: theanets.Autoencoder([6, 5, 4, "tied", "tied"]), "layerwise"),
    "images": (image_net, "layerwise"),
    "recurrent": (
        lambda: theanets.recurrent.Classifier([6, ("rnn", 4), ("gru", 3), 2]),
        "layerwise",
    ),
    "unsupervised": (lambda: theanets.Classifier([6, 5, (4, "prelu"), 3, 2]), "pretrain"),
    "unsupervised images": (image_net, "pretrain"),
}


def data_for(net, rng):
    shape = tuple(n or 7 for n in net.layers[0].output_shape)
    x = rng.normal(size=(ROWS, *shape)).astype("float32")
    if isinstance(net, theanets.Autoencoder):
        return [x]
    steps = shape[:-1] if len(shape) == 2 else ()
    return [x, rng.integers(2, size=(ROWS, *steps))]


@pytest.mark.parametrize("kind", NETS)
def test_a_stage_trains_its_layers_and_no_others(kind, rng):
    make, algo = NETS[kind]
    net = make()
    stages = layerwise(net) if algo == "layerwise" else unsupervised(net)
    watch = Watch(net)
    net.train(data_for(net, rng), algo=algo, epochs=2, callbacks=watch, min_improvement=0)
    assert len(watch.starts) == len(stages)
    for stage, start, end in zip(stages, watch.starts, watch.ends):
        own = {p.name for p in stage.net.params if any(p is q for q in net.params)}
        assert own
        for name in start:
            assert (start[name] != end[name]).any() == (name in own), name
    for end, start in zip(watch.ends, watch.starts[1:]):
        # Nothing is drawn again in between: no leak of a prelu, no bias.
        assert same(end, start)
    assert same(values(net), watch.ends[-1])


# ---- what it minimizes ---------------------------------------------------------------


def test_objective_of_layerwise(data):
    x, y, _ = data
    net = theanets.Regressor([6, (5, "tanh"), (4, "relu"), 2], loss="mae", rng=5)
    w = values(net)
    tap = values(theanets.Regressor([6, (5, "tanh"), 2], rng=5))
    watch = Watch(net)
    net.train([x, y], algo="layerwise", max_updates=0, callbacks=watch)
    hidden = np.tanh(x @ w["hid1.w"] + w["hid1.b"])
    first = np.abs(hidden @ tap["out.w"] + tap["out.b"] - y).mean()
    hidden = np.maximum(hidden @ w["hid2.w"] + w["hid2.b"], 0)
    second = np.abs(hidden @ w["out.w"] + w["out.b"] - y).mean()
    np.testing.assert_allclose([v["loss"] for v in watch.first], [first, second], rtol=1e-5)


def bias(net, rng):
    for param in net.params:
        if param.ndim == 1:
            param.set_value(rng.normal(size=param.get_value().shape).astype(param.dtype))


def test_objective_of_tied_layers(data, rng):
    x = data[0]
    net = theanets.Autoencoder([6, (5, "tanh"), (4, "sigmoid"), ("tied", "tanh"), "tied"])
    bias(net, rng)
    w = values(net)
    watch = Watch(net)
    net.train([x], algo="layerwise", max_updates=0, callbacks=watch)
    one = np.tanh(x @ w["hid1.w"] + w["hid1.b"])
    two = 1 / (1 + np.exp(-(one @ w["hid2.w"] + w["hid2.b"])))
    back = np.tanh(two @ w["hid2.w"].T + w["hid3.b"])
    errors = [np.mean((h @ w["hid1.w"].T + w["out.b"] - x) ** 2) for h in (one, back)]
    np.testing.assert_allclose([v["loss"] for v in watch.first], errors, rtol=1e-5)


def test_objective_of_pretrain(data, rng):
    x, _, labels = data
    net = theanets.Classifier([6, (5, "tanh"), (4, "sigmoid"), 2])
    bias(net, rng)
    w = values(net)
    watch = Watch(net)
    net.train([x, labels], algo="pretrain", max_updates=0, callbacks=watch)
    one = np.tanh(x @ w["hid1.w"] + w["hid1.b"])
    two = 1 / (1 + np.exp(-(one @ w["hid2.w"] + w["hid2.b"])))
    back = np.tanh(two @ w["hid2.w"].T)
    errors = [np.mean((h @ w["hid1.w"].T - x) ** 2) for h in (one, back)]
    np.testing.assert_allclose([v["loss"] for v in watch.first], errors, rtol=1e-5)
    assert "acc" not in watch.first[0]


def transposed(y, w, like, stride):
    """Spread each entry of ``y`` by the filters, turned around: a loop over all entries."""
    out = np.zeros_like(like)
    w = w[:, :, ::-1, ::-1]
    for b, i, j, n in np.ndindex(y.shape):
        rows, columns = i * stride[0], j * stride[1]
        for a, c in np.ndindex(w.shape[2:]):
            out[b, rows + a, columns + c] += y[b, i, j, n] * w[n, :, a, c]
    return out


def test_objective_of_pretrain_on_images(rng):
    net = image_net()
    bias(net, rng)
    x, labels = data_for(net, rng)
    x = x[:5]
    hidden = net.feed_forward(x)
    w = values(net)
    watch = Watch(net)
    net.train([x, labels[:5]], algo="pretrain", max_updates=0, callbacks=watch)
    assert hidden["hid1:out"].shape == (5, 2, 4, 3)

    def reproduce(pooled):
        # Each entry of a window of 2 x 2 gets the mean.
        image = pooled.reshape(5, 1, 2, 3).repeat(2, axis=1).repeat(2, axis=2)
        return transposed(image, w["hid1.w"], x, (2, 1))

    back = hidden["hid4:out"] @ w["hid4.w"].T
    # What the first weights of the network give has a tanh, and so has what comes back to it.
    errors = [np.mean((reproduce(z) - x) ** 2) for z in (hidden["hid2:out"], np.tanh(back))]
    np.testing.assert_allclose([v["loss"] for v in watch.first], errors, rtol=1e-4)


@pytest.mark.parametrize("mode", ["mean", "max"])
def test_windows_of_pooling_that_overlap_are_averaged(mode, rng):
    x = rng.normal(size=(5, 4, 5, 1)).astype("float32")
    conv = dict(form="conv2", size=1, filter_size=1, activation="linear")
    pool = dict(form="pool2", pool_size=(2, 3), stride=(1, 2), mode=mode)
    net = theanets.convolution.Classifier([(4, 5, 1), conv, pool, "flat", 2])
    net.find("hid1.w").set_value(np.full((1, 1, 1, 1), 2, "float32"))
    total, count = np.zeros(x.shape), np.zeros(x.shape)
    for i, j in np.ndindex(3, 2):
        window = np.s_[:, i : i + 2, 2 * j : 2 * j + 3]
        total[window] += getattr(np, mode)(2 * x[window], axis=(1, 2), keepdims=True)
        count[window] += 1
    _, valid = net.train([x, np.arange(5) % 2], algo="pretrain", max_updates=0)
    # The filter of one entry doubles what comes in, and what comes back.
    assert valid["loss"] == pytest.approx(np.mean((2 * total / count - x) ** 2), rel=1e-5)


@pytest.mark.parametrize("border", ["full", "same", 1])
def test_decoders_of_images_have_their_shape_back(border, rng):
    conv = dict(form="conv2", size=3, filter_size=(3, 2), stride=(2, 3), border_mode=border)
    pool = dict(form="pool2", pool_size=2, stride=1, padding="same", mode="max")
    net = theanets.convolution.Classifier(
        [
            (7, 8, 2),
            dict(conv, dilation=2 if border == "same" else 1),
            pool,
            "dropout",
            "flat",
            4,
            3,
        ]
    )
    # Of the layers with weights: the convolution and the one of size 4.
    shapes = [stage.net.graph.shape(stage.net.layers[-1].name) for stage in unsupervised(net)]
    assert shapes == [(7, 8, 2)] * 2
    x, labels = rng.normal(size=(6, 7, 8, 2)), rng.integers(3, size=6)
    net.train([x, labels], algo="pretrain", epochs=1)


def test_decoders_of_series_and_of_global_pooling(rng):
    x, labels = rng.normal(size=(6, 7, 8, 2)), rng.integers(3, size=6)
    conv = dict(form="conv2", size=3, filter_size=(3, 2), stride=(2, 3), border_mode="same")
    series = theanets.Network([(12, 2), dict(form="conv1", size=3, filter_size=4, stride=3)])
    for layer in (dict(form="pool1", pool_size=2), dict(form="reshape", shape=(3,)), 4, 3):
        series.add_layer(layer)
    assert [stage.net.graph.shape(stage.net.layers[-1].name) for stage in unsupervised(series)] == [
        (12, 2),
        (12, 2),
    ]
    whole = theanets.convolution.Classifier(
        [(7, 8, 2), conv, dict(form="pool2", pool_size="global"), 4, 3]
    )
    whole.train([x, labels], algo="pretrain", epochs=1)


def test_the_own_losses_of_an_autoencoder_are_kept(rng):
    x = (rng.random((ROWS, 6)) > 0.5).astype("float32")
    net = theanets.Autoencoder([6, (4, "tanh"), 3, (4, "tanh"), (6, "sigmoid")], loss="bce")
    for stage in unsupervised(net):
        assert stage.net.losses == net.losses
        assert stage.net.layers[-1].activation.name == "sigmoid"
    net.train([x], algo="pretrain", epochs=1)
