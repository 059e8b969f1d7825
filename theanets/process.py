"""What is the process's and not a network's: configuration, imports, signals, who waits for whom.

PyTensor builds graphs by settings of the whole process, and compiles with tables of the whole
process. So one thread at a time builds or compiles: the one in `building`. Training changes
parameters one by one. So there is one lock for all functions that share a variable, and who
calls one or sets several variables has it; see `share` and `hold`. A compiled function, which
networks of one build have in common, has one set of buffers, and a lock of its own.

Who has a lock only ever waits for those that come later here:

1. `building`;
2. the locks of variables, by their numbers;
3. that of a compiled function, see `theanets.linkers.lending`;
4. that of `lazily`, then those that Python has for each module;
5. `table`, under which nothing is waited for.

So nothing that runs under a lock of variables may build, but it may import. A module that is
got by `lazily` neither builds nor calls `lazily` while it is imported. No code of the user's
that makes data is called under any of them, nor is another thread waited for that may build.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from pytensor import config

from .interruption import uninterrupted

T = TypeVar("T")

# ---- building --------------------------------------------------------------------

_builders = threading.RLock()
_importers = threading.RLock()


@contextmanager
def building(dtype: str | None = None, **flags: Any) -> Iterator[None]:
    """Be the only thread that builds graphs or compiles.

    Parameters
    ----------
    dtype : str, optional
        PyTensor's ``floatX`` meanwhile.
    **flags
        Other settings of PyTensor's meanwhile.
    """
    if dtype is not None:
        flags["floatX"] = dtype
    owned = _builders._is_owned()  # type: ignore[attr-defined]
    if owned and all(getattr(config, key) == flags[key] for key in flags):
        yield  # within another one, which does all that this would do
        return
    with uninterrupted(), _builders, config.change_flags(**flags), _collecting_seldom():
        yield


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Have Python look for objects that only refer to each other once in many more of them.

    Graphs are many objects, and what compiles them makes more. To go through all that there
    are again and again, for little that is gone, took a twelfth of the time.
    """
    often = gc.get_threshold()
    if often[0]:  # else it never looks
        gc.set_threshold(max(often[0], 20_000), often[1], max(often[2], 1_000))
    try:
        yield
    finally:
        gc.set_threshold(*often)


def float_x() -> str:
    """Get PyTensor's ``floatX``, not that which another thread builds with just now."""
    with _builders:
        return str(config.floatX)


def lazily(name: str) -> Any:
    """Get a module that takes long to import and is seldom needed.

    Two threads that import modules of one package by different ways may each get
    a part of it, and so does who goes on after an interruption.
    """
    module = sys.modules.get(name)
    if module is None or getattr(module.__spec__, "_initializing", False):
        # Not `building`: compiled code runs under the locks of variables, which come after it.
        with uninterrupted(), _importers:
            return importlib.import_module(name)
    return module


class Later:
    """What stands for a module that is imported once something of it is used, see `lazily`.

    Types are checked by an import of the module itself below ``if TYPE_CHECKING:``, of
    which this is in the ``else:``.

    Parameters
    ----------
    name : str
        The full name of the module.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(lazily(self._name), name)


# ---- variables -------------------------------------------------------------------


class Lock:
    """A lock that its thread may take again, with a place in the order of all locks.

    Parameters
    ----------
    number : int
        Who takes several takes them in this order.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.thread_lock = threading.RLock()


class _Several:
    """Some locks, taken in their order."""

    def __init__(self, locks: Iterable[Any]) -> None:
        self._locks = list(locks)

    def __enter__(self) -> None:
        taken = []
        try:
            for lock in self._locks:
                lock.acquire()
                taken.append(lock)
        except BaseException:
            for lock in reversed(taken):
                lock.release()
            raise

    def __exit__(self, *error: object) -> None:
        for lock in reversed(self._locks):
            lock.release()


#: The locks of shared variables, by their containers: these remain where others are put
#: in the place of the variables.
_locks: WeakKeyDictionary[Any, Lock] = WeakKeyDictionary()
_every: WeakSet[Lock] = WeakSet()
#: For what is done at once with a table.
table = threading.Lock()
_made = 0


def new_lock() -> Lock:
    """Get a lock that comes after those of all variables, for what waits for nobody."""
    lock = Lock(-1)
    with table:
        _every.add(lock)
    return lock


