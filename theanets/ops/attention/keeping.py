"""Keys and values that are put behind those of the steps before, in an array with room for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytensor.tensor as pt
from pytensor.graph.basic import Apply

from ...errors import DerivativeError
from ...expressions import Expression
from ..base import Array, KernelOp


class Keep(KernelOp):
    """Writes rows into an array, from a place of each example on.

    The array is changed in place, so that it costs what the rows cost: where it is an input of
    a function, that has to be one which may be changed. (With JAX it is another array that comes
    out, and the input stays as it is.)

    Inputs are the array (batch, room, units), rows (batch, time, units) of its type, how many of
    the rows there are, (batch) of int64, and the place of the first one, (batch) of int64.
    """

    __props__ = ()
    destroy_map: ClassVar[dict[int, list[int]]] = {0: [0]}

    def make_node(self, *inputs: Expression) -> Apply:
        array, rows, lengths, places = (pt.as_tensor(x) for x in inputs)
        floats = array.dtype in ("float32", "float64") and rows.dtype == array.dtype
        whole = lengths.dtype == places.dtype == "int64"
        if not (floats and whole) or (array.ndim, rows.ndim, lengths.ndim, places.ndim) != (
            *(3, 3),
            *(1, 1),
        ):
            raise TypeError(
                f"an array {array.type} and rows {rows.type} with lengths {lengths.type} at "
                f"places {places.type}"
            )
        return Apply(self, [array, rows, lengths, places], [array.type()])

    def output_shapes(self, *shapes: tuple[Expression, ...]) -> list[tuple[Expression, ...]]:
        return [shapes[0]]

    def perform(self, node: Apply, inputs: Sequence[Array], storage: list[list[Any]]) -> None:
        array, rows, lengths, places = inputs
        check(array, rows, lengths, places)
        for b, (n, place) in enumerate(zip(lengths, places, strict=True)):
            array[b, place : place + n] = rows[b, :n]
        storage[0][0] = array

    def kernel(self) -> tuple[Any, str | None]:
        from . import by_numba

        return by_numba.kernel(by_numba.keep)

    def pullback(
        self,
        inputs: Sequence[Expression],
        outputs: Sequence[Expression],
        cotangents: Sequence[Expression],
    ) -> list[Expression]:
        raise DerivativeError(
            "keys and values of series that are continued are written over those that were there, "
            "and have no derivative; give whole series to what is to be differentiated",
            self,
        )


keep = Keep()


def check(array: Array, rows: Array, lengths: Array, places: Array) -> None:
    """Refuse rows for which there is no room.

    Raises
    ------
    ValueError
        Says why.
    """
    batch, room, units = array.shape
    if rows.shape[::2] != (batch, units) or lengths.shape != (batch,) or places.shape != (batch,):
        raise ValueError(
            f"attention: rows of shape {rows.shape}, lengths of {lengths.shape} and places of "
            f"{places.shape} do not fit an array of {array.shape}"
        )
    if batch and (
        min(lengths.min(), places.min()) < 0
        or lengths.max() > rows.shape[1]
        or (lengths + places).max() > room
    ):
        raise ValueError(
            f"attention: {lengths.max()} of {rows.shape[1]} rows at the place {places.max()} of "
            f"{room}"
        )
