"""Activation functions: what a layer does to its pre-activation.

An activation is given to a layer by name (``activation='tanh'``), as names
joined by ``'+'`` that are applied from left to right (``'tanh+relu'``), as an
`Activation` instance, or as any callable that maps an expression to an
expression.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad
from pytensor.tensor.special import softmax as _softmax

from .errors import ConfigurationError, unknown
from .registry import Registered, Registry

if TYPE_CHECKING:
    from .layers.base import Layer

#: Added to a variance or a maximum before it divides.
EPSILON = 1e-7


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

    Notes
    -----
    A layer that is given an instance uses a copy, since the parameters are
    the layer's.
    """

    registry: ClassVar[Registry[Callable[..., Any]]] = Registry("activation")
    #: How many entries of the pre-activation make one of the output.
    width: int = 1

    def __init__(self, name: str | None = None) -> None:
        self.name = name or type(self).__name__.lower()

    def setup(self, layer: Layer, prefix: str = "") -> None:
        """Create parameters, if any, with ``layer.add_param(prefix + name, value)``."""

    def copy(self) -> Activation:
        """Get an activation like this one, to be set up for another layer."""
        return copy.copy(self)

    def __call__(self, x: Any) -> Any:
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

    def __call__(self, x: Any) -> Any:
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
            part.setup(layer, prefix if plain else f"{prefix}{i}_")
            plain = plain and isinstance(part, Function)

    def copy(self) -> Compose:
        """Get a composition of copies."""
        return Compose([part.copy() for part in self.parts])

    def __call__(self, x: Any) -> Any:
        """Get the expression for the activation of ``x``."""
        for part in self.parts:
            x = part(x)
        return x


