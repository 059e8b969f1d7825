"""Recurrent layers of theanets 0.7: shapes of parameters, then the equations."""

import numpy as np
import original_files as files
import pytest
from original_cases import (
    ACTIVATIONS,
    APART,
    BC_KNOWN,
    BC_MASK,
    BC_RATES,
    CLOCK7,
    CLOCK7_KNOWN,
    CLOCK8,
    CLOCK8_KNOWN,
    CLOSE,
    CONTEXT,
    GATES,
    IN,
    MUT1,
    PLAIN,
    N,
    T,
    bcrnn,
    check,
    clockwork,
    ends,
    gru,
    load,
    mut1,
    relu,
    rnn,
    scanned,
    scrn,
    sigmoid,
    values,
)

import theanets


def mixed(p, g, rate, back=False):
    """The states of an rrnn, with what is new in a share of the rate."""

    def step(u, h):
        r = rate(u)
        return [(1 - r) * h + r * g(u @ p["xh"] + p["b"] + h @ p["hh"])]

    return lambda x: scanned(x, step, None, back=back)


def rrnn_matrix(p, g, back=False, **_):
    return mixed(p, g, lambda u: sigmoid(u @ p["xr"] + p["r"]), back)


def rrnn_vector(p, g, back=False, **_):
    return mixed(p, g, lambda u: sigmoid(p["r"]), back)


def rrnn_fixed(p, g, rates, back=False, **_):
    return mixed(p, g, lambda u: rates, back)


def lrrnn(p, g, **_):
    return mixed(p, g, lambda u: 1 - sigmoid(p["r"]))


def arrnn(p, g, **_):
    return mixed(p, g, lambda u: 1 - sigmoid(u @ p["xr"] + p["r"]))


def mrnn(p, g, back=False, **_):
    def step(u, h):
        return [g(u @ p["xh"] + p["b"] + ((u @ p["xf"]) * (h @ p["hf"])) @ p["fh"])]

    return lambda x: scanned(x, step, None, back=back)


def lstm(p, g, back=False, **_):
    def step(u, h, c):
        i, f, a, o = np.split(u @ p["xh"] + p["b"] + h @ p["hh"], 4, axis=1)
        new = sigmoid(f + c * p["cf"]) * c + sigmoid(i + c * p["ci"]) * np.tanh(a)
        return [sigmoid(o + new * p["co"]) * np.tanh(new), new]

    return lambda x: scanned(x, step, None, None, back=back)


LSTM = {"xh": (IN, 4 * N), "hh": (N, 4 * N), "b": (4 * N,), "ci": (N,), "cf": (N,), "co": (N,)}
FIXED = np.linspace(0.1, 0.9, N).astype("f")
BC = {"num_modules": 3, "_mask": files.shared("mask", BC_MASK)}
BC_SHARED = BC | {"_rates": files.shared("rates", BC_RATES.astype("f"))}
RATES = {"_rates": files.shared("hid1.rate", FIXED)}

