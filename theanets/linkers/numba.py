"""Numba: a graph as one Python function, which LLVM compiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from pytensor import config
from pytensor.compile.mode import Mode
from pytensor.link.numba.linker import NumbaLinker

from .. import process
from ..errors import ConfigurationError
from ..ops.kernels import rewrites
from .base import Compiled, Make


class Numba(Compiled):
    """Gains by all of our rewrites; what it compiles is kept on the disk, and shared."""

    mode = "NUMBA"
    kinds = (NumbaLinker,)
    takes_sparse = True
    keeps_on_disk = True
    package = "numba"
    dispatch = "pytensor.link.numba.dispatch"
    forms = ("ops.by_numba",)

    def rewritten(self, mode: Mode) -> Mode:
        """Include the Ops that compile sooner, or run faster."""
        return mode.including(rewrites.PRODUCTS, rewrites.NUMBA)

    def remembered(self, mode: Mode) -> Mode:
        """Look rewritten graphs up beside the compiled code."""
        from . import remembering

        return remembering.remembered(mode)

    def for_others(self, mode: Mode) -> Mode:
        """Have also the linker do what is done here around PyTensor's."""
        mode = self.rewritten(mode)
        if type(mode.linker) is not NumbaLinker:
            return mode
        return Mode(Sparing(), mode.provided_optimizer)

    def compiling(self) -> AbstractContextManager[None]:
        """Keep functions themselves; see `numba_setup`, which imports Numba."""
        from . import numba_setup

        return numba_setup.compiling()

    def compile(
        self, make: Make, inputs: Sequence[Any], outputs: Any, updates: Mapping[Any, Any]
    ) -> Any:
        """Compile expressions, and have Numba leave out what nobody uses."""
        from . import numba_sparing

        function = super().compile(make, inputs, outputs, updates)
        numba_sparing.spare(function.vm.jit_fn)
        return function

    def check_cache(self) -> None:
        """Refuse where PyTensor's flag says that there is none."""
        if not config.numba__cache:
            raise ConfigurationError(
                "PyTensor's flag numba__cache is False, so that Numba keeps nothing on the disk, "
                "and there is nothing to warm up; leave the flag out, or use mode='CVM'"
            )

    def watch(self) -> NumbaCompilations:
        """Watch what Numba compiles, for whatever function."""
        return NumbaCompilations()


class Sparing(NumbaLinker):
    """PyTensor's linker, which has Numba compile only what is called.

    `Numba.compile` does that for functions of ours. Who calls PyTensor without us, as PyMC
    does, takes a mode alone, so that here it is all in the linker.
    """

    def make_all(self, *arguments: Any, **keywords: Any) -> Any:
        """Make functions from the graph, one thread at a time."""
        from . import numba_setup

        # They may call the function in what Numba compiles, which a program is not.
        with process.building(), numba_setup.compiling(programs=False):
            return super().make_all(*arguments, **keywords)

    def jit_compile(self, fn_and_cache: Any) -> Any:
        """Get the function that compiles when it is called."""
        from . import numba_sparing

        dispatcher = super().jit_compile(fn_and_cache)
        numba_sparing.spare(dispatcher)
        return dispatcher


class NumbaCompilations:
    """What Numba has compiled, by the events that it tells."""

    def __init__(self) -> None:
        event = process.lazily("numba.core.event")
        self.count, self.seconds = 0, 0.0
        self._installed = event.install_recorder("numba:compile")
        self._recorder = self._installed.__enter__()

    def done(self) -> None:
        """Stop watching."""
        self._installed.__exit__(None, None, None)
        depth, began = 0, 0.0
        for moment, event in self._recorder.buffer:
            # One function is compiled while another is, which needs it.
            if event.is_start:
                began = began if depth else moment
            depth += 1 if event.is_start else -1
            self.count += bool(event.is_start)
            self.seconds += 0 if depth else moment - began
