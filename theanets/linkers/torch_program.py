"""Graphs as programs of PyTorch: Python source with a line for each operation.

PyTensor's own linker hands its graph to `torch.compile`, which takes a minute for a network of
two layers, and then as long again for each step as PyTorch's calls one by one. So the calls are
made one by one here, and what they cost beside arithmetic is taken out of them. Numbers, such
as learning rates, and the lengths of axes are computed by Python and NumPy: no kernel is started
for them, no device is waited for, and a call of PyTorch's takes them as they are. That axes fit
each other is checked for the first arguments of each shape only.

What is not said here of an operation is asked of PyTensor's dispatch, `pytorch_funcify`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from pytensor.graph.fg import FunctionGraph

from .torch_numpy import TensorLike
from .torch_values import is_number, tensor
from .torch_writer import Writer


class Program:
    """What calls PyTorch for a graph: with arrays of NumPy, or step by step with tensors.

    Parameters
    ----------
    graph : FunctionGraph
        It stays as it is.

    Attributes
    ----------
    hosted : list of bool
        Which inputs are numbers on the host.
    dtypes : list of str or None
        Of the outputs; None for what is no array.
    """

    def __init__(self, graph: FunctionGraph) -> None:
        self._graph = graph
        self.hosted = [is_number(variable) for variable in graph.inputs]
        self.dtypes = [getattr(variable.type, "dtype", None) for variable in graph.outputs]
        records = any(getattr(node.op, "records", False) for node in graph.apply_nodes)
        self._without = torch.no_grad if records else torch.inference_mode
        self._made: dict[torch.device, Callable[..., tuple[Any, ...]]] = {}
        self._seen: set[Any] = set()
        self.on(torch.get_default_device())  # an operation that it cannot do is refused now

    def on(self, device: torch.device) -> Callable[..., tuple[Any, ...]]:
        """Get the function for a device.

        Returns
        -------
        callable
            ``(checked, *inputs) -> outputs``. The first argument tells whether to check that
            axes fit each other; inputs are as `given` returns them.
        """
        if device not in self._made:
            with device:
                self._made[device] = Writer(self._graph, device).function()
        return self._made[device]

    def given(self, place: int, value: Any, device: torch.device) -> Any:
        """Get an input as the function of a device takes it."""
        if self.hosted[place]:
            return value[()] if isinstance(value, np.ndarray) else value
        return tensor(value, device)

    def result(self, place: int, value: Any) -> Any:
        """Get an output as an array of NumPy."""
        if isinstance(value, TensorLike):
            return value.generator
        if isinstance(value, torch.Tensor):
            value = value.detach().cpu().numpy()
        dtype = self.dtypes[place]
        return value if dtype is None else np.asarray(value, dtype)

    def __call__(self, *inputs: Any) -> tuple[Any, ...]:
        """Compute arrays of NumPy from arrays of NumPy, on PyTorch's device of now."""
        device = torch.get_default_device()
        arguments = [self.given(i, value, device) for i, value in enumerate(inputs)]
        with self.computing():
            outputs = self.run(self.on(device), arguments)
        return tuple(self.result(i, value) for i, value in enumerate(outputs))

    def run(self, function: Callable[..., Any], arguments: Sequence[Any]) -> tuple[Any, ...]:
        """Call the function of a device, and check the first arguments of each shape.

        Within `computing`.
        """
        shapes = tuple(getattr(argument, "shape", ()) for argument in arguments)
        found: tuple[Any, ...] = function(shapes not in self._seen, *arguments)
        self._seen.add(shapes)
        return found

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Get what is around calls: PyTorch records nothing of them, and NumPy does not warn."""
        with np.errstate(all="ignore"), self._without():
            yield
