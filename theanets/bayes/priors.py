"""Priors: random variables of PyMC that stand for parameters of a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pymc as pm
from pytensor.graph.basic import Variable

from .. import names
from ..errors import ConfigurationError, unknown
from ..options import as_number

Dims = tuple[str, ...]

#: The priors that have a name.
NAMED = ("fan", "layer", "ard")


def choose(params: Sequence[Any], priors: Any, only: Any = None) -> dict[Any, Any]:
    """Find the prior of each parameter: that of the first pattern that its name matches.

    Parameters
    ----------
    params : list of shared variables
        The parameters of a network.
    priors : object or dict
        One prior for all of them, or priors by patterns of names: ``'*.w'``,
        ``'out'`` (all of that layer).
    only : str or list of str, optional
        Patterns of those that count, of all that have a prior.

    Returns
    -------
    dict
        Priors by parameter; those that nothing matches are not in it.

    Raises
    ------
    UnknownNameError
        If a pattern matches no parameter.
    ConfigurationError
        If a prior is none.
    """
    given = priors if isinstance(priors, Mapping) else {"*": priors}
    if not given:
        raise ConfigurationError("priors={} leaves nothing to be random; expected at least one")
    known = {p.name: p for p in params}
    chosen: dict[Any, Any] = {}
    for pattern, prior in given.items():
        _refuse_distribution(pattern, prior)
        if not (callable(prior) or as_number(prior, "positive") or _is_named(prior)):
            raise ConfigurationError(
                f"priors: the prior of {pattern!r} is {prior!r}; expected a positive number (a "
                "standard deviation), 'fan', 'layer', 'ard' or a callable (name, dims) that makes "
                "a variable of PyMC"
            )
        patterns = names.param_patterns(pattern)
        for name in names.match_some("priors", patterns, known):
            chosen.setdefault(known[name], prior)
    found = {p: chosen[p] for p in params if p in chosen}
    if only is None:
        return found
    by_name = {str(p.name): p for p in found}
    kept = names.match_some("params", names.param_patterns(only), by_name)
    return {p: prior for p, prior in found.items() if p.name in kept}


def _refuse_distribution(pattern: str, prior: Any) -> None:
    """Refuse a distribution of PyMC, which does not say of which variable it is one."""
    kind = isinstance(prior, type) and issubclass(prior, pm.Distribution)
    if kind or isinstance(prior, Variable):
        name = f"pm.{prior.__name__}" if kind else "pm.Normal"
        what = f"the class {name}" if kind else f"the variable {prior!r}"
        raise ConfigurationError(
            f"priors: the prior of {pattern!r} is {what}; expected a callable that makes a "
            f"variable of each parameter: lambda name, dims: {name}(name, ..., dims=dims)"
        )


def _is_named(prior: Any) -> bool:
    if isinstance(prior, str) and prior not in NAMED:
        raise unknown("prior", prior, NAMED)
    return isinstance(prior, str)


def dims_of(param: Any) -> Dims:
    """Get the names of a parameter's axes: ``('hid1.w:in', 'hid1.w:out')``, ``('hid1.b:out',)``."""
    ndim = param.ndim
    ends = ["in", "out"][-min(ndim, 2) :] if ndim else []
    return tuple(f"{param.name}:{end}" for end in [*map(str, range(ndim - len(ends))), *ends])


def coords_of(param: Any) -> dict[str, Any]:
    """Get the coordinates of a parameter's axes."""
    shape = param.get_value(borrow=True).shape
    return {dim: np.arange(length) for dim, length in zip(dims_of(param), shape, strict=True)}


def make(param: Any, prior: Any) -> Any:
    """Make the random variable for a parameter, in the model of the context.

    Its initial value is the present one of the parameter.

    Parameters
    ----------
    param : shared variable
        The parameter.
    prior : float, str or callable
        See `theanets.bayes.model`.

    Returns
    -------
    variable
        Of the parameter's type.
    """
    name, dims = str(param.name), dims_of(param)
    value = param.get_value()
    if callable(prior):
        return _own(prior, name, dims, value)
    if prior in ("ard", "layer"):
        return _scaled(name, dims, value, by_input=prior == "ard")
    # PyTensor takes a plain number as single precision where that has it exactly.
    scale = np.float64(fan(value) if prior == "fan" else prior)
    return pm.Normal(name, 0.0, scale, dims=dims or None, initval=value)


def fan(value: Any) -> float:
    """Get one over the square root of the number of inputs of a unit; 1 for biases."""
    return 1.0 if value.ndim < 2 else 1 / float(np.sqrt(np.prod(value.shape[:-1])))


def deviation(param: Any, prior: Any) -> float:
    """Get the standard deviation of a prior that is normal and has a known one."""
    if prior == "fan":
        return fan(param.get_value(borrow=True))
    if callable(prior) or isinstance(prior, str):
        raise ConfigurationError(
            f"Laplace's method needs normal priors, numbers or 'fan'; that of {param.name!r} is "
            f"{prior!r}"
        )
    return float(prior)


def _scaled(name: str, dims: Dims, value: Any, by_input: bool) -> Any:
    """Make a normal variable whose scale is random too: for each input, or for all alike."""
    start = np.float64(fan(value))
    own = dims[-2:-1] if by_input else ()
    initial = np.full(value.shape[-2:-1], start) if own else np.asarray(start)
    scale = pm.HalfNormal(f"{name}_scale", start, dims=own or None, initval=initial)
    # Non-centred: sampling is hard where the spread of many is a single variable.
    standard = pm.Normal(f"{name}_standard", 0.0, 1.0, dims=dims or None, initval=value / start)
    return pm.Deterministic(
        name, (scale[..., None] if own else scale) * standard, dims=dims or None
    )


def _own(prior: Callable[[str, Dims], Any], name: str, dims: Dims, value: Any) -> Any:
    """Make the variable by the user's function."""
    model = pm.modelcontext(None)
    made = prior(name, dims)
    if getattr(made, "name", None) != name or name not in model.named_vars:
        raise ConfigurationError(
            f"priors: the prior of {name!r} made {made!r}; expected a variable of PyMC of that "
            "name, such as pm.Laplace(name, 0, 1, dims=dims)"
        )
    if not made.dtype.startswith("float"):
        raise ConfigurationError(
            f"priors: the prior of {name!r} is over whole numbers, of dtype {made.dtype}; expected "
            "one over real numbers, such as pm.Laplace(name, 0, 1, dims=dims)"
        )
    shape = tuple(map(int, model.eval_rv_shapes()[name])) if made in model.free_RVs else None
    if made.ndim != value.ndim or (shape is not None and shape != value.shape):
        found = shape if shape is not None else f"{made.ndim} dimensions"
        raise ConfigurationError(
            f"priors: the prior of {name!r} has {found}; expected {value.shape}: give it dims=dims"
        )
    if made in model.free_RVs and model.rvs_to_initial_values.get(made) is None:
        model.set_initval(made, value)
    return made
