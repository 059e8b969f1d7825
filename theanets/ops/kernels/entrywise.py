"""What is computed entry by entry, as an Op that is compiled sooner than PyTensor's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytensor.graph.basic import Apply
from pytensor.tensor.elemwise import Elemwise
from pytensor.tensor.type import TensorType

from ...expressions import Expression
from ..base import Array, KernelOp

#: Types of entries that Numba computes with as PyTensor does.
TYPES = frozenset(
    ["bool", "float32", "float64"]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
)


class Entrywise(KernelOp):
    """The same computation for each entry of arrays, what ``Elemwise`` gives.

    To Numba it is one function with a loop, in the place of one for each operation and
    three around them.

    Parameters
    ----------
    scalar_op : pytensor.scalar.basic.ScalarOp
        What is computed for each entry.
    in_place : tuple of (int, int)
        Outputs that are written where inputs are, and these inputs.
    dtypes : tuple of str
        The types of the inputs.
    broadcast : tuple of tuples of bool
        Along which axes each input is repeated; it is of length 1 there. A length of 1 along
        another axis is none to be repeated.
    """

    __props__ = ("scalar_op", "in_place", "dtypes", "broadcast")

    def __init__(
        self,
        scalar_op: Any,
        in_place: tuple[tuple[int, int], ...],
        dtypes: tuple[str, ...],
        broadcast: tuple[tuple[bool, ...], ...],
    ) -> None:
        self.scalar_op = scalar_op
        self.in_place = in_place
        self.dtypes = dtypes
        self.broadcast = broadcast
        if in_place:
            self.destroy_map = {output: [i] for output, i in in_place}

    @classmethod
    def of(cls, node: Apply) -> Entrywise | None:
        """Get what computes the same as a node of ``Elemwise``, or None where nothing does."""
        variables = [*node.inputs, *node.outputs]
        if not all(isinstance(x.type, TensorType) and x.type.dtype in TYPES for x in variables):
            return None
        in_place = tuple(node.op.inplace_pattern.items())
        # What is overwritten must not be read under another name.
        if any(node.inputs.count(node.inputs[i]) > 1 for _, i in in_place):
            return None
        dtypes = tuple(x.type.dtype for x in node.inputs)
        broadcast = tuple(x.type.broadcastable for x in node.inputs)
        if not dtypes:
            return None
        found = cls(node.op.scalar_op, in_place, dtypes, broadcast)
        # By what is configured now, the types of outputs may be others than when it was made.
        now = [x.type.dtype for x in found.scalar_node().outputs]
        return found if now == [x.type.dtype for x in node.outputs] else None

    def make_node(self, *inputs: Expression) -> Apply:
        """Take arrays of the same number of axes.

        Raises
        ------
        TypeError
            If they are not those that it was made for.
        """
        dtypes = tuple(x.type.dtype for x in inputs)
        broadcast = tuple(x.type.broadcastable for x in inputs)
        if (dtypes, broadcast) != (self.dtypes, self.broadcast):
            raise TypeError(
                f"inputs of types {dtypes}, repeated along {broadcast}, not of {self.dtypes} and "
                f"{self.broadcast}"
            )
        outputs = self._elemwise().make_node(*inputs).outputs
        return Apply(self, list(inputs), [x.type() for x in outputs])

    def perform(self, node: Apply, inputs: Sequence[Array], outputs: list[list[Any]]) -> None:
        """Compute it for arrays."""
        same = self._elemwise()
        same.perform(same.make_node(*node.inputs), inputs, outputs)

    def output_shapes(self, *shapes: tuple[Expression, ...]) -> list[tuple[Expression, ...]]:
        """Get the lengths of the inputs that are not repeated."""
        found = []
        for axis, flags in enumerate(zip(*self.broadcast, strict=True)):
            found.append(shapes[flags.index(False) if False in flags else 0][axis])
        return [tuple(found) for _ in self.scalar_node().outputs]

    def kernel(self) -> tuple[Any, str | None]:
        """Get the compiled function, and its key for the cache on the disk."""
        from . import entrywise_by_numba

        return entrywise_by_numba.kernel(self)

    def _elemwise(self) -> Elemwise:
        return Elemwise(self.scalar_op, dict(self.in_place))

    def scalar_node(self) -> Any:
        """Get the computation for one entry, as a node of PyTensor's of scalars."""
        return Elemwise(self.scalar_op).make_scalar_node(
            *(TensorType(dtype, ())() for dtype in self.dtypes)
        )
