"""What custom layers that were written for earlier versions use; a base of `Layer`.

Here live the names that such layers call on ``self`` (`Legacy`), the keywords
they look at (`Keywords`), the parameters they append to (`Params`), the generator
they draw from (`Draws`), and how it is found out what outputs they have where they
declare none. Layers of the package call none of it by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConfigurationError, check_keywords, deprecated
from ..expressions import Expression, Shared, placeholder
from ..names import split_output
from ..registry import is_ours
from ..rng import shared_rng
from .signals import Inputs, Shape, named_outputs

if TYPE_CHECKING:
    from .base import Layer

#: What the names of our own modules begin with.


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


class Params(dict[str, Any]):
    """Parameters of a layer by name, to which earlier versions appended shared variables.

    Parameters
    ----------
    layer : Legacy
        The layer.
    """

    def __init__(self, layer: Legacy) -> None:
        super().__init__()
        self._layer = layer

    def append(self, variable: Shared) -> None:
        """Add a shared variable; deprecated.

        Raises
        ------
        ConfigurationError
            If its name or type is not one for the layer, or the name is taken.
        """
        deprecated("self._params.append(variable) is now self.add_param(name, value)")
        layer, (owner, _, name) = self._layer, str(variable.name).partition(".")
        if owner != layer.name or not name or name in self or variable.dtype != layer.dtype:
            raise ConfigurationError(
                f"layer {layer.name!r}: parameter {variable.name!r} of type {variable.dtype} is "
                f"not one called '{layer.name}.<name>' of type {layer.dtype}, of a name of its "
                "own; self.add_param(name, value) makes those"
            )
        self[name] = variable


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
    dtype: str
    layers: Mapping[str, Layer]
    input_names: list[str]
    input_shapes: list[Shape]
    output_shapes: dict[str, Shape]

    def transform(self, inputs: Inputs) -> Expression | dict[str, Expression]:
        """Map inputs to outputs; see `Layer.transform`."""
        raise NotImplementedError

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

    def _only_input(self, inputs: Inputs) -> Expression:
        deprecated("self._only_input(inputs) is now inputs.only")
        return inputs.only

    def _scan(self, *args: Any, **kwargs: Any) -> Any:
        raise ConfigurationError(
            f"layer {self.name!r}: there is no _scan any more; use a layer 'cell', whose step is a "
            "function of yours, or pytensor.scan in transform"
        )

    def _fmt(self, name: str) -> str:
        deprecated("self.add_param(name, value) makes a parameter that has the layer's name in its")
        return f"{self.name}.{name}" if "{" not in name else name.format(self.name)

    def transforms_otherwise(self) -> bool:
        """Tell whether a class of the user's has a transform for which no outputs are declared."""
        for base in type(self).__mro__:
            if "resolve_outputs" in vars(base):
                return False
            if "transform" in vars(base):
                return not is_ours(base)
        return False

    def found_outputs(self) -> dict[str, Shape]:
        """Get the shapes of the outputs that transform returns, by trying it."""
        values = {
            name: placeholder(name, self._dtype_of(name), (None, *shape))
            for name, shape in zip(self.input_names, self.input_shapes, strict=True)
        }
        inputs = Inputs(values, order=self.input_names)
        inputs.generator = lambda what: shared_rng(np.random.default_rng(0), what)
        made = named_outputs(
            self.transform(inputs), str(self.name), self.output_shapes, self.dtype, {}, tried=True
        )
        outputs = {key.partition(":")[2]: tuple(x.type.shape[1:]) for key, x in made.items()}
        return {key: self.output_shapes.get(key, shape) for key, shape in outputs.items()}

    def _dtype_of(self, name: str) -> str:
        source = self.layers[split_output(name)[0]]
        # Symbols and lengths are integers.
        return str(source.variable.dtype) if hasattr(source, "variable") else self.dtype

    def check_seen(self, valid: Mapping[str, Any]) -> None:
        """Refuse keywords that nobody looked at; called when the layer was set up and used.

        Raises
        ------
        ConfigurationError
            Names the nearest of those that were looked for.
        """
        unseen = dict.keys(self.kwargs) - self.kwargs.seen - set(valid)
        check_keywords(f"layer {self.name!r}", unseen, {*valid, *self.kwargs.seen})


@lru_cache(1024)
def looks_at_keywords(cls: type) -> bool:
    """Tell whether a class has code that mentions ``self.kwargs``."""
    return any(
        "kwargs" in code.co_names
        for base in cls.__mro__
        if not is_ours(base)
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
