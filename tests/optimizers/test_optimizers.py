"""Optimizers: every update rule against an independent NumPy twin."""

from __future__ import annotations

import signal
import threading
import warnings
from dataclasses import dataclass

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import optimize

import theanets
from theanets import metrics, optimizers, regularizers
from theanets.errors import ConfigurationError, UnknownNameError
from theanets.optimizers import lbfgs
from theanets.optimizers.schedules import Cosine

FIRST_ORDER = [
    name
    for name in optimizers.names()
    if optimizers.Optimizer.registry[name].first_order
    and optimizers.Optimizer.registry[name].__module__.startswith("theanets.")
]
SHAPES = {"w": (3, 2), "b": (4,)}


def compiled(algo, shapes=SHAPES, dtype="float64", start=None, **kwargs):
    """Get parameters, step, and a function that makes one update from given gradients."""
    rng = np.random.default_rng(1)
    params = []
    for name, shape in shapes.items():
        value = rng.normal(size=shape) if start is None else np.full(shape, start)
        params.append(pytensor.shared(value.astype(dtype), name=name))
    inputs = [p.type() for p in params]
    step = optimizers.build(algo, **kwargs).apply(params, inputs, dtype=dtype)
    return params, step, pytensor.function(inputs, [], updates=step.updates, mode="FAST_COMPILE")


def gradients(count, shapes=SHAPES, seed=2):
    rng = np.random.default_rng(seed)
    return [[rng.normal(size=shape) for shape in shapes.values()] for _ in range(count)]


# One twin per algorithm: called once per parameter with its first value; gets
# (gradient, value) of each update and gives the new value.


class Twin:
    def __init__(self, p, **hyper):
        self.t = 0
        self.v = self.m = self.x = np.zeros_like(p)
        self.__dict__.update(hyper)

    def __call__(self, g, p):
        self.t += 1
        return self.move(g, p)


class SGD(Twin):
    def move(self, g, p):
        return p - self.lr * g


class Polyak(Twin):
    def move(self, g, p):
        self.v = self.mu * self.v - self.lr * g
        return p + self.v


class Nesterov(Twin):
    def move(self, g, p):
        self.v = self.mu * self.v - self.lr * g
        return p + self.mu * self.v - self.lr * g


class RProp(Twin):
    def __init__(self, p, **hyper):
        super().__init__(p, **hyper)
        self.size = np.full_like(p, self.lr)

    def move(self, g, p):
        same = g * self.m
        self.size = np.where(same > 0, self.size * self.up, self.size)
        self.size = np.where(same < 0, self.size * self.down, self.size)
        self.size = np.minimum(np.maximum(self.size, self.low), self.high)
        self.m = g = np.where(same < 0, 0, g)
        return p - np.sign(g) * self.size


class AdaGrad(Twin):
    def move(self, g, p):
        self.v = self.v + g**2
        return p - self.lr * g / (np.sqrt(self.v) + self.eps)


class RMSProp(Twin):
    def move(self, g, p):
        self.v = self.decay * self.v + (1 - self.decay) * g**2
        return p - self.lr * g / (np.sqrt(self.v) + self.eps)


class Graves(Twin):
    def move(self, g, p):
        self.v = self.decay * self.v + (1 - self.decay) * g**2
        self.m = self.decay * self.m + (1 - self.decay) * g
        return p - self.lr * g / np.sqrt(self.v - self.m**2 + self.eps)


class AdaDelta(Twin):
    def move(self, g, p):
        self.v = self.decay * self.v + (1 - self.decay) * g**2
        d = np.sqrt(self.x + self.eps) / np.sqrt(self.v + self.eps) * g
        self.x = self.decay * self.x + (1 - self.decay) * d**2
        return p - self.lr * d


class Adam(Twin):
    wd = 0.0

    def move(self, g, p):
        self.m = self.b1 * self.m + (1 - self.b1) * g
        self.v = self.b2 * self.v + (1 - self.b2) * g**2
        v_hat = self.v / (1 - self.b2**self.t)
        shrunk = p * (1 - self.lr * self.wd) if p.ndim > 1 else p
        return shrunk - self.lr * self.m_hat(g) / (np.sqrt(v_hat) + self.eps)

    def m_hat(self, g):
        return self.m / (1 - self.b1**self.t)


class NAdam(Adam):
    def m_hat(self, g):
        ahead = self.b1 * self.m / (1 - self.b1 ** (self.t + 1))
        return ahead + (1 - self.b1) * g / (1 - self.b1**self.t)


class AdaMax(Twin):
    def move(self, g, p):
        self.m = self.b1 * self.m + (1 - self.b1) * g
        self.v = np.maximum(self.b2 * self.v, abs(g) + self.eps)
        return p - self.lr / (1 - self.b1**self.t) * self.m / self.v


B1, B2, G14 = 2 ** (-1 / 7), 2 ** (-1 / 69), 2 ** (-1 / 14)
BETAS = {"b1": B1, "b2": B2, "eps": 1e-8}
RPROP = {"up": 1.01, "down": 0.99, "low": 0, "high": 100}

