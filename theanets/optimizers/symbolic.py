"""The updates of an algorithm alone, for loops of one's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace

from .. import process
from .. import rng as _rng
from ..costs import checked, names, trainable
from ..errors import ConfigurationError
from ..objective import gradients
from .base import Optimizer, build


def updates(
    cost: Any,
    params: Any = None,
    algo: str | type[Optimizer] | Optimizer = "adam",
    *,
    rng: Any = None,
    **hyper: Any,
) -> dict[Any, Any]:
    """Get what one step of an algorithm makes of parameters, for a function of one's own.

    Parameters
    ----------
    cost : scalar expression
        What is to become less.
    params : list of shared variables, optional
        What to change; by default as for `theanets.minimize`.
    algo : str, Optimizer or subclass of it
        An algorithm of gradients; not ``'l-bfgs'``, which has no single steps.
    rng : int, Generator or None
        Seed of an algorithm that draws random numbers (``'esgd'``).
    **hyper
        Its hyper-parameters. ``learning_rate`` may be a symbolic scalar too: a
        shared variable, which the loop can set, or an expression. A schedule
        needs a loop of ours.

    Returns
    -------
    dict of shared variable to expression
        New values of the parameters, and of what the algorithm keeps, which
        starts anew with each call of this. For ``updates=`` of
        ``pytensor.function``.

    Raises
    ------
    ConfigurationError
        If the cost is no scalar of floating point, a parameter is none that
        it has a gradient for, or the algorithm or its keywords have no meaning
        here.

    Examples
    --------
    ::

        rate = pytensor.shared(0.1)
        step = pytensor.function(
            [x, y], cost, updates=theanets.optimizers.updates(cost, [w, b], learning_rate=rate)
        )
    """
    cost = checked(cost)
    found = trainable(cost, params)
    rate = hyper.get("learning_rate")
    if isinstance(rate, Variable):
        rate = _rate(hyper.pop("learning_rate"), cost.dtype)
    else:
        rate = None
    if hyper.get("learning_rate_schedule") is not None:
        raise ConfigurationError(
            "learning_rate_schedule needs a loop that counts, as theanets.minimize has; give "
            "learning_rate=pytensor.shared(...), and set it in the loop"
        )
    optimizer: Any = build(algo, **hyper)
    if not optimizer.first_order:
        raise ConfigurationError(
            f"algo={algo!r} has no single steps, of which there could be updates; "
            "theanets.minimize takes it"
        )
    generator = None if rng is None else _rng.generator(_rng.as_seed(rng), "optimizer")
    with process.building(cost.dtype):
        made = optimizer.apply(
            found,
            gradients(cost, found),
            cost,
            dtype=cost.dtype,
            rng=generator,
            names=names(found, "param"),
        )
    if rate is None:
        return dict(made.updates)
    pair = {made.hyper["learning_rate"]: rate}
    values = graph_replace(list(made.updates.values()), pair, strict=False)
    return dict(zip(made.updates, values, strict=True))


def _rate(value: Any, dtype: str) -> Any:
    kind = np.dtype(getattr(value, "dtype", "object")).kind
    if not isinstance(value, pt.TensorVariable) or value.ndim or kind not in "iuf":
        raise ConfigurationError(
            f"learning_rate={value!r} is of type {value.type}; expected a number, or a symbolic "
            "scalar"
        )
    return value.astype(dtype)
