"""The input that tells how many steps series have."""

from __future__ import annotations

from typing import Any, ClassVar

from ..errors import ConfigurationError
from ..expressions import placeholder
from .base import Layer
from .feedforward import Input
from .signals import Shape


class Lengths(Input, names=("lengths",)):
    """An input with the number of steps of each series.

    All layers know by it which steps of the series do not exist. Data hold
    one integer for each series.

    Parameters
    ----------
    of : str or list of str, optional
        Names of the input layers that it is about; by default all that no
        other layer of lengths is about. Several layers that do not say this
        are only for recurrent layers with ``lengths=``.
    """

    feeds = False
    holds_lengths = True
    options: ClassVar[dict[str, Any]] = {"of": None}
    of: Any

    def named(self) -> list[str]:
        """Get the names of the inputs that the layer says it is about."""
        if self.of is None:
            return []
        found = [self.of] if isinstance(self.of, (str, Layer)) else list(self.of)
        return [str(one.name) if isinstance(one, Layer) else one for one in found]

    def resolve_outputs(self) -> dict[str, Shape]:
        """Get the shape of one example: a number."""
        if self.shape is not None:
            raise ConfigurationError(f"layer {self.full_name!r} holds numbers; it takes no size")
        return {"out": ()}

    def setup(self) -> None:
        """Make the symbolic variable."""
        self.variable = placeholder(self.name, "int32", (None,))

    def to_spec(self) -> dict[str, Any]:
        """Get the keywords that build the layer again."""
        return {"form": "lengths", "name": self.name, "of": self.named() or None}