CASES = [
    ("sgd", {}, SGD, {"lr": 0.03}),
    ("sgd", {"momentum": 0.8}, Polyak, {"lr": 0.03, "mu": 0.8}),
    ("sgd", {"momentum": 0.8, "nesterov": True}, Nesterov, {"lr": 0.03, "mu": 0.8}),
    ("momentum", {}, Polyak, {"lr": 0.01, "mu": 0.9}),
    ("nag", {"learning_rate": 0.1}, Nesterov, {"lr": 0.1, "mu": 0.9}),
    ("rprop", {}, RProp, {"lr": 1e-3, **RPROP}),
    (
        "rprop",
        {
            "rprop_increase": 1.5,
            "rprop_decrease": 0.5,
            "rprop_min_step": 8e-4,
            "rprop_max_step": 2e-3,
        },
        RProp,
        {"lr": 1e-3, "up": 1.5, "down": 0.5, "low": 8e-4, "high": 2e-3},
    ),
    ("adagrad", {}, AdaGrad, {"lr": 0.01, "eps": 1e-8}),
    ("adagrad", {"rms_regularizer": 0.3}, AdaGrad, {"lr": 0.01, "eps": 0.3}),
    ("rmsprop", {}, RMSProp, {"lr": 1e-3, "decay": G14, "eps": 1e-8}),
    (
        "rmsprop",
        {"rms_halflife": 1, "rms_regularizer": 0.2},
        RMSProp,
        {"lr": 1e-3, "decay": 0.5, "eps": 0.2},
    ),
    ("rmsprop", {"centered": True}, Graves, {"lr": 1e-3, "decay": G14, "eps": 1e-4}),
    (
        "rmsprop",
        {"centered": True, "decay": 0.7, "rms_regularizer": 0.1},
        Graves,
        {"lr": 1e-3, "decay": 0.7, "eps": 0.1},
    ),
    ("adadelta", {}, AdaDelta, {"lr": 1.0, "decay": G14, "eps": 1e-6}),
    (
        "adadelta",
        {"learning_rate": 0.5, "decay": 0.9},
        AdaDelta,
        {"lr": 0.5, "decay": 0.9, "eps": 1e-6},
    ),
    ("adam", {}, Adam, {"lr": 1e-3, **BETAS}),
    (
        "adam",
        {"beta1": 0.9, "beta2_halflife": 2, "rms_regularizer": 0.1, "learning_rate": 0.1},
        Adam,
        {"lr": 0.1, "b1": 0.9, "b2": 0.5**0.5, "eps": 0.1},
    ),
    ("adam", {"beta1": 0, "beta2": 0}, Adam, {"lr": 1e-3, "b1": 0, "b2": 0, "eps": 1e-8}),
    ("adamw", {}, Adam, {"lr": 1e-3, "wd": 0.01, **BETAS}),
    ("adam", {"decoupled_weight_decay": 0.5}, Adam, {"lr": 1e-3, "wd": 0.5, **BETAS}),
    ("nadam", {}, NAdam, {"lr": 1e-3, **BETAS}),
    (
        "nadam",
        {"rms_regularizer": 0.2, "beta1": 0.5},
        NAdam,
        {"lr": 1e-3, "b1": 0.5, "b2": B2, "eps": 0.2},
    ),
    ("adamax", {}, AdaMax, {"lr": 1e-3, **BETAS}),
    ("adamax", {"beta2": 0.3}, AdaMax, {"lr": 1e-3, "b1": B1, "b2": 0.3, "eps": 1e-8}),
]


@pytest.mark.parametrize(("algo", "kwargs", "twin", "hyper"), CASES)
def test_twin(algo, kwargs, twin, hyper):
    params, _, update = compiled(algo, **kwargs)
    expected = [p.get_value() for p in params]
    twins = [twin(p, **hyper) for p in expected]
    for grads in gradients(15):
        update(*grads)
        expected = [t(g, p) for t, g, p in zip(twins, grads, expected)]
        for param, value in zip(params, expected):
            np.testing.assert_allclose(param.get_value(), value, rtol=0, atol=1e-10)


def test_every_algorithm_has_a_twin():
    tested = {optimizers.Optimizer.registry[case[0]] for case in CASES} | {optimizers.ESGD}
    assert {optimizers.Optimizer.registry[name] for name in FIRST_ORDER} == tested


def test_decay_bypasses_momentum():
    params, _, update = compiled("momentum", decoupled_weight_decay=0.2)
    expected = [p.get_value() for p in params]
    v = [0, 0]
    for grads in gradients(5):
        update(*grads)
        v = [0.9 * a - 0.01 * g for a, g in zip(v, grads)]
        expected = [expected[0] + v[0] - 0.01 * 0.2 * expected[0], expected[1] + v[1]]
    np.testing.assert_allclose(params[0].get_value(), expected[0], atol=1e-12)
    np.testing.assert_allclose(params[1].get_value(), expected[1], atol=1e-12)


