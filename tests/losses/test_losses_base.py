"""The base class of losses: reductions, weights, arrays without a network, and networks."""

import copy
import pickle

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import special

import theanets
from theanets.losses import Loss, formulas


def reduce(errors, weights, reduction):
    """Twin of the reductions."""
    w = np.ones_like(errors) if weights is None else np.broadcast_to(weights, errors.shape)
    if reduction == "none":
        return w * errors
    total = (w * errors).sum()
    return total / {"mean": w.sum(), "sum": 1, "batch": len(errors)}[reduction]


@pytest.mark.parametrize("reduction", ["mean", "sum", "batch", "none"])
@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 2)])
@pytest.mark.parametrize("weighted", [False, True])
def test_reductions(reduction, shape, weighted, rng):
    y, t = rng.normal(size=(2, *shape))
    w = rng.random(shape) if weighted else None
    loss = Loss.build("mse", reduction=reduction)
    np.testing.assert_allclose(loss.value(y, t, w), reduce((y - t) ** 2, w, reduction), rtol=1e-12)
    if reduction != "none":
        slope = {"mean": y.size if w is None else w.sum(), "sum": 1, "batch": len(y)}[reduction]
        expected = 2 * (y - t) * (1 if w is None else w) / slope
        np.testing.assert_allclose(loss.gradient(y, t, w), expected, rtol=1e-12)


def test_by_hand():
    y, t, w = [[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.0], [1.0, 1.0]], [[1.0, 0.0], [2.0, 1.0]]
    # Errors 1, 4, 4, 9; weighted 1, 0, 8, 9.
    values = {r: Loss.build("mse", reduction=r).value(y, t) for r in ("mean", "sum", "batch")}
    assert values == {"mean": 4.5, "sum": 18, "batch": 9}
    values = {r: Loss.build("mse", reduction=r).value(y, t, w) for r in ("mean", "sum", "batch")}
    assert values == {"mean": 4.5, "sum": 18, "batch": 9}
    w = [[1.0, 0.0], [0.0, 0.0]]
    values = {r: Loss.build("mse", reduction=r).value(y, t, w) for r in ("mean", "sum", "batch")}
    assert values == {"mean": 1, "sum": 1, "batch": 0.5}


@pytest.mark.parametrize("reduction", ["mean", "sum", "batch"])
@pytest.mark.parametrize("weighted", [False, True])
def test_terms_of_unequal_batches_add_up(reduction, weighted, rng):
    y, t = rng.normal(size=(2, 7, 3))
    w = rng.random((7, 3)) if weighted else None
    with pytensor.config.change_flags(floatX="float64"):
        loss = Loss.build("mae", target=2, weighted=weighted, reduction=reduction)
        output = pt.matrix("out")
        inputs = [output, *loss.variables]
        terms = pytensor.function(inputs, list(loss.terms({"out:out": output})))
    arrays = [y, t] + ([w] if weighted else [])
    parts = [terms(*(a[rows] for a in arrays)) for rows in (slice(0, 4), slice(4, 5), slice(5, 7))]
    total, count = np.sum(parts, axis=0)
    expected = Loss.build("mae", reduction=reduction).value(y, t, w)
    assert total / (count if count else 1) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum", "batch"])
@pytest.mark.parametrize("batch_size", [2, 5, 100])
@pytest.mark.parametrize("weighted", [False, True])
def test_evaluation_is_the_value_of_all_data(reduction, batch_size, weighted, rng):
    x, y, w = rng.normal(size=(7, 4)), rng.normal(size=(7, 2)), rng.random((7, 2))
    loss = {"form": "huber", "delta": 0.5, "reduction": reduction}
    net = theanets.Regressor([4, 3, 2], loss=loss, weighted=weighted, dtype="float64")
    data = [x, y, w] if weighted else [x, y]
    found = net.evaluate(data, batch_size=batch_size)
    expected = net.losses[0].value(net.predict(x), y, w if weighted else None)
    assert found["loss"] == pytest.approx(expected, rel=1e-12)
    assert found["huber"] == found["err"] == found["loss"]


