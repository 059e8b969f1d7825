"""Blocks: layers under one name, repeated, with a skip."""

import copy
import io
import pickle

import numpy as np
import pytest
from layer_checks import check_gradient, randomize

import theanets
from theanets import recurrent
from theanets.errors import ConfigurationError, DataError

CONV = dict(form="conv2", filter_size=3, border_mode="same")


def regressor(*layers, **options):
    net = theanets.Regressor(list(layers), dtype="float64", rng=1, **options)
    randomize(net, np.random.default_rng(3))
    return net


def params(net):
    return {p.name: p.get_value() for p in net.params}


def names(net):
    return [layer.name for layer in net.layers]


def dense(p, name, x):
    return x @ p[f"{name}.w"] + p[f"{name}.b"]


def test_a_residual_block_adds_what_goes_in(rng):
    block = dict(form="residual", name="b", layers=[(5, "tanh"), 4], activation="tanh")
    net = regressor(4, block, 2)
    assert names(net) == ["in", "b/1", "b/2", "b", "out"]
    x, p = rng.normal(size=(6, 4)), params(net)
    inner = dense(p, "b/2", np.tanh(dense(p, "b/1", x)))
    np.testing.assert_allclose(net.predict(x), dense(p, "out", np.tanh(x + inner)))
    # The last layer is linear unless it says otherwise.
    assert [layer.activation.name for layer in net.layers[1:4]] == ["tanh", "linear", "tanh"]
    said = regressor(4, dict(form="residual", name="b", layers=[(4, "tanh")]), 2)
    assert said.layers[1].activation.name == "tanh"


def test_it_is_projected_where_shapes_differ(rng):
    net = regressor(4, dict(form="residual", name="b", layers=[(5, "tanh"), 3]))
    p, x = params(net), rng.normal(size=(6, 4))
    assert names(net) == ["in", "b/1", "b/2", "b/skip", "b"]
    inner = dense(p, "b/2", np.tanh(dense(p, "b/1", x)))
    np.testing.assert_allclose(net.predict(x), dense(p, "b/skip", x) + inner)


def test_images_are_projected_by_a_convolution_with_the_stride(rng):
    layers = [{**CONV, "size": 5, "stride": 2}, {**CONV, "size": 5}]
    for shape in ((7, 8, 3), (None, None, 3)):
        net = regressor(shape, dict(form="residual", name="b", layers=layers), 2)
        skip = net.graph.layer("b/skip")
        assert skip.find("w").get_value().shape == (5, 3, 1, 1) and skip.stride == (2, 2)
        x, p = rng.normal(size=(2, 7, 8, 3)), params(net)
        found = net.feed_forward(x)
        w = p["b/skip.w"][:, :, 0, 0].T
        np.testing.assert_allclose(found["b/skip:out"], x[:, ::2, ::2] @ w + p["b/skip.b"])
        np.testing.assert_allclose(found["b:out"], found["b/2:out"] + found["b/skip:out"])
        assert found["b:out"].shape == (2, 4, 4, 5)


def test_a_skip_of_layers(rng):
    skip = [dict(form="pool2", mode="mean", padding="same"), {**CONV, "size": 5, "filter_size": 1}]
    layers = [{**CONV, "size": 5, "stride": 2}]
    net = regressor((7, 8, 3), dict(form="residual", name="b", layers=layers, skip=skip))
    assert names(net) == ["in", "b/1", "b/skip/1", "b/skip/2", "b/skip", "b"]
    found = net.feed_forward(rng.normal(size=(2, 7, 8, 3)))
    np.testing.assert_allclose(found["b:out"], found["b/1:out"] + found["b/skip/2:out"])
    assert net.graph.layer("b/skip/2").activation.name == "linear"


