"""The model of PyMC that a network, data and priors make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from .. import backends, objective
from ..data import comes_in_batches
from ..data.coerce import load
from ..errors import ConfigurationError, DataError
from ..network import Network
from ..options import as_number, whole_number
from ..structure import check_network
from ..structure.replacement import replaced
from . import own
from . import priors as _priors
from .likelihoods import Term
from .modes import Model


def model(
    net: Network,
    data: Any,
    priors: Any = "fan",
    likelihood: Callable[[Any, dict[str, Any]], Any] | None = None,
    *,
    noise: Any = None,
    batch_size: int | None = None,
) -> pm.Model:
    """Make a Bayesian model of a network: priors of its parameters, and a likelihood of data.

    Parameters
    ----------
    net : Network
        The network, with ``dtype='float64'``. It is not changed. Its outputs
        are the clean ones, without dropout and with running statistics.
    data : list or dict of array_like
        As for ``net.train``: inputs, targets, and weights if there are any.
        An entry of weight 0 is left out.
    priors : float, str, callable or dict
        One prior for all parameters, or priors by patterns of their names,
        ``{"*.w": "fan", "out.b": 1.0}``; the first that matches counts. What
        none matches is no random variable, but keeps its value.

        - a number: normal, with that standard deviation;
        - ``'fan'``: normal, with 1 / sqrt(number of inputs of a unit), for
          biases 1;
        - ``'layer'``: normal, whose standard deviation is one random variable
          for the whole parameter, half-normal with that of ``'fan'``;
        - ``'ard'``: the same with a standard deviation for each input of the
          layer, so that inputs that do not matter die out;
        - a callable ``(name, dims)`` that makes and returns a variable of PyMC.
    likelihood : callable, optional
        ``(outputs, data) -> None`` makes the observed variables itself, of
        the outputs of the network and the data, dicts of expressions by name.
        By default they are those of the losses: mse is normal with a standard
        deviation that is inferred, mae is Laplace's distribution likewise, xe
        is categorical, bce is Bernoulli, poisson, gll, laplace and student_t
        are themselves. Any other loss becomes a potential, minus the sum of
        its errors. A loss's weight multiplies its term.
    noise : float or callable, optional
        For mse and mae: the standard deviation (or scale), if it is known, or
        a callable ``(name) -> variable`` that makes its prior; by default it
        is half-normal with scale 1.
    batch_size : int, optional
        The likelihood is that of so many rows, drawn anew at each
        evaluation, times what is missing; for ``pm.fit`` only.

    Returns
    -------
    pymc.Model
        An ordinary model. Its random variables are called as the parameters,
        with dimensions such as ``'hid1.w:in'`` and ``'hid1.w:out'``, and start
        at their present values; the data are ``pm.Data`` by the names that
        they have in the network; the observed variables are called as their
        layers, spreads ``'out_noise'``.

    Raises
    ------
    ConfigurationError
        If a prior is none, the network is in single precision, or has no loss.
    UnknownNameError
        If a pattern matches no parameter.
    DataError
        If the data do not fit the network.

    Examples
    --------
    A Bayesian last layer on a trained network::

        with theanets.bayes.model(net, [x, y], priors={"out": "fan"}):
            trace = pm.sample()

    References
    ----------
    Neal 1996, "Bayesian learning for neural networks".
    """
    check(net)
    if likelihood is not None and not callable(likelihood):
        raise ConfigurationError(f"likelihood={likelihood!r} is no callable (outputs, data)")
    chosen = _priors.choose(net.params, priors)
    seen, arrays = arrays_of(net, data)
    terms = terms_of(seen, arrays) if likelihood is None else []
    _check_noise(terms, noise)
    size = None if batch_size is None else whole_number("batch_size", batch_size)
    coords = {dim: values for p in net.params for dim, values in _priors.coords_of(p).items()}
    with Model(net.mode, coords=coords) as made:
        variables, total = _inputs(seen, arrays, size)
        random = {p: _priors.make(p, prior) for p, prior in chosen.items()}
        outputs, replace = expressions(seen, {**random, **variables})
        if likelihood is not None:
            outputs.replace(replace)
            own.observe(likelihood, outputs, {v.name: made for v, made in variables.items()})
        else:
            _observe(terms, outputs, replace, noise, total)
    return made


def check(net: Any) -> None:
    """Refuse what PyMC cannot work with."""
    check_losses(net)
    if net.dtype != "float64":
        raise ConfigurationError(
            f"the network is in {net.dtype}, but PyMC works in double precision; make it with "
            "dtype='float64', or give net.astype('float64')"
        )


def check_losses(net: Any) -> None:
    """Refuse what is no network, and a network of which nothing says how targets are."""
    check_network(net)
    if not net.losses:
        raise ConfigurationError("the network has no loss, so no likelihood; see net.add_loss")


def arrays_of(net: Network, data: Any, where: str = "data") -> tuple[Network, dict[str, Any]]:
    """Get the network that takes the data, and the arrays that it needs by name, checked.

    For series of different lengths, it is a view of the network, with which it shares all.
    """
    if comes_in_batches(data):
        raise DataError(
            f"{where} is a {type(data).__name__} that gives batches; a posterior is that of all "
            "data, so give arrays"
        )
    net, data = net._ready(data)
    fields = net.fields
    if any(field.sparse for field in fields):
        raise ConfigurationError("models of PyMC take no sparse inputs; make the network dense")
    arrays = load(fields, data, where, lazy=False)
    fits = net.sizes(fields)
    if fits is not None:
        fits([array.shape[1:] for array in arrays], where)
    # What is left of NaN has weight 0, but PyMC takes none at all.
    clean = [np.nan_to_num(array, nan=0.0, posinf=0.0, neginf=0.0) for array in arrays]
    return net, {field.name: array for field, array in zip(fields, clean, strict=True)}


def _inputs(
    net: Network, arrays: Mapping[str, Any], size: int | None
) -> tuple[dict[Any, Any], int | None]:
    """Make what stands for the network's inputs, targets and weights; and how many rows are all."""
    if size is None:
        return {v: pm.Data(v.name, arrays[v.name]) for v in net.variables}, None
    rows = len(arrays[net.variables[0].name])
    if size > rows:
        raise ConfigurationError(f"batch_size={size} is more than the {rows} rows of the data")
    given = [arrays[v.name] for v in net.variables]
    found = pm.Minibatch(*given, batch_size=size)
    parts = found if len(given) > 1 else [found]
    return dict(zip(net.variables, parts, strict=True)), rows


