"""The layers of a network: made of specifications, named, and found again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from .. import activations, process, spec
from .. import names as _names
from .. import rng as _rng
from ..errors import ConfigurationError, unknown
from ..graph import Graph
from ..layers import Input, Layer, is_form
from ..losses import Loss
from ..options import as_list


class Layered:
    """A list of layers, and the graph that they are; what `Structure` is built on.

    Parameters
    ----------
    rng : int, Generator, RandomState or None
        The seed that governs everything random; None for a fresh one.
        Kept as ``seed``.
    dtype : {'float32', 'float64', 'floatX'}
        Type of parameters and computations.
    """

    DEFAULT_OUTPUT_ACTIVATION: ClassVar[str] = "linear"
    INPUT_NDIM: ClassVar[int] = 2

    def __init__(self, rng: _rng.Seed, dtype: str) -> None:
        if isinstance(dtype, (type, np.dtype)):
            dtype = np.dtype(dtype).name
        if isinstance(dtype, str) and dtype == "floatX":
            dtype = process.float_x()
        if not isinstance(dtype, str) or dtype not in ("float32", "float64"):
            raise ConfigurationError(f"dtype={dtype!r} is not 'float32', 'float64' or 'floatX'")
        self.seed = _rng.as_seed(rng)
        # A run that goes on from a checkpoint may bring the seed, if nobody chose one.
        self._seed_chosen = rng is not None
        self.graph = Graph(dtype, self.seed)
        self.losses: list[Loss] = []
        self._last: str | None = None

    @property
    def layers(self) -> list[Layer]:
        """The layers, in order."""
        return self.graph.layers

    @property
    def dtype(self) -> str:
        """Type of parameters and computations."""
        return self.graph.dtype

    @property
    def params(self) -> list[Any]:
        """The trained parameters, as shared variables named ``'layer.param'``."""
        return self.graph.params

    @property
    def state(self) -> list[Any]:
        """What training changes but not by gradients, as running means of `batch_norm`."""
        return self.graph.state

    @property
    def num_params(self) -> int:
        """How many numbers the parameters hold."""
        return sum(layer.num_params for layer in self.layers)

    @property
    def inputs(self) -> list[Any]:
        """The symbolic inputs, in the order of the input layers."""
        return self.graph.inputs

    def _add_layers(self, layers: Any) -> None:
        specs = None if isinstance(layers, (Layer, type)) else as_list(layers)
        if specs is None:
            raise ConfigurationError(
                f"layers={layers!r} is not a list of layers such as [10, 20, 3]"
            )
        for i, layer in enumerate(specs):
            self.add_layer(layer, is_output=0 < i == len(specs) - 1)

    @property
    def output_layer(self) -> Layer:
        """The layer whose output `output_name` is."""
        return self.graph.layer(_names.split_output(self.output_name)[0])

    @property
    def output_name(self) -> str:
        """Full name of the network's output: what is predicted, and what losses are about.

        That is the layer ``out``, unless another layer takes its output. If
        there is none: what the first loss is about that says so, or else the
        last layer of the list that the network was made from, or the last one
        that was added. Losses say what they are about by ``output_name=``.

        Raises
        ------
        ConfigurationError
            If there is no layer besides inputs.
        """
        return self._output_among(self.losses)

    def _output_among(self, losses: Iterable[Loss]) -> str:
        layers = self.graph.by_name
        if "out" in layers and not isinstance(layers["out"], Input):
            output = layers["out"].output_name
            if not any(output in layer.input_names for layer in self.layers):
                return output
        for loss in losses:
            if not loss.follows:
                return loss.output_name
        if self._last in self.graph.output_names:
            return str(self._last)
        computing = [layer for layer in self.layers if not isinstance(layer, Input)]
        if not computing:
            raise ConfigurationError(
                f"the network has no layer that computes an output, only {self.layers!r}; give "
                "it more, as in [4, 10, 3], or use add_layer()"
            )
        return computing[-1].output_name

    def add_layer(self, layer: Any = None, is_output: bool = False, **keywords: Any) -> Layer:
        """Append a layer.

        Parameters
        ----------
        layer : int, str, tuple, dict, Layer or Layer class
            Its specification; see `theanets.Network`.
        is_output : bool
            Whether it is called ``out`` unless it says how it is called.
        **keywords
            Keywords of the layer, which win over the specification: ``form``,
            ``size``, ``name``, ``activation``, ``inputs``, ...

        Returns
        -------
        Layer
            Also in `layers`. Without a name it is called ``in`` if it is the
            first, else ``hid1``, ``hid2``, ...; one called ``out``, and the
            last of the list that a network is made from, gets the model's
            default activation.

        Raises
        ------
        ConfigurationError
            If the specification has no meaning, the name is taken, or the
            layer does not fit its inputs.
        """
        first = not self.layers
        if isinstance(layer, Layer):
            if keywords:
                raise ConfigurationError(
                    f"layer {layer!r} is an instance already; give "
                    f"{', '.join(keywords)} when it is made"
                )
            made = layer
            if made.name is None:
                made.name = self._free_name(first, is_output, isinstance(made, Input))
            ends = made.name == "out" or is_output
            if ends and not made.bound and made.activation_spec is None:
                made.activation_spec = self._output_activation(type(made))
        else:
            made = self._make_layer(layer, first, is_output, keywords)
        if first and not isinstance(made, Input):
            raise ConfigurationError(
                f"the first layer is {made!r}; it must be an input: a size, a shape or "
                "dict(form='input', ...)"
            )
        if isinstance(made, Input) and made.ndim is None and made.shape and not made.bound:
            made.ndim = max(self.INPUT_NDIM, len(made.shape) + 1)
        self.graph.add(made)
        if is_output and not isinstance(made, Input):
            self._last = made.output_name
        return made

    def _output_activation(self, form: type[Layer]) -> str | None:
        return self.DEFAULT_OUTPUT_ACTIVATION if form.default_activation == "relu" else None

    def _make_layer(
        self, layer: Any, first: bool, output: bool, keywords: Mapping[str, Any]
    ) -> Layer:
        valid = [*Layer.registry.names(), *activations.Activation.registry.names()]
        parsed = spec.parse_layer(
            dict(keywords) if layer is None else layer,
            is_form,
            activations.is_activation,
            lambda: valid,
        )
        options = dict(parsed.options)
        form, shape = parsed.form, parsed.shape
        if layer is not None and keywords:
            extra = spec.parse_layer(dict(keywords), is_form, activations.is_activation, list)
            options.update(extra.options)
            form, shape = extra.form or form, extra.shape or shape
        if form is None:
            form = "input" if first else "feedforward"
        kind = Layer.registry[form] if isinstance(form, str) else form
        if not (isinstance(kind, type) and issubclass(kind, Layer)):
            raise ConfigurationError(f"layer {layer!r}: form={kind!r} is not a Layer class")
        name = options.pop("name", None)
        if name is None:
            name = self._free_name(first, output, issubclass(kind, Input))
        named_out = isinstance(name, str) and name == "out"
        if (named_out or output) and options.get("activation") is None:
            options["activation"] = self._output_activation(kind)
        if shape is not None:
            # A class of the user's may have a size that is an argument.
            one = len(shape) == 1 and shape[0] is not None
            options.update({"size": shape[0]} if one else {"shape": shape})
        return kind(name=name, **options)

    def _free_name(self, first: bool, output: bool, form_is_input: bool) -> str:
        if first:
            return "in"
        taken = {layer.name for layer in self.layers}
        if output and not form_is_input and "out" not in taken:
            return "out"
        stem = "in" if form_is_input else "hid"
        number = sum(isinstance(layer, Input) == form_is_input for layer in self.layers) + 1
        while f"{stem}{number}" in taken:
            number += 1
        return f"{stem}{number}"

    def find(self, which: str | int | Layer, param: str | int | None = None) -> Any:
        """Find a layer's parameter.

        Parameters
        ----------
        which : str, int or Layer
            Name or position of the layer, or ``'layer.param'`` at once.
        param : str or int
            Name or position of the parameter.

        Returns
        -------
        shared variable

        Raises
        ------
        UnknownNameError
            If there is no such layer or parameter; also a KeyError.
        """
        if param is None:
            every = {p.name: p for p in self.params}
            if not isinstance(which, str) or which not in every:
                raise unknown("parameter", which, every)
            return every[which]
        return self.graph.layer(which).find(param)
