"""Registries: case-insensitive names for classes and functions."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np

from .errors import ConfigurationError, check_arguments, deprecated, takes_any, unknown

T = TypeVar("T")


class Registry(Generic[T]):
    """Named things of one kind.

    Parameters
    ----------
    kind : str
        What is registered here, for messages: ``'loss'``, ``'layer'``, ...

    Notes
    -----
    A name that is taken is refused, unless the newcomer is a new definition
    of the same thing (same module and qualified name), which is what running
    a notebook's cell twice gives; or is the user's own, and the name was one of
    this package, of which there are more in each version: that is warned of.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}
        self._canonical: dict[str, str] = {}

    def register(self, item: T, *names: str) -> None:
        """Register something under one or more names; the first is canonical.

        Raises
        ------
        ConfigurationError
            If a name belongs to something else already.
        """
        keys = [name.lower() for name in names]
        for key in keys:
            other = self._items.get(key)
            if other is None or same_definition(other, item):
                continue
            if not is_ours(other) or is_ours(item):
                raise ConfigurationError(
                    f"{self.kind} name {key!r} is taken by {_identity(other)}; "
                    f"rename {_identity(item)}, or give it another name with register='...'"
                )
            warnings.warn(
                f"the {self.kind} name {key!r} now means {_identity(item)}, and no longer "
                f"{_identity(other)}; it has another name with register='...'",
                stacklevel=3,
            )
        # An older definition of the same thing is gone, with all its names.
        self.forget(item)
        for key in keys:
            self._items[key] = item
        self._canonical.update(dict.fromkeys(keys, keys[0]))
        # What lost its canonical name to a user's definition has its next one.
        for key, name in list(self._canonical.items()):
            if self._items[key] is not self._items[name]:
                rest = [k for k, v in self._items.items() if v is self._items[key]]
                self._canonical[key] = rest[0]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._items

    def __getitem__(self, name: str) -> T:
        if name not in self:
            raise unknown(self.kind, name, self._items)
        return self._items[name.lower()]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the canonical names, in the order of registration."""
        return iter(dict.fromkeys(self._canonical.values()))

    def names(self) -> list[str]:
        """Get all names, aliases included."""
        return list(self._items)

    def canonical(self, name: str) -> str:
        """Get the canonical name for a name or alias."""
        if name not in self:
            raise unknown(self.kind, name, self._items)
        return self._canonical[name.lower()]

    def name_of(self, item: T) -> str | None:
        """Get the canonical name of something, or None if it is not registered.

        An older definition has the name of the newer one that replaced it.
        """
        found = next((k for k, v in self._items.items() if v is item), None)
        if found is None:
            found = next((k for k, v in self._items.items() if same_definition(v, item)), None)
        return None if found is None else self._canonical[found]

    def forget(self, item: T) -> None:
        """Remove something, or an older definition of it, with all its names."""
        for key in [k for k, v in self._items.items() if same_definition(v, item)]:
            del self._items[key], self._canonical[key]


def same_definition(one: Any, other: Any) -> bool:
    """Tell whether two things are the same, or definitions of the same name in the same place."""
    return one is other or _identity(one) == _identity(other)


#: What arguments are kept as attributes, under their own names.
_PLAIN = (bool, int, float, str, list, tuple, dict, np.ndarray, np.generic)


def _named(cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Get the arguments of a constructor by name, and refuse those that it does not take."""
    signature = signature_of(cls.__init__)  # type: ignore[misc]
    named: dict[str, Any] = {}
    for name, value in check_arguments(cls.__name__, signature, args, kwargs).arguments.items():
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            named.update(value)
        elif kind is not inspect.Parameter.VAR_POSITIONAL:
            named[name] = value
    named.pop(next(iter(signature.parameters)))  # self
    return named


@lru_cache(1024)
def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """Get the signature of a class or a function, which is looked at once."""
    return inspect.signature(function)


