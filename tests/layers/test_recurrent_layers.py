"""Recurrent layers: against NumPy twins of their equations, and what they promise."""

import numpy as np
import pytensor.tensor as pt
import pytest
from recurrent_twins import (
    BATCH,
    FORMS,
    LENGTHS,
    NAMES,
    NIN,
    STEPS,
    N,
    bcrnn,
    cell_step,
    lstm,
    make,
    shaken,
    twin,
)

import theanets
from theanets.errors import ConfigurationError, UnknownNameError
from theanets.ops.recurrent import trace
from theanets.spec import frozen


@pytest.fixture
def x(rng):
    return rng.normal(size=(BATCH, STEPS, NIN))


@pytest.mark.parametrize("direction", [None, "backward"])
@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_those_of_the_equations(name, direction, x):
    net = shaken(make(FORMS[name][0], direction=direction))
    found = net.feed_forward([x, LENGTHS])
    expected = twin(net, name, x, LENGTHS, direction is not None)
    assert {k for k in found if k.startswith("rec:")} == {f"rec:{key}" for key in expected}
    for key, value in expected.items():
        np.testing.assert_allclose(found[f"rec:{key}"], value, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_differences(name, x, rng):
    from theanets.training import compiled

    net = shaken(make(FORMS[name][0]))
    y = rng.normal(size=(BATCH, STEPS, 2))
    losses = net.bound_losses()
    evaluation, _ = compiled.compile_gradient(net.graph, net.variables, losses, [])
    evaluation.assign(losses, [], 1.0)
    batch = [x, LENGTHS.astype("int32"), y]

    def loss():
        return evaluation.function(*batch)[0][0]

    _, *grads = evaluation.function(*batch)
    for param, grad in zip(net.params, grads):
        direction = rng.normal(size=grad.shape)
        value, step = param.get_value(), 1e-6
        param.set_value(value + step * direction)
        up = loss()
        param.set_value(value - step * direction)
        down = loss()
        param.set_value(value)
        numeric = (up - down) / (2 * step)
        np.testing.assert_allclose((grad * direction).sum(), numeric, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("name", ["rnn", "lstm", "scrn"])
def test_last_is_the_last_step_that_exists(name, direction, x):
    every = shaken(make(FORMS[name][0], direction=direction))
    last = shaken(make(FORMS[name][0], direction=direction, last=True))
    lengths = np.maximum(LENGTHS, 1)
    series = every.feed_forward([x, lengths])["rec:out"]
    at = lengths - 1 if direction == "forward" else np.zeros(BATCH, int)
    found = last.feed_forward([x, lengths])["rec:out"]
    np.testing.assert_allclose(found, series[np.arange(BATCH), at], rtol=1e-12)
    assert last.predict([x, lengths]).shape == (BATCH, 2)


@pytest.mark.parametrize("worker", ["rnn", "lstm", {"form": "gru", "reset_after": True}])
def test_bidirectional_is_two_layers_that_are_aligned_in_time(worker, x):
    net = shaken(make({"form": "bidirectional", "worker": worker}))
    found = net.feed_forward([x, LENGTHS])
    form = worker if isinstance(worker, dict) else {"form": worker}
    for half, direction in (("fw", "forward"), ("bw", "backward")):
        one = make({**form, "size": N // 2}, direction=direction)
        for param in one.graph.layer("rec").params:
            param.set_value(net.find("rec", f"{half}_{param.name[4:]}").get_value())
        expected = one.feed_forward([x, LENGTHS])["rec:out"]
        np.testing.assert_allclose(found[f"rec:{half}_out"], expected, rtol=1e-12)
    joined = np.concatenate([found["rec:fw_out"], found["rec:bw_out"]], axis=-1)
    np.testing.assert_array_equal(found["rec:out"], joined)


def test_bidirectional_halves_are_found_and_differ():
    net = make({"form": "bidirectional", "worker": "rnn"})
    assert net.find("rec", "fw_xh") is net.find("rec_fw", "xh")
    assert net.find("rec_fw", "xh").name == "rec_fw.xh"
    forward, backward = (net.find(f"rec_{h}", "hh").get_value() for h in ("fw", "bw"))
    assert np.abs(forward - backward).max() > 0.1


def test_impulse_backward(x):
    """The backward state at a step knows that step and later ones, no earlier ones."""
    net = shaken(make({"form": "rnn", "activation": "tanh"}, direction="backward"))
    full = np.full(BATCH, STEPS)
    before = net.feed_forward([x, full])["rec:out"]
    x[:, 2] += 1
    changed = np.abs(net.feed_forward([x, full])["rec:out"] - before).max(axis=(0, 2)) > 0
    np.testing.assert_array_equal(changed, [True, True, True, False, False, False])


@pytest.mark.parametrize("form", ["gru", "bidirectional"])
def test_weights_say_which_steps_exist(form, x, rng):
    """What is in the steps after the last weight changes nothing."""
    y, w = rng.normal(size=(BATCH, STEPS, 2)), np.zeros((BATCH, STEPS, 2))
    for i, n in enumerate(LENGTHS):
        w[i, :n] = rng.uniform(0.1, 1, size=(n, 2))
    w[4, 1] = 0  # a hole, which exists all the same
    results = []
    for fill in (0, 7.5):
        a, b = x.copy(), y.copy()
        for i, n in enumerate(LENGTHS):
            a[i, n:], b[i, n:] = fill, fill
        layers = [NIN, {"form": form, "size": N}, 2]
        net = theanets.recurrent.Regressor(layers, weighted=True, dtype="float64", rng=1)
        shaken(net)
        before = net.evaluate([a, b, w])
        net.train([a, b, w], algo="sgd", epochs=2, learning_rate=0.1, batch_size=BATCH)
        results.append((before["loss"], [p.get_value() for p in net.params]))
    assert results[0][0] == results[1][0]
    for one, other in zip(results[0][1], results[1][1]):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", NAMES)
def test_the_step_is_a_fast_one(name):
    """It becomes a cell of the core, and needs no scan; its arrays are what the layout says."""
    layer = make(FORMS[name][0]).graph.layer("rec")
    layout, sizes = layer.layout(), layer.sizes()
    _, extra = trace(layout, layer.formulas, layer.dtype)
    assert not extra
    vectors = [v.eval().shape for v in layer.vectors()]
    assert vectors == [
        (sum(sizes[size] for size in layout.vector_sizes(name)),) for name in layout.vectors
    ]
    matrices = [w.eval().shape for w in layer.weights()]
    assert matrices == [
        (sizes[rows], sum(sizes[size] for size in columns))
        for rows, columns in layout.dots.values()
    ]
    width = sum(sizes[size] for size in layout.blocks.values())
    assert layer.input_weights().eval().shape == (NIN, width)
    assert {key: shape[-1] for key, shape in layer.output_shapes.items()} == layer.outputs()


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_loaded(name, x, tmp_path):
    net = shaken(make(FORMS[name][0]))
    net.save(tmp_path / "net")
    custom = {"cell_step": cell_step}
    other = theanets.recurrent.Regressor.load(tmp_path / "net", custom=custom)
    # Tuples come back as lists.
    assert frozen(other.to_spec()) == frozen(net.to_spec())
    np.testing.assert_array_equal(other.predict([x, LENGTHS]), net.predict([x, LENGTHS]))


def test_bidirectional_saved_and_loaded(x, tmp_path):
    worker = {"form": "lstm", "peepholes": False}
    net = shaken(make({"form": "bidirectional", "worker": worker, "last": True}))
    net.save(tmp_path / "net")
    other = theanets.recurrent.Regressor.load(tmp_path / "net")
    np.testing.assert_array_equal(other.predict([x, LENGTHS]), net.predict([x, LENGTHS]))
    assert [p.name for p in other.params] == [p.name for p in net.params]


def test_initial_states_from_outputs(x, rng):
    layers = [
        {"form": "input", "name": "in", "shape": (None, NIN)},
        {"form": "input", "name": "start", "size": 2, "ndim": 2},
        {"name": "h", "size": N, "inputs": "start", "activation": "tanh"},
        {"name": "c", "size": N, "inputs": "start", "activation": "linear"},
        {"form": "lstm", "name": "rec", "size": N, "inputs": "in", "h_0": "h", "c_0": "c"},
        2,
    ]
    net = shaken(theanets.recurrent.Regressor(layers, dtype="float64"))
    found = net.feed_forward([x, rng.normal(size=(BATCH, 2))])
    p = {q.name[4:]: q.get_value() for q in net.graph.layer("rec").params}
    state = {"h": found["h:out"], "c": found["c:out"]}
    for t in range(STEPS):
        state, outputs = lstm(p, x[:, t], state, t)
        np.testing.assert_allclose(found["rec:out"][:, t], outputs["out"], rtol=1e-10)


def test_initial_state_is_not_the_initial_pre_activation(x, rng):
    layers = [
        NIN,
        {"form": "input", "name": "start", "size": N, "ndim": 2},
        {"form": "bcrnn", "name": "rec", "size": N, "num_modules": 2, "inputs": "in"},
        2,
    ]
    layers[2]["h_0"] = "start"
    net = shaken(theanets.recurrent.Regressor(layers, dtype="float64"))
    h = rng.normal(size=(BATCH, N))
    p = {q.name[4:]: q.get_value() for q in net.graph.layer("rec").params}
    _, outputs = bcrnn(p, x[:, 0], {"h": h, "pre": np.zeros((BATCH, N))}, 0)
    found = net.feed_forward([x, h])["rec:pre"][:, 0]
    np.testing.assert_allclose(found, outputs["pre"], rtol=1e-10)


@pytest.mark.parametrize(
    "activation",
    [
        "prelu",
        "tanh+relu",
        "elu",
        "rect:min",
        # Those that take more than one entry to compute one.
        *(pytest.param(a, marks=pytest.mark.slow) for a in ("maxout:2", "norm:z", "softmax")),
    ],
)
def test_any_activation_trains(activation, x, rng):
    net = make({"form": "rnn", "activation": activation}, lengths=False)
    net.train([x, rng.normal(size=(BATCH, STEPS, 2))], algo="sgd", epochs=1)
    assert np.isfinite(net.predict(x)).all()


def test_a_step_that_is_not_elementwise(x):
    def step(cell, x, h):
        mixed = x + cell.dot(h)
        return pt.tanh(mixed - mixed.mean(axis=-1, keepdims=True))

    net = shaken(make({"form": "cell", "step": step}))
    found = net.feed_forward([x, LENGTHS])["rec:out"]
    p = {q.name[4:]: q.get_value() for q in net.graph.layer("rec").params}
    h = np.zeros((BATCH, N))
    for t in range(STEPS):
        mixed = x[:, t] @ p["xh"] + h @ p["hh"]
        h = np.tanh(mixed - mixed.mean(axis=-1, keepdims=True))
        np.testing.assert_allclose(found[0, t], h[0], rtol=1e-10)


def test_lstm_biases_start_with_the_forget_gate_open():
    bias = make({"form": "lstm"}).find("rec", "b").get_value()
    np.testing.assert_array_equal(bias, np.repeat([0, 1, 0, 0], N))


@pytest.mark.parametrize("shape", [(1, 1), (1, STEPS), (BATCH, 1)])
def test_one_series_and_one_step(shape, rng):
    net = make({"form": "gru"}, lengths=False)
    x, y = rng.normal(size=(*shape, NIN)), rng.normal(size=(*shape, 2))
    net.train([x, y], algo="sgd", epochs=1)
    assert net.predict(x).shape == y.shape


@pytest.mark.parametrize(
    "spec, message",
    [
        ({"form": "bidirectional", "size": 5}, "size=5 is odd.*4 or 6"),
        ({"form": "bidirectional", "worker": "feedforward"}, "not a recurrent layer"),
        ({"form": "rnn", "direction": "sideways"}, "direction='sideways'"),
        ({"form": "rnn", "bptt_limit": 0}, "bptt_limit=0"),
        ({"form": "clockwork", "periods": (1, 2, 4)}, "size=4 is not a multiple of its 3"),
        ({"form": "clockwork"}, "periods=None"),
        ({"form": "bcrnn", "num_modules": 3}, "size=4 is not a multiple of its 3"),
        ({"form": "rrnn", "rate": "matrx"}, "rate='matrx'.*'matrix'"),
        ({"form": "scrn", "context_size": 0}, "context_size=0"),
        ({"form": "mrnn", "factors": 1.5}, "factors=1.5"),
        ({"form": "lstm", "activation": "relu"}, "activation='relu'"),
        ({"form": "cell"}, "step=None"),
        ({"form": "cell", "step": lambda cell, x, h: (h, h)}, "2 states"),
        ({"form": "rnn", "h_0": "in"}, "initial state 'in:out' has shape"),
    ],
)
def test_wrong_options_are_refused(spec, message):
    with pytest.raises(ConfigurationError, match=message):
        make(spec)


def test_unknown_names_are_refused():
    with pytest.raises(UnknownNameError, match="lengths"):
        make({"form": "rnn", "lengths": "in"})
    with pytest.raises(ConfigurationError, match="needs series"):
        theanets.Regressor([3, {"form": "rnn", "size": 4}, 2])
