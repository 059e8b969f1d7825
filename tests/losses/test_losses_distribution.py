"""Likelihoods and distances between distributions."""

import numpy as np
import pytensor.tensor as pt
import pytest
from scipy import integrate

from theanets.errors import ConfigurationError, DataError
from theanets.losses import Loss

LIKELIHOODS = [
    ("gll", {"covar_eps": 0.0}),
    ("gll", {"covar_eps": 0.3}),
    ("laplace", {}),
    ("student_t", {"df": 2.0}),
    ("student_t", {"df": 50.0, "scale_eps": 0.0}),
]


@pytest.mark.parametrize(("form", "options"), LIKELIHOODS)
def test_the_density_integrates_to_one(form, options):
    loss = Loss.build(form, reduction="none", **options)
    grid = np.linspace(-400, 400, 400_001)[:, None]
    errors = loss.value((np.full_like(grid, 0.7), np.full_like(grid, 1.3)), grid)
    tail = 2e-5 if form == "student_t" else 1e-9
    assert integrate.simpson(np.exp(-errors[:, 0]), x=grid[:, 0]) == pytest.approx(1, abs=tail)


def test_a_mixture_integrates_to_one(rng):
    loss = Loss.build("mixture_density", reduction="none")
    grid = np.linspace(-30, 30, 20_001)[:, None]
    outputs = [rng.normal(size=3), rng.normal(size=3), rng.random(3) + 0.5]
    repeated = tuple(np.repeat(part[None], len(grid), axis=0) for part in outputs)
    density = np.exp(-loss.value(repeated, grid))
    assert integrate.simpson(density, x=grid[:, 0]) == pytest.approx(1, abs=1e-9)


def test_by_hand():
    gll = Loss.build("gll", covar_eps=0)
    # Variance 4 at a distance of 2.
    value = 0.5 * (np.log(2 * np.pi) + np.log(4) + 1)
    assert gll.value(([[1.0]], [[4.0]]), [[3.0]]) == pytest.approx(value, rel=1e-15)
    mean, covar = gll.gradient(([[1.0]], [[4.0]]), [[3.0]])
    assert mean[0, 0] == pytest.approx(-0.5)
    assert covar[0, 0] == pytest.approx(0.0, abs=1e-15)
    laplace = Loss.build("laplace", scale_eps=0)
    assert laplace.value(([[1.0]], [[2.0]]), [[5.0]]) == pytest.approx(np.log(4) + 2)
    cauchy = Loss.build("student_t", df=1, scale_eps=0)
    assert cauchy.value(([[0.0]], [[2.0]]), [[2.0]]) == pytest.approx(np.log(4 * np.pi))
    kl = Loss.build("kl")
    assert kl.value([[0.5, 0.5]], [[0.25, 0.75]]) == pytest.approx(
        0.25 * np.log(0.5) + 0.75 * np.log(1.5)
    )
    mmd = Loss.build("mmd", kernel=2.0)
    # One example each, at a distance of 4.
    assert mmd.value([[0.0]], [[4.0]]) == pytest.approx(2 - 2 * np.exp(-2))


def test_batch_reduction_is_the_likelihood_of_an_example(rng):
    mean, covar, t = rng.normal(size=(5, 3)), rng.random((5, 3)), rng.normal(size=(5, 3))
    whole = Loss.build("gll", reduction="batch").value((mean, covar), t)
    assert whole == pytest.approx(3 * Loss.build("gll").value((mean, covar), t))