@lru_cache(1024)
def _arguments(function: Callable[..., Any]) -> tuple[list[str], set[str] | None, set[str]]:
    """Get what a constructor takes: by position, in all (None for any name), and at least."""
    parameters = list(signature_of(function).parameters.values())[1:]
    many = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    either = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    named = {p.name for p in parameters if p.kind not in many}
    least = {p.name for p in parameters if p.kind not in many and p.default is p.empty}
    return either, None if takes_any(signature_of(function).parameters) else named, least


def _fits(cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Tell quickly whether a constructor takes arguments, as almost always."""
    either, every, least = _arguments(cls.__init__)  # type: ignore[misc]
    given = {*either[: len(args)], *kwargs}
    fits = len(given) == len(args) + len(kwargs) and least <= given
    return fits and (every is None or given <= every)


def taken(cls: type, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Get those of some keywords that the constructor of a class takes."""
    parameters = signature_of(cls).parameters
    if takes_any(parameters):
        return dict(keywords)
    return {key: value for key, value in keywords.items() if key in parameters}


def is_ours(item: Any) -> bool:
    """Tell whether a class or a function is defined in this package, and not by a user."""
    return str(getattr(item, "__module__", "")).startswith(f"{__package__}.")


def _identity(item: Any) -> str:
    return f"{getattr(item, '__module__', '')}.{getattr(item, '__qualname__', repr(item))}"


class Registered:
    """Base of classes whose subclasses are found by name.

    A direct subclass has a class attribute ``registry``, and is defined with
    ``abstract=True``. Its own subclasses take, as keywords of the class
    statement:

    - ``names``: short names, the canonical one first;
    - ``register``: a string instead of the lower-case name of the class, or
      False for no name at all;
    - ``abstract``: True for a base, which has no names.

    Raises
    ------
    ConfigurationError
        If a name is taken.
    """

    registry: ClassVar[Registry[Any]]
    _given: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        # A copy is made without any, and gets its attributes then.
        ours, given = is_ours(cls), {}
        if (args or kwargs) and not (ours and _fits(cls, args, kwargs)):
            given = _named(cls, args, kwargs)
        made = super().__new__(cls)
        made._given = {} if ours else given
        return made

    def own_arguments(self, others: Iterable[str]) -> dict[str, Any]:
        """Get the arguments that the instance was made with, and that are not some others.

        Those of a constructor of the user's are kept in files so. Where there
        is an attribute of the same name that is plain data, it is the value of
        that now.

        Parameters
        ----------
        others : iterable of str
            Names of arguments that are kept otherwise.
        """
        now = vars(self)
        return {
            key: now[key] if isinstance(now.get(key), _PLAIN) else value
            for key, value in self._given.items()
            if key not in others
        }

    @classmethod
    def get_class(cls, name: str) -> Any:
        """Get the class of a name; deprecated."""
        deprecated(f"{cls.__name__}.get_class(name) is now {cls.__name__}.registry[name]")
        return cls.registry[name]

    @classmethod
    def is_registered(cls, name: str) -> bool:
        """Tell whether there is a class of a name; deprecated."""
        deprecated(f"{cls.__name__}.is_registered(name) is now name in {cls.__name__}.registry")
        return name in cls.registry

    def __init_subclass__(
        cls,
        names: Iterable[str] = (),
        register: str | bool | None = None,
        abstract: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)
        if "structure" in vars(cls) and "cache_key" not in vars(cls) and not is_ours(cls):
            # What it says is as important as it was: compiled functions are found by it.
            deprecated(f"{cls.__name__}.structure() is now called cache_key()")
            earlier = vars(cls)["structure"]
            cls.cache_key = getattr(earlier, "fget", earlier)  # type: ignore[attr-defined]
        if abstract or register is False:
            if hasattr(cls, "registry"):
                cls.registry.forget(cls)
        else:
            own = register if isinstance(register, str) else cls.__name__
            # Earlier versions listed further names in an attribute.
            more = vars(cls).get("__extra_registration_keys__", ())
            found = [*(name.lower() for name in (*names, *more)), own.lower()]
            cls.registry.register(cls, *dict.fromkeys(found))
