"""What training and evaluation run: functions of a batch, compiled from the objective."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
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
from .counts import MeanCounts

#: Changes an objective, see `theanets.structure.overrides`.
Revise = Callable[[objectives.Objective], None] | None

Vector = npt.NDArray[np.floating[Any]]


@dataclass
class Evaluation:
    """A compiled function of a batch, and what its results mean.

    Attributes
    ----------
    function : callable
        Maps the arrays of a batch to a vector of sums and counts.
    objective : Objective
        What the sums and counts are of.
    measures : Measures
        Metrics, which are not part of the vector.
    names : list of str
        Names of losses, penalties and metrics, in order.
    num_losses, num_penalties : int
        How many of the names are losses, and then penalties.
    used : bool
        Whether the function was called before, so that it is compiled.
    """

    function: process.Function
    objective: objectives.Objective
    measures: Measures = field(default_factory=Measures)
    used: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        # A name may come several times, of a penalty with several counts.
        self.names = [name for name, term in self.objective.terms.items() for _ in term]
        self.num_losses = len(self.objective.losses) + len(self.objective.added)
        self.num_penalties = sum(map(len, self.objective.penalties.values()))

    def assign(
        self, losses: Sequence[Loss], regularizers: Sequence[Regularizer], scale: float
    ) -> None:
        """Set the weights of losses and regularizers."""
        self._weigh(losses, scale)
        self.objective.strengths.assign(losses, regularizers, scale)

    def _weigh(self, losses: Sequence[Loss], scale: float) -> None:
        own = [loss.weight for loss in losses] if self.objective.losses else []
        self.weights = [*own, *(1.0 for _ in self.objective.added)]
        self.scale = scale

    @property
    def directions(self) -> dict[str, str | None]:
        """Whether less (``'min'``) or more (``'max'``) is better, by name of the monitor."""
        terms = self.num_losses + self.num_penalties
        known = {"loss": "min", "err": "min", **dict.fromkeys(self.names[:terms], "min")}
        metrics = {name: self.objective.better.get(name) for name in self.names[terms:]}
        return {**known, **metrics, **self.measures.directions}

    def summary(self, totals: Vector) -> dict[str, float]:
        """Turn added-up sums and counts into monitors.

        Parameters
        ----------
        totals : ndarray
            Sum of the results of a number of batches.

        Returns
        -------
        dict
            ``loss``, the total; ``err``, the losses without penalties; then
            each loss, each penalty, each monitor, each metric.
        """
        sums, counts = totals[0::2], totals[1::2]
        means = [float(s / c) if c else float(s) for s, c in zip(sums, counts, strict=True)]
        err = sum(w * m for w, m in zip(self.weights, means[: self.num_losses], strict=True))
        named: dict[str, float] = {}
        for name, mean in zip(self.names, means, strict=True):
            named[name] = named[name] + mean if name in named else mean
        penalty = sum(means[self.num_losses : self.num_losses + self.num_penalties])
        return {
            "loss": float(err + self.scale * penalty),
            "err": float(err),
            **named,
            **self.measures.values(),
        }

    def start(self) -> None:
        """Begin with metrics of nothing."""
        self.measures.start()

    def repeated(self) -> Callable[..., Any]:
        """Get what maps a batch to its vector, for a loop; see `theanets.backends.repeated`."""
        function = backends.repeated(self.function)
        if not self.measures:
            return function

        return lambda *batch: self._measured(function(*batch))

    def _measured(self, results: Any) -> Any:
        if not self.measures:
            return results
        vector, *arrays = results
        self.measures.add(arrays)
        return vector

    def run(
        self,
        batches: Any,
        *,
        strengths: tuple[Sequence[Loss], Sequence[Regularizer], float] | None = None,
        at_once: bool = False,
    ) -> dict[str, float]:
        """Evaluate some batches and summarize them.

        Any number of threads may do so. None has a lock while the next batch is made,
        which may wait for another thread that trains or evaluates, but ``at_once``.

        Parameters
        ----------
        batches : iterable
            Pairs of arrays and their number of examples.
        strengths : (losses, regularizers, scale), optional
            The weights, as `assign` takes them; without, those that were assigned.
        at_once : bool
            Whether to keep others from the parameters from the first batch on until
            all is done. The batches wait for nobody but threads that only read.
        """
        run = copy.copy(self)  # with weights and metrics of its own
        run.measures = self.measures.anew()
        if strengths is not None:
            run._weigh(strengths[0], strengths[2])
        totals, function = np.zeros(2 * len(self.names)), backends.repeated(self.function)

        def begin(batch: Any) -> Any:
            if strengths is not None:  # others may have put theirs there
                self.objective.strengths.assign(*strengths)
            return function(*batch)

        def add(results: Any) -> None:
            nonlocal totals
            totals += run._measured(results)

        try:
            pairs = iter(batches)
            for batch, _ in pairs:
                with self.function.held(partial(begin, batch)) as results:
                    for batch, _ in pairs if at_once else ():
                        add(results)
                        results = function(*batch)
                add(results)
        finally:
            if hasattr(batches, "close"):
                batches.close()
        return run.summary(totals)


@dataclass
class Step(Evaluation):
    """An `Evaluation` whose function also updates the parameters.

    Attributes
    ----------
    optimizer : Any
        The optimizer's variables: state, hyper-parameters, generators.
    counts : MeanCounts
        What the losses are divided by.
    variables : list of variables
        What a batch is of.
    """

    optimizer: Any = field(default=None)
    counts: MeanCounts = field(default_factory=lambda: MeanCounts("float32"))
    variables: Sequence[Any] = ()


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
    return Evaluation(function, objective, measures)


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
) -> Step:
    """Compile one update of the parameters, but those that are frozen, by an optimizer."""
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
        measures = _measures(objective, losses, metrics, graph)
        function = backends.function(
            variables,
            _returned(objective, measures, graph),
            updates,
            mode=mode,
            dtype=graph.dtype,
            name="step",
        )
    return Step(function, objective, measures, applied, counts, variables)


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
) -> tuple[Evaluation, list[Any]]:
    """Compile the gradient of the objective over data that come in several batches.

    Returns
    -------
    (evaluation, counts)
        The evaluation's function returns the vector of sums and counts, and
        then the gradients. ``counts`` are shared variables to be set to the
        counts of losses and penalties over all data; then the gradients of
        all batches add up to that of the objective.
    """
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
        grads = objectives.gradients(cost, trained(graph, frozen))
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
    return Evaluation(function, objective), counts
