"""Compiled functions that have no values of their own: they are lent them for each call.

PyTensor's function refers to the containers of shared variables, and so it would be that of
one network. A `Template` is compiled from variables that nobody else has, and holds nothing
between its calls. A `Lent` is the same function on other variables of the same types: it puts
what these hold into the places of the template's for a call, and what comes of it back. So
networks of one build have the compiled code in common, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import graph_inputs
from pytensor.link.basic import Container

from .. import process


def read(outputs: Sequence[Any], updates: Mapping[Any, Any]) -> tuple[list[Any], dict[Any, Any]]:
    """Find the shared variables of a function, and all of its updates.

    Parameters
    ----------
    outputs : list of expressions
    updates : dict
        Those that the function is told of. Variables may have others, of their own.
    """
    updates, found = dict(updates), dict.fromkeys(updates)
    stack = [*outputs, *updates.values()]
    while stack:
        reached = [v for v in graph_inputs(stack) if isinstance(v, SharedVariable)]
        stack = []
        for variable in reached:
            found[variable] = None
            own = variable.default_update
            if own is not None and variable not in updates:
                updates[variable] = own
                stack.append(own)
    return list(found), updates


def placeholder(variable: Any) -> Any:
    """Get a shared variable of the same type and name that holds nothing."""
    container = Container(variable.type, storage=[None], name=variable.name)
    return type(variable)(
        type=variable.type, value=None, strict=None, container=container, name=variable.name
    )


def replaced(
    outputs: Any, updates: Mapping[Any, Any], others: Mapping[Any, Any]
) -> tuple[Any, dict[Any, Any]]:
    """Get outputs and updates on other shared variables.

    Parameters
    ----------
    outputs : expression or list of expressions
    updates : dict
    others : dict
        The other variables, by all that there are.
    """
    several = isinstance(outputs, (list, tuple))
    every = [*(outputs if several else [outputs]), *updates.values()]
    # One clone of all, in which what they have in common is so too.
    found = clone_replace(every, others)
    number = len(every) - len(updates)
    new = dict(zip((others[v] for v in updates), found[number:], strict=True))
    return (found[:number] if several else found[0]), new


def within(
    around: Callable[[], AbstractContextManager[Any]], function: Callable[..., Any]
) -> Callable[..., Any]:
    """Get what calls a function in a context."""

    def call(*arguments: Any) -> Any:
        with around():
            return function(*arguments)

    return call


class Template:
    """A compiled function, and its variables, which hold nothing.

    Parameters
    ----------
    function : callable
        PyTensor's, or what is around it.
    variables : list of shared variables
        Made by `placeholder`.
    compiles : bool
        Whether its first call compiles.
    around : callable, optional
        Makes the context of each call.
    devices : list of str
        Where it computes, if there may be other places.
    """

    def __init__(
        self,
        function: Any,
        variables: Sequence[Any],
        compiles: bool,
        around: Callable[[], AbstractContextManager[Any]] | None = None,
        devices: Sequence[str] = (),
    ) -> None:
        self.function, self.around, self.devices = function, around, devices
        self.variables = list(variables)
        #: Who has it has also the locks of the variables that are lent, and waits for nobody.
        self.lock = process.new_lock()
        self.compiles = compiles
        #: Whether it was called before, for whatever variables.
        self.called = False


class Lent:
    """The function of a template on other variables.

    Its attributes are those of PyTensor's function.

    Parameters
    ----------
    template : Template
    variables : list of shared variables
        Of the same types, in the same order.
    """

    def __init__(self, template: Template, variables: Sequence[Any]) -> None:
        self.template = template
        self.variables = list(variables)
        self._call = self._lending(template.function)

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def _lending(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Get what calls a function with what the variables hold."""
        template, lock = self.template, self.template.lock.thread_lock
        pairs = self._pairs()
        if template.around is not None:
            function = within(template.around, function)

        def call(*arguments: Any) -> Any:
            with lock:
                for place, own in pairs:
                    place[0] = own[0]
                try:
                    results = function(*arguments)
                    template.called = True
                    return results
                finally:
                    for place, own in pairs:
                        own[0] = place[0]
                        place[0] = None

        return call

    def _pairs(self) -> list[tuple[list[Any], list[Any]]]:
        variables = zip(self.template.variables, self.variables, strict=True)
        return [(place.container.storage, own.container.storage) for place, own in variables]

    @contextmanager
    def lending(self) -> Iterator[None]:
        """Let PyTensor's function hold the values meanwhile, for who looks into it."""
        with self.template.lock.thread_lock:
            for place, own in self._pairs():
                place[0] = own[0]
            try:
                yield
            finally:
                for place, own in self._pairs():
                    own[0], place[0] = place[0], None

    def repeated(self) -> Callable[..., Any]:
        """Get what does the same in a loop, see `theanets.backends.repeated`."""
        make = getattr(self.template.function, "repeated", None)
        if make is None:
            return self._call
        loop = make()
        found = self._lending(loop)
        if hasattr(loop, "settle"):

            def settle() -> None:
                with self.lending():
                    loop.settle()

            found.settle = settle  # type: ignore[attr-defined]
        return found

    def ahead(self, arrays: Sequence[Any]) -> Sequence[Any]:
        """Put the arrays of a batch where a call needs them, see `theanets.backends.ahead`."""
        make = getattr(self.template.function, "ahead", None)
        if make is None:
            return arrays
        around = nullcontext if self.template.around is None else self.template.around
        with around():
            found: Sequence[Any] = make(arrays)
            return found

    def fused(self, resident: Any, stepped: Sequence[Any]) -> Callable[..., Any] | None:
        """Get what makes many calls in one, see `theanets.backends.fused`."""
        make = getattr(self.template.function, "fused", None)
        places = dict(zip(self.variables, self.template.variables, strict=True))
        if make is None:
            return None
        if self.template.around is not None:
            make = within(self.template.around, make)
        found = make(resident, [places[variable].container for variable in stepped])
        return found and self._lending(found)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["template"].function, name)
