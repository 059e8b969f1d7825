"""How the process keeps memory that it frees."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

# Of mallopt in the GNU C library.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


@cache
def keep_freed_memory() -> bool:
    """Let the C library keep freed arrays for the next ones, once for the process.

    By default it gives blocks of some megabytes back to the system, and takes
    them again at the next step of training. Does nothing outside of the GNU C
    library, or where the environment sets ``MALLOC_TRIM_THRESHOLD_`` or
    ``MALLOC_MMAP_THRESHOLD_``.

    Returns
    -------
    bool
        Whether anything was changed.
    """
    if not sys.platform.startswith("linux"):
        return False
    if "MALLOC_TRIM_THRESHOLD_" in os.environ or "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, 2**26)) and bool(mallopt(_TRIM_THRESHOLD, 2**27))