def test_the_best_variance_is_the_mean_square(rng):
    t = rng.normal(scale=1.7, size=(400, 1))
    loss = Loss.build("gll", covar_eps=0)
    grid = np.linspace(1, 5, 4001)
    values = [loss.value((0 * t, np.full_like(t, v)), t) for v in grid]
    assert grid[int(np.argmin(values))] == pytest.approx(np.mean(t**2), abs=2e-3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", ["gll", "laplace", "student_t"])
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("eps", [0.0, 1e-3])
def test_extreme_spreads(form, dtype, log, eps):
    big = 1e4 if dtype == "float32" else 1e30
    keys = ("log_covar", "covar_eps") if form == "gll" else ("log_scale", "scale_eps")
    if log and eps == 0:
        pytest.skip("a logarithm without a smallest spread has no bound")
    loss = Loss.build(form, reduction="none", **dict(zip(keys, (log, eps))))
    spread = np.array([[-big, big, 0, 0]] if log else [[0, 0, big, big]], dtype)
    t = np.array([[0.5, big, 0, -big]], dtype)
    arrays = (np.zeros_like(t), spread)
    assert np.isfinite(loss.value(arrays, t)).all()
    mean, slope = loss.gradient(arrays, t)
    assert np.isfinite(mean).all() and np.isfinite(slope).all()
    assert (mean[t > 0] < 0).all() or log
    if not log:
        # A spread of 0 is too small for an error that is not.
        assert (slope[0, :2] < 0).all()


def test_t_is_less_disturbed_by_outliers_than_the_normal_distribution():
    far, near = ([[0.0]], [[1.0]]), [[1.0]]
    t = Loss.build("student_t")
    assert abs(t.gradient(far, [[1e6]])[0][0, 0]) < abs(t.gradient(far, near)[0][0, 0])


def test_many_degrees_of_freedom_are_nearly_normal(rng):
    arrays, t = (rng.normal(size=(5, 2)), rng.random((5, 2)) + 0.5), rng.normal(size=(5, 2))
    normal = Loss.build("gll", covar_eps=0).value((arrays[0], arrays[1] ** 2), t)
    found = Loss.build("student_t", df=1e6, scale_eps=0).value(arrays, t)
    assert found == pytest.approx(normal, rel=1e-5)


def test_a_mixture_of_one_is_a_normal_distribution(rng):
    mean, scale, t = rng.normal(size=(5, 3)), rng.random((5, 3)), rng.normal(size=(5, 3))
    found = Loss.build("mixture_density").value((np.zeros((5, 1)), mean, scale), t)
    gll = Loss.build("gll", covar_eps=0, reduction="batch")
    assert found == pytest.approx(gll.value((mean, (scale + 1e-3) ** 2), t), rel=1e-10)


def test_variables_of_a_mixture_can_be_left_out(rng):
    """A variable of weight 0 is integrated over: the others keep their mixture."""
    logits, means, scales = rng.normal(size=(5, 2)), rng.normal(size=(5, 6)), rng.random((5, 6))
    t = rng.normal(size=(5, 3))
    w = np.array([1.0, 1.0, 0.0])[None].repeat(5, axis=0)
    loss = Loss.build("mixture_density")
    kept = [0, 1, 3, 4]
    expected = loss.value((logits, means[:, kept], scales[:, kept]), t[:, :2])
    t[:, 2] = np.nan
    assert loss.value((logits, means, scales), t, w) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_mixtures(dtype):
    big = 1e4 if dtype == "float32" else 1e30
    loss = Loss.build("mixture_density")
    arrays = (
        np.array([[big, -big], [0, 0]], dtype),
        np.array([[0, big], [big, -big]], dtype),
        np.array([[0, 1], [0, 0]], dtype),
    )
    t = np.array([[1], [0]], dtype)
    assert np.isfinite(loss.value(arrays, t))
    for part in loss.gradient(arrays, t):
        assert np.isfinite(part).all()
    # The likelihood of a component without weight has no influence.
    assert loss.gradient(arrays, t)[1][0, 1] == 0


def test_kl_is_zero_at_the_target_and_positive_elsewhere(rng):
    p = rng.dirichlet(np.ones(4), size=5)
    q = rng.dirichlet(np.ones(4), size=5)
    loss = Loss.build("kl", reduction="none")
    np.testing.assert_allclose(loss.value(p, p), 0, atol=1e-15)
    assert (loss.value(q, p) > 0).all()
    # Probabilities up to a common factor.
    np.testing.assert_allclose(loss.value(7 * q, p), loss.value(q, p), rtol=1e-12)


def test_kl_is_cross_entropy_without_the_entropy(rng):
    z, t = rng.normal(size=(5, 4)), rng.dirichlet(np.ones(4), size=5)
    found = Loss.build("kl", logits=True).value(z, t)
    entropy = -(t * np.log(t)).sum(-1).mean()
    assert found == pytest.approx(Loss.build("xe", logits=True).value(z, t) - entropy)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kl_of_zeros(dtype):
    loss = Loss.build("kl", reduction="none")
    p, t = np.array([[0, 1], [1, 0], [0.5, 0.5]], dtype), np.array([[0, 1], [0, 1], [1, 0]], dtype)
    value = loss.value(p, t)
    assert value[0] == pytest.approx(0, abs=1e-25)
    assert 30 < value[1] < 1000
    assert value[2] == pytest.approx(np.log(2))
    slope = loss.gradient(p, t)
    assert np.isfinite(slope).all()
    assert slope[1, 1] < -1e20
    big = 1e4 if dtype == "float32" else 1e30
    z = np.array([[big, -big]], dtype)
    logits = Loss.build("kl", logits=True)
    assert logits.value(z, [[0.0, 1.0]]) == pytest.approx(2 * big)
    np.testing.assert_allclose(logits.gradient(z, [[0.0, 1.0]]), [[1, -1]])


# ---- maximum mean discrepancy --------------------------------------------------------


def discrepancy(y, t, widths, w=None):
    """Twin: the sums over all pairs, one by one."""
    y, t = y.reshape(len(y), -1), t.reshape(len(t), -1)
    w = np.full(len(y), 1 / len(y)) if w is None else w / w.sum()

    def mean(a, b):
        total = 0.0
        for i in range(len(a)):
            for j in range(len(b)):
                square = sum((u - v) ** 2 for u, v in zip(a[i], b[j]))
                total += w[i] * w[j] * np.mean([np.exp(-square / 2 / s**2) for s in widths])
        return total

    return mean(y, y) + mean(t, t) - 2 * mean(y, t)


def median(y, t):
    rows = np.concatenate([y.reshape(len(y), -1), t.reshape(len(t), -1)])
    pairs = [(i, j) for i in range(len(rows)) for j in range(i)]
    return np.median([np.linalg.norm(rows[i] - rows[j]) for i, j in pairs])


@pytest.mark.parametrize("shape", [(6, 3), (5, 2, 3), (4, 2, 2, 2)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kernel", [1.0, 0.3, [0.5, 2.0, 4.0], "median"])
def test_mmd(shape, weighted, kernel, rng):
    y, t = rng.normal(size=shape), rng.normal(size=shape) + 0.5
    w = rng.random(shape[0]) if weighted else None
    widths = [median(y, t)] if kernel == "median" else np.ravel(kernel)
    found = Loss.build("mmd", kernel=kernel).value(y, t, w)
    assert found == pytest.approx(discrepancy(y, t, widths, w), rel=1e-9)


def test_the_median_is_a_constant(rng):
    y, t = rng.normal(size=(2, 6, 3))
    found = Loss.build("mmd", kernel="median").gradient(y, t)
    expected = Loss.build("mmd", kernel=median(y, t)).gradient(y, t)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_mmd_of_equal_samples_is_zero(rng):
    y = rng.normal(size=(6, 3))
    for kernel in (1.0, "median", [0.1, 10]):
        loss = Loss.build("mmd", kernel=kernel)
        assert loss.value(y, y[::-1].copy()) == pytest.approx(0, abs=1e-14)
        assert loss.value(y, y + 3) > 0.01
    # All examples the same: the median distance is 0, and 1 is taken.
    same = np.ones((4, 2))
    assert Loss.build("mmd", kernel="median").value(same, same) == pytest.approx(0, abs=1e-14)
    assert np.isfinite(Loss.build("mmd", kernel="median").gradient(same, same)).all()


def test_mmd_far_from_the_origin_keeps_its_digits(rng):
    y, t = rng.normal(size=(2, 6, 3))
    value = Loss.build("mmd").value(y, t)
    assert Loss.build("mmd").value(y + 1e6, t + 1e6) == pytest.approx(value, rel=1e-6)


def test_a_kernel_of_ones_own(rng):
    def linear(a, b):
        return a @ b.T

    y, t = rng.normal(size=(2, 6, 3))
    # With the linear kernel it is the squared distance of the means.
    expected = ((y.mean(0) - t.mean(0)) ** 2).sum()
    assert Loss.build("mmd", kernel=linear).value(y, t) == pytest.approx(expected)
    laplace = Loss.build("mmd", kernel=lambda a, b: pt.exp(-abs(a[:, None] - b[None]).sum(-1)))
    assert laplace.value(y, t) > 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_samples(dtype):
    big = 1e4 if dtype == "float32" else 1e30
    y, t = np.array([[big, 0], [-big, 1]], dtype), np.array([[0, 0], [big, -big]], dtype)
    for kernel in (1.0, "median"):
        loss = Loss.build("mmd", kernel=kernel)
        assert np.isfinite(loss.value(y, t))
        assert np.isfinite(loss.gradient(y, t)).all()


# ---- options ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("gll", {"covar_eps": -1}),
        ("laplace", {"scale_eps": -1}),
        ("student_t", {"df": 0}),
        ("mixture_density", {"scale_eps": -0.1}),
        ("mmd", {"kernel": 0}),
        ("mmd", {"kernel": "mean"}),
        ("mmd", {"kernel": [1, -1]}),
        ("mmd", {"kernel": []}),
    ],
)
def test_options_without_meaning(form, options):
    (key,) = options
    with pytest.raises(ConfigurationError, match=f"loss '{form}': {key}="):
        Loss.build(form, **options)


def test_names_of_outputs():
    assert Loss.build("gll").output_names == ["mean:out", "covar:out"]
    loss = Loss.build("gll", output_name="mu", covar_name="hid1:pre")
    assert loss.output_names == ["mu:out", "hid1:pre"]
    assert loss.mean_name == loss.output_name == "mu:out"
    with pytest.raises(ConfigurationError, match="two names for the same"):
        Loss.build("gll", output_name="mu", mean_name="nu")
    again = Loss.build(loss, output_name="nu")
    assert again.output_names == ["nu:out", "hid1:pre"]
    assert Loss.build(again.to_spec()).output_names == ["nu:out", "hid1:pre"]


def test_a_variance_below_zero_is_refused_in_arrays():
    with pytest.raises(DataError, match=r"covar:out has -0.1 at \[0, 0\]"):
        Loss.build("gll").value(([[0.0]], [[-0.1]]), [[0.0]])
    assert np.isfinite(Loss.build("gll", log_covar=True).value(([[0.0]], [[-0.1]]), [[0.0]]))
