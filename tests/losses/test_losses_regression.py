"""Losses for values: values by hand, extreme values, and where they have their minimum."""

import numpy as np
import pytest

from theanets.errors import ConfigurationError
from theanets.losses import Loss


def build(form, **options):
    return Loss.build(form, **options)


@pytest.mark.parametrize(
    ("form", "options", "output", "target", "value", "gradient"),
    [
        ("mse", {}, 3, 1, 4, 4),
        ("mae", {}, -1, 1, 2, -1),
        ("mae", {}, 1, 1, 0, 0),
        ("huber", {"delta": 2}, 1, 0, 0.5, 1),
        ("huber", {"delta": 2}, 5, 0, 8, 2),
        ("huber", {"delta": 2}, 2, 0, 2, 2),
        ("smooth_l1", {"beta": 2}, 1, 0, 0.25, 0.5),
        ("smooth_l1", {"beta": 2}, -5, 0, 4, -1),
        ("log_cosh", {}, 1, 0, np.log(np.cosh(1)), np.tanh(1)),
        ("log_cosh", {}, 0, 0, 0, 0),
        ("quantile", {"quantile": 0.9}, 0, 10, 9, -0.9),
        ("quantile", {"quantile": 0.9}, 10, 0, 1, 0.1),
        ("poisson", {}, 0, 3, 1, -2),
        ("poisson", {"log_input": False}, 1, 3, 1, -2),
        ("poisson", {"full": True}, 0, 3, 1 + np.log(6), -2),
        ("gamma", {}, 0, 3, 3, -2),
        ("gamma", {"log_input": False}, 2, 2, 1 + np.log(2), 0),
        ("msle", {}, np.e - 1, 0, 1, 2 / np.e),
        ("mape", {}, 1, -4, 1.25, 0.25),
    ],
)
def test_by_hand(form, options, output, target, value, gradient):
    loss = build(form, **options)
    assert loss.value([[output]], [[target]]) == pytest.approx(value, abs=1e-15)
    assert loss.gradient([[output]], [[target]])[0, 0] == pytest.approx(gradient, abs=1e-15)


def test_cosine_by_hand():
    y, t = [[3.0, 4.0], [1.0, 0.0], [0.0, 0.0]], [[4.0, 3.0], [-2.0, 0.0], [1.0, 2.0]]
    errors = build("cosine", reduction="none").value(y, t)
    np.testing.assert_allclose(errors, [1 - 24 / 25, 2, 1], atol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("mse", {}),
        ("mae", {}),
        ("huber", {}),
        ("smooth_l1", {}),
        ("smooth_l1", {"beta": 0.0}),
        ("log_cosh", {}),
        ("quantile", {"quantile": [0.1, 0.9]}),
        ("poisson", {}),
        ("gamma", {}),
        ("mape", {}),
        ("cosine", {}),
    ],
)
def test_extreme_values(form, options, dtype):
    """Value and gradient are finite, and going against the gradient is right."""
    big = 1e4 if dtype == "float32" else 1e30
    y = np.array([[big, -big], [0, big], [0, 0], [-big, -big]], dtype)
    t = np.abs(np.array([[1, 2], [0, 0], [0, 0], [big, 0]], dtype))
    output = np.repeat(y, 2, axis=1) if "quantile" in options else y
    loss = build(form, reduction="none", **options)
    assert np.isfinite(loss.value(output, t)).all()
    slope = loss.gradient(output, t)
    assert np.isfinite(slope).all()
    if form not in ("poisson", "gamma", "cosine"):
        away = np.sign(output - (np.repeat(t, 2, axis=1) if "quantile" in options else t))
        assert (np.sign(slope)[away != 0] == away[away != 0]).all()


def test_large_errors_keep_their_value():
    assert build("log_cosh").value([[1e30]], [[0]]) == pytest.approx(1e30)
    assert build("log_cosh").value([[1e-9]], [[0]]) == pytest.approx(5e-19, rel=1e-12)
    assert build("log_cosh").value(np.float32([[1e4]]), [[0]]) == pytest.approx(1e4 - np.log(2))
    assert build("huber").value([[1e30]], [[0]]) == pytest.approx(1e30)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rates_of_zero(dtype):
    zero, one = np.zeros((1, 1), dtype), np.ones((1, 1), dtype)
    for form in ("poisson", "gamma"):
        loss = build(form, log_input=False)
        assert np.isfinite(loss.value(zero, one))
        slope = loss.gradient(zero, one)[0, 0]
        assert np.isfinite(slope)
        assert slope < -1e10
    # No events at rate 0 are no surprise.
    assert build("poisson", log_input=False).value(zero, zero) == 0
    assert build("poisson", log_input=False).gradient(zero, zero)[0, 0] == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logarithmic_rates_too_large_to_compute(dtype):
    big = np.array([[1e4 if dtype == "float32" else 1e30]], dtype)
    for form, sign in (("poisson", 1), ("gamma", -1)):
        slope = build(form).gradient(sign * big, np.ones_like(big))[0, 0]
        assert np.isfinite(slope)
        assert sign * slope > 1e20


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_msle_at_minus_one(dtype):
    y, t = np.array([[-1.0]], dtype), np.array([[2.0]], dtype)
    assert 100 < build("msle").value(y, t) < 2000
    assert -np.inf < build("msle").gradient(y, t)[0, 0] < -1e6
    small = np.array([[1e-8]], dtype)
    assert build("msle").value(small, 0 * small) == pytest.approx(1e-16, rel=1e-5)


