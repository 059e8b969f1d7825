"""What a network is made of: its type, its layers by what the user wrote, its output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import activations, process, spec
from .. import names as _names
from ..errors import ConfigurationError, is_integer
from ..graph import Graph
from ..layers import Layer, is_form
from ..losses import Loss
from ..options import as_list


@dataclass(frozen=True)
class Maker:
    """Makes the layers of one kind of network.

    Attributes
    ----------
    activation : str
        What the output layer has, where nothing else is said.
    ndim : int
        Number of axes of the data of an input, where its shape does not say more.
    """

    activation: str
    ndim: int

    def add(
        self,
        graph: Graph,
        layer: Any,
        output: bool,
        keywords: Mapping[str, Any],
        ending: str | None = None,
    ) -> Layer:
        """Make the next layer, and those that it unfolds into, and append them.

        Parameters
        ----------
        graph : Graph
            Gets them all, or none if one does not fit.
        layer, output, keywords, ending
            See `make`.
        """
        made = self.make(layer, graph.layers, output, keywords, ending)
        if output or made.name == "out":
            ending = self.activation
        with graph.whole() as layers:
            for part in made.unfold(layers, ending):
                self.add(graph, part.spec, False, part.keywords, part.ending)
            graph.add(made)
        return made

    def make(
        self,
        layer: Any,
        before: Sequence[Layer],
        output: bool,
        keywords: Mapping[str, Any],
        ending: str | None = None,
    ) -> Layer:
        """Make the next layer.

        Parameters
        ----------
        layer
            What the user wrote: a specification, or an instance, which gets
            what it does not have.
        before : list of Layer
            The layers so far.
        output : bool
            Whether it is called ``out`` unless it says how it is called.
        keywords : dict
            Keywords of the layer, which win over the specification.
        ending : str, optional
            The activation of the last layer of a block, where nothing else is
            said.

        Raises
        ------
        ConfigurationError
            If the specification has no meaning, or the first layer is no input.
        """
        if isinstance(layer, Layer):
            made = self._completed(layer, before, output, keywords)
        else:
            made = self._new(layer, before, output, keywords, ending)
        if not before and not made.is_input:
            raise ConfigurationError(
                f"the first layer is {made!r}; it must be an input: a size, a shape or "
                "dict(form='input', ...)"
            )
        if made.is_input:
            made.expect_axes(self.ndim)
        return made

    def _completed(
        self, layer: Layer, before: Sequence[Layer], output: bool, keywords: Mapping[str, Any]
    ) -> Layer:
        if keywords:
            raise ConfigurationError(
                f"layer {layer!r} is an instance already; give "
                f"{', '.join(keywords)} when it is made"
            )
        if layer.name is None:
            layer.name = free_name(before, output, layer.is_input)
        ends = layer.name == "out" or output
        if ends and not layer.bound and layer.activation_spec is None:
            layer.activation_spec = _ending(type(layer), self.activation)
        return layer

    def _new(
        self,
        layer: Any,
        before: Sequence[Layer],
        output: bool,
        keywords: Mapping[str, Any],
        ending: str | None,
    ) -> Layer:
        valid = [*Layer.registry.names(), *activations.Activation.registry.names()]
        parsed = spec.parse_layer(
            dict(keywords) if layer is None else layer,
            is_form,
            activations.is_activation,
            lambda: valid,
        )
        options = dict(parsed.options)
        form, shape, whole = parsed.form, parsed.shape, parsed.whole
        if layer is not None and keywords:
            extra = spec.parse_layer(dict(keywords), is_form, activations.is_activation, list)
            options.update(extra.options)
            form, shape = extra.form or form, extra.shape or shape
            whole = extra.whole or (whole and extra.shape is None)
        if form is None:
            form = "feedforward" if before else "input"
        kind = Layer.registry[form] if isinstance(form, str) else form
        if not (isinstance(kind, type) and issubclass(kind, Layer)):
            raise ConfigurationError(f"layer {layer!r}: form={kind!r} is not a Layer class")
        name = options.pop("name", None)
        if name is None:
            name = free_name(before, output, kind.is_input)
        named_out = isinstance(name, str) and name == "out"
        ending = self.activation if named_out or output else ending
        if ending is not None and options.get("activation") is None:
            options["activation"] = _ending(kind, ending)
        if shape is not None:
            # A class of the user's may have a size that is an argument.
            one = len(shape) == 1 and shape[0] is not None and not (whole and kind.is_input)
            options.update({"size": shape[0]} if one else {"shape": shape})
        return kind(name=name, **options)


def _ending(form: type[Layer], activation: str) -> str | None:
    """Get the activation of a last layer; None where its class has one of its own."""
    return activation if form.default_activation == "relu" else None


def listed(layers: Any) -> Any:
    """Get the specifications of layers; refuse what is no list of them."""
    found = None if isinstance(layers, (Layer, type)) else as_list(layers)
    if found is None:
        hint = "; all sizes stand in one list" if is_integer(layers) else ""
        raise ConfigurationError(
            f"layers={layers!r} is not a list of layers such as [10, 20, 3]{hint}"
        )
    return found


def free_name(before: Sequence[Layer], output: bool, is_input: bool) -> str:
    """Get the name of the next layer: ``in``, ``hid1``, ``hid2``, ..., ``out``."""
    if not before:
        return "in"
    before = [layer for layer in before if not _names.is_within_block(str(layer.name))]
    taken = {layer.name for layer in before}
    if output and not is_input and "out" not in taken:
        return "out"
    stem = "in" if is_input else "hid"
    number = sum(layer.is_input == is_input for layer in before) + 1
    while f"{stem}{number}" in taken:
        number += 1
    return f"{stem}{number}"


def default_output(graph: Graph, losses: Iterable[Loss], last: str | None) -> str:
    """Get the full name of a network's output, see `Structure.output_name`.

    Parameters
    ----------
    graph : Graph
        The layers.
    losses : list of Loss
        The losses.
    last : str or None
        The output of the last layer of the list that it was made from.
    """
    layers = graph.by_name
    if "out" in layers and not layers["out"].is_input:
        output = layers["out"].output_name
        if not any(output in layer.input_names for layer in graph.layers):
            return output
    for loss in losses:
        if not loss.follows:
            return loss.output_name
    if last in graph.output_names:
        return str(last)
    computing = [layer for layer in graph.layers if not layer.is_input]
    if not computing:
        raise ConfigurationError(
            f"the network has no layer that computes an output, only {graph.layers!r}; give "
            "it more, as in [4, 10, 3], or use add_layer()"
        )
    return computing[-1].output_name


def as_dtype(dtype: Any) -> str:
    """Get the name of a network's type."""
    if isinstance(dtype, (type, np.dtype)):
        dtype = np.dtype(dtype).name
    if isinstance(dtype, str) and dtype == "floatX":
        dtype = process.float_x()
    if not isinstance(dtype, str) or dtype not in ("float32", "float64"):
        raise ConfigurationError(f"dtype={dtype!r} is not 'float32', 'float64' or 'floatX'")
    return dtype
