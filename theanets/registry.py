"""Registries: case-insensitive names for classes and functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Generic, TypeVar

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
            if other is not None and not same_definition(other, item):
                raise ConfigurationError(
                    f"{self.kind} name {key!r} is taken by {_identity(other)}; "
                    f"rename {_identity(item)}, or give it another name with register='...'"
                )
        # An older definition of the same thing is gone, with all its names.
        self.forget(item)
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

    def __init_subclass__(
        cls,
        names: Iterable[str] = (),
        register: str | bool | None = None,
        abstract: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)
        if abstract or register is False:
            if hasattr(cls, "registry"):
                cls.registry.forget(cls)
        else:
            own = register if isinstance(register, str) else cls.__name__
            found = [*(name.lower() for name in names), own.lower()]
            cls.registry.register(cls, *dict.fromkeys(found))
