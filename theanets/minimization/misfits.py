"""What does not fit: which operation cannot work on the shapes that its arrays have.

Compiled code says only that some shapes differ. So what failed is computed once more, operation
by operation, until one fails, whose arrays then have names and shapes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant
from pytensor.graph.traversal import graph_inputs, io_toposort
from pytensor.printing import pp
from pytensor.tensor.elemwise import DimShuffle
from scipy.linalg import LinAlgError

from ..process import building

#: What operations raise where shapes or indices are wrong.
WRONG = (ValueError, TypeError, AssertionError, IndexError)
#: Characters of an expression that are shown.
LONGEST = 60


def misfit(expressions: Sequence[Any], given: Mapping[Any, Any]) -> str | None:
    """Find the first operation that fails.

    Parameters
    ----------
    expressions : list of expressions
        What is computed, of inputs and shared variables.
    given : dict of variable to ndarray
        Values of the inputs.

    Returns
    -------
    str or None
        What it takes, and its complaint; None if there is none, or it is not about shapes.
    """
    inputs = list(graph_inputs(expressions))
    storage: dict[Any, list[Any]] = {}
    for variable in inputs:
        value = given.get(variable)
        if isinstance(variable, Constant):
            value = variable.data
        elif isinstance(variable, SharedVariable):
            value = variable.get_value()
        storage[variable] = [value]
    with building(mode="FAST_COMPILE"):
        for node in io_toposort(inputs, expressions):
            storage.update({variable: [None] for variable in node.outputs})
            computed = {variable: [True] for variable in [*node.inputs, *node.outputs]}
            try:
                node.op.make_thunk(node, storage, computed, [], impl="py")()
            except LinAlgError:
                return None
            except WRONG as error:
                return _described(node, storage, str(error))
    return None


def _described(node: Any, storage: Mapping[Any, list[Any]], complaint: str) -> str:
    arrays = []
    for variable in node.inputs:
        while variable.owner is not None and isinstance(variable.owner.op, DimShuffle):
            variable = variable.owner.inputs[0]  # what people call by its name
        value = storage[variable][0]
        if np.ndim(value):
            arrays.append(f"{_called(variable)} of shape {value.shape}")
    what = getattr(node.op, "scalar_op", None) or getattr(node.op, "core_op", None) or node.op
    return f"{what} cannot work on {' and '.join(arrays)}: {complaint.strip().splitlines()[0]}"


def _called(variable: Any) -> str:
    if variable.name:
        return repr(variable.name)
    text = pp(variable)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
