"""Compiled functions of a batch, and what their results mean: of an evaluation, and of a step."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from .. import backends, process
from ..data import Dataset
from ..losses import Loss
from ..metrics.measures import Measures
from ..objective import Objective, Strengths
from ..outputs import Generators
from ..regularizers import Regularizer
from .averaging import Moving
from .counts import MeanCounts

Vector = npt.NDArray[np.floating[Any]]

#: Batches whose results are kept before they are added up.
TOGETHER = 256


@dataclass
class Evaluation:
    """A compiled function of a batch, and what its results mean.

    It holds none of the expressions that it was compiled from.

    Attributes
    ----------
    function : callable
        Maps the arrays of a batch to a vector of sums and counts.
    strengths : Strengths
        Weights of losses and penalties.
    generators : Generators
        Of noise.
    carried : dict
        States that stateful layers carry on.
    measures : Measures
        Metrics, which are not part of the vector.
    names : list of str
        Names of losses, penalties and metrics, in order.
    num_weighted, num_losses, num_penalties : int
        How many of the names are losses with weights of their own, losses, and
        then penalties.
    better : dict
        ``'max'`` or ``'min'`` by name of a monitor, where it is known.
    alone : bool
        Whether it is for its network alone, as there is something to say of it.
    """

    function: process.Function
    strengths: Strengths
    generators: Generators
    carried: dict[str, Any]
    measures: Measures
    names: list[str]
    num_weighted: int
    num_losses: int
    num_penalties: int
    better: dict[str, str]
    alone: bool = field(default=False, kw_only=True)

    @classmethod
    def of(
        cls,
        function: process.Function,
        objective: Objective,
        measures: Measures | None = None,
        **others: Any,
    ) -> Self:
        """Get it for the function that was compiled of an objective, and of metrics."""
        return cls(
            function,
            objective.strengths,
            objective.outputs.generators,
            objective.outputs.carried,
            (Measures() if measures is None else measures).settled(),
            # A name may come several times, of a penalty with several counts.
            names=[name for name, term in objective.terms.items() for _ in term],
            num_weighted=len(objective.losses),
            num_losses=len(objective.losses) + len(objective.added),
            num_penalties=sum(map(len, objective.penalties.values())),
            better=objective.better,
            **others,
        )

    @property
    def used(self) -> bool:
        """Whether the function was called before, so that it is compiled."""
        called: bool = self.function.template.called
        return called

    def moved(self, to: Callable[[Any], Any]) -> Self:
        """Get the same on other variables: those of another network."""
        return replace(
            self,
            function=backends.moved(self.function, to),
            strengths=self.strengths.moved(to),
            generators=self.generators.moved(to),
            measures=self.measures.anew(),
        )

    def assign(
        self, losses: Sequence[Loss], regularizers: Sequence[Regularizer], scale: float
    ) -> None:
        """Set the weights of losses and regularizers."""
        self._weigh(losses, scale)
        self.strengths.assign(losses, regularizers, scale)

    def _weigh(self, losses: Sequence[Loss], scale: float) -> None:
        own = [loss.weight for loss in losses][: self.num_weighted]
        self.weights = [*own, *(1.0 for _ in range(self.num_losses - len(own)))]
        self.scale = scale

    @property
    def directions(self) -> dict[str, str | None]:
        """Whether less (``'min'``) or more (``'max'``) is better, by name of the monitor."""
        terms = self.num_losses + self.num_penalties
        known = {"loss": "min", "err": "min", **dict.fromkeys(self.names[:terms], "min")}
        metrics = {name: self.better.get(name) for name in self.names[terms:]}
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

    @contextmanager
    def repeated(self) -> Iterator[Callable[..., Any]]:
        """Get what maps a batch to its vector, for a loop; see `theanets.backends.repeated`."""
        with backends.repeated(self.function) as function:
            if self.measures:
                yield lambda *batch: self.measured(function(*batch))
            else:
                yield function

    def measured(self, results: Any) -> Any:
        """Get the vector of what the function returns, and add the rest to the metrics."""
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
        batches : Dataset or iterable
            What to measure, or pairs of arrays and their number of examples. Of a data set of
            arrays, many batches are computed in a call where the linker can, see
            `theanets.backends.fused`.
        strengths : (losses, regularizers, scale), optional
            The weights, as `assign` takes them; without, those that were assigned.
        at_once : bool
            Whether to keep others from the parameters from the first batch on until
            all is done. The batches wait for nobody but threads that only read.
        """
        run = self.anew(strengths)
        with closing(self.results(batches, strengths=strengths, at_once=at_once)) as results:
            return run.summary(run.added(results))

    def anew(
        self, strengths: tuple[Sequence[Loss], Sequence[Regularizer], float] | None = None
    ) -> Self:
        """Get the same with weights and metrics of its own, of which it has nothing yet."""
        found = copy.copy(self)
        found.measures = self.measures.anew()
        if strengths is not None:
            found._weigh(strengths[0], strengths[2])
        return found

    def results(
        self,
        batches: Any,
        *,
        strengths: tuple[Sequence[Loss], Sequence[Regularizer], float] | None = None,
        at_once: bool = False,
    ) -> Generator[Any, None, None]:
        """Generate what the function returns for some batches, as `run` takes them.

        Yields
        ------
        ndarray or list of ndarray
            The vector of a batch, and what metrics are made of; see `added`.
        """

        def begin(call: Callable[..., Any], *arguments: Any) -> Any:
            if strengths is not None:  # others may have put theirs there
                self.strengths.assign(*strengths)
            return call(*arguments)

        together = self._together(batches)
        if together is not None:
            rows = batches.rows()
            part = list(islice(rows, TOGETHER))
            with self.function.held(partial(begin, together, part)) as found:
                while part:
                    yield from found if self.measures else map(itemgetter(0), found)
                    part = list(islice(rows, TOGETHER))
                    found = together(part, (), False) if part else []
            return
        pairs = batches.epoch() if hasattr(batches, "epoch") else iter(batches)
        try:
            with backends.repeated(self.function) as function:
                for batch, _ in pairs:
                    with self.function.held(partial(begin, function, *batch)) as found:
                        for batch, _ in pairs if at_once else ():
                            yield found
                            found = function(*batch)
                    yield found
        finally:
            if hasattr(pairs, "close"):
                pairs.close()

    def _together(self, data: Any) -> Callable[..., Any] | None:
        """Get what measures many batches of some data in a call, where that is a gain."""
        # States that are carried on may change their shape.
        resident = None if self.carried else getattr(data, "resident", None)
        if resident is None or data.batches == 1:
            return None
        return backends.fused(self.function, resident)

    def added(self, results: Iterable[Any]) -> Vector:
        """Add up `results`; metrics have them then, which `start` begins anew."""
        totals = np.zeros(2 * len(self.names))
        for one in results:
            totals += self.measured(one)
        return totals


