"""Files of theanets 0.6 to 0.8 are loaded, and predict what they predicted.

The expected values are computed here, from the equations that those versions had.
"""

import contextlib
import gzip
import io
import pickle
import warnings

import numpy as np
import original_files as files
import pytest

import theanets
from theanets import ConfigurationError, FileError, load_original

N, IN, T = 6, 3, 7
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def relu(x):
    return np.maximum(x, 0)


ACTIVATIONS = {"relu": relu, "tanh": np.tanh, "logistic": sigmoid, "linear": lambda x: x}


def scanned(x, step, *states, back=False):
    """Run over the steps; outputs are in the order of the run, as Theano's scan has them."""
    states = [np.zeros((len(x), N)) if s is None else s for s in states]
    found = []
    steps = range(x.shape[1])
    for t in reversed(steps) if back else steps:
        states = step(x[:, t], *states)
        found.append(states[0])
    return np.stack(found, axis=1)


# ---- recurrent layers: shapes of parameters, then the equations ------------------------------


def rnn(p, g, back=False, **_):
    return lambda x: scanned(
        x, lambda u, h: [g(u @ p["xh"] + p["b"] + h @ p["hh"])], None, back=back
    )


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


def gru(p, g, back=False, **_):
    """Of 0.8 the parts are side by side: hidden, reset, rate."""
    parts = [p[k] for k in ("xh", "xr", "xz")] if "xh" in p else np.split(p["w"], 3, axis=1)
    biases = [p[k] for k in ("bh", "br", "bz")] if "bh" in p else np.split(p["b"], 3)

    def step(u, h):
        a, r, z = (u @ w + b for w, b in zip(parts, biases, strict=True))
        r, z = sigmoid(r + h @ p["hr"]), sigmoid(z + h @ p["hz"])
        return [(1 - z) * h + z * g(a + (r * h) @ p["hh"])]

    return lambda x: scanned(x, step, None, back=back)


def mut1(p, g, back=False, **_):
    """The bias is inside of the inner tanh."""

    def step(u, h):
        r = sigmoid(u @ p["xr"] + p["br"] + h @ p["hr"])
        z = sigmoid(u @ p["xz"] + p["bz"])
        new = np.tanh(np.tanh(u @ p["xh"] + p["bh"]) + (r * h) @ p["hh"])
        return [(1 - z) * h + z * new]

    return lambda x: scanned(x, step, None, back=back)


def scrn(p, g, rates=None, back=False, **_):
    """Of 0.8 the hidden state has the activation, and the output none."""
    rate = sigmoid(p["r"]) if rates is None else rates
    late = "w" in p
    wh, ws = np.split(p["w"], 2, axis=1) if late else (p["xh"], p["xs"])
    inner, outer = (g, ACTIVATIONS["linear"]) if late else (sigmoid, g)

    def step(u, both):
        h, s = both
        s = (1 - rate) * s + rate * (u @ ws)
        return [(inner(u @ wh + h @ p["hh"] + s @ p["sh"]), s)]

    def run(x):
        both = (np.zeros((len(x), N)),) * 2
        found = []
        for t in reversed(range(x.shape[1])) if back else range(x.shape[1]):
            (both,) = step(x[:, t], both)
            found.append(outer(both[0] @ p["ho"] + both[1] @ p["so"] + p["b"]))
        return np.stack(found, axis=1)

    return run


def clockwork(p, g, period, mask, **_):
    def run(x):
        h = before = np.zeros((len(x), N))
        found = []
        for t in range(x.shape[1]):
            pre = x[:, t] @ p["xh"] + p["b"] + h @ (p["hh"] * mask)
            before = np.where(t % period == 0, pre, before)
            h = g(before)
            found.append(h)
        return np.stack(found, axis=1)

    return run


def bcrnn(p, g, rates, mask, back=False, **_):
    def run(x):
        h = before = np.zeros((len(x), N))
        found = []
        for t in reversed(range(x.shape[1])) if back else range(x.shape[1]):
            pre = x[:, t] @ p["xh"] + p["b"] + h @ (p["hh"] * mask)
            before = rates * before + (1 - rates) * pre
            h = g(before)
            found.append(h)
        return np.stack(found, axis=1)

    return run


