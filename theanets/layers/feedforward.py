"""Layers that map vectors to vectors: input, feedforward, classifier, tied."""

from __future__ import annotations

from typing import Any, ClassVar

import pytensor.tensor as pt

from ..errors import ConfigurationError, unknown
from .base import Inputs, Layer, Shape


class Input(Layer, names=("input",)):
    """A place where data enters a network.

    Parameters
    ----------
    size, shape
        Shape of one example; None stands for any length, for instance
        ``(None, 12)`` for series of 12 variables.
    ndim : int, optional
        Number of axes with the batch axis. A shape shorter than that gets
        axes of unknown length in front: ``size=12, ndim=3`` is
        ``shape=(None, 12)``.

    Attributes
    ----------
    variable : TensorVariable
        The symbolic input, named like the layer.
    """

    options: ClassVar[dict[str, Any]] = {"ndim": None}
    ndim: int | None
    default_activation = "linear"

    def _resolve_inputs(self, layers: Any) -> list[str]:
        if self.inputs:
            raise ConfigurationError(
                f"input layer {self.full_name!r} cannot have inputs={self.inputs!r}"
            )
        return []

    def resolve_outputs(self) -> dict[str, Shape]:
        """Get the shape that data must have."""
        if self.shape is None:
            raise ConfigurationError(f"input layer {self.full_name!r} needs a size or a shape")
        missing = 0 if self.ndim is None else self.ndim - 1 - len(self.shape)
        if missing < 0:
            raise ConfigurationError(
                f"input layer {self.full_name!r}: shape {self.shape} has more than "
                f"ndim - 1 = {self.ndim} - 1 axes"
            )
        return {"out": (None,) * missing + self.shape}

    def setup(self) -> None:
        """Make the symbolic variable."""
        shape = (None, *self.output_shape)
        self.variable = pt.tensor(name=self.name, dtype=self.dtype, shape=shape)

    def transform(self, inputs: Inputs) -> Any:
        """Get the variable itself."""
        return self.activation(self.variable)


class Feedforward(Layer, names=("feedforward", "ff")):
    r"""A fully connected layer: ``out = g(x @ w + b)``.

    Several inputs are multiplied by a matrix of their own each and summed.
    Inputs of more than two axes are mapped along their last one.

    Parameters ``w`` (inputs, units), or ``w_<input>`` for each of several
    inputs, and ``b`` (units). Outputs ``out`` and ``pre``, the
    pre-activation ``x @ w + b``.
    """

    def resolve_outputs(self) -> dict[str, Shape]:
        """Get the shapes of ``out`` and ``pre``."""
        if self.shape is None:
            raise ConfigurationError(f"layer {self.full_name!r} needs a size")
        if len(self.shape) != 1 or self.shape[0] is None:
            raise ConfigurationError(
                f"layer {self.full_name!r}: shape {self.shape} is not a size; a feedforward "
                "layer maps the last axis of its inputs and keeps the others"
            )
        leading = {shape[:-1] for shape in self.input_shapes}
        if len({len(axes) for axes in leading}) > 1:
            raise ConfigurationError(
                f"layer {self.full_name!r}: inputs of different ranks: "
                + ", ".join(
                    f"{n} {s}" for n, s in zip(self.input_names, self.input_shapes, strict=True)
                )
            )
        shape = (*self.input_shapes[0][:-1], self.shape[0])
        return {"out": shape, "pre": shape}

    def setup(self) -> None:
        """Make ``w`` (or one ``w_<input>`` each) and ``b``."""
        if len(self.input_names) == 1:
            self.add_weights("w")
        else:
            nin = sum(self._known(shape, "input") for shape in self.input_shapes)
            std = (2.0 / (nin + self.output_size)) ** 0.5
            for key, shape in zip(self._weight_names(), self.input_shapes, strict=True):
                self.add_weights(key, self._known(shape, "input"), std=std)
        self.add_bias("b")

    def _weight_names(self) -> list[str]:
        if len(self.input_names) == 1:
            return ["w"]
        keys: list[str] = []
        for name in self.input_names:
            key = f"w_{name}"
            while key in keys:
                key += "'"
            keys.append(key)
        return keys

    def find(self, key: str | int) -> Any:
        """Find a parameter; of several inputs' weights ``w_1`` is the first, ``w_x`` x's."""
        if isinstance(key, str) and key not in self._params and key.startswith("w_"):
            weights = self._weight_names()
            number = key[2:]
            if number.isdigit() and 1 <= int(number) <= len(weights):
                key = weights[int(number) - 1]
            elif f"{key}:out" in self._params:
                key = f"{key}:out"
        return super().find(key)

    def transform(self, inputs: Inputs) -> Any:
        """Get ``out`` and ``pre``."""
        terms = [
            pt.dot(inputs[name], self._params[key])
            for name, key in zip(self.input_names, self._weight_names(), strict=True)
        ]
        pre = sum(terms[1:], terms[0]) + self._params["b"]
        return {"out": self.activation(pre), "pre": pre}