#: Form, version, shapes, attributes, equations, what these need beside.
CASES = {
    "rnn": ("rnn", "0.7", PLAIN, {}, rnn, {}),
    "rnn of 0.6": ("rnn", "0.6", PLAIN, {}, rnn, {}),
    "rnn of 0.8": ("rnn", "0.8", PLAIN, {}, rnn, {}),
    "rrnn": (
        "rrnn", "0.7", PLAIN | {"r": (N,), "xr": (IN, N)}, {"rate": "matrix"}, rrnn_matrix, {}
    ),
    "rrnn vector": ("rrnn", "0.8", PLAIN | {"r": (N,)}, {"rate": "vector"}, rrnn_vector, {}),
    "rrnn log": ("rrnn", "0.7", PLAIN, {"rate": "log", **RATES}, rrnn_fixed, {"rates": FIXED}),
    "lrrnn": ("lrrnn", "0.6", PLAIN | {"r": (N,)}, {}, lrrnn, {}),
    "arrnn": ("arrnn", "0.6", PLAIN | {"r": (N,), "xr": (IN, N)}, {}, arrnn, {}),
    "mrnn": (
        "mrnn", "0.7", {"xh": (IN, N), "xf": (IN, 4), "hf": (N, 4), "fh": (4, N), "b": (N,)},
        {"factors": 4}, mrnn, {},
    ),
    "lstm": ("lstm", "0.7", LSTM, {}, lstm, {}),
    "gru": ("gru", "0.7", APART | GATES, {}, gru, {}),
    "gru of 0.8": ("gru", "0.8", GATES | {"w": (IN, 3 * N), "b": (3 * N,)}, {}, gru, {}),
    "mut1": ("mut1", "0.7", MUT1, {}, mut1, {}),
    "scrn": (
        "scrn", "0.7", CONTEXT | {"xh": (IN, N), "xs": (IN, N), "r": (N,)}, {"rate": "vector"},
        scrn, {},
    ),
    "scrn of 0.8": (
        "scrn", "0.8", CONTEXT | {"w": (IN, 2 * N), "r": (N,)}, {"rate": "vector"}, scrn, {}
    ),
    "scrn uniform": (
        "scrn", "0.7", CONTEXT | {"xh": (IN, N), "xs": (IN, N)}, {"rate": "uniform", **RATES},
        scrn, {"rates": FIXED},
    ),
    "clockwork": ("clockwork", "0.7", PLAIN, CLOCK7, clockwork, CLOCK7_KNOWN),
    "clockwork of 0.8": ("clockwork", "0.8", PLAIN, CLOCK8, clockwork, CLOCK8_KNOWN),
    "bcrnn": ("bcrnn", "0.8", PLAIN, BC, bcrnn, BC_KNOWN),
    "bcrnn with rates": ("bcrnn", "0.8", PLAIN, BC_SHARED, bcrnn, BC_KNOWN),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_recurrent_layers(case, tmp_path, rng):
    activation = ["relu", "tanh"][sorted(CASES).index(case) % 2]
    form, version, shapes, attributes, twin, known = CASES[case]
    p = values(shapes, rng)
    hidden = files.layer(form, "hid1", version, p, activation, ["in:out"], N, **attributes)
    made, last = ends(version, [hidden], rng)
    net = load(made, tmp_path, python=2 if version == "0.6" else 3)
    assert type(net) is theanets.recurrent.Regressor
    x = rng.normal(size=(4, T, IN)).astype("f")
    expected = twin(p, ACTIVATIONS[activation], **known)(x)
    check(net, x, expected, last(expected))


@pytest.mark.parametrize("case", ["rnn", "lstm", "bcrnn", "scrn"])
def test_layers_that_ran_backward(case, tmp_path, rng):
    """Their outputs were in the order of the run, the last step's first."""
    form, version, shapes, attributes, twin, known = CASES[case]
    p = values(shapes, rng)
    given = {**attributes, "kwargs": {"direction": "backwards", "bptt_limit": -1}}
    hidden = files.layer(form, "hid1", version, p, "tanh", ["in:out"], N, **given)
    made, last = ends(version, [hidden], rng)
    x = rng.normal(size=(4, T, IN)).astype("f")
    expected = twin(p, np.tanh, back=True, **known)(x)
    check(load(made, tmp_path), x, expected, last(expected))


@pytest.mark.parametrize(
    "case", ["rnn of 0.6", "lstm", "gru", "mut1", "rrnn log", "scrn of 0.8", "scrn uniform"]
)
def test_bidirectional_layers(case, tmp_path, rng):
    """The halves were side by side, each in the order of its run."""
    form, version, shapes, attributes, twin, known = CASES[case]
    halves, expected = {}, []
    x = rng.normal(size=(4, T, IN)).astype("f")
    for key, half in (("forward", "fw"), ("backward", "bw")):
        p = values(shapes, rng)
        given = {**attributes, "kwargs": {"direction": key}}
        halves[key] = files.layer(form, f"hid1_{half}", version, p, "relu", ["in:out"], N, **given)
        expected.append(twin(p, relu, back=key == "backward", **known)(x))
    hidden = files.layer(
        "bidirectional", "hid1", version, {}, "relu", ["in:out"], 2 * N, worker=form, **halves
    )
    made, last = ends(version, [hidden], rng, size=2 * N)
    both = np.concatenate(expected, axis=2)
    check(load(made, tmp_path), x, both, last(both))


def test_an_initial_state(tmp_path, rng):
    version, p = "0.8", values(PLAIN, rng)
    first = files.layer("input", "first", version, kwargs={"ndim": 2, "shape": (N,)})
    series = files.layer("input", "in", version, kwargs={"ndim": 3, "shape": (None, IN)})
    cell = files.layer("rnn", "out", version, p, "tanh", ["in:out"], N, h_0="first:out")
    net = load(files.network("graph.Network", [first, series, cell], version), tmp_path)
    h, x = rng.normal(size=(2, N)).astype("f"), rng.normal(size=(2, T, IN)).astype("f")
    expected = scanned(x, lambda u, h: [np.tanh(u @ p["xh"] + p["b"] + h @ p["hh"])], h)
    np.testing.assert_allclose(net.predict([h, x]), expected, **CLOSE)
