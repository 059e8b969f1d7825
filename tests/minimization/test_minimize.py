"""Minimizing an expression: the loop of training around a cost that is no network's."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import theanets
from theanets.minimization import Minimum


def line(dtype="float64"):
    """Get variables and parameters of a line, its cost, and 50 points on another."""
    x, y = pt.vector("x", dtype=dtype), pt.vector("y", dtype=dtype)
    a, b = (pytensor.shared(np.zeros((), dtype), name) for name in "ab")
    generator = np.random.default_rng(0)
    xs = generator.normal(size=50)
    ys = 3 * xs + 1 + generator.normal(size=50) / 10
    return [x, y], [a, b], pt.sqr(a * x + b - y).mean(), [xs, ys]


def least_squares(data):
    return np.polyfit(*data, 1)


def values(params):
    return [param.get_value() for param in params]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("algo", ["adam", "l-bfgs"])
def test_a_line_is_that_of_least_squares(algo, dtype):
    inputs, params, cost, data = line(dtype)
    keywords = {} if algo == "l-bfgs" else {"learning_rate": 0.1, "batch_size": 50}
    found = theanets.minimize(
        cost, params, inputs, data, algo=algo, epochs=300, patience=None, **keywords
    )
    np.testing.assert_allclose(values(params), least_squares(data), rtol=1e-4)
    residual = np.mean((np.polyval(least_squares(data), data[0]) - data[1]) ** 2)
    assert found.train["loss"] == pytest.approx(residual, rel=1e-5)
    assert params[0].get_value().dtype == dtype


def test_what_comes_back_is_what_train_gives():
    inputs, params, cost, data = line()
    valid = [data[0][:7], data[1][:7]]
    found = theanets.minimize(cost, inputs=inputs, train=data, valid=valid, epochs=2)
    assert isinstance(found, tuple)
    assert isinstance(found, Minimum)
    train, valid_monitors = found
    assert (train, valid_monitors) == (found.train, found.valid)
    assert isinstance(found.history, theanets.History)
    assert found.history.stop_reason == "epochs"
    assert len(found.history) == 2
    a, b = values(params)
    for monitors, (x, y) in ((train, data), (valid_monitors, valid)):
        assert monitors["loss"] == pytest.approx(np.mean((a * x + b - y) ** 2))
    assert set(train) == {"loss", "err", "cost"}


def test_batches_of_unequal_sizes_weigh_by_their_rows():
    """The mean over rows, whatever the size of the batches that it is computed in."""
    inputs, _, cost, data = line()
    found = theanets.minimize(
        cost,
        inputs=inputs,
        train=data,
        valid=([part[i : i + 15] for part in data] for i in range(0, 50, 15)),
        valid_batches=4,
        epochs=0,
        monitors={"error": abs(inputs[1]), "level": abs(inputs[1]).mean()},
    )
    assert found.valid["loss"] == pytest.approx(np.mean(data[1] ** 2))
    assert found.valid["error"] == pytest.approx(np.mean(abs(data[1])))
    assert found.valid["level"] == pytest.approx(np.mean(abs(data[1])))


def test_l_bfgs_is_exact_over_several_batches():
    """The last of which has fewer rows: the mean over rows is that of all."""
    inputs, params, cost, (x, y) = line()
    theanets.minimize(cost, inputs=inputs, train=[x, y], algo="l-bfgs", batch_size=15)
    np.testing.assert_allclose(values(params), least_squares([x, y]), rtol=1e-5)


@pytest.mark.parametrize("kind", ["list", "dict", "generator", "callable", "pandas"])
def test_data_in_any_form(kind):
    inputs, params, cost, (x, y) = line()

    def batches():
        for i in range(0, 50, 10):
            yield {"y": y[i : i + 10], "x": x[i : i + 10]}

    if kind == "pandas":
        pandas = pytest.importorskip("pandas")
    data = {
        "list": lambda: [list(x), y],
        "dict": lambda: {"y": y, "x": x},
        "generator": lambda: [*batches()].__iter__(),
        "callable": lambda: lambda: next(batches()),
        "pandas": lambda: {"x": pandas.Series(x), "y": pandas.Series(y)},
    }[kind]()
    found = theanets.minimize(
        cost, params, inputs, data, epochs=1, learning_rate=0.1, train_batches=2
    )
    assert found.history.rows[0]["updates"] == 2
    assert all(abs(value) > 0.1 for value in values(params))


def test_without_inputs_an_epoch_is_a_hundred_updates():
    w = pytensor.shared(np.zeros(3))
    found = theanets.minimize(pt.sqr(w - [1.0, 2, 3]).sum(), learning_rate=0.05, epochs=4)
    assert [row["updates"] for row in found.history.rows] == [100, 200, 300, 400]
    np.testing.assert_allclose(w.get_value(), [1, 2, 3], atol=1e-2)
    assert w.name is None


def test_without_inputs_an_iteration_of_l_bfgs_is_an_epoch():
    w = pytensor.shared(np.array([-1.0, 1.5]))
    rosenbrock = pt.sqr(1 - w[0]) + 100 * pt.sqr(w[1] - pt.sqr(w[0]))
    found = theanets.minimize(rosenbrock, algo="l-bfgs", gradient_tolerance=1e-9)
    np.testing.assert_allclose(w.get_value(), [1, 1], atol=1e-6)
    assert found.history.stop_reason == "converged"
    assert found.history.rows[-1]["updates"] == len(found.history)


def test_costs_share_nothing_that_was_compiled():
    """Two of one form are told apart, be it by what they are or by their parameters' names."""
    for power in (2, 4):
        for name in ("v", "w"):
            variable = pytensor.shared(1.0, name)
            found = theanets.minimize((variable - 3) ** power, epochs=0)
            assert found.train["loss"] == pytest.approx(2**power)


