"""The graph: layers, bound to each other, and the expressions of their outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pytensor

from . import names as _names
from . import rng as _rng
from .errors import ConfigurationError, unknown
from .layers import Input, Inputs, Layer
from .regularizers import Regularizer


class Outputs(dict[str, Any]):
    """Expressions of a network's outputs by full name (``'hid1:out'``).

    Attributes
    ----------
    logits : dict
        By the name of an output that is a softmax, the expression that it is
        the softmax of.
    updates : dict
        Updates of shared variables that a function of these outputs needs;
        without those of random generators every call draws the same numbers.
    generators : dict
        The shared random generators by name.
    """

    def __init__(
        self,
        level: Callable[[Regularizer], Any] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.logits: dict[str, Any] = {}
        self.updates: dict[Any, Any] = {}
        self.generators: dict[str, Any] = {}
        self._level = level
        self._seed = seed

    def generator(self, name: str) -> Any:
        """Make a shared random generator with a stream of its own."""
        while name in self.generators:
            name += "'"
        self.generators[name] = _rng.shared_rng(_rng.stream(self._seed, "noise", name), name)
        return self.generators[name]

    def reseed(self, seed: int) -> None:
        """Start all generators anew from a seed."""
        for name, generator in self.generators.items():
            generator.set_value(_rng.stream(seed, "noise", name), borrow=True)

    def level(self, regularizer: Regularizer) -> Any:
        """Get the weight of a regularizer, as a number or a variable."""
        return regularizer.weight if self._level is None else self._level(regularizer)


class Graph:
    """Layers in order, each bound to those before it.

    Parameters
    ----------
    dtype : str
        Type of all parameters and expressions.
    seed : int
        Seed of the parameters.
    """

    def __init__(self, dtype: str = "float32", seed: int = 0) -> None:
        self.dtype = dtype
        self.seed = seed
        self._layers: dict[str, Layer] = {}

    @property
    def layers(self) -> list[Layer]:
        """The layers, in order."""
        return list(self._layers.values())

    @property
    def params(self) -> list[Any]:
        """The trained parameters of all layers, in order."""
        return [param for layer in self.layers for param in layer.params]

    @property
    def inputs(self) -> list[Any]:
        """The symbolic inputs, in the order of the input layers."""
        return [layer.variable for layer in self.layers if isinstance(layer, Input)]

    @property
    def output_names(self) -> list[str]:
        """Names of all outputs."""
        return [f"{layer.name}:{out}" for layer in self.layers for out in layer.output_shapes]

    def add(self, layer: Layer) -> None:
        """Bind a layer to the layers so far, and append it.

        Raises
        ------
        ConfigurationError
            If its name is taken, or its inputs do not exist or fit.
        """
        name = str(layer.name)
        if name in self._layers:
            raise ConfigurationError(
                f"layer name {name!r} is taken; layers: {', '.join(self._layers)}"
            )
        with pytensor.config.change_flags(floatX=self.dtype):
            layer.bind(dict(self._layers), dtype=self.dtype, seed=self.seed)
        self._layers[name] = layer

    def layer(self, which: str | int | Layer) -> Layer:
        """Find a layer by name, position or identity.

        Raises
        ------
        UnknownNameError
            If there is no such layer.
        """
        layers = self.layers
        if isinstance(which, Layer) and any(which is layer for layer in layers):
            return which
        if isinstance(which, int) and -len(layers) <= which < len(layers):
            return layers[which]
        if isinstance(which, str) and which in self._layers:
            return self._layers[which]
        raise unknown("layer", which, self._layers)

    def shape(self, output: str) -> tuple[int | None, ...]:
        """Get the shape of one example of an output."""
        layer, name = _names.split_output(output)
        if layer not in self._layers or name not in self._layers[layer].output_shapes:
            raise unknown("output", output, self.output_names)
        return self._layers[layer].output_shapes[name]

    def outputs(
        self,
        *,
        training: bool = False,
        regularizers: Sequence[Regularizer] = (),
        given: Mapping[str, Any] | None = None,
        needed: Iterable[str] | None = None,
        level: Callable[[Regularizer], Any] | None = None,
        seed: int = 0,
    ) -> Outputs:
        """Get the expressions of the outputs.

        Parameters
        ----------
        training : bool
            Whether layers that differ in training show their training form.
        regularizers : list of Regularizer
            Noise is put in the graph; penalties are ignored here.
        given : dict, optional
            Expressions to use for some outputs, by full name, instead of
            computing them.
        needed : list of str, optional
            The outputs that are needed; by default all. Layers that these do
            not depend on are left out.
        level : callable, optional
            Gets the variable for the weight of a regularizer.
        seed : int
            Seed of the noise.

        Returns
        -------
        Outputs

        Raises
        ------
        ConfigurationError
            If an output is needed that cannot be computed from ``given``.
        """
        result = Outputs(level, seed)
        given = dict(given or {})
        wanted = self._wanted(needed, given)
        with pytensor.config.change_flags(floatX=self.dtype):
            for name, layer in self._layers.items():
                if name not in wanted:
                    continue
                self._connect(layer, result, given, training)
                local = _Local(result, name)
                for regularizer in regularizers:
                    regularizer.modify_graph(local)
                local.merge()
                for key, value in given.items():
                    if _names.split_output(key)[0] == name:
                        result[key] = value
        return result

    def _connect(
        self, layer: Layer, result: Outputs, given: Mapping[str, Any], training: bool
    ) -> None:
        keys = [f"{layer.name}:{output}" for output in layer.output_shapes]
        if any(key in given for key in keys):
            result.update({key: given[key] for key in keys if key in given})
            return
        inputs = Inputs({name: result[name] for name in layer.input_names}, training)
        result.update(layer.connect(inputs))
        result.updates.update(inputs.updates)
        if layer.logits_output is not None:
            result.logits[layer.output_name] = result[layer.logits_output]

    def _wanted(self, needed: Iterable[str] | None, given: Mapping[str, Any]) -> set[str]:
        if needed is None and not given:
            return set(self._layers)
        wanted: set[str] = set()
        stack = [_names.output_name(n) for n in needed or self.output_names]
        for name in stack:
            self.shape(name)
        while stack:
            output = stack.pop()
            name, _ = _names.split_output(output)
            layer = self._layers[name]
            if name in wanted:
                continue
            if any(_names.split_output(key)[0] == name for key in given):
                if output not in given:
                    raise ConfigurationError(
                        f"output {output!r} cannot be computed from {[*given]}"
                    )
                wanted.add(name)
                continue
            if given and isinstance(layer, Input):
                raise ConfigurationError(
                    f"the outputs {list(needed or ())} depend on the input {name!r}, "
                    f"not only on {', '.join(given)}"
                )
            wanted.add(name)
            stack.extend(layer.input_names)
        return wanted


class _Local(dict[str, Any]):
    """The outputs of one layer, while regularizers change them."""

    def __init__(self, outputs: Outputs, layer: str) -> None:
        prefix = f"{layer}:"
        super().__init__({k: v for k, v in outputs.items() if k.startswith(prefix)})
        self._clean = dict(self)
        self._outputs = outputs
        self.updates = outputs.updates
        self.generator = outputs.generator
        self.level = outputs.level

    def merge(self) -> None:
        for key, value in self.items():
            if self._clean.get(key) is not value:
                self._outputs[key] = value
                # A softmax with noise is the softmax of nothing.
                self._outputs.logits.pop(key, None)