def test_adam_first_step_is_the_rate_times_the_sign():
    params, _, update = compiled("adam", start=5.0, learning_rate=0.1)
    w, b = np.array([[3.0, -1e-3], [100, -2], [7, 1]]), np.array([1.0, -2, 3e4, -4])
    update(w, b)
    np.testing.assert_allclose(params[0].get_value(), 5 - 0.1 * np.sign(w), atol=1e-5)
    np.testing.assert_allclose(params[1].get_value(), 5 - 0.1 * np.sign(b), atol=1e-5)


def test_nesterov_evaluates_the_gradient_ahead():
    """On x**2 / 2, in the variables of the published form: theta = x - mu v."""
    x = pytensor.shared(np.array(4.0), name="x")
    step = optimizers.build("nag", learning_rate=0.3, momentum=0.6).apply([x], [x], dtype="float64")
    update = pytensor.function([], [], updates=step.updates, mode="FAST_COMPILE")
    theta, v = 4.0, 0.0
    for _ in range(10):
        update()
        v = 0.6 * v - 0.3 * (theta + 0.6 * v)
        theta = theta + v
        assert x.get_value() - 0.6 * v == pytest.approx(theta, abs=1e-12)


def test_adam_bias_correction_is_exact_in_float32():
    """Constant gradients give steps of the learning rate at any time."""
    params, step, update = compiled(
        "adam", {"b": (1,)}, "float32", start=0.0, learning_rate=1.0, beta1=0.9, beta2=0.9999
    )
    for count in (0, 1, 10, 1000, 10**5, 10**6, 2**24):
        b1, b2 = (float(step.hyper[k].get_value()) for k in ("beta1", "beta2"))
        step.state["t"].set_value(np.float32(count))
        step.state["b/m"].set_value(np.array([-np.expm1(count * np.log(b1))], "float32"))
        step.state["b/v"].set_value(np.array([-np.expm1(count * np.log(b2))], "float32"))
        params[0].set_value(np.zeros(1, "float32"))
        update(np.ones(1, "float32"))
        np.testing.assert_allclose(params[0].get_value(), -1, rtol=2e-6)


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_constant_gradients_do_not_explode_rmsprop(centered, dtype):
    params, _, update = compiled("rmsprop", {"b": (1,)}, dtype, 0.0, centered=centered)
    moved = []
    for _ in range(400):
        before = params[0].get_value()
        update(np.full(1, 3.7, dtype))
        moved.append(float((before - params[0].get_value())[0]))
    # The limits are the rate, and the rate times the gradient over the root of 1e-4.
    assert min(moved) > 0
    assert max(moved) < (0.38 if centered else 0.005)
    assert moved[-1] == pytest.approx(0.37 if centered else 1e-3, rel=1e-2)


def test_rprop_signs():
    params, _, update = compiled(
        "rprop", {"b": (1,)}, start=0.0, learning_rate=1.0, rprop_increase=2, rprop_decrease=0.5
    )
    seen = []
    for g in (3, 0.1, 0.2, -5, -5, -5, 0, 4, 4):
        update(np.array([float(g)]))
        seen.append(float(params[0].get_value()[0]))
    # Steps 1, 2, 4; turn: none (2); 2; 4; none; 4; 8.
    assert seen == [-1, -3, -7, -7, -5, -1, -1, -5, -13]


def test_rprop_signs_of_tiny_gradients():
    params, _, update = compiled("rprop", {"b": (1,)}, "float32", 0.0, rprop_increase=2)
    for _ in range(3):
        update(np.full(1, 1e-30, "float32"))
    np.testing.assert_allclose(params[0].get_value(), -7e-3, rtol=1e-5)


def test_rprop_survives_a_rate_of_zero():
    params, step, update = compiled("rprop", {"b": (1,)}, "float32", 1.0)
    step.set_rate(0)
    update(np.ones(1, "float32"))
    assert params[0].get_value() == 1
    step.set_rate(0.5)
    update(np.ones(1, "float32"))
    assert params[0].get_value() == pytest.approx(1 - 0.5 * 1.01, rel=1e-6)


def quadratic(dtype="float64", rng=None, **kwargs):
    """x' A x / 2 + u x y, for x a vector and y a matrix that enters twice as strongly."""
    a = np.array([[3.0, 1.0], [1.0, 2.0]])
    x = pytensor.shared(np.array([1.0, -2.0], dtype), name="x")
    y = pytensor.shared(np.array([[0.5]], dtype), name="y")
    loss = pt.dot(x, pt.dot(a.astype(dtype), x)) / 2 + x[0] * y[0, 0] + 2 * y[0, 0] ** 2
    grads = pytensor.grad(loss, [x, y])
    step = optimizers.build("esgd", **kwargs).apply([x, y], grads, loss, dtype, rng)
    return [x, y], step, pytensor.function([], [], updates=step.updates, mode="FAST_COMPILE")


HESSIAN = np.array([[3.0, 1, 1], [1, 2, 0], [1, 0, 4]])


