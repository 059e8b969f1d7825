"""Cells of the recurrent core with arguments, and the same steps unrolled."""

from itertools import pairwise

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.mode import Mode

from theanets import activations
from theanets.ops.recurrent import operation as core
from theanets.ops.recurrent.scan import one_step, scan
from theanets.ops.recurrent.trace import Layout, trace

AS_BUILT = Mode(linker="py", optimizer="merge")
SIZES = {"n": 5, "f": 3, "m": 2}
GATES = dict.fromkeys("ifco", "n")


def rnn(activation):
    function = activations.build(activation)

    def step(x, s, v, dot, count):
        (through,) = dot("hh", s.h)
        pre = x.h + through + v.b
        out = function(pre)
        return {"h": out}, {"out": out, "pre": pre}

    return Layout(("n",), {"h": "n"}, {"h": "n"}, {"b": "n"}, {"hh": ("n", ("n",))}), step


def lstm():
    def step(x, s, v, dot, count):
        i, f, c, o = dot("hh", s.h)
        bi, bf, bc, bo = v.b
        i = pt.sigmoid(x.i + i + bi + s.c * v.ci)
        f = pt.sigmoid(x.f + f + bf + s.c * v.cf)
        cell = f * s.c + i * pt.tanh(x.c + c + bc)
        out = pt.sigmoid(x.o + o + bo + cell * v.co) * pt.tanh(cell)
        return {"h": out, "c": cell}, {"out": out, "cell": cell}

    vectors = {"b": ("n",) * 4, "ci": "n", "cf": "n", "co": "n"}
    return Layout(("n",), GATES, {"h": "n", "c": "n"}, vectors, {"hh": ("n", ("n",) * 4)}), step


def gru():
    """Two products, one after the other."""

    def step(x, s, v, dot, count):
        r, z = dot("gates", s.h)
        r, z = pt.sigmoid(x.r + r), pt.sigmoid(x.z + z)
        (through,) = dot("hh", r * s.h)
        out = (1 - z) * s.h + z * pt.tanh(x.h + through)
        return {"h": out}, {"out": out, "rate": z}

    dots = {"gates": ("n", ("n", "n")), "hh": ("n", ("n",))}
    return Layout(("n",), dict.fromkeys("hrz", "n"), {"h": "n"}, {}, dots), step


def mrnn():
    """Two sizes, and a gradient of the input that differs from that of a product."""

    def step(x, s, v, dot, count):
        (factors,) = dot("hf", s.h)
        (through,) = dot("fh", x.f * factors)
        out = pt.tanh(x.h + through + v.b)
        return {"h": out}, {"out": out, "factors": x.f}

    dots = {"hf": ("n", ("f",)), "fh": ("f", ("n",))}
    return Layout(("n", "f"), {"h": "n", "f": "f"}, {"h": "n"}, {"b": "n"}, dots), step


def scrn():
    """A new state goes into a product."""

    def step(x, s, v, dot, count):
        slow = (1 - v.r) * s.s + v.r * x.s
        (own,) = dot("hh", s.h)
        (context,) = dot("sh", slow)
        out = pt.sigmoid(x.h + own + context)
        return {"h": out, "s": slow}, {"out": out}

    dots = {"hh": ("n", ("n",)), "sh": ("m", ("n",))}
    sizes = {"h": "n", "s": "m"}
    return Layout(("n", "m"), sizes, sizes, {"r": "m"}, dots), step


def clock():
    """The number of the step, and a vector that is not trained."""

    def step(x, s, v, dot, count):
        (through,) = dot("hh", s.h)
        pre = pt.switch(pt.eq(pt.mod(count, v.period), 0), x.h + through + v.b, s.pre)
        out = pt.tanh(pre)
        return {"h": out, "pre": pre}, {"out": out, "pre": pre}

    vectors, states = {"b": "n", "period": "n"}, {"h": "n", "pre": "n"}
    dots = {"hh": ("n", ("n",))}
    return Layout(("n",), {"h": "n"}, states, vectors, dots, ("period",)), step


def many():
    """Each kind of operation that is done entry by entry."""

    def step(x, s, v, dot, count):
        (a,) = dot("hh", s.h)
        b = x.h + a
        positive = 1 + pt.sqr(b)
        out = pt.tanh(
            pt.exp(-positive)
            + pt.log(positive) / pt.sqrt(positive)
            + pt.expm1(-positive) * pt.log1p(positive)
            + positive**-0.7
            + pt.softplus(b)
            + pt.abs(b)
            + pt.sin(b) * pt.cos(b)
            + pt.maximum(b, s.h)
            - pt.minimum(b, 0.25)
            + pt.switch((b > 0.1) & (s.h < 0.2) | ~(b >= -1), b, -b)
            + pt.sign(b)
            + pt.reciprocal(positive)
            + pt.cast(b <= 0, b.dtype)
        )
        return {"h": out}, {"out": out}

    return Layout(("n",), {"h": "n"}, {"h": "n"}, {}, {"hh": ("n", ("n",))}), step


