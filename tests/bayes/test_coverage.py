"""What NUTS and Langevin dynamics promise: intervals that cover, and exact posteriors."""

import numpy as np
import pytest

import theanets

pm = pytest.importorskip("pymc")
arviz = pytest.importorskip("arviz")
bayes = pytest.importorskip("theanets.bayes")

NOISE, REPLICATIONS = 0.5, 200
OPTIONS = {
    "nuts": dict(draws=300, tune=300, chains=1, cores=1, nuts_sampler="pymc", progressbar=False,
                 compute_convergence_checks=False),
    "sgld": dict(draws=500, tune=1000, step_size=0.02),
}  # fmt: skip


@pytest.fixture(scope="module")
def drawn():
    """Draw parameters from their priors, and data from the model; each output is a replication."""
    rng = np.random.default_rng(5)
    x, new = rng.normal(size=(12, 2)), rng.normal(size=(20, 2))
    w, b = rng.normal(size=(2, REPLICATIONS)), rng.normal(size=REPLICATIONS)
    y = x @ w + b + NOISE * rng.normal(size=(12, REPLICATIONS))
    return x, y, new, new @ w + b, rng


@pytest.mark.slow
@pytest.mark.parametrize("method", OPTIONS)
def test_intervals_cover_what_they_say(method, drawn):
    """Of data that are drawn from the model, 90 % intervals hold 90 %: 200 replications."""
    x, y, new, truth, rng = drawn
    net = theanets.Regressor([2, REPLICATIONS], dtype="float64", rng=1)
    posterior = bayes.fit(net, [x, y], method, priors=1.0, noise=NOISE, rng=0, **OPTIONS[method])
    observed = truth + NOISE * rng.normal(size=truth.shape)
    for what, real in (("mean", truth), ("observed", observed)):
        low, high = posterior.interval(new, 0.9, what, rng=1).values
        share = ((low <= real) & (real <= high)).mean()
        assert 0.87 < share < 0.93, (what, share)


@pytest.mark.slow
def test_nuts_is_exact_for_a_line_to_the_error_of_monte_carlo(drawn):
    x, y, *_ = drawn
    net = theanets.Regressor([2, REPLICATIONS], dtype="float64", rng=1)
    posterior = bayes.fit(net, [x, y], priors=1.0, noise=NOISE, rng=0, **OPTIONS["nuts"])
    design = np.c_[x, np.ones(len(x))]
    covariance = np.linalg.inv(design.T @ design / NOISE**2 + np.eye(3))
    means = covariance @ design.T @ y / NOISE**2
    draws = posterior.idata["posterior"]
    sizes = arviz.ess(posterior.idata)
    errors, ratios = [], []
    for name, rows in (("out.w", slice(0, 2)), ("out.b", 2)):
        deviation = (
            np.sqrt(np.diag(covariance))[rows, None]
            if name == "out.w"
            else np.sqrt(covariance[2, 2])
        )
        found, size = draws[name].values[0], np.minimum(sizes[name].values, 300)
        errors.append(((found.mean(axis=0) - means[rows]) / deviation * np.sqrt(size)).ravel())
        ratios.append(((found.var(axis=0) / deviation**2 - 1) * np.sqrt(size / 2)).ravel())
    errors, ratios = np.concatenate(errors), np.concatenate(ratios)
    # In units of the error of Monte Carlo: 600 numbers, about normal.
    assert abs(errors).max() < 5 and np.sqrt(np.mean(errors**2)) < 1.3
    assert abs(ratios.mean()) < 0.5 and np.sqrt(np.mean(ratios**2)) < 2
