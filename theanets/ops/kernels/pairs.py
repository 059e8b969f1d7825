"""Sums and products of several arrays, two at a time, for linkers that compile nothing.

PyTensor simplifies graphs to sums and products of any number of arrays. Up to PyTensor 3.2 NumPy
has Python add up, or multiply, those of more than two entry by entry, a thousand times slower.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import pytensor.tensor as pt
from pytensor.compile.mode import optdb
from pytensor.graph.basic import Apply
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.basic import in2out, node_rewriter
from pytensor.scalar.basic import Add, Mul
from pytensor.tensor.elemwise import Elemwise

#: What the rewrite is called in PyTensor's database.
PAIRS = "theanets_pairs"


@node_rewriter([Elemwise])
def use_pairs(fgraph: FunctionGraph, node: Apply) -> list[Any] | bool:
    """Replace sums and products of more than two arrays."""
    if not isinstance(node.op.scalar_op, (Add, Mul)) or len(node.inputs) < 3:
        return False
    # Else a part may be of a smaller type than the whole, and too large for it: NumPy has it so.
    dtype = node.outputs[0].type.dtype
    return [reduce(node.op, [pt.cast(x, dtype) for x in node.inputs])]


# Once nothing is simplified any more, before anything is done in place.
optdb.register(PAIRS, in2out(use_pairs, name=PAIRS, ignore_newtrees=True), position=49.05)
