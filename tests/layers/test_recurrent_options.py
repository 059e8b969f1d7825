"""Zoneout, dropout of whole series, initial states of both directions, states in checkpoints."""

import copy

import numpy as np
import pytest
from recurrent_twins import FORMS, make, shaken, sigmoid

import theanets
from theanets import recurrent
from theanets.errors import ConfigurationError, UnknownNameError
from theanets.layers import Bidirectional

N, BATCH, STEPS, NIN = 4, 5, 6, 3
LENGTHS = np.array([6, 2, 0, 1, 4])


@pytest.fixture
def x(rng):
    return rng.normal(size=(BATCH, STEPS, NIN))


def drawn(net, x, training=True, **keywords):
    """Compute outputs as in training, and the uniform numbers that were drawn for them."""
    import pytensor

    outputs = net.outputs(training=training, **keywords)
    numbers = {name: copy.deepcopy(g.get_value()) for name, g in outputs.generators.items()}
    names = [n for n in outputs if n.startswith("rec:") or n == "out:out"]
    function = pytensor.function(
        net.inputs, [outputs[n] for n in names], updates=outputs.updates, on_unused_input="ignore"
    )
    arrays = [x] if len(net.inputs) == 1 else [x, LENGTHS.astype("int32")]
    return dict(zip(names, function(*arrays))), numbers


STATES = {"rnn": "h", "lstm": "hc", "lstm plain": "hc", "gru": "h", "mut1": "h", "cell": "h"}


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ["rnn", "lstm", "gru", "rrnn", "clockwork"])
def test_zoneout_keeps_states_by_the_numbers_that_were_drawn(name, training, direction, x):
    rates = {"h": 0.3, "c": 0.6} if name == "lstm" else 0.3
    net = shaken(make(FORMS[name][0], zoneout=rates, direction=direction))
    found, numbers = drawn(net, x, training)
    rates = rates if isinstance(rates, dict) else {"h": rates}
    keep = {}
    for state, rate in rates.items():
        keep[state] = np.full((BATCH, STEPS, N), rate)
        if training:
            draws = numbers[f"rec:zoneout:{state}"].uniform(size=(BATCH, STEPS, N))
            keep[state] = (draws < rate).astype(float)
    assert bool(numbers) == training
    _, step, states = FORMS[name]
    p = {q.name.partition(".")[2]: q.get_value() for q in net.graph.layer("rec").params}
    state = {s: np.zeros((BATCH, N)) for s in states}
    for t in range(STEPS) if direction == "forward" else reversed(range(STEPS)):
        exists = (t < LENGTHS)[:, None]
        number = np.full(BATCH, t) if direction == "forward" else LENGTHS - 1 - t
        new, _ = step(p, x[:, t], state, number[:, None])
        mixed = {
            s: keep[s][:, t] * state[s] + (1 - keep[s][:, t]) * new[s] if s in keep else new[s]
            for s in state
        }
        state = {s: np.where(exists, mixed[s], state[s]) for s in state}
        expected = np.where(exists, mixed["h"], 0)
        np.testing.assert_allclose(found["rec:out"][:, t], expected, rtol=1e-10, atol=1e-12)
        if name == "lstm":
            cell = np.where(exists, mixed["c"], 0)
            np.testing.assert_allclose(found["rec:cell"][:, t], cell, rtol=1e-10, atol=1e-12)


def test_zoneout_is_new_in_each_update_and_off_elsewhere(x, rng):
    net = make({"form": "scrn"}, zoneout=0.5, lengths=False)
    before = net.predict(x)
    np.testing.assert_array_equal(before, net.predict(x))
    net.train([x, rng.normal(size=(BATCH, STEPS, 2))], algo="sgd", epochs=1)
    first, _ = drawn(net, x)
    assert (np.diff(first["rec:hid"], axis=1) == 0).any()
    assert net.to_spec()["layers"][1]["zoneout"] == 0.5


