"""Bayesian networks of series, also of different lengths: steps that do not exist have no part."""

import numpy as np
import pytest
from scipy import stats

import theanets
from theanets import recurrent

pm = pytest.importorskip("pymc")
bayes = pytest.importorskip("theanets.bayes")
draws_of = pytest.importorskip("theanets.bayes.draws")
models = pytest.importorskip("theanets.bayes.models")

LENGTHS = (4, 2, 5)


@pytest.fixture
def series(rng):
    return [rng.normal(size=(n, 2)) for n in LENGTHS]


def log_joint(model):
    return float(model.compile_logp()(model.initial_point()))


def log_priors(net):
    found = 0.0
    for p in net.params:
        value = p.get_value()
        fan = 1 / np.sqrt(len(value)) if value.ndim > 1 else 1
        found += stats.norm.logpdf(value, 0, fan).sum()
    return found


def drawn(net, rng, data, **more):
    draws = {
        p.name: p.get_value() + 0.3 * rng.normal(size=(1, 2, *p.get_value().shape))
        for p in net.params
    }
    terms = models.terms_of(*models.arrays_of(net, data))
    return bayes.Posterior(net, draws_of.inference_data({**draws, **more}, net), terms, "test"), {
        name: value[0, 1] for name, value in draws.items()
    }


def alone(net, series, asks=False):
    """Compute the outputs of each series by itself."""
    given = [{"in": one[None], "lengths": [len(one)]} if asks else one[None] for one in series]
    return [net.feed_forward(one)["out:out"][0] for one in given]


@pytest.mark.parametrize("lengths", ["asked", "unasked"])
def test_densities_are_those_of_the_steps_that_exist(lengths, series, rng):
    own = [dict(form="lengths", name="lengths")] if lengths == "asked" else []
    layers = [2, *own, dict(form="gru", size=3, inputs="in"), 1]
    net = recurrent.Regressor(layers, dtype="float64", rng=3)
    y = [rng.normal(size=(n, 1)) for n in LENGTHS]
    pairs = zip(y, alone(net, series, own))
    terms = [stats.norm.logpdf(a, mean, 0.5).sum() for a, mean in pairs]
    model = bayes.model(net, [series, y], noise=0.5)
    assert log_joint(model) == pytest.approx(log_priors(net) + sum(terms), abs=1e-8)
    posterior, draw = drawn(net, rng, [series, y], out_noise=np.full((1, 2), 0.5))
    for p in net.params:
        p.set_value(draw[p.name])
    means = alone(net, series, own)
    found = posterior.log_likelihood([series, y])["out"].values[0, 1]
    expected = [stats.norm.logpdf(a, m, 0.5).sum() for a, m in zip(y, means)]
    np.testing.assert_allclose(found, expected, atol=1e-10)
    # What is predicted is 0 where there is no step, also with noise.
    for what in ("mean", "observed"):
        values = posterior.predict(series, what, rng=0).values[0, 1]
        for one, mean, n in zip(values, means, LENGTHS):
            if what == "mean":
                np.testing.assert_allclose(one[:n], mean, atol=1e-12)
            assert (one[:n] != 0).all() and (one[n:] == 0).all()
    # And with series of one length after those of many.
    whole = np.stack([series[0]] * 2)
    whole = {"in": whole, "lengths": [4, 4]} if own else whole
    np.testing.assert_allclose(posterior.predict(whole).values[0, 1, 1], means[0], atol=1e-12)


def test_labels_of_series_of_different_lengths(series, rng):
    net = recurrent.Classifier([2, dict(form="gru", size=3, last=True), 4], dtype="float64", rng=3)
    labels = np.array([0, 3, 1])
    logits = np.stack([net.feed_forward(one[None])["out:out"][0] for one in series])
    likelihood = np.log(logits[np.arange(3), labels]).sum()
    model = bayes.model(net, [series, labels])
    assert log_joint(model) == pytest.approx(log_priors(net) + likelihood, abs=1e-8)
    assert [v.name for v in model.observed_RVs] == ["out"]
    posterior = bayes.fit(net, [series, labels], "laplace", priors={"out": 1.0}, draws=3, rng=0)
    np.testing.assert_allclose(posterior.predict_proba(series).sum(axis=1), 1)


def test_the_best_noise_is_that_of_the_steps_that_exist(series, rng):
    net = recurrent.Regressor([2, dict(form="gru", size=3), 1], dtype="float64", rng=3)
    y = [rng.normal(size=(n, 1)) for n in LENGTHS]
    posterior = bayes.fit(net, [series, y], "mc_dropout", params="out", draws=3, rng=0)
    means = posterior.predict(series).mean(("chain", "draw")).values
    squares = np.concatenate([(m[:n] - a)[:, 0] ** 2 for m, a, n in zip(means, y, LENGTHS)])
    assert posterior.noise["out_noise"] == pytest.approx(np.sqrt(squares.mean()))
    # Methods that train go through the same series.
    trained = bayes.fit(
        net, [series, y], "ensemble", draws=2, epochs=1, patience=None, progress=False, rng=0
    )
    assert trained.predict(series).shape == (1, 2, 3, 5, 1)


def test_batches_of_series_stand_for_all(rng):
    net = recurrent.Regressor([2, dict(form="gru", size=3), 1], dtype="float64", rng=3)
    # With rows that are equal, it does not matter which are drawn.
    x, y = np.ones((6, 4, 2)), np.ones((6, 4, 1))
    data = {"in": x, "target": y, "lengths": np.full(6, 3)}
    whole = log_joint(bayes.model(net, data, noise=1.0))
    assert log_joint(bayes.model(net, data, noise=1.0, batch_size=2)) == pytest.approx(whole)
    cut = log_joint(bayes.model(net, [x[:, :3], y[:, :3]], noise=1.0))
    assert whole == pytest.approx(cut)
    with pytest.raises(theanets.DataError, match="gives batches; a posterior is that of all data"):
        bayes.model(net, lambda: [x, y])
