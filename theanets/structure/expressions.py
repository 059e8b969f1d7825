"""The expressions of a network: what it puts out, what is trained, and what is measured.

These functions are methods of `Structure`, for which they stand here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..objective import Objective, build
from ..outputs import Outputs
from ..regularizers import from_kwargs
from . import overrides
from .replacement import replaced

if TYPE_CHECKING:
    from .base import Structure


def outputs(
    net: Structure,
    training: bool = False,
    *,
    replace: Mapping[Any, Any] | None = None,
    **regularizers: Any,
) -> Outputs:
    """Get the symbolic expressions of all outputs by full name.

    Parameters
    ----------
    training : bool
        Whether layers that differ in training show their training form.
    replace : dict, optional
        Expressions or arrays to use in the place of parameters and
        inputs, by name (``'hid1.w'``, ``'in'``) or by the variable itself.
    **regularizers
        Noise to put in the graph; see `theanets.regularizers.from_kwargs`.

    Returns
    -------
    Outputs
        A dict; its ``updates`` must be given to a function that is to
        draw new noise at each call.

    Raises
    ------
    UnknownNameError
        If there is nothing of a name in ``replace``.
    ConfigurationError
        If what replaces a variable is not of its type.

    Examples
    --------
    The network's mean as a function of weights that are random variables::

        net.outputs(replace={'hid1.w': w, 'in': x})['out:out']
    """
    objective = None if replace else overrides.shown(net, training, regularizers)
    if objective is not None:
        return objective.outputs
    found, _ = from_kwargs(net.layers, **regularizers)
    outputs = net.graph.outputs(training=training, regularizers=found, seed=net.seed)
    overrides.adopt(net, outputs.updates)
    if replace:
        variables = [*net.params, *net.state, *net.inputs]
        outputs.replace(lambda expressions: replaced(expressions, variables, replace))
    return outputs


def build_graph(net: Structure, regularizers: Sequence[Any] = ()) -> tuple[Outputs, list[Any]]:
    """Get the outputs, and the updates that go with them, as pairs."""
    objective = overrides.shown(net, None, {"regularizers": regularizers})
    if objective is not None:
        return objective.outputs, list(objective.outputs.updates.items())
    found, _ = from_kwargs(net.layers, regularizers=regularizers)
    outputs = net.graph.outputs(regularizers=found, seed=net.seed)
    overrides.adopt(net, outputs.updates)
    return outputs, list(outputs.updates.items())


def loss(
    net: Structure,
    training: bool = False,
    *,
    replace: Mapping[Any, Any] | None = None,
    **regularizers: Any,
) -> Any:
    """Get the symbolic scalar that training minimizes.

    Parameters
    ----------
    training : bool
        Whether layers that differ in training show their training form.
    replace : dict, optional
        As for `outputs`; targets and their weights can be replaced too.
    **regularizers
        Penalties and noise; see `theanets.regularizers.from_kwargs`.

    Returns
    -------
    scalar expression
        Of `variables`; weights of losses and penalties are shared
        variables with their present values.
    """
    objective = overrides.shown(net, training, regularizers)
    if objective is None:
        objective = _objective(net, training, (), regularizers)
        overrides.adopt(net, objective.outputs.updates)
    if not replace:
        return objective.total
    variables = [*net.params, *net.state, *net.variables]
    return replaced([objective.total], variables, replace)[0]


def monitors(net: Structure, monitors: Any = (), **regularizers: Any) -> list[tuple[str, Any]]:
    """Get the symbolic scalars that an evaluation measures.

    Parameters
    ----------
    monitors : dict or list
        Further things to watch; see `theanets.monitors.custom`.
    **regularizers
        Penalties, which are measured too; see `theanets.regularizers.from_kwargs`.

    Returns
    -------
    list of (str, scalar expression)
        Names, such as ``'xe'`` and ``'acc'``, and means over the examples of
        `variables`.
    """
    objective = overrides.shown(net, None, regularizers)
    if objective is None:
        objective = _objective(net, False, monitors, regularizers)
    return list(objective.means())


def _objective(
    net: Structure, training: bool, watched: Any, regularizers: Mapping[str, Any]
) -> Objective:
    found, scale = from_kwargs(net.layers, **regularizers)
    losses = net.bound_losses()
    objective = build(net.graph, losses, found, training=training, watched=watched, seed=net.seed)
    objective.strengths.assign(losses, found, scale)
    return objective


def updates(net: Structure, training: bool = False, **regularizers: Any) -> list[tuple[Any, Any]]:
    """Get the updates that a function of the outputs needs, as pairs; see `outputs`."""
    return list(net.outputs(training, **regularizers).updates.items())