@pytest.mark.parametrize("reduction", ["mean", "sum", "batch"])
def test_training_follows_the_gradient_of_the_reduction(reduction, rng):
    x, y = rng.normal(size=(6, 4)), rng.normal(size=(6, 2))
    loss = {"form": "mse", "reduction": reduction}
    net = theanets.Regressor([4, 2], loss=loss, dtype="float64")
    before = net.find("out.b").get_value()
    slope = net.losses[0].gradient(net.predict(x), y).sum(axis=0)
    net.train([x, y], algo="sgd", learning_rate=1e-4, momentum=0, max_updates=1, batch_size=6)
    np.testing.assert_allclose(net.find("out.b").get_value(), before - 1e-4 * slope, rtol=1e-12)


def test_no_reduction_cannot_be_trained(rng):
    net = theanets.Regressor([4, 2], loss={"form": "mse", "reduction": "none"})
    with pytest.raises(theanets.ConfigurationError, match=r"'mse' has reduction='none'.*'batch'"):
        net.train([np.zeros((3, 4)), np.zeros((3, 2))])


def test_unknown_reduction():
    with pytest.raises(theanets.ConfigurationError, match=r"reduction='avg' is not one of 'mean'"):
        Loss.build("mse", reduction="avg")
    with pytest.raises(theanets.ConfigurationError, match=r"mmd.*reduction='sum'"):
        Loss.build("mmd", reduction="sum")


def test_gradient_of_no_reduction_is_that_of_the_sum(rng):
    y, t = rng.normal(size=(2, 4, 3))
    loss = Loss.build("mse", reduction="none")
    np.testing.assert_allclose(loss.gradient(y, t), 2 * (y - t), rtol=1e-12)


# ---- arrays -------------------------------------------------------------------------


def test_type_follows_the_arrays():
    loss = Loss.build("mse")
    y, t = np.ones((2, 3)), np.zeros((2, 3))
    for given, found in [("f4", "f4"), ("f8", "f8"), ("f2", "f4"), ("i4", "f8"), ("?", "f8")]:
        assert loss.value(y.astype(given), t).dtype == np.dtype(found), given
        assert loss.gradient(y.astype(given), t.astype("i8")).dtype == np.dtype(found), given
    assert loss.value([[1, 2]], [[0, 0]]) == 2.5


