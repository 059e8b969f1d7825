"""What training and evaluation run: functions of a batch, compiled from the objective."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.mode import Mode

from .. import backends, process
from .. import objective as objectives
from ..errors import ConfigurationError
from ..expressions import Expression, joint_norm
from ..graph import Graph
from ..losses import Loss
from ..metrics.measures import Measures
from ..monitors import RESERVED
from ..regularizers import Constraint, Regularizer
from .averaging import Moving
from .counts import MeanCounts
from .evaluation import Evaluation, Gradient, Step

#: Changes an objective, see `theanets.structure.overrides`.
Revise = Callable[[objectives.Objective], None] | None


def compile_evaluation(
    graph: Graph,
    variables: Sequence[Any],
    losses: Sequence[Loss],
    regularizers: Sequence[Regularizer],
    *,
    watched: Any = (),
    metrics: Any = None,
    mode: Mode | str | None = None,
    seed: int = 0,
    noise: bool = True,
    revise: Revise = None,
) -> Evaluation:
    """Compile the monitors of a network, with the penalties and the noise in ``regularizers``.

    Without ``noise``, these only add their penalties.
    """
    objective = objectives.build(
        graph,
        losses,
        regularizers,
        training=False,
        watched=watched,
        seed=seed,
        noise=noise,
        revise=revise,
    )
    measures = _measures(objective, losses, metrics, graph)
    function = backends.function(
        variables,
        _returned(objective, measures, graph),
        objective.outputs.updates,
        mode=mode,
        dtype=graph.dtype,
        name="evaluate",
    )
    return Evaluation.of(function, objective, measures)


def _measures(
    objective: objectives.Objective, losses: Sequence[Loss], metrics: Any, graph: Graph
) -> Measures:
    with process.building(graph.dtype):
        return Measures(metrics, losses, objective.outputs, [*RESERVED, *objective.terms])


def _returned(objective: objectives.Objective, measures: Measures, graph: Graph) -> Any:
    stacked = objective.stacked(graph.dtype)
    return [stacked, *measures.expressions] if measures else stacked


def compile_step(
    graph: Graph,
    variables: Sequence[Any],
    losses: Sequence[Loss],
    regularizers: Sequence[Regularizer],
    optimizer: Any,
    *,
    watched: Any = (),
    metrics: Any = None,
    watch_gradients: Any = False,
    frozen: Sequence[Any] = (),
    mode: Mode | str | None = None,
    rng: np.random.Generator | None = None,
    revise: Revise = None,
    averaged: bool = False,
) -> Step:
    """Compile one update of the parameters, but those that are frozen, by an optimizer.

    If ``averaged``, exponential averages of what it updates are updated too.
    """
    counts = MeanCounts(graph.dtype)
    objective = objectives.build(
        graph,
        losses,
        regularizers,
        training=True,
        watched=watched,
        divisor=counts.divisor,
        revise=revise,
    )
    params = trained(graph, frozen)
    with process.building(graph.dtype):
        grads = objectives.gradients(objective.total, params)
        applied = optimizer.apply(params, grads, objective.total, dtype=graph.dtype, rng=rng)
        one = pt.as_tensor(np.asarray(1, dtype=graph.dtype))
        if watch_gradients:
            for param, grad in zip(params, grads, strict=True):
                objective.metrics[f"grad({param.name})"] = (joint_norm([grad]), one)
        updates = {**applied.updates, **objective.outputs.updates, **counts.updates}
        for regularizer in regularizers:
            if isinstance(regularizer, Constraint):
                regularizer.constrain(graph.layers, updates, objective.strengths.level)
        for variable in frozen:
            updates.pop(variable, None)
        everything = [*graph.params, *graph.state]
        moving = Moving(updates, everything, graph.dtype) if averaged else None
        measures = _measures(objective, losses, metrics, graph)
        function = backends.function(
            variables,
            _returned(objective, measures, graph),
            updates,
            mode=mode,
            dtype=graph.dtype,
            name="step",
        )
        counts.compile(variables)
    return Step.of(
        function,
        objective,
        measures,
        optimizer=applied,
        counts=counts,
        moving=moving,
        alone=bool(objectives.still(objective.total, params)),
    )


def trained(graph: Graph, frozen: Sequence[Any]) -> list[Any]:
    """Get the parameters that training changes.

    Raises
    ------
    ConfigurationError
        If there are none.
    """
    params = [param for param in graph.params if param not in frozen]
    if not params:
        why = ": all are frozen" if graph.params else ""
        raise ConfigurationError(f"the network has no parameters to train{why}")
    return params


def parts(objective: objectives.Objective) -> list[tuple[str, tuple[Any, Any]]]:
    """Get the pairs (sum, count) that an objective is made of, each with its name."""
    terms = objective.terms.items()
    return [(name, pair) for name, t in terms if name not in objective.metrics for pair in t]


def summed(objective: objectives.Objective, divisors: Sequence[Any], dtype: str) -> Expression:
    """Get what adds up over parts of the data to the total of an objective.

    Parameters
    ----------
    objective : Objective
        That of a part.
    divisors : list of scalar expressions
        What the sum of each of its `parts` is divided by: the same for all parts of the data.
    dtype : str
        The network's type.
    """
    strengths, losses = objective.strengths, len(objective.losses)
    factors = [
        *map(strengths.loss, range(losses)),
        *(1 for _ in objective.added),
        *(strengths.scale for pairs in objective.penalties.values() for _ in pairs),
    ]
    terms = [
        factor * total / divisor
        for factor, (_, (total, _)), divisor in zip(
            factors, parts(objective), divisors, strict=True
        )
    ]
    return sum(terms[1:], terms[0]).astype(dtype)


def compile_gradient(
    graph: Graph,
    variables: Sequence[Any],
    losses: Sequence[Loss],
    regularizers: Sequence[Regularizer],
    *,
    frozen: Sequence[Any] = (),
    mode: Mode | str | None = None,
    revise: Revise = None,
) -> Gradient:
    """Compile the gradient of the objective over data that come in several batches."""
    objective = objectives.build(graph, losses, regularizers, training=True, revise=revise)
    dtype = graph.dtype
    counts = [
        pytensor.shared(np.asarray(1, dtype=dtype), name=f"count {name}")
        for name, _ in parts(objective)
    ]
    with process.building(dtype):
        cost = summed(objective, counts, dtype)
        params = trained(graph, frozen)
        grads = objectives.gradients(cost, params)
        updates = objective.outputs.updates
        function = backends.function(
            variables,
            [objective.stacked(dtype), *grads],
            # Noise stays the same, as the search along a line needs it.
            {v: updates[v] for v in graph.state if v in updates and v not in frozen},
            mode=mode,
            dtype=dtype,
            name="gradient",
        )
    alone = bool(objectives.still(cost, params))
    return Gradient(Evaluation.of(function, objective, alone=alone), counts)