CELLS = {
    "tanh": lambda: rnn("tanh"),
    "relu": lambda: rnn("relu"),
    "minmax": lambda: rnn("rect:minmax"),
    "elu+sigmoid": lambda: rnn("softplus+sigmoid"),
    "lstm": lstm,
    "gru": gru,
    "mrnn": mrnn,
    "scrn": scrn,
    "clock": clock,
    "many": many,
}


# ---- cells that reduce rows ------------------------------------------------------

norm_z, softmax = activations.build("norm:z"), activations.build("softmax")


def normalized_lstm():
    def step(x, s, v, dot, count):
        through, series = dot("hh", s.h), [x.i, x.f, x.c, x.o]
        through = [norm_z(part) * gain for part, gain in zip(through, v.gh)]
        series = [norm_z(part) * gain for part, gain in zip(series, v.gx)]
        i, f, c, o = (a + b + bias for a, b, bias in zip(series, through, v.b))
        cell = pt.sigmoid(f + s.c * v.cf) * s.c + pt.sigmoid(i + s.c * v.ci) * pt.tanh(c)
        out = pt.sigmoid(o + cell * v.co) * pt.tanh(norm_z(cell) * v.gc + v.bc)
        return {"h": out, "c": cell}, {"out": out, "cell": cell}

    vectors = {name: ("n",) * 4 for name in ("b", "gx", "gh")}
    vectors |= dict.fromkeys(("gc", "bc", "ci", "cf", "co"), "n")
    gates = dict.fromkeys("ifco", "n")
    return Layout(("n",), gates, {"h": "n", "c": "n"}, vectors, {"hh": ("n", ("n",) * 4)}), step


def rows(function):
    """A cell with a function of the pre-activation and the old state, between dots."""

    def step(x, s, v, dot, count):
        (a,) = dot("first", s.h)
        hid = function(x.h + a + v.b, s.h, v)
        (b,) = dot("second", hid)
        out = pt.tanh(b + x.g) * hid
        return {"h": out}, {"out": out, "hid": hid}

    dots = {"first": ("n", ("n",)), "second": ("n", ("n",))}
    return Layout(("n",), {"h": "n", "g": "n"}, {"h": "n"}, {"b": "n", "w": "n"}, dots), step


def total(x):
    return x.sum(axis=-1, keepdims=True)


def attention(x, h, v):
    """Sums of sums, and one number for each row that is made of several."""
    weights = softmax(x * v.w)
    context = total(weights * h)
    return pt.tanh(context * x + total(context * h - x) / (1 + total(pt.sqr(v.w))))


def statistics(x, h, v):
    """Means, variances and largest entries, also of what they are part of themselves."""
    spread = x.std(axis=1, keepdims=True) + pt.var(h, axis=-1).dimshuffle(0, "x")
    top = pt.max(x, axis=1, keepdims=True) - pt.min(h, axis=1, keepdims=True)
    positive = (x > 0).sum(axis=1, keepdims=True) / x.shape[1]
    return pt.tanh(x * top - spread * h + positive.astype(x.dtype) * v.w)


ROWS = {
    "normalized lstm": normalized_lstm,
    "norm:z": lambda: rnn("norm:z+tanh"),
    "norm:mean": lambda: rnn("norm:mean"),
    "norm:max": lambda: rnn("norm:max"),
    "softmax": lambda: rnn("softmax"),
    "log softmax": lambda: rows(lambda x, h, v: pt.special.log_softmax(x, axis=-1) * v.w),
    "log sum": lambda: rows(lambda x, h, v: x - pt.logsumexp(h * v.w, axis=1, keepdims=True)),
    "attention": lambda: rows(attention),
    # The gradient of the largest entry is a sum of what all entries have in common.
    "shared": lambda: rows(lambda x, h, v: x * pt.tanh(total(h + x.max(axis=1)[:, None] / 9))),
    "statistics": lambda: rows(statistics),
}