@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 3), (1, 3), ()])
def test_weights_are_spread(shape, rng):
    y, t, w = rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), rng.random(shape)
    full = np.broadcast_to(w[:, None] if w.ndim == 1 else w, y.shape)
    expected = (full * np.abs(y - t)).sum() / full.sum()
    assert Loss.build("mae").value(y, t, w) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("form", "output", "target", "weights", "message"),
    [
        ("mse", np.zeros((2, 3)), np.zeros((2, 2)), None, r"shape \(2, 2\).*of shape \(2, 3\)"),
        ("mse", np.zeros((2, 3)), np.zeros((3, 3)), None, r"target has shape \(3, 3\)"),
        ("mse", np.zeros((2, 3)), np.zeros((2, 3)), np.ones(3), r"weights have shape \(3,\)"),
        ("mse", np.zeros((2, 3)), np.zeros((2, 3)), [1, np.nan], "weights are not all finite"),
        ("mse", [[0, np.nan]], [[0, 0]], None, r"out:out has nan at \[0, 1\]"),
        ("mse", [[0.0, 0]], [[0, np.inf]], None, r"target has inf at \[0, 1\]"),
        ("mse", [["a"]], [[0]], None, "expected numbers"),
        ("mse", 1.0, 0.0, None, "at least one example"),
        ("mse", np.zeros((0, 3)), np.zeros((0, 3)), None, "at least one example"),
        ("mse", np.zeros((2, 3)), [0, 3], None, r"label 3; valid is \[0, 3\)"),
        ("xe", np.ones((2, 3)), [0, -1], None, r"label -1; valid is \[0, 3\)"),
        ("xe", np.ones((2, 3)), [0.0, 1.0], None, r"integers of shape \(2,\) or numbers"),
        ("xe", -np.ones((2, 3)), [0, 1], None, r"out:out has -1.0 at \[0, 0\].*\[0, inf\]"),
        ("bce", [[1.5]], [[1]], None, r"out:out has 1.5.*\[0, 1\]"),
        ("bce_logits", [[1.5]], [[2]], None, r"target has 2.0.*\[0, 1\]"),
        ("gll", np.zeros((2, 3)), np.zeros((2, 3)), None, "takes 2 outputs, mean:out, covar:out"),
        ("gll", ([[0.0]], [[-1.0]]), [[0]], None, r"covar:out has -1.0"),
        ("gll", {"mean": [[0.0]], "var": [[1.0]]}, [[0]], None, r"unknown output.*'var:out'"),
        ("gll", {"mean": [[0.0]]}, [[0]], None, r"a dict; got 1"),
        ("gll", (np.ones((2, 3)), np.ones((2, 2))), np.ones((2, 3)), None, r"has shape \(2,\)"),
        ("kl", np.ones((2, 3)), [0, 1], None, r"expected numbers of shape \(2, 3\)"),
        ("l_softmax", (np.ones((2, 3)), np.ones((2, 3))), [0, 1], None, "x and w have shapes"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(form, output, target, weights, message):
    for method in ("value", "gradient"):
        with pytest.raises(ValueError, match=message):
            getattr(Loss.build(form), method)(output, target, weights)


def test_outputs_by_name(rng):
    mean, covar, t = rng.normal(size=(4, 3)), rng.random((4, 3)), rng.normal(size=(4, 3))
    loss = Loss.build("gll", mean_name="m", covar_name="v:pre")
    assert loss.output_names == ["m:out", "v:pre"]
    expected = Loss.build("gll").value((mean, covar), t)
    assert loss.value({"v:pre": covar, "m": mean}, t) == expected
    first, second = loss.gradient({"m": mean, "v:pre": covar}, t)
    assert first.shape == second.shape == (4, 3)


def test_compiled_once(rng):
    loss = Loss.build("huber")
    y, t = rng.normal(size=(2, 6, 3)) * 5
    first = loss.value(y, t)
    loss.value(y[:2], t[:2])
    assert len(loss._functions) == 1
    # An option that was changed since has its effect.
    loss.delta = 0.1
    assert loss.value(y, t) == pytest.approx(Loss.build("huber", delta=0.1).value(y, t))
    assert loss.value(y, t) != first


def test_values_do_not_touch_the_network(rng):
    x, y = rng.normal(size=(6, 4)), rng.normal(size=(6, 2))
    net = theanets.Regressor([4, 2])
    before = net.evaluate([x, y])
    net.losses[0].value(rng.normal(size=(3, 5)), rng.normal(size=(3, 5)))
    assert net.evaluate([x, y]) == before


def test_copies(rng):
    y, t = rng.normal(size=(2, 4, 3))
    loss = Loss.build("huber", delta=0.3)
    value = loss.value(y, t)
    for other in (copy.copy(loss), copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert other.value(y, t) == value
        assert other._functions is not loss._functions


# ---- losses of one's own --------------------------------------------------------------


def test_a_new_loss_is_a_few_lines(rng):
    class Quartic(Loss, register=False):
        options = {"power": 4}  # noqa: RUF012

        def errors(self, target, output):
            return (output - target) ** self.power

    y, t, w = rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), rng.random((4, 3))
    for reduction in ("mean", "sum", "batch", "none"):
        found = Quartic(reduction=reduction).value(y, t, w)
        np.testing.assert_allclose(found, reduce((y - t) ** 4, w, reduction), rtol=1e-12)
    net = theanets.Regressor([5, 3], loss=Quartic(power=2), dtype="float64")
    x = rng.normal(size=(4, 5))
    expected = Loss.build("mse").value(net.predict(x), t)
    assert net.evaluate([x, t])["loss"] == pytest.approx(expected)


def test_a_loss_with_its_own_call(rng):
    class Largest(Loss, register=False):
        def __call__(self, outputs):
            return pt.abs(outputs[self.output_name] - self._target).max()

    y, t = rng.normal(size=(2, 4, 3))
    assert Largest().value(y, t) == np.abs(y - t).max()
    assert np.count_nonzero(Largest().gradient(y, t)) == 1
    with pytest.raises(theanets.ConfigurationError, match=r"reduction='sum' needs errors"):
        Largest(reduction="sum")


def test_a_function(rng):
    y, t, w = rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), rng.random((4, 3))
    loss = Loss.build(lambda target, output: abs(output - target), reduction="batch")
    assert loss.value(y, t, w) == pytest.approx((w * abs(y - t)).sum() / 4)


# ---- pieces of formulas ---------------------------------------------------------------


@pytest.mark.parametrize("form", ["kl", "cosine", "xe"])
def test_an_error_about_a_vector_has_the_mean_of_its_weights(form, rng):
    y, t = rng.dirichlet(np.ones(3), size=(2, 5))
    w = rng.random((5, 3)) + 0.1
    loss = Loss.build(form)
    assert loss.value(y, t, w) == pytest.approx(loss.value(y, t, w.mean(-1)), rel=1e-12)
    assert loss.value(y, t, w) != pytest.approx(loss.value(y, t, w.max(-1)), rel=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tangents_go_on_without_a_jump(dtype):
    x = pt.TensorType(dtype, (None,))("x")

    def both(expression, at):
        slope = pytensor.grad(expression.sum(), x)
        return [part.eval({x: np.asarray(at, dtype)}) for part in (expression, slope)]

    low, high = formulas.FLOOR[dtype], formulas.CEILING[dtype]
    tight = 1e-5 if dtype == "float32" else 1e-13
    value, slope = both(formulas.safe_log(x), [low * 0.999999, low * 1.000001, 0, 1, 2.5])
    assert value[0] == pytest.approx(value[1], rel=1e-6)
    assert slope[0] == pytest.approx(slope[1], rel=1e-5)
    np.testing.assert_allclose(value[2:], [np.log(low) - 1, 0, np.log(2.5)], rtol=tight)
    np.testing.assert_allclose(slope[2:], [1 / low, 1, 0.4], rtol=tight)
    value, slope = both(formulas.safe_exp(x), [high * 0.999999, high * 1.000001, -2, 2 * high])
    assert value[0] == pytest.approx(value[1], rel=2e-3)
    assert slope[0] == pytest.approx(slope[1], rel=1e-3)
    big = np.exp(high)
    np.testing.assert_allclose(value[2:], [np.exp(-2), big * (1 + high)], rtol=tight)
    np.testing.assert_allclose(slope[2:], [np.exp(-2), big], rtol=tight)
    # Near 1, 1 - p is exact; near 0, log(1 - p) has all its digits.
    value, slope = both(formulas.safe_log1m(x), [1, 1e-12, 0.5])
    np.testing.assert_allclose(value, [np.log(low) - 1, np.log1p(-1e-12), -np.log(2)], rtol=tight)
    np.testing.assert_allclose(slope, [-1 / low, -1, -2], rtol=1e-5)


def test_log_sum_exp(rng):
    x = rng.normal(size=(4, 3)) * 1e3
    x[0, 1] = -np.inf
    variable = pt.dmatrix()
    found = formulas.log_sum_exp(variable)
    np.testing.assert_allclose(found.eval({variable: x}), special.logsumexp(x, -1), rtol=1e-14)
    slope = pytensor.grad(found.sum(), variable).eval({variable: x})
    np.testing.assert_allclose(slope, special.softmax(x, -1), atol=1e-15)
