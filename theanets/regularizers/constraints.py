"""Constraints: what parameters are made to fulfil after each update."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt

from ..expressions import joint_norm
from ..layers import Layer
from .base import Regularizer
from .units import unit_axes


class Constraint(Regularizer, abstract=True):
    """Base class of constraints on parameters.

    The weight is the limit, which ``penalty_scale`` does not change.
    """

    def project(self, w: Any, limit: Any, axes: tuple[int, ...], xp: Any) -> Any:
        """Get the nearest weights that fulfil the constraint.

        Parameters
        ----------
        w : expression or ndarray
            A parameter.
        limit : scalar of the same kind
            The weight.
        axes : tuple of int
            All axes but that of the units.
        xp : module
            ``pytensor.tensor`` or ``numpy``, for functions of these.
        """
        raise TypeError(f"{type(self).__name__} does not define project")

    def constrain(
        self,
        layers: Sequence[Layer],
        updates: dict[Any, Any],
        level: Callable[[Regularizer], Any],
    ) -> None:
        """Change the updates of parameters so that their new values fulfil the constraint.

        Parameters
        ----------
        layers : list of Layer
            The network's layers.
        updates : dict of shared variable to expression
            New values; changed in place.
        level : callable
            Gets the variable for the weight.
        """
        for param, axes in self._found(layers):
            new = updates.get(param, param)
            updates[param] = self.project(new, level(self), axes, pt)

    def apply(self, layers: Sequence[Layer]) -> None:
        """Make the present values of the parameters fulfil the constraint."""
        for param, axes in self._found(layers):
            limit = np.asarray(self.weight, dtype=param.dtype)
            with np.errstate(over="ignore"):
                value = self.project(param.get_value(borrow=True), limit, axes, np)
            param.set_value(value.astype(param.dtype))

    def _found(self, layers: Sequence[Layer]) -> list[tuple[Any, tuple[int, ...]]]:
        found = unit_axes(self.pattern, layers)
        return [(p, tuple(i for i in range(p.ndim) if i != axis)) for p, axis in found]


class MaxNorm(Constraint, names=("max_norm",)):
    r"""Limit the norm of the weights that come into each unit.

    .. math:: w_j \leftarrow w_j \, c / \max(\|w_j\|, c)

    after each update, and before the first. The norm of a unit that is within
    the limit does not change at all.

    Parameters
    ----------
    weight : float
        The limit c; 0 is no limit.
    pattern : str or list of str, optional
        See `Regularizer`. By default all parameters of two or more dimensions,
        but those of activations. A unit's weights are a column of a matrix, a
        filter of a convolution, or the vector of a symbol of an embedding.

    References
    ----------
    Srebro, Rennie & Jaakkola 2005, "Maximum-margin matrix factorization";
    with dropout in Srivastava et al. 2014, "Dropout: a simple way to prevent
    neural networks from overfitting".
    """

    def project(self, w: Any, limit: Any, axes: tuple[int, ...], xp: Any) -> Any:
        """Get the weights, those of units beyond the limit scaled down to it."""
        return w * (limit / xp.maximum(joint_norm([w], axes, xp), limit))
