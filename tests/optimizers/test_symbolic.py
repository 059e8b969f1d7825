"""The updates of an algorithm alone, for a loop of one's own."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import theanets
from theanets import optimizers


def problem(dtype="float64", names=("w", "w")):
    """Get a cost with two parameters, of one name, and its input."""
    x = pt.matrix("x", dtype=dtype)
    w = pytensor.shared(np.ones((3, 2), dtype), names[0])
    b = pytensor.shared(np.zeros(2, dtype), names[1])
    return pt.sqr(pt.tanh(x @ w) + b - 0.5).mean(), [w, b], x


ALGORITHMS = ["sgd", "adam", "rmsprop", "nag", "adadelta", "rprop", "adamw", "momentum"]


@pytest.mark.parametrize("names", [("w", "b"), ("w", "w"), (None, None)])
@pytest.mark.parametrize("algo", ALGORITHMS)
def test_steps_are_those_of_the_algorithm(algo, names):
    """Any names of parameters: the steps are those of what has distinct names."""
    batches = np.random.default_rng(0).normal(size=(5, 8, 3))
    cost, params, x = problem(names=names)
    found = optimizers.updates(cost, params, algo, learning_rate=0.01)
    step = pytensor.function([x], cost, updates=found)
    for batch in batches:
        step(batch)
    cost, twins, x = problem(names=("w", "b"))
    made = optimizers.build(algo, learning_rate=0.01).apply(
        twins, pytensor.grad(cost, twins), cost, dtype="float64"
    )
    step = pytensor.function([x], cost, updates=made.updates)
    for batch in batches:
        step(batch)
    for param, twin in zip(params, twins, strict=True):
        assert not np.array_equal(param.get_value(), problem()[1][param.ndim - 2].get_value())
        np.testing.assert_allclose(param.get_value(), twin.get_value(), rtol=1e-12)


def test_lasagne_style_sgd_by_hand():
    cost, (w, b), x = problem("float32")
    found = optimizers.updates(cost, algo="sgd", learning_rate=0.5)
    assert list(found) == [b, w] or list(found) == [w, b]
    batch = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    gradient = pytensor.grad(cost, w).eval({x: batch})
    before = w.get_value()
    pytensor.function([x], [], updates=found)(batch)
    np.testing.assert_allclose(w.get_value(), before - 0.5 * gradient, rtol=1e-6)
    assert w.get_value().dtype == np.float32


@pytest.mark.parametrize("algo", ["sgd", "adam"])
def test_a_symbolic_learning_rate(algo):
    """A shared variable that the loop sets, or an expression of it."""
    rate = pytensor.shared(0.25, "rate")
    ends = []
    for given in (rate, rate * 1.0, 0.25):
        w = pytensor.shared(2.0, "w")
        step = pytensor.function(
            [], updates=optimizers.updates(pt.sqr(w), w, algo, learning_rate=given)
        )
        step()
        ends.append(float(w.get_value()))
    assert ends[0] == pytest.approx(ends[2])
    assert ends[1] == pytest.approx(ends[2])
    w = pytensor.shared(2.0, "w")
    step = pytensor.function(
        [], updates=optimizers.updates(pt.sqr(w), w, "sgd", learning_rate=rate)
    )
    rate.set_value(0.0)
    step()
    assert w.get_value() == 2
    rate.set_value(0.5)
    step()
    assert w.get_value() == pytest.approx(0)


def test_random_numbers_of_an_algorithm_have_a_seed():
    def run(seed):
        cost, params, x = problem()
        found = optimizers.updates(cost, params, "esgd", learning_rate=0.01, rng=seed)
        step = pytensor.function([x], updates=found)
        for batch in np.random.default_rng(0).normal(size=(5, 8, 3)):
            step(batch)
        return params[0].get_value()

    np.testing.assert_array_equal(run(1), run(1))
    assert not np.array_equal(run(1), run(2))


def test_clipping_and_momentum():
    w = pytensor.shared(3.0, "w")
    found = optimizers.updates(
        pt.sqr(w), algo="sgd", learning_rate=1.0, max_global_norm=0.5, momentum=0.9
    )
    step = pytensor.function([], updates=found)
    step()
    assert w.get_value() == pytest.approx(2.5)
    step()
    assert w.get_value() == pytest.approx(2.5 - 0.5 - 0.9 * 0.5)


w = pytensor.shared(2.0, "w")


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        ([pt.sqr(w), w, "l-bfgs"], {}, "no single steps"),
        ([pt.sqr(w), w, "adm"], {}, "'adam'"),
        ([pt.sqr(w), w], {"beta3": 1}, "beta3"),
        ([pt.sqr(w), w], {"learning_rate_schedule": "cosine"}, "needs a loop"),
        ([pt.sqr(w), w], {"learning_rate": pt.vector()}, "expected a number, or a symbolic"),
        ([pt.sqr(w), w], {"learning_rate": -1.0}, "not a positive number"),
        ([pt.stack([w, w]), w], {}, "cost has 1 dimension"),
        ([pt.sqr(w), [pytensor.shared(1.0, "v")]], {}, r"does not depend on params\[0\], 'v'"),
    ],
)
def test_refused(arguments, keywords, message):
    with pytest.raises(theanets.ConfigurationError, match=message):
        optimizers.updates(*arguments, **keywords)
