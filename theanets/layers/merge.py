"""Layers that make one output of several inputs: concatenation, product, sum."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytensor.tensor as pt

from ..errors import ConfigurationError
from ..expressions import Expression
from .base import Layer
from .checks import check_declared, described_inputs
from .signals import Inputs, Shape


class Merge(Layer, abstract=True):
    """Base class of layers that combine any number of inputs of equal rank.

    The shape of the output follows from the inputs; one that is given must be
    the same.
    """

    default_activation = "linear"

    def resolve_outputs(self) -> dict[str, Shape]:
        """Get the shape of ``out``."""
        if len({len(shape) for shape in self.input_shapes}) > 1:
            raise ConfigurationError(
                f"layer {self.full_name!r} has inputs of different ranks: {described_inputs(self)}"
            )
        axes = zip(*self.input_shapes, strict=True)
        shape = tuple(self._merged(axis, lengths) for axis, lengths in enumerate(axes))
        return {"out": check_declared(self, shape)}

    def _merged(self, axis: int, lengths: tuple[int | None, ...]) -> int | None:
        """Get the length of an axis of the output from those of the inputs."""
        known = {length for length in lengths if length not in (None, 1)}
        if len(known) > 1:
            raise ConfigurationError(
                f"layer {self.full_name!r}: along axis {axis} of an example the inputs have the "
                f"lengths {', '.join(map(str, lengths))}, which must be equal, or 1: "
                f"{described_inputs(self)}"
            )
        return known.pop() if known else None if None in lengths else 1


class Concatenate(Merge, names=("concatenate", "concat")):
    """The inputs side by side along the last axis, where their lengths add up.

    All other axes must be equal.
    """

    def _merged(self, axis: int, lengths: tuple[int | None, ...]) -> int | None:
        known = [length for length in lengths if length is not None]
        if axis == len(self.input_shapes[0]) - 1:
            return sum(known) if len(known) == len(lengths) else None
        if len(set(known)) > 1:
            raise ConfigurationError(
                f"layer {self.full_name!r}: along axis {axis} of an example the inputs have the "
                f"lengths {', '.join(map(str, lengths))}; only the last axis may differ: "
                f"{described_inputs(self)}"
            )
        return known[0] if known else None

    def transform(self, inputs: Inputs) -> Expression:
        """Get the inputs side by side."""
        return self.activation(pt.concatenate(inputs.ordered, axis=-1))


class _Elementwise(Merge, abstract=True):
    """Base class of layers that stretch axes of length 1."""

    def shapes_for(self, found: Mapping[str, Shape]) -> dict[str, Shape]:
        """Get the shape of ``out``; only an axis that is known to have length 1 is stretched."""
        shapes = super().shapes_for(found)
        for name, declared in zip(self.input_names, self.input_shapes, strict=True):
            for axis, (n, whole) in enumerate(zip(found[name], shapes["out"], strict=True)):
                if n != whole and declared[axis] != 1:
                    raise ConfigurationError(
                        f"layer {self.full_name!r}: along axis {axis} of an example {name!r} has "
                        f"the length {n}, others have {whole}; an axis is stretched if its input "
                        "is declared with the length 1"
                    )
        return shapes

    def _terms(self, inputs: Inputs) -> list[Any]:
        # Only an axis that is known to have length 1 is stretched.
        return [
            pt.specify_shape(x, (x.type.shape[0], *shape)) if 1 in shape else x
            for x, shape in zip(inputs.ordered, self.input_shapes, strict=True)
        ]


class Product(_Elementwise, names=("product", "prod")):
    """The elementwise product of the inputs.

    Where an axis of one input has length 1, it is stretched to that of the
    others: weights of shape (time, 1) multiply series of shape (time, n).
    """

    def transform(self, inputs: Inputs) -> Expression:
        """Get the product."""
        first, *others = self._terms(inputs)
        return self.activation(math.prod(others, start=first))


class Add(_Elementwise, names=("add", "sum")):
    """The elementwise sum of the inputs, as in a residual network.

    Where an axis of one input has length 1, it is stretched to that of the
    others.
    """

    def transform(self, inputs: Inputs) -> Expression:
        """Get the sum."""
        first, *others = self._terms(inputs)
        return self.activation(sum(others, start=first))