@dataclass
class Step(Evaluation):
    """An `Evaluation` whose function also updates the parameters.

    Attributes
    ----------
    optimizer : Any
        The optimizer's variables: state, hyper-parameters, generators.
    counts : MeanCounts
        What the losses are divided by.
    moving : Moving or None
        The exponential averages of what it updates, if it has these.
    """

    optimizer: Any
    counts: MeanCounts
    moving: Moving | None = None

    def moved(self, to: Callable[[Any], Any]) -> Self:
        """Get the same on other variables: those of another network."""
        found = super().moved(to)
        found.optimizer, found.counts = self.optimizer.moved(to), self.counts.moved(to)
        found.moving = self.moving and self.moving.moved(to)
        return found


class Gradient(NamedTuple):
    """A compiled gradient.

    Attributes
    ----------
    evaluation : Evaluation
        Its function returns the vector of sums and counts, and then the gradients.
    counts : list of shared variables
        To be set to the counts of losses and penalties over all data; then the
        gradients of all batches add up to that of the objective.
    """

    evaluation: Evaluation
    counts: list[Any]

    @property
    def alone(self) -> bool:
        """Whether it is for its network alone."""
        return self.evaluation.alone

    def moved(self, to: Callable[[Any], Any]) -> Gradient:
        """Get the same on other variables: those of another network."""
        return Gradient(self.evaluation.moved(to), [to(count) for count in self.counts])


def added_gradient(
    evaluation: Evaluation, data: Dataset, size: int
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Add up what the function of a compiled gradient returns, over the batches of some data.

    Parameters
    ----------
    evaluation : Evaluation
        Of `theanets.training.compiled.compile_gradient`.
    data : Dataset
        Any batches.
    size : int
        Length of the gradient; 0 if it is not wanted.

    Returns
    -------
    (ndarray, ndarray)
        Sums and counts, and the gradient in one vector.
    """
    totals, gradient = np.zeros(2 * len(evaluation.names)), np.zeros(size)
    function = backends.repeated(evaluation.function)
    with function as call, closing(data.epoch()) as batches:
        for batch, _ in batches:
            terms, *grads = call(*batch)
            totals += terms
            if size:
                gradient += np.concatenate([np.ravel(g) for g in grads])
    return totals, gradient
