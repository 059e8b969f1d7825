"""Fields: what the arrays must be that a network needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Field:
    """One array that a network needs.

    Attributes
    ----------
    name : str
        Name of the variable: ``'in'``, ``'target'``, ``'weights'``.
    role : str
        ``'input'``, ``'target'`` or ``'weights'``; ``'array'`` in an expression
        that is no network's.
    dtype : str
        ``'float32'``, ``'float64'``, ``'int32'``; or another of integers, or ``'bool'``.
    shape : tuple of (int or None)
        Lengths of the axes after the batch axis; None is any length.
    classes : int, optional
        Integers must lie in ``[0, classes)``.
    ignore : int, optional
        The one integer that is valid besides those.
    weighted_by : str, optional
        Name of the weights field; where it is 0, NaN and inf are allowed.
    weighs : str, optional
        For weights: the name of the field whose entries they weigh. They may
        then lack trailing axes of that field, or have length 1 there.
    impute : bool
        For an input that is also a weighted target: entries that are not
        finite and have weight 0 (or whose weights are not given) become 0.
    blank : int, optional
        For labels: one that must not occur.
    limits : pair of float or None, optional
        Numbers must lie in between, where weights are not 0; None is no limit.
    sparse : bool
        For a matrix: whether the network takes it as a sparse one.
    lengths : str, optional
        Name of the input with the number of steps of each series; of entries
        after these, the second axis being the time, NaN, inf and integers become 0.
    ended_by : str, optional
        For an input that is a series: name of the weights after whose last positive one
        its steps do not exist, so that their entries become 0 as well.
    """

    name: str
    role: str
    dtype: str
    shape: tuple[int | None, ...]
    classes: int | None = None
    ignore: int | None = None
    weighted_by: str | None = None
    weighs: str | None = None
    impute: bool = False
    sparse: bool = False
    blank: int | None = None
    limits: tuple[float | None, float | None] = (None, None)
    lengths: str | None = None
    ended_by: str | None = None

    def __str__(self) -> str:
        lengths = ["n", *("any" if length is None else str(length) for length in self.shape)]
        text = f"{self.name!r} ({', '.join(lengths)}{',' * (len(lengths) == 1)}) {self.dtype}"
        return text if self.classes is None else f"{text} in {self.valid}"

    @property
    def integral(self) -> bool:
        """Whether it holds integers, or truth values."""
        return np.dtype(self.dtype).kind in "biu"

    @property
    def valid(self) -> str:
        """The range of the integers that are valid, in words."""
        if self.classes is None:
            return f"the range of {self.dtype}"
        return f"[0, {self.classes})" + ("" if self.ignore is None else f" or {self.ignore}")


def behaved(array: Any) -> Any:
    """Get an array C-contiguous, aligned and writeable: itself where it is, else a copy.

    An array that is not is of another type to Numba, which compiles functions anew for it.
    """
    return array if array.flags.carray else array.copy()


def agree(lengths: Sequence[int], shape: Sequence[int | None], ones: bool = False) -> bool:
    """Tell whether the lengths of axes are those of a field; there may be too many or too few."""
    return all(
        b is None or a == b or (ones and a == 1) for a, b in zip(lengths, shape, strict=False)
    )
