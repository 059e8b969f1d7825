"""Attention of Keras."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..export.torch_arrays import Array
from .keras_models import ATTENDING, Place, array, reads


@reads(*ATTENDING)
def attention(place: Place) -> None:
    """Read attention of a series to itself, or to another one."""
    layer, config = place.layer, place.layer.get_config()
    heads, size = config["num_heads"], config["key_dim"]
    causal = bool(place.keywords.pop("use_causal_mask", False))
    for option in ("sliding_window", "use_gate"):
        found = config.get(option)
        place.refuse_unless(not found, f"{option}={found!r} has no counterpart")
    asking, *others = place.sources
    place.refuse_unless(
        len(set(others)) == 1,
        f"its value is {others[0]!r} and its key {others[-1]!r}; of one series both have a "
        "counterpart",
    )
    kernels = {k: array(getattr(layer, f"_{k}_dense").kernel) for k in ("query", "key", "value")}
    out = array(layer._output_dense.kernel)
    place.refuse_unless(
        all(kernel.ndim == 3 for kernel in (*kernels.values(), out)),
        "attention_axes= of several axes have no counterpart",
    )
    place.refuse_unless(
        config["value_dim"] == size and out.shape[-1] == heads * size,
        f"num_heads={heads}, key_dim={size}, value_dim={config['value_dim']} with outputs of "
        f"{out.shape[-1]} units; heads here share these equally: key_dim = value_dim = "
        f"{out.shape[-1]} / {heads}",
    )
    q, k, v = (kernel.reshape(len(kernel), -1) for kernel in kernels.values())
    params: dict[str, Array] = {"wo": out.reshape(-1, out.shape[-1])}
    options: dict[str, Any] = {"heads": heads, "causal": causal, "bias": config["use_bias"]}
    biases = []
    if config["use_bias"]:
        biases = [array(getattr(layer, f"_{key}_dense").bias).ravel() for key in kernels]
        params["bo"] = array(layer._output_dense.bias)
    if others[0] == asking:
        place.sources = [asking]
        params["w"] = np.hstack([q, k, v])
        if biases:
            params["b"] = np.concatenate(biases)
    else:
        place.sources = [asking, others[0]]
        params.update(w=q, wkv=np.hstack([k, v]))
        if biases:
            params.update(b=biases[0], bkv=np.concatenate(biases[1:]))
    options["dropout"] = float(config["dropout"])
    place.add("attention", params, size=out.shape[-1], activation="linear", **options)
