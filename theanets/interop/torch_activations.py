"""Activations of PyTorch, by the names of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .plan import LINEAR, refused
from .torch_walk import Walk, reads, state

#: Modules without options that matter.
PLAIN: Mapping[str, str] = {
    "ReLU": "relu",
    "Sigmoid": "logistic",
    "Tanh": "tanh",
    "SiLU": "silu",
    "Mish": "mish",
    "SELU": "selu",
    "Softsign": "softsign",
    "Hardsigmoid": "hard_sigmoid",
}
#: Modules that have a counterpart for some values of an option.
BY_OPTION: Mapping[str, tuple[tuple[str, ...], Mapping[tuple[Any, ...], str]]] = {
    "Softplus": (("beta",), {(1.0,): "softplus"}),
    "GELU": (("approximate",), {("none",): "gelu", ("tanh",): "gelu:tanh"}),
    "Hardtanh": (
        ("min_val", "max_val"),
        {(-1.0, 1.0): "hard_tanh", (0.0, 1.0): "rect:minmax"},
    ),
}
#: Modules of one number that ours have in their names.
NUMBERED: Mapping[str, tuple[str, str]] = {
    "LeakyReLU": ("leaky", "negative_slope"),
    "ELU": ("elu", "alpha"),
    "CELU": ("celu", "alpha"),
}
#: Modules over an axis of channels, ``dim``.
OVER_AXIS: Mapping[str, str] = {"Softmax": "softmax", "LogSoftmax": "log_softmax"}


@reads(*PLAIN)
def plain(walk: Walk, module: Any, path: str) -> None:
    """Read an activation without options."""
    walk.plan.activate(PLAIN[_kind(module, PLAIN)], walk.plan.name(path))


@reads(*BY_OPTION)
def by_option(walk: Walk, module: Any, path: str) -> None:
    """Read an activation with options, of which some values are known."""
    names, known = BY_OPTION[_kind(module, BY_OPTION)]
    values = tuple(getattr(module, name) for name in names)
    if values not in known:
        said = ", ".join(f"{n}={v!r}" for n, v in zip(names, values, strict=True))
        valid = " or ".join(
            ", ".join(f"{n}={v!r}" for n, v in zip(names, some, strict=True)) for some in known
        )
        raise refused(path, type(module).__name__, f"{said} has no counterpart, {valid} has")
    walk.plan.activate(known[values], walk.plan.name(path))


@reads(*NUMBERED)
def numbered(walk: Walk, module: Any, path: str) -> None:
    """Read an activation with a number, of which that of 1 may have a name without."""
    form, option = NUMBERED[_kind(module, NUMBERED)]
    number = float(getattr(module, option))
    walk.refuse_unless(
        form == "leaky" or number > 0,
        module,
        path,
        f"{option}={number!r} has no counterpart, positive numbers have",
    )
    plain = form != "leaky" and number == 1
    walk.plan.activate("celu" if plain else f"{form}:{number!r}", walk.plan.name(path))


@reads("ReLU6")
def relu_6(walk: Walk, module: Any, path: str) -> None:
    """Read a rectifier that ends at 6."""
    walk.plan.activate("relu:6", walk.plan.name(path))


@reads(*OVER_AXIS)
def over_axis(walk: Walk, module: Any, path: str) -> None:
    """Read a softmax; ours are over the last axis, of channels or units."""
    dim = module.dim
    if dim is None:
        # What PyTorch takes then, with a warning.
        dim = 0 if len(walk.shape) == 2 else 1
    rank = len(walk.shape)
    walk.refuse_unless(
        -rank <= dim <= rank and dim != 0 and walk.axis(dim) == rank - 1,
        module,
        path,
        f"dim={dim} is not the axis of channels or units, over which ours is",
    )
    walk.plan.activate(OVER_AXIS[_kind(module, OVER_AXIS)], walk.plan.name(path))


@reads("Softmax2d")
def softmax_2d(walk: Walk, module: Any, path: str) -> None:
    """Read a softmax over channels."""
    walk.expect(module, path, 3, True)
    walk.plan.activate("softmax", walk.plan.name(path))


@reads("PReLU")
def prelu(walk: Walk, module: Any, path: str) -> None:
    """Read a rectifier with trained slopes; it gets a layer of its own, which has them."""
    slopes = state(module, ["weight"])["weight"]
    units = walk.shape[0] if walk.channels_first or len(walk.shape) == 1 else None
    walk.refuse_unless(
        len(slopes) == 1 or units is not None,
        module,
        path,
        f"num_parameters={len(slopes)} are slopes of axis 1 of {walk.said}, which is not that of "
        "units",
    )
    walk.refuse_unless(
        len(slopes) in (1, units),
        module,
        path,
        f"num_parameters={len(slopes)} are neither 1 nor those of the {walk.ours[-1]} channels or "
        f"units, each of which has one here: PReLU({walk.ours[-1]})",
    )
    if len(slopes) == 1 != units:
        walk.plan.note(path, "num_parameters=1 becomes a slope for each unit, trained by itself")
        slopes = np.repeat(slopes, walk.ours[-1] or 1)
    params = walk.permuted({"leak": slopes}, "leak")
    walk.plan.add("add", walk.plan.name(path), params, activation="prelu")


@reads("GLU")
def glu(walk: Walk, module: Any, path: str) -> None:
    """Read a gate, for which the layer before has twice as many pre-activations."""
    last, rank = walk.plan.last, len(walk.shape)
    place = 0 if walk.channels_first else rank - 1
    walk.refuse_unless(
        module.dim != 0 and walk.axis(module.dim) == rank - 1,
        module,
        path,
        f"dim={module.dim} is not the axis of channels or units, over which ours is",
    )
    size = walk.shape[place]
    fits = last["form"] in LINEAR and last.get("activation", "linear") == "linear"
    walk.refuse_unless(
        fits and size is not None and size % 2 == 0,
        module,
        path,
        "a glu is here the activation of a linear layer or a convolution, right before it, with "
        "an even number of outputs",
    )
    half = int(np.asarray(size)) // 2
    last.update(size=half, activation="glu")
    walk.shape = (*walk.shape[:place], half, *walk.shape[place + 1 :])


def _kind(module: Any, known: Mapping[str, Any]) -> str:
    return next(cls.__name__ for cls in type(module).__mro__ if cls.__name__ in known)
