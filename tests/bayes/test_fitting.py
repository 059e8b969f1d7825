"""Inference: posteriors that are known exactly, and what each method is by its definition."""

import numpy as np
import pytest
from scipy import stats

import theanets

pm = pytest.importorskip("pymc")
bayes = pytest.importorskip("theanets.bayes")
laplace = pytest.importorskip("theanets.bayes.laplace")
models = pytest.importorskip("theanets.bayes.models")

NOISE, PRIOR = 0.3, 0.8


@pytest.fixture
def data(rng):
    x = rng.normal(size=(30, 3))
    y = x @ [[1.0], [2.0], [-1.0]] + 0.5 + NOISE * rng.normal(size=(30, 1))
    return [x, y]


@pytest.fixture
def net():
    return theanets.Regressor([3, 1], dtype="float64", rng=1)


@pytest.fixture
def known(data):
    """Get mean, covariance and evidence of a line with normal priors and known noise."""
    return exact(data, NOISE, PRIOR)


def exact(data, noise, prior):
    x = np.c_[data[0], np.ones(len(data[0]))]
    covariance = np.linalg.inv(x.T @ x / noise**2 + np.eye(4) / prior**2)
    mean = covariance @ x.T @ data[1][:, 0] / noise**2
    of_targets = prior**2 * x @ x.T + noise**2 * np.eye(len(x))
    return mean, covariance, stats.multivariate_normal(cov=of_targets).logpdf(data[1][:, 0])


def flat(posterior):
    draws = posterior.idata["posterior"]
    found = [
        draws[name].values.reshape(draws["out.b"].values.size, -1) for name in ("out.w", "out.b")
    ]
    return np.concatenate(found, axis=1)


def agree(posterior, known, mean=0.1, spread=0.1):
    """Tell whether draws have a mean (in deviations) and a covariance (relative), about."""
    found, deviations = flat(posterior), np.sqrt(np.diag(known[1]))
    np.testing.assert_allclose((found.mean(axis=0) - known[0]) / deviations, 0, atol=mean)
    scaled = np.cov(found.T) / np.outer(deviations, deviations)
    expected = known[1] / np.outer(deviations, deviations)
    np.testing.assert_allclose(scaled, expected, atol=spread)


def test_laplace_is_exact_for_a_line(net, data, known):
    before = [p.get_value() for p in net.params]
    posterior = bayes.fit(
        net, data, "laplace", priors=PRIOR, noise=NOISE, tune=False, draws=40_000, rng=0
    )
    agree(posterior, known, 0.02, 0.03)
    found = posterior.idata["posterior"].attrs
    assert found["log_evidence"] == pytest.approx(known[2], abs=1e-6) and found["precision"] == 1
    for p, value in zip(net.params, before, strict=True):
        np.testing.assert_array_equal(p.get_value(), value)


def test_laplace_finds_precision_and_noise_by_the_evidence(net, data):
    posterior = bayes.fit(net, data, "laplace", priors=PRIOR, draws=10, rng=0)
    found = posterior.idata["posterior"].attrs
    noise, prior = posterior.noise["out_noise"], PRIOR / np.sqrt(found["precision"])
    best = exact(data, noise, prior)[2]
    assert found["log_evidence"] == pytest.approx(best, abs=1e-5)
    for factor in (0.97, 1.03):
        assert exact(data, factor * noise, prior)[2] < best + 1e-4
        assert exact(data, noise, factor * prior)[2] < best + 1e-4


def problem(layers, data, structure, priors=1.0, **keywords):
    model = theanets.Classifier if data[1].dtype.kind == "i" else theanets.Regressor
    net = model(layers, dtype="float64", rng=1, **keywords)
    return laplace._Problem(*models.arrays_of(net, data), priors, None, structure)


def matrix(eigen, size):
    """Put the blocks of a curvature together."""
    blocks = []
    for values, vectors in eigen:
        if isinstance(vectors, tuple):
            vectors = np.kron(*vectors)
        elif vectors is None:
            vectors = np.eye(len(values))
        blocks.append((vectors * values) @ vectors.T)
    found, start = np.zeros((size, size)), 0
    for block in blocks:
        part = slice(start, start + len(block))
        found[part, part] = block
        start += len(block)
    return found


