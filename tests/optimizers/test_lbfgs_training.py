"""Training by L-BFGS, on all data at once."""

import threading

import numpy as np
import pytest

import theanets
from theanets.errors import ConfigurationError


def linear(n=50, noise=0.5):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 3))
    return x, x @ rng.normal(size=(3, 2)) + 1 + noise * rng.normal(size=(n, 2))


def solve(x, y, w=None, ridge=0.0):
    """Minimize the weighted mean squared error, plus ``ridge`` times the mean square of the w."""
    ones = np.hstack([x, np.ones((len(x), 1))])
    w = np.ones_like(y) if w is None else w
    penalty = np.diag([ridge / 6] * 3 + [0.0])
    columns = []
    for j in range(y.shape[1]):
        scaled = ones * (w[:, j] / w.sum())[:, None]
        columns.append(
            np.linalg.solve(scaled.T @ ones + penalty, scaled.T @ np.nan_to_num(y)[:, j])
        )
    return np.array(columns).T


def check(net, solution, atol=1e-4):
    np.testing.assert_allclose(net.find("out.w").get_value(), solution[:3], atol=atol)
    np.testing.assert_allclose(net.find("out.b").get_value(), solution[3], atol=atol)


def threads():
    return [t for t in threading.enumerate() if t.name == "l-bfgs"]


@pytest.fixture(autouse=True)
def no_threads_are_left():
    yield
    assert threads() == []


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kwargs", [{}, {"batch_size": 7}, {"validate_every": 50}])
def test_least_squares(dtype, kwargs):
    x, y = linear()
    solution, *_ = np.linalg.lstsq(np.hstack([x, np.ones((50, 1))]), y, rcond=None)
    np.testing.assert_allclose(solve(x, y), solution)
    net = theanets.Regressor([3, 2], dtype=dtype)
    train, valid = net.train([x, y], algo="l-bfgs", patience=None, **kwargs)
    check(net, solution, 1e-3 if dtype == "float32" else 1e-4)
    assert net.history.stop_reason == "converged"
    assert train == net.evaluate([x, y])
    assert valid == net.evaluate([x, y])
    assert net.history["valid_loss"][-1] is not None
    assert net.history["updates"] == list(range(1, len(net.history) + 1))


def test_weighted_targets_in_several_chunks():
    x, y = linear()
    rng = np.random.default_rng(1)
    w = rng.integers(0, 4, size=y.shape).astype(float)
    w[:20] *= 10  # so that chunks have different sums
    y[w == 0] = np.nan
    net = theanets.Regressor([3, 2], weighted=True, dtype="float64")
    net.train([x, y, w], algo="l-bfgs", batch_size=12, patience=None)
    check(net, solve(x, y, w))
    unweighted = solve(x, np.where(w == 0, 0, y))
    assert abs(net.find("out.w").get_value() - unweighted[:3]).max() > 0.01


@pytest.mark.parametrize(
    ("batch_size", "batches", "used"), [(50, None, 50), (9, None, 50), (9, 3, 27)]
)
def test_penalties_count_once(batch_size, batches, used):
    x, y = linear()
    net = theanets.Regressor([3, 2], dtype="float64")
    kwargs = dict(weight_l2=0.25, penalty_scale=2.0)
    kwargs.update(batch_size=batch_size, train_batches=batches, patience=None)
    for _ in net.itertrain([x, y], algo="l-bfgs", **kwargs):
        # At the end these are no longer it: validation is without penalties.
        last = {p.name: p.get_value() for p in net.params}
    for param in net.params:
        param.set_value(last[param.name])
    check(net, solve(x[:used], y[:used], ridge=0.5))
    row = net.history.rows[-1]
    w = net.find("out.w").get_value()
    assert row["train_loss"] == pytest.approx(row["train_mse"] + 0.5 * np.mean(w**2), rel=1e-6)


def test_several_losses():
    # With mse twice on the same target, 1/4 and 3/4, the solution is the same.
    x, y = linear()
    net = theanets.Regressor([3, 2], dtype="float64", loss=dict(form="mse", weight=0.25))
    net.add_loss("mse", weight=0.75)
    net.train([x, y], algo="l-bfgs", batch_size=9, patience=None)
    check(net, solve(x, y))
    assert net.history["train_loss"][-1] == pytest.approx(net.evaluate([x, y])["mse:out:target:1"])


def test_limits():
    x, y = linear()
    for limit in ("epochs", "max_updates"):
        net = theanets.Regressor([3, 4, 2])
        net.train([x, y], algo="l-bfgs", **{limit: 3})
        assert net.history["updates"] == [1, 2, 3]
        assert net.history.stop_reason == {"epochs": "epochs", "max_updates": "updates"}[limit]
        assert net.history["train_loss"] == sorted(net.history["train_loss"], reverse=True)


def test_at_the_solution_there_is_nothing_to_do():
    x, y = linear()
    net = theanets.Regressor([3, 2], dtype="float64")
    solution = solve(x, y)
    net.find("out.w").set_value(solution[:3])
    net.find("out.b").set_value(solution[3])
    assert list(net.itertrain([x, y], algo="l-bfgs")) == []
    assert net.history.stop_reason == "converged"
    check(net, solution, 1e-12)


def test_callbacks_and_stopping():
    class Stop(theanets.Callback):
        def batch(self, run):
            if run.updates == 2:
                run.stop("enough")

    net = theanets.Regressor([3, 4, 2])
    net.train(linear(), algo="l-bfgs", callbacks=Stop())
    assert (net.history.stop_reason, len(net.history)) == ("enough", 2)


class InThread(theanets.Callback):
    def __init__(self, error):
        self.error = error

    def epoch(self, run):
        if run.epoch == 2:
            assert threads()
            raise self.error


def test_interruptions_leave_no_thread():
    net = theanets.Regressor([3, 4, 2])
    net.train(linear(), algo="l-bfgs", callbacks=InThread(KeyboardInterrupt))
    assert net.history.stop_reason == "interrupted"
    assert threads() == []
    with pytest.raises(OSError, match="disk"):
        net.train(linear(), algo="l-bfgs", callbacks=InThread(OSError("disk")))
    assert threads() == []
    for i, _ in enumerate(net.itertrain(linear(), algo="l-bfgs")):
        assert threads()
        if i == 1:
            break
    assert threads() == []
    assert net.evaluate(linear())["loss"] == min(net.history["valid_loss"])
    # Never started.
    net.itertrain(linear(), algo="l-bfgs")
    assert threads() == []


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"hidden_dropout": 0.1}, "dropout"),
        ({"input_noise": 0.1}, "noise"),
        ({"learning_rate": 0.1}, "learning_rate"),
        ({"momentum": 0.1}, "momentum"),
        ({"checkpoint": "x.ckpt"}, "checkpoint"),
    ],
)
def test_what_it_cannot_do(kwargs, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = theanets.Regressor([3, 4, 2])
    with pytest.raises(ConfigurationError, match=message):
        net.train(linear(), algo="l-bfgs", **kwargs)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [lambda: linear(), iter([linear()])])
def test_data_that_come_in_batches_are_refused(data):
    net = theanets.Regressor([3, 4, 2])
    with pytest.raises(ConfigurationError, match="arrays"):
        net.train(data, linear(), algo="l-bfgs")
