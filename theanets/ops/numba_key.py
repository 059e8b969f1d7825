"""Keys by which PyTensor finds compiled kernels of ours on the disk again."""

from __future__ import annotations

import hashlib
import inspect
import sys
from functools import cache


@cache
def source_key(module: str, kernel: str) -> str | None:
    """Get a key that changes with the source of the module that has the kernel.

    Parameters
    ----------
    module : str
        Name of an imported module, which holds all that the kernel calls.
    kernel : str
        Name of the kernel.

    Returns
    -------
    str or None
        None, for no caching, where there is no source.
    """
    try:
        source = inspect.getsource(sys.modules[module])
    except OSError:
        return None
    return f"{module}.{kernel}:{hashlib.sha256(source.encode()).hexdigest()}"
