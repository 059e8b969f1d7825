"""Strides: how the batches of an epoch become updates, one by one or many in a call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import chain, islice, starmap
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from .. import backends
from ..data import Dataset
from ..linkers import Unfit
from .evaluation import Step
from .pacing import FLUSH, MANY, Pacing


class Rate(NamedTuple):
    """The learning rates of a schedule that counts updates.

    Attributes
    ----------
    at : callable
        Gets that of an update, by how many there were before.
    put : callable
        Sets that of the updates that follow.
    """

    at: Callable[[int], float]
    put: Callable[[float], None]


class Strides:
    """How a step goes through the epochs of some data.

    Parameters
    ----------
    step : Step
        The compiled update.
    data : Dataset
        Batches to train on.
    """

    def __init__(self, step: Step, data: Dataset) -> None:
        self.step, self.data = step, data
        self._fused: dict[bool, Any] = {}
        self._pacing = Pacing(lambda updates: False, always=False)

    def epoch(
        self, update: int, limit: float, rate: Rate | None, pacing: Pacing | None
    ) -> closing[Single | Together]:
        """Begin an epoch.

        Parameters
        ----------
        update : int
            How many updates there were before.
        limit : float
            The number of updates at which to stop.
        rate : Rate, optional
            The learning rates; without, it is set already.
        pacing : Pacing, optional
            Who looks up from the updates.

        Returns
        -------
        context of Single or Together
        """
        call = self._together(rate is not None)
        if call is None:
            batches = self.data.epoch(limit - update, backends.ahead(self.step.function))
            arguments = map(itemgetter(0), batches)
            return closing(Single(self.step, arguments, update, rate, pacing, batches.close))
        anew, pacing = pacing is not None, pacing or self._pacing
        if not anew:
            pacing.start(update)
        return closing(Together(self, call, update, rate, pacing, anew))

    def _together(self, rated: bool) -> Callable[..., Any] | None:
        """Get what makes many updates in a call, where that is a gain."""
        if rated not in self._fused:
            resident = self.data.resident
            stepped = [self.step.optimizer.hyper["learning_rate"]] if rated else []
            self._fused[rated] = resident and backends.fused(self.step.function, resident, stepped)
        found: Callable[..., Any] | None = self._fused[rated]
        return found

    def part(self) -> None:
        """Make one update after the other from now on."""
        self._fused = {False: None, True: None}


class Single:
    """One update after the other.

    Parameters
    ----------
    step : Step
    arguments : iterable
        The arrays of the batches of an epoch.
    update : int
    rate : Rate, optional
    pacing : Pacing, optional
    close : callable
        Ends the epoch.
    """

    def __init__(
        self,
        step: Step,
        arguments: Iterable[Any],
        update: int,
        rate: Rate | None,
        pacing: Pacing | None,
        close: Callable[[], None],
    ) -> None:
        self._step, self.pacing, self.close = step, pacing, close
        self._arguments = _rated(arguments, update, rate) if rate else iter(arguments)
        if pacing is not None:
            pacing.most = FLUSH

    @property
    def size(self) -> int:
        """How many updates there are up to the next look."""
        return FLUSH if self.pacing is None else self.pacing.size

    def make(self, number: int, results: list[Any]) -> None:
        """Make so many updates, or those that are left of the epoch.

        Parameters
        ----------
        number : int
        results : list
            Gets the vector of each, also of those that were made before an exception.
        """
        # Callbacks between these may change parameters in place.
        with self._step.repeated() as function:
            # Nothing but the function and the gathering of rows costs time in here.
            results.extend(starmap(function, islice(self._arguments, number)))


def _rated(arguments: Iterable[Any], update: int, rate: Rate) -> Iterator[Any]:
    """Set the learning rate of each update just before it."""
    for number, batch in enumerate(arguments, start=update):
        rate.put(rate.at(number))
        yield batch


class Together:
    """Many updates in a call; or one after the other where they turn out not to be fit for it.

    Parameters
    ----------
    strides : Strides
    call : callable
        From `theanets.backends.fused`.
    update : int
    rate : Rate, optional
    pacing : Pacing
    anew : bool
        Whether callbacks between the calls may change parameters in place.
    """

    def __init__(
        self,
        strides: Strides,
        call: Callable[..., Any],
        update: int,
        rate: Rate | None,
        pacing: Pacing,
        anew: bool,
    ) -> None:
        self._strides, self._call, self._rate = strides, call, rate
        self._rows = strides.data.rows()
        self._update, self._anew = update, anew
        self._began = False
        self._single: Single | None = None
        self.pacing = pacing
        pacing.most = MANY

    @property
    def size(self) -> int:
        """How many updates there are up to the next look."""
        return self.pacing.size

    def make(self, number: int, results: list[Any]) -> None:
        """Make so many updates, or those that are left of the epoch; see `Single.make`."""
        if self._single is None:
            batches = list(islice(self._rows, number))
            if not batches:
                return
            try:
                made = self._made(batches)
            except Unfit:
                self._strides.part()
                self._single = self._separately(batches)
            else:
                self._update += len(made)
                results.extend(made)
                return
        self._single.make(number, results)

    def _made(self, batches: list[Any]) -> list[Any]:
        values: list[Any] = []
        if self._rate is not None:
            rates = [self._rate.at(self._update + i) for i in range(len(batches))]
            kind = self._strides.step.optimizer.hyper["learning_rate"].dtype
            values = [np.array(rates, kind)]
        found = self._call(batches, values, self._anew or not self._began)
        self._began = True
        if self._rate is not None:
            self._rate.put(rates[-1])
        step = self._strides.step
        return [step.measured(each if step.measures else each[0]) for each in found]

    def _separately(self, batches: list[Any]) -> Single:
        data = self._strides.data
        arguments = (data.batch(rows)[0] for rows, _ in chain(batches, self._rows))
        step = self._strides.step
        return Single(step, arguments, self._update, self._rate, self.pacing, self._rows.close)

    def close(self) -> None:
        """End the epoch."""
        self._rows.close()