@pytest.mark.parametrize("form", ["residual", "sequential"])
def test_repetitions_have_parameters_of_their_own(form, rng):
    block = dict(form=form, name="b", layers=[(4, "tanh"), 4], repeat=3, activation="prelu")
    net = regressor(4, block, 2)
    each = [[f"b/{i}/1", f"b/{i}/2", f"b/{i}"] for i in (1, 2, 3)]
    assert names(net) == ["in", *(name for some in each for name in some), "b", "out"]
    x, p = rng.normal(size=(6, 4)), params(net)
    h = x
    for i in (1, 2, 3):
        pre = dense(p, f"b/{i}/1", h)
        pre = dense(p, f"b/{i}/2", np.tanh(pre))
        if form == "sequential":
            pre = np.maximum(pre, 0)
        else:
            pre = h + pre
        slope = next(v for k, v in p.items() if k.startswith(f"b/{i}.")) * 1.0
        h = np.where(pre > 0, pre, slope * pre)
    np.testing.assert_allclose(net.predict(x), dense(p, "out", h))
    assert not net.graph.layer("b").params
    values = [net.find(f"b/{i}/1.w").get_value() for i in (1, 2, 3)]
    assert not np.allclose(values[0], values[1]) and not np.allclose(values[1], values[2])


def test_gradient(rng):
    inner = dict(form="residual", layers=[(3, "tanh"), "layer_norm", 4], repeat=2)
    net = regressor(3, dict(form="sequential", layers=[(4, "tanh"), inner]), 2)
    check_gradient(net, rng)


def test_names_within_a_block(rng):
    inner = dict(form="sequential", name="deep", layers=[(4, "tanh"), dict(size=3, inputs="a")])
    block = dict(
        form="sequential",
        name="b",
        layers=[
            dict(size=4, name="a", activation="tanh"),
            5,
            inner,
            dict(form="concatenate", inputs=["a", "2", "deep/1", "in"]),
        ],
    )
    net = regressor(4, block, 2)
    by_name = net.graph.by_name
    assert by_name["b/4"].input_names == ["b/a:out", "b/2:out", "b/deep/1:out", "in:out"]
    assert by_name["b/deep/2"].input_names == ["b/a:out"]
    # A name with a stroke in front is that of the network.
    outer = dict(form="sequential", layers=[dict(size=4, name="a"), dict(size=2, inputs="/a")])
    net = regressor(4, dict(size=3, name="a"), outer)
    assert net.graph.layer("out/2").input_names == ["a:out"]


def test_layers_behind_a_block_are_numbered_as_if_it_were_one():
    net = regressor(4, 5, dict(form="residual", layers=[5, 4]), 3, 2)
    assert [name for name in names(net) if "/" not in name] == ["in", "hid1", "hid2", "hid3", "out"]
    assert names(net)[2:5] == ["hid2/1", "hid2/2", "hid2/skip"]


def nested():
    residual = dict(form="residual", layers=["batch_norm", (6, "tanh"), 4], repeat=2)
    return [4, dict(form="sequential", name="a", layers=[(4, "tanh"), residual]), 2]


def test_files_copies_and_pickles(rng):
    net = regressor(*nested())
    x, y = rng.normal(size=(20, 4)), rng.normal(size=(20, 2))
    net.train([x, y], epochs=2)
    file = io.BytesIO()
    net.save(file)
    file.seek(0)
    loaded = theanets.Regressor.load(file)
    assert loaded.graph.layer("a/2").repeat == 2
    assert loaded.graph.layer("a").parts == [
        [4, "tanh"],
        dict(form="residual", layers=["batch_norm", [6, "tanh"], 4], repeat=2),
    ]
    for made in (loaded, copy.deepcopy(net), copy.copy(net), pickle.loads(pickle.dumps(net))):
        assert names(made) == names(net)
        assert [layer.input_names for layer in made.layers] == [
            layer.input_names for layer in net.layers
        ]
        np.testing.assert_array_equal(made.predict(x), net.predict(x))
        made.train([x, y], epochs=1)
    assert net.astype("float32").predict(x).dtype == "float32"


class Doubled(theanets.Layer, names=("doubled_in_block",)):
    def transform(self, inputs):
        return 2 * inputs.only


def halved(x):
    return x / 2


def test_files_of_classes_and_functions_in_blocks(rng):
    layers = [Doubled, dict(form="lambda", function=halved), (4, "tanh")]
    net = regressor(4, dict(form="residual", layers=layers), 2)
    file = io.BytesIO()
    net.save(file)
    file.seek(0)
    x = rng.normal(size=(3, 4))
    loaded = theanets.Regressor.load(file, custom={"halved": halved})
    np.testing.assert_array_equal(loaded.predict(x), net.predict(x))


