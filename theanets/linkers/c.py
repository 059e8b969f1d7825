"""The C linker: each operation in C, and in Python where it has none."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pytensor import config
from pytensor.compile.mode import Mode
from pytensor.link.c.basic import CLinker, OpWiseCLinker

from ..errors import FileError
from ..ops.kernels import rewrites
from .base import Linker


class C(Linker):
    """Compiles when a function is made, and keeps what it compiled on the disk."""

    mode = "CVM"
    kinds = (CLinker, OpWiseCLinker)
    keeps_on_disk = True

    def serves(self, linker: Any) -> bool:
        """Tell whether C is compiled for a linker; some do as they are told."""
        return super().serves(linker) or bool(getattr(linker, "c_thunks", False))

    def rewritten(self, mode: Mode) -> Mode:
        """Let NumPy multiply matrices, where the linker has no BLAS of its own."""
        return mode if has_blas() else mode.including(rewrites.PRODUCTS)

    @contextmanager
    def compiling(self) -> Iterator[None]:
        """Have PyTensor make the directory of the cache, and say what to do if it is damaged."""
        try:
            str(config.compiledir)
        except ValueError as error:
            raise OSError(str(error)) from error
        try:
            yield
        except ImportError as error:
            directory = str(config.compiledir)
            if directory not in str(error):
                raise
            raise FileError(
                f"a file of compiled code is damaged ({str(error).splitlines()[0]}); delete the "
                f"directory {directory}, and all is compiled anew"
            ) from error


#: In place of what PyTensor says, which is about loops that would multiply matrices.
NO_BLAS = (
    "PyTensor's C linker found no BLAS library, so NumPy multiplies matrices: as fast, but for "
    "networks of a few units, whose steps take about a tenth longer; 'apt install libopenblas-dev' "
    "(Debian, Ubuntu), 'conda install -c conda-forge openblas' or 'brew install openblas' (macOS) "
    "and PYTENSOR_FLAGS='blas__ldflags=-L<its directory> -lopenblas' give it one, "
    "PYTENSOR_FLAGS=blas__ldflags= hides this"
)


def has_blas() -> bool:
    """Tell whether the C linker has a BLAS; warn in one line if it was just sought in vain."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = bool(config.blas__ldflags)
    for one in caught:
        if "could not link to a BLAS" in str(one.message):
            warnings.warn(NO_BLAS, stacklevel=2)
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return found
