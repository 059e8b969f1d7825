"""Registries: case-insensitive names for classes and functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

from .errors import ConfigurationError, unknown

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
    a notebook's cell twice gives.
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
            if other is not None and _identity(other) != _identity(item):
                raise ConfigurationError(
                    f"{self.kind} name {key!r} is taken by {_identity(other)}; "
                    f"rename {_identity(item)}, or give it another name with register='...'"
                )
        # An older definition of the same thing is gone, with all its names.
        for key in [k for k, v in self._items.items() if _identity(v) == _identity(item)]:
            del self._items[key], self._canonical[key]
        for key in keys:
            self._items[key] = item
            self._canonical[key] = keys[0]

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
        """Get the canonical name of something, or None if it is not registered."""
        return next((self._canonical[k] for k, v in self._items.items() if v is item), None)


def _identity(item: Any) -> str:
    return f"{getattr(item, '__module__', '')}.{getattr(item, '__qualname__', repr(item))}"


def subclass_names(
    cls: type, names: Iterable[str], register: str | bool | None, abstract: bool
) -> list[str]:
    """Get the names that a subclass is to be registered under.

    Parameters
    ----------
    cls : type
        The new class.
    names : iterable of str
        Its short names, the canonical one first.
    register : str or bool or None
        A string replaces the class name; False registers nothing.
    abstract : bool
        Abstract bases are not registered.

    Returns
    -------
    list of str
        Short names first, the lower-case class name last; possibly empty.
    """
    if abstract or register is False:
        return []
    own = register if isinstance(register, str) else cls.__name__
    return list(dict.fromkeys([*(name.lower() for name in names), own.lower()]))
