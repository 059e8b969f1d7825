"""Inference by PyMC, whose options are checked before anything is compiled."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import nullcontext
from importlib.util import find_spec
from typing import Any

import pymc as pm
from pymc.step_methods.hmc.base_hmc import BaseHMC
from pymc.variational.inference import Inference
from pymc.variational.opvi import ObjectiveFunction

from .. import process
from ..errors import ConfigurationError, check_keywords, unknown
from ..network import Network
from ..options import as_number, whole_number
from .modes import mode

_UNSAID = ("self", "vars", "model", "kwargs", "pytensor_kwargs", "initial_point", "rng")
#: By sampler, options of its steps; ``nuts=`` is a dict of what else one has.
STEPS: dict[str, tuple[str, ...]] = {
    "pymc": tuple(
        name
        for kind in (pm.NUTS, BaseHMC)
        for name in inspect.signature(kind.__init__).parameters
        if name
        not in ("self", "vars", "model", "kwargs", "pytensor_kwargs", "initial_point", "rng")
    ),
    "nutpie": ("target_accept", "max_treedepth"),
    "numpyro": ("target_accept",),
    "blackjax": ("target_accept",),
}
#: What `fit` says itself, or what would leave a posterior without its draws.
_OURS = {"draws", "random_seed", "model", "method", "self", "kwargs", "n", "score"}
_NO_DRAWS = ("return_inferencedata", "var_names", "trace", "step")


def check(method: str, options: Mapping[str, Any]) -> None:
    """Refuse options that the methods of PyMC do not have.

    Raises
    ------
    UnknownNameError, ConfigurationError
    ImportError
        If a sampler is not installed.
    """
    if method == "nuts":
        _check_nuts(options)
        return
    valid = _names(pm.fit, Inference.fit, ObjectiveFunction.step_function) - {"fn_kwargs"}
    given = set(options) - valid - {"n"}
    check_keywords(f"method={method!r}", given, ["n", "batch_size", *sorted(valid)])
    whole_number("n", options.get("n", 1))


def _check_nuts(options: Mapping[str, Any]) -> None:
    sampler = options.get("nuts_sampler")
    if sampler is not None and sampler not in STEPS:
        raise unknown("nuts_sampler=", sampler, list(STEPS))
    for name in _NO_DRAWS:
        if options.get(name) is not None and not (name == "return_inferencedata" and options[name]):
            raise ConfigurationError(
                f"{name}={options[name]!r} is not for theanets.bayes.fit: a posterior needs the "
                "draws of all parameters, as pm.sample gives them by default; for all else, there "
                "is pm.sample in the context of theanets.bayes.model"
            )
    valid = [*sorted(_names(pm.sample) - {*_NO_DRAWS}), "nuts", *_steps(sampler)]
    given = set(options) - {*valid, *_NO_DRAWS}
    where = "method='nuts'" if sampler is None else f"method='nuts', nuts_sampler={sampler!r}"
    check_keywords(where, given, valid)
    for name, least in (("tune", 0), ("chains", 1), ("cores", 1)):
        if options.get(name) is not None:
            whole_number(name, options[name], least)
    accept = options.get("target_accept")
    if accept is not None and as_number(accept, "inner") is None:
        raise ConfigurationError(f"target_accept={accept!r} is not a number in (0, 1)")
    if sampler not in (None, "pymc") and find_spec(sampler) is None:
        raise ImportError(
            f"nuts_sampler={sampler!r} needs {sampler}, which is not installed: pip install "
            f"{sampler}"
        )


def _names(*functions: Any) -> set[str]:
    return {name for f in functions for name in inspect.signature(f).parameters} - _OURS


def _steps(sampler: str | None) -> tuple[str, ...]:
    """Get the options of steps; of whatever sampler PyMC will choose where none is said."""
    return STEPS["nutpie" if sampler is None else sampler]


def sample(net: Network, built: pm.Model, draws: int, seed: int, options: Mapping[str, Any]) -> Any:
    """Draw by NUTS.

    Returns
    -------
    xarray.DataTree
    """
    known = _compiled_by(net, {k: v for k, v in options.items() if k not in _NO_DRAWS})
    # Some samplers take the options of steps there only.
    names = [name for name in _steps(known.get("nuts_sampler")) if name in known]
    steps = {name: known.pop(name) for name in names}
    if steps or "nuts" in known:
        known["nuts"] = {**steps, **known.get("nuts", {})}
    try:
        with built:
            return pm.sample(draws, random_seed=seed, **known)
    except TypeError as error:
        if known.get("nuts_sampler") != "blackjax" or "progress_bar" not in str(error):
            raise
        raise ConfigurationError(
            "this version of PyMC hands an option to BlackJAX that BlackJAX 1.6 and later do not "
            "take; take nuts_sampler='numpyro', or install an earlier one: pip install "
            "'blackjax<1.6'"
        ) from error


def approximate(
    net: Network, built: pm.Model, method: str, draws: int, seed: int, options: Mapping[str, Any]
) -> Any:
    """Draw from the best distribution of a family.

    Returns
    -------
    xarray.DataTree
    """
    known = _compiled_by(net, options)
    steps = known.pop("n", 20_000)
    with built:
        found = pm.fit(steps, method=method, random_seed=seed, **known)
        # What draws is compiled by PyTensor's configuration, and asks for no mode.
        named = isinstance(net.mode, str)
        with process.building(mode=net.mode) if named else nullcontext():
            return found.sample(draws, random_seed=seed)


def _compiled_by(net: Network, options: Mapping[str, Any]) -> dict[str, Any]:
    """Have PyMC compile as the network does, unless the options say how."""
    known = dict(options)
    if known.get("backend") is None:
        known["compile_kwargs"] = {"mode": mode(net.mode), **(known.get("compile_kwargs") or {})}
    return known