class Classifier(Feedforward, names=("classifier", "softmax")):
    """A feedforward layer whose output is a softmax over classes.

    Losses over classes work on its ``pre``, the logits.
    """

    default_activation = "softmax"

    def _build_activation(self) -> Any:
        if self.activation_spec not in (None, "softmax"):
            raise ConfigurationError(
                f"layer {self.full_name!r}: a classifier layer is a softmax; for "
                f"activation={self.activation_spec!r} use a feedforward layer"
            )
        return super()._build_activation()


class Tied(Layer, names=("tied",)):
    r"""A layer that uses another layer's weights, transposed: ``out = g(x @ w.T + b)``.

    Parameters
    ----------
    partner : str or Layer, optional
        The layer whose ``w`` is used. By default the first of the layers
        before this one, going backwards, that has weights, whose output fits
        this layer's input and that no tied layer has as its partner.

    Notes
    -----
    The size is the partner's input size. Parameter ``b``; outputs ``out``
    and ``pre``.
    """

    options: ClassVar[dict[str, Any]] = {"partner": None}
    partner: Any
    max_inputs = 1

    def resolve_outputs(self) -> dict[str, Shape]:
        """Find the partner, and get the shapes of ``out`` and ``pre``."""
        partner = self._find_partner()
        if not isinstance(partner, Feedforward) or len(partner.input_names) != 1:
            raise ConfigurationError(
                f"layer {self.full_name!r} cannot be tied to {partner!r}: the partner "
                "must be a feedforward layer with one input"
            )
        self.partner = partner
        if self.input_size != partner.output_size:
            raise ConfigurationError(
                f"layer {self.full_name!r} has inputs of size {self.input_size}, but its "
                f"partner {partner.full_name!r} has outputs of size {partner.output_size}"
            )
        if self.shape is not None and self.shape != (partner.input_size,):
            raise ConfigurationError(
                f"layer {self.full_name!r} has size {self.shape}, but its partner "
                f"{partner.full_name!r} has inputs of size {partner.input_size}"
            )
        shape = (*self.input_shape[:-1], partner.input_size)
        return {"out": shape, "pre": shape}

    def _find_partner(self) -> Layer:
        layers = self.layers
        if isinstance(self.partner, Layer):
            if layers.get(str(self.partner.name)) is not self.partner:
                raise unknown("partner", self.partner.full_name, layers)
            return self.partner
        if self.partner is not None:
            if self.partner not in layers:
                raise unknown(f"partner of layer {self.full_name!r}", self.partner, layers)
            return layers[self.partner]
        taken = {id(other.partner) for other in layers.values() if isinstance(other, Tied)}
        for other in reversed(list(layers.values())):
            if isinstance(other, Feedforward) and id(other) not in taken:
                return other
        raise ConfigurationError(
            f"layer {self.full_name!r} found no untied feedforward layer to be its partner"
        )

    def setup(self) -> None:
        """Make ``b``."""
        self.add_bias("b")

    def transform(self, inputs: Inputs) -> Any:
        """Get ``out`` and ``pre``."""
        pre = pt.dot(inputs.only, self.partner.find("w").T) + self.find("b")
        return {"out": self.activation(pre), "pre": pre}
