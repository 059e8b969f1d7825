"""Graphs of layers: topologies, parts of a graph, types of all variables in it."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import theanets
from theanets.activations import Activation
from theanets.errors import ConfigurationError, UnknownNameError
from theanets.expressions import filled
from theanets.graph import Graph, Outputs
from theanets.layers import Feedforward, Input

try:
    from pytensor.graph.traversal import ancestors
except ImportError:
    from pytensor.graph.basic import ancestors

# A layer that halves its pre-activation cannot be tied to.
ACTIVATIONS = [
    name
    for name in Activation.registry.names()
    # Other tests have activations of their own.
    if name not in ("maxout", "glu", "geglu", "swiglu")
    and Activation.registry[name].__module__.startswith("theanets.")
]


def doubles(variables):
    return [v for v in ancestors(variables) if getattr(v, "dtype", None) == "float64"]


@pytest.mark.parametrize("configured", ["float64", "float32"])
@pytest.mark.parametrize("name", [*ACTIVATIONS, "maxout:2", "prelu+norm:z"])
def test_no_double_in_a_single_network(name, configured):
    """Whatever PyTensor's configuration; the gradient is taken as a user would."""
    with pytensor.config.change_flags(floatX=configured):
        net = theanets.Regressor(
            [
                (None, 5),
                (4, name),
                dict(size=3, inputs=["in", "hid1:pre"], name="b"),
                dict(form="tied", inputs="hid1", name="back"),
                dict(size=2, name="out", inputs=["back", "b"]),
            ]
        )
        loss = net.loss(hidden_dropout=0.1, input_noise=0.1, weight_l2=0.1, hidden_l1=0.1)
        grads = pytensor.grad(loss, net.params)
        assert {v.dtype for v in [loss, *grads, *net.params]} == {"float32"}
        assert not doubles([loss, *grads, *net.outputs().values()])


@pytest.mark.parametrize(("dtype", "expected"), [("float64", "float64"), ("floatX", "float64")])
def test_double_networks(dtype, expected):
    with pytensor.config.change_flags(floatX="float64"):
        net = theanets.Classifier([5, (4, "prelu"), 3], dtype=dtype, weighted=True)
    assert net.dtype == expected
    outputs = net.outputs()
    kinds = {v.dtype for v in [*outputs.values(), *net.params, *net.inputs, net.loss()]}
    assert kinds == {expected}
    assert {f.dtype for f in net.fields} == {expected, "int32"}
    singles = [v for v in ancestors([net.loss()]) if getattr(v, "dtype", None) == "float32"]
    assert not singles


def test_floatx_is_the_one_of_the_moment():
    with pytensor.config.change_flags(floatX="float32"):
        assert theanets.Regressor([5, 3], dtype="floatX").dtype == "float32"
    for dtype in (np.float64, np.dtype("float64")):
        assert theanets.Regressor([5, 3], dtype=dtype).dtype == "float64"
    for dtype in ("float16", "double", int, None):
        with pytest.raises(ConfigurationError, match="dtype="):
            theanets.Regressor([5, 3], dtype=dtype)


def test_configuration_is_left_alone():
    before = pytensor.config.floatX
    net = theanets.Regressor([5, 4, 3])
    net.loss()
    with pytest.raises(ConfigurationError):
        net.add_layer("tied", partner="hid9")
    assert pytensor.config.floatX == before


def test_static_shapes():
    net = theanets.Regressor([(None, 7, 5), (4, "softmax"), "tied", (3, "maxout:2")])
    for name, variable in net.outputs().items():
        assert variable.type.shape[1:] == net.graph.shape(name), name
        assert variable.name
    assert net.graph.shape("hid1") == (None, 7, 4)
    assert net.graph.shape("hid1:pre") == (None, 7, 4)


# ---- topologies -----------------------------------------------------------------------


def relu(x):
    return np.maximum(x, 0)


def test_several_inputs_and_taps(rng):
    """Two inputs, a skip connection, and a tap on a pre-activation."""
    net = theanets.Regressor(
        [
            5,
            (4, "tanh"),
            dict(form="input", size=3, name="side"),
            dict(size=6, name="join", inputs=["hid1:pre", "side"]),
            dict(size=2, name="out", inputs=["join", "in", "hid1:out"]),
        ],
        dtype="float64",
    )
    assert [v.name for v in net.variables] == ["in", "side", "target"]
    p = {q.name: q.get_value() for q in net.params}
    x, s = rng.normal(size=(7, 5)), rng.normal(size=(7, 3))
    pre = x @ p["hid1.w"] + p["hid1.b"]
    join = relu(pre @ p["join.w_hid1:pre"] + s @ p["join.w_side:out"] + p["join.b"])
    out = join @ p["out.w_join:out"] + x @ p["out.w_in:out"]
    out = out + np.tanh(pre) @ p["out.w_hid1:out"] + p["out.b"]
    np.testing.assert_allclose(net.predict([x, s]), out)
    np.testing.assert_allclose(net.predict({"side": s, "in": x}), out)
    before = net.evaluate([x, s, out + 1])["loss"]
    assert before == pytest.approx(1)
    net.train([x, s, out + 1], epochs=5, algo="sgd", learning_rate=0.05)
    assert net.evaluate([x, s, out + 1])["loss"] < 0.9 * before


