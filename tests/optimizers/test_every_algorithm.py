"""What all algorithms have in common."""

from __future__ import annotations

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from optimizer_cases import FIRST_ORDER, compiled, gradients

from theanets import optimizers

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
