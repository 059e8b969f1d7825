"""What a network of a table predicts: classes, or a number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from .columns import Look
from .schema import check_finite, quoted

Array = npt.NDArray[Any]

#: Digits of a float32, in which networks learn.
DIGITS = 7
#: Integers with no more different values than this are taken as classes.
MOST_CLASSES = 20


def is_classes(seen: Look) -> bool:
    """Tell whether a target is of classes: text, or few different integers.

    Raises
    ------
    DataError
        If it is text of so many different values that it hardly is one of
        classes.
    """
    rows = int((~seen.missing).sum())
    if seen.values is None:
        distinct = seen.texts[~seen.missing].nunique()
        if distinct > max(2, rows / 2):
            raise DataError(
                f"column {seen.texts.name!r} has {distinct} different texts in {rows} rows; if "
                "these are classes, say so with --task classification"
            )
        return True
    values = seen.values[~np.isnan(seen.values)]
    check_finite(str(seen.texts.name), values)
    whole = bool((values == np.round(values)).all())
    return whole and len(np.unique(values)) <= min(MOST_CLASSES, max(2, math.isqrt(rows)))


class Classes:
    """A target of classes; ``names`` are these as texts, in the order of the labels."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)

    @classmethod
    def of(cls, seen: Look) -> tuple[Classes, Array]:
        """Find the classes, in the order of numbers or of the alphabet, and the labels.

        Numbers that are equal are one class, with the name that it has first.
        """
        keys = seen.texts.to_numpy(object) if seen.values is None else seen.values
        _, first, labels = np.unique(keys, return_index=True, return_inverse=True)
        return cls([str(seen.texts.iloc[i]) for i in first]), labels.astype("int32")

    @property
    def size(self) -> int:
        """Get the number of outputs of a network."""
        return len(self.names)

    def encode(self, labels: Array) -> Array:
        """Get what a network learns, the labels."""
        return labels

    def to_dict(self) -> dict[str, Any]:
        """Get what makes it again."""
        return {"names": self.names}


class Quantity:
    """A target that is a number; networks see it standardized."""

    size = 1

    def __init__(self, mean: float, scale: float) -> None:
        self.mean, self.scale = mean, scale

    @classmethod
    def of(cls, values: Array) -> Quantity:
        """Find the mean and the deviation."""
        return cls(float(values.mean()), float(values.std()) or 1.0)

    def to_dict(self) -> dict[str, Any]:
        """Get what makes it again."""
        return {"mean": self.mean, "scale": self.scale}

    @property
    def digits(self) -> int:
        """Get how many digits of a number say something: more where the mean is far from 0."""
        return min(17, DIGITS + math.ceil(math.log10(max(abs(self.mean) / self.scale, 1))))

    def encode(self, values: Array) -> Array:
        """Get standardized numbers, one in each row."""
        return ((values - self.mean) / self.scale).astype("float32")[:, None]

    def decode(self, outputs: Array) -> Array:
        """Get the numbers that outputs stand for."""
        return outputs[:, 0].astype(float) * self.scale + self.mean


def as_numbers(seen: Look) -> Array:
    """Get the numbers of a target.

    Raises
    ------
    DataError
        If it is text, or some number is infinite.
    """
    if seen.values is None:
        texts = quoted(list(dict.fromkeys(seen.texts[~seen.missing])))
        raise DataError(
            f"column {seen.texts.name!r} cannot be a regression's target: it has texts such as "
            f"{texts}"
        )
    check_finite(str(seen.texts.name), seen.values)
    return seen.values
