"""GPT-2, a causal transformer over symbols, with weights of Hugging Face's names.

References
----------
Radford et al. 2019, "Language models are unsupervised multitask learners".
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import recurrent
from ..errors import ConfigurationError, FileError, naming
from ..export.torch_arrays import PAIRS
from ..interop.plan import Plan
from ..options import whole_number
from .weights import Weights

#: What the files of a directory are called.
WEIGHTS, CONFIG = "model.safetensors", "config.json"
#: Where a network's metadata have the configuration that it came with.
GPT2 = "gpt2"
#: Activations of the configuration, and ours.
ACTIVATIONS = {
    "gelu_new": "gelu:tanh",
    "gelu_pytorch_tanh": "gelu:tanh",
    "gelu": "gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}
#: Entries of the configuration that change what is computed, and what they have to be.
FIXED = {
    "model_type": "gpt2",
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
}
#: What is in files besides weights: masks, and the output, which is the embedding.
CONSTANT = (".attn.bias", ".attn.masked_bias", "lm_head.weight")
NORM = ("weight", "bias")


def gpt2(
    path: Any,
    heads: int | None = None,
    *,
    model: Any = recurrent.Classifier,
    config: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """Make the network of a checkpoint of GPT-2.

    Parameters
    ----------
    path : path or dict
        A directory with ``model.safetensors`` and ``config.json``, or a file
        of safetensors, beside which the second may lie; or arrays or tensors by name. Names are
        those of Hugging Face's ``GPT2LMHeadModel`` or ``GPT2Model``, with
        ``transformer.`` in front or without.
    heads : int, optional
        How many heads there are; by default what the configuration says. The
        weights do not show it.
    model : class
        Of the network; by default a classifier of the next symbol of each
        step, whose logits ``net.predict_logit`` gives.
    config : dict, optional
        The configuration; by default that of the files. Arrays have none.
    **options
        ``loss``, ``weighted``, ``rng``, ``dtype`` and ``mode``, as for
        `theanets.Network`.

    Returns
    -------
    Network
        Data are series of symbols, (batch, time). It has dropout as the configuration
        says; the output has the weights of the embedding.

    Raises
    ------
    ConfigurationError
        If the number of heads is not known, or the configuration asks for
        what has no counterpart.
    FileError
        If files cannot be read, or weights are missing, of other shapes, or
        have no place.

    Warns
    -----
    UserWarning
        If weights are NaN or infinite, by their names.
    """
    source, read = _files(path)
    config = read if config is None else dict(config)
    weights = Weights(source)
    for key, plain in FIXED.items():
        if config.get(key, plain) != plain:
            raise ConfigurationError(
                f"{weights.where}: {key}={config[key]!r} of the configuration has no counterpart, "
                f"{plain!r} has"
            )
    name = config.get("activation_function", "gelu_new")
    if name not in ACTIVATIONS:
        raise ConfigurationError(
            f"{weights.where}: activation_function={name!r} of the configuration has no "
            f"counterpart; {', '.join(map(repr, ACTIVATIONS))} have"
        )
    heads = config.get("n_head") if heads is None else heads
    if heads is None:
        raise ConfigurationError(
            f"{weights.where}: heads=None, and there is no {CONFIG} beside it that says how many "
            "heads there are; of the models that were published, one for 64 units"
        )
    made = _Checkpoint(weights, config, whole_number("heads", heads), ACTIVATIONS[name])
    net = made.plan().build(model, options)
    if config:
        # It says more than layers do, of the tokenizer for instance; see `save_gpt2`.
        net.metadata[GPT2] = dict(config)
    return net


def _files(path: Any) -> tuple[Any, dict[str, Any]]:
    """Get where the weights are, and the configuration, as far as there is one."""
    if not isinstance(path, (str, os.PathLike)):
        return path, {}
    found = os.fspath(path)
    folder = found if os.path.isdir(found) else os.path.dirname(found)
    source = os.path.join(found, WEIGHTS) if os.path.isdir(found) else found
    config = os.path.join(folder, CONFIG)
    if not os.path.exists(config):
        return source, {}
    with naming(config), open(config, encoding="utf-8") as file:
        text = file.read()
    try:
        read = json.loads(text)
    except ValueError as error:
        raise FileError(f"{config}: no JSON: {error}") from error
    if not isinstance(read, dict):
        raise FileError(f"{config}: holds a {type(read).__name__}, expected entries by name")
    return source, read


class _Checkpoint:
    """Makes the layers of a checkpoint.

    Parameters
    ----------
    weights : Weights
        The arrays.
    config : dict
        The configuration.
    heads : int
        How many heads there are.
    activation : str
        Of the hidden layers, by our name.
    """

    def __init__(
        self, weights: Weights, config: dict[str, Any], heads: int, activation: str
    ) -> None:
        self.weights, self.config, self.heads, self.activation = weights, config, heads, activation
        self.start = "transformer." if "transformer.wte.weight" in weights else ""
        self.symbols, self.size = weights.take(f"{self.start}wte.weight").shape
        if self.size % heads:
            raise ConfigurationError(
                f"{weights.where}: heads={heads} do not divide the {self.size} units"
            )

    def take(self, name: str, *shape: int) -> Any:
        """Get an array."""
        return self.weights.take(self.start + name, shape)

    def plan(self) -> Plan:
        """Get the layers with their parameters."""
        plan, n = Plan(self.weights.where), self.size
        plan.add("symbols", "in", shape=(None,), classes=self.symbols)
        plan.add("embedding", "wte", {"w": self.take("wte.weight", self.symbols, n)}, size=n)
        places = self.weights.take(f"{self.start}wpe.weight")
        plan.add(
            "position",
            "wpe",
            {"w": self.take("wpe.weight", len(places), n)},
            kind="learned",
            steps=len(places),
        )
        self.drop(plan, "drop", "embd_pdrop")
        i = 0
        many = self.config.get("n_layer")
        if many is not None:
            whole_number("n_layer", many, where=self.weights.where)
        # The configuration says which weights have to be there; without one, they say it.
        while i < many if many is not None else self.has_block(i):
            self.block(plan, i)
            i += 1
        self.norm(plan, "ln_f")
        tied = {"b": np.zeros(self.symbols, np.float32)}
        plan.add("tied", "out", tied, partner="wte", activation="linear")
        self.weights.check_all(CONSTANT)
        return plan

    def has_block(self, i: int) -> bool:
        """Tell whether there is any weight of a block."""
        return self.weights.has(f"{self.start}h.{i}.")

    def norm(self, plan: Plan, name: str, source: str | None = None) -> None:
        """Add a normalization."""
        path = name.replace("/", ".")
        found = {key: self.take(f"{path}.{key}", self.size) for key in NORM}
        options = {} if source is None else {"inputs": [f"/{source}"]}
        epsilon = float(self.config.get("layer_norm_epsilon", 1e-5))
        params = PAIRS["layer_norm"].ours(found)
        plan.add("layer_norm", name, params, epsilon=epsilon, **options)

    def linear(self, plan: Plan, name: str, rows: int, columns: int, activation: str) -> None:
        """Add a linear map, whose matrix is (inputs, outputs) as ours."""
        path = name.replace("/", ".")
        params = {
            "w": self.take(f"{path}.weight", rows, columns),
            "b": self.take(f"{path}.bias", columns),
        }
        plan.add("feedforward", name, params, size=columns, activation=activation)

    def block(self, plan: Plan, i: int) -> None:
        """Add a block: attention and a feedforward network, each added to what goes into it."""
        n, path, name = self.size, f"h.{i}.attn", f"h/{i}"
        given = plan.last["name"]
        self.norm(plan, f"{name}/ln_1", given)
        attention = {
            "w": self.take(f"{path}.c_attn.weight", n, 3 * n),
            "b": self.take(f"{path}.c_attn.bias", 3 * n),
            "wo": self.take(f"{path}.c_proj.weight", n, n),
            "bo": self.take(f"{path}.c_proj.bias", n),
        }
        rate = float(self.config.get("attn_pdrop", 0.0))
        plan.add(
            "attention", f"{name}/attn", attention, heads=self.heads, causal=True, dropout=rate
        )
        given = self.added(plan, f"{name}/sum_1", given)
        self.norm(plan, f"{name}/ln_2")
        hidden = self.weights.take(f"{self.start}h.{i}.mlp.c_fc.weight").shape[-1]
        self.linear(plan, f"{name}/mlp/c_fc", n, hidden, self.activation)
        self.linear(plan, f"{name}/mlp/c_proj", hidden, n, "linear")
        self.added(plan, name, given)

    def added(self, plan: Plan, name: str, given: str) -> str:
        """Add the last output, of which some is dropped, to what was given; get the name."""
        self.drop(plan, f"{name}+dropout", "resid_pdrop")
        plan.add("add", name, inputs=[f"/{plan.last['name']}", f"/{given}"], activation="linear")
        return name

    def drop(self, plan: Plan, name: str, key: str) -> None:
        """Add a dropout, if the configuration has one."""
        rate = float(self.config.get(key, 0.0))
        if rate:
            plan.add("dropout", name, rate=rate)
