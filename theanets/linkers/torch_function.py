"""Compiled functions of PyTorch: a linker of PyTensor's for `torch_program`, and loops.

Between calls the variables hold arrays of NumPy, as everybody else reads them. In the updates of
a run, tensors go from step to step on the device, and the variables have them back at the end of
a call of `Fused`, which has the results of its steps read at once too. On the CPU an array of
NumPy and a tensor are the same memory, so that nothing is copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pytensor.graph.fg import FunctionGraph
from pytensor.link.pytorch.linker import PytorchLinker

from ..interruption import uninterrupted
from . import torch_setup  # noqa: F401  (tells PyTensor's dispatch what our functions need)
from .torch_program import Program
from .torch_values import tensor

Array = npt.NDArray[Any]

#: The part of a GPU's memory that data may take.
DATA_PART = 0.5


class StepLinker(PytorchLinker):
    """Makes a `Program` of a graph, for which nothing is compiled."""

    def fgraph_convert(self, fgraph: FunctionGraph, *args: Any, **kwargs: Any) -> Program:
        return Program(fgraph)

    def jit_compile(self, fn: Program) -> Program:
        return fn


class Held:
    """A function that can be called in a loop in which arrays stay on the device.

    Parameters
    ----------
    function : Function
        PyTensor's, by `StepLinker`.
    """

    def __init__(self, function: Any) -> None:
        self._function = function
        self.program: Program = function.vm.jit_fn

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def fused(self, resident: Any, stepped: Sequence[Any]) -> Fused | None:
        """Get what makes many calls in one: see `Fused`."""
        device = torch.get_default_device()
        if device.type == "cuda":
            memory = torch.cuda.get_device_properties(device).total_memory
            if resident.nbytes > DATA_PART * memory:
                return None
        return Fused(self, resident, stepped)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_function"], name)


class Fused:
    """Calls of a function, a `Held`, for many batches; the rest as of `.jax_fused.Fused`."""

    def __init__(self, function: Held, resident: Any, stepped: Sequence[Any]) -> None:
        graph, inputs = function.maker.fgraph, function.input_storage
        places = {id(container.storage): i for i, container in enumerate(inputs)}
        self._program, self._resident = function.program, resident
        self._shared = {places[id(v.container.storage)]: v.container for v in function.get_shared()}
        #: By the place among the outputs, that among the inputs.
        self._updates = dict(sorted(graph.update_mapping.items()))
        self._returned = [k for k in range(len(graph.outputs)) if k not in self._updates]
        self._stepped = [places[id(container.storage)] for container in stepped]
        self._number = len(inputs)
        #: What a call left in a container, and the same on the device.
        self._held: dict[int, tuple[Any, Any]] = {}

    def __call__(
        self,
        batches: Sequence[tuple[Array, int | None]],
        values: Sequence[Array] = (),
        anew: bool = True,
    ) -> list[list[Array]]:
        """Make a step for each batch; see `theanets.linkers.jax_fused.Fused`."""
        device = torch.get_default_device()
        program, step = self._program, self._program.on(device)
        if anew:
            self._held.clear()
        arguments: list[Any] = [None] * self._number
        for place, container in self._shared.items():
            arguments[place] = self._on_device(place, container.storage[0], device)
        data = self._data(device)
        # All rows at once, and not a copy for each batch.
        sizes = [len(rows) for rows, _ in batches]
        every = tensor(np.concatenate([rows for rows, _ in batches]).astype("int64"), device)
        made: list[list[Any]] = []
        seen: set[Any] = set()
        with program.computing():
            for i, rows in enumerate(every.split(sizes)):
                arguments[: len(data)] = self._batch(data, rows, batches[i][1])
                for place, each in zip(self._stepped, values, strict=True):
                    arguments[place] = program.given(place, each[i], device)
                # Parameters have the shapes that they had in the step before.
                kind = len(rows), batches[i][1]
                outputs = step(False, *arguments) if kind in seen else program.run(step, arguments)
                seen.add(kind)
                for k, place in self._updates.items():
                    arguments[place] = outputs[k]
                made.append([outputs[k] for k in self._returned])
            found = self._read(made)
        hosts = {place: program.result(k, arguments[place]) for k, place in self._updates.items()}
        with uninterrupted():
            for place, host in hosts.items():
                self._shared[place].storage[0] = host
                self._held[place] = host, arguments[place]
        return found

    def _on_device(self, place: int, value: Any, device: torch.device) -> Any:
        host, given = self._held.get(place, (None, None))
        if host is not value or host is None:
            given = self._program.given(place, value, device)
            self._held[place] = value, given
        return given

    def _data(self, device: torch.device) -> list[Any]:
        placed = self._resident.placed
        if device not in placed:
            placed[device] = [tensor(array, device) for array in self._resident.arrays]
        found: list[Any] = placed[device]
        return found

    def _batch(self, data: Sequence[Any], rows: Any, steps: int | None) -> list[Any]:
        found = [array.index_select(0, rows) for array in data]
        for k in self._resident.timed if steps is not None else ():
            found[k] = found[k][:, :steps]
        for k, other in self._resident.spread:
            found[k] = found[k].expand(found[other].shape)
        return found

    def _read(self, made: Sequence[Sequence[Any]]) -> list[list[Array]]:
        """Get results as arrays of NumPy, those of all steps by one copy from a device."""
        columns = []
        for k, values in zip(self._returned, zip(*made, strict=True), strict=True):
            alike = len({getattr(value, "shape", None) for value in values}) == 1
            if alike and isinstance(values[0], torch.Tensor):
                columns.append(list(self._program.result(k, torch.stack(values))))
            else:
                columns.append([self._program.result(k, value) for value in values])
        return [list(row) for row in zip(*columns, strict=True)]