def test_esgd_twin():
    (x, y), _, update = quadratic(
        rng=np.random.default_rng(7), learning_rate=0.02, decay=0.8, rms_regularizer=0.05
    )
    rng = np.random.default_rng(7)
    p, d = np.array([1.0, -2.0, 0.5]), np.zeros(3)
    for t in range(1, 13):
        update()
        g = HESSIAN @ p
        hr = HESSIAN @ np.concatenate([rng.normal(size=2), rng.normal(size=1)])
        d = 0.8 * d + 0.2 * hr**2
        p = p - 0.02 * g / (np.sqrt(d / (1 - 0.8**t)) + 0.05)
        np.testing.assert_allclose(x.get_value(), p[:2], atol=1e-10)
        np.testing.assert_allclose(y.get_value(), [[p[2]]], atol=1e-10)


def test_esgd_uses_unclipped_gradients_for_the_hessian():
    _, step, update = quadratic(rng=np.random.default_rng(7), max_gradient_elem=1e-3)
    update()
    r = np.random.default_rng(7)
    hr = HESSIAN @ np.concatenate([r.normal(size=2), r.normal(size=1)])
    np.testing.assert_allclose(step.state["x/d"].get_value(), (1 - G14) * hr[:2] ** 2, rtol=1e-10)


def test_esgd_is_seeded_and_reset():
    runs = []
    for _ in range(2):
        params, step, update = quadratic(rng=np.random.default_rng(3))
        assert list(step.generators) == ["rng"]
        for _ in range(4):
            update()
        runs.append(params[0].get_value())
    np.testing.assert_array_equal(*runs)
    step.reset()
    params[0].set_value(np.array([1.0, -2.0]))
    params[1].set_value(np.array([[0.5]]))
    for _ in range(4):
        update()
    np.testing.assert_array_equal(params[0].get_value(), runs[0])


def test_esgd_does_not_advance_the_generator():
    rng = np.random.default_rng(3)
    _, _, update = quadratic(rng=rng)
    update()
    assert rng.bit_generator.state == np.random.default_rng(3).bit_generator.state


def test_esgd_of_a_linear_loss_is_finite():
    w, b = (pytensor.shared(np.ones(2), name=n) for n in "wb")
    loss = pt.sum(3 * w) + pt.sum(b**2)
    step = optimizers.build("esgd").apply([w, b], pytensor.grad(loss, [w, b]), loss, "float64")
    pytensor.function([], [], updates=step.updates, mode="FAST_COMPILE")()
    assert np.isfinite(w.get_value()).all()
    w = pytensor.shared(np.ones(2), name="w")
    step = optimizers.build("esgd").apply([w], pytensor.grad(pt.sum(w), [w]), None, "float64")
    pytensor.function([], [], updates=step.updates, mode="FAST_COMPILE")()
    assert np.isfinite(w.get_value()).all()


# ---- all algorithms ----

RATES = {
    "rprop": 0.01,
    "adadelta": 1.0,
    "sgd": 2e-3,
    "momentum": 5e-4,
    "nag": 5e-4,
    "nesterov": 5e-4,
}


def descend(algo, make_loss, count, dtype="float64", **kwargs):
    x = pytensor.shared(np.array([-1.2, 1.0], dtype), name="x")
    loss = make_loss(x)
    step = optimizers.build(algo, **kwargs).apply(
        [x], pytensor.grad(loss, [x]), loss, dtype, np.random.default_rng(0)
    )
    update = pytensor.function([], loss, updates=step.updates, mode="FAST_COMPILE")
    return [float(update()) for _ in range(count)]


@pytest.mark.parametrize("algo", FIRST_ORDER)
def test_parabola(algo):
    losses = descend(algo, lambda x: pt.sum(x**2), 100)
    assert losses[-1] < losses[50] < losses[10] < losses[0]


@pytest.mark.parametrize("algo", FIRST_ORDER)
def test_rosenbrock(algo):
    def loss(x):
        return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2

    losses = descend(algo, loss, 300, learning_rate=RATES.get(algo, 0.01))
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.75 * losses[0]


OPTIONS = [
    {},
    {"momentum": 0.5, "nesterov": True, "decoupled_weight_decay": 0.1},
    {"max_gradient_elem": 1.0, "max_gradient_norm": 1.0, "max_global_norm": 1.0},
]


@pytest.mark.parametrize("algo", FIRST_ORDER)
@pytest.mark.parametrize("kwargs", OPTIONS)
@pytest.mark.parametrize("floatx", ["float32", "float64"])
def test_float32_everywhere(algo, kwargs, floatx):
    rng = np.random.default_rng(0)
    w = pytensor.shared(np.ones((1, 3), "float32"), name="w", shape=(1, None))
    b = pytensor.shared(np.ones(3, "float32"), name="b")
    with pytensor.config.change_flags(floatX=floatx):
        x = pt.matrix("x", dtype="float32")
        loss = pt.sum(pt.sqr(x * w + b))
        step = optimizers.build(algo, **kwargs).apply(
            [w, b], pytensor.grad(loss, [w, b]), loss, "float32", rng
        )
    assert {w, b} <= set(step.updates)
    for variable, expr in step.updates.items():
        assert variable.type.is_super(expr.type), variable
    inner = pytensor.graph.traversal.ancestors(
        [step.updates[v] for v in (w, b, *step.state.values())]
    )
    assert "float64" not in {v.dtype for v in inner if hasattr(v, "dtype")}
    for shared in (*step.state.values(), *step.hyper.values()):
        assert shared.dtype == "float32"
    assert all(shared.ndim == 0 for shared in step.hyper.values())
    update = pytensor.function([x], [], updates=step.updates, mode="FAST_COMPILE")
    update(np.ones((4, 3), "float32"))
    assert w.get_value().dtype == b.get_value().dtype == np.float32


