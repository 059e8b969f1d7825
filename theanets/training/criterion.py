"""The criterion: which figure of a validation decides what is best, and when to give up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigurationError, DataError, unknown
from ..monitors import DIRECTIONS

Monitors = Mapping[str, float]


@dataclass(frozen=True)
class Criterion:
    """A monitor that is to be as small, or as large, as possible.

    Attributes
    ----------
    name : str
        Name of the monitor: ``'loss'``, ``'objective'`` (the loss and all
        penalties, with their strengths), or another that is measured.
    direction : {'min', 'max'} or None
        Which is better; None if that is not known yet.
    """

    name: str = "loss"
    direction: str | None = None

    @classmethod
    def build(cls, spec: Any) -> Criterion:
        """Make a criterion from a name or a pair ``(name, 'min' | 'max')``; None is the loss.

        Raises
        ------
        ConfigurationError
            If it is neither.
        """
        if spec is None or isinstance(spec, Criterion):
            return spec or cls()
        if isinstance(spec, str):
            return cls(spec)
        if isinstance(spec, (tuple, list)) and len(spec) == 2 and isinstance(spec[0], str):
            name, direction = spec
            if direction in DIRECTIONS:
                return cls(name, direction)
        raise ConfigurationError(
            f"criterion={spec!r} is neither the name of a monitor nor a pair such as "
            "('acc', 'max'), of a name and 'min' or 'max'"
        )

    def resolve(self, directions: Mapping[str, str | None]) -> Criterion:
        """Find out which direction is better.

        Parameters
        ----------
        directions : mapping
            ``'min'``, ``'max'`` or None for each monitor that is measured.

        Raises
        ------
        UnknownNameError
            If the monitor is not measured.
        ConfigurationError
            If nobody says which direction is better.
        """
        known = {**directions, "objective": "min"}
        if self.name not in known:
            raise unknown("criterion", self.name, known)
        direction = self.direction or known[self.name]
        if direction is None:
            raise ConfigurationError(
                f"criterion={self.name!r} does not say whether less is better, or more; give "
                f"criterion=({self.name!r}, 'min') or criterion=({self.name!r}, 'max')"
            )
        return Criterion(self.name, direction)

    @property
    def penalized(self) -> bool:
        """Whether penalties have to be measured."""
        return self.name == "objective"

    def clean(self, monitors: Monitors) -> dict[str, float]:
        """Tell the loss from the objective, in what was measured with penalties."""
        if not self.penalized:
            return dict(monitors)
        return {**monitors, "loss": monitors["err"], "objective": monitors["loss"]}

    def trained(self, monitors: Monitors) -> dict[str, float]:
        """Take the monitors of training for those of a validation, where there is none."""
        return {**monitors, "objective": monitors["loss"]} if self.penalized else dict(monitors)

    def figure(self, monitors: Monitors) -> float:
        """Get the number that is to be as small as possible; NaN if the loss is not finite."""
        value = monitors[self.name] if math.isfinite(monitors["loss"]) else math.nan
        return self.shown(value)

    def shown(self, figure: float) -> float:
        """Get the monitor from the figure."""
        return -figure if self.direction == "max" else figure

    def diverged(self, monitors: Monitors) -> bool:
        """Tell whether what is not finite is the loss, or the objective."""
        return not all(math.isfinite(monitors.get(key, 0)) for key in ("loss", "objective"))

    def undefined(self, monitors: Monitors) -> DataError:
        """Make the error for a figure that has no value, though the loss has one."""
        return DataError(
            f"criterion={self.name!r} is {monitors[self.name]} for these data, so it cannot tell "
            "what is best"
        )


#: The default: the unpenalized loss.
LOSS = Criterion("loss", "min")