class Case:
    """A cell with symbols and values for all that it takes."""

    def __init__(self, cell, dtype="float64", steps=4, lengths=(4, 2, 0, 3), seed=0):
        self.layout, self.step = layout, _ = CELLS[cell]()
        self.dtype, self.steps = dtype, steps
        rng = np.random.default_rng(seed)
        batch = len(lengths)
        sizes = [SIZES[s] for s in layout.blocks.values()]
        shapes = [(batch, steps, sum(sizes))]
        shapes += [(batch, SIZES[s]) for s in layout.states.values()]
        shapes += [(sum(SIZES[s] for s in layout.vector_sizes(v)),) for v in layout.vectors]
        shapes += [(SIZES[a], sum(SIZES[s] for s in b)) for a, b in layout.dots.values()]
        self.values = [rng.normal(size=shape).astype(dtype) for shape in shapes]
        self.symbols = [pt.tensor(dtype=dtype, shape=(None,) * len(s)) for s in shapes]
        for i, name in enumerate(layout.vectors):
            if name == "period":
                where = 1 + len(layout.states) + i
                self.values[where] = np.array([1, 1, 2, 2, 3], dtype)
        self.lengths = pt.lvector("lengths")
        self.arguments = [self.values[0], np.array(lengths), *self.values[1:]]
        self.inputs = [self.symbols[0], self.lengths, *self.symbols[1:]]
        ends = np.cumsum([1, len(layout.states), len(layout.vectors), len(layout.dots)])
        self.z = self.symbols[0]
        self.states, self.vectors, self.weights = (self.symbols[a:b] for a, b in pairwise(ends))
        untrained = [v for name, v in zip(layout.vectors, self.vectors) if name in layout.constant]
        self.trained = [s for s in self.symbols if all(s is not u for u in untrained)]

    def fast(self, **options):
        with pytensor.config.change_flags(floatX=self.dtype):
            cell, extra = trace(self.layout, self.step, self.dtype)
        assert not extra
        found = core.recur(
            cell, self.z, self.lengths, self.states, self.vectors, self.weights, **options
        )
        return found.outputs, found.final

    def by_scan(self, **options):
        with pytensor.config.change_flags(floatX=self.dtype):
            found = scan(
                self.layout,
                self.step,
                SIZES,
                self.z,
                self.lengths,
                self.states,
                self.vectors,
                self.weights,
                **options,
            )
        return found.outputs, found.final

    def unrolled(self, reverse=False, limit=0):
        """Step by step, as a graph without an operation of ours."""
        state, outputs = list(self.states), {}
        for t in reversed(range(self.steps)) if reverse else range(self.steps):
            exists = (t < self.lengths)[:, None]
            before = self.lengths - 1 - t if reverse else t + pt.zeros_like(self.lengths)
            before = before[:, None].astype(self.dtype)
            if limit:
                cut = exists & (before > 0) & pt.eq(before % limit, 0)
                fixed = pytensor.gradient.disconnected_grad
                state = [pt.switch(cut, fixed(s), s) for s in state]
            with pytensor.config.change_flags(floatX=self.dtype):
                new, out = one_step(
                    self.layout,
                    self.step,
                    SIZES,
                    self.z[:, t],
                    state,
                    self.vectors,
                    self.weights,
                    before,
                )
            for name, value in out.items():
                outputs.setdefault(name, {})[t] = pt.switch(exists, value, 0)
            state = [pt.switch(exists, new[n], s) for n, s in zip(self.layout.states, state)]
        stacked = {
            name: pt.stack([by_step[t] for t in range(self.steps)], axis=1)
            for name, by_step in outputs.items()
        }
        return stacked, state

    def stepwise(self, reverse=False, limit=0, **options):
        """What unrolled steps give as they are built: rewriting so many nodes takes seconds."""
        return self.run(*self.unrolled(reverse, limit), mode=AS_BUILT, **options)

    def run(self, outputs, final, names=None, ends=True, mode=None):
        """Values and gradients of a random projection of some outputs and the final states."""
        rng = np.random.default_rng(5)
        cost = 0
        for name, value in outputs.items():
            factor = rng.normal(size=(1, self.steps, 1)).astype(self.dtype)
            if names is None or name in names:
                cost = cost + (value * factor).sum()
        for value in final:
            factor = rng.normal(size=(len(self.values[0]), 1)).astype(self.dtype)
            cost = cost + (value * factor).sum() * int(ends)
        with pytensor.config.change_flags(floatX=self.dtype):
            grads = pytensor.grad(cost, self.trained, disconnected_inputs="ignore")
            function = pytensor.function(
                self.inputs,
                [*outputs.values(), *final, *grads],
                mode=mode,
                on_unused_input="ignore",
            )
        return function(*(a.copy() for a in self.arguments))


def close(found, expected, tolerance):
    assert len(found) == len(expected)
    for a, b in zip(found, expected):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
