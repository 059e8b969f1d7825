"""Regularizers from the keywords of ``train``, ``predict`` and the like."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import names as _names
from ..errors import ConfigurationError, check_keywords, deprecated
from ..layers import Layer
from ..options import as_list, number
from .base import Regularizer
from .noise import BernoulliDropout, GaussianNoise, Noise
from .penalties import hidden_outputs, passed_on

_NOISES: dict[str, type[Noise]] = {"noise": GaussianNoise, "dropout": BernoulliDropout}
_DEPRECATED = {"input_dropouts": "input_dropout", "hidden_dropouts": "hidden_dropout"}
_OPTIONS = ("weight", "pattern")


def keywords() -> list[str]:
    """Get the keywords that make regularizers."""
    registered = [n for n in Regularizer.registry.names() if n not in _NOISE_NAMES]
    places = [f"{where}_{kind}" for kind in _NOISES for where in _PLACES]
    return [
        *registered,
        *places,
        *_NOISES,
        *_DEPRECATED,
        "regularizers",
        "penalty_scale",
        "reg_lambda",
    ]


def from_kwargs(layers: Sequence[Layer], **kwargs: Any) -> tuple[list[Regularizer], float]:
    """Make regularizers from keywords.

    Parameters
    ----------
    layers : list of Layer
        The layers of the network, bound.
    **kwargs
        Any of

        - a penalty or constraint by name, ``weight_l2=0.1``, ``max_norm=3``: a
          number, a dict with ``weight``, ``pattern`` and options of the
          penalty, or a dict from patterns to strengths;
        - ``input_noise``, ``hidden_noise``, ``output_noise`` (a standard
          deviation) and ``input_dropout``, ``hidden_dropout``,
          ``output_dropout`` (a probability);
        - ``noise``, ``dropout``: a number for all inputs and hidden outputs,
          or a dict from patterns to numbers;
        - ``regularizers``: a list of `Regularizer` instances or dicts with
          ``form``, or a dict like these keywords;
        - ``penalty_scale`` (alias ``reg_lambda``): one strength that
          multiplies all penalties, but neither noise nor constraints.

    Returns
    -------
    (regularizers, penalty_scale)
        Those of strength 0 are left out.

    Raises
    ------
    ConfigurationError
        If a value has no meaning for its keyword, or a pattern of a noise
        matches no output.
    """
    if not isinstance(layers, Sequence):
        deprecated("from_kwargs(net, ...) is now from_kwargs(net.layers, ...), which gives a pair")
        net: Any = layers
        alone: Any = from_kwargs(net.layers, **kwargs)[0]
        return alone
    found: list[Regularizer] = []
    scale = kwargs.pop("penalty_scale", None)
    other = kwargs.pop("reg_lambda", None)
    if scale is not None and other is not None:
        raise ConfigurationError("penalty_scale and reg_lambda are the same; give one of them")
    scale = 1.0 if scale is None and other is None else (other if scale is None else scale)
    scale = number("penalty_scale", scale, "nonnegative")
    for key, value in kwargs.items():
        if value is None:
            continue
        if key == "regularizers":
            found.extend(_from_regularizers(layers, value))
        else:
            found.extend(_from_keyword(layers, key, value))
    found = [_located(layers, r) for r in found if r.weight != 0]
    return found, scale


def _located(layers: Sequence[Layer], regularizer: Regularizer) -> Regularizer:
    """Give a noise its default pattern, and refuse one that matches no output."""
    if not isinstance(regularizer, Noise):
        return regularizer
    outputs = [f"{layer.name}:{o}" for layer in layers for o in layer.output_shapes]
    if regularizer.pattern is None:
        # A copy: the same instance may be used with another network.
        regularizer = copy.copy(regularizer)
        regularizer.pattern = [*_inputs(layers), *hidden_outputs(layers)]
    _names.match_some("output", _names.output_patterns(regularizer.pattern), outputs)
    return regularizer


def _from_regularizers(layers: Sequence[Layer], value: Any) -> list[Regularizer]:
    if isinstance(value, Mapping):
        return [r for k, v in value.items() for r in _from_keyword(layers, k, v)]
    if isinstance(value, Regularizer):
        return [value]
    items = as_list(value)
    if items is None:
        raise ConfigurationError(f"regularizers={value!r} is neither a list nor a dict")
    found: list[Regularizer] = []
    for item in items:
        if isinstance(item, Regularizer):
            found.append(item)
        elif isinstance(item, Mapping) and "form" in item:
            options = dict(_with_weight("regularizers", item))
            found.append(Regularizer.build(options.pop("form"), **options))
        else:
            raise ConfigurationError(
                f"regularizers: {item!r} is neither a Regularizer nor a dict with 'form'"
            )
    return found


def _from_keyword(layers: Sequence[Layer], key: str, value: Any) -> list[Regularizer]:
    if key in _DEPRECATED:
        deprecated(f"{key}= is now {_DEPRECATED[key]}=")
        key = _DEPRECATED[key]
    where, _, kind = str(key).rpartition("_")
    if kind in _NOISES and where in _PLACES:
        return _noises(_NOISES[kind], key, value, _PLACES[where](layers))
    if key in _NOISES:
        return _from_value(_NOISES[key], key, value)
    return _from_value(Regularizer.registry[key], key, value)


def _from_value(form: type[Regularizer], key: str, value: Any) -> list[Regularizer]:
    if not isinstance(value, Mapping):
        return [form(value)]
    options = {*_OPTIONS, *form.valid_options()}
    if not options & set(value):
        return [form(strength, pattern) for pattern, strength in value.items()]
    check_keywords(f"{key}={dict(value)!r}", set(value) - options, options)
    return [form(**_with_weight(key, value))]


def _with_weight(key: str, value: Mapping[str, Any]) -> Mapping[str, Any]:
    if "weight" not in value:
        raise ConfigurationError(f"{key}: {dict(value)!r} has no 'weight'")
    return value


def _noises(form: type[Noise], key: str, value: Any, default: list[str]) -> list[Regularizer]:
    found = _from_value(form, key, value)
    for made in found:
        if made.pattern is None:
            if made.weight and not default:
                raise ConfigurationError(f"{key}={value!r}: the network has no such layer")
            made.pattern = default
    return found


def _inputs(layers: Sequence[Layer]) -> list[str]:
    # Symbols and lengths are no quantities.
    found = [layer for layer in layers if layer.is_input]
    return [layer.output_name for layer in found if layer.variable.dtype.startswith("float")]


def _ends(layers: Sequence[Layer]) -> list[str]:
    neither = {*_inputs(layers), *hidden_outputs(layers), *passed_on(layers)}
    return [layer.output_name for layer in layers if layer.output_name not in neither]


_PLACES: dict[str, Callable[[Sequence[Layer]], list[str]]] = {
    "input": _inputs,
    "hidden": hidden_outputs,
    "output": _ends,
}
_NOISE_NAMES = {"noise", "dropout", "gaussiannoise", "bernoullidropout"}
