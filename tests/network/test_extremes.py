"""Numbers that are too large, too small or NaN: said, and never taken for a result."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import theanets
from theanets.expressions import joint_norm

RNG = np.random.default_rng(5)
X, Y = RNG.normal(size=(20, 3)), RNG.normal(size=(20, 2))
TRAIN = dict(algo="sgd", learning_rate=0.1, batch_size=5, progress=False)


def regressor(*hidden, **kwargs):
    return theanets.Regressor([3, *hidden, 2], rng=4, **kwargs)


def values(net):
    return [p.get_value() for p in [*net.params, *net.state]]


# ---- norms whose squares overflow ----------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [0.0, 1e-30, 1.0, 1e18, "large"])
def test_norms_of_any_size(dtype, size):
    size = {"float32": 1e38, "float64": 1e307}[dtype] if size == "large" else size
    parts = [RNG.uniform(-1, 1, size=shape) for shape in [(4, 5), (3,)]]
    scaled = [(size * part).astype(dtype) for part in parts]
    found = np.asarray(joint_norm([pytensor.shared(part) for part in scaled]).eval())
    assert found.dtype == dtype
    expected = size * np.sqrt(sum((part**2).sum() for part in parts))
    if size != 1e-30:  # Squares of 0 are the norm's, and clip nothing.
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_norms_that_do_not_overflow_have_the_plain_formulas_bits():
    parts = [pytensor.shared(RNG.normal(size=(7, 9)).astype("float32")) for _ in range(3)]
    plain = np.sqrt(sum((p**2).sum() for p in parts[1:]) + (parts[0] ** 2).sum()).eval()
    assert abs(float(joint_norm(parts).eval()) - float(plain)) <= np.spacing(plain)
    assert np.isnan(joint_norm([pytensor.shared(np.float32([1, np.nan]))]).eval())


@pytest.mark.parametrize("option", ["max_global_norm", "max_gradient_norm"])
def test_clipping_keeps_the_direction_of_a_gradient_whose_norm_overflows(option):
    target = np.full((4, 1), 1e28)
    moved = []
    for scale in (1, 1e-10):
        net = theanets.Regressor([1, 1], rng=4, loss=lambda t, y, s=scale: -t * y * s * 1e-8)
        before = values(net)
        net.train(
            [np.full((4, 1), 1e8), target],
            epochs=1,
            algo="sgd",
            learning_rate=1.0,
            progress=False,
            **{option: 0.5},
        )
        net.train(
            [np.full((4, 1), 1e8), target],
            epochs=1,
            algo="sgd",
            learning_rate=1.0,
            progress=False,
            **{option: 0.5},
        )
        moved.append([b - a for a, b in zip(before, values(net), strict=True)])
    for one, other in zip(*moved, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    assert abs(moved[0][0]).max() > 0.1


def test_limits_of_norms_hold_for_weights_whose_norm_overflows():
    net = regressor(4)
    w = RNG.normal(size=(3, 4))
    net.find("hid1", "w").set_value((w * 1e25).astype("float32"))
    net.train([X, Y], max_norm=2.0, epochs=0, progress=False)
    found = net.find("hid1", "w").get_value()
    np.testing.assert_allclose(found, 2 * w / np.linalg.norm(w, axis=0), rtol=1e-5)


# ---- runs that cannot go on ------------------------------------------------------------


@pytest.mark.parametrize("algo", ["l-bfgs", "adam"])
def test_a_network_that_is_nan_diverges_and_does_not_converge(algo, caplog):
    net = regressor(4)
    net.find("hid1", "w").set_value(np.full((3, 4), np.nan, "float32"))
    with caplog.at_level("WARNING", logger="theanets"):
        net.train([X, Y], algo=algo, epochs=3, progress=False)
    assert net.history.stop_reason == "diverged"
    assert "NaN" in caplog.text


def test_a_gradient_that_is_not_finite_is_no_convergence():
    # The slope of a root at 0; the loss is 0.
    net = theanets.Regressor([3, 2], rng=4, loss=lambda t, y: pt.sqrt(pt.sqrt(pt.sqr(y - t))))
    net.find("out", "b").set_value(np.zeros(2, "float32"))
    net.train([0 * X, 0 * Y], algo="l-bfgs", epochs=3, progress=False)
    assert net.history.stop_reason == "diverged"


def test_lbfgs_that_is_at_a_minimum_has_converged():
    net = theanets.Regressor([3, 2], rng=4)
    net.train([X, net.predict(X)], algo="l-bfgs", progress=False)
    assert net.history.stop_reason == "converged"


@pytest.mark.linker
def test_running_statistics_that_overflow_are_not_the_best(caplog):
    net = regressor("batch_norm", 4)
    before = values(net)
    with caplog.at_level("WARNING", logger="theanets"):
        net.train([X * 1e30, Y], epochs=3, **TRAIN)
    assert net.history.stop_reason == "diverged"
    assert "variance" in caplog.text
    for was, now in zip(before, values(net), strict=True):
        np.testing.assert_array_equal(was, now)


# ---- what train returns ---------------------------------------------------------------


class Stream:
    """Batches that can start anew."""

    def __iter__(self):
        return iter([(X[i : i + 5], Y[i : i + 5]) for i in range(0, 20, 5)])


@pytest.mark.parametrize("data", [Stream(), Stream().__iter__, lambda: (X[:5], Y[:5])])
def test_monitors_of_a_stream_where_the_initial_parameters_stay_the_best(data, tmp_path):
    if getattr(data, "__name__", "") == "__iter__":
        data = data()
    net = regressor(4)
    expected = net.evaluate([X[:5], Y[:5]], metrics="rmse")
    options = dict(epochs=2, metrics="rmse", checkpoint=tmp_path / "run.st", train_batches=2)
    train, _ = net.train(data, [X, Y], **{**TRAIN, **options, "learning_rate": 1e3})
    assert net.history.best_epoch == 0
    assert train.keys() == expected.keys()
    for key, value in expected.items():
        assert train[key] == pytest.approx(value, rel=1e-5)
    again, _ = regressor(4).train(data, [X, Y], **{**TRAIN, **options, "learning_rate": 1e3})
    assert again == train


def test_the_first_batch_is_counted_once():
    net, seen = regressor(4), []

    class Count(theanets.Callback):
        def batch(self, run):
            seen.append(run.updates)

    net.train(lambda: (X[:5], Y[:5]), [X, Y], epochs=2, train_batches=3, callbacks=Count(), **TRAIN)
    assert seen == [1, 2, 3, 4, 5, 6]
    assert net.history["updates"] == [3, 6]


# ---- symbolic monitors ---------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["mean", "sum", "batch"])
@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_symbolic_monitors_are_those_of_an_evaluation(reduction, weight):
    loss = dict(form="mse", reduction=reduction)
    net = theanets.Regressor([3, 2], loss=loss, weighted=True)
    data = [X, Y, np.full((20, 2), weight)]
    found = dict(net.monitors(weight_l2=0.1, monitors={"out": lambda y: y}))
    function = pytensor.function(net.variables, list(found.values()))
    arrays = [np.asarray(a, v.dtype) for a, v in zip(data, net.variables, strict=True)]
    expected = net.evaluate(data, weight_l2=0.1, monitors={"out": lambda y: y})
    for name, value in zip(found, function(*arrays), strict=True):
        assert float(value) == pytest.approx(expected[name], rel=1e-5, abs=1e-7)
