"""Derivatives of sums over paths of the third order and beyond, as Ops.

The first is an output of the sum's Op, and the second is `Tangent`, with kernels of their own.
What is asked for beyond is seldom, and computed by NumPy for all linkers (`hyperdual`). The
derivatives of a sum are symmetric in their directions, so that the Ops are differentiated by
themselves, of the same order and of the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply

from ...expressions import Expression
from ..base import Array, KernelOp, connected


class Higher(KernelOp):
    """Base class: inputs are those of a sum, then some directions.

    Parameters
    ----------
    order : int
        How many directions there are.
    """

    __props__: tuple[str, ...] = ("order",)
    #: How many inputs the sum has, and which of them are scores.
    base = 3
    scores: tuple[int, ...]

    def __init__(self, order: int) -> None:
        self.order = order

    def again(self, order: int) -> Higher:
        """Get the Op of another order."""
        return type(self)(order)

    def change(self, *arrays: Array) -> tuple[Array, ...]:
        """Compute the outputs; arrays are those of the inputs."""
        raise NotImplementedError

    def make_node(self, *inputs: Expression) -> Apply:
        variables = [pt.as_tensor(x) for x in inputs]
        if len(variables) != self.base + self.order * len(self.scores):
            raise TypeError(f"{self} takes {self.order} directions, not {len(variables)} inputs")
        outputs = [x.type() for x in variables[self.base : self.base + len(self.scores)]]
        dtype = variables[0].dtype
        return Apply(self, variables, [out.type.clone(dtype=dtype)() for out in outputs])

    def output_shapes(self, *shapes: tuple[Expression, ...]) -> list[tuple[Expression, ...]]:
        return list(shapes[self.base : self.base + len(self.scores)])

    def perform(self, node: Apply, inputs: Sequence[Array], storage: list[list[Any]]) -> None:
        for place, value in zip(storage, self.change(*inputs), strict=True):
            place[0] = value

    def kernel(self) -> tuple[Any, str | None]:
        """Get the compiled function, which calls NumPy."""
        from .higher_by_numba import called

        return called(self.change, len(self.scores))

    def directions(self, inputs: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Get the directions, each as a tuple."""
        many = len(self.scores)
        starts = range(self.base, len(inputs), many)
        return [tuple(inputs[start : start + many]) for start in starts]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        many = len(node.outputs)
        reads = [i in self.scores or i >= self.base for i in range(len(node.inputs))]
        return [[yes] * many for yes in reads]

    def pullback(
        self,
        inputs: Sequence[Expression],
        outputs: Sequence[Expression],
        cotangents: Sequence[Expression],
    ) -> list[Expression]:
        arriving = tuple(
            pt.zeros_like(out) if g is None else g.astype(out.dtype)
            for g, out in zip(map(connected, cotangents), outputs, strict=True)
        )
        own, directions = inputs[: self.base], self.directions(inputs)
        return [*third(self.again(self.order + 1), own, [*directions, arriving])] + [
            g
            for i, _ in enumerate(directions)
            for g in _flat(self, own, [*directions[:i], arriving, *directions[i + 1 :]])
        ]


def third(
    op: Higher, inputs: Sequence[Expression], directions: Sequence[tuple[Expression, ...]]
) -> list[Expression]:
    """Get the derivatives with respect to a sum's inputs; `Tangent` asks for the third."""
    found = iter(_flat(op, inputs, directions))
    grads = [next(found) if i in op.scores else DisconnectedType()() for i, _ in enumerate(inputs)]
    # Directions of what all examples have in common are of each.
    pairs = zip(grads, inputs, strict=True)
    return [
        g.sum(axis=0) if i in op.scores and g.ndim > x.ndim else g for i, (g, x) in enumerate(pairs)
    ]


def _flat(op: Higher, inputs: Any, directions: Any) -> list[Expression]:
    parts = [part for direction in directions for part in direction]
    return op(*inputs, *parts, return_list=True)
