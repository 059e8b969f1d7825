"""Which of PyTensor's rewrites our functions do without, so that they are compiled sooner."""

from __future__ import annotations

from pytensor.compile.mode import Mode
from pytensor.graph.rewriting.db import RewriteDatabaseQuery

from ..ops.kernels.settled import SETTLED

#: Products of matrices that are known to be diagonal, orthogonal, symmetric or permutations. To
#: find none, PyTensor goes through all that a product depends on, again after each change of the
#: graph: a third of its time for attention. Layers and losses have no such matrices.
OF_KNOWN_MATRICES = (
    "dot_diag_to_elemwise",
    "orthogonal_dot_transpose_to_eye",
    "selection_dot_to_indexing",
    "useless_symmetric_transpose",
)


def simplifies(mode: Mode) -> bool:
    """Tell whether a mode has PyTensor simplify graphs, by a query that can be added to."""
    query = mode.provided_optimizer
    return (
        type(mode) is Mode
        and isinstance(query, RewriteDatabaseQuery)
        and not {"fast_run", "fast_compile"}.isdisjoint(query.include)
    )


def lean(mode: Mode) -> Mode:
    """Get a mode without the rewrites that nothing of ours gains by."""
    if not simplifies(mode):
        return mode
    return mode.including(SETTLED).excluding(*OF_KNOWN_MATRICES)
