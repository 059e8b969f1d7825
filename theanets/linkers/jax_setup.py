"""What has to be done before anything is compiled for JAX: it is told of our Ops.

JAX is also told to have double precision, as PyTensor does in its default
configuration: losses are added up in it, whatever the type of the network.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import jax

from ..ops.draws.by_jax import Chance
from .jax_function import Drawing
from .jax_sizes import SIZES

jax.config.update("jax_enable_x64", True)

__all__ = ["SIZES", "Chance", "Drawing", "compiling"]


@contextmanager
def compiling() -> Iterator[None]:
    """Do not warn of checks that JAX cannot do: data are checked before they get there."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Skipping .* Op \(assertion", UserWarning)
        yield
