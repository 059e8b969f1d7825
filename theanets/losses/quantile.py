"""The loss of quantiles, one or several of each variable."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytensor.tensor as pt

from ..errors import ConfigurationError
from ..expressions import Expression
from ..options import Numbers
from ..outputs import Outputs
from .base import Loss
from .formulas import const
from .place import Shape
from .reduction import Compared

Array = npt.NDArray[Any]


class Quantile(Loss, names=("quantile", "pinball")):
    r"""Quantile (pinball) loss, :math:`\max(q (t - y), (q - 1) (t - y))`.

    The mean over all entries of the target, and over the quantiles. Targets
    and outputs are any real numbers. The minimizer is the conditional
    quantile of order q; use it to predict intervals, for instance with
    ``quantile=[0.05, 0.5, 0.95]``.

    For one quantile the output has the target's shape. For Q of them the last
    axis of the output is Q times as long: all quantiles of the first variable,
    then those of the second, and so on. (An output with the quantiles as a
    further last axis is understood as well.)

    Parameters
    ----------
    quantile : float or list of float
        Orders of the quantiles, in (0, 1); the median by default.

    References
    ----------
    Koenker & Bassett 1978, "Regression quantiles".
    """

    options: ClassVar[dict[str, Any]] = {"quantile": Numbers(0.5, "inner")}
    quantile: Any
    accepts_labels = False

    def target_shape(self, shape: Any, labels: bool) -> Shape:
        """Get the shape of the target: without the quantiles."""
        found: Shape = shape(self.output_name)
        if np.ndim(self.quantile) == 0 or not found or found[-1] is None:
            return found
        count = len(self.quantile)
        if len(found) > 1 and found[-1] == count:
            return found[:-1]
        self.require(
            found[-1] % count == 0,
            "quantile",
            f"of a length that divides the {found[-1]} variables of output {self.output_name!r}",
        )
        return (*found[:-1], found[-1] // count)

    @property
    def orders(self) -> tuple[float, ...]:
        """The orders of the quantiles, one or several."""
        return tuple(map(float, np.atleast_1d(self.quantile)))

    def point(self, output: Array) -> Array:
        """Get the median out of several quantiles; one is taken as it is."""
        if np.ndim(self.quantile) == 0:
            return output
        if 0.5 not in self.orders:
            raise ConfigurationError(
                f"loss {self.name!r}: quantile={self.quantile!r} has no median, 0.5, that a value "
                "could be compared with; evaluate(data, metrics=['pinball', 'coverage']) says "
                "how good the quantiles are"
            )
        apart = output.reshape(*output.shape[:-1], -1, len(self.orders))
        return np.asarray(apart[..., self.orders.index(0.5)])

    def comparisons(self, outputs: Outputs) -> list[Compared]:
        """Get the quantiles, and the median if it is one of them, which are compared."""
        target, output = self._target, self.output(outputs)
        apart = self._apart(target, output)
        if np.ndim(self.quantile) == 0:
            apart = pt.shape_padright(output)
        if apart.ndim != target.ndim + 1:
            return super().comparisons(outputs)
        weights, orders = self.importance(output.dtype, outputs), self.orders
        found = [Compared("quantiles", target, apart, weights, orders=orders)]
        if len(orders) == 1:
            found += super().comparisons(outputs)
        elif 0.5 in orders:
            found.append(Compared("values", target, apart[..., orders.index(0.5)], weights))
        return found

    def mask(self, raw: Any, seen: Expression) -> Any:
        """Replace the quantiles of what must not have an influence."""
        return super().mask(self._apart(seen, raw), seen)

    def errors(self, target: Expression, output: Expression) -> Expression:
        """Get the error of each entry of the target."""
        orders = const(self.quantile, output)
        if orders.ndim == 0:
            short = target - output
        else:
            short = target[..., None] - self._apart(target, output)
        found = pt.switch(short < 0, orders - const(1, output), orders) * short
        return found if orders.ndim == 0 else found.mean(axis=-1)

    def _apart(self, target: Expression, output: Expression) -> Expression:
        """Give the quantiles an axis of their own."""
        if np.ndim(self.quantile) == 0 or output.ndim > target.ndim:
            return output
        lengths = [output.shape[i] for i in range(output.ndim - 1)]
        return output.reshape((*lengths, -1, len(self.quantile)), ndim=output.ndim + 1)