def test_gradient_of_lesser_static_type():
    w = pytensor.shared(np.ones((1, 3)), name="w", shape=(1, 3))
    g = pt.matrix("g", dtype="float32")
    step = optimizers.build("adam").apply([w], [g], dtype="float64")
    assert all(v.type.is_super(e.type) for v, e in step.updates.items())
    pytensor.function([g], [], updates=step.updates, mode="FAST_COMPILE")(
        np.ones((1, 3), "float32")
    )
    np.testing.assert_allclose(w.get_value(), 1 - 1e-3, rtol=1e-6)


@pytest.mark.parametrize("algo", [a for a in FIRST_ORDER if a != "esgd"])
def test_reset(algo):
    params, step, update = compiled(algo, momentum=0.5)
    start = [p.get_value() for p in params]
    first = {name: var.get_value() for name, var in step.state.items()}
    ends = []
    for _ in range(2):
        for grads in gradients(4):
            update(*grads)
        ends.append([p.get_value() for p in params])
        assert any((var.get_value() != first[name]).any() for name, var in step.state.items())
        step.reset()
        for name, var in step.state.items():
            np.testing.assert_array_equal(var.get_value(), first[name])
        for p, value in zip(params, start):
            p.set_value(value)
    for one, two in zip(*ends):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("algo", ["rprop", "adam", "adadelta", "nag"])
def test_state_resumes_bit_for_bit(algo):
    params, step, update = compiled(algo)
    for grads in gradients(4):
        update(*grads)
    others, other, resumed = compiled(algo)
    for name, var in step.state.items():
        other.state[name].set_value(var.get_value())
    for a, b in zip(params, others):
        b.set_value(a.get_value())
    for grads in gradients(4, seed=9):
        update(*grads)
        resumed(*grads)
    for a, b in zip(params, others):
        np.testing.assert_array_equal(a.get_value(), b.get_value())


def test_state_names():
    _, step, _ = compiled("adam", momentum=0.5)
    assert set(step.state) == {"t", "w/m", "w/v", "w/velocity", "b/m", "b/v", "b/velocity"}
    assert set(step.hyper) == {"learning_rate", "beta1", "beta2", "rms_regularizer", "momentum"}


# ---- values, structure ----


def test_values_change_without_compiling():
    new = {"learning_rate": 0.2, "beta1": 0.3, "beta2": 0.4, "rms_regularizer": 0.5}
    params, step, update = compiled("adam")
    opt = optimizers.build("adam", **new)
    opt.assign(step)
    expected, _, other = compiled("adam", **new)
    for grads in gradients(3):
        update(*grads)
        other(*grads)
    for a, b in zip(params, expected):
        np.testing.assert_array_equal(a.get_value(), b.get_value())
    assert not np.allclose(params[0].get_value(), compiled("adam")[0][0].get_value())


@pytest.mark.parametrize(
    ("kwargs", "other"),
    [
        ({"momentum": 0.5}, {"momentum": 0.9}),
        ({"max_gradient_elem": 1}, {"max_gradient_elem": 1e-3}),
        ({"max_gradient_norm": 1}, {"max_gradient_norm": 1e-3}),
        ({"max_global_norm": 1}, {"max_global_norm": 1e-3}),
        ({"decoupled_weight_decay": 0.1}, {"decoupled_weight_decay": 0.9}),
    ],
)
def test_common_values_are_used(kwargs, other):
    params, step, update = compiled("sgd", **kwargs)
    optimizers.build("sgd", **other).assign(step)
    expected, _, reference = compiled("sgd", **other)
    for grads in gradients(3):
        update(*grads)
        reference(*grads)
    np.testing.assert_array_equal(params[0].get_value(), expected[0].get_value())


def test_set_rate():
    params, step, update = compiled("sgd", {"b": (1,)}, "float32", 0.0)
    step.set_rate(0.5)
    update(np.ones(1, "float32"))
    assert params[0].get_value() == -0.5


def test_cache_key():
    def key(algo, **kwargs):
        return optimizers.build(algo, **kwargs).cache_key()

    assert key("adam") == key("Adam", learning_rate=1, beta1=0.1, rms_regularizer=1)
    assert hash(key("adam")) == hash(key("adam", beta2=0.5))
    assert key("sgd", momentum=0.1) == key("momentum")
    different = [
        key("adam"),
        key("nadam"),
        key("adamw"),
        key("adam", momentum=0.1),
        key("adam", momentum=0.1, nesterov=True),
        key("adam", max_gradient_norm=1),
        key("adam", max_gradient_elem=1),
        key("adam", max_global_norm=1),
        key("rmsprop"),
        key("rmsprop", centered=True),
        key("l-bfgs"),
    ]
    assert len(set(different)) == len(different)
    assert key("adam", max_gradient_norm=None) == key("adam", max_gradient_norm=0)