def expressions(
    net: Network, replace: Mapping[Any, Any]
) -> tuple[Any, Callable[[Sequence[Any]], list[Any]]]:
    """Get the clean outputs with variables replaced, and a function that replaces in others."""
    outputs = objective.build(net.graph, net.bound_losses(), (), training=False).outputs
    known = [*net.params, *net.state, *net.variables]

    def replaced_in(found: Sequence[Any]) -> list[Any]:
        return replaced(found, known, replace)

    return outputs, replaced_in


def terms_of(net: Network, arrays: Mapping[str, Any]) -> list[Term]:
    """Get the likelihoods of a network's losses."""
    found: list[Term] = []
    for loss in net.bound_losses():
        layer, _, output = loss.output_name.rpartition(":")
        name = base = layer if output == "out" else loss.output_name
        number = 2
        while name in {term.name for term in found} | {v.name for v in net.variables}:
            name, number = f"{base}:{number}", number + 1
        found.append(Term(loss, name, arrays[loss.variables[0].name]))
    return found


def weights_of(net: Network, term: Term, arrays: Mapping[str, Any]) -> Any:
    """Get what each entry of a target counts, 0 where there is no step; None for 1 each."""
    weights = term.parts(expressions(net, {})[0])[2]
    if weights is None:
        return None
    function = backends.function(net.variables, weights, dtype=net.dtype, mode="FAST_COMPILE")
    return function(*(arrays[v.name] for v in net.variables))


def _check_noise(terms: Sequence[Term], noise: Any) -> None:
    if noise is None:
        return
    if terms and not any(term.spread_name for term in terms):
        raise ConfigurationError("noise= is for mse and mae; no loss of the network is one of them")
    if not callable(noise) and as_number(noise, "positive") is None:
        raise ConfigurationError(
            f"noise={noise!r} is neither a positive number nor a callable that makes a variable"
        )


def _observe(
    terms: Sequence[Term],
    outputs: Any,
    replace: Callable[[Sequence[Any]], list[Any]],
    noise: Any,
    total: int | None,
) -> None:
    """Make the observed variables, or potentials."""
    for term in terms:
        spread = None if term.spread_name is None else spread_of(term.spread_name, noise)
        loss = term.loss
        weights = None if term.distribution is None else term.parts(outputs)[2]
        if term.distribution is not None and weights is None and loss.weight == 1:
            target, output, _ = term.parts(outputs)
            kind, arguments = term.arguments(output, spread)
            # Replaced one by one: a spread is none of the network's variables.
            keys = [key for key, value in arguments.items() if hasattr(value, "owner")]
            target, *values = replace([target, *(arguments[key] for key in keys)])
            arguments |= dict(zip(keys, values, strict=True))
            kind(term.name, **arguments, observed=target, total_size=total)
            continue
        found = replace([term.log_density(outputs, spread)])[0].sum() * loss.weight
        if total is not None:
            found = found * (total / replace([outputs[loss.output_name]])[0].shape[0])
        pm.Potential(term.name, found)


def spread_of(name: str, noise: Any) -> Any:
    """Make the variable for the spread of a likelihood, or get the number that it is."""
    if noise is None:
        return pm.HalfNormal(name, 1.0)
    if not callable(noise):
        return pt.constant(np.float64(noise), name=name)
    made = noise(name)
    if getattr(made, "name", None) != name or made.ndim:
        raise ConfigurationError(
            f"noise= made {made!r} for {name!r}; expected a variable of PyMC of that name that is "
            "a single number, such as pm.HalfNormal(name, 1.0)"
        )
    return made
