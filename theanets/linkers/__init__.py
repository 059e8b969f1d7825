"""PyTensor's linkers: what each does for our functions, and what has to be known of it.

`base.Linker` says what is asked of one, and each has a file with a class that answers:
`c`, `numba`, `jax`, `pytorch`. `LINKERS` is the table of them. What a class needs more of
stands beside it, in files that import the linker's package, such as `numba_setup`; they are
imported when a function is compiled. Nobody else asks which linker it is.

Operations are below: `theanets.ops` has their forms for each linker, and `linking` has these
imported.
"""

from __future__ import annotations

from typing import Any

from .base import Compilations, Compiled, Linker, Unfit
from .c import C
from .jax import JAX
from .linking import link
from .numba import Numba
from .pytorch import PyTorch

__all__ = ["LINKERS", "Compilations", "Linker", "Unfit", "find", "modes"]

#: The first one that serves a linker of PyTensor's is asked.
LINKERS: tuple[Linker, ...] = (
    Numba(),
    C(),
    JAX(),
    PyTorch(),
    Compiled(),  # others that compile a graph as a whole
    Linker(),
)

link(LINKERS)


def find(linker: Any) -> Linker:
    """Find what is known of a linker of PyTensor's."""
    return next((known for known in LINKERS if known.serves(linker)), LINKERS[-1])


def modes(what: str) -> str:
    """Get the modes whose linkers have an attribute set, for messages: ``"'NUMBA' or 'CVM'"``."""
    found = [repr(linker.mode) for linker in LINKERS if linker.mode and getattr(linker, what)]
    return " or ".join([", ".join(found[:-1]), found[-1]] if found[1:] else found)
