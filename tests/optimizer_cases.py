"""An update that is compiled, and gradients for it."""

from __future__ import annotations

import numpy as np
import pytensor

from theanets import optimizers

FIRST_ORDER = [
    name
    for name in optimizers.names()
    if optimizers.Optimizer.registry[name].first_order
    and optimizers.Optimizer.registry[name].__module__.startswith("theanets.")
]
SHAPES = {"w": (3, 2), "b": (4,)}


def compiled(algo, shapes=SHAPES, dtype="float64", start=None, **kwargs):
    """Get parameters, step, and a function that makes one update from given gradients."""
    rng = np.random.default_rng(1)
    params = []
    for name, shape in shapes.items():
        value = rng.normal(size=shape) if start is None else np.full(shape, start)
        params.append(pytensor.shared(value.astype(dtype), name=name))
    inputs = [p.type() for p in params]
    step = optimizers.build(algo, **kwargs).apply(params, inputs, dtype=dtype)
    return params, step, pytensor.function(inputs, [], updates=step.updates, mode="FAST_COMPILE")


def gradients(count, shapes=SHAPES, seed=2):
    rng = np.random.default_rng(seed)
    return [[rng.normal(size=shape) for shape in shapes.values()] for _ in range(count)]
