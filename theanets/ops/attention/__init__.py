"""Attention: scores, which of them count, softmax, dropout and weighted sum as one Op.

`operation` has the Op and its derivative; `arrays` the formula, which NumPy, JAX and PyTorch
compute, and of which `expressions` makes what PyTensor differentiates further; `by_numba` the
blocks of queries, of which no more scores than those of one are in memory, and `numba_loops` what
it is made of. `keeping` puts keys and values of further steps behind those that there are.
"""

from __future__ import annotations

from .expressions import attended, attention_weights
from .keeping import Keep, keep
from .operation import Attend, AttendGradient, attend

#: How far a query reaches where there is no limit.
ENDLESS = 2**40

__all__ = [
    "ENDLESS",
    "Attend",
    "AttendGradient",
    "Keep",
    "attend",
    "attended",
    "attention_weights",
    "keep",
]
