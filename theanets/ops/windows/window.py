r"""Windows that slide over images: the arithmetic that convolution and pooling share.

An axis of n entries, with p of padding in front and q behind it, has

.. math:: \lfloor (n + p + q - e) / s \rfloor + 1, \qquad e = (k - 1) d + 1

positions of a window of k entries that are d apart and that moves by s
(Dumoulin & Visin 2016, "A guide to convolution arithmetic for deep learning").
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

from .. import base

#: Entries of the matrix of windows that is made at once: a megabyte of single precision, which
#: stays in a cache of the second level; a quarter of it makes products that are too small.
BLOCK = 2**18
#: Rows that a matrix product should have at least, to be efficient.
ROWS = 128
#: Stands for padding that makes the number of positions ceil(n / s).
SAME = -1


class Window(NamedTuple):
    """A window over the two axes of an image.

    Attributes
    ----------
    size : tuple of int
        Entries along each axis; 0 stands for all that there are.
    stride, dilation : tuple of int
        How far it moves, and how far its entries are apart.
    low, high : tuple of int
        Padding in front of each axis and behind it. `SAME` as ``low`` stands
        for what makes ceil(n / stride) positions, of which the larger half is
        behind.
    """

    size: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    low: tuple[int, int] = (0, 0)
    high: tuple[int, int] = (0, 0)

    def axis(self, i: int) -> tuple[int, int, int, int, int]:
        """Get size, stride, dilation, low and high of an axis."""
        return self.size[i], self.stride[i], self.dilation[i], self.low[i], self.high[i]

    def positions(self, lengths: Any) -> tuple[Any, Any]:
        """Get the number of positions along each axis; None for unknown lengths."""
        first, second = (
            None if n is None else positions(n, *self.axis(i)) for i, n in enumerate(lengths)
        )
        return first, second

    def padding(self, lengths: Any) -> tuple[tuple[int, int], tuple[int, int]]:
        """Get the padding in front of and behind axes of known lengths."""
        first, second = (padding(n, *self.axis(i)) for i, n in enumerate(lengths))
        return first, second

    def entries(self, lengths: Any) -> tuple[int, int]:
        """Get the number of entries of the window along axes of known lengths."""
        first, second = (k or n for k, n in zip(self.size, lengths, strict=True))
        return first, second

    def check(self, lengths: Any) -> None:
        """Refuse axes that have no position for the window.

        Raises
        ------
        ValueError
            If one is too short.
        """
        for n, count in zip(lengths, self.positions(lengths), strict=True):
            if count < 1:
                raise ValueError(f"a window {self} does not fit an axis of {n} entries")


def block(rows: int, columns: int) -> int:
    """Get how many units to do at once, if one makes a matrix of so many rows and columns."""
    return max(1, BLOCK // (rows * columns), -(-ROWS // rows))


class WindowOp(base.KernelOp):
    """Base class of Ops on images (batch, height, width, channels) and a window.

    `theanets.ops.windows.by_jax` tells JAX of them, and `theanets.ops.windows.by_torch`
    PyTorch; networks import these when they are compiled for them.

    Parameters
    ----------
    window : Window
        Size, stride, dilation and padding.
    """

    __props__: tuple[str, ...] = ("window",)

    def __init__(self, window: Window) -> None:
        self.window = Window(*window)


# These run as Python, on symbolic lengths too, and are compiled by Numba.


def positions(n: Any, k: int, s: int, d: int, low: int, high: int) -> Any:
    """Get the number of positions of a window along an axis of n entries."""
    if k == 0:
        return n * 0 + 1
    if low < 0:
        return (n + s - 1) // s
    return (n + low + high - (k - 1) * d - 1) // s + 1


def padding(n: int, k: int, s: int, d: int, low: int, high: int) -> tuple[int, int]:
    """Get the padding in front of and behind an axis of n entries."""
    if k == 0 or low >= 0:
        return low, high
    total = max(((n + s - 1) // s - 1) * s + (k - 1) * d + 1 - n, 0)
    return total // 2, total - total // 2


def spread(n: Any, k: int, s: int, d: int, low: int, high: int) -> Any:
    """Get the length of the shortest axis that has n positions."""
    if low < 0:
        return n * s
    return (n - 1) * s + (k - 1) * d + 1 - low - high


def source_key(kernel: str, window: Window, *modules: str) -> str | None:
    """Get a key for a kernel's place in the cache on the disk; it becomes part of a file's name.

    Parameters
    ----------
    kernel : str
        Name of the kernel.
    window : Window
        What it is specialized to.
    *modules : str
        Names of the modules, besides this one, that have what it calls.

    Returns
    -------
    str or None
        None, for no caching, where there is no source.
    """
    keys = [base.source_key(module, kernel) for module in (__name__, *modules)]
    if None in keys:
        return None
    return f"{kernel}-{hashlib.sha256(repr((keys, tuple(window))).encode()).hexdigest()}"


def static_lengths(x: Any) -> tuple[Any, Any]:
    """Get the height and width of images, as numbers where they are known."""
    height, width = (x.shape[i] if x.type.shape[i] is None else x.type.shape[i] for i in (1, 2))
    return height, width


def one_line(x: Any) -> Any:
    """Get series (batch, length, channels) of images of one line, contiguous where those are."""
    return x.reshape((x.shape[0], x.shape[2], x.shape[3]))
