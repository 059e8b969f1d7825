"""Derivatives of what is computed row by row, such as a network's outputs, by its inputs.

One gradient, that of the sum over the rows, has the derivatives of all rows and by all columns
of the input: for each row it costs what its output costs, times a small number. That is right
as long as no row of the output depends on another row of the input. Where the graph does not
say so, it is refused; see `rows`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytensor
import pytensor.tensor as pt
from pytensor.graph.traversal import ancestors

from . import rows
from .errors import ConfigurationError, is_integer
from .expressions import Expression


def derivative(
    output: Expression,
    input: Any,
    order: int | None = None,
    along: int | Sequence[int] | None = None,
    *,
    check: bool = True,
) -> Expression:
    r"""Get a derivative of an output by an input, for each row.

    Parameters
    ----------
    output : expression of shape (rows,) or (rows, outputs)
        What is differentiated; each row of it is a function of the same row of
        the input, and of parameters.
    input : expression of shape (rows,) or (rows, columns)
        By what: an input of a network, or anything that the output is computed
        from.
    order : int, optional
        How often: 1 by default, or as often as ``along`` has columns.
    along : int or sequence of int, optional
        The columns by which it is differentiated, one after the other: ``(0, 0)``
        is the second derivative by the first, ``(0, 1)`` a mixed one. A number is
        that column each time. Not needed where the input has one column.
    check : bool
        Whether to refuse what is not known to compute row by row. With False
        you say that it does: by a scan, for instance, or an operation of your own.

    Returns
    -------
    expression
        Of the output's shape. Of the first order, for an input of several
        columns and without ``along``, all derivatives: of shape (rows,
        columns) or (rows, outputs, columns).

    Raises
    ------
    ConfigurationError
        If output or input do not have such a shape, columns are missing or do not
        exist, the output does not depend on the input, or its rows do on
        other rows, or may do so: by way of a mean over the batch, for instance,
        as ``batch_norm`` has in training.

    Notes
    -----
    A derivative of order n costs n gradients, one within the other, for each
    output; all columns together no more than one. Where activations are
    piecewise linear (``relu``), second derivatives are 0, and where functions
    have a jump it is ignored.

    Series are not rows: the derivative by a step of a series of what all its
    steps give is a matrix.

    Examples
    --------
    What a network lacks of solving :math:`u_t = u_{xx}`, whose inputs are t and x::

        x, u = net.inputs[0], net.outputs()['out:out']
        residual = theanets.derivative(u, x, along=0) - theanets.derivative(u, x, 2, along=1)
    """
    columns = _columns(input)
    path = _path(order, along, columns)
    _check(output, input, check)
    return _each(output, lambda row: _along(row, input, path))


def laplacian(
    output: Expression,
    input: Any,
    along: int | Sequence[int] | None = None,
    *,
    check: bool = True,
) -> Expression:
    """Get the sum of the second derivatives by the columns of an input.

    Parameters
    ----------
    output, input, check
        As for `derivative`.
    along : int or sequence of int, optional
        The columns; by default all.

    Returns
    -------
    expression
        Of the output's shape.
    """
    columns = _columns(input)
    chosen: Any = [along] if is_integer(along) else along
    every = range(columns) if chosen is None else [_column(c, columns) for c in chosen]
    _check(output, input, check)

    def of(row: Expression) -> Expression:
        first = _gradient(row, input)
        if input.ndim == 1:
            return _gradient(first, input)
        parts = [_gradient(first[:, c], input)[:, c] for c in every]
        return sum(parts[1:], parts[0])

    return _each(output, of)


def divergence(output: Expression, input: Any, *, check: bool = True) -> Expression:
    """Get the sum of the derivatives of each output by the column of its number.

    Parameters
    ----------
    output, input, check
        As for `derivative`, with as many outputs as columns.

    Returns
    -------
    expression of shape (rows,)
    """
    columns = _columns(input)
    outputs = 1 if output.ndim == 1 else output.type.shape[1]
    if outputs != columns:
        raise ConfigurationError(
            f"the divergence is of as many outputs as there are columns of the input; got "
            f"{outputs} and {columns}"
        )
    _check(output, input, check)
    if output.ndim == 1:
        return _along(output, input, [0])
    parts = [_along(output[:, c], input, [c]) for c in range(columns)]
    return sum(parts[1:], parts[0])


def _each(output: Expression, of: Any) -> Expression:
    """Do something to each output; they are the last axis but for what it adds."""
    if output.ndim == 1:
        return of(output)
    return pt.stack([of(output[:, k]) for k in range(output.type.shape[1])], axis=1)


def _along(row: Expression, input: Expression, path: Sequence[int] | None) -> Expression:
    if path is None:
        return _gradient(row, input)
    for column in path:
        gradient = _gradient(row, input)
        row = gradient if input.ndim == 1 else gradient[:, column]
    return row


def _gradient(row: Expression, input: Expression) -> Expression:
    """Get the derivatives of a vector, a row each, by all columns."""
    # What a first derivative does not depend on any more has derivatives of 0.
    return pytensor.grad(row.sum(), input, disconnected_inputs="ignore")


# ---- what is asked for --------------------------------------------------------------------


def _columns(input: Any) -> int:
    if not isinstance(input, pt.TensorVariable) or not input.dtype.startswith("float"):
        raise ConfigurationError(
            f"derivative: the input {input!r} is no symbolic array of floating point"
        )
    if input.ndim not in (1, 2):
        raise ConfigurationError(
            f"derivative: the input {input} has {input.ndim} dimensions; expected 1 or 2, the "
            "first of which is that of the rows. By the steps of a series, the derivative of a "
            "series is a matrix: pytensor.gradient.jacobian"
        )
    columns = 1 if input.ndim == 1 else input.type.shape[1]
    if columns is None:
        raise ConfigurationError(
            f"derivative: it is not known how many columns the input {input} has; "
            "pt.specify_shape(x, (None, 2)) says it"
        )
    return int(columns)


def _column(value: Any, columns: int) -> int:
    if not is_integer(value) or not -columns <= value < columns:
        raise ConfigurationError(
            f"derivative: along={value!r} is no column of the input, which has {columns}"
        )
    return int(value) % columns


def _path(order: Any, along: Any, columns: int) -> list[int] | None:
    """Get the columns to differentiate by, one after the other; None for all at once."""
    if order is not None and not is_integer(order, 1):
        raise ConfigurationError(f"derivative: order={order!r} is not an integer of at least 1")
    if along is None:
        if columns == 1:
            return [0] * (order or 1)
        if order in (None, 1):
            return None
        raise ConfigurationError(
            f"derivative: the input has {columns} columns, so that there are several derivatives "
            f"of order {order}: along=(0, 1) says which columns; there is also theanets.laplacian"
        )
    if is_integer(along):
        return [_column(along, columns)] * (order or 1)
    path = [_column(c, columns) for c in along]
    if not path or len(path) != (order or len(path)):
        raise ConfigurationError(
            f"derivative: along={along!r} has {len(path)} columns, but the order is {order}"
        )
    return path


def _check(output: Any, input: Expression, apart: bool) -> None:
    if not isinstance(output, pt.TensorVariable) or not output.dtype.startswith("float"):
        raise ConfigurationError(
            f"derivative: the output {output!r} is no symbolic array of floating point"
        )
    if output.ndim not in (1, 2):
        raise ConfigurationError(
            f"derivative: the output has {output.ndim} dimensions; expected 1 or 2, the first of "
            "which is that of the rows"
        )
    if output.ndim == 2 and output.type.shape[1] is None:
        raise ConfigurationError(
            "derivative: it is not known how many columns the output has; choose one, u[:, 0], or "
            "say it by pt.specify_shape(u, (None, 2))"
        )
    if input not in ancestors([output]):
        raise ConfigurationError(
            f"derivative: the output does not depend on the input {input}. (Of a network, both are "
            "of one call of net.outputs(), or the input is in net.inputs.)"
        )
    if apart:
        rows.check(output, input)
