"""The Op of `draws` for Numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.np.unsafe.ndarray import to_fixed_tuple
from pytensor.link.numba.dispatch.basic import numba_njit
from pytensor.link.numba.dispatch.compile_ops import numba_deepcopy

from ..base import source_key


def draws(method: str, ndim: int, dtype: str, inplace: bool) -> tuple[Any, str | None]:
    """Get the kernel of draws, and its key for the cache on the disk."""
    kind = np.dtype(dtype)

    @numba_njit
    def normal(generator: Any, size: Any) -> Any:
        result = np.empty(to_fixed_tuple(size, ndim), kind)
        flat = result.reshape(result.size)
        for i in range(len(flat)):
            flat[i] = generator.standard_normal()
        return generator, result

    @numba_njit
    def uniform(generator: Any, size: Any) -> Any:
        result = np.empty(to_fixed_tuple(size, ndim), kind)
        flat = result.reshape(result.size)
        for i in range(len(flat)):
            flat[i] = generator.random()
        return generator, result

    draw = {"standard_normal": normal, "random": uniform}[method]

    @numba_njit
    def of_copy(generator: Any, size: Any) -> Any:
        return draw(numba_deepcopy(generator), size)

    key = source_key(__name__, f"{method}-{ndim}-{dtype}-{inplace:d}")
    return (draw if inplace else of_copy), key