def test_names_of_earlier_versions():
    adam = optimizers.build("adam")
    with pytest.warns(DeprecationWarning, match=r"structure of Adam is now cache_key\(\)"):
        assert adam.structure == adam.cache_key()
    penalty, metric = regularizers.WeightL2(0.1), metrics.Metric.registry["accuracy"]()
    for one in (penalty, metric, theanets.Regressor([1, 1]).layers[1]):
        with pytest.warns(DeprecationWarning, match=r"structure\(\) of .* is now cache_key\(\)"):
            assert str(one.structure()) == str(one.cache_key())
    with pytest.warns(DeprecationWarning, match="optimizers.Updates"):
        assert optimizers.Step is optimizers.Updates


def test_assign_refuses_other_transforms():
    _, step, _ = compiled("adam")
    with pytest.raises(ConfigurationError, match=r"AddMomentum.* made by"):
        optimizers.build("adam", momentum=0.5).assign(step)


def test_halflives():
    values = optimizers.build("adam", beta1_halflife=1, beta2_halflife=2).values
    assert values["beta1"] == pytest.approx(0.5)
    assert values["beta2"] == pytest.approx(0.5**0.5)
    values = optimizers.build("adam").values
    assert values["beta1"] == pytest.approx(np.exp(-np.log(2) / 7))
    assert values["beta2"] == pytest.approx(0.99000, abs=1e-5)
    assert optimizers.build("rmsprop").values["decay"] == pytest.approx(0.9517, abs=1e-4)
    _, step, _ = compiled("rmsprop", decay=0.25)
    assert step.hyper["decay"].get_value() == 0.25


def test_decays_stay_below_one_in_float32():
    _, step, update = compiled("adam", dtype="float32", beta2=1 - 1e-12)
    assert step.hyper["beta2"].get_value() < 1
    update(*[g.astype("float32") for g in gradients(1)[0]])


def test_default_rates():
    for name, rate in optimizers.LEARNING_RATES.items():
        assert optimizers.build(name).values["learning_rate"] == rate
        assert optimizers.build(name, learning_rate=None).values["learning_rate"] == rate


# ---- clipping ----


def clipped(grads, **kwargs):
    params, _, update = compiled("sgd", start=0.0, learning_rate=1.0, **kwargs)
    update(*grads)
    return [-p.get_value() for p in params]


def norm(*arrays):
    return np.sqrt(sum((a**2).sum() for a in arrays))


def test_clip_elements():
    grads = gradients(1)[0]
    for a, g in zip(clipped(grads, max_gradient_elem=0.3), grads):
        np.testing.assert_allclose(a, np.clip(g, -0.3, 0.3), atol=1e-12)


def test_clip_norm_per_parameter():
    w, b = gradients(1)[0]
    w, b = w / norm(w) * 5, b / norm(b) * 0.9
    got = clipped([w, b], max_gradient_norm=1.5)
    np.testing.assert_allclose(got[0], w * 0.3, atol=1e-12)
    np.testing.assert_allclose(got[1], b, atol=1e-12)


def test_clip_global_norm():
    w, b = gradients(1)[0]
    got = clipped([w, b], max_global_norm=0.5)
    np.testing.assert_allclose(got[0], w * 0.5 / norm(w, b), atol=1e-12)
    np.testing.assert_allclose(got[1], b * 0.5 / norm(w, b), atol=1e-12)
    for a, g in zip(clipped([w, b], max_global_norm=100), (w, b)):
        np.testing.assert_allclose(a, g, atol=1e-12)


def test_clip_elements_then_norms():
    w, b = gradients(1)[0]
    got = clipped([w, b], max_gradient_elem=0.3, max_gradient_norm=0.4, max_global_norm=0.5)
    first = [np.clip(g, -0.3, 0.3) for g in (w, b)]
    second = [g * min(1, 0.4 / norm(g)) for g in first]
    third = [g * min(1, 0.5 / norm(*second)) for g in second]
    assert norm(*first) > norm(*second) > norm(*third)
    for a, g in zip(got, third):
        np.testing.assert_allclose(a, g, atol=1e-12)


@pytest.mark.parametrize("algo", [a for a in FIRST_ORDER if a != "esgd"])
def test_zero_gradients(algo):
    params, _, update = compiled(
        algo,
        dtype="float32",
        start=2.0,
        max_gradient_norm=1,
        max_global_norm=1,
        decoupled_weight_decay=None if algo != "adamw" else 0,
    )
    for _ in range(3):
        update(*[np.zeros(s, "float32") for s in SHAPES.values()])
    for p in params:
        np.testing.assert_array_equal(p.get_value(), 2)


@pytest.mark.parametrize("old", ["gradient_clip", "max_gradient_clip"])
def test_deprecated_clipping(old):
    with pytest.warns(DeprecationWarning, match="max_gradient_elem"):
        opt = optimizers.build("sgd", **{old: 0.5})
    assert opt.values["max_gradient_elem"] == 0.5
    with pytest.raises(ConfigurationError, match=old):
        optimizers.build("sgd", max_gradient_elem=1, **{old: 0.5})