def test_patterns_of_a_block_are_about_all_in_it(rng):
    net = regressor(*nested())
    x, y = rng.normal(size=(8, 4)), rng.normal(size=(8, 2))
    before = params(net)
    net.train([x, y], epochs=1, freeze="a")
    changed = {name for name, value in params(net).items() if (value != before[name]).any()}
    assert changed == {"out.w", "out.b"}
    every = [name for name in before if name.startswith("a/") and name.endswith(".w")]
    penalty = theanets.regularizers.WeightL2(1.0, pattern="a.*")
    found = {p.name for p in penalty.targets(net.layers, net.outputs())}
    assert set(every) <= found and not any(name.startswith("out") for name in found)


def test_noise_is_on_each_output_once(rng):
    net = regressor(*nested())
    outputs = net.outputs(training=True, hidden_dropout=0.5, output_noise=0.1)
    noisy = {n.rpartition("-")[0] for n in outputs if n.endswith(("-predrop", "-prenoise"))}
    # A block stands for its last layer, or for its last repetition.
    every = {f"{name}:out" for name in names(net)} - {"in:out"}
    assert noisy == every - {"a/2:out", "a/2/2:out"}


def test_monitors_codes_and_statistics(rng):
    net = regressor(*nested())
    x, y = rng.normal(2, 3, size=(20, 4)), rng.normal(size=(20, 2))
    figures, _ = net.train([x, y], epochs=2, monitors={"a/2/*:out": lambda h: h.mean()})
    assert any("a/2/1/1:out" in key for key in figures)
    assert np.abs(net.find("a/2/1/1", "mean").get_value()).max() > 0
    outputs = net.feed_forward(x)
    np.testing.assert_allclose(outputs["a:out"], outputs["a/2/2:out"])


def test_labels_are_predicted_at_the_end_of_a_sequential_block(rng):
    blocks = dict(form="sequential", layers=[(6, "tanh"), dict(form="sequential", layers=[3])])
    nets = [
        theanets.Classifier([4, *layers], dtype="float64", rng=1)
        for layers in ([blocks], [(6, "tanh"), 3])
    ]
    for mine, other in zip(nets[0].params, nets[1].params, strict=True):
        mine.set_value(other.get_value() * 100)
        other.set_value(other.get_value() * 100)
    x, y = rng.normal(size=(9, 4)), rng.integers(0, 3, 9)
    assert nets[0].layers[-1].logits_output == "out/2/1:pre"
    np.testing.assert_array_equal(nets[0].predict(x), nets[1].predict(x))
    # By the logits, since these probabilities are 0 and 1.
    assert nets[0].evaluate([x, y])["loss"] == pytest.approx(nets[1].evaluate([x, y])["loss"])
    own = theanets.Classifier([4, dict(form="sequential", layers=[3], activation="softmax")])
    assert [layer.activation.name for layer in own.layers[1:]] == ["relu", "softmax"]


def test_layerwise_training_and_ties(rng):
    x = rng.normal(size=(20, 4))
    net = theanets.Autoencoder([4, dict(form="sequential", layers=[(3, "tanh")]), "tied"])
    assert net.layers[-1].tied_to.name == "hid1/1"
    net.train([x], epochs=1)
    net = regressor(4, dict(form="sequential", layers=[(3, "tanh"), (2, "tanh")]), 2)
    for algo in ("layerwise", "pretrain"):
        before = params(net)
        net.train([x, x[:, :2]], algo=algo, epochs=1)
        changed = {name for name, value in params(net).items() if (value != before[name]).any()}
        assert {"hid1/1.w", "hid1/2.w"} <= changed


STACK = [
    dict(form="conv1", size=5, filter_size=3, stride=2, border_mode="same"),
    "instance_norm",
    dict(form="gru", size=5),
]