def minimizer(loss, targets, start):
    """Find the constant that is best for all targets."""
    grid = np.linspace(start[0], start[1], 2001)
    values = [loss.value(np.full_like(targets, v), targets) for v in grid]
    return grid[int(np.argmin(values))]


def test_minimizers(rng):
    """The mean, the median, a quantile and the log of the mean are what the losses estimate."""
    t = rng.gamma(2.0, size=(501, 1))
    span = (0, 8)
    assert minimizer(build("mse"), t, span) == pytest.approx(t.mean(), abs=0.005)
    assert minimizer(build("mae"), t, span) == pytest.approx(np.median(t), abs=0.005)
    for q in (0.1, 0.8):
        found = minimizer(build("quantile", quantile=q), t, span)
        assert found == pytest.approx(np.quantile(t, q), abs=0.02)
    for form in ("poisson", "gamma"):
        assert minimizer(build(form, log_input=False), t, span) == pytest.approx(
            t.mean(), abs=0.005
        )
        assert minimizer(build(form), t, (-2, 3)) == pytest.approx(np.log(t.mean()), abs=0.005)
    found = minimizer(build("msle"), t, span)
    assert found == pytest.approx(np.expm1(np.log1p(t).mean()), abs=0.005)


def test_full_poisson_is_a_distribution():
    counts = np.arange(60.0)[:, None]
    loss = build("poisson", full=True, reduction="none")
    assert np.exp(-loss.value(np.full_like(counts, 1.5), counts)).sum() == pytest.approx(1)


def test_several_quantiles_are_in_order_of_variables(rng):
    y, t = rng.normal(size=(5, 6)), rng.normal(size=(5, 2))
    loss = build("quantile", quantile=[0.2, 0.5, 0.7], reduction="none")
    whole = loss.value(y, t)
    # The first three outputs are the first variable's.
    first = loss.value(y[:, :3], t[:, :1])
    np.testing.assert_allclose(whole[:, :1], first, rtol=1e-12)
    single = build("quantile", quantile=0.7, reduction="none").value(y[:, 5:], t[:, 1:])
    slopes = loss.gradient(y, t)
    np.testing.assert_allclose(slopes[:, 5], np.where(t[:, 1] > y[:, 5], -0.7, 0.3) / 3, rtol=1e-12)
    assert single.shape == (5, 1)


def test_cosine_does_not_depend_on_length(rng):
    y, t = rng.normal(size=(2, 5, 3))
    loss = build("cosine")
    value = loss.value(y, t)
    assert loss.value(7 * y, 0.1 * t) == pytest.approx(value, rel=1e-12)
    assert loss.value(t, t) == pytest.approx(0, abs=1e-15)
    np.testing.assert_allclose((loss.gradient(y, t) * y).sum(-1), 0, atol=1e-15)


def test_labels_are_compared_as_indicators(rng):
    y, labels = rng.normal(size=(6, 4)), rng.integers(0, 4, size=6)
    for form in ("mse", "mae", "huber", "log_cosh"):
        found = build(form).value(y, labels)
        assert found == pytest.approx(build(form).value(y, np.eye(4)[labels]))


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("huber", {"delta": 0}),
        ("huber", {"delta": np.inf}),
        ("smooth_l1", {"beta": -1}),
        ("quantile", {"quantile": 1}),
        ("quantile", {"quantile": [0.5, 0]}),
        ("quantile", {"quantile": []}),
        ("mape", {"eps": 0}),
        ("cosine", {"axis": 0}),
        ("cosine", {"eps": -1}),
    ],
)
def test_options_without_meaning(form, options):
    (key,) = options
    with pytest.raises(ConfigurationError, match=f"loss '{form}': {key}="):
        build(form, **options)
