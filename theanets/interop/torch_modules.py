"""Modules of PyTorch that map vectors, or places of images and series."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..export.torch_arrays import PAIRS
from .torch_walk import Walk, reads, state


@reads("Linear", start=lambda m: (m.in_features,), channels_first=False)
def linear(walk: Walk, module: Any, path: str) -> None:
    """Read a linear map of the last axis."""
    walk.expect(module, path, len(walk.shape), False)
    walk.refuse_unless(
        walk.shape[-1] == module.in_features,
        module,
        path,
        f"in_features={module.in_features}, but {walk.shape[-1]} come",
    )
    params = PAIRS["feedforward"].ours(state(module, ["weight", "bias"]))
    params, walk.order = walk.permuted(params, "w"), None
    size = module.out_features
    walk.plan.add("feedforward", walk.plan.name(path), params, size=size, activation="linear")
    walk.shape = (*walk.shape[:-1], size)


@reads("Embedding", start=lambda m: (None,), channels_first=False)
def embedding(walk: Walk, module: Any, path: str) -> None:
    """Read vectors for symbols."""
    walk.refuse_unless(
        walk.plan.last["form"] == "symbols",
        module,
        path,
        "an embedding has to come first, for the symbols that are the input",
    )
    walk.refuse_unless(
        module.max_norm is None, module, path, f"max_norm={module.max_norm} has no counterpart"
    )
    if module.padding_idx is not None:
        walk.plan.note(
            path,
            f"padding_idx={module.padding_idx} is left out: its vector is trained as others are; "
            "series of different lengths need no padding here",
        )
    params = PAIRS["embedding"].ours(state(module, ["weight"]))
    walk.plan.add("embedding", walk.plan.name(path), params, size=module.embedding_dim)
    walk.shape = (*walk.shape, module.embedding_dim)


@reads("Identity")
def identity(walk: Walk, module: Any, path: str) -> None:
    """Read what does nothing."""


@reads("Flatten", channels_first=False)
def flatten(walk: Walk, module: Any, path: str) -> None:
    """Read what makes a vector of all entries of an example."""
    rank = len(walk.shape) + walk.ones
    end = module.end_dim if module.end_dim >= 0 else module.end_dim + rank + 1
    walk.refuse_unless(
        module.start_dim == 1 and end == rank,
        module,
        path,
        f"start_dim={module.start_dim}, end_dim={module.end_dim} of {rank + 1} axes has no "
        "counterpart; ours makes a vector of each example",
    )
    walk.refuse_unless(
        not walk.time_first, module, path, "the time comes first: give batch_first=True"
    )
    if walk.ones or rank == 1:
        walk.ones = 0
        return
    walk.refuse_unless(
        None not in walk.shape,
        module,
        path,
        f"what comes has the shape {walk.shape} with unknown lengths; give the shape of an "
        "example, shape=(channels, height, width) of an image",
    )
    walk.flatten()
    walk.plan.add("flatten", walk.plan.name(path))


# ---- normalization and noise -----------------------------------------------------------


def _norm_start(module: Any) -> tuple[int | None, ...]:
    rank = int(type(module).__name__[-2:-1])
    return (module.num_features, *(None,) * (0 if rank == 1 else rank))


def _norm(walk: Walk, module: Any, path: str, form: str, size: int, **options: Any) -> None:
    """Add a normalization of channels or units, with what it is scaled and moved by."""
    keys = ["weight", "bias", "running_mean", "running_var"]
    found = state(module, keys if form == "batch_norm" else keys[:2])
    found.setdefault("weight", np.ones(size, np.float32))
    params = walk.permuted(PAIRS[form].ours(found), "scale", "shift", "mean", "variance")
    walk.plan.add(form, walk.plan.name(path), params, epsilon=float(module.eps), **options)


@reads("BatchNorm1d", start=_norm_start, channels_first=True, vague=True)
@reads("BatchNorm2d", start=_norm_start, channels_first=True)
def batch_norm(walk: Walk, module: Any, path: str) -> None:
    """Read a batch normalization, with its running statistics."""
    ranks = (1, 2) if "BatchNorm1d" in {cls.__name__ for cls in type(module).__mro__} else (3,)
    rank = len(walk.shape) if len(walk.shape) in ranks else ranks[0]
    walk.expect(module, path, rank, True)
    walk.expect_channels(module, path, "num_features")
    walk.refuse_unless(
        module.momentum is not None and module.running_mean is not None,
        module,
        path,
        f"momentum={module.momentum}, track_running_stats={module.track_running_stats} has no "
        "counterpart: ours has running means with a momentum",
    )
    keep = 1 - float(module.momentum)
    _norm(walk, module, path, "batch_norm", module.num_features, momentum=round(keep, 12))


@reads("LayerNorm", start=lambda m: tuple(m.normalized_shape), channels_first=False)
def layer_norm(walk: Walk, module: Any, path: str) -> None:
    """Read a normalization of each example or step over its units."""
    _over_units(walk, module, path, "layer_norm", float(module.eps))


@reads("RMSNorm", start=lambda m: tuple(m.normalized_shape), channels_first=False)
def rms_norm(walk: Walk, module: Any, path: str) -> None:
    """Read a division of each example or step by its root mean square."""
    walk.refuse_unless(
        module.eps is not None, module, path, "eps=None has no counterpart; eps=1e-6 would have"
    )
    _over_units(walk, module, path, "rms_norm", float(module.eps))


def _over_units(walk: Walk, module: Any, path: str, form: str, epsilon: float) -> None:
    size = walk.shape[-1]
    walk.refuse_unless(
        tuple(module.normalized_shape) == (size,)
        and (not walk.channels_first or len(walk.shape) == 1),
        module,
        path,
        f"normalized_shape={tuple(module.normalized_shape)} where {walk.shape} comes: ours is over "
        "the last axis, that of units",
    )
    _norm(walk, module, path, form, int(size or 0))


@reads("GroupNorm", channels_first=True)
def group_norm(walk: Walk, module: Any, path: str) -> None:
    """Read a normalization of groups of channels."""
    walk.expect(module, path, len(walk.shape), True)
    walk.expect_channels(module, path, "num_channels")
    _norm(walk, module, path, "group_norm", module.num_channels, groups=module.num_groups)


@reads("InstanceNorm1d", start=lambda m: (m.num_features, None), channels_first=True)
@reads("InstanceNorm2d", start=lambda m: (m.num_features, None, None), channels_first=True)
def instance_norm(walk: Walk, module: Any, path: str) -> None:
    """Read a normalization of each channel of an example."""
    rank = 2 if "InstanceNorm1d" in {cls.__name__ for cls in type(module).__mro__} else 3
    walk.expect(module, path, rank, True)
    walk.expect_channels(module, path, "num_features")
    walk.refuse_unless(
        not module.track_running_stats,
        module,
        path,
        "track_running_stats=True has no counterpart: ours has no running means",
    )
    _norm(walk, module, path, "instance_norm", module.num_features)


@reads("Dropout")
def dropout(walk: Walk, module: Any, path: str) -> None:
    """Read noise that sets entries to 0."""
    walk.plan.add("dropout", walk.plan.name(path), rate=float(module.p))


@reads("Dropout1d", "Dropout2d", channels_first=True)
def dropout_of_channels(walk: Walk, module: Any, path: str) -> None:
    """Read noise that sets whole channels to 0."""
    walk.expect(module, path, max(len(walk.shape), 2), True)
    walk.plan.add("dropout", walk.plan.name(path), rate=float(module.p), per_series=True)
