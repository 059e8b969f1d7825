"""Models of PyMC that networks make: their densities, variables, and what is refused."""

import numpy as np
import pytest
from scipy import special, stats

import theanets

pm = pytest.importorskip("pymc")
bayes = pytest.importorskip("theanets.bayes")

LINEAR = [2, (3, "tanh"), 1]
HEADS = [
    2,
    (3, "tanh"),
    dict(name="mean", size=1, activation="linear", inputs="hid1"),
    dict(name="spread", size=1, activation="softplus", inputs="hid1"),
]


def log_joint(model):
    return float(model.compile_logp()(model.initial_point()))


def log_priors(net, **deviations):
    """Get the density of normal priors at the network's parameters."""
    found = 0.0
    for p in net.params:
        value = p.get_value()
        fan = 1 / np.sqrt(len(value)) if value.ndim > 1 else 1
        found += stats.norm.logpdf(value, 0, deviations.get(p.name, fan)).sum()
    return found


# Noise starts at 1, with its logarithm as the variable.
NOISE = stats.halfnorm.logpdf(1)
S = 1.0


def twin_gll(net, x, y):
    out = net.feed_forward(x)
    return stats.norm.logpdf(y, out["mean:out"], np.sqrt(out["spread:out"] + 1e-3))


def twin_laplace(net, x, y):
    out = net.feed_forward(x)
    return stats.laplace.logpdf(y, out["mean:out"], out["spread:out"] + 1e-3)


def twin_student(net, x, y):
    out = net.feed_forward(x)
    return stats.t.logpdf(y, 3, out["mean:out"], out["spread:out"] + 1e-3)


def real(rng):
    return rng.normal(size=(8, 1))


CASES = {
    "mse": (LINEAR, {}, real, lambda n, x, y: stats.norm.logpdf(y, n.predict(x), S), NOISE),
    "mae": (LINEAR, {}, real, lambda n, x, y: stats.laplace.logpdf(y, n.predict(x), S), NOISE),
    "bce": (
        [2, (3, "tanh"), (1, "sigmoid")],
        {},
        lambda rng: rng.integers(2, size=(8, 1)),
        lambda n, x, y: stats.bernoulli.logpmf(y, n.predict(x)),
        0,
    ),
    "poisson": (
        LINEAR,
        {},
        lambda rng: rng.integers(4, size=(8, 1)),
        lambda n, x, y: stats.poisson.logpmf(y, np.exp(n.predict(x))),
        0,
    ),
    "huber": (
        LINEAR,
        {},
        real,
        lambda n, x, y: -special.huber(1, y - n.predict(x)),
        0,
    ),
    "gll": (HEADS, {"covar_name": "spread"}, real, twin_gll, 0),
    "laplace": (HEADS, {"scale_name": "spread"}, real, twin_laplace, 0),
    "student_t": (HEADS, {"scale_name": "spread"}, real, twin_student, 0),
}


@pytest.mark.parametrize("name", CASES)
def test_log_density_is_that_of_the_distribution(name, rng):
    layers, options, target, twin, noise = CASES[name]
    net = theanets.Regressor(layers, loss=dict(form=name, **options), dtype="float64", rng=3)
    x, y = rng.normal(size=(8, 2)), target(rng).astype(float)
    model = bayes.model(net, [x, y])
    expected = log_priors(net) + twin(net, x, y).sum() + noise
    assert log_joint(model) == pytest.approx(expected, abs=1e-8)
    observed = [v.name for v in model.observed_RVs]
    assert observed == ([] if name == "huber" else [net.losses[0].output_name.split(":")[0]])


def test_classes(rng):
    net = theanets.Classifier([2, (3, "tanh"), 4], dtype="float64", rng=3)
    x, labels = rng.normal(size=(8, 2)), rng.integers(4, size=8)
    likelihood = np.log(net.predict_proba(x)[np.arange(8), labels]).sum()
    model = bayes.model(net, [x, labels])
    assert log_joint(model) == pytest.approx(log_priors(net) + likelihood, abs=1e-8)
    assert [v.name for v in model.observed_RVs] == ["out"]


@pytest.mark.linker
def test_confident_decisions_are_finite(rng):
    net = theanets.Regressor([2, (1, "sigmoid")], loss="bce", dtype="float64", rng=3)
    net.find("out.w").set_value(np.array([[1e4], [0.0]]))
    x, y = np.array([[1.0, 0.0], [-1.0, 0.0]]), np.array([[0.0], [0.0]])
    model = bayes.model(net, [x, y], priors={"out.b": 1.0})
    assert log_joint(model) == pytest.approx(stats.norm.logpdf(0) - 1e4)
    assert np.isfinite(model.compile_dlogp()(model.initial_point())).all()


