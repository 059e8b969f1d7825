"""Networks of series and of images sample by all samplers that PyMC has."""

import numpy as np
import pytest

import theanets
from theanets import convolution, recurrent

pm = pytest.importorskip("pymc")
bayes = pytest.importorskip("theanets.bayes")

pytestmark = [pytest.mark.slow, pytest.mark.linker, pytest.mark.filterwarnings("default")]


def made(kind, rng):
    if kind == "gru":
        net = recurrent.Regressor([2, (3, "gru"), 1], dtype="float64", rng=1)
        return net, [rng.normal(size=(3, 5, 2)), rng.normal(size=(3, 5, 1))]
    layers = [(6, 6, 1), dict(form="conv2", size=2, filter_size=(3, 3)), "flat", 3]
    net = convolution.Classifier(layers, dtype="float64", rng=1)
    return net, [rng.normal(size=(5, 6, 6, 1)), rng.integers(3, size=5)]


@pytest.mark.parametrize("kind", ["gru", "conv"])
@pytest.mark.parametrize("sampler", ["pymc", "nutpie", "numpyro", "blackjax"])
def test_draws(kind, sampler, rng):
    pytest.importorskip(sampler)
    net, data = made(kind, rng)
    try:
        posterior = bayes.fit(
            net, data, draws=10, tune=20, chains=1, cores=1, nuts_sampler=sampler, rng=0,
            progressbar=False, compute_convergence_checks=False,
        )  # fmt: skip
    except theanets.ConfigurationError as error:
        # PyMC 6.4 hands BlackJAX from 1.6 on an option that it does not take, for any model.
        assert sampler == "blackjax" and "'blackjax<1.6'" in str(error)
        pytest.skip(str(error))
    draws = posterior.idata["posterior"]
    assert all(np.ptp(draws[p.name].values, axis=1).all() for p in net.params)
    for index, name in enumerate(p.name for p in net.params):
        net.params[index].set_value(draws[name].values[0, -1])
    expected = net.predict(data[0]) if kind == "gru" else net.predict_proba(data[0])
    np.testing.assert_allclose(posterior.predict(data[0]).values[0, -1], expected, rtol=1e-8)


@pytest.mark.parametrize("kind", ["gru", "conv"])
def test_blackjax_samples_the_density_of_the_model(kind, rng):
    """By itself, as later ones than 1.5 do not take the call of PyMC 6.4."""
    blackjax, jax = pytest.importorskip("blackjax"), pytest.importorskip("jax")
    from pymc.sampling.jax import get_jaxified_logp

    model = bayes.model(*made(kind, rng))
    names = [v.name for v in model.value_vars]
    start = [np.asarray(model.initial_point()[name]) for name in names]
    size = sum(value.size for value in start)
    sampler = blackjax.nuts(get_jaxified_logp(model), 0.01, np.ones(size))
    state, step = sampler.init(start), jax.jit(sampler.step)
    for i in range(3):
        state, info = step(jax.random.PRNGKey(i), state)
        assert not info.is_divergent
    point = dict(zip(names, map(np.asarray, state.position)))
    expected = model.compile_logp(mode="FAST_COMPILE")(point)
    assert float(state.logdensity) == pytest.approx(float(expected), rel=1e-9)
    assert any((point[name] != value).any() for name, value in zip(names, start))
