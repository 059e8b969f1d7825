"""Networks of earlier versions, from what their pickles hold or from ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .. import feedforward
from ..errors import FileError
from ..layers import Layer
from ..losses import Loss
from ..network import Network
from .forms import OldLayer
from .pickles import StandIn, array_of

#: Attributes and keywords of layers that are options of ours, too.
OPTIONS = ("h_0", "c_0", "s_0", "rate", "factors", "num_modules", "stride", "border_mode")
#: Forms with an activation of the user's.
ACTIVE = (
    *("feedforward", "tied", "conv1", "conv2", "rnn", "rrnn", "mrnn", "gru", "clockwork", "bcrnn"),
    "scrn",
)
#: Functions of activations, which a pickle has where nobody gave a name.
FUNCTIONS = {
    "_identity": "linear",
    "_relu": "relu",
    "_trel": "rect:min",
    "_rect": "rect:minmax",
    "_norm_mean": "norm:mean",
    "_norm_max": "norm:max",
    "_norm_std": "norm:std",
    "_norm_z": "norm:z",
    "_softmax": "softmax",
}


def is_network(read: Any) -> bool:
    """Tell whether what a pickle holds is a network."""
    return isinstance(read, StandIn) and (_layers(read) is not None)


def _layers(network: StandIn) -> list[Any] | None:
    # Since 0.7 a pair of layers and losses, before that all attributes.
    state = network.state
    found = state[0] if isinstance(state, tuple) and state else network.get("layers")
    return found if isinstance(found, list) else None


def old_layers(network: StandIn, late: bool | None) -> list[OldLayer]:
    """Get the layers of a pickled network.

    Parameters
    ----------
    network : StandIn
        The network.
    late : bool or None
        Whether it is of version 0.8; None to tell by its attributes.
    """
    layers = _layers(network) or []
    axes = {"recurrent": 3, "convolution": 4}.get(network.path.split(".")[-2], 2)
    found: list[OldLayer] = []
    for layer in layers:
        if not isinstance(layer, StandIn):
            raise FileError(f"a layer of the network is {layer!r}")
        old = _old_layer(layer, late, found[-1].name if found else None)
        if old.form == "input":
            old.options.setdefault("ndim", axes)
        found.append(old)
    return found


def _old_layer(layer: StandIn, late: bool | None, before: str | None) -> OldLayer:
    keywords: Mapping[str, Any] = layer.get("kwargs") or {}

    def find(name: str, default: Any = None) -> Any:
        return layer.get(name, keywords.get(name, default))

    shapes = layer.get("_output_shapes") or {}
    late = bool(shapes) if late is None else late
    name = _text(find("name"))
    old = OldLayer(name, layer.kind.lower(), late=late)
    options = old.options
    options.update({k: find(k) for k in OPTIONS if find(k) is not None})
    options.update(_sizes(old.form, shapes.get("out"), find))
    options.update(_filters(old.form, find))
    direction, limit = _text(find("direction") or ""), find("bptt_limit")
    if "back" in direction.lower():
        # Outputs were in the order of the run.
        options["direction"] = "reversed"
    if isinstance(limit, int) and limit > 0:
        options["bptt_limit"] = limit
    if find("periods") is not None:
        periods = find("periods")
        made = array_of(periods)
        options["periods"] = [int(p) for p in (periods if made is None else made)]
    if old.form == "tied":
        partner = find("partner")
        options["partner"] = _text(partner.get("name") if isinstance(partner, StandIn) else partner)
    if old.form == "input":
        options.update({k: find(k) for k in ("ndim", "sparse") if find(k)})
    else:
        options["inputs"] = _inputs(layer, old, before)
        options["activation"] = _activation(find("activation"), layer.get("activate"), name)
    for key, attribute in (("rates", "_rates"), ("mask", "_mask")):
        value = array_of(layer.get(attribute))
        if value is not None:
            old.fixed[key] = value
    if old.form == "bidirectional":
        old.halves = [_old_layer(layer.get(half), late, before) for half in ("forward", "backward")]
    old.params = {} if old.halves else _params(layer, name)
    return old


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


def _sizes(form: str, shape: Any, find: Any) -> dict[str, Any]:
    if form in ("flatten", "concatenate", "product", "tied"):
        return {}
    if form == "reshape":
        return {"shape": tuple(find("shape"))}
    if form == "input" and shape is not None:
        return {"shape": tuple(shape)}
    size = find("size")
    return {"size": int(shape[-1] if size is None and shape is not None else size)}


def _filters(form: str, find: Any) -> dict[str, Any]:
    if form not in ("conv1", "conv2"):
        return {}
    size, stride = find("filter_shape", find("filter_size")), find("stride", (1, 1))
    mode = find("border_mode", "valid")
    # Those of a series have an axis of one line in front.
    size, stride = (
        tuple(int(v) for v in (value if isinstance(value, (tuple, list)) else (1, value)))
        for value in (size, stride)
    )
    if form == "conv1":
        size, stride = size[-1:], stride[-1:]
    mode = _text(mode) if isinstance(mode, (str, bytes)) else mode
    return {"filter_size": size, "stride": stride, "border_mode": mode}


def _inputs(layer: StandIn, old: OldLayer, before: str | None) -> list[str]:
    given = layer.get("inputs")
    if given is None:
        given = layer.get("_input_shapes") or (layer.get("kwargs") or {}).get("inputs")
    named = [given] if isinstance(given, (str, bytes)) else list(given or ())
    names = [_text(name) for name in named]
    if isinstance(given, dict) and not old.late and old.form == "concatenate":
        names = sorted(names)
    # Where only a size was given, the input was the layer before.
    return [str(before) if name == "out" else name for name in names] or [str(before)]


def _activation(given: Any, made: Any, name: str) -> str:
    if isinstance(given, (str, bytes)):
        return _text(given)
    made = made if given is None else given
    if isinstance(made, StandIn) and made.get("name") is not None:
        pieces = made.get("pieces")
        return _text(made.get("name")) + ("" if pieces is None else f":{pieces}")
    if isinstance(made, type) and issubclass(made, StandIn):
        found = made.path.rpartition(".")[2]
        if found in FUNCTIONS:
            return FUNCTIONS[found]
    if made is None:
        return "relu"
    raise FileError(f"layer {name!r}: its activation has no name")


def _params(layer: StandIn, name: str) -> dict[str, Any]:
    activate = layer.get("activate")
    shared = list(layer.get("_params") or ())
    if isinstance(activate, StandIn):
        shared += activate.get("params") or []
    found: dict[str, Any] = {}
    for variable in shared:
        full = _text(variable.get("name"))
        value = array_of(variable)
        if value is None:
            raise FileError(f"parameter {full!r} holds no array")
        short = full[len(name) + 1 :] if full.startswith(name) else full
        found.setdefault(short, value)
    return found


def old_losses(network: StandIn) -> tuple[list[dict[str, Any]], bool, list[str]]:
    """Get the losses of a pickled network.

    Returns
    -------
    specs : list of dict
        Those that are known here.
    weighted : bool
        Whether targets have weights.
    unknown : list of str
        Classes of the others.
    """
    state = network.state
    listed = state[1] if isinstance(state, tuple) and len(state) > 1 else None
    if not isinstance(listed, list):
        form = "xe" if network.kind == "Classifier" else "mse"
        return [{"form": form}], bool(network.get("weighted")), []
    specs: list[dict[str, Any]] = []
    unknown, weighted = [], False
    for loss in listed:
        if not isinstance(loss, StandIn) or loss.kind.lower() not in Loss.registry:
            unknown.append(loss.kind if isinstance(loss, StandIn) else repr(loss))
            continue
        has_weights = loss.get("_weights") is not None
        weighted = weighted or has_weights
        form = loss.kind.lower()
        gauss = form == "gaussianloglikelihood"
        names = ("mean_name", "covar_name", "covar_eps") if gauss else ("output_name",)
        said = {key: loss.get(key) for key in names if key in loss}
        weight = float(loss.get("weight", 1.0))
        specs.append({"form": form, "weight": weight, "weighted": has_weights, **said})
    return specs, weighted, unknown


def layers_of(network: Network, arrays: Mapping[str, Any], version: str) -> list[OldLayer]:
    """Get the layers of an earlier version that a script of today describes.

    Parameters
    ----------
    network : Network
        What the script makes here.
    arrays : dict of str to ndarray
        The parameters by full name.
    version : str
        The version of which they are.
    """
    hidden = "logistic" if version.startswith("0.6") else "relu"
    last = network.layers[-1]
    output = "softmax" if isinstance(network, feedforward.Classifier) else "linear"
    return [
        _as_old(layer, arrays, version, output if layer is last else hidden)
        for layer in network.layers
    ]


def _as_old(layer: Layer, arrays: Mapping[str, Any], version: str, activation: str) -> OldLayer:
    spec = layer.to_spec()
    form = str(spec.pop("form")).lower()
    spec.pop("name")
    if layer.shape is not None and form not in ("input", "reshape"):
        spec.pop("shape", None)
        spec["size"] = layer.shape[-1]
    if layer.activation_spec is None and form in ACTIVE:
        spec["activation"] = activation
    if str(spec.get("direction")).lower() == "backward":
        spec["direction"] = "reversed"
    # What the user said of rates is not known, else they are new ones.
    spec.pop("rates", None)
    prefix = f"{layer.name}."
    params = {k[len(prefix) :]: v for k, v in arrays.items() if k.startswith(prefix)}
    old = OldLayer(str(layer.name), form, spec, params, version.startswith("0.8"))
    if layer.workers:
        old.halves = [_as_old(half, arrays, version, activation) for half in layer.workers]
        old.params = {}
    return old


def dtype_of(layers: Iterable[OldLayer]) -> str:
    """Get the type of a network: float64 if one of its parameters is."""
    every = [half for layer in layers for half in (layer.halves or [layer])]
    kinds = {np.asarray(v).dtype for layer in every for v in layer.params.values()}
    return "float64" if np.dtype("float64") in kinds else "float32"
