"""Costs: scalar expressions of any kind, and the shared variables that training may change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.gradient import DisconnectedInputError, NullTypeGradError
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.traversal import ancestors, graph_inputs
from pytensor.graph.utils import MethodNotDefined

from .errors import ConfigurationError, DerivativeError
from .expressions import Expression, Shared
from .objective import distinct, gradients, reachable

#: Types of numbers that costs may have.
DTYPES = ("float32", "float64")


def checked(cost: Any) -> Expression:
    """Refuse what is no cost: it is a scalar expression of floating point.

    Raises
    ------
    ConfigurationError
        If it is something else.
    """
    if not isinstance(cost, pt.TensorVariable):
        raise ConfigurationError(f"cost={cost!r} is not a symbolic expression")
    if cost.ndim:
        raise ConfigurationError(
            f"cost has {cost.ndim} dimension{'s' * (cost.ndim > 1)}; expected a scalar: "
            "cost.mean(), or cost.sum()"
        )
    if cost.dtype not in DTYPES:
        raise ConfigurationError(
            f"cost is of type {cost.dtype}; expected {' or '.join(DTYPES)}: cost.astype('float64')"
        )
    return cost


def shared_variables(expressions: Iterable[Any]) -> list[Shared]:
    """Get the shared variables that some expressions depend on, in the order of the graph."""
    return [v for v in graph_inputs(list(expressions)) if isinstance(v, SharedVariable)]


def trainable(cost: Expression, params: Any = None, kept: Iterable[Shared] = ()) -> list[Shared]:
    """Get the parameters of a cost.

    Parameters
    ----------
    cost : scalar expression
        The cost, `checked`.
    params : list of shared variables, or one, optional
        What to change. By default all shared variables of floating point that the
        cost has a gradient for, but for those that networks keep and do not train,
        such as running means.
    kept : list of shared variables
        What something else changes.

    Returns
    -------
    list of shared variables

    Raises
    ------
    ConfigurationError
        If there is none, or one is no shared variable of floating point, comes twice, is
        not finite, or has nothing to do with the cost.
    """
    kept, live = set(kept), reachable(cost)
    if params is None:
        found = [v for v in shared_variables([cost]) if v in live and _is_trained(v)]
        found = [v for v in found if v not in kept]
        if not found:
            raise ConfigurationError(
                "the cost has a gradient for no shared variable of floating point, so that there "
                "is nothing to train"
            )
    else:
        found = [params] if isinstance(params, Variable) else list(params)
        if not found:
            raise ConfigurationError("params=[] holds no parameter to train")
        _check_given(found, cost, live, kept)
    for param in found:
        if not np.isfinite(param.get_value(borrow=True)).all():
            raise ConfigurationError(
                f"the value of {called(param)} is NaN or infinite: training cannot start there"
            )
    _check_gradients(cost, found)
    return found


def _is_trained(variable: Shared) -> bool:
    return getattr(variable.tag, "trained", True)


def called(variable: Any) -> str:
    """Get what a variable is called in messages."""
    return repr(variable.name) if variable.name else f"<unnamed {variable.type}>"


def _check_given(params: Sequence[Any], cost: Expression, live: set[Any], kept: set[Any]) -> None:
    depends = set(ancestors([cost]))
    for i, param in enumerate(params):
        what = f"params[{i}], {called(param)}," if isinstance(param, Variable) else f"params[{i}]"
        if not isinstance(param, SharedVariable):
            raise ConfigurationError(
                f"{what} is no shared variable but {param!r}; expected pytensor.shared(value)"
            )
        if not str(getattr(param, "dtype", "")).startswith("float"):
            kind = getattr(param, "dtype", param.type)
            raise ConfigurationError(
                f"{what} is of type {kind}, which has no gradient; expected floating point"
            )
        if any(param is other for other in params[:i]):
            raise ConfigurationError(f"{what} is in params twice")
        if param in kept:
            raise ConfigurationError(f"{what} is a parameter, but updates change it as well")
        if param not in depends:
            raise ConfigurationError(f"the cost does not depend on {what} so that it stays")
        if param not in live:
            raise ConfigurationError(
                f"the cost has no gradient for {what} on which it depends only by way of integers, "
                "comparisons, rounding or disconnected_grad"
            )


def _check_gradients(cost: Expression, params: Sequence[Shared]) -> None:
    try:
        gradients(cost, params)
    except (
        DerivativeError,
        DisconnectedInputError,
        MethodNotDefined,
        NotImplementedError,
        NullTypeGradError,
    ) as error:
        raise ConfigurationError(
            f"the cost has no gradient for its parameters: {error}. (For draws from a distribution "
            "whose parameters are trained, draw from one that is fixed and transform it, as in "
            "mean + std * noise)"
        ) from error


def names(variables: Sequence[Shared], otherwise: str) -> list[str]:
    """Get a distinct name for each variable; those without one are called ``otherwise``."""
    found: list[str] = []
    for variable in variables:
        found.append(distinct(str(variable.name or otherwise), found))
    return found


def free(expressions: Iterable[Any]) -> Iterator[Variable[Any, Any]]:
    """Generate what has to be given for expressions to be computed."""
    for variable in graph_inputs(list(expressions)):
        if not isinstance(variable, (SharedVariable, Constant)):
            yield variable
