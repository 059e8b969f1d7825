"""Compilation: the one place that turns expressions into functions."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytensor
from pytensor.compile.mode import Mode, predefined_modes
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.traversal import graph_inputs
from pytensor.link.basic import JITLinker

from . import linkers, process  # noqa: F401
from .errors import ConfigurationError, FileError, unknown
from .ops import sparse
from .ops.kernels import rewrites

#: Linkers that our products of sparse matrices are not for: the number of entries differs
#: from batch to batch, and they would compile anew for each.
NO_SPARSE = ("JAXLinker", "PytorchLinker", "MLXLinker")


def resolve_mode(mode: str | Mode | None) -> Mode | None:
    """Find a compilation mode.

    Parameters
    ----------
    mode : str, Mode or None
        ``'NUMBA'``, ``'CVM'``, ``'JAX'``, ``'PYTORCH'``, ``'FAST_COMPILE'``,
        ``'FAST_RUN'`` or another of PyTensor's names; None is PyTensor's
        configuration (``pytensor.config.mode``).

    Returns
    -------
    Mode or None

    Raises
    ------
    ConfigurationError
        If there is no such mode.
    """
    if mode is None or isinstance(mode, Mode):
        return mode
    if not isinstance(mode, str):
        raise ConfigurationError(f"mode={mode!r} is neither a name nor a PyTensor Mode")
    name = mode.upper()
    valid = [*predefined_modes, "FAST_RUN"]
    if name not in valid:
        raise unknown("mode", mode, valid)
    return pytensor.compile.mode.get_mode(name)


def mode_key(mode: str | Mode | None) -> Hashable:
    """Get what tells compiled functions of different modes apart."""
    if mode is None:
        return (str(pytensor.config.mode), str(pytensor.config.linker))
    return mode.upper() if isinstance(mode, str) else mode


def compiles_by_shape(mode: str | Mode | None) -> bool:
    """Tell whether a function is compiled anew for each new shape of its arguments."""
    return type(pytensor.compile.mode.get_mode(resolve_mode(mode)).linker).__name__ == "JAXLinker"


def function(
    inputs: Sequence[Any],
    outputs: Any,
    updates: Mapping[Any, Any] | None = None,
    *,
    mode: str | Mode | None = None,
    dtype: str = "float32",
    name: str | None = None,
) -> Any:
    """Compile expressions.

    Parameters
    ----------
    inputs : list of variables
        What the function takes; some may be unused. For one that is sparse
        it takes three vectors, see `theanets.ops.sparse`.
    outputs : expression or list of expressions
        What it returns.
    updates : dict, optional
        What shared variables become after each call.
    mode : str, Mode or None
        See `resolve_mode`.
    dtype : str
        The network's type.
    name : str, optional
        Name of the function, for messages and profiles.

    Returns
    -------
    callable
        Any number of threads may call it, see `theanets.process.Function`.
        It does not check the types of its arguments: they come from
        `theanets.data`, which does.

    Raises
    ------
    ConfigurationError
        If there is no such mode, or it is not for a sparse input.
    FileError
        If there is no place for what is compiled.
    """
    # Fast math reorders sums differently in code that is fresh and code that is
    # cached, and the same seed has to give the same bits.
    with process.building(dtype, numba__fastmath=False):
        try:
            return _compile(inputs, outputs, dict(updates or {}), mode, name)
        except OSError as error:
            raise FileError(
                f"compiled code cannot be kept in {pytensor.config.base_compiledir}: {error}; "
                "PYTENSOR_FLAGS=base_compiledir=<directory> names another place, which must be "
                "there to be written to"
            ) from error


def _compile(
    inputs: Sequence[Any], outputs: Any, updates: dict[Any, Any], mode: Any, name: str | None
) -> process.Function:
    found = pytensor.compile.mode.get_mode(resolve_mode(mode))
    linker = type(found.linker).__name__
    if getattr(found.linker, "c_thunks", False):
        _check_directory()
    compiling: Callable[[], AbstractContextManager[None]] = nullcontext
    finish: Callable[[Any], None] | None = None
    chance = None
    returned = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
    reads = graph_inputs([*returned, *updates.values()])
    shared = {*updates, *(v for v in reads if isinstance(v, SharedVariable))}
    if linker == "JAXLinker":
        from .linkers.jax_setup import SIZES, Chance, Drawing, compiling

        # XLA fuses by itself; what PyTensor fuses may hide the sizes of arrays.
        found = found.including(SIZES).excluding("fusion")
    elif linker == "NumbaLinker":
        from .linkers.numba_setup import compiling
        from .linkers.numba_setup import sparing as finish
    elif linker == "PytorchLinker":
        from .linkers import torch_setup  # noqa: F401

    arguments: list[Any] = []
    for variable in inputs:
        parts = sparse.vectors(variable)
        arguments += [variable] if parts is None else parts
        if parts is not None and linker in NO_SPARSE:
            raise ConfigurationError(
                f"input {variable.name!r} is sparse, which {linker} cannot compile "
                f"(mode={mode!r}): use 'NUMBA', 'CVM' or 'FAST_COMPILE', or an input with "
                "sparse=False, whose data are made dense batch by batch"
            )

    if linker == "JAXLinker":
        chance = Chance(arguments, outputs, updates, function)

    with compiling():
        compiled = pytensor.function(
            arguments,
            outputs,
            updates=list((updates if chance is None else chance.updates).items()),
            givens=None if chance is None else chance.givens,
            mode=rewrites.include(found),
            on_unused_input="ignore",
            name=name,
        )
    if finish is not None:
        finish(compiled)
    compiled.trust_input = True
    return process.Function(
        compiled if chance is None else Drawing(compiled, chance),
        process.share(shared),
        compiles=isinstance(found.linker, JITLinker),
    )


def repeated(function: Callable[..., Any]) -> Callable[..., Any]:
    """Get what does the same as a function, to be called in a loop.

    With JAX, arrays of shared variables stay on its device as long as it is in use. So
    nothing may change them in place meanwhile; they may be set.

    Parameters
    ----------
    function : callable
        From `function`.
    """
    found: Callable[..., Any] = getattr(function, "repeated", lambda: function)()
    return found


def _check_directory() -> None:
    """Have PyTensor make the directory for the C linker, which it does when it is asked for it."""
    try:
        str(pytensor.config.compiledir)
    except ValueError as error:
        raise OSError(str(error)) from error


class Compilations:
    """Watches what Numba compiles.

    Attributes
    ----------
    count : int
        Number of functions that were not in the cache on the disk, when it is done.
    seconds : float
        Time that went into them.
    """

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


def compilations(function: Any) -> Compilations | None:
    """Watch the compilation of a function from now on, if Numba compiles it when it is called."""
    linker = function.maker.linker
    return Compilations() if type(linker).__name__ == "NumbaLinker" else None
