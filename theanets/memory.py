"""How the process keeps memory that it frees."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

# Of mallopt in the GNU C library.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_VARIABLES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")
#: What ``dask.distributed`` sets the first of them to in its workers. So the other is no longer
#: raised where large arrays come and go, and each step takes its arrays from the system anew.
_OF_DASK = "65536"


@cache
def keep_freed_memory() -> bool:
    """Let the C library keep freed arrays for the next ones, once for the process.

    By default it gives blocks of some megabytes back to the system, and takes
    them again at the next step of training. Does nothing outside of the GNU C
    library, or where the environment sets ``MALLOC_TRIM_THRESHOLD_`` or
    ``MALLOC_MMAP_THRESHOLD_``; but what Dask sets for its workers is nobody's wish.

    Returns
    -------
    bool
        Whether anything was changed.
    """
    if not sys.platform.startswith("linux"):
        return False
    if any(name in os.environ for name in _VARIABLES) and not _is_of_dask():
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, 2**26)) and bool(mallopt(_TRIM_THRESHOLD, 2**27))


def in_workers() -> None:
    """Do so in a worker of Dask, for any network; elsewhere the C library learns by itself."""
    if _is_of_dask():
        keep_freed_memory()


def _is_of_dask() -> bool:
    trim, mmap = map(os.environ.get, _VARIABLES)
    return trim == _OF_DASK and mmap is None and "distributed" in sys.modules
