"""The Ops of `higher` for Numba, which calls NumPy for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import objmode
from pytensor.link.numba.dispatch.basic import numba_njit

from ..base import Array


def called(change: Callable[..., tuple[Array, ...]], many: int) -> tuple[Any, str | None]:
    """Get a function that calls one of NumPy's, with one or two results of three axes."""

    def first(*arrays: Array) -> Array:
        return np.asarray(change(*arrays)[0], float)

    def both(*arrays: Array) -> tuple[Array, ...]:
        one, other = change(*arrays)
        return np.asarray(one, float), np.asarray(other, float)

    @numba_njit
    def kernel_of_one(*arrays: Any) -> Any:
        with objmode(found="float64[:, :, ::1]"):
            found = first(*arrays)
        return found.astype(arrays[0].dtype)

    @numba_njit
    def kernel_of_two(*arrays: Any) -> Any:
        with objmode(one="float64[:, :, ::1]", other="float64[:, :, ::1]"):
            one, other = both(*arrays)
        return one.astype(arrays[0].dtype), other.astype(arrays[0].dtype)

    # What calls back into this process is not kept on the disk.
    return (kernel_of_one if many == 1 else kernel_of_two), None