# ---- errors ----


@pytest.mark.parametrize(
    ("algo", "kwargs"),
    [
        ("sgd", {"learning_rate": 0}),
        ("sgd", {"learning_rate": -1}),
        ("sgd", {"learning_rate": float("nan")}),
        ("sgd", {"learning_rate": float("inf")}),
        ("sgd", {"learning_rate": "0.1"}),
        ("sgd", {"learning_rate": True}),
        ("sgd", {"learning_rate": [0.1, 0.2]}),
        ("sgd", {"momentum": 1}),
        ("sgd", {"momentum": -0.1}),
        ("sgd", {"nesterov": 2}),
        ("sgd", {"max_gradient_norm": -1}),
        ("sgd", {"max_gradient_elem": float("nan")}),
        ("sgd", {"decoupled_weight_decay": -1}),
        ("adam", {"beta1": 1.0}),
        ("adam", {"beta1_halflife": 0}),
        ("adam", {"beta2_halflife": -3}),
        ("adam", {"rms_regularizer": 0}),
        ("rmsprop", {"rms_halflife": "x"}),
        ("rmsprop", {"centered": "yes"}),
        ("rprop", {"rprop_increase": 0.9}),
        ("rprop", {"rprop_decrease": 1.1}),
        ("rprop", {"rprop_decrease": 0}),
        ("rprop", {"rprop_min_step": -1}),
        ("l-bfgs", {"history": 0}),
        ("l-bfgs", {"history": 2.5}),
        ("l-bfgs", {"tolerance": -1}),
    ],
)
def test_invalid_values(algo, kwargs):
    [(name, value)] = kwargs.items()
    with pytest.raises(ConfigurationError) as caught:
        optimizers.build(algo, **kwargs)
    assert f": {name}={value!r} is not " in str(caught.value)


def test_unknown_names():
    with pytest.raises(UnknownNameError, match="did you mean 'rmsprop'"):
        optimizers.build("rmsprob")
    with pytest.raises(ConfigurationError, match="did you mean 'learning_rate'"):
        optimizers.build("adam", lerning_rate=0.1)
    with pytest.raises(ConfigurationError, match="did you mean 'beta1_halflife'"):
        optimizers.build("adam", beta1_halflive=None)
    with pytest.raises(ConfigurationError, match="learning_rate"):
        optimizers.build("l-bfgs", learning_rate=0.1)
    with pytest.raises(ConfigurationError, match="only one"):
        optimizers.build("adam", beta1=0.9, beta1_halflife=7)
    with pytest.raises(UnknownNameError):
        optimizers.build(None)


def test_keywords():
    common = {"learning_rate", "learning_rate_schedule", "momentum", "nesterov", "gradient_clip"}
    assert common < optimizers.keywords("ADAM")
    assert "beta1_halflife" in optimizers.keywords("adam")
    assert "beta1" not in optimizers.keywords("sgd")
    assert optimizers.keywords("bfgs") == {"history", "tolerance", "gradient_tolerance"}
    assert optimizers.build("sgd").keywords() == optimizers.keywords(optimizers.SGD)


def test_build_takes_classes_and_instances():
    opt = optimizers.build(optimizers.Adam, learning_rate=0.5)
    assert optimizers.build(opt) is opt
    with pytest.raises(ConfigurationError, match="momentum"):
        optimizers.build(opt, momentum=0.5)
    assert "learning_rate=0.5" in repr(opt)


def test_invalid_params():
    opt = optimizers.build("sgd")
    x = pytensor.shared(np.ones(2), name="x")
    nameless, whole = pytensor.shared(np.ones(2)), pytensor.shared(np.arange(2), name="i")
    for params, grads, match in [
        ([], [], "no parameter"),
        ([x], [], "1 params but 0"),
        ([x, x], [x, x], "twice"),
        ([nameless], [x], "empty"),
        ([whole], [x], "int64"),
    ]:
        with pytest.raises(ConfigurationError, match=match):
            opt.apply(params, grads)


def test_schedule():
    opt = optimizers.build("sgd", learning_rate_schedule={"form": "cosine", "total": 4})
    assert isinstance(opt.schedule, Cosine)
    assert optimizers.build("sgd").schedule.factor(3, 4) == 1
    with pytest.raises(UnknownNameError, match="cosine"):
        optimizers.build("sgd", learning_rate_schedule="cosin")


def test_algorithm_of_ones_own():
    @dataclass(frozen=True)
    class ScaleBySignOnly(optimizers.Transform):
        def __call__(self, steps, params, state):
            mix = state.hyper("mix")
            results = []
            for g, param in zip(steps, params):
                m = state.zeros(param, "m")
                new = state.update(m, mix * m + (state.constant(1) - mix) * g)
                results.append(pt.sign(new))
            return results

    class SignsOnly(optimizers.FirstOrder):
        default_rate = 0.5
        hypers = (optimizers.Hyper("mix", 0.9, "fraction"),)

        def scale(self):
            return [ScaleBySignOnly()]

    params, step, update = compiled("signsonly", {"b": (2,)}, start=0.0, mix=0.25)
    update(np.array([2.0, -3.0]))
    np.testing.assert_array_equal(params[0].get_value(), [-0.5, 0.5])
    np.testing.assert_array_equal(step.state["b/m"].get_value(), [1.5, -2.25])


