"""What layers of earlier versions computed, in terms of ours.

Ours have the formulas of the literature. Where earlier versions computed
something else, the trained parameters rely on that: an option of the layer
asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import FileError

#: Activations whose parameters were logarithms of slopes in 0.8.
SLOPES = {"prelu": ("leak",), "leaky-relu": ("leak",), "elu": ("gain",)} | dict.fromkeys(
    ("lgrelu", "leaky-gain-relu"), ("leak", "gain")
)
#: Forms that do not apply an activation of the user's.
FIXED = ("input", "concatenate", "product", "flatten", "reshape", "lstm", "mut1")
#: Options that name initial states.
STATES = ("h_0", "c_0", "s_0")
#: Options of a bidirectional layer that are the same for both halves.
SHARED = ("last", "lengths", "bptt_limit", "zoneout")
#: Names of forms that have a short one too.
LONG = {
    "ff": "feedforward",
    "softmax": "classifier",
    "flat": "flatten",
    "concat": "concatenate",
    "prod": "product",
}


@dataclass
class OldLayer:
    """A layer of an earlier version.

    Attributes
    ----------
    name : str
        Its name.
    form : str
        What it is called in a specification.
    options : dict
        The other keywords of its specification.
    params : dict of str to ndarray
        Its parameters by short name.
    late : bool
        Whether it is of version 0.8, not earlier.
    fixed : dict
        What is not trained: ``rates``, by unit, and ``mask``, as far as they
        are known.
    halves : list of OldLayer
        The two of a bidirectional layer.
    """

    name: str
    form: str
    options: dict[str, Any] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    late: bool = True
    fixed: dict[str, Any] = field(default_factory=dict)
    halves: list[OldLayer] = field(default_factory=list)

    @property
    def size(self) -> int:
        """How many units it has."""
        return int(self.options["size"])


def renew(layer: OldLayer) -> tuple[dict[str, Any], dict[str, Any]]:
    """Get a layer of ours that computes the same.

    Parameters
    ----------
    layer : OldLayer
        The layer; it is changed.

    Returns
    -------
    spec : dict
        Specification of the layer.
    arrays : dict of str to ndarray
        Its parameters by full name.

    Raises
    ------
    FileError
        If no layer of ours can compute the same.
    """
    form = LONG.get(layer.form, layer.form)
    _check_states(layer)
    _slopes(layer)
    RENEWALS.get(form, _same)(layer)
    layer.form = {"lrrnn": "rrnn", "arrnn": "rrnn"}.get(form, form)
    if form in FIXED:
        layer.options.pop("activation", None)
    spec = {"form": layer.form, "name": layer.name, **layer.options}
    if layer.halves:
        return spec, {k: v for half in layer.halves for k, v in _named(half).items()}
    return spec, _named(layer)


def _named(layer: OldLayer) -> dict[str, Any]:
    return {f"{layer.name}.{key}": value for key, value in layer.params.items()}


def _refuse(layer: OldLayer, why: str) -> FileError:
    return FileError(f"layer {layer.name!r} ({layer.form}): {why}")


def _check_states(layer: OldLayer) -> None:
    if layer.form in ("clockwork", "bcrnn") and layer.options.get("h_0") is not None:
        raise _refuse(
            layer, "its h_0 was the initial pre-activation too, which no layer here can have"
        )


def _slopes(layer: OldLayer) -> None:
    if not layer.late:
        return
    for name in SLOPES.get(str(layer.options.get("activation")).lower(), ()):
        if name in layer.params:
            layer.params[name] = np.exp(layer.params[name])


def _same(layer: OldLayer) -> None:
    """Leave a layer that computes what ours does."""


def _join(layer: OldLayer, name: str, parts: tuple[str, ...]) -> None:
    """Put parameters side by side, if they are separate."""
    if parts[0] in layer.params:
        values = [layer.params.pop(part) for part in parts]
        layer.params[name] = np.concatenate(values, axis=-1)


def _gru(layer: OldLayer) -> None:
    _join(layer, "w", ("xh", "xr", "xz"))
    _join(layer, "b", ("bh", "br", "bz"))


def _mut1(layer: OldLayer) -> None:
    layer.options["inner_bias"] = True


def _rates(layer: OldLayer, trained: tuple[str, ...]) -> None:
    """Take the rates that were drawn, of which a file of arrays knows nothing."""
    rate = layer.options.get("rate")
    if rate is None or rate in trained:
        return
    if "rates" not in layer.fixed:
        raise _refuse(layer, f"the file does not hold the rates of rate={rate!r}")
    layer.options["rates"] = [float(r) for r in layer.fixed["rates"]]


def _rrnn(layer: OldLayer) -> None:
    _rates(layer, ("matrix", "vector"))


def _rrnn_of_06(layer: OldLayer) -> None:
    """Turn the rates round: they were of what stays."""
    layer.options["rate"] = "vector" if layer.form == "lrrnn" else "matrix"
    for name in {"r", "xr"} & set(layer.params):
        layer.params[name] = -layer.params[name]


def _scrn(layer: OldLayer) -> None:
    """Give the context as many units as the layer has, and the activation its place."""
    layer.options["context_size"] = layer.size
    if "xs" in layer.params:
        _join(layer, "w", ("xh", "xs"))
    else:
        # The hidden state had the activation, and the output none.
        layer.options["hidden"] = layer.options.get("activation", "relu")
        layer.options["activation"] = "linear"
    _rates(layer, ("vector",))


def _clockwork(layer: OldLayer) -> None:
    """Tell whether the first units are the slowest, as before 0.8."""
    mask = layer.fixed.get("mask")
    if mask is None:
        layer.options["descending"] = not layer.late
    else:
        layer.options["descending"] = bool(mask[-1, 0] == 0 and mask[0, -1] != 0)
    if "back" in str(layer.options.get("direction")).lower():
        raise _refuse(layer, "a backward one counted from the last step, which none here does")


def _bcrnn(layer: OldLayer) -> None:
    modules = int(layer.options["num_modules"])
    rates = layer.fixed.get("rates")
    if rates is None:
        rates = 1 - np.logspace(-1e-4, -6, modules)
    elif len(rates) == layer.size:
        rates = rates[:: layer.size // modules]
    layer.options["rates"] = [float(r) for r in rates]


def _conv1(layer: OldLayer) -> None:
    if not isinstance(layer.options.get("border_mode", "valid"), str):
        raise _refuse(
            layer, f"border_mode={layer.options['border_mode']!r} gave the bias everywhere"
        )


def _pool(layer: OldLayer) -> None:
    raise _refuse(layer, "this form could not be run")


def _bidirectional(layer: OldLayer) -> None:
    """Make the halves, whose outputs were not about the same steps."""
    first = layer.halves[0]
    for half in layer.halves:
        if half.form == "clockwork":
            raise _refuse(half, "the backward half counted from the last step")
        if half.fixed.get("rates") is not None and half.form in ("rrnn", "scrn"):
            # The halves have rates of their own, which one specification cannot say.
            rates = np.clip(half.fixed.pop("rates"), 1e-7, 1 - 1e-7)
            half.params["r"] = np.log(rates) - np.log1p(-rates)
            half.options["rate"] = "vector"
    workers = [renew(half)[0] for half in layer.halves]
    size = 2 * first.size
    for state in STATES:
        # Both halves had a state of their own of the same name.
        if any(worker.get(state) is not None for worker in workers):
            layer.options[state] = tuple(worker[state] for worker in workers)
    layer.options.update({k: workers[0][k] for k in SHARED if workers[0].get(k) is not None})
    said = {"name", "size", "shape", "inputs", "direction", "stateful", *STATES, *SHARED}
    layer.options.pop("activation", None)
    worker = {k: v for k, v in workers[0].items() if k not in said}
    layer.options.update(worker=worker, size=size, aligned=False)


RENEWALS: Mapping[str, Callable[[OldLayer], None]] = {
    "gru": _gru,
    "mut1": _mut1,
    "rrnn": _rrnn,
    "lrrnn": _rrnn_of_06,
    "arrnn": _rrnn_of_06,
    "scrn": _scrn,
    "clockwork": _clockwork,
    "bcrnn": _bcrnn,
    "conv1": _conv1,
    "pool1": _pool,
    "pool2": _pool,
    "bidirectional": _bidirectional,
}

__all__ = ["OldLayer", "renew"]
