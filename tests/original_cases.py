"""Recurrent layers of theanets 0.7 in NumPy, and files of such networks."""

import gzip

import numpy as np
import original_files as files

import theanets
from theanets import load_original

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
MUT1 = APART | {k: (N, N) for k in ("hh", "hr")}


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
BC_KNOWN = {"rates": BC_RATES, "mask": BC_MASK}


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


# ---- files ----------------------------------------------------------------------------------


def small(rng, version="0.7", **given):
    """A network with a gru, and what it predicts."""
    p = values(APART | GATES, rng)
    hidden = files.layer("gru", "hid1", version, p, "relu", ["in:out"], N)
    made, last = ends(version, [hidden], rng, **given)
    x = rng.normal(size=(4, T, IN)).astype("f")
    return made, p, x, last(gru(p, relu)(x))


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
