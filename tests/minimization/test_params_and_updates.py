"""What is trained, and what else a step changes: by default, by name, and at random."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import theanets


def test_by_default_all_that_the_cost_has_a_gradient_for():
    a, b, c = (pytensor.shared(2.0, name) for name in "abc")
    count = pytensor.shared(3, "count")
    level = pytensor.shared(5.0, "level")
    cost = pt.sqr(a - 1) * count + pt.floor(b) + pt.switch(level > 1, a, 0.0) + c * 0
    theanets.minimize(cost, epochs=1, train_batches=3)
    assert a.get_value() != 2
    assert [v.get_value() for v in (b, count, level)] == [2, 3, 5]


def test_only_those_that_are_named_change():
    a, b = pytensor.shared(2.0, "a"), pytensor.shared(2.0, "b")
    theanets.minimize(pt.sqr(a) + pt.sqr(b), a, epochs=1, train_batches=3)
    assert a.get_value() < 2
    assert b.get_value() == 2


def test_variables_of_one_name_and_without_names_keep_theirs():
    params = [pytensor.shared(np.ones(n), name) for n, name in ((1, "w"), (2, "w"), (3, None))]
    cost = sum(pt.sqr(p - i).sum() for i, p in enumerate(params))
    found = theanets.minimize(cost, monitor_gradients=True, epochs=8, learning_rate=0.05)
    assert {"train_grad(w)", "train_grad(w:2)", "train_grad(param)"} <= set(found.history.rows[0])
    for i, param in enumerate(params):
        np.testing.assert_allclose(param.get_value(), i, atol=1e-2)
    assert [param.name for param in params] == ["w", "w", None]


def test_what_a_network_keeps_is_not_trained():
    """Running means, and the weights of losses in ``net.loss()``, are no parameters."""
    net = theanets.Regressor([3, 4, "batch_norm", 1], rng=1, dtype="float64")
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(20, 3)), generator.normal(size=(20, 1))
    before = [v.get_value() for v in net.state]
    assert before
    cost = net.loss(weight_l2=0.1)
    start = net.evaluate([x, y], weight_l2=0.1)["loss"]
    theanets.minimize(cost, inputs=net.variables, train=[x, y], epochs=10)
    assert net.evaluate([x, y], weight_l2=0.1)["loss"] < start
    for variable, value in zip(net.state, before, strict=True):
        np.testing.assert_array_equal(variable.get_value(), value)
    # The same as to train by the network's own means, as nothing else moved.
    assert float(cost.eval(dict(zip(net.variables, [x, y], strict=True)))) == pytest.approx(
        net.evaluate([x, y], weight_l2=0.1)["loss"]
    )


def test_the_states_of_a_network_are_updated_when_asked_for():
    net = theanets.Regressor([3, 4, "batch_norm", 1], rng=1, dtype="float64")
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(64, 3)) + 5, generator.normal(size=(64, 1))
    outputs = net.outputs(training=True)
    target = pt.matrix("y")
    cost = pt.sqr(outputs["out:out"] - target).mean()
    theanets.minimize(
        cost, inputs=[*net.inputs, target], train=[x, y], epochs=20, updates=outputs.updates
    )
    means = [v.get_value() for v in net.state if v.name.endswith("mean")]
    assert means
    assert any(np.abs(mean).max() > 0.5 for mean in means)


DEFAULT = pytest.mark.filterwarnings("ignore:Setting default_update is deprecated")


@DEFAULT
def test_updates_of_the_users():
    w, count = pytensor.shared(5.0, "w"), pytensor.shared(np.int64(0), "count")
    theanets.minimize(
        pt.sqr(w), updates=[(count, count + 1)], epochs=2, algo="sgd", learning_rate=0.001
    )
    assert count.get_value() == 200  # the best are the last
    default = pytensor.shared(0.0, "sum")
    default.default_update = default + 1
    theanets.minimize(pt.sqr(w) + 0 * default, epochs=1, train_batches=7)
    assert default.get_value() == 7


def noisy():
    """Get a cost whose mean over draws is that of (m - 1)^2, and its parameter and generator."""
    m = pytensor.shared(0.0, "m")
    generator = pt.random.shared_rng(np.random.default_rng(5), name="noise")
    following, noise = generator.normal(size=(20,))
    return pt.sqr(m - 1 + noise).mean(), m, generator, following


def test_random_variables_draw_anew_in_each_step_and_the_same_to_validate():
    cost, _, generator, following = noisy()
    found = theanets.minimize(
        cost,
        updates={generator: following},
        algo="sgd",
        learning_rate=1e-9,
        train_batches=1,
        epochs=3,
    )
    steps = [row["train_loss"] for row in found.history.rows]
    twin = np.random.default_rng(5)
    expected = [np.mean((twin.normal(size=20) - 1) ** 2) for _ in range(3)]
    np.testing.assert_allclose(steps, expected, rtol=1e-6)
    assert np.ptp([row["valid_loss"] for row in found.history.rows]) < 1e-6 < np.ptp(steps)
    # It goes on from there.
    after = generator.get_value(borrow=True).normal(size=2)
    np.testing.assert_array_equal(after, twin.normal(size=2))


@DEFAULT
def test_default_updates_of_random_variables_are_respected():
    cost, _, generator, following = noisy()
    generator.default_update = following
    found = theanets.minimize(cost, algo="sgd", learning_rate=1e-9, train_batches=1, epochs=3)
    assert np.ptp([row["train_loss"] for row in found.history.rows]) > 1e-3


def test_a_seed_starts_the_generators_of_a_cost_anew():
    cost, m, generator, following = noisy()

    def run():
        m.set_value(0.0)
        theanets.minimize(cost, updates={generator: following}, epochs=1, rng=7)
        return m.get_value()

    assert run() == run()


def test_l_bfgs_draws_the_same_numbers_throughout():
    cost, m, generator, following = noisy()
    state = generator.get_value().bit_generator.state
    found = theanets.minimize(cost, updates={generator: following}, algo="l-bfgs")
    assert found.history.stop_reason == "converged"
    assert generator.get_value().bit_generator.state == state
    twin = np.random.default_rng(5).normal(size=20)
    assert m.get_value() == pytest.approx(1 - twin.mean())


def test_a_generator_that_stays_is_said():
    cost, _, generator, _ = noisy()
    with pytest.warns(UserWarning, match=r"each step draws the same numbers from 'noise'"):
        theanets.minimize(cost, epochs=1)
    theanets.minimize(cost, epochs=1, updates={generator: generator})
