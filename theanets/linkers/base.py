"""What is asked of a linker, and what the answers are where PyTensor's does all by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import Any, ClassVar, Protocol

from pytensor.compile.mode import Mode
from pytensor.link.basic import JITLinker
from pytensor.link.basic import Linker as PyTensorLinker

from ..errors import ConfigurationError
from ..ops.kernels.pairs import PAIRS
from . import rewriting


class Unfit(Exception):
    """Raised where a step changes the shape of a variable, so that the next is another program."""


class Make(Protocol):
    """What compiles, see `theanets.backends.function`; the mode is that of the function."""

    def __call__(
        self,
        inputs: Sequence[Any],
        outputs: Any,
        updates: Mapping[Any, Any],
        *,
        givens: Mapping[Any, Any] | None = None,
        mode: Mode | None = None,
        name: str | None = None,
    ) -> Any:
        """Get PyTensor's function, which does not check the types of its arguments."""


class Compilations(Protocol):
    """Watches what a linker compiles.

    Attributes
    ----------
    count : int
        Number of functions that were not in the cache on the disk, when it is done.
    seconds : float
        Time that went into them.
    """

    count: int
    seconds: float

    def done(self) -> None:
        """Stop watching."""


class Linker:
    """One of PyTensor's linkers, as far as the library has to know it.

    This class is the answer for those that interpret a graph with NumPy. Others override
    what is different with them.

    Attributes
    ----------
    mode : str
        By which name of a mode users ask for it.
    kinds : tuple of types
        PyTensor's classes of it.
    takes_sparse : bool
        Whether it is for sparse inputs. A linker that compiles for the shapes of its
        arguments is not, as the number of entries differs from batch to batch.
    compiles_by_shape : bool
        Whether a function is compiled anew for each new shape of its arguments.
    compiles_when_called : bool
        Whether a function is compiled at its first call, not before.
    keeps_on_disk : bool
        Whether there is a cache of PyTensor's on the disk for what it compiles.
    divides : bool
        Whether it can divide batches between several devices.
    package : str
        What has to be installed besides PyTensor, if anything.
    dispatch : str
        The module of PyTensor's that tells it how to compile an Op, if that imports what
        may not be installed, or takes long.
    forms : tuple of str
        The modules of this package that tell it how to compile our Ops; they are imported
        right after ``dispatch``, see `linking`.
    """

    mode: ClassVar[str] = "FAST_COMPILE"
    kinds: ClassVar[tuple[type, ...]] = (PyTensorLinker,)
    takes_sparse: ClassVar[bool] = True
    compiles_by_shape: ClassVar[bool] = False
    compiles_when_called: ClassVar[bool] = False
    keeps_on_disk: ClassVar[bool] = False
    divides: ClassVar[bool] = False
    package: ClassVar[str] = ""
    dispatch: ClassVar[str] = ""
    forms: ClassVar[tuple[str, ...]] = ()

    def serves(self, linker: Any) -> bool:
        """Tell whether this is about a linker of PyTensor's."""
        return isinstance(linker, self.kinds)

    def check_installed(self) -> None:
        """Refuse where a package is missing.

        Raises
        ------
        ImportError
        """
        if self.package and find_spec(self.package) is None:
            raise ImportError(
                f"mode={self.mode!r} needs {self.package}, which is not installed: "
                f"pip install {self.package}"
            )

    def rewritten(self, mode: Mode) -> Mode:
        """Get a mode of this linker with the rewrites that our functions gain by or need."""
        return mode.including(PAIRS) if rewriting.simplifies(mode) else mode

    def remembered(self, mode: Mode) -> Mode:
        """Get a mode that takes rewritten graphs from the disk, if there is a cache for them."""
        return mode

    def for_others(self, mode: Mode) -> Mode:
        """Get a mode for those that call PyTensor without us to compile by, as here."""
        return self.rewritten(mode)

    def compiling(self) -> AbstractContextManager[None]:
        """Get what is around the making of a function."""
        return nullcontext()

    def compile(
        self, make: Make, inputs: Sequence[Any], outputs: Any, updates: Mapping[Any, Any]
    ) -> Any:
        """Compile expressions.

        Parameters
        ----------
        make : callable
            Compiles.
        inputs : list of variables
        outputs : expression or list of expressions
        updates : dict

        Returns
        -------
        callable
            PyTensor's function, or what is around it and has its attributes.
        """
        with self.compiling():
            return make(inputs, outputs, updates)

    def devices(self) -> list[str]:
        """Get the names of the devices that it can compute on; the first one does by default."""
        return ["cpu"]

    def chosen(self) -> list[str]:
        """Get the device that computes where nothing is said, if there may be others."""
        return []

    def on(self, names: Sequence[str]) -> Callable[[], AbstractContextManager[Any]] | None:
        """Get what has some devices compute: makes what is around making and calling functions.

        Parameters
        ----------
        names : list of str
            Without a number, the first one of its kind.

        Raises
        ------
        ConfigurationError
            If there is no such device, or it can be only one.
        """
        self.find_devices(names)
        return None

    def find_devices(self, names: Sequence[str]) -> list[str]:
        """Get the full names of devices, see `on`."""
        valid, found = self.devices(), []
        for name in names:
            near = [name] if ":" in name else [one for one in valid if one.split(":")[0] == name]
            if not near or near[0] not in valid:
                raise ConfigurationError(
                    f"device={name!r}: for mode={self.mode!r} there is {', '.join(valid)}"
                )
            found.append(near[0])
        if len(found) > 1 and (len({*found}) < len(found) or not self.divides):
            raise ConfigurationError(
                f"device={list(names)!r}: expected "
                + ("each of them once" if self.divides else f"one, for mode={self.mode!r}")
            )
        return found

    def check_cache(self) -> None:
        """Refuse where the cache on the disk is switched off.

        Raises
        ------
        ConfigurationError
        """

    def watch(self) -> Compilations | None:
        """Watch what is compiled from now on, if that can be watched."""
        return None

    def own_input(self, variable: Any, value: Any) -> Any:
        """Get the input of an operation that is compiled by itself, apart from its graph.

        Parameters
        ----------
        variable : variable
            The input in the graph.
        value : object
            What it is in the call that the operation is taken from.

        Returns
        -------
        variable
            The same one; or a constant, where the operation in its graph would know it
            when it is compiled.
        """
        return variable


class Compiled(Linker):
    """Those that hand the whole graph to a compiler, which starts at the first call.

    Also the answer for such a linker that has no class of its own here.
    """

    mode = ""
    kinds = (JITLinker,)
    takes_sparse = False
    compiles_when_called = True

    def rewritten(self, mode: Mode) -> Mode:
        """Leave a mode as it is."""
        return mode
