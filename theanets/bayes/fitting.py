"""Inference: the posterior of a network by one of many methods."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import rng as _rng
from ..errors import ConfigurationError, check_keywords, unknown
from ..network import Network
from ..options import as_number, whole_number
from . import laplace, sampling, trained
from . import priors as _priors
from .draws import inference_data
from .likelihoods import SPREADS, Term
from .models import arrays_of, check, check_losses, model, terms_of, weights_of
from .modes import mode
from .posterior import Posterior

Array = npt.NDArray[Any]

METHODS = ("nuts", "advi", "fullrank_advi", "laplace", "swag", "sgld", "ensemble", "mc_dropout")


def fit(
    net: Network,
    data: Any,
    method: str = "nuts",
    *,
    priors: Any = "fan",
    likelihood: Callable[[Any, dict[str, Any]], Any] | None = None,
    noise: Any = None,
    draws: int | None = None,
    rng: Any = None,
    **options: Any,
) -> Posterior:
    """Infer the posterior of a network's parameters.

    Parameters
    ----------
    net : Network
        The network. It is not changed; what it has learned already is where
        inference begins, or what it is about.
    data : list or dict of array_like
        As for ``net.train``.
    method : str
        - ``'nuts'``: Hamiltonian Monte Carlo, the reference; for hundreds to
          some thousands of parameters. Options are those of ``pm.sample``:
          ``chains``, ``tune``, ``nuts_sampler`` ('pymc', 'nutpie',
          'numpyro', 'blackjax'), ``target_accept``, ...
        - ``'advi'``, ``'fullrank_advi'``: variational, a normal distribution
          with independent or with correlated parameters. Options: ``n``
          (steps, 20,000), ``batch_size``, and those of ``pm.fit``.
        - ``'laplace'``: a normal distribution about the best parameters, for
          priors that are numbers or ``'fan'``. Options: ``params`` (patterns
          of what is random, of that which has priors; ``'out'`` for the last layer), ``structure``
          (``'full'``, ``'kron'`` or ``'diag'``), ``tune`` (True: a factor of
          the priors' precisions, and the noise, by the marginal likelihood).
        - ``'swag'``: a normal distribution of the path of SGD with a constant
          learning rate; of a network that is trained already. Options: ``rank``
          (20), ``epochs`` (40), and those of ``net.train``.
        - ``'sgld'``: stochastic gradient Langevin dynamics. Options:
          ``batch_size``, ``step_size`` (1e-3), ``tune`` (1,000 steps), ``thin`` (10).
        - ``'ensemble'``: networks of the same build, trained from other
          initial values; each is a draw (5 by default). Options are those of
          ``net.train``.
        - ``'mc_dropout'``: weights with dropped inputs, of a network that was
          trained with ``hidden_dropout``. Options: ``dropout`` (0.5), ``params``
          (patterns of weights; by default of all layers but the first).

        SWAG, ensembles and dropout take no account of priors, except for which
        parameters are random; regularizers in ``net.train`` have their part.
    priors, likelihood, noise
        As for `theanets.bayes.model`. Methods that are not PyMC's take a
        number as the noise, or find the best one.
    draws : int, optional
        Draws from the posterior, by ``'nuts'`` for each chain; 1,000 by
        default.
    rng : int or Generator, optional
        Source of randomness; by default fresh.
    **options
        Of the method.

    Returns
    -------
    Posterior

    Raises
    ------
    ConfigurationError
        If an argument has no meaning for the method.
    DataError
        If the data do not fit the network.
    """
    if method not in METHODS:
        raise unknown("method=", method, METHODS)
    count = whole_number("draws", 1000 if draws is None else draws)
    seed = _rng.as_seed(rng)
    if method in ("nuts", "advi", "fullrank_advi", "sgld"):
        return _by_model(net, data, method, priors, likelihood, noise, count, seed, options)
    if likelihood is not None:
        raise ConfigurationError(f"method={method!r} has the likelihood of the losses only")
    check_losses(net)
    seen, arrays = arrays_of(net, data)
    chosen = list(_priors.choose(net.params, priors))
    terms = terms_of(seen, arrays)
    if method == "laplace":
        check(net)
        _check(method, laplace.approximate, options)
        found = laplace.approximate(
            seen, arrays, priors, noise, draws=count, generator=_rng.generator(seed, "laplace"),
            **options,
        )  # fmt: skip
        posterior = _made(net, terms, found.draws, method, found.noise)
        posterior.linearize(found.best)
        posterior.idata["posterior"].attrs.update(
            log_evidence=found.log_evidence, precision=found.precision
        )
        return posterior
    known = _known(terms, noise)
    if noise is not None and not known:
        raise ConfigurationError(
            f"noise={noise!r} is not a positive number, or the network has no loss that needs it"
        )
    if method == "mc_dropout":
        _check(method, trained.dropout, options)
        made = trained.dropout(net, chosen, seed=seed, draws=count, **options)
    elif method == "swag":
        rows = len(next(iter(arrays.values())))
        made = trained.swag(net, data, chosen, rows=rows, seed=seed, draws=count, **options)
    else:
        members = 5 if draws is None else count
        made = trained.ensemble(net, data, chosen, seed=seed, draws=members, **options)
    posterior = _made(net, terms, made, method, known)
    return _with_noise(posterior, seen, terms, arrays)


def _by_model(
    net: Network, data: Any, method: str, priors: Any, likelihood: Any, noise: Any,
    draws: int, seed: int, options: dict[str, Any],
) -> Posterior:  # fmt: skip
    """Infer by the model of PyMC."""
    size = options.pop("batch_size", None)
    if size is not None and method == "nuts":
        raise ConfigurationError("method='nuts' needs all rows at once; batch_size= is for others")
    if method == "sgld":
        _check(method, trained.sgld, options)
    else:
        sampling.check(method, options)
    built = model(net, data, priors, likelihood, noise=noise, batch_size=size)
    if method == "sgld":
        made = trained.sgld(built, seed=seed, draws=draws, mode=mode(net.mode), **options)
        idata = inference_data(made, net)
    elif method == "nuts":
        idata = sampling.sample(net, built, draws, seed, options)
    else:
        idata = sampling.approximate(net, built, method, draws, seed, options)
    terms = [] if likelihood is not None else terms_of(*arrays_of(net, data))
    return Posterior(net, idata, terms, method, _known(terms, noise))


def _known(terms: Sequence[Term], noise: Any) -> dict[str, float]:
    """Get the spreads that are numbers."""
    number = None if noise is None else as_number(noise, "positive")
    return {} if number is None else {t.spread_name: number for t in terms if t.spread_name}


def _made(
    net: Network, terms: Sequence[Term], draws: Mapping[str, Array], method: str,
    noise: Mapping[str, float],
) -> Posterior:  # fmt: skip
    return Posterior(net, inference_data(draws, net), terms, method, noise)


def _with_noise(
    posterior: Posterior, net: Network, terms: Sequence[Term], arrays: Any
) -> Posterior:
    """Set the noise that is not known: the best one for the mean of all predictions."""
    for term in terms:
        if term.spread_name is None or term.spread_name in posterior.noise:
            continue
        given = {v.name: arrays[v.name] for v in net.inputs}
        mean = posterior.predict(given, output=term.loss.output_name).mean(("chain", "draw"))
        best = SPREADS[type(term.loss)]
        distance = np.abs(mean.values - arrays[term.loss.variables[0].name])
        error = distance**2 if best is np.sqrt else distance
        weights = weights_of(net, term, arrays)
        if weights is not None:
            weights = np.broadcast_to(weights, error.shape)
        posterior.noise[term.spread_name] = float(best(np.average(error, weights=weights)))
    return posterior


def _check(method: str, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Refuse options that a method does not have."""
    own = {"net", "arrays", "priors", "noise", "model", "chosen", "draws", "seed", "generator"}
    valid = [name for name in inspect.signature(function).parameters if name not in {*own, "mode"}]
    check_keywords(f"method={method!r}", set(options) - set(valid), valid)
