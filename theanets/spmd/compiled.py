"""The update of training together, in two: the share of one process, and what becomes of the sum.

The gradient of a batch is the sum of those of its parts, as long as what sums are divided by is
that of the whole batch. So the first function maps the part of a process to one vector, which has
all that is to be added up; the second takes the sum of these vectors, and updates the parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pytensor
import pytensor.tensor as pt
from pytensor.tensor.random.type import RandomType

from .. import backends, process
from .. import objective as objectives
from ..data import Dataset
from ..errors import ConfigurationError
from ..expressions import joint_norm
from ..losses.formulas import nonzero
from ..metrics.measures import Measures
from ..monitors import RESERVED
from ..regularizers import Constraint
from ..training.averaging import Moving
from ..training.compiled import parts, summed, trained
from ..training.counts import MODE, SIZE, sources
from ..training.evaluation import Evaluation
from ..training.task import Task
from .sampling import Shards

Array = npt.NDArray[Any]

#: Numbers at the start of the vector that are not of the data: whether to end, and who failed.
FLAGS = 2


class Means:
    r"""The mean count of an example, by which sums are divided in training together.

    The sum of a loss is divided by :math:`B \bar c`, with the number B of examples in the whole
    batch and the mean count of an example in all data, see
    `theanets.training.counts.MeanCounts`; and so is any other sum. The means are found before the
    first update, by adding up over all processes.

    Attributes
    ----------
    rows : shared variable
        The B, to be set before each update.
    """

    def __init__(self, dtype: str) -> None:
        self._dtype = dtype
        self.rows = pytensor.shared(np.asarray(1, dtype), name="rows")
        self._means: list[Any] = []
        self._counted: list[int] = []  # those that depend on the values of data
        self._function: Any = None

    def divisors(self, pairs: Sequence[tuple[str, tuple[Any, Any]]]) -> list[Any]:
        """Get what the sum of each pair (sum, count) is divided by.

        Raises
        ------
        ConfigurationError
            If a count depends on parameters or on noise: it is not known before the update.
        """
        found: list[Any] = []
        for name, (_, count) in pairs:
            data, shared = sources(count)
            if shared:
                raise ConfigurationError(
                    f"{name!r} is divided by what depends on parameters or noise, which is not "
                    "known of the batches of all processes before an update: it cannot be trained "
                    "in a group"
                )
            if data:
                self._counted.append(len(found))
            mean = pytensor.shared(np.asarray(1, self._dtype), name=f"mean count {name}")
            self._means.append(mean)
            found.append(nonzero(mean * self.rows))
        return found

    def compile(self, variables: Sequence[Any], counts: Sequence[Any]) -> None:
        """Compile what counts, of those of the counts that depend on the values of data."""
        if self._counted:
            wanted = [counts[i].astype(self._dtype) for i in self._counted]
            self._function = backends.function(
                variables, wanted, mode=MODE, dtype=self._dtype, name="counts"
            )

    def moved(self, to: Callable[[Any], Any]) -> Means:
        """Get the same on other variables, once all is compiled: without expressions."""
        found = Means(self._dtype)
        found.rows, found._means = to(self.rows), list(map(to, self._means))
        found._counted = self._counted
        found._function = self._function and backends.moved(self._function, to)
        return found

    def find(self, shards: Shards, measured: Callable[[tuple[Any, ...]], Array]) -> None:
        """Find the means of the data of all processes.

        Parameters
        ----------
        shards : Shards
            What is trained on.
        measured : callable
            Maps a batch to the counts of all pairs.
        """
        totals = shards.exchange.total(len(self._means), lambda: self._over(shards, measured))
        for mean, total in zip(self._means, totals, strict=True):
            mean.set_value(np.asarray(total / shards.examples, self._dtype))

    def _over(self, shards: Shards, measured: Callable[[tuple[Any, ...]], Array]) -> Array:
        totals = np.zeros(len(self._means))
        for data in shards.own.values():
            assert data.examples is not None
            with closing(data.ordered(SIZE).epoch()) as batches:
                for i, (batch, rows) in enumerate(batches):
                    if i == 0:  # what depends on shapes alone is the same for each example
                        found = measured(batch) / rows * data.examples
                        found[self._counted] = 0
                        totals += found
                    if self._function is None:
                        break
                    totals[self._counted] += [float(count) for count in self._function(*batch)]
        return totals


@dataclass
class Share(Evaluation):
    """What a process computes of a batch, and what all make of the sum.

    Its function maps arrays to a vector: the `FLAGS`, sums and counts, gradients.

    Attributes
    ----------
    apply : callable
        Takes the sum of these vectors, updates the parameters, and returns further sums and
        counts: of gradients, if these are watched.
    counts : Means
        What sums are divided by.
    optimizer : Any
        The optimizer's variables: state, hyper-parameters, generators.
    size : int
        Length of the vector.
    moving : Moving or None
        The exponential averages of what is updated, if there are any.
    """

    apply: process.Function
    counts: Means
    optimizer: Any
    size: int
    num_terms: int = 0
    moving: Moving | None = field(default=None)

    def moved(self, to: Callable[[Any], Any]) -> Self:
        """Get the same on other variables: those of another network."""
        found = super().moved(to)
        found.apply = backends.moved(self.apply, to)
        found.optimizer, found.counts = self.optimizer.moved(to), self.counts.moved(to)
        found.moving = self.moving and self.moving.moved(to)
        return found

    def vector(self, batch: tuple[Any, ...]) -> Array:
        """Get the vector of some examples, and add them to the metrics."""
        found: Array = np.require(self.measured(self.function(*batch)), requirements=["C", "W"])
        return found

    def split(self, vector: Array) -> Array:
        """Get the sums and counts that are in a vector."""
        return vector[FLAGS : FLAGS + self.num_terms]


def share(
    task: Task,
    optimizer: Any,
    *,
    watch_gradients: bool = False,
    rng: np.random.Generator | None = None,
) -> Share:
    """Compile an update in two, see `theanets.training.compiled.compile_step`.

    Raises
    ------
    ConfigurationError
        If the network or the algorithm has what is not a sum over examples.
    """
    net, graph, regularizers = task.net, task.net.graph, task.regularizers
    dtype = graph.dtype
    objective = objectives.build(
        graph,
        task.losses,
        regularizers,
        training=True,
        watched=task.monitors,
        revise=task.revise(regularizers, True, task.monitors),
    )
    _refuse_carried(objective)
    params = trained(graph, task.frozen)
    means = Means(dtype)
    with process.building(dtype):
        pairs = parts(objective)
        cost = summed(objective, means.divisors(pairs), dtype)
        grads = objectives.gradients(cost, params)
        stacked = objective.stacked(dtype)
        terms = sum(2 * len(term) for term in objective.terms.values())
        measures = Measures(
            task.metrics, task.losses, objective.outputs, [*RESERVED, *objective.terms]
        )
        flags = pt.zeros((FLAGS,), dtype=dtype)
        vector = pt.concatenate([flags, stacked, *(grad.ravel() for grad in grads)])
        function = backends.function(
            net.variables,
            [vector, *measures.expressions] if measures else vector,
            objective.outputs.updates,
            mode=task.mode,
            dtype=dtype,
            name="share",
        )
        whole = pt.vector("sum", dtype=dtype)
        found, size = [], FLAGS + terms
        for param in params:
            shape = param.get_value(borrow=True).shape
            many = int(np.prod(shape))
            found.append(whole[size : size + many].reshape(shape))
            size += many
        applied = _applied(optimizer, params, found, dtype, rng)
        updates = dict(applied.updates)
        for regularizer in regularizers:
            if isinstance(regularizer, Constraint):
                regularizer.constrain(graph.layers, updates, objective.strengths.level)
        for variable in task.frozen:
            updates.pop(variable, None)
        everything = [*graph.params, *graph.state]
        moving = Moving(updates, everything, dtype) if task.moving else None
        one = pt.as_tensor(np.asarray(1, dtype=dtype))
        norms = [x for grad in found for x in (joint_norm([grad]), one)] if watch_gradients else []
        apply = backends.function(
            [whole],
            pt.stack(norms) if norms else pt.zeros((0,), dtype=dtype),
            updates,
            mode=task.mode,
            dtype=dtype,
            name="apply",
        )
        means.compile(net.variables, [count for _, (_, count) in pairs])
    made = Share.of(
        function,
        objective,
        measures,
        apply=apply,
        counts=means,
        optimizer=applied,
        size=size,
        num_terms=terms,
        moving=moving,
        alone=bool(objectives.still(cost, params)),
    )
    made.names += [f"grad({param.name})" for param in params] if watch_gradients else []
    return made


def _refuse_carried(objective: objectives.Objective) -> None:
    """Refuse what a batch leaves behind, but for the random generators."""
    generators = set(objective.outputs.generators.values())
    left = [
        str(v.name)
        for v in objective.outputs.updates
        if v not in generators and not isinstance(v.type, RandomType)
    ]
    if left:
        raise ConfigurationError(carries(left))


def carries(names: Sequence[str]) -> str:
    """Say that batches change what cannot be added up."""
    return (
        f"training in a group: each batch changes {', '.join(names)}, by statistics or states of "
        "its own, which differ between processes; use layer_norm instead of batch_norm, and no "
        "stateful layers"
    )


def _applied(
    optimizer: Any, params: Sequence[Any], grads: Sequence[Any], dtype: str, rng: Any
) -> Any:
    applied = optimizer.apply(params, grads, None, dtype=dtype, rng=rng)
    if applied.generators:
        raise ConfigurationError(
            f"algo={type(optimizer).__name__.lower()!r} needs more of the loss than its gradient, "
            "which is all that there is in a group; use 'adam', 'rmsprop' or another"
        )
    return applied


def check_additive(
    function: Callable[..., Any], names: Sequence[str], first: int, data: Dataset, rows: int
) -> None:
    """Refuse what is not a sum over examples, by trying it on a few.

    Parameters
    ----------
    function : callable
        Maps a batch to a vector, or to that and others.
    names : sequence of str
        What the pairs of sums and counts are called that are in the vector.
    first : int
        Where they begin.
    data : Dataset
        What the examples are of.
    rows : int
        How many examples, at least two.

    Raises
    ------
    ConfigurationError
        If what is of all is not the sum of what is of two parts; names it.
    """
    middle = max(1, rows // 3)
    whole, one, other = (
        np.asarray(_first(function(*data.take(np.arange(*ends))[0])), float)[
            first : first + 2 * len(names)
        ]
        for ends in ((0, rows), (0, middle), (middle, rows))
    )
    kind = np.dtype(next(f.dtype for f in data.fields if f.dtype.startswith("float")))
    small = np.finfo(kind).eps ** 0.5
    differs = np.abs(whole - one - other) > small * (np.abs(one) + np.abs(other))
    if not differs.any():
        return
    index = int(np.argmax(differs))
    raise ConfigurationError(
        f"training in a group: the {'count' if index % 2 else 'sum'} of {names[index // 2]!r} over "
        f"a batch is not that over its parts ({whole[index]:g} of {rows} examples, "
        f"{one[index]:g} of {middle} and {other[index]:g} of the others), so it takes examples "
        "together, of which each process has some only. (A loss of your own has to be a mean over "
        "examples, and a penalty on outputs without root=True)"
    )


def _first(results: Any) -> Any:
    return results[0] if isinstance(results, (list, tuple)) else results
