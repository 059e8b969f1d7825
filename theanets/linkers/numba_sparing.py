"""What Numba leaves out when it compiles: what nobody uses.

It makes a second form, to be called from C, of each function of NumPy that a piece needs, and
measures how long each of the tens of thousands of calls of LLVM takes, once for each function
that is being compiled then. That is a fifth of a first training's time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from numba.core import event
from numba.core.compiler_lock import global_compiler_lock
from numba.core.dispatcher import Dispatcher
from numba.core.lowering import Lower

from ..interruption import may_leave, uninterrupted


@contextmanager
def replaced(owner: Any, name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    """Put what is made of a function in its place; nothing where there is none."""
    old = getattr(owner, name, None)
    try:
        if old is not None:
            setattr(owner, name, make(old))
        yield
    finally:
        if old is not None:
            setattr(owner, name, old)


def _where_used(create_cfunc_wrapper: Callable[[Any], None]) -> Callable[[Any], None]:
    def create(self: Any) -> None:
        # What cannot be called from Python is called by compiled code alone: no use for it.
        if not self.flags.no_cpython_wrapper:
            create_cfunc_wrapper(self)

    return create


def _but_of_llvm(install_timer: Callable[..., Any]) -> Callable[..., Any]:
    def install(kind: str, *args: Any, **kwargs: Any) -> AbstractContextManager[Any]:
        return nullcontext() if kind == "numba:llvm_lock" else install_timer(kind, *args, **kwargs)

    return install


def _may_leave_before(compile: Callable[..., Any]) -> Callable[..., Any]:
    """Let Ctrl-C through between two functions: Numba copes with errors where one begins."""

    def compile_or_leave(self: Any, signature: Any) -> Any:
        may_leave()
        return compile(self, signature)

    return compile_or_leave


@contextmanager
def sparing() -> Iterator[None]:
    """Have Numba leave out what nobody uses, in what is compiled meanwhile.

    Whoever compiles in another thread waits, and finds Numba as it was.
    """
    with (
        uninterrupted(),
        global_compiler_lock,
        replaced(Dispatcher, "compile", _may_leave_before),
        replaced(Lower, "create_cfunc_wrapper", _where_used),
        replaced(event, "install_timer", _but_of_llvm),
    ):
        yield


def spare(dispatcher: Any) -> None:
    """Let Numba leave out what nobody uses when it compiles a function, at its first call.

    Parameters
    ----------
    dispatcher : object
        What PyTensor's linker made of a whole graph.
    """
    if not isinstance(dispatcher, Dispatcher) or "compile" in vars(dispatcher):
        return  # of a program, or another network's too

    def compile(signature: Any) -> Any:
        with sparing():
            return Dispatcher.compile(dispatcher, signature)

    dispatcher.compile = compile