PLAIN = {"xh": (IN, N), "hh": (N, N), "b": (N,)}
GATES = {k: (N, N) for k in ("hh", "hr", "hz")}
APART = {k: (IN, N) for k in ("xh", "xr", "xz")} | {k: (N,) for k in ("bh", "br", "bz")}
CONTEXT = {k: (N, N) for k in ("hh", "sh", "ho", "so")} | {"b": (N,)}
LSTM = {"xh": (IN, 4 * N), "hh": (N, 4 * N), "b": (4 * N,), "ci": (N,), "cf": (N,), "co": (N,)}
MUT1 = APART | {k: (N, N) for k in ("hh", "hr")}
FIXED = np.linspace(0.1, 0.9, N).astype("f")


def modules(numbers, fast_first):
    """The number of each unit's module, and which units (rows) feed which."""
    every = np.repeat(numbers, N // len(numbers))
    place = np.repeat(np.arange(len(numbers)), N // len(numbers))
    rows, cols = place[:, None], place[None, :]
    return every, (rows >= cols if fast_first else rows <= cols).astype("f")


def clocks(periods, fast_first):
    period, mask = modules(np.array(periods), fast_first)
    attributes = {
        "periods": np.array(periods),
        "_mask": files.shared("mask", mask),
        "_period": files.shared("period", period.astype("i")),
    }
    return attributes, {"period": period, "mask": mask}


CLOCK7, CLOCK7_KNOWN = clocks((4, 2, 1), fast_first=False)
CLOCK8, CLOCK8_KNOWN = clocks((1, 2, 4), fast_first=True)
BC_RATES, BC_MASK = modules(1 - np.logspace(-1e-4, -6, 3), fast_first=True)
BC = {"num_modules": 3, "_mask": files.shared("mask", BC_MASK)}
BC_SHARED = BC | {"_rates": files.shared("rates", BC_RATES.astype("f"))}
BC_KNOWN = {"rates": BC_RATES, "mask": BC_MASK}
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


def values(shapes, rng, scale=0.7):
    return {k: (scale * rng.normal(size=s)).astype("f") for k, s in shapes.items()}


def ends(version, hidden, rng, inputs=("hid1:out",), size=N, outs=2, axes=3, model=None, **given):
    """Make a network of an input, hidden layers and a linear output, and what the last gives."""
    p = values({"w": (size, outs), "b": (outs,)}, rng)
    shape = {"kwargs": {"ndim": axes}}
    if version == "0.8":
        shape["kwargs"]["shape"] = (*(None,) * (axes - 2), IN)
    first = files.layer("input", "in", version, activation="linear", size=IN, **shape)
    last = files.layer("feedforward", "out", version, p, "linear", inputs, outs)
    made = files.network(model or "recurrent.Regressor", [first, *hidden, last], version, **given)
    return made, lambda h: h @ p["w"] + p["b"]


def load(made, tmp_path, python=3, name="old.pkl", **keywords):
    data = files.dump(made, python)
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    net = load_original(path, trust=True, **keywords)
    net.mode = "FAST_COMPILE"
    return net


def check(net, x, hidden, expected):
    found = net.feed_forward(x)
    if hidden is not None:
        np.testing.assert_allclose(found["hid1:out"], hidden, **CLOSE)
    np.testing.assert_allclose(found["out:out"], expected, **CLOSE)
    again = theanets.Network.from_spec(net.to_spec()).to_spec()
    assert again == {**net.to_spec(), "model": again["model"]}


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


# ---- other layers ---------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["0.6", "0.7", "0.8"])
def test_feedforward_tied_and_classifier(version, tmp_path, rng):
    p, q, r = (
        values(s, rng) for s in ({"w": (IN, N), "b": (N,)}, {"b": (IN,)}, {"w": (IN, 4), "b": (4,)})
    )
    first = files.layer("input", "in", version, size=IN, kwargs={"ndim": 2, "shape": (IN,)})
    one = files.layer("feedforward", "hid1", version, p, "logistic", ["in:out"], N)
    # Before 0.8 the input of a tied layer was only a size.
    given = ["out"] if version != "0.8" else ["hid1:out"]
    two = files.layer("tied", "tied-hid1", version, q, "tanh", given, IN, partner=one)
    last = files.layer("classifier", "out", version, r, "softmax", ["tied-hid1:out"], 4)
    layers = [first, one, two, last]
    if version == "0.6":
        made = files.network("feedforward.Classifier", layers, version)
    else:
        losses = [files.loss("CrossEntropy", weighted=True)]
        made = files.network("feedforward.Classifier", layers, version, losses)
    net = load(made, tmp_path, python=2)
    assert type(net) is theanets.Classifier and net.weighted == (version != "0.6")
    x = rng.normal(size=(5, IN)).astype("f")
    z = np.tanh(sigmoid(x @ p["w"] + p["b"]) @ p["w"].T + q["b"]) @ r["w"] + r["b"]
    expected = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(net.predict_proba(x), expected, **CLOSE)
    labels = expected.argmax(axis=1)
    weights = [np.ones(5)] if version != "0.6" else []
    net.train([x, labels, *weights], epochs=1)
    (spec,) = net.to_spec()["losses"]
    assert spec["form"] in ("xe", "crossentropy")


@pytest.mark.parametrize("version", ["0.7", "0.8"])
def test_merged_layers(version, tmp_path, rng):
    """Before 0.8, concatenated outputs were in the order of their names."""
    p = [values({"w": (IN, N), "b": (N,)}, rng) for _ in range(2)]
    q = values({"w_cat:out": (2 * N, 2), "w_prod:out": (N, 2), "b": (2,)}, rng)
    first = files.layer("input", "in", version, size=IN, kwargs={"ndim": 2, "shape": (IN,)})
    z, a = (
        files.layer("feedforward", name, version, p[i], "tanh", ["in:out"], N)
        for i, name in enumerate("za")
    )
    cat = files.layer("concatenate", "cat", version, (), "relu", ["z:out", "a:out"], 2 * N)
    prod = files.layer("product", "prod", version, (), "relu", ["z:out", "a:out"], N)
    last = files.layer("feedforward", "out", version, q, "linear", ["cat:out", "prod:out"], 2)
    made = files.network("feedforward.Regressor", [first, z, a, cat, prod, last], version)
    net = load(made, tmp_path)
    x = rng.normal(size=(5, IN)).astype("f")
    z, a = (np.tanh(x @ w["w"] + w["b"]) for w in p)
    joined = np.hstack([a, z] if version == "0.7" else [z, a])
    expected = joined @ q["w_cat:out"] + (z * a) @ q["w_prod:out"] + q["b"]
    check(net, x, None, expected)


def convolved(x, w, b, stride=(1, 1), full=False):
    """The true convolution of (batch, width, height, channels) with (n, channels, k1, k2)."""
    k1, k2 = w.shape[2:]
    if full:
        x = np.pad(x, ((0, 0), (k1 - 1,) * 2, (k2 - 1,) * 2, (0, 0)))
    rows = range(0, x.shape[1] - k1 + 1, stride[0])
    cols = range(0, x.shape[2] - k2 + 1, stride[1])
    turned = w[:, :, ::-1, ::-1].transpose(2, 3, 1, 0)
    return np.stack(
        [
            np.stack(
                [np.einsum("bxyc,xycn->bn", x[:, i : i + k1, j : j + k2], turned) for j in cols], 1
            )
            for i in rows
        ],
        1,
    ) + b  # fmt: skip


@pytest.mark.parametrize("mode", ["valid", "full"])
@pytest.mark.parametrize("version", ["0.6", "0.7", "0.8"])
def test_conv1(version, mode, tmp_path, rng):
    p = values({"w": (N, IN, 1, 3), "b": (N,)}, rng)
    size = {"filter_size" if version == "0.8" else "filter_shape": (1, 3)}
    given = {**size, "stride": (1, 2), "border_mode": mode}
    hidden = files.layer("conv1", "hid1", version, p, "relu", ["in:out"], N, **given)
    made, last = ends(version, [hidden], rng)
    x = rng.normal(size=(4, 9, IN)).astype("f")
    found = convolved(x[:, None], p["w"], p["b"], (1, 2), False)
    if mode == "full":
        padded = np.pad(x, ((0, 0), (2, 2), (0, 0)))
        found = convolved(padded[:, None], p["w"], p["b"], (1, 2))
    expected = relu(found[:, 0])
    check(load(made, tmp_path), x, expected, last(expected))


@pytest.mark.parametrize("mode", ["valid", "full"])
def test_conv2_flatten_and_reshape(mode, tmp_path, rng):
    p = values({"w": (2, 1, 3, 2), "b": (2,)}, rng)
    first = files.layer("input", "in", "0.8", kwargs={"ndim": 4, "shape": (8, 6, 1)})
    given = {"filter_size": (3, 2), "stride": (2, 1), "border_mode": mode}
    conv = files.layer("conv2", "hid1", "0.8", p, "relu", ["in:out"], 2, **given)
    flat = files.layer("flatten", "flat", "0.8", (), "relu", ["hid1:out"])
    x = rng.normal(size=(4, 8, 6, 1)).astype("f")
    hidden = relu(convolved(x, p["w"], p["b"], (2, 1), mode == "full"))
    count = hidden[0].size
    q = values({"w": (count, 3), "b": (3,)}, rng, 0.2)
    last = files.layer("feedforward", "out", "0.8", q, "linear", ["flat:out"], 3)
    made = files.network("convolution.Regressor", [first, conv, flat, last], "0.8")
    net = load(made, tmp_path)
    assert type(net) is theanets.convolution.Regressor
    expected = hidden.reshape(4, -1) @ q["w"] + q["b"]
    check(net, x, hidden, expected)


def test_reshape(tmp_path, rng):
    first = files.layer("input", "in", "0.7", size=6, kwargs={"ndim": 2})
    square = files.layer("reshape", "hid1", "0.7", (), "relu", ["in:out"], 3, shape=[2, 3])
    q = values({"w": (3, 2), "b": (2,)}, rng)
    last = files.layer("feedforward", "out", "0.7", q, "linear", ["hid1:out"], 2)
    net = load(files.network("feedforward.Regressor", [first, square, last], "0.7"), tmp_path)
    x = rng.normal(size=(4, 6)).astype("f")
    hidden = x.reshape(4, 2, 3)
    np.testing.assert_allclose(net.predict(x), hidden @ q["w"] + q["b"], **CLOSE)


def test_pooling_could_not_be_run(tmp_path):
    first = files.layer("input", "in", "0.8", kwargs={"ndim": 4, "shape": (8, 6, 1)})
    pool = files.layer("pool2", "hid1", "0.8", (), "relu", ["in:out"], 1)
    with pytest.raises(
        FileError, match=r"layer 'hid1' \(pool2\): this form could not be"
    ) as caught:
        load(files.network("convolution.Regressor", [first, pool], "0.8"), tmp_path)
    assert str(caught.value).count("old.pkl") == 1


SLOPES = {
    "prelu": ({"leak": (N,)}, lambda z, p, f: np.where(z > 0, z, f(p["leak"]) * z)),
    "lgrelu": (
        {"leak": (N,), "gain": (N,)},
        lambda z, p, f: np.where(z > 0, f(p["gain"]) * z, f(p["leak"]) * z),
    ),
    "elu": ({"gain": (N,)}, lambda z, p, f: np.where(z > 0, z, f(p["gain"]) * np.expm1(z))),
    "maxout:3": (
        {"slope": (N, 3), "intercept": (N, 3)},
        lambda z, p, f: (z[..., None] * p["slope"] + p["intercept"]).max(axis=-1),
    ),
    "rect:min": ({}, lambda z, p, f: np.minimum(z, 1)),
    "norm:z": (
        {},
        lambda z, p, f: (z - z.mean(-1, keepdims=True)) / (z.std(-1, keepdims=True) + 1e-8),
    ),
    "tanh+logistic": ({}, lambda z, p, f: sigmoid(np.tanh(z))),
}


@pytest.mark.parametrize("version", ["0.7", "0.8"])
@pytest.mark.parametrize("activation", SLOPES)
def test_activations(activation, version, tmp_path, rng):
    """Slopes of 0.8 were exponentials of their parameters."""
    shapes, g = SLOPES[activation]
    if activation == "elu" and version == "0.7":
        pytest.skip("new in 0.8")
    p = values({"w": (IN, N), "b": (N,), **shapes}, rng)
    hidden = files.layer("feedforward", "hid1", version, p, activation, ["in:out"], N)
    made, last = ends(version, [hidden], rng, axes=2, model="feedforward.Regressor")
    x = rng.normal(size=(5, IN)).astype("f")
    expected = g(x @ p["w"] + p["b"], p, np.exp if version == "0.8" else lambda v: v)
    check(load(made, tmp_path), x, expected, last(expected))


# ---- files ----------------------------------------------------------------------------------


def small(rng, version="0.7", **given):
    """A network with a gru, and what it predicts."""
    p = values(APART | GATES, rng)
    hidden = files.layer("gru", "hid1", version, p, "relu", ["in:out"], N)
    made, last = ends(version, [hidden], rng, **given)
    x = rng.normal(size=(4, T, IN)).astype("f")
    return made, p, x, last(gru(p, relu)(x))


@pytest.mark.parametrize("name", ["old.pkl", "old.pkl.gz"])
@pytest.mark.parametrize("python", [2, 3])
def test_files_of_both_pythons_compressed_or_not(name, python, tmp_path, rng):
    made, _, x, expected = small(rng)
    np.testing.assert_allclose(load(made, tmp_path, python, name).predict(x), expected, **CLOSE)


def test_file_objects(rng):
    made, _, x, expected = small(rng)
    net = load_original(io.BytesIO(files.dump(made) + b"what follows"), trust=True)
    np.testing.assert_allclose(net.predict(x, mode="FAST_COMPILE"), expected, **CLOSE)


@pytest.mark.parametrize(
    "path",
    [
        "theano.sandbox.cuda.type.CudaNdarray_unpickler",
        "theano.gpuarray.type.GpuArray_unpickler",
    ],
)
def test_parameters_of_a_gpu(path, tmp_path, rng):
    made, _, x, expected = small(rng)
    layers = made.__reduce_ex__(2)[2][0]
    for layer in layers:
        layer._params[:] = [
            files.shared(v.name, v.container.storage[0], gpu=path) for v in layer._params
        ]
    np.testing.assert_allclose(load(made, tmp_path).predict(x), expected, **CLOSE)


def test_double_precision(tmp_path, rng):
    p = {k: rng.normal(size=s) for k, s in PLAIN.items()}
    hidden = files.layer("rnn", "hid1", "0.7", p, "tanh", ["in:out"], N)
    made, last = ends("0.7", [hidden], rng)
    net = load(made, tmp_path)
    assert net.dtype == "float64"
    x = rng.normal(size=(4, T, IN))
    np.testing.assert_allclose(
        net.predict(x), last(rnn(p, np.tanh)(x)), rtol=1e-10, atol=1e-10
    )  # fmt: skip


def test_a_loaded_network_trains_and_is_saved(tmp_path, rng):
    made, _, x, expected = small(rng)
    net = load(made, tmp_path)
    net.save(tmp_path / "new.st")
    again = theanets.Network.load(tmp_path / "new.st")
    np.testing.assert_allclose(again.predict(x, mode="FAST_COMPILE"), expected, **CLOSE)
    before = net.evaluate([x, expected + 1])["loss"]
    net.train([x, expected + 1], epochs=3)
    assert net.evaluate([x, expected + 1])["loss"] < before


def test_losses(tmp_path, rng):
    losses = [
        files.loss("MeanAbsoluteError", weight=0.5),
        files.loss("Mine"),
        files.loss("MeanSquaredError"),
    ]
    made, *_ = small(rng, losses=losses)
    with pytest.warns(UserWarning, match="losses Mine are not defined here, and left out"):
        net = load(made, tmp_path)
    assert [(x["form"], x["weight"]) for x in net.to_spec()["losses"]] == [("mae", 0.5), ("mse", 1)]


def test_a_pickle_needs_trust(tmp_path, rng):
    made, *_ = small(rng)
    path = tmp_path / "old.pkl"
    path.write_bytes(files.dump(made))
    with pytest.raises(ConfigurationError, match=r"old.pkl: .*trust=True"):
        load_original(path)


@pytest.mark.parametrize("name", ["old.pkl", "old.pkl.gz"])
@pytest.mark.parametrize("python", [2, 3])
def test_load_says_what_an_old_pickle_is(name, python, tmp_path, rng):
    made, *_ = small(rng)
    path = tmp_path / name
    data = files.dump(made, python)
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    net = theanets.Regressor([2, 3])
    for load_it in (theanets.Network.load, net.load, theanets.Experiment):
        with pytest.raises(FileError, match=r"a pickle, .*load_original\(.*, trust=True\)"):
            load_it(path)


class Touch:
    """What a pickle runs when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_nothing_that_a_pickle_names_runs(tmp_path):
    """Not even where a file is trusted."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        data = pickle.dumps([Touch(tmp_path / "made")], protocol)
        (tmp_path / "evil.pkl").write_bytes(data)
        with pytest.raises(FileError, match="holds no network"):
            load_original(tmp_path / "evil.pkl", trust=True)
        assert not (tmp_path / "made").exists()


def test_damaged_pickles_end_in_our_errors(tmp_path, rng):
    """Bytes changed or cut off at random places: an error of ours, or a network."""
    data = files.dump(small(rng)[0])
    numbers = np.random.default_rng(0)
    loaded = 0
    for _ in range(400):
        bad = bytearray(data)
        for place in numbers.integers(len(data), size=numbers.integers(1, 4)):
            bad[place] = numbers.integers(256)
        if numbers.random() < 0.3:
            del bad[numbers.integers(len(bad)) :]
        with contextlib.suppress(FileError, ConfigurationError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net = load_original(io.BytesIO(bytes(bad)), trust=True)
            assert isinstance(net, theanets.Network)
            loaded += 1
    assert 5 < loaded < 395


# ---- arrays ---------------------------------------------------------------------------------


def arrays_of(p, rng, version=None):
    q = values({"w": (N, 2), "b": (2,)}, rng)
    found = {f"hid1.{k}": v for k, v in p.items()} | {f"out.{k}": v for k, v in q.items()}
    return ({} if version is None else {"version": version}) | found, lambda h: h @ q[
        "w"
    ] + q["b"]  # fmt: skip


ARRAYS = {
    "gru": ("gru", APART | GATES, {}, gru, relu, {}),
    "gru of 0.8": ("gru", GATES | {"w": (IN, 3 * N), "b": (3 * N,)}, {}, gru, relu, {}),
    "mut1": ("mut1", MUT1, {}, mut1, np.tanh, {}),
    "scrn": (
        "scrn", CONTEXT | {"xh": (IN, N), "xs": (IN, N), "r": (N,)}, {"activation": "tanh"},
        scrn, np.tanh, {},
    ),
    "bcrnn": ("bcrnn", PLAIN, {"num_modules": 3}, bcrnn, relu, BC_KNOWN),
    "backward": ("rnn", PLAIN, {"direction": "backward"}, rnn, relu, {"back": True}),
}  # fmt: skip


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays_with_a_network_of_the_same_layers(case, tmp_path, rng):
    """No trust is needed, and default activations are those of then."""
    form, shapes, options, twin, g, known = ARRAYS[case]
    p = values(shapes, rng)
    arrays, last = arrays_of(p, rng)
    np.savez(tmp_path / "old.npz", **arrays)
    net = theanets.recurrent.Regressor([IN, dict(form=form, size=N, **options), 2])
    before = [q.get_value() for q in net.params]
    found = load_original(tmp_path / "old.npz", network=net)
    x = rng.normal(size=(4, T, IN)).astype("f")
    expected = last(twin(p, g, **known)(x))
    np.testing.assert_allclose(found.predict(x, mode="FAST_COMPILE"), expected, **CLOSE)
    for old, param in zip(before, net.params, strict=True):
        np.testing.assert_array_equal(param.get_value(), old)


def test_arrays_of_a_bidirectional_layer(tmp_path, rng):
    halves = [values(PLAIN, rng) for _ in range(2)]
    q = values({"w": (2 * N, 2), "b": (2,)}, rng)
    arrays = {f"out.{k}": v for k, v in q.items()}
    for half, p in zip(("fw", "bw"), halves, strict=True):
        arrays.update({f"hid1_{half}.{k}": v for k, v in p.items()})
    np.savez(tmp_path / "old.npz", **arrays)
    net = theanets.recurrent.Regressor([IN, (2 * N, "bidirectional"), 2])
    found = load_original(tmp_path / "old.npz", network=net)
    x = rng.normal(size=(4, T, IN)).astype("f")
    both = [rnn(p, relu, back=bool(i))(x) for i, p in enumerate(halves)]
    expected = np.concatenate(both, axis=2) @ q["w"] + q["b"]
    np.testing.assert_allclose(found.predict(x, mode="FAST_COMPILE"), expected, **CLOSE)


@pytest.mark.parametrize("version", ["0.7.3", "0.8.0pre"])
@pytest.mark.parametrize("inside", [True, False])
def test_the_version_of_arrays(version, inside, tmp_path, rng):
    """Where it matters, the file says it, or the caller."""
    p = values(PLAIN, rng)
    arrays, last = arrays_of(p, rng, version if inside else None)
    np.savez(tmp_path / "old.npz", **arrays)
    layer = dict(form="clockwork", size=N, periods=(1, 2, 4))
    net = theanets.recurrent.Regressor([IN, layer, 2])
    given = {} if inside else {"version": version}
    if not inside:
        with pytest.raises(ConfigurationError, match=r"layer 'hid1' was not the same.*version="):
            load_original(tmp_path / "old.npz", network=net)
    found = load_original(tmp_path / "old.npz", network=net, **given)
    known = CLOCK7_KNOWN if version == "0.7.3" else CLOCK8_KNOWN
    x = rng.normal(size=(4, T, IN)).astype("f")
    expected = last(clockwork(p, relu, **known)(x))
    np.testing.assert_allclose(found.predict(x, mode="FAST_COMPILE"), expected, **CLOSE)


def test_arrays_that_do_not_fit(tmp_path, rng):
    arrays, _ = arrays_of(values(PLAIN, rng), rng)
    path = tmp_path / "old.npz"
    np.savez(path, **arrays)
    with pytest.raises(ConfigurationError, match="network=None has to be a network"):
        load_original(path)
    make = theanets.recurrent.Regressor
    with pytest.raises(FileError, match=r"'hid1.xh' has shape \(3, 6\)"):
        load_original(path, network=make([IN, (N + 1, "rnn"), 2]))
    with pytest.raises(FileError, match=r"has no parameter out.b, out.w"):
        load_original(path, network=make([IN, (N, "rnn"), dict(size=2, name="last")], loss=None))
    np.savez(path, **arrays, object=np.array([{}], dtype=object))
    with pytest.raises(FileError, match="cannot be read"):
        load_original(path, network=make([IN, (N, "rnn"), 2]))
    with pytest.raises(ConfigurationError, match=r"version='1.0' is not"):
        load_original(path, version="1.0")


def test_initial_states_of_both_halves(tmp_path, rng):
    """They were of the same output, which had half of the units."""
    p = [values(PLAIN, rng) for _ in range(2)]
    first = files.layer("input", "first", "0.8", kwargs={"ndim": 2, "shape": (N,)})
    series = files.layer("input", "in", "0.8", kwargs={"ndim": 3, "shape": (None, IN)})
    fw, bw = (
        files.layer(
            "rnn", f"out_{half}", "0.8", p[i], "tanh", ["in:out"], N,
            h_0="first:out", kwargs={"direction": direction, "bptt_limit": 3},
        )
        for i, (half, direction) in enumerate((("fw", "forward"), ("bw", "backward")))
    )  # fmt: skip
    both = files.layer(
        "bidirectional", "out", "0.8", {}, "tanh", ["in:out"], 2 * N, forward=fw, backward=bw
    )
    net = load(files.network("graph.Network", [first, series, both], "0.8"), tmp_path)
    assert net.layers[2].bptt_limit == 3
    h, x = rng.normal(size=(2, N)).astype("f"), rng.normal(size=(2, T, IN)).astype("f")
    expected = [
        scanned(x, lambda u, s, p=p: [np.tanh(u @ p["xh"] + p["b"] + s @ p["hh"])], h, back=back)
        for p, back in zip(p, (False, True), strict=True)
    ]
    np.testing.assert_allclose(net.predict([h, x]), np.concatenate(expected, axis=2), **CLOSE)


# ---- what layers have for it ------------------------------------------------------------------


def test_outputs_in_the_order_of_the_run(rng):
    """Of series of different lengths, the steps that exist are turned round."""
    lengths = np.array([3, 7, 1, 0])
    x = rng.normal(size=(4, T, IN)).astype("f")
    found = {}
    for direction in ("backward", "reversed"):
        layers = [
            dict(form="input", name="in", shape=(None, IN)),
            dict(form="lengths", name="n"),
            dict(form="rnn", size=N, name="h", inputs="in", direction=direction),
            dict(form="ff", size=2, inputs="h"),
        ]
        net = theanets.recurrent.Regressor(layers, rng=1, mode="FAST_COMPILE")
        found[direction] = net.feed_forward([x, lengths])["h:out"]
    expected = np.zeros_like(found["backward"])
    for i, length in enumerate(lengths):
        expected[i, :length] = found["backward"][i, :length][::-1]
    np.testing.assert_array_equal(found["reversed"], expected)


@pytest.mark.parametrize(
    "spec, message",
    [
        (dict(form="rnn", direction="turned"), "'forward', 'backward', 'reversed' or None"),
        (dict(form="scrn", hidden="prelu"), "hidden='prelu' has parameters"),
        (dict(form="scrn", hidden=None), "hidden=None is not the name"),
        (dict(form="bcrnn", num_modules=2, rates=[0.5]), r"rates=\[0.5\] is not a list of 2"),
        (dict(form="bcrnn", num_modules=2, rates=[0.5, 0.2]), "do not fall"),
        (dict(form="bcrnn", num_modules=2, rates="x"), "rates='x' is not a list of 2"),
        (dict(form="bidirectional", aligned=2), "aligned=2 is not True or False"),
        (dict(form="mut1", inner_bias=2), "inner_bias=2 is not True or False"),
        (dict(form="clockwork", periods=(1, 2), descending=2), "descending=2 is not True"),
    ],
)
def test_options_of_wrong_values(spec, message):
    with pytest.raises(ConfigurationError, match=message):
        theanets.recurrent.Regressor([IN, dict(size=N, **spec), 2])


@pytest.mark.parametrize("version, g", [("0.6.2", sigmoid), ("0.7.3", relu), ("0.8.0", relu)])
@pytest.mark.parametrize("last", [False, True])
def test_default_activations_of_arrays(version, g, last, tmp_path, rng):
    """Those of a layer that the script gave none: of a hidden one, and of the last."""
    gate = ARRAYS["gru of 0.8" if version == "0.8.0" else "gru"][1]
    p = values(gate, rng)
    arrays, then = arrays_of(p, rng, version)
    if last:
        arrays = {k.replace("hid1", "out"): v for k, v in arrays.items() if "out" not in k}
        g, then = ACTIVATIONS["linear"], lambda h: h
    np.savez(tmp_path / "old.npz", **arrays)
    layers = [IN, (N, "gru")] if last else [IN, (N, "gru"), 2]
    net = theanets.recurrent.Regressor(layers)
    found = load_original(tmp_path / "old.npz", network=net)
    x = 0.3 * rng.normal(size=(4, T, IN)).astype("f")
    expected = then(gru(p, g)(x))
    np.testing.assert_allclose(found.predict(x, mode="FAST_COMPILE"), expected, **CLOSE)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("fortran", [False, True])
def test_arrays_of_any_order(order, fortran, tmp_path, rng):
    made, _, x, expected = small(rng)
    layers = made.__reduce_ex__(2)[2][0]
    for variable in layers[1]._params:
        value = variable.container.storage[0].astype(f"{order}f4")
        variable.container.storage[0] = np.asfortranarray(value) if fortran else value
    np.testing.assert_allclose(load(made, tmp_path).predict(x), expected, **CLOSE)
