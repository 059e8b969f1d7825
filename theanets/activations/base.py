"""The base of activations, and what those of this package share."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad

from ..errors import ConfigurationError, check_keywords
from ..expressions import Expression
from ..registry import Registered, Registry

if TYPE_CHECKING:
    from ..layers.base import Layer

#: The least and the greatest number of something; None for a number that has no limit.
Limits: TypeAlias = tuple[float | None, float | None]


class Activation(Registered, abstract=True):
    """Base class of activations.

    A subclass is registered under its lower-case class name, so that
    ``activation='myname'`` finds it; ``class A(Activation, names=('x',))``
    adds aliases, ``register=False`` keeps it private. It overrides
    ``__call__``, and `setup` if it has parameters. ::

        class Gate(theanets.Activation):
            def setup(self, layer, prefix=''):
                ones = numpy.ones(layer.output_size)
                self.beta = layer.add_param(prefix + 'beta', ones)

            def __call__(self, x):
                return x * pt.sigmoid(self.beta * x)

        net = theanets.Regressor([10, (20, 'gate'), 3])

    Parameters
    ----------
    name : str, optional
        How the activation is called in specifications.

    Attributes
    ----------
    name : str
        The specification that builds this activation again.
    layer : Layer or None
        The layer that it belongs to.
    params : list
        Its parameters.

    Notes
    -----
    A layer that is given an instance uses a copy, since the parameters are
    the layer's.
    """

    registry: ClassVar[Registry[Callable[..., Any]]] = Registry("activation")
    #: How many entries of the pre-activation make one of the output.
    width: int = 1

    def __init__(self, name: str | None = None, layer: Layer | None = None, **kwargs: Any) -> None:
        self.name = name or type(self).__name__.lower()
        self.layer = layer
        self.kwargs = kwargs
        self.params: list[Any] = []
        if layer is None:
            check_keywords(f"activation {self.name!r}", kwargs, ["name"])

    @classmethod
    def build(cls, form: str, *args: Any, **kwargs: Any) -> Activation:
        """Build an activation by its registered name; see `theanets.activations.build`."""
        found = cls.registry[form]
        return found(*args, **kwargs) if isinstance(found, type) else Function(found, form)

    def attach(self, layer: Layer, prefix: str = "") -> None:
        """Make this the activation of a layer, with parameters if it has any; see `setup`."""
        before = set(layer.params)
        self.layer = layer
        self.setup(layer, prefix)
        self.params = [param for param in layer.params if param not in before]

    def setup(self, layer: Layer, prefix: str = "") -> None:
        """Create parameters, if any, with ``layer.add_param(prefix + name, value)``."""

    def copy(self) -> Activation:
        """Get an activation like this one, to be set up for another layer."""
        return copy.copy(self)

    def __call__(self, x: Expression) -> Expression:
        """Get the expression for the activation of ``x``."""
        raise TypeError(f"{type(self).__name__} does not define __call__(self, x)")

    def __repr__(self) -> str:
        return f"<activation {self.name}>"


class Function(Activation, abstract=True):
    """An activation without parameters, from a function of one expression.

    Parameters
    ----------
    function : callable
        Maps an expression to an expression.
    name : str, optional
        By default the name of the function.
    """

    def __init__(self, function: Callable[[Any], Any], name: str | None = None) -> None:
        super().__init__(name or getattr(function, "__name__", "callable"))
        self.function = function

    def __call__(self, x: Expression) -> Expression:
        """Get the expression for the activation of ``x``."""
        return self.function(x)


class Compose(Activation, abstract=True):
    """Several activations, applied one after the other."""

    def __init__(self, parts: list[Activation]) -> None:
        super().__init__("+".join(part.name for part in parts))
        self.parts = parts
        self.width = math.prod(part.width for part in parts)

    def setup(self, layer: Layer, prefix: str = "") -> None:
        """Create the parameters of all parts.

        All but the first part that may have some have its position in front
        of the names of theirs: ``'prelu+prelu'`` has ``leak`` and ``1_leak``.
        """
        plain = True
        for i, part in enumerate(self.parts):
            part.attach(layer, prefix if plain else f"{prefix}{i}_")
            plain = plain and isinstance(part, Function)

    def copy(self) -> Compose:
        """Get a composition of copies."""
        return Compose([part.copy() for part in self.parts])

    def __call__(self, x: Expression) -> Expression:
        """Get the expression for the activation of ``x``."""
        for part in self.parts:
            x = part(x)
        return x


class OfLayer(Activation, abstract=True):
    """An activation of a class whose constructor makes its parameters, as in earlier versions.

    There it gets the layer, ``cls(name=name, layer=layer)``, and appends
    shared variables to ``self.params``.

    Parameters
    ----------
    form : class
        The class.
    name : str
        The name that it was asked for by.
    """

    def __init__(self, form: type[Activation], name: str) -> None:
        super().__init__(name)
        self.form = form
        self.width = form.width
        self.made: Activation | None = None

    @staticmethod
    def applies(form: type[Activation]) -> bool:
        """Tell whether the constructor of a class takes a name and a layer."""
        if form.__init__ is Activation.__init__:
            return False
        try:
            inspect.signature(form).bind(name="", layer=None)
        except TypeError:
            return False
        return True

    def setup(self, layer: Layer, prefix: str = "") -> None:
        """Make the activation; its parameters become the layer's, of the layer's type."""
        made = self.form(name=self.name, layer=layer)
        for old in made.params:
            attributes = [key for key, value in vars(made).items() if value is old]
            name = (old.name or "").rpartition(".")[2] or (attributes or ["param"])[0]
            new = layer.add_param(prefix + name, old.get_value())
            vars(made).update(dict.fromkeys(attributes, new))
        self.made = made

    def copy(self) -> OfLayer:
        """Get one that is not made yet."""
        return OfLayer(self.form, self.name)

    def __call__(self, x: Expression) -> Expression:
        """Get the expression for the activation of ``x``."""
        if self.made is None:
            raise ConfigurationError(f"activation {self.name!r} has no layer yet")
        return self.made(x)


#: The least and the greatest number that each of our functions and classes can give.
LIMITS: dict[Any, Limits] = {}


def named(
    *names: str, low: float | None = None, high: float | None = None
) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Register a function of one expression, whose numbers have limits, as an activation."""

    def register(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        Activation.registry.register(function, *names)
        LIMITS[function] = (low, high)
        return function

    return register


def constant(value: float, like: Expression) -> Expression:
    """Get a number as an expression of the type of another."""
    return pt.as_tensor(np.asarray(value, dtype=like.dtype))


def fixed(x: Expression) -> Expression:
    """Get what may be compared.

    The gradient of a comparison is a zero of the configured floatX, which makes
    a gradient that a user takes float64.
    """
    return disconnected_grad(x)
