"""Posteriors: predictions by draws, files, and what ArviZ makes of them."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import special, stats

import theanets

pytest.importorskip("pymc")
bayes = pytest.importorskip("theanets.bayes")
draws_of = pytest.importorskip("theanets.bayes.draws")
models = pytest.importorskip("theanets.bayes.models")

CHAINS, DRAWS = 2, 3


def drawn(net, rng, data, noise=None, names=None):
    """Get a posterior of made-up draws about the network's parameters."""
    draws = {
        p.name: p.get_value() + 0.3 * rng.normal(size=(CHAINS, DRAWS, *p.get_value().shape))
        for p in net.params
        if names is None or p.name in names
    }
    if noise is not None:
        draws["out_noise"] = noise
    terms = models.terms_of(*models.arrays_of(net, data))
    return bayes.Posterior(net, draws_of.inference_data(draws, net), terms, "test"), draws


def with_draw(net, draws, index):
    """Set a network's parameters to a draw."""
    for p in net.params:
        if p.name in draws:
            p.set_value(draws[p.name][index])
    return net


@pytest.fixture
def data(rng):
    return [rng.normal(size=(9, 2)), rng.normal(size=(9, 1))]


@pytest.fixture
def net():
    return theanets.Regressor([2, (3, "tanh"), 1], dtype="float64", rng=3)


@pytest.fixture
def made(net, rng, data):
    return drawn(net, rng, data, rng.uniform(0.5, 2, size=(CHAINS, DRAWS)))


def test_means_are_predictions_with_each_draw(made, net, data):
    posterior, draws = made
    found = posterior.predict(data[0])
    assert found.dims == ("chain", "draw", "example", "out:0")
    for index in np.ndindex(CHAINS, DRAWS):
        expected = with_draw(net, draws, index).predict(data[0])
        np.testing.assert_allclose(found.values[index], expected, atol=1e-12)
    hidden = posterior.predict(data[0], output="hid1")
    np.testing.assert_allclose(hidden.values[-1, -1], net.feed_forward(data[0])["hid1:out"])


def test_what_is_not_random_keeps_its_value_whatever_becomes_of_the_network(net, rng, data):
    posterior, draws = drawn(net, rng, data, names=["out.w"])
    before = posterior.predict(data[0])
    with_draw(net, draws, (1, 2))
    np.testing.assert_allclose(before.values[1, 2], net.predict(data[0]), atol=1e-12)
    for p in net.params:
        p.set_value(p.get_value() + 1)
    np.testing.assert_array_equal(posterior.predict(data[0]).values, before.values)


def test_bands_are_quantiles_over_all_draws(made, data):
    found = made[0].predict(data[0], bands=(0.05, 0.95))
    values = made[0].predict(data[0]).values.reshape(-1, 9, 1)
    np.testing.assert_allclose(found.values, np.quantile(values, (0.05, 0.95), axis=0))
    np.testing.assert_allclose(made[0].interval(data[0], 0.9, "mean").values, found.values)


def test_observations_have_the_noise_of_their_draw(made, data):
    posterior, draws = made
    x = np.tile(data[0], (2000, 1))
    residuals = posterior.predict(x, "observed", rng=1) - posterior.predict(x)
    np.testing.assert_allclose(
        residuals.std(("example", "out:0")).values, draws["out_noise"], rtol=0.03
    )
    one, same, other = (posterior.predict(data[0], "observed", rng=i) for i in (1, 1, 2))
    np.testing.assert_array_equal(one.values, same.values)
    assert not np.isclose(one.values, other.values).any()


def test_log_likelihood_of_each_example(made, net, data):
    posterior, draws = made
    found = posterior.log_likelihood(data)["out"]
    assert found.dims == ("chain", "draw", "example")
    for index in np.ndindex(CHAINS, DRAWS):
        mean = with_draw(net, draws, index).predict(data[0])
        expected = stats.norm.logpdf(data[1], mean, draws["out_noise"][index])[:, 0]
        np.testing.assert_allclose(found.values[index], expected, atol=1e-10)
    assert "log_likelihood" in posterior.idata.children


