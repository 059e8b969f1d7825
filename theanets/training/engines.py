"""Engines: how an epoch changes the parameters, by gradient steps or by L-BFGS."""

from __future__ import annotations

import math
from collections.abc import Collection, Generator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .. import process
from .. import rng as _rng
from ..data import Dataset
from ..errors import ConfigurationError
from ..optimizers.schedules import Constant, Schedule
from ..regularizers import Constraint, Noise, Regularizer
from .evaluation import Evaluation, Step, added_gradient
from .pacing import Pacing
from .strides import Rate, Strides


class Engine(Protocol):
    """What the loop of training needs to know of a method of optimization."""

    resumable: bool
    rate: float
    #: What the last epoch came to, also if an exception ended it.
    partial: Epoch

    def epoch(self, epoch: int, update: int, limit: float, pacing: Pacing | None) -> Epoch:
        """Run one epoch.

        Parameters
        ----------
        epoch, update : int
            How many there were before.
        limit : float
            The number of updates at which to stop.
        pacing : Pacing, optional
            Who looks up from the updates.
        """

    def observe(self, loss: float) -> None:
        """Be told of the loss of a validation."""

    def close(self) -> None:
        """Release what is held."""

    def arrays(self) -> dict[str, Any]:
        """Get the shared variables, other than parameters, that a resumed run needs."""

    def later(self) -> Collection[str]:
        """Get the names of those arrays that checkpoints of earlier versions do not have."""

    def generators(self) -> dict[str, Any]:
        """Get the shared random generators that a resumed run needs."""

    def state(self) -> dict[str, Any]:
        """Get what else a resumed run needs, as JSON can hold it."""

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""


class Epoch:
    """What came out of an epoch.

    Attributes
    ----------
    updates : int
        Number of updates in it.
    monitors : dict
        Monitors of the epoch's batches.
    finite : bool
        Whether all losses were finite.
    converged : bool
        Whether the method cannot improve the loss any more.
    first : dict
        Monitors of the run's first batch, before the first update, if it is in the epoch.
    """

    def __init__(
        self,
        updates: int,
        monitors: dict[str, float],
        finite: bool = True,
        converged: bool = False,
        first: dict[str, float] | None = None,
    ) -> None:
        self.updates = updates
        self.monitors = monitors
        self.finite = finite
        self.converged = converged
        self.first = first or {}