def test_series_are_what_they_are_alone(rng):
    block = dict(form="residual", layers=STACK)
    net = recurrent.Regressor([3, dict(form="lengths", name="n"), {**block, "inputs": "in"}, 2])
    plain = recurrent.Regressor([3, block, 2])
    randomize(net, rng)
    for mine, other in zip(plain.params, net.params, strict=True):
        mine.set_value(other.get_value())
    lengths = np.array([6, 1, 5, 2])
    xs = [rng.normal(size=(n, 3)).astype("float32") for n in lengths]
    for fill in (0, 5.0):
        x, _ = recurrent.pad(xs, fill)
        found = net.predict([x, lengths])
        for one, n, got in zip(xs, lengths, found, strict=True):
            np.testing.assert_allclose(got[: (n + 1) // 2], plain.predict(one[None])[0], atol=2e-6)


def test_series_go_on_through_blocks(rng):
    layers = [dict(form="residual", layers=[(4, "tanh"), dict(form="lstm", size=3)], repeat=2), 2]
    net = recurrent.Regressor([3, *layers], dtype="float64")
    x = rng.normal(size=(2, 6, 3))
    stream = net.stream(series=2)
    steps = [stream.step(x[:, t]) for t in range(6)]
    np.testing.assert_allclose(np.stack(steps, axis=1), net.predict(x))


@pytest.mark.parametrize(
    ("shape", "block", "message"),
    [
        ((4,), dict(), "layers=None is not a list of layers"),
        ((4,), dict(layers=[]), r"layers=\[\] is not a list"),
        ((4,), dict(layers="flat"), "layers='flat' is not a list"),
        ((4,), dict(layers=[4, "flatt"]), "'flatt' is not the name of a layer.*flat"),
        ((4,), dict(layers=[theanets.layers.Feedforward(size=4)]), "is an instance"),
        ((4,), dict(layers=[4], repeat=0), "repeat=0 is not an integer of at least 1"),
        ((4,), dict(layers=[4], size=5), r"given the shape \(5,\)"),
        ((4,), dict(layers=[4], depth=5), "depth"),
        ((4,), dict(layers=[4], std=5), "std"),
        ((4,), dict(layers=[dict(size=4, name="a"), dict(size=4, name="a")]), "'b/a' is taken"),
        ((4,), dict(layers=[4, dict(size=4, inputs="3")]), "input of layer 'b/2'"),
        ((4,), dict(layers=[4], inputs=["in", "in"]), "takes one input"),
        ((3, 4), dict(layers=["flat"]), r"'in:out' of shape \(3, 4\) is added .* \(12,\)"),
        (
            (9, 4),
            dict(layers=[dict(form="conv1", size=4, filter_size=3)]),
            r"make 7 of 9 entries. A skip .* has \(9 - 1\) // s \+ 1: 5 for s = 2",
        ),
        (
            (None, 4),
            dict(layers=[dict(form="pool1", pool_size=3)]),
            r"make 1365 of 4096 entries. .*: 1024 for s = 4",
        ),
        ((None, 4), dict(layers=[(3, "crf")]), "has to be the network's last"),
    ],
)
def test_refused(shape, block, message):
    net = theanets.Network([shape], loss=None)
    with pytest.raises(ConfigurationError, match=message):
        net.add_layer(dict(form="residual", name="b", **block))
    # Nothing of it is left.
    assert names(net) == ["in"]
    net.add_layer(dict(form="residual", name="b", layers=[4]))


def test_sizes_that_do_not_fit_are_found_in_data(rng):
    block = dict(
        form="residual",
        layers=[dict(form="pool2", padding="same")],
        skip=[dict(form="pool2")],
    )
    net = regressor((None, None, 2), block)
    assert net.predict(rng.normal(size=(2, 4, 6, 2))).shape == (2, 2, 3, 2)
    with pytest.raises(
        DataError, match="along axis 0 of an example the inputs have the lengths 3, 2"
    ):
        net.predict(rng.normal(size=(2, 5, 6, 2)))


@pytest.mark.linker
def test_linkers_agree(rng):
    x, y = rng.normal(size=(16, 4)), rng.normal(size=(16, 2))
    found = []
    for mode in ("FAST_COMPILE", "NUMBA"):
        net = regressor(*nested(), mode=mode)
        net.train([x, y], epochs=2, algo="sgd", learning_rate=0.01)
        found.append([*params(net).values(), net.predict(x)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("form", ["transformer", "residual", "sequential"])
@pytest.mark.parametrize("name", ["nowhere", "hid1:nothing", "", "hid1:", "later"])
def test_inputs_that_are_not_there_are_refused(form, name):
    block = {"form": form, "inputs": name}
    block |= {"heads": 2} if form == "transformer" else {"layers": [8]}
    with pytest.raises(theanets.errors.UnknownNameError, match="unknown input of layer"):
        theanets.recurrent.Regressor([3, (8, "linear"), block, {"size": 3, "name": "later"}, 3])
