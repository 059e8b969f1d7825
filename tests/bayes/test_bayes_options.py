"""What PyMC would refuse late, or compute wrongly, is refused before anything is compiled."""

from functools import wraps

import numpy as np
import pytensor
import pytest

import theanets

pm = pytest.importorskip("pymc")
bayes = pytest.importorskip("theanets.bayes")


@pytest.fixture
def net():
    return theanets.Regressor([3, (2, "tanh"), 1], dtype="float64", rng=1)


@pytest.fixture
def data(rng):
    return [rng.normal(size=(8, 3)), rng.normal(size=(8, 1))]


@pytest.fixture
def nothing_compiled(monkeypatch):
    """Let nobody compile but by the mode that compiles nothing."""
    make = pytensor.function

    def function(*arguments, mode=None, **keywords):
        found = pytensor.compile.mode.get_mode(mode)
        assert type(found.linker).__name__ not in ("NumbaLinker", "Sparing"), "compiles"
        return make(*arguments, mode=mode, **keywords)

    monkeypatch.setattr(pytensor, "function", function)
    with pytensor.config.change_flags(mode="NUMBA"):
        yield


def wide(outputs, data):
    pm.Normal("y", outputs["out:out"][:, 0], 1.0, observed=data["target"])


def unlike(outputs, data):
    pm.Normal("y", outputs["hid1:out"].T, 1.0, observed=data["target"])


def vectors(outputs, data):
    both = pm.math.concatenate([outputs["out:out"]] * 2, axis=1)
    pm.MvNormal("y", both, np.eye(2), observed=np.zeros((8, 2)))


@pytest.mark.usefixtures("nothing_compiled")
@pytest.mark.parametrize(
    "method, options, message",
    [
        ("nuts", dict(chain=2), "unknown .*'chain'.*did you mean 'chains'"),
        ("nuts", dict(target_acept=0.9), "did you mean 'target_accept'"),
        ("nuts", dict(nuts_sampler="nutpy"), "did you mean 'nutpie'"),
        ("nuts", dict(nuts_sampler="numpyro", max_treedepth=5), "max_treedepth"),
        ("nuts", dict(return_inferencedata=False), "needs the draws of all parameters"),
        ("nuts", dict(var_names=["out.b"]), "needs the draws of all parameters"),
        ("nuts", dict(random_seed=3), "random_seed"),
        ("nuts", dict(tune=-1), "tune=-1"),
        ("nuts", dict(chains=0), "chains=0"),
        ("nuts", dict(target_accept=2), r"target_accept=2 is not a number in \(0, 1\)"),
        ("advi", dict(steps=100), "unknown .*'steps'"),
        ("advi", dict(obj_optimiser=None), "did you mean 'obj_optimizer'"),
        ("advi", dict(n=0), "n=0"),
        ("sgld", dict(stepsize=1), "did you mean 'step_size'"),
        ("nuts", dict(priors={"hid9.w": 1.0}), "hid9.w.*valid: hid1.b"),
        ("laplace", dict(priors={"hid9.*": 1.0}), "hid9"),
        ("swag", dict(priors={"hid9.*": 1.0}), "hid9"),
        ("mc_dropout", dict(params="hid9.w"), "hid9.w"),
        ("swag", dict(noise=-1, epochs=1), "noise=-1"),
        ("ensemble", dict(noise="much", epochs=1), "noise='much'"),
        ("nuts", dict(noise=lambda name: 3.0), "noise= made 3.0 for 'out_noise'"),
        ("nuts", dict(likelihood=wide), "distribution of 'y' does not fit"),
        ("nuts", dict(likelihood=unlike), "distribution of 'y' does not fit"),
        ("nuts", dict(likelihood=lambda outputs, data: None), "neither an observed variable"),
        ("nuts", dict(priors=lambda name, dims: pm.Poisson(name, 1, dims=dims)), "whole numbers"),
    ],
)
def test_it_is_refused_before_anything_is_compiled(net, data, method, options, message):
    with pytest.raises(theanets.ConfigurationError, match=message):
        bayes.fit(net, data, method, **options)


