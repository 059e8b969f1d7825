"""The graph: layers, bound to each other, and the expressions of their outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral
from types import MappingProxyType
from typing import Any

from . import names as _names
from . import process, series_lengths
from .errors import ConfigurationError, unknown
from .layers import Inputs, Layer
from .layers.held import Held, using
from .layers.time import without
from .outputs import Outputs
from .regularizers import Regularizer


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
        #: Whence the values of parameters come, where they are not drawn.
        self.held: Held | None = None
        self._layers: dict[str, Layer] = {}

    @property
    def layers(self) -> list[Layer]:
        """The layers, in order."""
        return list(self._layers.values())

    @property
    def by_name(self) -> dict[str, Layer]:
        """The layers by name, in order."""
        return dict(self._layers)

    @property
    def params(self) -> list[Any]:
        """The trained parameters of all layers, in order."""
        return [param for layer in self.layers for param in layer.params]

    @property
    def state(self) -> list[Any]:
        """What training changes but not by gradients, of all layers, in order."""
        return [variable for layer in self.layers for variable in layer.state]

    @property
    def inputs(self) -> list[Any]:
        """The symbolic inputs, in the order of the input layers."""
        return [layer.variable for layer in self.layers if layer.is_input]

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
        with process.building(self.dtype), using(self.held):
            layer.bind(dict(self._layers), dtype=self.dtype, seed=self.seed)
        self._layers[name] = layer

    @contextmanager
    def whole(self) -> Iterator[Mapping[str, Layer]]:
        """Add several layers, or none if one of them fails; gives those that are there by name."""
        before = dict(self._layers)
        try:
            yield MappingProxyType(self._layers)
        except BaseException:
            self._layers.clear()
            self._layers.update(before)
            raise

    def layer(self, which: str | int | Layer) -> Layer:
        """Find a layer by name, position or identity.

        Raises
        ------
        UnknownNameError
            If there is no such layer.
        """
        layers = self.layers
        if isinstance(which, Layer):
            if any(which is layer for layer in layers):
                return which
        elif isinstance(which, Integral) and -len(layers) <= which < len(layers):
            return layers[int(which)]
        elif isinstance(which, str) and which in self._layers:
            return self._layers[which]
        for layer in layers:
            for worker in layer.workers:
                if which in (worker, worker.name):
                    return worker
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
        carries: bool = True,
        regularizers: Sequence[Regularizer] = (),
        given: Mapping[str, Any] | None = None,
        needed: Iterable[str] | None = None,
        level: Callable[[Regularizer], Any] | None = None,
        seed: int = 0,
        lengths: Mapping[str, Any] | None = None,
        weights: Any = None,
        initial: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Outputs:
        """Get the expressions of the outputs.

        Parameters
        ----------
        training : bool
            Whether layers that differ in training show their training form.
        carries : bool
            Whether stateful layers then go on from the batch before.
        regularizers : list of Regularizer
            Noise is put in the graph; penalties are ignored here.
        given : dict, optional
            Expressions to use for some outputs, by full name, instead of
            computing them. They get no noise.
        needed : list of str, optional
            The outputs that are needed; by default all. Layers that these do
            not depend on are left out, and so are the inputs where something
            is given: what is needed must then depend on that alone.
        level : callable, optional
            Gets the variable for the weight of a regularizer.
        seed : int
            Seed of the noise.
        lengths : dict, optional
            Number of steps of each series, by the name of an output, where
            the network has no layer of lengths for it.
        weights : variable, optional
            Where these come from.
        initial : dict, optional
            Initial states by name, by the name of a recurrent layer.

        Returns
        -------
        Outputs

        Raises
        ------
        ConfigurationError
            If an output is needed that cannot be computed from ``given``.
        """
        result = Outputs(level=level, seed=seed)
        result.layers = dict(self._layers)
        given = {_names.output_name(name): value for name, value in (given or {}).items()}
        for name in given:
            self.shape(name)
        wanted = self._wanted(needed, given)
        result.update(given)
        given_lengths = series_lengths.from_inputs(self._layers)
        known = {**(lengths or {}), **given_lengths}
        # What layers of lengths say, weights may not say.
        result.weights = None if given_lengths else weights
        result.initial = dict(initial or {})
        with process.building(self.dtype):
            for name, layer in self._layers.items():
                if name not in wanted:
                    continue
                inputs = Inputs(
                    {key: result[key] for key in layer.input_names},
                    training,
                    layer.input_names,
                    carries,
                )
                self._connect(layer, result, inputs, known)
                local = _Local(result, name)
                for regularizer in regularizers:
                    regularizer.modify_graph(local)
                local.merge()
                self._leave_out(layer, result, local)
        return result

    def _connect(
        self, layer: Layer, result: Outputs, inputs: Inputs, known: Mapping[str, Any]
    ) -> None:
        names = layer.input_names
        inputs.generator = lambda what: result.generator(f"{layer.name}:{what}")
        inputs.lengths = {name: result.lengths[name] for name in names if name in result.lengths}
        inputs.initial = dict(result.initial.get(str(layer.name), {}))
        result.update(layer.connect(inputs))
        for key in layer.output_shapes:
            name = f"{layer.name}:{key}"
            lengths = layer.steps_after(key, inputs.lengths)
            lengths = known.get(name) if lengths is None else lengths
            if lengths is not None:
                result.lengths[name] = lengths
        result.updates.update(inputs.updates)
        if layer.stateful and inputs.carries:
            result.carried.update({v.name: v for v in layer.carried.values()})
        if inputs.final:
            result.final[str(layer.name)] = inputs.final
        if layer.logits_output is not None:
            result.logits[layer.output_name] = result[layer.logits_output]
        if layer.log_odds_output is not None:
            result.log_odds[layer.output_name] = result[layer.log_odds_output]

    def _leave_out(self, layer: Layer, result: Outputs, local: _Local) -> None:
        """Set the steps that do not exist to 0, before other layers see them."""
        for key in layer.output_shapes:
            name = f"{layer.name}:{key}"
            done = layer.leaves_out_steps and not local.changed(name)
            if name in result.lengths and not done:
                result[name] = without(result[name], result.lengths[name])
                result[name].name = name
        out = layer.output_name
        if out in result.logits:
            result.logits[out] = result[layer.logits_output or out]
        if out in result.log_odds:
            result.log_odds[out] = result[layer.log_odds_output or out]

    def _wanted(self, needed: Iterable[str] | None, given: Mapping[str, Any]) -> set[str]:
        """Get the layers that the needed outputs depend on."""
        if isinstance(needed, str):
            needed = [needed]
        asked = self.output_names if needed is None else [_names.output_name(n) for n in needed]
        for name in asked:
            self.shape(name)
        replaced = {_names.split_output(key)[0] for key in given}
        wanted: set[str] = set()
        # Each output together with the one that was asked for, for messages.
        stack = [(output, output) for output in asked]
        while stack:
            output, origin = stack.pop()
            name, _ = _names.split_output(output)
            if output in given:
                continue
            layer = self._layers[name]
            if name in replaced or (given and layer.is_input):
                via = "" if origin == output else f": it depends on {output!r}"
                raise ConfigurationError(
                    f"output {origin!r} cannot be computed from {', '.join(given)} alone{via}"
                )
            if name not in wanted:
                wanted.add(name)
                stack.extend((source, origin) for source in layer.input_names)
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

    def changed(self, name: str) -> bool:
        return self[name] is not self._clean[name]

    def merge(self) -> None:
        for key, value in self.items():
            if self._clean.get(key) is not value:
                self._outputs[key] = value
                # A softmax with noise is the softmax of nothing.
                self._outputs.logits.pop(key, None)
                self._outputs.log_odds.pop(key, None)
