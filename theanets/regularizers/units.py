"""Penalties on the weights of units: what comes into each of them, taken together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pytensor.tensor as pt

from .. import names as _names
from ..errors import ConfigurationError
from ..expressions import Expression, Shared
from ..layers import Layer
from ..options import DROPPED, DROPPED_FLAG, Choice, Number
from ..outputs import Outputs
from .penalties import Penalty


def unit_axes(
    pattern: str | Sequence[str] | None, layers: Sequence[Layer]
) -> list[tuple[Shared, int]]:
    """Get the parameters that match, each with the axis that its units are along.

    That is the last axis of a matrix (inputs, units), and the first of the
    filters of a convolution (size, channels, ...), of the vectors of an
    embedding (symbols, size), and of what an activation has for each unit.

    Parameters
    ----------
    pattern : str, list of str or None
        Glob patterns over the names of parameters. None, or ``'*'``, is all of
        two or more dimensions but those of activations.
    layers : list of Layer
        The layers of the network.

    Returns
    -------
    list of (shared variable, int)

    Raises
    ------
    ConfigurationError
        If nothing matches, or a vector, which holds no weights of units.
    """
    owned = {found[0].name: found for found in _owned(layers)}
    if pattern is None or pattern == "*":
        chosen = [n for n, (p, _, inner) in owned.items() if p.ndim >= 2 and not inner]
        if not chosen:
            raise ConfigurationError(f"no parameter is a matrix; parameters: {list(owned)}")
    else:
        chosen = _names.match_some("parameter", pattern, owned)
    for name in chosen:
        if owned[name][0].ndim < 2:
            raise ConfigurationError(
                f"pattern {pattern!r} matches {name!r}, which is a vector; expected weights, with "
                "an axis of units and others"
            )
    return [(owned[n][0], _axis(*owned[n])) for n in chosen]


def _owned(layers: Sequence[Layer]) -> Iterator[tuple[Any, Layer, bool]]:
    """Get each parameter with its layer, and whether it is of the layer's activation."""
    for layer in layers:
        for part in layer.workers or (layer,):
            inner = [part.find(key) for key in part._activation_params]
            for param in part.params:
                yield param, part, any(param is other for other in inner)


def _axis(param: Shared, layer: Layer, inner: bool) -> int:
    return 0 if inner else layer.unit_axis(param)


def rows(param: Shared, axis: int) -> Expression:
    """Get a parameter as a matrix, with a row for each index along an axis."""
    shape = param.type.shape
    moved = pt.moveaxis(param, axis, 0) if axis else param
    return moved.reshape((shape[axis], math.prod(shape) // shape[axis]))


def _squares(matrix: Expression) -> Expression:
    return pt.sqr(matrix).sum(axis=1)


class _UnitPenalty(Penalty, abstract=True):
    """Base class of penalties on matrices (units, weights)."""

    options: ClassVar[dict[str, Any]] = {"lnorm": DROPPED, "root": DROPPED_FLAG}
    lnorm = None
    root = False

    def targets(self, layers: Sequence[Layer], outputs: Outputs) -> list[Any]:
        """Get the weights that match, a row for each unit."""
        return [rows(*found) for found in unit_axes(self.pattern, layers)]


# A script may well have a class WeightInverse of its own, as there was none to use.
class WeightInverse(_UnitPenalty, register="weight_inverse"):
    r"""Penalty on weights near zero, :math:`\mathrm{mean}_j(1 / (\|w_j\|^2 + \epsilon))`.

    :math:`w_j` are the weights that come into unit j. It keeps a sparsity
    penalty from turning units off, as in reconstruction ICA.

    Parameters
    ----------
    weight, pattern
        See `Regularizer`. By default all parameters of two or more dimensions,
        but those of activations. Several that match are averaged.
    norm : {'mean', 'sum'}
        Whether units (and parameters) are averaged or summed.
    epsilon : float
        Keeps the penalty of a unit without weights finite, and its gradient 0.

    References
    ----------
    For its use see Le, Karpenko, Ngiam & Ng 2011, "ICA with reconstruction
    cost for efficient overcomplete feature learning".
    """

    options: ClassVar[dict[str, Any]] = {"epsilon": Number(1e-8, "positive")}
    epsilon: float

    def entries(self, x: Expression) -> Expression:
        """Get the penalty of each unit."""
        return 1 / (_squares(x) + pt.as_tensor(self.epsilon, dtype=x.dtype))


class Orthogonal(_UnitPenalty, names=("orthogonal",)):
    r"""Penalty on weights that are not orthonormal, :math:`\mathrm{mean}((W^T W - I)^2)`.

    W has a column for each unit. Where it has more columns than rows, so that
    the columns cannot be orthonormal, it is its rows that are asked to be:
    :math:`\mathrm{mean}((W W^T - I)^2)`.

    Parameters
    ----------
    weight, pattern
        As for `WeightInverse`.
    norm : {'mean', 'sum'}
        Whether entries of the difference (and parameters) are averaged, or
        summed to the squared Frobenius norm.
    """

    def entries(self, x: Expression) -> Expression:
        """Get the squared entries of the difference."""
        units, weights = x.type.shape
        gram = pt.dot(x, x.T) if units <= weights else pt.dot(x.T, x)
        return pt.sqr(gram - pt.eye(min(units, weights), dtype=x.dtype))


class GroupLasso(_UnitPenalty, names=("group_lasso",)):
    r"""Penalty that turns whole groups of weights off, :math:`\sum_g \sqrt{n_g} \|w_g\| / n`.

    :math:`n_g` is the number of weights in group g, n that of all, so that it
    is `WeightL1` where the weights of a group are of one size. The gradient
    of a group that is zero is 0.

    Parameters
    ----------
    weight, pattern
        As for `WeightInverse`.
    groups : {'units', 'inputs'}
        What a group is: the weights that come into a unit (a column of a
        matrix, a filter of a convolution), or those that leave an input (a
        row of a matrix, all that is applied to a channel).
    norm : {'mean', 'sum'}
        With ``'sum'`` it is not divided by n, and parameters are summed.

    References
    ----------
    Yuan & Lin 2006, "Model selection and estimation in regression with grouped
    variables".
    """

    options: ClassVar[dict[str, Any]] = {"groups": Choice("units", ("units", "inputs"))}
    groups: str

    def targets(self, layers: Sequence[Layer], outputs: Outputs) -> list[Any]:
        """Get the weights that match, a row for each group."""
        if self.groups == "units":
            return super().targets(layers, outputs)
        return [rows(param, 1 - axis) for param, axis in unit_axes(self.pattern, layers)]

    def entries(self, x: Expression) -> Expression:
        """Get the penalty of each group."""
        squares = _squares(x)
        some = squares > 0
        norms = pt.switch(some, pt.sqrt(pt.switch(some, squares, 1)), 0)
        return norms * pt.as_tensor(x.type.shape[1] ** 0.5, dtype=x.dtype)

    def one(self, x: Any) -> Expression:
        """Get the penalty of one parameter."""
        total = self.entries(x).sum()
        size = pt.as_tensor(math.prod(x.type.shape), dtype=x.dtype)
        return total if self.norm == "sum" else total / size
