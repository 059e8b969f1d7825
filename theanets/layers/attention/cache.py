"""What attention keeps of the steps before, where series are continued part by part.

Keys and values of the steps of a series lie from the first place on, in arrays with room for
steps to come, which nobody reads: see `theanets.recurrent.rooms`.
"""

from __future__ import annotations

import pytensor.tensor as pt

from ...expressions import Expression, filled
from ..signals import Inputs

#: The state that counts the steps of series that are continued.
COUNT = "count"
#: The states that have a row for each step.
KEPT = ("keys", "values")
#: Beside these: how many rows there are of each series, of which `COUNT` may have seen more.
PLACES = "places"


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
            lengths = filled(x.shape[1], (x.shape[0],), "int64")
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
