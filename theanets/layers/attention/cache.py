"""What attention keeps of the steps before, where series are continued part by part.

Keys and values of the steps so far end together, at the last place, whatever the number of
steps that a series has: before the first of a shorter one, there is room that nobody reads.
"""

from __future__ import annotations

from typing import Any

import pytensor.tensor as pt

from ...expressions import Expression
from ..signals import Inputs

#: The state that counts the steps of series that are continued.
COUNT = "count"


class Steps:
    """The steps of an input, as they come.

    Parameters
    ----------
    inputs : Inputs
    name : str
        Full name of the input.
    x : expression of shape (batch, time, ...)

    Attributes
    ----------
    lengths : expression of int64 of shape (batch,)
        How many there are.
    before : expression of int64 of shape (batch,)
        How many came before.
    places : expression of shape (batch or 1, time)
        Their numbers, from 0 at the first step of the series.
    known : bool
        Whether all of them exist, of each series.
    """

    def __init__(self, inputs: Inputs, name: str, x: Expression) -> None:
        lengths = inputs.lengths.get(name)
        self.known = lengths is None
        if lengths is None:
            lengths = pt.full((x.shape[0],), x.shape[1], dtype="int64")
        self.lengths = lengths.astype("int64")
        numbers = pt.arange(x.shape[1], dtype="int64")[None, :]
        self.before = pt.zeros_like(self.lengths)
        self.places = numbers
        if COUNT in inputs.initial:
            self.before = inputs.initial[COUNT][:, 0].astype("int64")
            self.places = numbers + self.before[:, None]


def counted(before: Expression, lengths: Expression) -> Expression:
    """Get the number of steps of series after some more, a state (batch, 1)."""
    return before + lengths[:, None].astype(before.dtype)


class Cache:
    """Keys, or values, of the steps before and of those that come.

    Parameters
    ----------
    past : expression of shape (batch, steps before, heads * units)
        A state.
    new : expression of shape (batch, time, heads, units)
    steps : Steps

    Attributes
    ----------
    past : expression
        How many places there are for the steps before.
    every : expression of shape (batch, steps before + time, heads, units)
    """

    def __init__(self, past: Expression, new: Expression, steps: Steps) -> None:
        self.past = past.shape[1]
        self._steps, self._new = steps, new
        old = past.reshape((past.shape[0], past.shape[1], new.shape[2], new.shape[3]))
        self.every = pt.concatenate([old, new], axis=1)

    def after(self, window: int | None) -> Expression:
        """Get the state after the last step, of as many steps as a window needs."""
        every = self.every.flatten(3)
        total: Any = every.shape[1]
        if not self._steps.known:
            # Series that are shorter move to the end.
            gap = self._new.shape[1] - self._steps.lengths
            source = pt.maximum(pt.arange(total, dtype="int64")[None, :] - gap[:, None], 0)
            every = every[pt.arange(every.shape[0])[:, None], source]
        return every if window is None else every[:, pt.maximum(total - (window - 1), 0) :]