def test_classes(rng):
    net = theanets.Classifier([2, (3, "tanh"), 4], dtype="float64", rng=3)
    x, labels = rng.normal(size=(9, 2)), rng.integers(4, size=9)
    posterior, draws = drawn(net, rng, [x, labels])
    each = [with_draw(net, draws, i).predict_proba(x) for i in np.ndindex(CHAINS, DRAWS)]
    np.testing.assert_allclose(posterior.predict_proba(x), np.mean(each, axis=0), atol=1e-12)
    found = posterior.log_likelihood([x, labels])["out"].values.reshape(-1, 9)
    expected = np.log([p[np.arange(9), labels] for p in each])
    np.testing.assert_allclose(found, expected, atol=1e-10)
    observed = posterior.predict(np.tile(x[:1], (3000, 1)), "observed", rng=0)
    assert observed.dims == ("chain", "draw", "example")
    shares = [(observed.values.reshape(6, -1)[3] == k).mean() for k in range(4)]
    np.testing.assert_allclose(shares, each[3][0], atol=0.04)


def test_rates_and_decisions(rng):
    x = rng.normal(size=(9, 2))
    counts, yes = rng.integers(4, size=(9, 1)), rng.integers(2, size=(9, 1))
    for loss, activation, target in (("poisson", "linear", counts), ("bce", "sigmoid", yes)):
        net = theanets.Regressor(
            [2, (3, "tanh"), (1, activation)], loss=loss, dtype="float64", rng=3
        )
        posterior, draws = drawn(net, rng, [x, target.astype(float)])
        output = with_draw(net, draws, (1, 1)).feed_forward(x)["out:out"]
        mean = np.exp(output) if loss == "poisson" else output
        np.testing.assert_allclose(posterior.predict(x).values[1, 1], mean, atol=1e-12)
        many = posterior.predict(np.repeat(x[:1], 4000, 0), "observed", rng=0).values[1, 1]
        deviation = np.sqrt(mean[0] if loss == "poisson" else mean[0] * (1 - mean[0]))
        assert abs(many.mean() - mean[0, 0]) < 5 * deviation / np.sqrt(4000)
        if loss == "bce":
            expected = posterior.predict(x).mean(("chain", "draw")).values
            np.testing.assert_allclose(posterior.predict_proba(x), expected)


def test_linear_in_its_parameters(net, rng, data):
    posterior, draws = drawn(net, rng, data, np.ones((CHAINS, DRAWS)))
    best = {p.name: p.get_value() for p in net.params}
    posterior.linearize(best)
    found = posterior.predict(data[0]).values[1, 2]
    step = 1e-6
    expected = with_draw(net, {k: v[None] for k, v in best.items()}, 0).predict(data[0]).copy()
    for p in net.params:
        p.set_value(best[p.name] + step * (draws[p.name][1, 2] - best[p.name]))
    slope = (net.predict(data[0]) - expected) / step
    np.testing.assert_allclose(found, expected + slope, atol=1e-4)


def test_classes_are_linear_in_their_logits(rng):
    net = theanets.Classifier([2, 3], dtype="float64", rng=3)
    x, labels = rng.normal(size=(9, 2)), rng.integers(3, size=9)
    posterior, draws = drawn(net, rng, [x, labels])
    before = posterior.predict(x)
    # Logits of one layer are linear as they are.
    posterior.linearize({p.name: p.get_value() for p in net.params})
    np.testing.assert_allclose(posterior.predict(x).values, before.values, atol=1e-12)
    logits = x @ draws["out.w"][0, 0] + draws["out.b"][0, 0]
    np.testing.assert_allclose(before.values[0, 0], special.softmax(logits, axis=1), atol=1e-12)


def test_files(made, data, tmp_path):
    posterior = made[0]
    posterior.save(tmp_path / "päth.safetensors")
    loaded = bayes.Posterior.load(tmp_path / "päth.safetensors")
    assert repr(loaded) == repr(posterior)
    for what in ("mean", "observed"):
        one, two = (p.predict(data[0], what, rng=5) for p in (posterior, loaded))
        np.testing.assert_array_equal(one.values, two.values)
    assert loaded.idata["posterior"]["hid1.w"].dims == ("chain", "draw", "hid1.w:in", "hid1.w:out")
    for name, text in (("none", None), ("other", b"no posterior")):
        if text is not None:
            (tmp_path / name).write_bytes(text)
        with pytest.raises(theanets.FileError, match=name):
            bayes.Posterior.load(tmp_path / name)
    with pytest.raises(theanets.FileError, match="nowhere"):
        posterior.save(tmp_path / "nowhere" / "posterior")


