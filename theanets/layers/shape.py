"""Layers that change shapes, flatten and reshape, and the layer of any function."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from ..errors import ConfigurationError
from ..expressions import Expression, applied
from .base import Layer
from .checks import check_declared, described_inputs
from .signals import Inputs, Shape


class Flatten(Layer, names=("flatten", "flat")):
    """All entries of an example as one vector, the last axis of the input running fastest."""

    default_activation = "linear"
    max_inputs = 1

    def resolve_outputs(self) -> dict[str, Shape]:
        """Get the shape of ``out``."""
        shape = self.input_shape
        if None in shape:
            # What follows could have no weights.
            raise ConfigurationError(
                f"layer {self.full_name!r} cannot flatten {self.input_name!r} of shape {shape}: "
                "all lengths but that of the batch must be known"
            )
        return {"out": check_declared(self, (math.prod(n for n in shape if n is not None),))}

    def transform(self, inputs: Inputs) -> Expression:
        """Get the flat input."""
        x = inputs.only
        return self.activation(x.reshape((x.shape[0], self.output_size)))


class Reshape(Layer, names=("reshape",)):
    """The input's entries in another shape, in the same order.

    Parameters
    ----------
    shape : tuple of int
        Shape of one example; one length may be -1 or None, which is then what
        is left: of an example of shape (4, 6), ``shape=(3, -1)`` makes (3, 8).
    """

    default_activation = "linear"
    max_inputs = 1

    def resolve_outputs(self) -> dict[str, Shape]:
        """Get the shape of ``out``."""
        given = self.shape
        if given is None:
            raise ConfigurationError(f"layer {self.full_name!r} needs a shape")
        if given.count(None) > 1:
            raise ConfigurationError(
                f"layer {self.full_name!r}: shape {given} has more than one unknown length"
            )
        known = math.prod(n for n in given if n is not None)
        if None in self.input_shape:
            return {"out": given}
        total = math.prod(n for n in self.input_shape if n is not None)
        if total % known or (None not in given and total != known):
            lengths = " * ".join("?" if n is None else str(n) for n in given)
            raise ConfigurationError(
                f"layer {self.full_name!r} cannot make {given} of {described_inputs(self)}: "
                f"{' * '.join(map(str, self.input_shape))} = {total} entries, not {lengths}"
                + ("" if None in given else f" = {known}")
            )
        return {"out": tuple(total // known if n is None else n for n in given)}

    def transform(self, inputs: Inputs) -> Expression:
        """Get the input in the new shape."""
        x = inputs.only
        shape = [-1 if n is None else n for n in self.output_shape]
        return self.activation(x.reshape((x.shape[0], *shape)))


class Lambda(Layer, names=("lambda",)):
    """Any function of the inputs' expressions.

    Parameters
    ----------
    function : callable
        Maps expressions, batch first, one for each input, to an expression.
        A file of the network holds its name; the function itself is given to
        ``load(path, custom={name: function})``.
    size, shape : optional
        Of one example's output, where it is not that of the first input.
    """

    options: ClassVar[dict[str, Any]] = {"function": None}
    function: Any
    default_activation = "linear"

    def resolve_outputs(self) -> dict[str, Shape]:
        """Get the shape of ``out``."""
        if not callable(self.function):
            raise ConfigurationError(
                f"layer {self.full_name!r}: function={self.function!r} is not a callable"
            )
        return {"out": self.input_shapes[0]} if self.shape is None else super().resolve_outputs()

    def transform(self, inputs: Inputs) -> Expression:
        """Get what the function returns."""
        result = applied(self.function, inputs.ordered, f"layer {self.full_name!r}: function")
        return self.activation(result)