# ---- L-BFGS ----


def rosenbrock(x):
    return optimize.rosen(x), optimize.rosen_der(x)


START = np.array([1.3, 0.7, 0.8, 1.9])


def lbfgs_threads():
    return [t for t in threading.enumerate() if t.name == "l-bfgs"]


def drain(iterator):
    seen = []
    while True:
        try:
            seen.append(next(iterator))
        except StopIteration as stop:
            return seen, stop.value


def test_lbfgs_equals_scipy():
    path = []
    expected = optimize.minimize(
        rosenbrock, START, jac=True, method="L-BFGS-B", callback=lambda x: path.append(x.copy())
    )
    opt = optimizers.build("L-BFGS")
    assert not opt.first_order
    assert optimizers.build("sgd").first_order
    seen, message = drain(opt.iterate(rosenbrock, START))
    assert len(seen) == len(path) == expected.nit
    for (x, value), other in zip(seen, path):
        np.testing.assert_array_equal(x, other)
        assert value == optimize.rosen(x)
    np.testing.assert_array_equal(seen[-1][0], expected.x)
    assert message == str(expected.message)
    assert not lbfgs_threads()


def test_lbfgs_options():
    expected = optimize.minimize(
        rosenbrock,
        START,
        jac=True,
        method="L-BFGS-B",
        options={"maxcor": 2, "ftol": 1e-3, "gtol": 1e-2},
    )
    opt = optimizers.build("bfgs", history=2, tolerance=1e-3, gradient_tolerance=1e-2)
    seen, _ = drain(opt.iterate(rosenbrock, START))
    np.testing.assert_array_equal(seen[-1][0], expected.x)
    assert len(seen) == expected.nit
    seen, message = drain(lbfgs.iterate(rosenbrock, START, 3))
    assert len(seen) == 3
    assert "ITERATIONS" in message.upper()


def test_lbfgs_yields_copies():
    for x, _ in lbfgs.iterate(rosenbrock, START):
        end = x.copy()
        x[:] = 100
    np.testing.assert_allclose(end, 1, atol=1e-4)


def test_lbfgs_alternates():
    """The objective is never evaluated while the consumer has control."""
    busy = threading.Event()
    overlaps = []

    def objective(x):
        overlaps.append(busy.is_set())
        return rosenbrock(x)

    iterator = lbfgs.iterate(objective, START)
    assert not lbfgs_threads()
    for _ in iterator:
        busy.set()
        threading.Event().wait(0.002)
        busy.clear()
    assert len(overlaps) > 10
    assert not any(overlaps)


def test_lbfgs_closed_early():
    calls = []

    def objective(x):
        calls.append(1)
        return rosenbrock(x)

    iterator = lbfgs.iterate(objective, START)
    next(iterator)
    next(iterator)
    assert len(lbfgs_threads()) == 1
    count = len(calls)
    iterator.close()
    assert not lbfgs_threads()
    assert len(calls) == count


@pytest.mark.parametrize("kind", [ZeroDivisionError, KeyboardInterrupt])
def test_lbfgs_exception_in_the_objective(kind):
    calls = []

    def objective(x):
        calls.append(1)
        if len(calls) == 6:
            raise kind("here")
        return rosenbrock(x)

    with pytest.raises(kind, match="here"):
        drain(lbfgs.iterate(objective, START))
    assert not lbfgs_threads()


def test_lbfgs_exception_in_the_consumer():
    iterator = lbfgs.iterate(rosenbrock, START)
    next(iterator)
    with pytest.raises(KeyboardInterrupt):
        iterator.throw(KeyboardInterrupt)
    assert not lbfgs_threads()


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
def test_lbfgs_interrupted_while_waiting():
    """An interruption of the waiting thread ends the worker after its present evaluation."""
    interrupted = threading.Event()
    calls = []

    def handler(number, frame):
        interrupted.set()
        raise KeyboardInterrupt

    def objective(x):
        calls.append(1)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        assert interrupted.wait(60)
        threading.Event().wait(0.1)
        return rosenbrock(x)

    before = signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            drain(lbfgs.iterate(objective, START))
    finally:
        signal.signal(signal.SIGINT, before)
    assert not lbfgs_threads()
    assert len(calls) == 1


def test_lbfgs_in_float32():
    def objective(x):
        value, gradient = rosenbrock(x)
        return np.float32(value), gradient.astype("float32")

    seen, _ = drain(lbfgs.iterate(objective, START.astype("float32")))
    assert seen[-1][0].dtype == np.float64
    assert seen[-1][1] < 1e-4


def test_lbfgs_keeps_numpys_error_state():
    def objective(x):
        np.float64(1.0) / np.float64(0.0)
        return rosenbrock(x)

    with np.errstate(divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert drain(lbfgs.iterate(objective, START, 2))[0]