def share(variables: Iterable[Any]) -> list[Lock]:
    """Get the locks of some shared variables, in order; those that have none get one.

    Parameters
    ----------
    variables : iterable of shared variables
        There may be none.

    Returns
    -------
    list of Lock
        At least one. Who has them all is the only one with any of the variables.
    """
    global _made
    containers = [variable.container for variable in variables]
    with table:
        found = {_locks[c] for c in containers if c in _locks}
        if not found:
            _made += 1
            found = {Lock(_made)}
            _every.update(found)
        first = min(found, key=lambda lock: lock.number)
        for container in containers:
            _locks.setdefault(container, first)
    return sorted(found, key=lambda lock: lock.number)


def together(locks: list[Lock]) -> Any:
    """Get what takes some locks, as a context."""
    taken = [lock.thread_lock for lock in locks]
    return taken[0] if len(taken) == 1 else _Several(taken)


def hold(variables: Iterable[Any]) -> Any:
    """Keep all others from some shared variables, so that they see all of a change or nothing.

    Nothing may be built or compiled meanwhile: a network's first prediction does both.

    Examples
    --------
    Parameters that belong together::

        with hold(net.params):
            values = [param.get_value() for param in net.params]
    """
    return together(share(variables))


class Function:
    """A compiled function that any number of threads may call: one after the other.

    Its attributes are those of PyTensor's function.

    Parameters
    ----------
    function : callable
        PyTensor's.
    locks : list of Lock
        Those of its variables.
    compiles : bool
        Whether its first call compiles.
    """

    def __init__(self, function: Any, locks: list[Lock], compiles: bool) -> None:
        self._function = function
        self._locks = locks  # they live as long as a function needs them
        self._together = together(locks)
        # For good: what JAX compiles for other shapes later, it compiles under locks of its own,
        # and PyTensor's part of it reads no configuration.
        self._fresh = compiles

    def __call__(self, *arguments: Any) -> Any:
        """Compute the results for some arguments."""
        if self._fresh:
            return self._first(self._function, arguments)
        with self._together:
            return self._function(*arguments)

    @property
    def compiles(self) -> bool:
        """Whether the next call compiles, as the first one of some linkers does."""
        return self._fresh

    def _first(self, function: Any, arguments: Any) -> Any:
        with building(), self._together:
            results = function(*arguments)
        self._fresh = False
        return results

    @contextmanager
    def held(self, first: Callable[[], T]) -> Iterator[T]:
        """Keep all others from its variables, as `hold`: for several calls of one moment.

        Parameters
        ----------
        first : callable
            Called at once, to call the function: what that compiles is compiled before others
            may build again. All that it needs is there, so that it waits for nobody.

        Yields
        ------
        object
            What ``first`` returns.
        """
        with ExitStack() as stack:
            with building() if self._fresh else nullcontext():
                stack.enter_context(self._together)
                result = first()
            yield result

    def repeated(self) -> Callable[..., Any]:
        """Get what does the same in a loop, see `theanets.backends.repeated`."""
        make = getattr(self._function, "repeated", None)
        inner = self._function if make is None else make()
        found = self._locking(inner)
        if hasattr(inner, "settle"):

            def settle() -> None:
                with self._together:
                    inner.settle()

            found.settle = settle  # type: ignore[attr-defined]
        return found

    def fused(self, resident: Any, stepped: Sequence[Any]) -> Callable[..., Any] | None:
        """Get what makes many calls in one, see `theanets.backends.fused`."""
        make = getattr(self._function, "fused", None)
        found = make and make(resident, stepped)
        return found and self._locking(found)

    def _locking(self, function: Callable[..., Any]) -> Callable[..., Any]:
        lock = self._together

        def call(*arguments: Any) -> Any:  # quicker than a method
            if self._fresh:
                return self._first(function, arguments)
            with lock:
                return function(*arguments)

        return call

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_function"], name)


@contextmanager
def moment(function: Function, variables: Iterable[Any]) -> Iterator[None]:
    """Keep all others from some shared variables while a function is called, maybe several times.

    Unlike `hold`, it is for a function that may still have to compile at its first call: that is
    then done before others may build again.
    """
    with building() if function.compiles else nullcontext(), hold(variables):
        yield


# ---- forks -----------------------------------------------------------------------


def _after_fork() -> None:
    """Free the locks of threads that are not there in this process."""
    table._at_fork_reinit()  # type: ignore[attr-defined]
    for lock in [_builders, _importers, *(lock.thread_lock for lock in _every)]:
        if not lock._is_owned():  # type: ignore[attr-defined]
            lock._at_fork_reinit()  # type: ignore[attr-defined]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