def test_threads_predict_at_once(made, rng):
    xs = [rng.normal(size=(40, 2)) for _ in range(12)]
    expected = [made[0].predict(x).values for x in xs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            found = pool.map(lambda x: made[0].predict(x).values, xs)
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one, other)


def test_threads_that_draw_with_one_seed_draw_the_same(made, rng):
    # Several batches and draws, so that there is time to come between.
    x = rng.normal(size=(300, 2))
    expected = made[0].predict(x, "observed", rng=7).values
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda _: made[0].predict(x, "observed", rng=7).values, range(24))
        for one in found:
            np.testing.assert_array_equal(one, expected)


def test_no_rows_are_predicted_as_none(made, net, data):
    for given in (data[0][:0], [data[0][:0]], {"in": data[0][:0]}):
        assert made[0].predict(given).shape == (CHAINS, DRAWS, 0, 1)
    assert made[0].predict(data[0][:0], "observed").dims == ("chain", "draw", "example", "out:0")
    assert made[0].interval(data[0][:0]).shape == (2, *net.predict(data[0][:0]).shape)
    with pytest.raises(theanets.DataError):
        made[0].predict(data[0][:0, :1])


def test_rows_are_predicted_batch_by_batch(made, rng, monkeypatch):
    posteriors = pytest.importorskip("theanets.bayes.posterior")
    x = rng.normal(size=(10, 2))
    expected = made[0].predict(x)
    monkeypatch.setattr(posteriors, "BATCH_SIZE", 4)
    np.testing.assert_allclose(made[0].predict(x).values, expected.values)


def test_the_weight_of_a_loss_multiplies_its_log_likelihood(made, net, rng, data):
    posterior, draws = made
    posterior.net.losses[0].weight = 2.0
    found = posterior.log_likelihood(data)["out"].values
    posterior.net.losses[0].weight = 1.0
    np.testing.assert_allclose(found, 2 * posterior.log_likelihood(data)["out"].values)
    # As the model's density has it.
    net.losses[0].weight = 2.0
    model = bayes.model(net, data, noise=1.0)
    own = {name: value for name, value in draws.items() if name != "out_noise"}
    point = {**model.initial_point(), **{name: value[0, 1] for name, value in own.items()}}
    term = float(model.compile_logp(vars=model.potentials)(point))
    terms = models.terms_of(*models.arrays_of(net, data))
    known = bayes.Posterior(
        net, draws_of.inference_data(own, net), terms, "test", dict(out_noise=1)
    )
    np.testing.assert_allclose(known.log_likelihood(data)["out"].values[0, 1].sum(), term)


def test_of_a_likelihood_of_the_user_s_outputs_are_predicted(made, net, data):
    posterior = bayes.Posterior(net, made[0].idata, [], "test")
    np.testing.assert_array_equal(posterior.predict(data[0]), made[0].predict(data[0]))
    with pytest.raises(theanets.ConfigurationError, match="a likelihood= of your own"):
        posterior.predict(data[0], "observed")
    with pytest.raises(theanets.ConfigurationError, match="a likelihood= of your own"):
        posterior.log_likelihood(data)


def test_what_has_no_meaning_is_refused(made, rng, data):
    posterior = made[0]
    for arguments, message in [
        (dict(what="modes"), "what=.*modes.*mean, observed"),
        (dict(bands=(0.5, 1.5)), "bands"),
        (dict(bands=()), "bands"),
        (dict(output="hidden"), "hidden"),
        (dict(what="observed", output="hid1"), "no loss is about"),
    ]:
        with pytest.raises(theanets.ConfigurationError, match=message):
            posterior.predict(data[0], **arguments)
    with pytest.raises(theanets.ConfigurationError, match="probability=2"):
        posterior.interval(data[0], 2)
    with pytest.raises(theanets.ConfigurationError, match="mse"):
        posterior.predict_proba(data[0])
    with pytest.raises(theanets.DataError):
        posterior.predict(data[0][:, :1])
    net = theanets.Regressor([2, 1], loss="huber", dtype="float64")
    other, _ = drawn(net, rng, data)
    with pytest.raises(theanets.ConfigurationError, match=r"huber.*none can be drawn"):
        other.predict(data[0], "observed")


@pytest.mark.parametrize("again", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_copies_predict_the_same(made, data, again):
    """Also when functions have been compiled, which are not copied."""
    posterior, _ = made
    found = posterior.predict(data[0])
    np.testing.assert_array_equal(again(posterior).predict(data[0]), found)
