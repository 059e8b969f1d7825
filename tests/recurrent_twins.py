"""Recurrent layers with the twins of their equations in NumPy, one step each."""

import numpy as np
import pytensor.tensor as pt

import theanets

N, NIN, BATCH, STEPS = 4, 3, 5, 6
LENGTHS = np.array([6, 2, 0, 1, 4])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def relu(x):
    return np.maximum(x, 0)


def cut(x, parts):
    return np.split(x, parts, axis=-1)


# One step each: f(parameters, input, states, number of the step) -> states, outputs.
def rnn(p, x, s, t):
    pre = x @ p["xh"] + s["h"] @ p["hh"] + p["b"]
    return {"h": relu(pre)}, {"out": relu(pre), "pre": pre}


def lstm(p, x, s, t):
    zero = np.zeros(N)
    i, f, c, o = cut(x @ p["xh"] + s["h"] @ p["hh"] + p["b"], 4)
    i = sigmoid(i + s["c"] * p.get("ci", zero))
    f = sigmoid(f + s["c"] * p.get("cf", zero))
    cell = f * s["c"] + i * np.tanh(c)
    out = sigmoid(o + cell * p.get("co", zero)) * np.tanh(cell)
    return {"h": out, "c": cell}, {"out": out, "cell": cell}


def normal(x):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(centred.var(axis=-1, keepdims=True) + 1e-7)


def lstm_normalized(p, x, s, t):
    zx, zh = cut(x @ p["xh"], 4), cut(s["h"] @ p["hh"], 4)
    gains = zip(cut(p["gx"], 4), cut(p["gh"], 4), cut(p["b"], 4))
    i, f, c, o = (
        normal(a) * ga + normal(b) * gb + bias for a, b, (ga, gb, bias) in zip(zx, zh, gains)
    )
    i, f = sigmoid(i + s["c"] * p["ci"]), sigmoid(f + s["c"] * p["cf"])
    cell = f * s["c"] + i * np.tanh(c)
    out = sigmoid(o + cell * p["co"]) * np.tanh(normal(cell) * p["gc"] + p["bc"])
    return {"h": out, "c": cell}, {"out": out, "cell": cell}


def gru(p, x, s, t):
    h, r, z = cut(x @ p["w"] + p["b"], 3)
    r, z = sigmoid(r + s["h"] @ p["hr"]), sigmoid(z + s["h"] @ p["hz"])
    through = r * (s["h"] @ p["hh"] + p["bh"]) if "bh" in p else (r * s["h"]) @ p["hh"]
    pre = h + through
    hid = np.tanh(pre)
    out = (1 - z) * s["h"] + z * hid
    return {"h": out}, {"out": out, "pre": pre, "hid": hid, "rate": z}


def mut1(p, x, s, t):
    r = sigmoid(x @ p["xr"] + s["h"] @ p["hr"] + p["br"])
    z = sigmoid(x @ p["xz"] + p["bz"])
    pre = np.tanh(x @ p["xh"]) + (r * s["h"]) @ p["hh"] + p["bh"]
    out = (1 - z) * s["h"] + z * np.tanh(pre)
    return {"h": out}, {"out": out, "pre": pre, "hid": np.tanh(pre), "rate": z}


def rrnn(p, x, s, t):
    pre = x @ p["xh"] + s["h"] @ p["hh"] + p["b"]
    if "rates" in p:
        rate = np.broadcast_to(p["rates"], pre.shape)
    else:
        rate = np.broadcast_to(sigmoid(p["r"] + (x @ p["xr"] if "xr" in p else 0)), pre.shape)
    out = (1 - rate) * s["h"] + rate * relu(pre)
    return {"h": out}, {"out": out, "pre": pre, "hid": relu(pre), "rate": rate}


def mrnn(p, x, s, t):
    factors = x @ p["xf"]
    pre = (factors * (s["h"] @ p["hf"])) @ p["fh"] + x @ p["xh"] + p["b"]
    return {"h": relu(pre)}, {"out": relu(pre), "pre": pre, "factors": factors}


def scrn(p, x, s, t):
    z = x @ p["w"]
    m = p["sh"].shape[0]
    rate = sigmoid(p["r"])
    slow = (1 - rate) * s["s"] + rate * z[:, N:]
    hid = sigmoid(z[:, :N] + s["h"] @ p["hh"] + slow @ p["sh"])
    pre = hid @ p["ho"] + slow @ p["so"] + p["b"]
    rate = np.broadcast_to(rate, (len(x), m))
    outputs = {"out": relu(pre), "pre": pre, "hid": hid, "state": slow, "rate": rate}
    return {"h": hid, "s": slow}, outputs


