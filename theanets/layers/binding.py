"""What a layer is bound to: the outputs that feed it, and its activation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from .. import activations, names
from ..errors import ConfigurationError, unknown
from ..options import as_list
from .params import Parameters
from .signals import Shape

if TYPE_CHECKING:
    from .base import Layer


class Binding(Parameters):
    """How a layer finds its inputs and gets its activation; a base of `Layer`."""

    #: How many inputs the layer can have: None for any number.
    max_inputs: ClassVar[int | None] = None
    #: What a hidden layer of this class does to its pre-activation.
    default_activation: ClassVar[str] = "relu"
    #: The activation of a class whose formulas have their own, its default too: another is refused.
    fixed_activation: ClassVar[str | None] = None

    inputs: Any
    activation_spec: Any
    bound: bool
    _activation: activations.Activation
    _activation_params: list[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        fixed = vars(cls).get("fixed_activation")
        if fixed is not None:
            cls.default_activation = fixed

    @property
    def activation(self) -> activations.Activation:
        """What the layer does to its pre-activation; may be set, to a name for instance."""
        return self._activation

    @activation.setter
    def activation(self, spec: Any) -> None:
        built = self._build_activation(spec)
        self.activation_spec = spec
        if self.bound:
            self._set_activation(built)

    def _set_activation(self, built: activations.Activation) -> None:
        for name in self._activation_params:
            del self._params[name]
        before = set(self._params)
        self._activation = built
        built.attach(self)  # type: ignore[arg-type]
        self._activation_params = [name for name in self._params if name not in before]

    def _build_activation(self, spec: Any) -> activations.Activation:
        fixed = self.fixed_activation
        if fixed is not None and spec is not None and not (isinstance(spec, str) and spec == fixed):
            raise ConfigurationError(
                f"layer {self.full_name!r}: a {type(self).__name__.lower()} layer has formulas of "
                f"its own for what it puts out; activation={spec!r} has no meaning for it"
            )
        return activations.build(self.default_activation if spec is None else spec)

    def resolve_inputs(self, layers: Mapping[str, Layer]) -> list[str]:
        """Get the full names of the outputs that feed this layer.

        Parameters
        ----------
        layers : dict
            The layers before this one, by name, in order.
        """
        inputs = self.inputs
        if inputs is None:
            if not layers:
                raise ConfigurationError(
                    f"layer {self.full_name!r} has no inputs: no layer comes before it"
                )
            every = [layer for layer in layers.values() if layer.feeds] or list(layers.values())
            inputs = every[-1].output_name
        if isinstance(inputs, Mapping):
            inputs = self._sized_inputs(inputs, layers)
        listed = as_list(inputs)
        resolved = [self._input_name(i, layers) for i in ([inputs] if listed is None else listed)]
        if not resolved:
            raise ConfigurationError(f"layer {self.full_name!r} has no inputs: inputs={inputs!r}")
        if self.max_inputs is not None and len(resolved) != self.max_inputs:
            raise ConfigurationError(
                f"layer {self.full_name!r} takes {self.max_inputs} input(s), got {resolved}"
            )
        return resolved

    def _sized_inputs(self, sizes: Mapping[Any, Any], layers: Mapping[str, Layer]) -> list[str]:
        """Get the names from sizes by name, as earlier versions have them; the sizes must agree."""
        found = []
        for given, size in sizes.items():
            name = self._input_name(given, layers)
            actual = self._shape_of(layers, name)[-1:]
            if actual not in ((size,), (None,)):
                raise ConfigurationError(
                    f"layer {self.full_name!r}: inputs={dict(sizes)!r}, but {name!r} has the size "
                    f"{actual[0] if actual else 1}; names alone will do: inputs={list(sizes)!r}"
                )
            found.append(name)
        return found

    def _input_name(self, given: Any, layers: Mapping[str, Layer]) -> str:
        if isinstance(given, Binding):
            if not any(given is layer for layer in layers.values()):
                raise unknown(f"input of layer {self.full_name!r}", given, layers)
            return given.output_name
        if isinstance(given, str):
            return names.from_within(given, str(self.name), layers)
        raise ConfigurationError(
            f"layer {self.full_name!r}: inputs={self.inputs!r}; expected the name of an output, "
            "a Layer, or a list of these; sizes are those of the layers, so that none is given"
        )

    def _shape_of(self, layers: Mapping[str, Layer], name: str) -> Shape:
        layer, output = names.split_output(name)
        valid = [f"{key}:{o}" for key, other in layers.items() for o in other.output_shapes]
        if layer not in layers or output not in layers[layer].output_shapes:
            raise unknown(f"input of layer {self.full_name!r}", name, valid)
        return layers[layer].output_shapes[output]