class GradientEngine:
    """One update of the parameters for each batch.

    Parameters
    ----------
    step : Step
        The compiled update.
    optimizer : FirstOrder
        Hyper-parameters and schedule.
    data : Dataset
        Batches to train on.
    seed : int
        Seed of noise, and of whatever is random in the optimizer.
    """

    resumable = True

    def __init__(self, step: Step, optimizer: Any, data: Dataset, seed: int) -> None:
        self.step = step
        self.optimizer = optimizer
        self.data = data
        self.partial = Epoch(0, {})
        self._strides = Strides(step, data)
        self.rate = self._base = float(optimizer.values["learning_rate"])
        optimizer.schedule.reset()
        optimizer.assign(step.optimizer)
        step.optimizer.reset()
        for name, generator in step.optimizer.generators.items():
            generator.set_value(_rng.generator(seed, "optimizer", name))
        step.generators.reseed(seed)
        self._start(seed)

    def _start(self, seed: int) -> None:
        """Find out what has to be known of the data."""
        self.step.counts.start(self.data)

    def epoch(self, epoch: int, update: int, limit: float, pacing: Pacing | None) -> Epoch:
        """Update once for each batch."""
        schedule = self.optimizer.schedule
        rate = None
        if by_update(schedule):
            rate = Rate(lambda number: self._base * schedule.factor(number, epoch), self._put_rate)
        else:
            self._set_rate(schedule.factor(update, epoch))
        self.step.start()
        totals = np.zeros(2 * len(self.step.names))
        start, finite = update, True
        results: list[Any] = []
        first: dict[str, float] = {}
        with self._strides.epoch(update, limit, rate, pacing) as stride:
            pacing = stride.pacing
            try:
                if self.data.examples is None and update == 0 < limit:
                    # What the step measures of its batch, it measures before it changes anything.
                    stride.make(1, results)
                    first = self.step.summary(results[0]) if results else {}
                while update < limit:
                    # An exception leaves in the list what came before it.
                    size = int(min(stride.size, limit - update))
                    stride.make(size - len(results), results)
                    if not results:
                        break
                    update += len(results)
                    totals += _added(results)
                    results.clear()
                    finite = self._finite(totals)
                    if not finite or (pacing is not None and pacing(update)):
                        break
            finally:
                if results:
                    update += len(results)
                    totals += _added(results)
                    finite = self._finite(totals)
                monitors = self.step.summary(totals)
                self.partial = Epoch(update - start, monitors, finite, first=first)
        return self.partial

    def _finite(self, totals: npt.NDArray[np.float64]) -> bool:
        # A monitor may be what it likes.
        terms = self.step.num_losses + self.step.num_penalties
        return bool(np.isfinite(totals[: 2 * terms]).all())

    def _set_rate(self, factor: float) -> None:
        self._put_rate(self._base * factor)

    def _put_rate(self, rate: float) -> None:
        if rate != self.rate:
            self.rate = rate
            self.step.optimizer.set_rate(rate)

    def observe(self, loss: float) -> None:
        """Be told of the loss of a validation."""
        self.optimizer.schedule.observe(loss)

    def close(self) -> None:
        """Release what is held: nothing."""

    def arrays(self) -> dict[str, Any]:
        """Get the optimizer's state, and the states that stateful layers carry on."""
        found = {**self.step.optimizer.state, **self.step.carried}
        # Of arrays the mean counts are known.
        return found if self.data.examples is not None else {**found, **self.step.counts.state}

    def later(self) -> Collection[str]:
        """Get the names of the mean counts."""
        return self.step.counts.state

    def generators(self) -> dict[str, Any]:
        """Get the generators of noise and of the optimizer."""
        return {**self.step.optimizer.generators, **self.step.generators}

    def state(self) -> dict[str, Any]:
        """Get the schedule's state, and the position in the data."""
        return {"schedule": self.optimizer.schedule.state(), "data": self.data.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        self.optimizer.schedule.restore(state["schedule"])
        self.data.restore(state["data"])


def _added(results: list[Any]) -> npt.NDArray[np.float64]:
    return np.sum(np.asarray(results), axis=0, dtype=np.float64)


def by_update(schedule: Schedule) -> bool:
    """Tell whether the factor may change within an epoch."""
    if isinstance(schedule, Constant):
        return False
    return schedule.unit == "update" or type(schedule).factor is not Schedule.factor


class UnresumableEngine:
    """Base class of engines that cannot resume a run; nothing of theirs is kept."""

    resumable = False
    rate = 1.0

    def observe(self, loss: float) -> None:
        """Be told of the loss of a validation, which changes nothing."""

    def close(self) -> None:
        """Release what is held: nothing."""

    def arrays(self) -> dict[str, Any]:
        """Get nothing."""
        return {}

    def later(self) -> Collection[str]:
        """Get nothing."""
        return ()

    def generators(self) -> dict[str, Any]:
        """Get nothing."""
        return {}

    def state(self) -> dict[str, Any]:
        """Get nothing."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Do nothing: a run with such an engine has no checkpoint."""


class LBFGSEngine(UnresumableEngine):
    """One iteration of L-BFGS on all data for each epoch.

    Parameters
    ----------
    compiled : (Evaluation, list)
        From `theanets.training.compiled.compile_gradient`.
    params : list of shared variables
        What to change.
    optimizer : LBFGS
        Its options.
    data : Dataset
        Not shuffled.
    regularizers : list of Regularizer
        Must be neither noise nor constraints.
    """

    def __init__(
        self,
        compiled: tuple[Evaluation, list[Any]],
        params: list[Any],
        optimizer: Any,
        data: Dataset,
        regularizers: Sequence[Regularizer],
    ) -> None:
        noisy = [r.name for r in regularizers if isinstance(r, Noise)]
        if noisy:
            raise ConfigurationError(
                f"l-bfgs needs a loss that is the same at each evaluation, so it cannot be used "
                f"with {', '.join(noisy)}"
            )
        constraints = [r.name for r in regularizers if isinstance(r, Constraint)]
        if constraints:
            raise ConfigurationError(
                f"l-bfgs searches along lines that a change after each update would bend, so it "
                f"cannot be used with {', '.join(constraints)}; use 'adam', another algorithm of "
                "single gradients, or a penalty such as weight_l2"
            )
        if data.examples is None:
            raise ConfigurationError("l-bfgs needs train data in arrays, not batches that come in")
        self.evaluation, self.counts = compiled
        self.params = params
        self.data = data
        self.partial = Epoch(0, {})
        self._shapes = [p.get_value(borrow=True).shape for p in params]
        self._counted = False
        self._monitors: dict[str, float] = {}
        self._evaluated_at = np.zeros(0)
        self._begins: bool | None = None
        self._optimizer = optimizer
        self._iterations: Generator[Any, None, str] | None = None

    def epoch(self, epoch: int, update: int, limit: float, pacing: Pacing | None) -> Epoch:
        """Run one iteration."""
        self.partial = Epoch(0, {})
        if self._iterations is None:
            # SciPy starts with an evaluation, in its own thread, when first asked.
            self._iterations = self._optimizer.iterate(self._value_and_gradient, self._flat())
        try:
            x, _ = next(self._iterations)
        except StopIteration:
            # SciPy ends too where there is nothing to go on from.
            begins = bool(self._begins)
            return Epoch(0, {}, finite=begins, converged=begins)
        if not np.array_equal(x, self._evaluated_at):
            self._value_and_gradient(x)
        self._set(x)
        monitors = self._monitors
        self.partial = Epoch(1, monitors, self._finite)
        if pacing is not None:
            pacing(update + 1)
        return self.partial

    def _flat(self) -> npt.NDArray[np.float64]:
        return np.concatenate([p.get_value(borrow=True).ravel() for p in self.params]).astype(float)

    def _set(self, x: npt.NDArray[np.float64]) -> None:
        start = 0
        with process.hold(self.params):
            for param, shape in zip(self.params, self._shapes, strict=True):
                stop = start + math.prod(shape)
                param.set_value(x[start:stop].reshape(shape).astype(param.dtype))
                start = stop

    def _value_and_gradient(self, x: npt.NDArray[Any]) -> tuple[float, npt.NDArray[Any]]:
        self._set(x)
        self._set_counts()
        totals, gradient = self._total()
        self._monitors = self.evaluation.summary(totals)
        self._evaluated_at = x.copy()
        self._finite = math.isfinite(self._monitors["loss"]) and bool(np.isfinite(gradient).all())
        self._begins = self._finite if self._begins is None else self._begins
        return self._monitors["loss"], gradient

    def _total(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Get sums and counts, and the gradient, of all data."""
        return added_gradient(self.evaluation, self.data, sum(map(math.prod, self._shapes)))

    def _set_counts(self) -> None:
        """Find the counts of the losses over all data, once."""
        if self._counted:
            return
        totals = self._total_counts()
        for count, value in zip(self.counts, totals[1::2], strict=False):
            count.set_value(np.asarray(value if value else 1, dtype=count.dtype))
        self._counted = True

    def _total_counts(self) -> npt.NDArray[Any]:
        return added_gradient(self.evaluation, self.data, 0)[0]

    def close(self) -> None:
        """End SciPy's thread."""
        if self._iterations is not None:
            self._iterations.close()
