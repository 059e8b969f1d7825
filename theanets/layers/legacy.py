"""What custom layers that were written for earlier versions use; a base of `Layer`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from ..errors import check_keywords, deprecated
from .signals import Inputs, Shape


class Keywords(dict[str, Any]):
    """Keywords that a layer was made with, and which of them were looked at."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seen: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.seen.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """Get the value of a keyword."""
        self.seen.add(key)
        return super().get(key, default)

    def __iter__(self) -> Iterator[str]:
        self.seen.update(super().__iter__())
        return super().__iter__()

    def __contains__(self, key: object) -> bool:
        self.seen.add(str(key))
        return super().__contains__(key)


class Draws(np.random.Generator):
    """A generator that has the names of NumPy's older one, too."""

    def randn(self, *shape: int) -> Any:
        """Draw standard normal numbers."""
        return self.standard_normal(shape or None)

    def rand(self, *shape: int) -> Any:
        """Draw numbers that are uniform in [0, 1)."""
        return self.random(shape or None)

    def randint(self, low: int, high: int | None = None, size: Any = None) -> Any:
        """Draw integers in [low, high), or in [0, low)."""
        return self.integers(low, high, size=size)


class Legacy:
    """The attributes of layers of earlier versions.

    Attributes
    ----------
    kwargs : dict
        The keywords that the layer was made with. Those that its class does
        not declare in ``options`` are accepted only if it looks at them here.
    """

    kwargs: Keywords
    name: str | None
    activation: Any
    input_names: list[str]
    input_shapes: list[Shape]
    output_shapes: dict[str, Shape]

    @property
    def activate(self) -> Any:
        """What the layer does to its pre-activation; deprecated, `activation`."""
        deprecated("self.activate is now self.activation")
        return self.activation

    @property
    def _input_shapes(self) -> dict[str, Shape]:
        deprecated("self._input_shapes is now self.input_shapes, a list in the order of inputs")
        return dict(zip(self.input_names, self.input_shapes, strict=True))

    @property
    def _output_shapes(self) -> dict[str, Shape]:
        deprecated("self._output_shapes is now what resolve_outputs() returns")
        return self.output_shapes

    def _only_input(self, inputs: Inputs) -> Any:
        deprecated("self._only_input(inputs) is now inputs.only")
        return inputs.only

    def _fmt(self, name: str) -> str:
        deprecated("self.add_param(name, value) makes a parameter that has the layer's name in its")
        return f"{self.name}.{name}" if "{" not in name else name.format(self.name)

    def check_seen(self, valid: Mapping[str, Any]) -> None:
        """Refuse keywords that nobody looked at; called when the layer was set up and used.

        Raises
        ------
        ConfigurationError
            Names the nearest of those that were looked for.
        """
        unseen = dict.keys(self.kwargs) - self.kwargs.seen - set(valid)
        check_keywords(f"layer {self.name!r}", unseen, {*valid, *self.kwargs.seen})


def looks_at_keywords(cls: type) -> bool:
    """Tell whether a class has code that mentions ``self.kwargs``."""
    return any(
        "kwargs" in code.co_names
        for base in cls.__mro__
        if not base.__module__.startswith(f"{__name__.partition('.')[0]}.")
        for code in _code(base)
    )


def _code(cls: type) -> Iterator[CodeType]:
    stack = [
        function.__code__
        for value in vars(cls).values()
        for function in (getattr(value, "__func__", value), getattr(value, "fget", None))
        if isinstance(function, FunctionType)
    ]
    while stack:
        code = stack.pop()
        yield code
        stack += [one for one in code.co_consts if isinstance(one, CodeType)]