def test_weights_multiply_terms_and_0_leaves_them_out(rng):
    net = theanets.Regressor(LINEAR, weighted=True, dtype="float64", rng=3)
    x, y = rng.normal(size=(8, 2)), real(rng)
    w = rng.integers(3, size=y.shape).astype(float)
    w[2] = 0
    spoilt = np.where(w == 0, np.nan, y)
    terms = np.where(w > 0, w * stats.norm.logpdf(y, net.predict(x), 0.5), 0)
    found = log_joint(bayes.model(net, [x, spoilt, w], noise=0.5))
    assert found == pytest.approx(log_priors(net) + terms.sum(), abs=1e-8)
    # What a loss weighs is a power of its likelihood.
    net.losses[0].weight = 2.0
    found = log_joint(bayes.model(net, [x, spoilt, w], noise=0.5))
    assert found == pytest.approx(log_priors(net) + 2 * terms.sum(), abs=1e-8)


def test_several_losses_are_several_observed_variables(rng):
    layers = [2, (3, "tanh"), (1, "linear"), dict(name="two", size=2, inputs="hid1")]
    net = theanets.Network(layers, loss=None, dtype="float64", rng=3)
    net.add_loss("mse", output_name="hid2", target="a")
    net.add_loss("mae", output_name="two", target="b")
    x, a, b = rng.normal(size=(8, 2)), rng.normal(size=(8, 1)), rng.normal(size=(8, 2))
    model = bayes.model(net, dict(zip([v.name for v in net.variables], (x, a, b), strict=True)))
    assert [v.name for v in model.observed_RVs] == ["hid2", "two"]
    out = net.feed_forward(x)
    expected = stats.norm.logpdf(a, out["hid2:out"], S).sum()
    expected += stats.laplace.logpdf(b, out["two:out"], S).sum() + 2 * NOISE + log_priors(net)
    assert log_joint(model) == pytest.approx(expected, abs=1e-8)


def test_batches_stand_for_all_rows():
    # With equal rows, it does not matter which are drawn.
    x, y = np.ones((12, 2)), np.ones((12, 1))
    for weighted in (False, True):
        net = theanets.Regressor(LINEAR, weighted=weighted, dtype="float64", rng=3)
        data = [x, y, np.full((12, 1), 2.0)] if weighted else [x, y]
        whole = log_joint(bayes.model(net, data))
        assert log_joint(bayes.model(net, data, batch_size=5)) == pytest.approx(whole)
    with pytest.raises(theanets.ConfigurationError, match="batch_size=13 is more than the 12"):
        bayes.model(net, data, batch_size=13)


def test_the_first_pattern_wins_and_what_none_matches_keeps_its_value(rng):
    net = theanets.Regressor(LINEAR, dtype="float64", rng=3)
    x, y = rng.normal(size=(8, 2)), real(rng)
    model = bayes.model(net, [x, y], priors={"out.w": 3.0, "out": 0.5}, noise=1.0)
    assert [v.name for v in model.free_RVs] == ["out.w", "out.b"]
    w, b = (net.find(name).get_value() for name in ("out.w", "out.b"))
    expected = stats.norm.logpdf(w, 0, 3).sum() + stats.norm.logpdf(b, 0, 0.5).sum()
    expected += stats.norm.logpdf(y, net.predict(x), 1).sum()
    assert log_joint(model) == pytest.approx(expected, abs=1e-8)
    assert model.named_vars_to_dims["out.w"] == ("out.w:in", "out.w:out")
    assert {"in", "target"} <= {v.name for v in model.data_vars}


@pytest.mark.parametrize("prior", ["fan", "layer", "ard", 2.0, "own"])
def test_all_priors_begin_at_the_network_s_values(prior, rng):
    net = theanets.Regressor(LINEAR, dtype="float64", rng=3)
    x, y = rng.normal(size=(8, 2)), real(rng)
    own = prior if prior != "own" else lambda name, dims: pm.Laplace(name, 0, 1, dims=dims)
    model = bayes.model(net, [x, y], priors=own)
    for p in net.params:
        with model:
            variable = model.replace_rvs_by_values([model[p.name]])
            function = model.compile_fn(variable, inputs=model.value_vars, on_unused_input="ignore")
        np.testing.assert_allclose(function(model.initial_point())[0], p.get_value(), atol=1e-12)


def test_relevance_is_that_of_inputs(rng):
    net = theanets.Regressor(LINEAR, dtype="float64", rng=3)
    model = bayes.model(net, [rng.normal(size=(8, 2)), real(rng)], priors={"hid1.w": "ard"})
    assert model.named_vars_to_dims["hid1.w_scale"] == ("hid1.w:in",)