@pytest.mark.usefixtures("nothing_compiled")
@pytest.mark.parametrize("method", ["nuts", "advi", "fullrank_advi", "sgld", "laplace"])
def test_single_precision_is_refused_before_anything_is_compiled(data, method):
    net = theanets.Regressor([3, (2, "tanh"), 1])
    with pytest.raises(theanets.ConfigurationError, match=r"float32.*astype\('float64'\)"):
        bayes.fit(net, data, method)


@pytest.mark.usefixtures("nothing_compiled")
@pytest.mark.parametrize(
    "loss, target, message",
    [
        ("poisson", 0.5, "not all targets are whole numbers"),
        ("poisson", -1.0, "-1"),
        ("bce", 2.0, "2"),
        ("xe", 0.5, "integers|distribution|0.5"),
    ],
)
@pytest.mark.parametrize("method", ["nuts", "laplace", "swag"])
def test_targets_that_no_likelihood_has_are_refused(method, loss, target, message, rng):
    kind = theanets.Classifier if loss == "xe" else theanets.Regressor
    last = (1, "sigmoid") if loss == "bce" else 2 if loss == "xe" else 1
    net = kind([3, last], loss=loss, dtype="float64", rng=1)
    y = np.full((8,) if loss == "xe" else (8, 1), target)
    with pytest.raises((theanets.ConfigurationError, theanets.DataError), match=message):
        bayes.fit(net, [rng.normal(size=(8, 3)), y], method)


def test_likelihoods_of_vectors_are_none_of_a_wrong_shape(net, data):
    model = bayes.model(net, data, likelihood=vectors)
    assert [v.name for v in model.observed_RVs] == ["y"]


def test_samplers_get_the_options_of_their_steps(net, data, monkeypatch):
    seen = {}

    @wraps(pm.sample)
    def sample(draws, **options):
        seen.update(options, draws=draws)
        raise InterruptedError

    monkeypatch.setattr(pm, "sample", sample)
    options = dict(target_accept=0.9, nuts=dict(max_treedepth=5), chains=3, draws=7)
    with pytest.raises(InterruptedError):
        bayes.fit(net, data, return_inferencedata=True, **options)
    assert seen["nuts"] == dict(target_accept=0.9, max_treedepth=5) and seen["chains"] == 3
    assert seen["draws"] == 7 and not {"target_accept", "return_inferencedata"} & set(seen)
    with pytest.raises(InterruptedError):
        bayes.fit(net, data, nuts_sampler="pymc", step_scale=0.1, backend="c")
    assert seen["nuts"] == dict(step_scale=0.1)


def test_a_sampler_that_is_not_installed_is_said_to_be(net, data, monkeypatch):
    sampling = pytest.importorskip("theanets.bayes.sampling")
    monkeypatch.setattr(sampling, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install numpyro"):
        bayes.fit(net, data, nuts_sampler="numpyro")


@pytest.mark.parametrize("method", ["nuts", "advi", "sgld"])
def test_all_is_compiled_as_the_network_says(net, data, method, monkeypatch):
    modes = []
    make = pytensor.function

    def function(*arguments, mode=None, **keywords):
        modes.append(pytensor.compile.mode.get_mode(mode))
        return make(*arguments, mode=mode, **keywords)

    monkeypatch.setattr(pytensor, "function", function)
    net.mode = "FAST_COMPILE"
    options = dict(
        nuts=dict(tune=2, chains=1, cores=1, nuts_sampler="pymc", progressbar=False),
        advi=dict(n=2, progressbar=False),
        sgld=dict(tune=1, thin=1),
    )[method]
    if method == "nuts":
        options["compute_convergence_checks"] = False
    with pytensor.config.change_flags(mode="NUMBA"):
        posterior = bayes.fit(net, data, method, draws=2, rng=0, **options)
        posterior.predict(data[0])
    assert modes
    names = {kind.__name__ for m in modes for kind in type(m.linker).__mro__}
    assert "NumbaLinker" not in names
