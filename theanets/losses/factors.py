"""Factors of classes: of a list, by label, or such that all classes weigh the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError, is_integer
from ..expressions import Expression
from ..options import as_number
from .base import Loss
from .formulas import const

Array = npt.NDArray[Any]


class Factors(Loss, abstract=True):
    """Base class of losses over classes that have an option with a factor for each."""

    #: The option.
    factors: ClassVar[str]

    def check_options(self) -> None:
        """Refuse factors that are not numbers of at least 0, for classes."""
        value = getattr(self, self.factors)
        if value is None or (isinstance(value, str) and value == "balanced"):
            return
        valid = False
        if isinstance(value, Mapping):
            # Keys are texts in files.
            keys = {key: _label(key) for key in value}
            valid = None not in keys.values() and all(map(_is_factor, value.values()))
            if valid:
                found = {keys[key]: float(factor) for key, factor in value.items()}
                setattr(self, self.factors, found)
        elif isinstance(value, (list, tuple, np.ndarray)):
            valid = np.ndim(value) == 1 and len(value) > 0 and all(map(_is_factor, value))
        self.require(
            valid,
            self.factors,
            "a list with a number of at least 0 for each class, a dict of these by label, such as "
            "{0: 1, 1: 5}, or 'balanced'",
        )

    def class_factors(self, output: Expression) -> Expression | None:
        """Get the factor of each class as a constant; None if there are none.

        Raises
        ------
        ConfigurationError
            If they are not for the output's classes, or not known yet.
        """
        value, classes = getattr(self, self.factors), output.type.shape[-1]
        if value is None:
            return None
        if isinstance(value, str):
            raise ConfigurationError(
                f"loss {self.name!r}: {self.factors}={value!r} is computed from the targets of the "
                "first training, and there was none; train first, or give numbers"
            )
        if isinstance(value, Mapping):
            if classes is None:
                raise ConfigurationError(
                    f"loss {self.name!r}: {self.factors}={value!r} by label needs an output with a "
                    "known number of classes; give a list"
                )
            if max(value, default=0) >= classes:
                raise ConfigurationError(
                    f"loss {self.name!r}: {self.factors}={value!r} has the label {max(value)}, but "
                    f"those of the output are 0 to {classes - 1}"
                )
            value = [value.get(label, 1.0) for label in range(classes)]
        if classes is not None and classes != len(value):
            raise ConfigurationError(
                f"loss {self.name!r}: {self.factors} has {len(value)} numbers, but the output has "
                f"{classes} classes"
            )
        return const(value, output)

    @property
    def waits(self) -> bool:
        """Whether the factors are to be computed from the targets of training."""
        return isinstance(getattr(self, self.factors), str)

    def settle(
        self,
        batches: Iterable[tuple[Array, Array | None]],
        classes: int,
        everyone: Callable[[Array], Array] = lambda counts: counts,
    ) -> None:
        """Compute the factors with which all classes weigh the same.

        Parameters
        ----------
        batches : iterable of (targets, weights)
            All that is trained on: labels (examples, ...), or distributions
            with the classes as a further, last axis; and weights that
            broadcast to the targets, or None for 1 each. An example counts as
            often as its weight says.
        classes : int
            How many there are.
        everyone : callable
            Adds up the counts of all that train together.
        """
        counts = np.zeros(classes)
        for targets, weights in batches:
            each = np.ones(targets.shape)
            if weights is not None:
                each = np.broadcast_to(weights, targets.shape).astype(float)
            if targets.dtype.kind == "f":
                # The error of a distribution has the mean of its entries' weights.
                share = each.mean(axis=-1, keepdims=True) * np.where(each == 0, 0, targets)
                counts += share.reshape(-1, classes).sum(axis=0)
                continue
            counted = each != 0
            counts += np.bincount(targets[counted], each[counted], minlength=classes)
        counts = everyone(counts)
        there = counts > 0
        # Of a class that is not there, nothing is known.
        found = np.divide(counts.sum() / max(there.sum(), 1), counts, np.ones(classes), where=there)
        setattr(self, self.factors, found.tolist())


def _label(key: Any) -> int | None:
    if isinstance(key, str) and key.isdecimal():
        return int(key)
    return int(key) if is_integer(key, 0) else None


def _is_factor(value: Any) -> bool:
    return as_number(value, "nonnegative") is not None