def test_curvatures_of_a_network_are_those_of_its_derivatives(rng):
    x, labels = rng.normal(size=(6, 2)), rng.integers(3, size=6)
    full = problem([2, (3, "tanh"), 3], [x, labels], "full", {"*.w": 2.0, "*.b": 0.5})
    net, params = full.net, full.params

    def logits(i):
        out = net.feed_forward(x[i : i + 1])
        return out["hid1:out"] @ net.find("out.w").get_value() + net.find("out.b").get_value()

    expected, step = 0.0, 1e-6
    for i in range(len(x)):
        columns = []
        for p in params:
            value, scale = p.get_value(), 2.0 if p.name.endswith("w") else 0.5
            for index in np.ndindex(value.shape):
                ends = []
                for sign in (1, -1):
                    moved = value.copy()
                    moved[index] += sign * step
                    p.set_value(moved)
                    ends.append(logits(i)[0])
                p.set_value(value)
                columns.append(scale * (ends[0] - ends[1]) / (2 * step))
        jacobian = np.array(columns).T
        p = net.predict_proba(x[i : i + 1])[0]
        expected = expected + jacobian.T @ (np.diag(p) - np.outer(p, p)) @ jacobian
    found = matrix(full.curvature(), full.size)
    np.testing.assert_allclose(found, expected, atol=1e-7)
    diagonal = problem([2, (3, "tanh"), 3], [x, labels], "diag", {"*.w": 2.0, "*.b": 0.5})
    np.testing.assert_allclose(
        matrix(diagonal.curvature(), full.size), np.diag(np.diag(expected)), atol=1e-7
    )
    kronecker = problem([2, (3, "tanh"), 3], [x, labels], "kron", {"*.w": 2.0, "*.b": 0.5})
    found, start = matrix(kronecker.curvature(), full.size), 0
    for value in kronecker.values:
        part = slice(start, start + value.size)
        start += value.size
        assert np.trace(found[part, part]) == pytest.approx(np.trace(expected[part, part]))
        if value.ndim == 1:
            np.testing.assert_allclose(found[part, part], expected[part, part], atol=1e-7)


def test_kronecker_factors_are_exact_for_the_weights_of_a_line(data):
    full, kronecker = (
        problem([3, 1], data, structure, {"out.w": 1.0}) for structure in ("full", "kron")
    )
    found, expected = (matrix(one.curvature(), 3) for one in (kronecker, full))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.slow
def test_intervals_cover_what_they_say(rng):
    """Of data that are drawn from the model, 90 % intervals hold 90 %: 200 replications."""
    x, beyond = rng.normal(size=(12, 2)), rng.normal(size=(20, 2))
    design, new = np.c_[x, np.ones(12)], np.c_[beyond, np.ones(20)]
    one = problem([2, 4], [x, np.zeros((12, 4))], "full", 1.0)
    one.sigma, one.open = 0.5, False
    inside = []
    for _ in range(200):
        truth = rng.normal(size=(3, 4))
        one.arrays["target"] = design @ truth + 0.5 * rng.normal(size=(12, 4))
        one.settle(1.0)
        draws = one.sample(one.curvature(), 1.0, 400, rng)
        weights = np.concatenate([draws["out.w"][0], draws["out.b"][0][:, None]], axis=1)
        means = new @ weights
        observed = means + 0.5 * rng.normal(size=means.shape)
        target = new @ truth
        for values, real in ((means, target), (observed, target + 0.5 * rng.normal(size=(20, 4)))):
            low, high = np.quantile(values, (0.05, 0.95), axis=0)
            inside.append(((low < real) & (real < high)).mean())
    shares = np.mean(np.reshape(inside, (-1, 2)), axis=0)
    assert (abs(shares - 0.9) < 0.03).all(), shares


@pytest.mark.slow
def test_nuts_agrees_with_the_exact_posterior(net, data, known):
    posterior = bayes.fit(
        net, data, priors=PRIOR, noise=NOISE, draws=1500, tune=500, chains=2, cores=1,
        progressbar=False, rng=0,
    )  # fmt: skip
    assert posterior.idata["posterior"].sizes["chain"] == 2
    agree(posterior, known, 0.15, 0.15)


@pytest.mark.slow
def test_variational_inference_agrees_with_the_exact_posterior(net, data, known):
    posterior = bayes.fit(
        net, data, "fullrank_advi", priors=PRIOR, noise=NOISE, n=6000, draws=4000,
        progressbar=False, rng=0, obj_optimizer=pm.adam(learning_rate=0.01),
    )  # fmt: skip
    agree(posterior, known, 0.4, 0.45)


@pytest.mark.slow
def test_langevin_dynamics_agree_with_the_exact_posterior(net, data, known):
    posterior = bayes.fit(
        net, data, "sgld", priors=PRIOR, noise=NOISE, draws=4000, step_size=0.02, rng=0
    )
    agree(posterior, known, 0.3, 0.3)