def masked(hh, modules):
    number = np.arange(N) // (N // modules)
    return hh * (number[:, None] >= number[None, :])


def clockwork(p, x, s, t):
    pre = x @ p["xh"] + s["h"] @ masked(p["hh"], 2) + p["b"]
    pre = np.where(t % np.repeat([1, 3], N // 2) == 0, pre, s["pre"])
    return {"h": relu(pre), "pre": pre}, {"out": relu(pre), "pre": pre}


def bcrnn(p, x, s, t):
    rate = np.repeat([0, 0.5], N // 2)
    pre = x @ p["xh"] + s["h"] @ masked(p["hh"], 2) + p["b"]
    pre = rate * s["pre"] + (1 - rate) * pre
    return {"h": relu(pre), "pre": pre}, {"out": relu(pre), "pre": pre}


def cell_step(cell, x, h):
    gate = pt.sigmoid(x[0] + cell.dot(h, "hz") + cell.vector("bz", 1))
    new = cell.activation(x[1] + cell.dot(gate * h, "hh"))
    return gate * h + (1 - gate) * new, {"gate": gate}


def cell(p, x, s, t):
    a, b = cut(x @ p["xh"], 2)
    gate = sigmoid(a + s["h"] @ p["hz"] + p["bz"])
    out = gate * s["h"] + (1 - gate) * relu(b + (gate * s["h"]) @ p["hh"])
    return {"h": out}, {"out": out, "gate": gate}


CELL = {"form": "cell", "step": cell_step, "blocks": 2, "outputs_named": ("gate",)}
RATES = [0.1, 0.9, 0.5, 0.3]

# By name: the layer, the twin, its states.
FORMS = {
    "rnn": ({"form": "rnn"}, rnn, "h"),
    "lstm": ({"form": "lstm"}, lstm, "hc"),
    "lstm plain": ({"form": "lstm", "peepholes": False}, lstm, "hc"),
    "lstm normalized": ({"form": "lstm", "normalized": True}, lstm_normalized, "hc"),
    "gru": ({"form": "gru"}, gru, "h"),
    "gru after": ({"form": "gru", "reset_after": True}, gru, "h"),
    "mut1": ({"form": "mut1"}, mut1, "h"),
    "rrnn": ({"form": "rrnn"}, rrnn, "h"),
    "rrnn vector": ({"form": "rrnn", "rate": "vector"}, rrnn, "h"),
    "rrnn log": ({"form": "rrnn", "rate": "log", "rates": RATES}, rrnn, "h"),
    "mrnn": ({"form": "mrnn"}, mrnn, "h"),
    "scrn": ({"form": "scrn"}, scrn, "hs"),
    "scrn wide": ({"form": "scrn", "context_size": 5}, scrn, "hs"),
    "clockwork": ({"form": "clockwork", "periods": (3, 1)}, clockwork, ["h", "pre"]),
    "bcrnn": ({"form": "bcrnn", "num_modules": 2}, bcrnn, ["h", "pre"]),
    "cell": (CELL, cell, "h"),
}
NAMES = list(FORMS)


def make(spec, nout=2, lengths=True, **options):
    layers = [(None, NIN)]
    if lengths:
        layers.append({"form": "lengths", "name": "lengths"})
    layers += [{"name": "rec", "size": N, "inputs": "in", **spec, **options}, nout]
    return theanets.recurrent.Regressor(layers, rng=13, dtype="float64")


def shaken(net, seed=3):
    """Give all parameters random values, biases too."""
    rng = np.random.default_rng(seed)
    for param in net.params:
        param.set_value(rng.normal(size=param.get_value().shape) * 0.7)
    return net


def twin(net, name, x, lengths, reverse=False):
    spec, step, states = FORMS[name]
    p = {q.name.partition(".")[2]: q.get_value() for q in net.graph.layer("rec").params}
    if "rates" in spec:
        p["rates"] = np.array(spec["rates"])
    state = {s: np.zeros((BATCH, N)) for s in states}
    if "s" in state:
        state["s"] = np.zeros((BATCH, p["sh"].shape[0]))
    found = {}
    for t in reversed(range(STEPS)) if reverse else range(STEPS):
        exists = (t < lengths)[:, None]
        number = (lengths - 1 - t if reverse else np.full(BATCH, t))[:, None]
        new, outputs = step(p, x[:, t], state, number)
        state = {s: np.where(exists, new[s], state[s]) for s in state}
        for key, value in outputs.items():
            found.setdefault(key, np.zeros((BATCH, STEPS, value.shape[-1])))[:, t] = np.where(
                exists, value, 0
            )
    return found