def test_zoneout_of_both_directions_is_drawn_by_itself(x):
    net = shaken(make({"form": "bidirectional", "worker": "rnn"}, zoneout=0.5, lengths=False))
    found, numbers = drawn(net, x)
    assert set(numbers) == {"rec:rec_fw:zoneout:h", "rec:rec_bw:zoneout:h"}
    kept = numbers["rec:rec_fw:zoneout:h"].uniform(size=(BATCH, STEPS, N // 2))[:, 1:] < 0.5
    same = np.diff(found["rec:fw_out"], axis=1) == 0
    assert same[kept].all()


@pytest.mark.parametrize("zoneout", [1.0, -0.1, "x", True, {"c": 0.1}, {"h": 1}])
def test_zoneout_that_is_no_probability_is_refused(zoneout):
    error = UnknownNameError if zoneout == {"c": 0.1} else ConfigurationError
    with pytest.raises(error, match="zoneout"):
        make({"form": "gru"}, zoneout=zoneout)


def test_dropout_per_series_drops_the_same_units_at_all_steps(x):
    net = shaken(make({"form": "rnn", "activation": "tanh"}, lengths=False))
    clean = net.feed_forward(x)["rec:out"]
    keywords = {"hidden_dropout": {"weight": 0.25, "per_series": True}}
    found, numbers = drawn(net, x, **keywords)
    kept = numbers["predrop:rec:out"].uniform(size=(BATCH, 1, N)) >= 0.25
    assert 0 < kept.sum() < kept.size
    np.testing.assert_allclose(found["rec:out"], clean * kept / 0.75, rtol=1e-12)
    # By default each entry is by itself.
    found, numbers = drawn(net, x, hidden_dropout=0.25)
    kept = numbers["predrop:rec:out"].uniform(size=(BATCH, STEPS, N)) >= 0.25
    np.testing.assert_allclose(found["rec:out"], clean * kept / 0.75, rtol=1e-12)


def test_layer_of_dropout_per_series(x):
    layers = [NIN, dict(form="dropout", name="rec", rate=0.5, per_series=True), 2]
    net = recurrent.Regressor(layers, dtype="float64")
    found, numbers = drawn(net, x)
    kept = numbers["rec:dropout"].uniform(size=(BATCH, 1, NIN)) >= 0.5
    np.testing.assert_allclose(found["rec:out"], 2 * x * kept)


@pytest.mark.parametrize("where", ["keyword", "layer"])
def test_per_series_is_a_bool(where, x):
    with pytest.raises(ConfigurationError, match="per_series=3"):
        if where == "layer":
            recurrent.Regressor([NIN, dict(form="dropout", per_series=3), 2])
        else:
            make({"form": "rnn"}).outputs(dropout={"weight": 0.5, "per_series": 3})


# ---- initial states of both directions


def started(**states):
    layers = [
        dict(form="input", name="in", shape=(None, NIN)),
        dict(form="input", name="start", size=N, ndim=2),
        dict(form="input", name="other", size=N, ndim=2),
        dict(size=2, name="one", inputs="start", activation="tanh"),
        dict(size=2, name="two", inputs="other", activation="tanh"),
        dict(form="bidirectional", name="rec", size=N, inputs="in", **states),
        2,
    ]
    return shaken(recurrent.Regressor(layers, dtype="float64"))


@pytest.mark.parametrize("pair", [False, True])
def test_both_directions_start_from_outputs(pair, x, rng):
    if pair:
        net = started(worker="lstm", h_0=("one", "two"), c_0=("two", "one"))
    else:
        net = started(worker="lstm", h_0="start", c_0="other")
    data = [x, *rng.normal(size=(2, BATCH, N))]
    found = net.feed_forward(data)
    given = {
        "fw": (found["one:out"], found["two:out"]) if pair else (data[1][:, :2], data[2][:, :2]),
        "bw": (found["two:out"], found["one:out"]) if pair else (data[1][:, 2:], data[2][:, 2:]),
    }
    for half, (h, c) in given.items():
        p = {q.name.partition(".")[2]: q.get_value() for q in net.graph.layer(f"rec_{half}").params}
        for t in range(STEPS) if half == "fw" else reversed(range(STEPS)):
            i, f, g, o = np.split(x[:, t] @ p["xh"] + h @ p["hh"] + p["b"], 4, axis=1)
            i, f = sigmoid(i + c * p["ci"]), sigmoid(f + c * p["cf"])
            c = f * c + i * np.tanh(g)
            h = sigmoid(o + c * p["co"]) * np.tanh(c)
            np.testing.assert_allclose(found[f"rec:{half}_out"][:, t], h, rtol=1e-10, atol=1e-12)
    other = recurrent.Regressor.from_spec(net.to_spec())
    for one, param in zip(other.params, net.params):
        one.set_value(param.get_value())
    np.testing.assert_array_equal(other.predict(data), net.predict(data))


@pytest.mark.parametrize(
    "states, message",
    [
        ({"h_0": "one"}, r"'one:out' has shape \(2,\), expected \(4,\)"),
        ({"h_0": ("start", "other")}, r"'start:out' has shape \(4,\), expected \(2,\)"),
        ({"c_0": "start"}, "c_0='start'.*'rnn' has only h_0"),
        ({"h_0": ("one",)}, "not a name, or a pair"),
        (
            {"worker": "lstm", "h_0": "start", "c_0": ("one", "two")},
            "all be names, or all be pairs",
        ),
        ({"worker": {"form": "rnn", "h_0": "start"}}, "cannot say h_0"),
    ],
)
def test_initial_states_that_do_not_fit_are_refused(states, message):
    with pytest.raises(ConfigurationError, match=message):
        started(**states)


def test_stateful_halves_are_refused():
    with pytest.raises(ConfigurationError, match="stateful"):
        Bidirectional("b", size=4, stateful=True)


# ---- states of training


def batches(rng, many):
    x, y = rng.normal(size=(2, 3 * many, NIN)), rng.normal(size=(2, 3 * many, 2))
    return [[x[:, i : i + 3], y[:, i : i + 3]] for i in range(0, 3 * many, 3)]


@pytest.mark.parametrize("model", [theanets.Regressor, recurrent.Regressor])
def test_states_go_on_from_a_checkpoint(model, tmp_path, rng):
    """The data are an iterator, which goes on from epoch to epoch, and so do the states."""
    data, valid = batches(rng, 6), batches(rng, 1)[0]
    keywords = {"algo": "adam", "train_batches": 2, "patience": None}

    def make_net():
        layers = [
            dict(form="input", name="in", shape=(None, NIN)),
            dict(form="lstm", size=N, stateful=True, zoneout=0.2),
            2,
        ]
        return model(layers, rng=1, dtype="float64")

    whole, cut, reset = make_net(), make_net(), make_net()
    whole.train(iter(data), valid, epochs=3, **keywords)
    path = tmp_path / "run.ckpt"
    cut.train(iter(data[:4]), valid, epochs=2, checkpoint=path, **keywords)
    again = make_net()
    again.train(iter(data[4:]), valid, epochs=3, checkpoint=path, **keywords)
    assert again.history.rows[-1]["train_loss"] == whole.history.rows[-1]["train_loss"]
    for one, other in zip(whole.params, again.params):
        np.testing.assert_array_equal(one.get_value(), other.get_value())
    # What starts from the beginning is something else.
    layer = whole.layers[1]
    assert np.abs(layer.carried["h"].get_value()).max() > 0
    reset.train(
        iter(data), valid, epochs=3, callbacks=lambda run: reset.layers[1].reset(), **keywords
    )
    assert reset.history.rows[-1]["train_loss"] != whole.history.rows[-1]["train_loss"]


def test_a_new_run_starts_from_the_beginning(rng):
    net = recurrent.Regressor([NIN, dict(form="rnn", size=N, stateful=True), 2], dtype="float64")
    data = batches(rng, 2)
    keywords = {"algo": "sgd", "learning_rate": 1e-30, "train_batches": 2, "epochs": 1}
    losses = []
    for _ in range(2):
        net.train(iter(data), data[0], **keywords)
        losses.append(net.history.rows[-1]["train_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)
