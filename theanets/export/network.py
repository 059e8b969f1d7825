"""A network as a model of ONNX: what goes in, what comes out, and what is said of both."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytensor.tensor as pt
from onnx import helper
from pytensor.graph.traversal import ancestors

from .. import process, series_lengths
from ..errors import ConfigurationError
from ..layers import Layer
from ..layers.time import exists
from ..names import output_name
from ..ops import sparse
from ..ops.sequences import chain_best, chain_sums, with_boundary
from ..outputs import Outputs
from ..structure import Structure
from . import arrays, attention, chains, elementwise, indexing, loops, recurrent, windows  # noqa: F401
from .writer import OPSET, UnsupportedError, Writer, onnx_type

#: The format of files; runtimes of 2022 and newer read it.
IR_VERSION = 8
#: Bytes that a file may not reach, by the format, with some for what is not a parameter.
LIMIT = 2**31 - 2**24


def model(
    net: Structure,
    outputs: Sequence[str] | None,
    dtype: str | None,
    changed: Callable[[Outputs], dict[str, Any]] | None = None,
) -> onnx.ModelProto:
    """Get a network as a model of ONNX; see `theanets.export.made`."""
    dtype = net.dtype if dtype is None else dtype
    if dtype not in ("float32", "float64"):
        raise ConfigurationError(f"dtype={dtype!r} of a file is not 'float32' or 'float64'")
    with process.building(net.dtype), process.hold([*net.params, *net.state]):
        return _Model(net, outputs, dtype, changed).build()


class _Model:
    """The parts of a model.

    Parameters
    ----------
    net : Structure
        The network.
    outputs : list of str or None
        The outputs that are wanted; None for what the network predicts.
    dtype : str
        Type of the floats in the file.
    changed : callable or None
        Gets the outputs of the model, of those of the network.
    """

    def __init__(
        self,
        net: Structure,
        outputs: Sequence[str] | None,
        dtype: str,
        changed: Callable[[Outputs], dict[str, Any]] | None,
    ) -> None:
        self.net = net
        self.write = Writer({net.dtype: dtype} if dtype != net.dtype else {})
        inputs = [layer for layer in net.layers if layer.is_input]
        self.inputs = {str(layer.name): layer.variable for layer in inputs}
        names = [net.output_name] if outputs is None else [output_name(n) for n in outputs]
        needed = list(names)
        if outputs is None and net.TARGET == "labels":
            needed.append(net.output_layer.scores_output)
        found = net.graph.outputs(needed=needed, seed=net.seed)
        self.found = found
        self.wanted = {name: found[name] for name in names}
        if outputs is None and net.TARGET == "labels":
            self.wanted = self._labels()
        if changed is not None:
            self.wanted = changed(found)

    def _labels(self) -> dict[str, Any]:
        """Get the labels that a classifier predicts, and the probabilities of classes."""
        layer, name = self.net.output_layer, self.net.output_name
        scores, probabilities = self.found[layer.scores_output], self.found[name]
        key = "label"
        while key in self.inputs:
            key += "_"
        chain = layer.chain(self.found) if layer.chooses_jointly else None
        if chain is None:
            return {key: pt.argmax(scores, axis=-1), name: probabilities}
        scores, *parts = chain
        lengths = self.found.lengths.get(layer.scores_output)
        if lengths is None:
            mask = pt.ones(scores.shape[:2], dtype="bool")
        else:
            mask = exists(lengths, scores)[:, :, 0]
        matrix = with_boundary(*parts)
        best = chain_best(scores, matrix, mask).astype("int64")
        return {key: best, name: chain_sums(scores, matrix, mask)[1]}

    def build(self) -> onnx.ModelProto:
        write = self.write
        starts = [self._input(name, variable) for name, variable in self.inputs.items()]
        for name in self.wanted:
            write.fresh(name)
        try:
            made = write.run(list(self.wanted.values()))
        except UnsupportedError as error:
            raise ConfigurationError(f"{self._where()}: {error}") from None
        held = sum(array.nbytes for array in write.constants.values())
        if held >= LIMIT:
            raise ConfigurationError(
                f"the network has {held} bytes of parameters; a file of ONNX holds less than "
                f"{LIMIT}"
            )
        ends = []
        for (name, variable), found in zip(self.wanted.items(), made, strict=True):
            floats = variable.dtype.startswith("float")
            dtype = write.type_of(variable.dtype) if floats else variable.dtype
            end = helper.make_node("Cast", [found], [name], to=onnx_type(dtype))
            if write.types[found] == dtype:
                end = helper.make_node("Identity", [found], [name])
            write.nodes.append(end)
            shape = self._shape(name, variable)
            ends.append(helper.make_tensor_value_info(name, onnx_type(dtype), shape))
        graph = write.graph(type(self.net).__name__, starts, ends, write.constants)
        made = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="theanets",
        )
        helper.set_model_props(made, metadata(self.net.metadata))
        onnx.checker.check_model(made, full_check=True)
        return made

    def _input(self, name: str, variable: Any) -> Any:
        """Let an input have its name, and describe it."""
        write = self.write
        floats = variable.dtype.startswith("float")
        dtype = write.type_of(variable.dtype) if floats else variable.dtype
        write.types[write.fresh(name)] = dtype
        write.names[variable] = write.cast(name, write.type_of(variable.dtype))
        for vector in sparse.vectors(variable) or ():
            # What is in a sparse matrix is in a dense one too, which is what ONNX has.
            write.dense[vector] = name
        known = variable.type.shape[1:]
        shape = ["batch", *(self._axis(name, i) if n is None else n for i, n in enumerate(known))]
        return helper.make_tensor_value_info(name, onnx_type(dtype), shape)

    def _axis(self, name: str, i: int) -> str:
        """Get the name of an axis of an input whose length is open."""
        layer = self.net.graph.by_name[name]
        what = "time" if layer.is_series else f"axis_{i + 1}"
        several = sum(layer.is_series for layer in self.net.layers if layer.is_input) > 1
        return f"{name}_{what}" if several or not layer.is_series else what

    def _shape(self, name: str, variable: Any) -> list[Any]:
        """Get the shape of an output; axes that are as long as an input's have its name."""
        known: list[Any] = ["batch", *variable.type.shape[1:]]
        source = name if name in self.found else self.net.output_name
        if len(known) > 1 and known[1] is None:
            for before in series_lengths.same_time(self.net.graph.by_name, source):
                layer = before.partition(":")[0]
                if layer in self.inputs and self.inputs[layer].type.shape[1:2] == (None,):
                    known[1] = self._axis(layer, 0)
        return known

    def _where(self) -> str:
        """Say which layer has what was written last."""
        for name, expression in self.found.items():
            if any(variable.owner is self.write.at for variable in ancestors([expression])):
                layer = self.net.graph.by_name[name.partition(":")[0]]
                form = Layer.registry.name_of(type(layer))
                return f"layer {layer.name!r} ({form}) cannot be exported"
        return "the network cannot be exported"


def metadata(given: Mapping[str, Any]) -> dict[str, str]:
    """Get what is said of a network as texts, JSON but for what is a text already."""

    def plain(value: Any) -> Any:
        return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else str(value)

    return {
        str(key): value if isinstance(value, str) else json.dumps(value, default=plain)
        for key, value in given.items()
    }
