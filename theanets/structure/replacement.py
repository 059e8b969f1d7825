"""A network's expressions with other variables in the place of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytensor.tensor as pt
from pytensor.graph.replace import graph_replace

from ..errors import ConfigurationError, unknown
from ..expressions import Expression, expression


def replaced(
    expressions: Sequence[Any], variables: Iterable[Any], replace: Mapping[Any, Any]
) -> list[Any]:
    """Get expressions anew, with some of their variables replaced.

    Parameters
    ----------
    expressions : list of expression
        What to replace in.
    variables : iterable of variable
        What can be replaced: parameters and inputs.
    replace : dict
        Expressions or arrays, by a variable or its name. Each must have the
        type of what it replaces; lengths that it does not know are checked
        when it is computed.

    Returns
    -------
    list of expression

    Raises
    ------
    UnknownNameError
        If there is no such variable.
    ConfigurationError
        If a replacement does not have the type of what it replaces.
    """
    known = {variable.name: variable for variable in variables}
    pairs = {}
    for key, value in replace.items():
        name = key if isinstance(key, str) else str(getattr(key, "name", None))
        if name not in known or not (isinstance(key, str) or key is known[name]):
            raise unknown("replace", key, known)
        pairs[known[name]] = _fitting(name, known[name], value)
    return list(graph_replace(list(expressions), pairs, strict=False))


def _fitting(name: str, variable: Expression, value: Expression) -> Expression:
    """Get a replacement as an expression of the variable's type."""
    found = expression(value, f"replace[{name!r}]")
    of = f"replace[{name!r}] is of type {found.type}, and {name} of {variable.type}"
    if not isinstance(value, pt.TensorVariable):
        found = found.astype(variable.dtype)  # numbers and arrays
    elif found.dtype != variable.dtype:
        raise ConfigurationError(
            f"{of}: cast it with .astype({variable.dtype!r}), or make the network with "
            f"dtype={found.dtype!r}"
        )
    lengths = zip(found.type.shape, variable.type.shape, strict=False)
    if found.ndim != variable.ndim or any(None not in (n, m) and n != m for n, m in lengths):
        raise ConfigurationError(f"{of}: the shapes do not fit")
    return found