def test_layers_as_inputs():
    source = Input("x", size=5)
    hidden = Feedforward("h", size=4, inputs=source)
    net = theanets.Regressor([source, hidden, dict(size=2, inputs=[hidden, "x"], name="out")])
    assert net.layers[2].input_names == ["h:out", "x:out"]
    loaded = theanets.Regressor.from_spec(net.to_spec())
    assert loaded.layers[2].input_names == ["h:out", "x:out"]


def test_a_layer_does_not_see_later_ones():
    with pytest.raises(UnknownNameError, match="unknown input of layer 'hid1' 'out:out'"):
        theanets.Network([5, dict(size=4, inputs="out"), 3])


def test_find(rng):
    graph = theanets.Regressor([5, 4, 3]).graph
    hid = graph.layers[1]
    for which in (1, -2, np.int64(1), "hid1", hid):
        assert graph.layer(which) is hid
    other = Feedforward("hid1", size=4)
    for wrong in (3, -4, "hid2", other, None, 1.0):
        with pytest.raises(UnknownNameError, match="unknown layer"):
            graph.layer(wrong)
    with pytest.raises(UnknownNameError, match=r"'hid1:por' \(did you mean"):
        graph.shape("hid1:por")


def test_a_graph_of_its_own():
    """Without a network: two layers, as part of another program."""
    graph = Graph("float64", seed=3)
    graph.add(Input("x", size=2))
    graph.add(Feedforward("y", size=1, activation="linear"))
    x, y = graph.inputs[0], graph.outputs()["y:out"]
    w, b = (p.get_value() for p in graph.params)
    data = np.array([[1.0, 2.0]])
    np.testing.assert_allclose(y.eval({x: data}), data @ w + b)


# ---- parts of a graph -------------------------------------------------------------------


@pytest.fixture
def net():
    """``in -> hid1 -> hid2 -> out``, where ``out`` gets ``side`` too."""
    return theanets.Regressor(
        [
            5,
            4,
            3,
            dict(form="input", size=2, name="side"),
            dict(size=2, name="late", inputs=["hid2", "side"]),
            dict(size=6, name="out", inputs="hid2"),
        ]
    )


@pytest.mark.parametrize(
    ("needed", "layers"),
    [
        (["hid1"], {"in", "hid1"}),
        ("hid1:pre", {"in", "hid1"}),
        (["out:out"], {"in", "hid1", "hid2", "out"}),
        (["late"], {"in", "hid1", "hid2", "side", "late"}),
        (["side"], {"side"}),
        ([], set()),
        (None, {"in", "hid1", "hid2", "side", "late", "out"}),
    ],
)
def test_only_what_is_needed(net, needed, layers):
    outputs = net.graph.outputs(needed=needed)
    assert {name.partition(":")[0] for name in outputs} == layers


@pytest.mark.parametrize("given", ["hid1", "hid1:out", "hid2:out", "out"])
def test_given(net, given, rng):
    x = rng.normal(size=(4, 5)).astype("f")
    s = rng.normal(size=(4, 2)).astype("f")
    clean = net.feed_forward([x, s])
    variable = pt.matrix("z", dtype="float32")
    outputs = net.graph.outputs(given={given: variable}, needed=["out"])
    assert not set(net.inputs) & set(ancestors(list(outputs.values())))
    full = given if ":" in given else f"{given}:out"
    assert outputs[full] is variable
    found = outputs["out:out"].eval({variable: clean[full]})
    np.testing.assert_allclose(found, clean["out:out"], rtol=1e-5, atol=1e-6)


def test_given_has_no_noise(net):
    variable = pt.matrix("z", dtype="float32")
    noise = theanets.regularizers.GaussianNoise(1.0, "*:out")
    outputs = net.graph.outputs(given={"hid1": variable}, needed=["hid2"], regularizers=[noise])
    assert outputs["hid1:out"] is variable
    assert [name for name in outputs if "prenoise" in name] == ["hid2:out-prenoise"]
    assert len(outputs.updates) == 1


