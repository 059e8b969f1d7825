"""What is changed in a graph just before it is compiled.

The expressions of a network are made of PyTensor's own operations, so that
anybody can go on from them. These rewrites put Ops of ours in the place of a
few that take seconds to compile, or are slow, in the linkers named here.
"""

from __future__ import annotations

from typing import Any

import pytensor
from pytensor.compile.mode import Mode, optdb
from pytensor.graph.rewriting.basic import in2out, node_rewriter
from pytensor.tensor.basic import Alloc
from pytensor.tensor.elemwise import DimShuffle
from pytensor.tensor.math import Argmax, Dot, Sum
from pytensor.tensor.random.basic import NormalRV, UniformRV
from pytensor.tensor.special import LogSoftmax, Softmax

from . import draws
from .kernels import Fill, MatMul, Row, RowArgmax, RowSoftmax, Sums

FLOATS = ("float32", "float64")

PRODUCTS = "theanets_products"
ROWS = "theanets_rows"
SUMS = "theanets_sums"
FILLS = "theanets_fills"
DRAWS = "theanets_draws"
ROW = "theanets_row"


def _factor(x: Any) -> tuple[Any, bool]:
    """Get a matrix without its transposition, and whether it had one."""
    node = x.owner
    if node is not None and isinstance(node.op, DimShuffle) and node.op.new_order == (1, 0):
        return node.inputs[0], True
    return x, False


@node_rewriter([Dot])
def use_matmul(fgraph: Any, node: Any) -> Any:
    """Replace the product of two matrices of the same floating type."""
    x, y = node.inputs
    if not (x.ndim == y.ndim == 2 and x.dtype == y.dtype and x.dtype in FLOATS):
        return False
    a, transpose_a = _factor(x)
    b, transpose_b = _factor(y)
    return [MatMul(transpose_a, transpose_b)(a, b)]


@node_rewriter([Argmax])
def use_row_argmax(fgraph: Any, node: Any) -> Any:
    """Replace the index of the largest along the last axis."""
    (x,) = node.inputs
    if not _of_rows(x, node.op.axis):
        return False
    return [RowArgmax()(x)]


@node_rewriter([Softmax, LogSoftmax])
def use_row_softmax(fgraph: Any, node: Any) -> Any:
    """Replace the softmax along the last axis, and its logarithm."""
    (x,) = node.inputs
    if not _of_rows(x, node.op.axis):
        return False
    return [RowSoftmax(isinstance(node.op, LogSoftmax))(x)]


@node_rewriter([Sum])
def use_sums(fgraph: Any, node: Any) -> Any:
    """Replace sums over all axes, over the last, and over all but the last."""
    (x,) = node.inputs
    if x.dtype not in FLOATS or node.outputs[0].dtype != x.dtype:
        return False
    axes = tuple(range(x.ndim)) if node.op.axis is None else tuple(sorted(node.op.axis))
    for over, summed in (
        ("all", range(x.ndim)),
        ("last", range(x.ndim - 1, x.ndim)),
        ("leading", range(x.ndim - 1)),
    ):
        if axes == tuple(summed):
            return [Sums(over)(x)]
    return False


@node_rewriter([Alloc])
def use_fill(fgraph: Any, node: Any) -> Any:
    """Replace an array of one value."""
    value, *lengths = node.inputs
    if value.ndim > 0 or not 1 <= len(lengths) <= 3:
        return False
    return [Fill(node.outputs[0].type.shape)(value, *lengths)]


@node_rewriter([DimShuffle])
def use_row(fgraph: Any, node: Any) -> Any:
    """Replace axes put before that of a vector."""
    (x,), order = node.inputs, node.op.new_order
    if x.ndim != 1 or x.dtype not in FLOATS or len(order) < 2 or order[-1] != 0:
        return False
    return [Row(len(order))(x)]


@node_rewriter([NormalRV, UniformRV])
def use_draws(fgraph: Any, node: Any) -> Any:
    """Replace standard normal numbers, and those uniform in [0, 1)."""
    return draws.of(node) or False


def _of_rows(x: Any, axis: Any) -> bool:
    axes = axis if isinstance(axis, tuple) else (axis,)
    return x.dtype in FLOATS and x.ndim > 0 and axes in ((x.ndim - 1,), (-1,))


# After expressions are simplified, before the C linker's own products.
optdb.register(PRODUCTS, in2out(use_matmul, name=PRODUCTS), position=1.69)
optdb.register(ROWS, in2out(use_row_argmax, use_row_softmax, name=ROWS), position=1.691)
# After PyTensor has fused what sums it can with what is summed (at 100, from 3.3 on).
optdb.register(SUMS, in2out(use_sums, name=SUMS), position=101)
optdb.register(FILLS, in2out(use_fill, name=FILLS), position=102)
optdb.register(ROW, in2out(use_row, name=ROW), position=103)
# After generators are advanced in place (at 50.9), before Numba's own form of draws (at 100).
optdb.register(DRAWS, in2out(use_draws, name=DRAWS, ignore_newtrees=True), position=99)


def include(mode: Mode) -> Mode:
    """Add the rewrites that a mode gains by.

    Numba gains by all. The C linker gains by the products of NumPy where it
    has no BLAS of its own.
    """
    if type(mode.linker).__name__ == "NumbaLinker":
        return mode.including(PRODUCTS, ROWS, SUMS, FILLS, ROW, DRAWS)
    if getattr(mode.linker, "c_thunks", False) and not has_c_blas():
        return mode.including(PRODUCTS)
    return mode


def has_c_blas() -> bool:
    """Tell whether the C linker found a BLAS."""
    return bool(pytensor.config.blas__ldflags)
