"""The Ops of `higher` for JAX, which calls NumPy for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from pytensor.link.jax.dispatch import jax_funcify

from .higher import Higher


@jax_funcify.register(Higher)
def _higher(op: Higher, **kwargs: Any) -> Callable[..., Any]:
    many = len(op.scores)

    def change(*arrays: Any) -> Any:
        return op.change(*map(np.asarray, arrays))

    def higher(*arrays: Any) -> Any:
        shapes = [x.shape for x in arrays[op.base : op.base + many]]
        like = tuple(jax.ShapeDtypeStruct(shape, arrays[0].dtype) for shape in shapes)
        found = jax.pure_callback(change, like, *arrays, vmap_method="sequential")
        return found if many > 1 else found[0]

    return higher