def test_a_likelihood_of_the_user_s(rng):
    net = theanets.Regressor(LINEAR, dtype="float64", rng=3)
    x, y = rng.normal(size=(8, 2)), real(rng)

    def likelihood(outputs, data):
        pm.Cauchy("y", outputs["out:out"], 1.0, observed=data["target"])

    model = bayes.model(net, [x, y], likelihood=likelihood)
    expected = log_priors(net) + stats.cauchy.logpdf(y, net.predict(x)).sum()
    assert log_joint(model) == pytest.approx(expected, abs=1e-8)
    # It works on random parameters, and not on the network's own.
    moved = {name: value + 1 for name, value in model.initial_point().items()}
    assert float(model.compile_logp()(moved)) != pytest.approx(expected)


def test_dropout_is_off_and_nothing_is_changed(rng):
    net = theanets.Regressor([2, (3, "tanh"), dict(form="dropout"), 1], dtype="float64", rng=3)
    before = [p.get_value() for p in net.params]
    x, y = rng.normal(size=(8, 2)), real(rng)
    found = {log_joint(bayes.model(net, [x, y], noise=1.0)) for _ in range(2)}
    expected = log_priors(net) + stats.norm.logpdf(y, net.predict(x), 1).sum()
    assert len(found) == 1 and found.pop() == pytest.approx(expected)
    for p, value in zip(net.params, before, strict=True):
        np.testing.assert_array_equal(p.get_value(), value)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(priors={"hidden1.w": 1.0}), "hidden1.w.*valid: hid1.b"),
        (dict(priors="fann"), "did you mean 'fan'"),
        (dict(priors=-1.0), "the prior of .* is -1.0; expected a positive number"),
        (dict(priors={}), "leaves nothing to be random"),
        (dict(priors=lambda name, dims: pm.Normal("other")), "expected a variable .* that name"),
        (dict(priors=lambda name, dims: pm.Normal(name, shape=(7, 7))), r"\(7, 7\); expected"),
        (dict(noise=-2), "noise=-2"),
        (dict(batch_size=0), "batch_size"),
    ],
)
def test_what_has_no_meaning_is_refused(options, message, rng):
    net = theanets.Regressor(LINEAR, dtype="float64", rng=3)
    with pytest.raises(theanets.ConfigurationError, match=message):
        bayes.model(net, [rng.normal(size=(8, 2)), real(rng)], **options)


def test_networks_and_data_that_do_not_fit_are_refused(rng):
    x, y = rng.normal(size=(8, 2)), real(rng)
    with pytest.raises(theanets.ConfigurationError, match=r"float32.*float64"):
        bayes.model(theanets.Regressor(LINEAR), [x, y])
    with pytest.raises(theanets.ConfigurationError, match="no loss"):
        bayes.model(theanets.Network(LINEAR, loss=None, dtype="float64"), [x, y])
    net = theanets.Regressor(LINEAR, loss="poisson", dtype="float64")
    with pytest.raises(theanets.ConfigurationError, match="not all targets are whole numbers"):
        bayes.model(net, [x, np.abs(y)])
    with pytest.raises(theanets.ConfigurationError, match="noise= is for mse and mae"):
        bayes.model(net, [x, np.ones_like(y)], noise=1.0)
    with pytest.raises(theanets.DataError, match="it is empty"):
        bayes.model(net, [x[:0], y[:0]])
    with pytest.raises(theanets.DataError):
        bayes.model(net, [x[:, :1], np.ones_like(y)])


def test_classes_that_weigh_have_no_distribution(rng):
    x, labels = rng.normal(size=(8, 2)), np.arange(8) % 3
    for factors in ([1.0, 2.0, 3.0], np.array([1.0, 2.0, 3.0])):
        loss = dict(form="xe", class_weight=factors)
        net = theanets.Classifier([2, 3], loss=loss, dtype="float64", rng=3)
        model = bayes.model(net, [x, labels])
        assert not model.observed_RVs and [v.name for v in model.potentials] == ["out"]


def test_axes_of_parameters_have_names_and_coordinates(rng):
    net = theanets.Regressor(LINEAR, dtype="float64", rng=1)
    model = bayes.model(net, [rng.normal(size=(4, 2)), rng.normal(size=(4, 1))])
    for p in net.params:
        dims = model.named_vars_to_dims[p.name]
        assert tuple(dims) == tuple(f"{p.name}:{end}" for end in ("in", "out")[-p.ndim :])
        lengths = [list(range(n)) for n in p.get_value().shape]
        assert [list(model.coords[dim]) for dim in dims] == lengths
