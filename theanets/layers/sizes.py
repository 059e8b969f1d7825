"""Names and shapes of what goes into a layer and comes out of it."""

from __future__ import annotations

from ..errors import ConfigurationError
from ..names import Name
from .signals import Shape


class Sizes:
    """What a `Layer` knows of its inputs and outputs."""

    name: str | None
    input_names: list[str]
    input_shapes: list[Shape]
    output_shapes: dict[str, Shape]

    @property
    def full_name(self) -> str:
        """Name of the layer, for messages."""
        return Name(self.name or f"<{type(self).__name__.lower()}>")

    @property
    def input_name(self) -> str:
        """Full name of the single input."""
        self._check_single()
        return self.input_names[0]

    @property
    def input_shape(self) -> Shape:
        """Shape of one example of the single input."""
        self._check_single()
        return self.input_shapes[0]

    @property
    def input_size(self) -> int:
        """Length of the last axis of the single input."""
        return self._known(self.input_shape, "input")

    @property
    def output_name(self) -> str:
        """Full name of the output ``out``."""
        return Name(f"{self.name}:out")

    @property
    def output_shape(self) -> Shape:
        """Shape of one example of the output ``out``."""
        return self.output_shapes["out"]

    @property
    def output_size(self) -> int:
        """Length of the last axis of the output ``out``."""
        return self._known(self.output_shape, "output")

    size = output_size

    @property
    def pre_size(self) -> int:
        """Length of the last axis of the pre-activation: twice ``output_size`` for ``'glu'``."""
        return self._known(self.output_shapes.get("pre", self.output_shape), "output")

    def _known(self, shape: Shape, which: str) -> int:
        if not shape or shape[-1] is None:
            raise ConfigurationError(
                f"layer {self.full_name!r} needs to know the last axis of its {which}; "
                f"the shape is {shape}"
            )
        return shape[-1]

    def _check_single(self) -> None:
        if len(self.input_names) != 1:
            raise ConfigurationError(
                f"layer {self.full_name!r} has {len(self.input_names)} inputs "
                f"({', '.join(self.input_names)}), not one"
            )