def _named(*names: str) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    def register(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        Activation.registry.register(function, *names)
        return function

    return register


@_named("linear")
def linear(x: Any) -> Any:
    """``x``."""
    return x


@_named("logistic", "sigmoid")
def logistic(x: Any) -> Any:
    """``1 / (1 + exp(-x))``."""
    return pt.sigmoid(x)


@_named("tanh")
def tanh(x: Any) -> Any:
    """``tanh(x)``."""
    return pt.tanh(x)


@_named("softmax")
def softmax(x: Any) -> Any:
    """``exp(x) / sum(exp(x))`` over the last axis."""
    return _softmax(x, axis=-1)


@_named("softplus")
def softplus(x: Any) -> Any:
    """``log(1 + exp(x))``."""
    return pt.softplus(x)


@_named("relu", "rect:max")
def relu(x: Any) -> Any:
    """``max(0, x)``, with gradient 0 at 0."""
    # A NaN has to pass, or a diverged network would look healthy.
    return pt.switch(_fixed(x) <= 0, 0, x)


@_named("rect:min")
def rect_min(x: Any) -> Any:
    """``min(1, x)``, with gradient 0 at 1."""
    return pt.switch(_fixed(x) >= 1, 1, x)


@_named("rect:minmax")
def rect_minmax(x: Any) -> Any:
    """``min(1, max(0, x))``, with gradient 0 at 0 and 1."""
    return rect_min(relu(x))


@_named("norm:mean", "norm:dc")
def norm_mean(x: Any) -> Any:
    """``x - mean(x)`` over the last axis."""
    return x - x.mean(axis=-1, keepdims=True)


@_named("norm:max")
def norm_max(x: Any) -> Any:
    """``x / max(|x|)`` over the last axis."""
    return x / pt.maximum(pt.abs(x).max(axis=-1, keepdims=True), _constant(EPSILON, x))


@_named("norm:std")
def norm_std(x: Any) -> Any:
    """``x / sqrt(var(x) + epsilon)`` over the last axis."""
    variance = pt.sqr(norm_mean(x)).mean(axis=-1, keepdims=True)
    return x / pt.sqrt(variance + _constant(EPSILON, x))


@_named("norm:z")
def norm_z(x: Any) -> Any:
    """``(x - mean(x)) / sqrt(var(x) + epsilon)`` over the last axis."""
    return norm_std(norm_mean(x))


class Prelu(Activation, names=("prelu", "leaky-relu")):
    """``x`` for positive values, ``leak * x`` otherwise; one trained leak per unit.

    The leak starts at 0.25 (He et al. 2015, "Delving deep into rectifiers").
    """

    def setup(self, layer: Layer, prefix: str = "") -> None:
        """Create ``leak``, of shape (units,)."""
        self.leak = layer.add_param(f"{prefix}leak", np.full(layer.output_size, 0.25))

    def __call__(self, x: Any) -> Any:
        """Get the expression for the activation of ``x``."""
        return pt.switch(_fixed(x) <= 0, self.leak * x, x)


class LGrelu(Activation, names=("lgrelu", "leaky-gain-relu")):
    """``gain * x`` for positive values, ``leak * x`` otherwise, both trained per unit.

    They start at 1 and 0.25.
    """

    def setup(self, layer: Layer, prefix: str = "") -> None:
        """Create ``gain`` and ``leak``, of shape (units,)."""
        self.gain = layer.add_param(f"{prefix}gain", np.ones(layer.output_size))
        self.leak = layer.add_param(f"{prefix}leak", np.full(layer.output_size, 0.25))

    def __call__(self, x: Any) -> Any:
        """Get the expression for the activation of ``x``."""
        return pt.switch(_fixed(x) <= 0, self.leak * x, self.gain * x)


class Elu(Activation):
    """``x`` for positive values, ``gain * (exp(x) - 1)`` otherwise, with a trained gain.

    The gain of each unit starts at 1 (Clevert et al. 2016, "Fast and accurate
    deep network learning by exponential linear units").
    """

    def setup(self, layer: Layer, prefix: str = "") -> None:
        """Create ``gain``, of shape (units,)."""
        self.gain = layer.add_param(f"{prefix}gain", np.ones(layer.output_size))

    def __call__(self, x: Any) -> Any:
        """Get the expression for the activation of ``x``."""
        # The branch that is not taken is computed too: it may not overflow.
        negative = _fixed(x) <= 0
        return pt.switch(negative, self.gain * pt.expm1(pt.switch(negative, x, 0)), x)


class Maxout(Activation):
    """``max_k(slope_k * x + intercept_k)``, with ``pieces`` trained lines per unit.

    Parameters
    ----------
    pieces : int
        How many lines; ``'maxout:3'`` asks for three. The slopes start at
        different values around 1, so that the pieces are not twins.

    References
    ----------
    Goodfellow et al. 2013, "Maxout networks".
    """

    def __init__(self, pieces: int) -> None:
        if pieces < 1:
            raise ConfigurationError(f"maxout:{pieces} needs at least one piece")
        super().__init__(f"maxout:{pieces}")
        self.pieces = pieces

    def setup(self, layer: Layer, prefix: str = "") -> None:
        """Create ``slope`` and ``intercept``, of shape (units, pieces)."""
        shape = (layer.output_size, self.pieces)
        slope = layer.rng.normal(1.0, 0.5, size=shape)
        self.slope = layer.add_param(f"{prefix}slope", slope)
        self.intercept = layer.add_param(f"{prefix}intercept", np.zeros(shape))

    def __call__(self, x: Any) -> Any:
        """Get the expression for the activation of ``x``."""
        return (x[..., None] * self.slope + self.intercept).max(axis=-1)


def _constant(value: float, like: Any) -> Any:
    return pt.as_tensor(np.asarray(value, dtype=like.dtype))


def _fixed(x: Any) -> Any:
    # What is compared: the gradient of a comparison is a zero of the configured
    # floatX, which makes a gradient that a user takes float64.
    return disconnected_grad(x)


def is_activation(value: object) -> bool:
    """Tell whether something is an activation, or names one, compositions included."""
    if isinstance(value, type):
        return issubclass(value, Activation)
    if not isinstance(value, str):
        return isinstance(value, Activation)
    heads = [part.strip().lower() for part in value.split("+")]
    return all(h in Activation.registry or h.partition(":")[0] == "maxout" for h in heads)


def build(spec: str | Activation | type[Activation] | Callable[[Any], Any] | None) -> Activation:
    """Build an activation from its specification.

    Parameters
    ----------
    spec : str, Activation, class, callable or None
        None is ``'linear'``. Names are case-insensitive. An instance is copied.

    Returns
    -------
    Activation

    Raises
    ------
    ConfigurationError
        If the name is unknown, or ``spec`` is none of these.
    """
    if spec is None:
        spec = "linear"
    if isinstance(spec, Activation):
        return spec.copy()
    if isinstance(spec, type) and issubclass(spec, Activation):
        return spec()
    if not isinstance(spec, str):
        if callable(spec) and not isinstance(spec, type):
            return Function(spec)
        raise ConfigurationError(
            f"activation={spec!r} is neither a name, an Activation nor a callable"
        )
    parts = [part.strip().lower() for part in spec.split("+")]
    if len(parts) > 1:
        return Compose([build(part) for part in parts])
    name, _, argument = parts[0].partition(":")
    if name == "maxout":
        if not argument.isdigit():
            raise ConfigurationError(f"activation={spec!r} needs a number of pieces: 'maxout:2'")
        return Maxout(int(argument))
    if parts[0] not in Activation.registry:
        raise unknown("activation", spec, [*Activation.registry.names(), "maxout:k"])
    found = Activation.registry[parts[0]]
    if not isinstance(found, type):
        return Function(found, parts[0])
    made = found()
    made.name = parts[0]
    return made


def to_spec(activation: Activation) -> str | Activation | Callable[[Any], Any]:
    """Get what builds an activation again: its name, where a name says it all."""
    name, registry = activation.name, Activation.registry
    if isinstance(activation, Compose):
        known = all(isinstance(to_spec(part), str) for part in activation.parts)
        return name if known else activation
    if isinstance(activation, Function):
        known = name in registry and registry[name] is activation.function
        return name if known else activation.function
    # An instance of a class with a constructor of its own may differ from the default.
    plain = type(activation).__init__ is Activation.__init__
    known = plain and name in registry and registry[name] is type(activation)
    return name if known or isinstance(activation, Maxout) else activation


def is_softmax(activation: Activation) -> bool:
    """Tell whether an activation is our softmax, over the last axis."""
    return isinstance(activation, Function) and activation.function is softmax


def is_logistic(activation: Activation) -> bool:
    """Tell whether an activation is our logistic function."""
    return isinstance(activation, Function) and activation.function is logistic
