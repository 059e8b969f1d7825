"""What is measured of series of different lengths: steps that do not exist never count."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import theanets
from theanets import recurrent
from theanets.errors import ConfigurationError

RNG = np.random.default_rng(6)
TRAIN = dict(algo="sgd", progress=False)


def weighted(**kwargs):
    spec = [3, (4, "rnn", "tanh"), dict(size=2, name="mid"), 2]
    return recurrent.Regressor(spec, weighted=True, dtype="float64", rng=1, **kwargs)


def with_lengths(**kwargs):
    spec = [3, dict(form="lengths", name="n", of="in"), dict(size=4, form="rnn", inputs="in")]
    spec += [dict(size=2, name="mid", form="bidirectional"), 2]
    return recurrent.Regressor(spec, dtype="float64", rng=1, **kwargs)


NETS = {"weighted": weighted(), "lengths": with_lengths()}
WATCHED = {
    "hid1": [0.1, lambda h: h**2],
    "mid": ("size", abs),
    "in": 0.0,
    "out.w": ("m", lambda w: w.mean()),
}
PENALTIES = dict(hidden_l1=0.3, hidden_l2=dict(weight=0.2, pattern="mid"), recurrent_state=0.1)


def ragged(lengths):
    rng = np.random.default_rng(len(lengths))
    return [[rng.normal(size=(n, d)) for n in lengths] for d in (3, 2)]


def entries(net, xs, name):
    """All entries of an output that exist, computed of each series by itself."""
    found = []
    for x in xs:
        inputs = {"in": x[None]} | ({"n": [len(x)]} if "n" in {v.name for v in net.inputs} else {})
        found.append(net.feed_forward(inputs)[name][0])
    return found


def expected(net, xs, ys):
    flat = {n: np.concatenate(entries(net, xs, f"{n}:out")) for n in ("hid1", "mid", "in", "out")}
    y = np.concatenate(ys)
    return {
        "mse": np.mean((flat["out"] - y) ** 2),
        "hid1<0.1": np.mean(flat["hid1"] < 0.1),
        "hid1:<lambda>": np.mean(flat["hid1"] ** 2),
        "mid:size": np.mean(abs(flat["mid"])),
        "in<0": np.mean(flat["in"] < 0),
        "rmse": np.sqrt(np.mean((flat["out"] - y) ** 2, axis=0)).mean(),
        "hidden_l1": 0.3 * np.mean([abs(flat["hid1"]).mean(), abs(flat["mid"]).mean()]),
        "hidden_l2": 0.2 * np.mean(flat["mid"] ** 2),
    }


@settings(max_examples=6)
@given(
    lengths=st.lists(st.integers(1, 7), min_size=2, max_size=9),
    size=st.integers(1, 10),
    kind=st.sampled_from(sorted(NETS)),
)
def test_what_is_measured_does_not_depend_on_the_batch_size(lengths, size, kind):
    net, (xs, ys) = NETS[kind], ragged(lengths)
    found = net.evaluate([xs, ys], batch_size=size, monitors=WATCHED, metrics="rmse", **PENALTIES)
    wanted = expected(net, xs, ys)
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, rel=1e-9), name
    total = found["err"] + sum(found[name] for name in PENALTIES)
    assert found["loss"] == pytest.approx(total)
    whole = net.evaluate([xs, ys], batch_size=99, **PENALTIES)
    for name, value in whole.items():
        assert found[name] == pytest.approx(value, rel=1e-9), name


@pytest.mark.parametrize("kind", sorted(NETS))
def test_monitors_of_training_are_exact_too(kind):
    net, (xs, ys) = NETS[kind], ragged([1, 1, 1, 1, 6, 5, 4])
    wanted = expected(net, xs, ys)
    rate = dict(learning_rate=1e-12, epochs=1, batch_size=2)
    net.train([xs, ys], monitors=WATCHED, metrics="rmse", **rate, **TRAIN, **PENALTIES)
    row = net.history.rows[0]
    for name, value in wanted.items():
        assert row[f"train_{name}"] == pytest.approx(value, rel=1e-6), name


@pytest.mark.parametrize("kind", sorted(NETS))
def test_gradients_of_penalties_are_on_average_those_of_all_series(kind):
    net, (xs, ys) = NETS[kind], ragged([1, 1, 1, 1, 6, 5, 4, 7])
    net.losses[0].weight = 0.0
    steps = []
    for size in (8, 2):
        before = [p.get_value() for p in net.params]
        for _ in net.itertrain(
            [xs, ys], learning_rate=1e-7, epochs=1, batch_size=size, hidden_l2=1.0, **TRAIN
        ):
            after = [p.get_value() for p in net.params]
        steps.append([(a - b) * size for a, b in zip(after, before, strict=True)])
    net.losses[0].weight = 1.0
    assert max(abs(s).max() for s in steps[0]) > 1e-8
    for one, other in zip(*steps, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-12)


def test_lbfgs_has_the_penalties_of_all_series():
    xs, ys = ragged([1, 1, 1, 1, 6, 5, 4, 7])
    found = []
    for size in (2, 8):
        net = weighted()
        net.train([xs, ys], algo="l-bfgs", epochs=3, batch_size=size, hidden_l1=0.5, progress=False)
        found.append(net.evaluate([xs, ys])["loss"])
    assert found[0] == pytest.approx(found[1], rel=1e-6)


@pytest.mark.parametrize(
    "function",
    [lambda h: h.mean(), lambda h: h.mean(axis=1), lambda h: h.mean(axis=1, keepdims=True)],
)
def test_what_would_count_padding_is_not_offered(function):
    net, (xs, ys) = NETS["weighted"], ragged([2, 3])
    message = "steps that do not exist: expected a value for each entry"
    with pytest.raises(ConfigurationError, match=message):
        net.evaluate([xs, ys], monitors={"hid1": function})
    with pytest.raises(ConfigurationError, match=message):
        net.evaluate([xs, ys], regularizers=[theanets.regularizers.penalty(function, "hid1")])


@pytest.mark.parametrize("size", [1, 3, 8])
def test_penalties_of_ones_own_are_of_the_steps_that_exist(size):
    net, (xs, ys) = NETS["lengths"], ragged([1, 1, 4, 6])
    own = theanets.regularizers.penalty(lambda h: h**2, "mid", 0.7)
    found = net.evaluate([xs, ys], batch_size=size, regularizers=[own])["<lambda>"]
    values = np.concatenate(entries(net, xs, "mid:out"))
    assert found == pytest.approx(0.7 * np.mean(values**2))


def test_without_padding_scalars_are_taken_as_they_are():
    net = theanets.Regressor([3, 4, 2], dtype="float64")
    x, y = RNG.normal(size=(7, 3)), RNG.normal(size=(7, 2))
    found = net.evaluate([x, y], batch_size=2, monitors={"hid1": ("m", lambda h: h.mean())})
    assert found["hid1:m"] == pytest.approx(net.feed_forward(x)["hid1:out"].mean())


@pytest.mark.parametrize("kind", ["flat", "list", "column", "full", "steps", "entries", "padded"])
def test_weights_of_series_are_those_of_their_steps(kind, rng):
    lengths, of = [2, 5, 3, 8], np.array([1, 2, 0.5, 3])
    xs = [rng.normal(size=(n, 3)) for n in lengths]
    ys = [np.cumsum(x, 0)[:, :2] for x in xs]
    weights = {
        "flat": of,
        "list": list(of),
        "column": of[:, None],
        "full": of[:, None, None],
        "steps": [np.full(n, w) for n, w in zip(lengths, of)],
        "entries": [np.full((n, 2), w) for n, w in zip(lengths, of)],
        # Steps that do not exist have none, whatever is said of them.
        "padded": np.repeat(of[:, None], 8, axis=1),
    }[kind]
    net = theanets.recurrent.Regressor([3, (5, "rnn"), 2], weighted=True, dtype="float64", rng=1)
    errors = [(net.predict([x])[0] - y) ** 2 for x, y in zip(xs, ys)]
    total = sum(w * e.sum() for w, e in zip(of, errors))
    expected = total / sum(w * e.size for w, e in zip(of, errors))
    assert net.evaluate([xs, ys, weights])["loss"] == pytest.approx(expected)
    flat, each = np.concatenate(ys), np.repeat(of, lengths)[:, None]
    spread = (each * (flat - np.average(flat, axis=0, weights=each[:, 0])) ** 2).sum(axis=0)
    left = sum(w * e.sum(axis=0) for w, e in zip(of, errors))
    assert net.score(xs, ys, weights) == pytest.approx((1 - left / spread).mean())
    train = dict(epochs=2, batch_size=2, algo="sgd", progress=False, rng=0)
    other = copy.deepcopy(net)
    net.train([xs, ys, weights], **train)
    other.train([xs, ys, [np.full(n, w) for n, w in zip(lengths, of)]], **train)
    for p, q in zip(net.params, other.params):
        np.testing.assert_array_equal(p.get_value(), q.get_value())


def test_weights_of_other_lengths_than_their_series_are_refused(rng):
    xs = [rng.normal(size=(n, 3)) for n in (2, 5, 3)]
    net = theanets.recurrent.Regressor([3, (5, "rnn"), 2], weighted=True, rng=1)
    ys = [x[:, :2] for x in xs]
    short = [np.ones(1), np.ones(5), np.ones(3)]
    message = r"the series 'weights' differ in length from 'target': \(1, 5, 3\), but \(2, 5, 3\)"
    with pytest.raises(theanets.DataError, match=message):
        net.evaluate([xs, ys, short])
    with pytest.raises(theanets.DataError, match="the series 'w' differ in length"):
        net.score(xs, ys, short)
