"""Compilation: the one place that turns expressions into functions."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from typing import Any

import pytensor
from pytensor.compile.mode import Mode, predefined_modes

from . import linkers, memory, process
from .errors import ConfigurationError, FileError, unknown
from .linkers import Compilations, Linker, lending, rewriting
from .ops import sparse


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
    # After an @, devices: see `placed`.
    if not isinstance(mode, str):
        raise ConfigurationError(f"mode={mode!r} is neither a name nor a PyTensor Mode")
    name = mode.partition("@")[0].upper()
    valid = [*predefined_modes, "FAST_RUN"]
    if name not in valid:
        raise unknown("mode", mode, valid)
    return pytensor.compile.mode.get_mode(name)


def placed(mode: str | Mode | None, device: Any) -> str | Mode | None:
    """Get a mode that computes on a device, ``'JAX@cuda:1'``.

    Parameters
    ----------
    mode : str, Mode or None
        See `resolve_mode`.
    device : str, list of str or None
        From `devices`, or without its number; None for that of the linker's choice. JAX
        divides batches to train on between several.

    Raises
    ------
    ConfigurationError
        If the mode's linker cannot compute there.
    """
    if device is None:
        return mode
    names = [device] if isinstance(device, str) else device
    if (
        not isinstance(names, (list, tuple))
        or not names
        or not all(isinstance(name, str) for name in names)
    ):
        raise ConfigurationError(
            f"device={device!r} is neither a name, such as 'cuda:0', nor a list of names"
        )
    if isinstance(mode, Mode):
        raise ConfigurationError(f"device={device!r} needs the name of a mode, not mode={mode!r}")
    mode = str(pytensor.config.mode) if mode is None else mode.partition("@")[0]
    found = linker(mode)
    found.check_installed()
    return f"{mode}@{','.join(found.find_devices(names))}"


def devices(mode: str | Mode | None = None) -> list[str]:
    """Get the names of the devices that a mode can compute on, for ``device=`` of ``train``.

    Parameters
    ----------
    mode : str, Mode or None
        By default PyTensor's configuration, ``pytensor.config.mode``.

    Returns
    -------
    list of str
        The first one computes where nothing else is said.

    Examples
    --------
    ::

        theanets.devices("JAX")     # ['cuda:0', 'cuda:1', 'cpu:0'], or ['cpu:0']
    """
    found = linker(mode)
    found.check_installed()
    return found.devices()


def place(mode: str | Mode | None) -> list[str]:
    """Get the devices that a mode computes on, where there may be others."""
    names = mode.partition("@")[2] if isinstance(mode, str) else ""
    found = linker(mode)
    there = not found.package or find_spec(found.package) is not None
    return names.split(",") if names else found.chosen() if there else []


def mode_key(mode: str | Mode | None) -> Hashable:
    """Get what tells compiled functions of different modes apart."""
    if mode is None:
        return (str(pytensor.config.mode), str(pytensor.config.linker))
    return mode.upper() if isinstance(mode, str) else mode


def linker(mode: str | Mode | None) -> Linker:
    """Find what is known of a mode's linker."""
    return linkers.find(pytensor.compile.mode.get_mode(resolve_mode(mode)).linker)


def compiles_by_shape(mode: str | Mode | None) -> bool:
    """Tell whether a function is compiled anew for each new shape of its arguments."""
    return linker(mode).compiles_by_shape