@pytest.mark.rewritten  # PyMC's checks of parameters are rewritten into infinite values
def test_langevin_dynamics_that_diverge_are_said_to(rng):
    net = theanets.Regressor([3, 1], loss="poisson", dtype="float64", rng=1)
    data = [rng.normal(size=(30, 3)), np.ones((30, 1))]
    with pytest.raises(theanets.ConfigurationError, match=r"diverged: step_size=1000000"):
        bayes.fit(net, data, "sgld", draws=20, tune=0, step_size=1e6, rng=0)


def test_swag_draws_from_the_moments_of_the_path(net, data):
    path = []

    def keep(run):
        values = {p.name: p.get_value() for p in run.network.params}
        path.append(np.concatenate([np.ravel(values[name]) for name in ("out.w", "out.b")]))

    posterior = bayes.fit(
        net, data, "swag", rank=5, draws=20_000, rng=0, callbacks=[keep], learning_rate=0.05,
        epochs=12, batch_size=10, progress=False,
    )  # fmt: skip
    means = [np.mean(path[: i + 1], axis=0) for i in range(len(path))]
    deviations = (np.array(path) - means)[-5:]
    covariance = np.diag(np.var(path, axis=0)) / 2 + deviations.T @ deviations / (2 * 4)
    agree(posterior, (np.mean(path, axis=0), covariance), 0.05, 0.05)


def test_a_path_without_noise_is_said_to_be(net, data):
    with pytest.warns(UserWarning, match="one batch holds all 30 rows"):
        bayes.fit(net, data, "swag", epochs=3, draws=3, rng=0, progress=False)


def test_members_of_an_ensemble_are_trained_networks(net, data):
    train = dict(algo="l-bfgs", epochs=3, progress=False)
    posterior = bayes.fit(net, data, "ensemble", draws=3, rng=0, **train)
    assert posterior.idata["posterior"].sizes["draw"] == 3
    found = flat(posterior)
    assert len({tuple(row) for row in found}) == 3
    predicted = posterior.predict(data[0]).mean(("chain", "draw")).values
    expected = np.sqrt(((predicted - data[1]) ** 2).mean())
    assert posterior.noise["out_noise"] == pytest.approx(expected)
    observed = posterior.predict(np.tile(data[0], (500, 1)), "observed", rng=0)
    noise = (observed - posterior.predict(np.tile(data[0], (500, 1)))).std()
    assert float(noise) == pytest.approx(expected, rel=0.02)


def test_dropped_inputs_of_weights(data):
    net = theanets.Regressor([3, (6, "tanh"), (5, "tanh"), 1], dtype="float64", rng=1)
    posterior = bayes.fit(net, data, "mc_dropout", dropout=0.25, draws=2000, rng=0)
    draws = posterior.idata["posterior"]
    first, second = (net.find(f"hid{i}.w").get_value() for i in (1, 2))
    np.testing.assert_array_equal(draws["hid1.w"].values[0, 5], first)
    values = draws["hid2.w"].values[0]
    kept = (values != 0).all(axis=2)
    assert ((values == 0).all(axis=2) | kept).all()
    assert kept.mean() == pytest.approx(0.75, abs=0.02)
    np.testing.assert_allclose(values.mean(axis=0), second, atol=0.1 * abs(second).max())
    other = bayes.fit(net, data, "mc_dropout", dropout=0.25, params="hid1", draws=5, rng=0)
    assert (other.idata["posterior"]["hid1.w"].values == 0).any()


@pytest.mark.parametrize(
    "method, options, message",
    [
        ("hmc", {}, "unknown method= 'hmc'"),
        ("laplace", dict(structure="diagonal"), "did you mean 'diag'"),
        ("laplace", dict(priors="ard"), "needs normal priors"),
        ("laplace", dict(steps=3), "steps"),
        ("laplace", dict(params="hid1"), "unknown params pattern 'hid1.*valid: out.b, out.w"),
        ("laplace", dict(noise=-1), "noise=-1"),
        ("laplace", dict(tune="no"), "tune='no'"),
        ("advi", dict(n=0), "n=0"),
        ("advi", dict(likelihood="normal"), "likelihood='normal' is no callable"),
        ("swag", dict(callbacks=3, batch_size=5), "callbacks=3"),
        ("mc_dropout", dict(dropout=1.5), r"dropout=1.5 is not a number in \(0, 1\)"),
        ("mc_dropout", {}, "no weights of hidden outputs"),
        ("swag", dict(rank=1), "rank"),
        ("swag", dict(epochs=1, progress=False, batch_size=5), "epochs=1 are too few"),
        ("ensemble", dict(priors={"out.w": 1.0}), "must name all parameters"),
        ("ensemble", dict(epoch=3), "epochs"),
        ("nuts", dict(batch_size=3), "needs all rows"),
        ("sgld", dict(step_size=0), "step_size=0 is not a positive number"),
        ("nuts", dict(draws=0), "draws"),
        ("laplace", dict(likelihood=print), "likelihood of the losses only"),
    ],
)
def test_what_has_no_meaning_is_refused(net, data, method, options, message):
    with pytest.raises(theanets.ConfigurationError, match=message):
        bayes.fit(net, data, method, **options)


