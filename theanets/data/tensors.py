"""Tensors of PyTorch, and floats of few bits, as arrays of NumPy: neither library is imported."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import process

Array = npt.NDArray[Any]

#: Those types of PyTorch that NumPy has, too.
FLOATS = ("torch.float16", "torch.float32", "torch.float64")


def is_tensor(value: Any) -> bool:
    """Tell whether something is a tensor of PyTorch, a parameter of a module among them."""
    return any(
        cls.__name__ == "Tensor" and cls.__module__.partition(".")[0] == "torch"
        for cls in type(value).__mro__
    )


def of_tensor(tensor: Any) -> Array:
    """Get a tensor as an array: one on a device is copied, a sparse one is filled up with zeros.

    Parameters
    ----------
    tensor : torch.Tensor
        Without a gradient. Floats that NumPy does not have, such as bfloat16, become float32.

    Raises
    ------
    TypeError, RuntimeError
        PyTorch's, if it has no values, a gradient, or a type that NumPy does not have.
    """
    found = tensor.cpu()
    if is_sparse_tensor(found):
        found = _checked(found).to_dense()
    if found.is_floating_point() and str(found.dtype) not in FLOATS:
        found = found.float()
    return np.asarray(found.resolve_conj().resolve_neg())


def is_sparse_tensor(value: Any) -> bool:
    """Tell whether something is a tensor of PyTorch of a sparse layout."""
    return is_tensor(value) and str(value.layout).startswith("torch.sparse_")


def of_sparse_tensor(tensor: Any) -> Any:
    """Get a sparse tensor of two axes as a sparse array of SciPy, each entry once."""
    found = _checked(tensor.cpu()).to_sparse_coo().coalesce()
    rows, columns = of_tensor(found.indices())
    sp = process.lazily("scipy.sparse")
    return sp.coo_array((of_tensor(found.values()), (rows, columns)), shape=tuple(found.shape))


def _checked(tensor: Any) -> Any:
    """Refuse a sparse tensor with an index out of range: PyTorch would write what is not its own.

    Raises
    ------
    RuntimeError
        PyTorch's.
    """
    torch, layout = sys.modules["torch"], tensor.layout
    if layout == torch.sparse_coo:
        parts = (tensor._indices(), tensor._values(), tensor.shape)
        return torch.sparse_coo_tensor(*parts, check_invariants=True)
    if layout in (torch.sparse_csr, torch.sparse_bsr):
        starts, places = tensor.crow_indices(), tensor.col_indices()
    else:
        starts, places = tensor.ccol_indices(), tensor.row_indices()
    return torch.sparse_compressed_tensor(
        starts, places, tensor.values(), tensor.shape, layout=layout, check_invariants=True
    )


def widened(array: Array) -> Array:
    """Get floats of types that NumPy does not know, such as JAX's bfloat16, as float32."""
    kind = array.dtype
    small = kind.kind == "V" and kind.names is None and kind.name.startswith(("bfloat", "float"))
    return array.astype(np.float32) if small else array


def of_bfloat16(data: bytes | bytearray, shape: tuple[int, ...]) -> Array:
    """Get floats of 16 bits as float32, of which they are the upper half."""
    upper = np.frombuffer(data, "<u2").astype(np.uint32)
    return (upper << np.uint32(16)).view(np.float32).reshape(shape)
