"""Identities: what must be the same for a run to continue from a checkpoint."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Set
from typing import TYPE_CHECKING, Any

import numpy as np

from ..layers import Layer
from ..losses import Loss
from ..optimizers import Schedule
from ..options import defaults
from ..registry import Registry
from ..regularizers import Regularizer
from .averaging import Average
from .criterion import LOSS, Criterion

if TYPE_CHECKING:
    from .task import Datasets, Task

#: The attribute with the arguments of a constructor, see `theanets.registry.Registered`.
GIVEN = "_given"


def identity(
    task: Task,
    optimizer: Any,
    seed: int,
    data: Datasets,
    criterion: Criterion,
    average: Average | None = None,
) -> dict[str, Any]:
    """Get what must be the same for a checkpoint to be continued, as JSON can hold it.

    The values of the data are read for it.
    """
    net, train, valid = task.net, data.train, data.valid
    return describe(
        {
            "layers": {layer.name: layer.to_spec() for layer in net.layers},
            "parameters": {p.name: p.get_value(borrow=True).shape for p in net.params},
            "losses": [loss.to_spec() for loss in net.losses],
            "algorithm": repr(optimizer),
            "schedule": getattr(optimizer, "schedule", None),
            "regularizers": [[r.name, r.weight, r.cache_key()[1:]] for r in task.regularizers],
            "penalty_scale": task.scale,
            "seed": seed,
            "dtype": net.dtype,
            "batch_size": train.batch_size,
            "train_batches": train.batches,
            "examples": train.examples,
            "buckets": train.buckets,
            "valid_examples": valid.examples if valid is not None else None,
            "criterion": [criterion.name, criterion.direction],
            "freeze": [variable.name for variable in task.frozen] or None,
            "average": None if average is None else average.described(),
            "values": {
                "train": train.fingerprint(),
                "valid": None if valid is None else valid.fingerprint(),
            },
        }
    )


def differences(was: Any, now: Mapping[str, Any]) -> str:
    """Say where a run differs first from that of a checkpoint, or nothing if it does not.

    Files of earlier versions have other keys: an option that one of both does not have is at its
    default there. Attributes that begin with ``_`` are how a class works, and nobody's choice.

    Parameters
    ----------
    was : Any
        What the file has, which may be anything.
    now : dict
        What `identity` gave.
    """
    if not isinstance(was, Mapping):
        return "it has no identity"
    # Arguments of constructors of the user's classes, which the first files do not have.
    schedule = was.get("schedule")
    kept = {GIVEN} & set(schedule if isinstance(schedule, Mapping) else ())
    differs = difference(_comparable(was, kept), _comparable(now, kept))
    # Files of version 0.9 and before do not have it.
    if differs or "values" not in was:
        return differs + _hint(differs)
    array = difference(was["values"], now["values"]).partition(" was ")[0]
    return array and f"the data have other values, in the array {array!r}"


def _hint(differs: str) -> str:
    if differs.startswith("average.start was"):
        return (
            ", a quarter of the run by default: with average={'form': 'swa', 'start': <epoch>}, "
            "limits can be raised later"
        )
    if not (differs.startswith("schedule.") and ".total was" in differs):
        return ""
    return (
        ", as long as the run by default: with total=<number> in learning_rate_schedule, limits "
        "can be raised later"
    )


def _comparable(described: Mapping[str, Any], kept: Set[str]) -> dict[str, Any]:
    """Fill in the defaults of all options, and leave out what is private but for some names."""
    found = {key: value for key, value in described.items() if key != "values"}
    layers, losses, regularizers = map(found.get, ("layers", "losses", "regularizers"))
    if isinstance(layers, Mapping):
        found["layers"] = {key: _filled(Layer.registry, spec) for key, spec in layers.items()}
    if isinstance(losses, list):
        found["losses"] = [_filled(Loss.registry, spec) for spec in losses]
    if isinstance(regularizers, list):
        found["regularizers"] = [
            _public(_filled(Regularizer.registry, _spec(one)), kept) for one in regularizers
        ]
    found["schedule"] = _public(found.get("schedule"), kept)
    # The first files do not have it.
    found.setdefault("criterion", [LOSS.name, LOSS.direction])
    return found


def _public(value: Any, kept: Set[str]) -> Any:
    if not isinstance(value, Mapping):
        return value
    found = {key: v for key, v in value.items() if not key.startswith("_") or key in kept}
    return {key: v if key in kept else _public(v, kept) for key, v in found.items()}


def _filled(registry: Registry[Any], spec: Any) -> Any:
    if not isinstance(spec, Mapping) or spec.get("form") not in registry:
        return spec
    cls = registry[spec["form"]]
    parameters = inspect.signature(cls).parameters.values()
    arguments = {p.name: p.default for p in parameters if p.default is not p.empty}
    found = describe({**arguments, **defaults(cls)})
    return {**spec, **{key: value for key, value in found.items() if key not in spec}}


def _spec(regularizer: Any) -> Any:
    """Turn the name, weight and attributes of a regularizer into a specification."""
    try:
        name, weight, ((*attributes,),) = regularizer
        return {**{str(k): v for k, v in attributes}, "form": name, "weight": weight}
    except (TypeError, ValueError):
        return regularizer


def describe(value: Any) -> Any:
    """Turn a value into what JSON can hold, the same for two values that mean the same."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(k): describe(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [describe(v) for v in value]
    if isinstance(value, Schedule):
        return {"form": type(value).__name__, **describe(vars(value))}
    return getattr(value, "__name__", type(value).__name__)


def difference(was: Any, now: Any, where: str = "") -> str:
    """Say where two descriptions differ first, or nothing if they do not."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for key in now:
            found = difference(was.get(key), now[key], f"{where}.{key}" if where else key)
            if found:
                return found
        gone = sorted(set(was) - set(now))
        return f"{where}.{gone[0]} is no longer there" if gone else ""
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        for i, (old, new) in enumerate(zip(was, now, strict=True)):
            found = difference(old, new, f"{where}[{i}]")
            if found:
                return found
        return ""
    return "" if was == now else f"{where or 'it'} was {was!r}, now is {now!r}"