def function(
    inputs: Sequence[Any],
    outputs: Any,
    updates: Mapping[Any, Any] | None = None,
    *,
    mode: str | Mode | None = None,
    dtype: str = "float32",
    name: str | None = None,
    changed: Sequence[Any] = (),
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
    changed : list of variables
        Those of the inputs whose arrays the function may write into.

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
    ImportError
        If the linker needs a package that is not installed.
    """
    # Fast math reorders sums differently in code that is fresh and code that is
    # cached, and the same seed has to give the same bits.
    with process.building(dtype, numba__fastmath=False):
        try:
            return _compile(inputs, outputs, dict(updates or {}), mode, name, changed)
        except OSError as error:
            raise FileError(
                f"compiled code cannot be kept in {pytensor.config.base_compiledir}: {error}; "
                "PYTENSOR_FLAGS=base_compiledir=<directory> names another place, which must be "
                "there to be written to"
            ) from error


def _compile(
    inputs: Sequence[Any],
    outputs: Any,
    updates: dict[Any, Any],
    mode: Mode | str | None,
    name: str | None,
    changed: Sequence[Any],
) -> process.Function:
    found = pytensor.compile.mode.get_mode(resolve_mode(mode))
    known = linkers.find(found.linker)
    known.check_installed()
    names = mode.partition("@")[2] if isinstance(mode, str) else ""
    devices = names.split(",") if names else []
    around = known.on(devices) if devices else None
    memory.in_workers()
    returned = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
    arguments: list[Any] = []
    for variable in inputs:
        parts = sparse.vectors(variable)
        arguments += [variable] if parts is None else parts
        if parts is not None and not known.takes_sparse:
            raise ConfigurationError(
                f"input {variable.name!r} is sparse, which {type(found.linker).__name__} cannot "
                f"compile (mode={mode!r}): use {linkers.modes('takes_sparse')}, or an input with "
                "sparse=False, whose data are made dense batch by batch"
            )

    shared, updates = lending.read(returned, updates)
    places = [lending.placeholder(variable) for variable in shared]
    others = dict(zip(shared, places, strict=True))
    # Whatever they are computed from, arguments are given.
    given = {v: v.type(name=v.name) for v in arguments if v.owner is not None}
    arguments = [given.get(v, v) for v in arguments]
    written = {given.get(v, v) for v in changed}
    outputs, updates = lending.replaced(outputs, updates, {**others, **given})

    def make(
        inputs: Sequence[Any],
        outputs: Any,
        updates: Mapping[Any, Any],
        *,
        givens: Mapping[Any, Any] | None = None,
        mode: Mode | None = None,
        name: str | None = name,
    ) -> Any:
        compiled = pytensor.function(
            [pytensor.In(v, mutable=True) if v in written else v for v in inputs],
            outputs,
            updates=list(updates.items()),
            givens=givens,
            mode=known.remembered(rewriting.lean(known.rewritten(found))) if mode is None else mode,
            on_unused_input="ignore",
            accept_inplace=bool(written),
            name=name,
        )
        compiled.trust_input = True
        return compiled

    with nullcontext() if around is None else around():
        compiled = known.compile(make, arguments, outputs, updates)
    where = devices or known.chosen()
    template = lending.Template(compiled, places, known.compiles_when_called, around, where)
    return lent(template, shared)


def lent(template: lending.Template, variables: Sequence[Any]) -> process.Function:
    """Get the function of a template on variables of the same types, see `linkers.lending`."""
    function = lending.Lent(template, variables)
    fresh = template.compiles and not template.called
    return process.Function(function, process.share(variables), compiles=fresh)


def moved(function: process.Function, to: Callable[[Any], Any]) -> process.Function:
    """Get the same function on other variables.

    Parameters
    ----------
    function : callable
        From `function`.
    to : callable
        Gets the variable in the place of another, of the same type.
    """
    return lent(function.template, [to(variable) for variable in function.variables])


@contextmanager
def repeated(function: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """Get what does the same as a function, to be called in a loop.

    With JAX, arrays of shared variables stay on its device as long as it is in use. So
    nothing may change them in place meanwhile; they may be set. Those that the function updates
    are arrays of JAX meanwhile, which the next call makes invalid: who wants one to stay, copies.

    Parameters
    ----------
    function : callable
        From `function`.
    """
    found: Callable[..., Any] = getattr(function, "repeated", lambda: function)()
    try:
        yield found
    finally:
        getattr(found, "settle", lambda: None)()


def ahead(function: Callable[..., Any]) -> Callable[[Sequence[Any]], Sequence[Any]] | None:
    """Get what puts the arrays of a batch where a function needs them, before it is called.

    Another thread may call it.

    Parameters
    ----------
    function : callable
        From `function`.
    """
    found: Callable[[Sequence[Any]], Sequence[Any]] | None = getattr(function, "ahead", None)
    return found


def fused(
    function: Callable[..., Any], resident: Any, stepped: Sequence[Any] = ()
) -> Callable[..., Any] | None:
    """Get what does as many calls of a function in one, on data that lie on a device.

    Parameters
    ----------
    function : callable
        From `function`.
    resident : Resident
        The arrays that batches are rows of, see `theanets.data`. They are taken at the first
        call: what is changed in them later is not seen.
    stepped : list of shared variables
        Those of the function that have a value of their own in each call.

    Returns
    -------
    callable or None
        ``(batches, values=(), anew=True) -> list``, see `theanets.linkers.jax_fused.Fused`.
        None where it is no gain, or the linker cannot do it.
    """
    make = getattr(function, "fused", None)
    found: Callable[..., Any] | None = make and make(resident, stepped)
    return found


def compilations(function: Any) -> Compilations | None:
    """Watch the compilation of a function from now on, if its linker can tell of it.

    Returns
    -------
    Compilations or None
        None also where nothing is compiled when the function is called.
    """
    return linkers.find(function.maker.linker).watch()
