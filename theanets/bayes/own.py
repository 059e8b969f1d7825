"""Likelihoods of the user's own: called, and checked for what they made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pymc as pm

from ..errors import ConfigurationError

#: What checks run on: it compiles nothing.
MODE = "FAST_COMPILE"


def observe(
    likelihood: Callable[[Any, dict[str, Any]], Any], outputs: Any, data: dict[str, Any]
) -> None:
    """Have a likelihood make its variables, in the model of the context.

    Raises
    ------
    ConfigurationError
        If it makes none, or a distribution does not have the shape of what is observed.
    """
    model = pm.modelcontext(None)
    before = {*model.observed_RVs, *model.potentials}
    likelihood(outputs, data)
    made = [v for v in model.observed_RVs if v not in before]
    if not made and {*model.potentials} <= before:
        raise ConfigurationError(
            "likelihood= made neither an observed variable nor a potential; expected something "
            "such as pm.Normal('y', outputs['out:out'], 1, observed=data['target'])"
        )
    point = model.initial_point()
    for variable in made:
        _evaluate(model, variable, point)


def _evaluate(model: pm.Model, variable: Any, point: Mapping[str, Any]) -> None:
    """Refuse a distribution that does not have the shape of what is observed."""
    value = model.rvs_to_values[variable]
    shape: Any = ()
    try:
        [terms] = model.logp(vars=[variable], sum=False)
        function = model.compile_fn(
            [value.shape, terms], inputs=model.value_vars, on_unused_input="ignore", mode=MODE
        )
        shape, found = function(point)
        wrong = "" if found.shape == tuple(shape)[: found.ndim] else f"its terms: {found.shape}"
    except (ValueError, TypeError) as error:
        wrong = str(error).partition("\n")[0]
    if wrong:
        raise ConfigurationError(
            f"likelihood=: the distribution of {variable.name!r} does not fit what it observes, of "
            f"shape {tuple(map(int, shape)) or value.type.shape} ({wrong}); outputs and data are "
            "to have the same shape, which (rows,) and (rows, 1) are not"
        )
