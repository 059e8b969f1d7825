"""Regularizers from the keywords of ``train``, ``predict`` and the like."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .. import names as _names
from ..errors import ConfigurationError
from ..layers import Input, Layer
from .base import Regularizer
from .noise import BernoulliDropout, GaussianNoise, Noise
from .penalties import hidden_outputs

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

        - a penalty by name, ``weight_l2=0.1``: a number, a dict with
          ``weight``, ``pattern`` and options of the penalty, or a dict from
          patterns to strengths;
        - ``input_noise``, ``hidden_noise``, ``output_noise`` (a standard
          deviation) and ``input_dropout``, ``hidden_dropout``,
          ``output_dropout`` (a probability);
        - ``noise``, ``dropout``: a number for all inputs and hidden outputs,
          or a dict from patterns to numbers;
        - ``regularizers``: a list of `Regularizer` instances or dicts with
          ``form``, or a dict like these keywords;
        - ``penalty_scale`` (alias ``reg_lambda``): one strength that
          multiplies all penalties.

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
    found: list[Regularizer] = []
    scale = kwargs.pop("penalty_scale", None)
    other = kwargs.pop("reg_lambda", None)
    if scale is not None and other is not None:
        raise ConfigurationError("penalty_scale and reg_lambda are the same; give one of them")
    scale = 1.0 if scale is None and other is None else (other if scale is None else scale)
    if not isinstance(scale, (int, float)) or not 0 <= scale < float("inf"):
        raise ConfigurationError(f"penalty_scale={scale!r} is not a number of at least 0")
    for key, value in kwargs.items():
        if value is None:
            continue
        if key == "regularizers":
            found.extend(_from_regularizers(layers, value))
            continue
        if key in _DEPRECATED:
            warnings.warn(f"{key}= is now {_DEPRECATED[key]}=", DeprecationWarning, stacklevel=3)
            key = _DEPRECATED[key]
        found.extend(_from_keyword(layers, key, value))
    found = [r for r in found if r.weight != 0]
    outputs = [f"{layer.name}:{o}" for layer in layers for o in layer.output_shapes]
    for regularizer in found:
        if isinstance(regularizer, Noise):
            _names.match_some("output", regularizer.pattern or "*", outputs)
    return found, float(scale)


def _from_regularizers(layers: Sequence[Layer], value: Any) -> list[Regularizer]:
    if isinstance(value, Mapping):
        return [r for k, v in value.items() for r in _from_keyword(layers, k, v)]
    if isinstance(value, Regularizer):
        return [value]
    if not isinstance(value, Iterable) or isinstance(value, str):
        raise ConfigurationError(f"regularizers={value!r} is neither a list nor a dict")
    found: list[Regularizer] = []
    for item in value:
        if isinstance(item, Regularizer):
            found.append(item)
        elif isinstance(item, Mapping) and "form" in item:
            options = dict(item)
            found.append(Regularizer.build(options.pop("form"), **options))
        else:
            raise ConfigurationError(
                f"regularizers: {item!r} is neither a Regularizer nor a dict with 'form'"
            )
    return found


def _from_keyword(layers: Sequence[Layer], key: str, value: Any) -> list[Regularizer]:
    where, _, kind = key.rpartition("_")
    if kind in _NOISES and where in _PLACES:
        return _noises(_NOISES[kind], key, value, _PLACES[where](layers))
    if key in _NOISES:
        default = [*_inputs(layers), *hidden_outputs(layers)]
        return _noises(_NOISES[key], key, value, default)
    form = Regularizer.registry[key]
    if not isinstance(value, Mapping):
        return [form(value)]
    if set(value) <= {*_OPTIONS, *form.options}:
        return [form(**value)]
    return [form(strength, pattern) for pattern, strength in value.items()]


def _noises(form: type[Noise], key: str, value: Any, default: list[str]) -> list[Regularizer]:
    if isinstance(value, Mapping) and not set(value) <= set(_OPTIONS):
        return [form(level, _patterns(pattern)) for pattern, level in value.items()]
    options = dict(value) if isinstance(value, Mapping) else {"weight": value}
    pattern = options.get("pattern")
    chosen = default if pattern is None else _patterns(pattern)
    made = form(options.get("weight", 0.0), chosen)
    if made.weight and not chosen:
        raise ConfigurationError(f"{key}={value!r}: the network has no such layer")
    return [made]


def _patterns(pattern: str | Iterable[str]) -> list[str]:
    parts = [pattern] if isinstance(pattern, str) else list(pattern)
    return [_names.output_name(p) for part in parts for p in part.replace(",", " ").split()]


def _inputs(layers: Sequence[Layer]) -> list[str]:
    return [layer.output_name for layer in layers if isinstance(layer, Input)]


def _ends(layers: Sequence[Layer]) -> list[str]:
    neither = {*_inputs(layers), *hidden_outputs(layers)}
    return [layer.output_name for layer in layers if layer.output_name not in neither]


_PLACES: dict[str, Callable[[Sequence[Layer]], list[str]]] = {
    "input": _inputs,
    "hidden": hidden_outputs,
    "output": _ends,
}
_NOISE_NAMES = {"noise", "dropout", "gaussiannoise", "bernoullidropout"}