@pytest.mark.parametrize(
    ("given", "needed", "part"),
    [
        ("hid1", ["late"], "'late:out' cannot be computed from hid1:out alone: .* 'side:out'"),
        ("hid1", ["in"], "'in:out' cannot be computed from hid1:out alone"),
        ("late", ["out"], "'out:out' cannot .* from late:out alone: it depends on 'in:out'"),
        ("hid1:pre", ["hid2"], "'hid2:out' cannot .* hid1:pre alone: it depends on 'hid1:out'"),
        ("hid1", ["hid1:out", "hid1:pre"], "'hid1:pre' cannot be computed"),
        ("hid1", ["hid1:pre", "hid1:out"], "'hid1:pre' cannot be computed"),
        ("hid1", None, "cannot be computed from hid1:out alone"),
    ],
)
def test_given_is_not_enough(net, given, needed, part):
    with pytest.raises(ConfigurationError, match=part):
        net.graph.outputs(given={given: pt.matrix()}, needed=needed)


@pytest.mark.parametrize("kwargs", [{"given": {"hid9": pt.matrix()}}, {"needed": ["hid9"]}])
def test_unknown_parts(net, kwargs):
    with pytest.raises(UnknownNameError, match=r"'hid9:out' \(did you mean 'hid"):
        net.graph.outputs(**kwargs)


@pytest.mark.parametrize("layer", [None, 1, "hid1", "hid2", "hid3"])
def test_encode_and_decode(layer, rng):
    net = theanets.Autoencoder([6, 5, (2, "tanh"), "tied", "tied"])
    assert [item.name for item in net.layers][-2:] == ["hid3", "out"]
    x = rng.normal(size=(7, 6)).astype("f")
    z = net.encode(x, layer)
    assert z.shape == (7, {None: 2, 1: 5, "hid1": 5, "hid2": 2, "hid3": 5}[layer])
    np.testing.assert_allclose(net.decode(z, layer), net.predict(x), rtol=1e-5, atol=1e-6)


def test_decode_past_a_skip_connection(rng):
    net = theanets.Autoencoder([6, 3, dict(size=6, name="out", inputs=["hid1", "in"])])
    with pytest.raises(ConfigurationError, match="'out:out' cannot be computed from hid1:out"):
        net.decode(np.ones((2, 3), "f"))


# ---- noise -----------------------------------------------------------------------------


def test_noise_hides_logits():
    net = theanets.Classifier([5, 4, 3])
    assert list(net.outputs().logits) == ["out:out"]
    assert not net.outputs(output_dropout=0.5).logits
    assert list(net.outputs(hidden_dropout=0.5).logits) == ["out:out"]


def test_each_noise_has_a_stream_of_its_own():
    net = theanets.Regressor([4, (4, "linear"), (4, "linear"), 4])
    outputs = net.outputs(input_noise=1, hidden_noise=1)
    states = {n: g.get_value() for n, g in outputs.generators.items()}
    draws = [tuple(np.random.Generator(g.bit_generator).random(3)) for g in states.values()]
    assert len(set(draws)) == len(draws) == 3
    again = net.outputs(input_noise=1, hidden_noise=1)
    for name, generator in again.generators.items():
        draw = tuple(np.random.Generator(generator.get_value().bit_generator).random(3))
        assert draw == draws[list(states).index(name)]


def test_what_is_known_of_outputs_is_kept_and_of_a_dict_nothing_is_known():
    output = pt.matrix()
    known = Outputs({"out:out": output})
    known.logits["out:out"] = output
    assert Outputs.of(known) is known
    plain = Outputs.of({"out:out": output})
    assert plain == {"out:out": output} and plain.lengths == plain.logits == plain.layers == {}


def test_an_array_of_one_value_is_made_without_a_search_for_constants(monkeypatch, rng):
    x = pt.matrix("x", dtype="float64")
    z = pt.tanh(pt.dot(x, x.T))
    expected = [pt.full((z.shape[0], 3), 0.5, "float32"), pt.full(z.shape, x.shape[1], "int64")]
    with monkeypatch.context() as patched:
        patched.setattr(pt.basic, "infer_static_shape", None)
        found = [filled(0.5, (z.shape[0], 3), "float32"), filled(x.shape[1], z.shape, "int64")]
    assert [(v.type.shape, v.dtype) for v in found] == [
        ((None, 3), "float32"),
        ((None,) * 2, "int64"),
    ]
    arrays = pytensor.function([x], [*found, *expected])(rng.normal(size=(2, 5)))
    for one, other in zip(arrays[:2], arrays[2:], strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