def test_iterminimize_yields_what_itertrain_does():
    inputs, params, cost, data = line()
    keywords = {"epochs": 3, "rng": 4}
    pairs = list(theanets.iterminimize(cost, inputs=inputs, train=data, **keywords))
    assert len(pairs) == 3
    after = values(params)
    for param in params:
        param.set_value(np.zeros(()))
    found = theanets.minimize(cost, inputs=inputs, train=data, **keywords)
    assert values(params) == after
    assert pairs[-1][1] == found.valid


def test_leaving_the_iteration_restores_the_best():
    w = pytensor.shared(1.0, "w")
    for _ in theanets.iterminimize(pt.sqr(w), algo="sgd", learning_rate=3.0, train_batches=1):
        assert abs(w.get_value()) > 1
        break
    assert w.get_value() == 1


def test_the_whole_loop(tmp_path):
    """Patience, a criterion, schedules, clipping, callbacks, a limit of time."""
    inputs, _, cost, data = line()
    rates, seen = [], []

    def watch(run):
        rates.append(run.learning_rate)
        seen.append(run.valid["mae"])

    found = theanets.minimize(
        cost,
        inputs=inputs,
        train=data,
        validation_split=0.2,
        monitors={"mae": abs(cost)},
        criterion=("mae", "min"),
        learning_rate_schedule={"form": "exponential", "decay": 0.5},
        max_global_norm=1,
        monitor_gradients=True,
        callbacks=[watch, theanets.callbacks.CSVLogger(tmp_path / "log.csv")],
        patience=2,
        epochs=5,
        max_seconds=60,
    )
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > rates[-1]
    assert found.valid["mae"] == min(seen)
    assert "train_grad(a)" in found.history.rows[0]
    assert len((tmp_path / "log.csv").read_text().splitlines()) == len(found.history) + 1


def test_a_run_continues_from_its_checkpoint_bit_for_bit(tmp_path):
    def run(**keywords):
        inputs, params, cost, data = line()
        draws = pt.random.shared_rng(np.random.default_rng(1), name="draws")
        following, noise = draws.normal(size=inputs[0].shape)
        noisy = cost + (params[0] * noise).mean()
        found = theanets.minimize(
            noisy, params, inputs, data, updates={draws: following}, rng=3, **keywords
        )
        return [*values(params), found.train]

    whole = run(epochs=4)
    path = tmp_path / "run.ckpt"
    run(epochs=2, checkpoint=path)
    assert run(epochs=4, checkpoint=path) == whole
    w = pytensor.shared(np.zeros(()), "a")
    with pytest.raises(theanets.FileError, match="another run"):
        theanets.minimize(pt.sqr(w), checkpoint=path)


def test_a_checkpoint_knows_its_cost(tmp_path):
    path = tmp_path / "run.ckpt"
    w = pytensor.shared(np.zeros(3), "w")
    target = np.arange(3.0)
    theanets.minimize(pt.sqr(w - target).sum(), epochs=1, checkpoint=path, rng=1)
    theanets.minimize(pt.sqr(w - target).sum(), epochs=2, checkpoint=path, rng=1)
    for other in (pt.sqr(w - target - 1).sum(), pt.sqr(w - target).mean(), abs(w - target).sum()):
        with pytest.raises(theanets.FileError, match=r"losses\[0\].digest"):
            theanets.minimize(other, epochs=2, checkpoint=path, rng=1)


def test_several_algorithms_one_after_the_other():
    inputs, params, cost, data = line()
    found = theanets.minimize(cost, inputs=inputs, train=data, algo=["adam", "l-bfgs"], epochs=20)
    np.testing.assert_allclose(values(params), least_squares(data), rtol=1e-5)
    assert len(found.history) <= 20
