"""Compiled functions of PyTorch: a linker of PyTensor's for `torch_program`, and loops.

Between calls the variables hold arrays of NumPy, as everybody else reads them. In the updates of
a run, tensors go from step to step on the device, and the variables have them back at the end of
a call of `Fused`, which has the results of its steps read at once too, or of a loop of calls of
`Repeated`. On the CPU an array of NumPy and a tensor are the same memory: nothing is copied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

    def repeated(self) -> Repeated:
        """Get the function for a loop in which nothing is changed in place: see `Repeated`."""
        return Repeated(self)

    def ahead(self, arrays: Sequence[Any]) -> Sequence[Any]:
        """Put the arrays of a batch on the device, in another thread than that which calls."""
        device = torch.get_default_device()
        return [tensor(array, device) for array in arrays] if is_far(device) else arrays

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


def is_far(device: torch.device) -> bool:
    """Tell whether arrays of NumPy have to be copied to a device."""
    return device.type != "cpu"


class Holding:
    """What calls a `Held` function with tensors that lie on a device.

    Parameters
    ----------
    function : Held
    """

    def __init__(self, function: Held) -> None:
        graph, inputs = function.maker.fgraph, function.input_storage
        self._places = {id(container.storage): i for i, container in enumerate(inputs)}
        self._program, self._number = function.program, len(inputs)
        shared = [v.container for v in function.get_shared()]
        self._shared = {self._places[id(container.storage)]: container for container in shared}
        #: By the place among the outputs, that among the inputs.
        self._updates = dict(sorted(graph.update_mapping.items()))
        self._returned = [k for k in range(len(graph.outputs)) if k not in self._updates]
        #: What is in a container, and the same on the device, or what has come of it there.
        self._held: dict[int, tuple[Any, Any]] = {}

    def _on_device(self, place: int, value: Any, device: torch.device) -> Any:
        host, given = self._held.get(place, (None, None))
        if host is not value or host is None:
            given = self._program.given(place, value, device)
            self._held[place] = value, given
        return given

    def _arguments(self, device: torch.device) -> list[Any]:
        """Get all that a step takes, with nothing for what is no shared variable."""
        found: list[Any] = [None] * self._number
        for place, container in self._shared.items():
            found[place] = self._on_device(place, container.storage[0], device)
        return found

    def _leave(self, given: Mapping[int, Any]) -> None:
        """Let variables have arrays of NumPy of what is on the device."""
        outputs = {place: k for k, place in self._updates.items()}
        hosts = {place: self._program.result(outputs[place], x) for place, x in given.items()}
        with uninterrupted():
            for place, host in hosts.items():
                self._shared[place].storage[0] = host
                self._held[place] = host, given[place]


class Repeated(Holding):
    """A function for a loop of calls, in which arrays stay on the device, if that is not the CPU.

    What is updated are tensors in the variables meanwhile.
    """

    def __init__(self, function: Held) -> None:
        super().__init__(function)
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        device = torch.get_default_device()
        if not is_far(device):
            return self._function(*arguments)
        taken = self._arguments(device)
        taken[: len(arguments)] = [
            self._program.given(place, value, device) for place, value in enumerate(arguments)
        ]
        with self._program.computing():
            outputs = self._program.run(self._program.on(device), taken)
        found = [self._program.result(k, outputs[k]) for k in self._returned]
        with uninterrupted():
            for k, place in self._updates.items():
                value = outputs[k]
                far = isinstance(value, torch.Tensor)
                self._shared[place].storage[0] = value if far else self._program.result(k, value)
        return found[0] if self._function.unpack_single else found

    def settle(self) -> None:
        """Have NumPy's arrays in the variables again."""
        now = {place: self._shared[place].storage[0] for place in self._updates.values()}
        self._leave({p: value for p, value in now.items() if isinstance(value, torch.Tensor)})


class Fused(Holding):
    """Calls of a function, a `Held`, for many batches; the rest as of `.jax_fused.Fused`."""

    def __init__(self, function: Held, resident: Any, stepped: Sequence[Any]) -> None:
        super().__init__(function)
        self._resident = resident
        self._stepped = [self._places[id(container.storage)] for container in stepped]

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
        arguments = self._arguments(device)
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
        self._leave({place: arguments[place] for place in self._updates.values()})
        return found

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
