"""Decoders: the layers of an autoencoder that turn the layers of another network around.

A decoder maps what a layer gives back to what it got. Those of layers with
weights use the same weights, transposed; none of them can be named in a
specification, since they live only while a network is pretrained.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytensor.tensor as pt

from ..errors import ConfigurationError
from ..expressions import Expression
from ..layers import Flatten, Inputs, Layer, Pool1, Pool2, Reshape, Tied
from ..layers.signals import Shape
from ..ops.windows import ImageGradient, SumSpread, one_line


class _Back(Layer, abstract=True):
    """Base class of decoders; the second input, what the partner got, says how large that was.

    Parameters
    ----------
    partner : Layer
        The layer to turn around.
    """

    options: ClassVar[dict[str, Any]] = {"partner": None}
    partner: Layer
    default_activation = "linear"

    @property
    def tied_to(self) -> Layer:
        """The partner."""
        return self.partner

    def resolve_outputs(self) -> dict[str, Shape]:
        """Get the shape of ``out``: that of the partner's input."""
        return {"out": self.partner.input_shape}

    def lengths(self, like: Expression) -> list[Expression]:
        """Get the two lengths of the images that the partner got; a series is one line."""
        known = self.partner.input_shape[:-1]
        found = [like.shape[i + 1] if n is None else n for i, n in enumerate(known)]
        return [1] * (2 - len(found)) + found


class ConvolutionBack(_Back, register=False):
    r"""The transpose of a convolution, with the same filters: ``out = g(x * w + b)``.

    Each entry is spread over the window that it was computed from. Parameter
    ``b`` (channels of the partner's input).
    """

    def setup(self) -> None:
        """Make ``b``."""
        self.add_bias("b", self.partner.input_size)

    def transform(self, inputs: Inputs) -> Expression:
        """Get ``out``."""
        x, like = inputs.ordered
        series = like.ndim == 3
        window: Any = self.partner.window  # type: ignore[attr-defined]
        filters = self.partner.find("w")[:, :, ::-1, ::-1].transpose(2, 3, 1, 0)
        x = pt.expand_dims(x, 1) if series else x
        image = ImageGradient(window)(filters, x, *self.lengths(like))
        return self.activation((one_line(image) if series else image) + self.find("b"))


class PoolingBack(_Back, register=False):
    """Each entry gets the mean of the windows that it was in; 0 if it was in none."""

    def transform(self, inputs: Inputs) -> Expression:
        """Get ``out``."""
        x, like = inputs.ordered
        partner: Any = self.partner
        if partner.whole:
            axes = tuple(range(1, like.ndim - 1))
            return pt.expand_dims(x, axes) + pt.zeros_like(like)
        series = like.ndim == 3
        x = pt.expand_dims(x, 1) if series else x
        lengths = self.lengths(like)
        total = SumSpread(partner.window)(x, *lengths)
        ones = pt.ones((1, x.shape[1], x.shape[2], 1), dtype=x.dtype)
        count = SumSpread(partner.window)(ones, *lengths)
        image = total / pt.maximum(count, 1)
        return one_line(image) if series else image


class ShapeBack(_Back, register=False):
    """The entries in the shape that they had."""

    def transform(self, inputs: Inputs) -> Expression:
        """Get ``out``."""
        x, like = inputs.ordered
        return x.reshape(like.shape)


def check(layer: Layer, before: Layer, where: str) -> None:
    """Refuse a layer that cannot be turned around.

    Parameters
    ----------
    layer : Layer
        A hidden layer.
    before : Layer
        The layer before it, which must be its only input.
    where : str
        What is done, for messages.

    Raises
    ------
    ConfigurationError
        If it cannot.
    """
    if layer.input_names != [before.output_name]:
        raise ConfigurationError(
            f"{where}: layer {layer.name!r} has the inputs {layer.input_names}, not just the "
            f"layer before it, {before.output_name!r}; only a chain of layers can be turned "
            "around; try algo='layerwise'"
        )
    if layer.linear_map == "matrix" and layer.pre_size != layer.output_size:
        raise ConfigurationError(
            f"{where}: layer {layer.name!r} has the activation {layer.activation.name!r}, whose "
            f"output is smaller than what it is of ({layer.output_size}, not {layer.pre_size} "
            "units), so that it has no transpose; try algo='layerwise'"
        )
    turned = layer.linear_map in ("matrix", "filters") or layer.keeps_entries
    if not (turned or isinstance(layer, (Pool1, Pool2, Flatten, Reshape))):
        kind = type(layer).__name__.lower()
        raise ConfigurationError(
            f"{where}: layer {layer.name!r} is a {kind} layer, which cannot be turned around; "
            "that can be done with feedforward, convolution, pooling, flatten, reshape, "
            "normalization and noise layers; try algo='layerwise', which takes any"
        )


def mirror(encoders: Sequence[Layer], output: str, activation: Any) -> list[Layer]:
    """Make the decoders of a chain of layers, in the order of their use.

    Parameters
    ----------
    encoders : list of Layer
        The first is the input; the others, bound, have passed `check`.
    output : str
        Name of the last decoder, which makes what the first layer gives.
    activation : str or Activation
        That of the last decoder. A decoder further up has the activation of
        the layer whose output it makes.

    Returns
    -------
    list of Layer
        Not bound yet.
    """
    chain = [layer for layer in encoders if not layer.keeps_entries]
    taken = {str(layer.name) for layer in encoders} | {output}
    found: list[Layer] = []
    source = encoders[-1].output_name
    for i in range(len(chain) - 1, 0, -1):
        name = output if i == 1 else _free(f"{chain[i].name}_back", taken)
        below = _activation(encoders, chain[i], activation)
        found.append(_decoder(chain[i], name, source, below))
        source = f"{name}:out"
    return found


def _decoder(layer: Layer, name: str, source: str, activation: Any) -> Layer:
    if layer.linear_map == "matrix":
        return Tied(name, partner=layer, inputs=source, activation=activation)
    like = [source, layer.input_name]
    if layer.linear_map == "filters":
        return ConvolutionBack(name, partner=layer, inputs=like, activation=activation)
    form = PoolingBack if isinstance(layer, (Pool1, Pool2)) else ShapeBack
    # What pooling and flatten give back is an output of a layer: it has its activation.
    return form(name, partner=layer, inputs=like)


def _activation(encoders: Sequence[Layer], layer: Layer, last: Any) -> Any:
    """Get the activation of what a layer gets."""
    position = next(i for i, other in enumerate(encoders) if other is layer)
    for below in reversed(encoders[:position]):
        if below.is_input:
            return last
        if below.params:
            return below.to_spec()["activation"]
    return last


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
