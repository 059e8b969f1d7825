"""Optimizers: every update rule against an independent NumPy twin."""

from __future__ import annotations

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from optimizer_cases import FIRST_ORDER, compiled, gradients

from theanets import optimizers

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