def test_laplace_of_some_parameters_is_that_of_priors_of_these(data):
    net = theanets.Regressor([3, (2, "tanh"), 1], dtype="float64", rng=1)
    one = bayes.fit(net, data, "laplace", params="out", draws=3, rng=0)
    other = bayes.fit(net, data, "laplace", priors={"out": "fan"}, draws=3, rng=0)
    assert set(one.idata["posterior"]) == {"out.w", "out.b"}
    np.testing.assert_array_equal(flat(one), flat(other))


def test_laplace_refuses_what_is_not_curved(data):
    net = theanets.Regressor([3, 1], loss="mae", dtype="float64")
    with pytest.raises(theanets.ConfigurationError, match="curved, which mae is not"):
        bayes.fit(net, data, "laplace")


def test_laplace_refuses_noise_that_it_cannot_use_or_find(rng):
    labels = [rng.normal(size=(6, 2)), np.arange(6) % 3]
    net = theanets.Classifier([2, 3], dtype="float64", rng=1)
    with pytest.raises(theanets.ConfigurationError, match=r"noise=0.3 is for mse"):
        bayes.fit(net, labels, "laplace", noise=0.3)
    # The evidence of a noise knows nothing of another loss's terms.
    two = theanets.Network([2, dict(name="a", size=1), dict(name="b", size=3, inputs="in")],
                           loss=None, dtype="float64", rng=1)  # fmt: skip
    two.add_loss("mse", output_name="a", target="y")
    two.add_loss("xe", output_name="b", target="labels")
    data = {"in": labels[0], "y": rng.normal(size=(6, 1)), "labels": labels[1]}
    with pytest.raises(theanets.ConfigurationError, match=r"of several, give noise="):
        bayes.fit(two, data, "laplace")
    assert bayes.fit(two, data, "laplace", noise=0.5, draws=2, rng=0).noise == {"a_noise": 0.5}


@pytest.mark.parametrize("method", ["laplace", "swag", "ensemble", "mc_dropout"])
def test_what_is_no_network_is_refused(data, method):
    with pytest.raises(theanets.ConfigurationError, match="net=3 is a int; expected a network"):
        bayes.fit(3, data, method)


def test_noise_weighs_all_entries_of_an_example(rng):
    net = theanets.Regressor([3, (4, "tanh"), 2], weighted=True, dtype="float64", rng=1)
    x, y, w = rng.normal(size=(9, 3)), rng.normal(size=(9, 2)), rng.uniform(size=9)
    posterior = bayes.fit(net, [x, y, w], "mc_dropout", draws=4, rng=0)
    squares = (posterior.predict(x).mean(("chain", "draw")).values - y) ** 2
    expected = np.sqrt(np.average(squares.mean(axis=1), weights=w))
    assert posterior.noise["out_noise"] == pytest.approx(expected)


def test_swag_freezes_what_is_not_random_and_what_the_user_says(data):
    net = theanets.Regressor([3, (4, "tanh"), 1], dtype="float64", rng=1)
    posterior = bayes.fit(
        net, data, "swag", priors={"out": 1.0}, freeze="out.b", draws=3, epochs=2, progress=False,
        batch_size=5,
        rng=0,
    )  # fmt: skip
    draws, bias = posterior.idata["posterior"], net.find("out.b").get_value()
    assert set(draws) == {"out.w", "out.b"}
    np.testing.assert_array_equal(draws["out.b"].values, np.broadcast_to(bias, (1, 3, 1)))
    assert (draws["out.w"].values != net.find("out.w").get_value()).any()


def test_files_hold_the_evidence(net, data, tmp_path):
    posterior = bayes.fit(net, data, "laplace", draws=2, rng=0)
    posterior.save(tmp_path / "posterior")
    loaded = bayes.Posterior.load(tmp_path / "posterior").idata["posterior"].attrs
    assert loaded == {key: posterior.idata["posterior"].attrs[key] for key in loaded}
    assert set(loaded) == {"log_evidence", "precision"}
