"""Activation functions: what a layer does to its pre-activation.

An activation is given to a layer by name (``activation='tanh'``), as names
joined by ``'+'`` that are applied from left to right (``'tanh+relu'``), as an
`Activation` instance, or as any callable that maps an expression to an
expression.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ConfigurationError, unknown
from ..registry import same_definition
from .base import LIMITS, Activation, Compose, Function, Limits, OfLayer
from .basic import (
    Elu,
    LGrelu,
    Maxout,
    Prelu,
    linear,
    logistic,
    norm_max,
    norm_mean,
    norm_std,
    norm_z,
    rect_min,
    rect_minmax,
    relu,
    softmax,
    softplus,
    tanh,
)
from .more import (
    GEGLU,
    GLU,
    SwiGLU,
    celu,
    gelu,
    gelu_tanh,
    hard_sigmoid,
    hard_tanh,
    log_softmax,
    mish,
    selu,
    silu,
    softsign,
    sparsemax,
)
from .numbered import NUMBERED, Numbered, numbered

#: Names that have a number, as examples.
PATTERNS = ("maxout:k", *(kind.example for kind in NUMBERED.values()))

__all__ = [
    "GEGLU",
    "GLU",
    "Activation",
    "Compose",
    "Elu",
    "Function",
    "LGrelu",
    "Maxout",
    "Numbered",
    "Prelu",
    "SwiGLU",
    "build",
    "celu",
    "gelu",
    "gelu_tanh",
    "hard_sigmoid",
    "hard_tanh",
    "is_activation",
    "is_logistic",
    "is_softmax",
    "limits",
    "linear",
    "log_softmax",
    "logistic",
    "mish",
    "norm_max",
    "norm_mean",
    "norm_std",
    "norm_z",
    "rect_min",
    "rect_minmax",
    "relu",
    "selu",
    "silu",
    "softmax",
    "softplus",
    "softsign",
    "sparsemax",
    "tanh",
    "to_spec",
]


def is_activation(value: object) -> bool:
    """Tell whether something is an activation, or names one, compositions included."""
    if isinstance(value, type):
        return issubclass(value, Activation)
    if not isinstance(value, str):
        return isinstance(value, Activation)
    heads = [part.strip().lower() for part in value.split("+")]
    known = ("maxout", *NUMBERED)
    return all(h in Activation.registry or h.partition(":")[0] in known for h in heads)


def build(
    spec: str | Activation | type[Activation] | Callable[[Any], Any] | None, layer: Any = None
) -> Activation:
    """Build an activation from its specification.

    Parameters
    ----------
    spec : str, Activation, class, callable or None
        None is ``'linear'``. Names are case-insensitive. An instance is copied.
    layer : Layer, optional
        A layer that gets the activation's parameters. Layers do that by themselves.

    Returns
    -------
    Activation

    Raises
    ------
    ConfigurationError
        If the name is unknown, or ``spec`` is none of these.
    """
    if layer is not None:
        built = build(spec)
        built.attach(layer)
        return built
    if spec is None:
        spec = "linear"
    if isinstance(spec, Activation):
        return spec.copy()
    if isinstance(spec, type) and issubclass(spec, Activation):
        return OfLayer(spec, spec.__name__.lower()) if OfLayer.applies(spec) else spec()
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
    if name in NUMBERED and parts[0] not in Activation.registry:
        return numbered(name, argument)
    if parts[0] not in Activation.registry:
        raise unknown("activation", spec, [*Activation.registry.names(), *PATTERNS])
    found = Activation.registry[parts[0]]
    if not isinstance(found, type):
        return Function(found, parts[0])
    if OfLayer.applies(found):
        return OfLayer(found, parts[0])
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
        known = name in registry and same_definition(registry[name], activation.function)
        return name if known else activation.function
    if isinstance(activation, OfLayer):
        known = name in registry and same_definition(registry[name], activation.form)
        return name if known else activation.form
    # An instance of a class with a constructor of its own may differ from the default.
    plain = type(activation).__init__ is Activation.__init__
    known = plain and name in registry and same_definition(registry[name], type(activation))
    return name if known or isinstance(activation, (Maxout, Numbered)) else activation


def limits(activation: Activation) -> Limits | None:
    """Get the least and the greatest number that an activation can give.

    None where nobody knows, as of an activation of the user's.
    """
    if isinstance(activation, Numbered):
        return activation.limits
    return LIMITS.get(activation.function if isinstance(activation, Function) else type(activation))


def is_softmax(activation: Activation) -> bool:
    """Tell whether an activation is our softmax, over the last axis."""
    return isinstance(activation, Function) and activation.function is softmax


def is_logistic(activation: Activation) -> bool:
    """Tell whether an activation is our logistic function."""
    return isinstance(activation, Function) and activation.function is logistic
