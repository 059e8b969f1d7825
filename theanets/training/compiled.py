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
from ..expressions import joint_norm
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
    strengths = objective.strengths
    names = [
        name for name, t in objective.terms.items() if name not in objective.metrics for _ in t
    ]
    counts = [pytensor.shared(np.asarray(1, dtype=dtype), name=f"count {name}") for name in names]
    with process.building(dtype):
        parts = [
            strengths.loss(i) * total / counts[i]
            for i, (total, _) in enumerate(objective.losses.values())
        ]
        added = list(objective.added.values())
        penalties = [pair for term in objective.penalties.values() for pair in term]
        parts += [
            (strengths.scale if i >= len(added) else 1) * total / count
            for i, ((total, _), count) in enumerate(
                zip([*added, *penalties], counts[len(objective.losses) :], strict=True)
            )
        ]
        cost = sum(parts[1:], parts[0]).astype(dtype)
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
