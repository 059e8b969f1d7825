"""Attention of PyTorch, and the blocks of transformers."""

from __future__ import annotations

from typing import Any

from ..export.torch_arrays import PAIRS, Array
from .torch_walk import Walk, reads, state

#: Modules that attend.
ATTENDING = ("MultiheadAttention", "TransformerEncoderLayer")
#: What drops in a block, besides its attention: of the hidden units, and of what is added.
DROPOUTS = ("dropout", "dropout1", "dropout2")
#: The parts of a block by our names, and PyTorch's.
PARTS = {
    "norm1": ("norm1", "layer_norm"),
    "norm2": ("norm2", "layer_norm"),
    "hidden": ("linear1", "feedforward"),
    "feedforward": ("linear2", "feedforward"),
}


def _attention(walk: Walk, module: Any, path: str) -> dict[str, Array]:
    """Get the parameters of attention of a series to itself."""
    same = module.in_proj_weight is not None and module.bias_k is None and not module.add_zero_attn
    walk.refuse_unless(
        same,
        module,
        path,
        "kdim=, vdim=, add_bias_kv= and add_zero_attn= have no counterpart",
    )
    found = state(module, ["in_proj_weight", "in_proj_bias"])
    found.update({f"out_{k}": v for k, v in state(module.out_proj, ["weight", "bias"]).items()})
    return PAIRS["attention"].ours(found)


def _expect(walk: Walk, module: Any, path: str, size: int, batch_first: bool) -> None:
    walk.expect(module, path, 2, False)
    walk.refuse_unless(
        walk.shape[-1] == size, module, path, f"it is of {size} units, but {walk.shape[-1]} come"
    )
    walk.time_first = walk.time_first or not batch_first


@reads("MultiheadAttention", start=lambda m: (None, m.embed_dim), channels_first=False)
def attention(walk: Walk, module: Any, path: str) -> None:
    """Read attention, of a series to itself."""
    _expect(walk, module, path, module.embed_dim, module.batch_first)
    params = _attention(walk, module, path)
    options = {"heads": module.num_heads, "dropout": float(module.dropout), "causal": walk.causal}
    walk.plan.add("attention", walk.plan.name(path), params, activation="linear", **options)


@reads(
    "TransformerEncoderLayer",
    start=lambda m: (None, m.self_attn.embed_dim),
    channels_first=False,
)
def transformer(walk: Walk, module: Any, path: str) -> None:
    """Read a block of attention and a feedforward network."""
    inner = module.self_attn
    _expect(walk, module, path, inner.embed_dim, inner.batch_first)
    act = getattr(module.activation, "__name__", type(module.activation).__name__).lower()
    walk.refuse_unless(
        act in ("relu", "gelu", "silu"),
        module,
        path,
        f"activation={act} has no counterpart, relu, gelu and silu have",
    )
    if act == "gelu" and getattr(module.activation, "approximate", "none") == "tanh":
        act = "gelu:tanh"
    walk.refuse_unless(
        module.norm1.eps == module.norm2.eps > 0,
        module,
        path,
        f"norm1.eps={module.norm1.eps}, norm2.eps={module.norm2.eps} has no counterpart: ours has "
        "one epsilon, which is positive",
    )
    rates = {
        "self_attn.dropout": float(inner.dropout),
        **{f"{key}.p": float(getattr(module, key).p) for key in DROPOUTS},
    }
    walk.refuse_unless(
        len(set(rates.values())) == 1,
        module,
        path,
        f"{', '.join(f'{key}={rate!r}' for key, rate in rates.items())} has no counterpart: ours "
        "has one rate for all of them; set them alike before",
    )
    name = walk.plan.name(path)
    arrays = {f"attention.{k}": v for k, v in _attention(walk, inner, f"{path}.self_attn").items()}
    for part, (theirs, form) in PARTS.items():
        found = PAIRS[form].ours(state(getattr(module, theirs), ["weight", "bias"]))
        arrays.update({f"{part}.{key}": value for key, value in found.items()})
    walk.plan.arrays.update({f"{name}/{key}": value for key, value in arrays.items()})
    walk.plan.add(
        "transformer",
        name,
        heads=inner.num_heads,
        hidden=module.linear1.out_features,
        activation=act,
        norm="pre" if module.norm_first else "post",
        epsilon=float(module.norm1.eps),
        dropout=rates["self_attn.dropout"],
        causal=walk.causal,
    )
