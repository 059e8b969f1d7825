"""Symbols as inputs, and vectors for them."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import names
from ..errors import ConfigurationError, is_integer
from ..expressions import Expression, placeholder
from ..options import Whole
from .base import Layer
from .feedforward import Input
from .params import DRAWS
from .signals import Inputs, Shape


class Symbols(Input, names=("symbols",)):
    """An input of symbols, which are integers; for `Embedding`.

    Parameters
    ----------
    classes : int
        How many symbols there are: data are integers in [0, classes).
    shape : tuple
        Shape of one example: (None,) for series of one symbol for each step,
        which data hold as (batch, time); (3,) for three symbols.
    """

    options: ClassVar[dict[str, Any]] = {"classes": Whole(None)}
    classes: Any

    @property
    def is_series(self) -> bool:
        """Whether examples are series, of one symbol for each step."""
        return self.output_shape == (None,)

    def resolve_outputs(self) -> dict[str, Shape]:
        """Get the shape that data must have."""
        count = self.classes
        if not is_integer(count, 1):
            raise ConfigurationError(
                f"layer {self.full_name!r}: classes={count!r} is not an integer of at least 1, "
                "the number of symbols"
            )
        # A model's number of axes is one for inputs with variables.
        self.ndim = None
        return super().resolve_outputs()

    def setup(self) -> None:
        """Make the symbolic variable."""
        shape = (None, *self.output_shape)
        self.variable = placeholder(self.name, "int32", shape)
        self.variable.tag.classes = int(self.classes)

    def connect(self, inputs: Inputs) -> dict[str, Any]:
        """Get the variable by full name; it stays one of integers."""
        return {self.output_name: self.variable}


class Embedding(Layer, names=("embedding",)):
    """A vector for each symbol of the input, which is one of the form ``'symbols'``.

    Parameters
    ----------
    size : int
        Length of the vectors.

    Notes
    -----
    The output has the input's shape and then the axis of the vectors: of
    series (time) it makes (time, size). Parameter ``w`` (symbols, size),
    normal with a standard deviation of ``1 / sqrt(size)``.
    """

    default_activation = "linear"
    max_inputs = 1

    def resolve_outputs(self) -> dict[str, Shape]:
        """Get the shape of ``out``."""
        source = self.layers[names.split_output(self.input_name)[0]]
        if not isinstance(source, Symbols):
            raise ConfigurationError(
                f"layer {self.full_name!r}: the input of an embedding is one of symbols, "
                f"dict(form='symbols', shape=(None,), classes=100), not {source!r}"
            )
        if self.shape is None or len(self.shape) != 1 or self.shape[0] is None:
            raise ConfigurationError(f"layer {self.full_name!r} needs a size, got {self.shape}")
        self.symbols = int(source.classes)
        return {"out": (*self.input_shape, self.shape[0])}

    def setup(self) -> None:
        """Make ``w``."""
        draws = self._draws("w", DRAWS, {"std": self.output_size**-0.5})
        shape = (self.symbols, self.output_size)
        self.add_param("w", lambda: self._random_matrix("w", *shape, draws), shape)

    @property
    def turned_size(self) -> int | None:
        """How many units a layer has that turns the vectors around: one for each symbol."""
        return self.symbols

    def unit_axis(self, param: Any) -> int:
        """Get the axis of symbols: a vector is what a unit's weights are elsewhere."""
        return 0

    def keeps_time(self, given: Shape, made: Shape) -> bool:
        """Tell whether the symbols are a series."""
        return len(given) == 1

    def transform(self, inputs: Inputs) -> Expression:
        """Get the vectors."""
        x = inputs.only
        rows = self.find("w")[x.ravel()]
        shape = [x.shape[i] for i in range(x.ndim)]
        return self.activation(rows.reshape((*shape, self.output_size)))
