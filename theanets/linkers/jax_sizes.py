"""Sizes and types for JAX: what PyTensor's linker for it leaves to chance.

JAX compiles a function for each shape of its arguments, so it knows them, but it
computes whatever comes of them only when the function runs: too late for the
size of another array. So integers are computed by NumPy wherever nothing but
shapes goes into them.

Some functions of PyTensor's return float64 where their Op has float32: sums
that are added up in float64, and arrays made of a number. Their results are
converted; in the steps of a scan too, since JAX refuses a state that changes its type.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from pytensor.compile.mode import optdb
from pytensor.graph.basic import Apply, Constant
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.op import HasInnerGraph, Op
from pytensor.graph.rewriting.basic import GraphRewriter
from pytensor.link.jax.dispatch import jax_funcify
from pytensor.link.jax.dispatch.shape import JAXShapeTuple
from pytensor.scalar import ScalarType
from pytensor.scan.op import Scan
from pytensor.tensor.basic import Alloc, Split
from pytensor.tensor.elemwise import CAReduce
from pytensor.tensor.random.op import RandomVariable
from pytensor.tensor.shape import Reshape, Shape, Shape_i
from pytensor.tensor.subtensor import AdvancedIncSubtensor, IncSubtensor
from pytensor.tensor.type import TensorType

_UNTYPED = (CAReduce, Alloc)
_METHODS = (IncSubtensor, AdvancedIncSubtensor)

#: The tag of the rewrite, for `Mode.including`.
SIZES = "theanets_jax_sizes"


class Early(Op):
    """What another Op does, with results of its types, and early if shapes are all it takes.

    Parameters
    ----------
    op : Op
    """

    __props__ = ("op",)

    def __init__(self, op: Op) -> None:
        self.op = op

    def make_node(self, *inputs: Any) -> Apply:
        node = self.op.make_node(*inputs)
        return Apply(self, node.inputs, [out.type() for out in node.outputs])

    def perform(self, node: Apply, inputs: Any, storage: Any) -> None:
        self.op.perform(self.op.make_node(*node.inputs), inputs, storage)


@jax_funcify.register(Early)
def _early(op: Early, node: Apply, **kwargs: Any) -> Callable[..., Any]:
    inner = op.op.make_node(*node.inputs)
    late = _late(_narrow(inner), **kwargs)
    cast = inner.outputs[0].type.dtype if isinstance(inner.op, _UNTYPED) else None
    # No other arrays are made by NumPy: programs would hold them, and lack JAX's methods.
    sizes = all(map(is_number, inner.outputs))

    def run(*inputs: Any) -> Any:
        if not sizes or any(isinstance(i, jax.core.Tracer) for i in jax.tree.leaves(inputs)):
            results = late(*inputs)
            return results.astype(cast) if cast else results
        typed = [
            np.asarray(i, v.type.dtype)[()]
            if isinstance(v.type, ScalarType)
            else np.asarray(i, v.type.dtype)
            if isinstance(v.type, TensorType)
            else i
            for i, v in zip(inputs, inner.inputs, strict=True)
        ]
        storage: list[Any] = [[None] for _ in inner.outputs]
        inner.op.perform(inner, typed, storage)
        found = [np.asarray(cell[0]) for cell in storage]
        results = [array.item() if array.ndim == 0 else array for array in found]
        return results[0] if len(results) == 1 else results

    return run


def _narrow(node: Apply) -> Apply:
    """Get a sum of float32 as one that is not converted to float64 and back.

    XLA adds up by halves: what PyTensor has for it would only convert what comes of that.
    """
    op = node.op
    if getattr(op, "acc_dtype", None) != "float64" or node.outputs[0].type.dtype != "float32":
        return node
    op = copy.copy(op)
    op.acc_dtype = "float32"
    return Apply(op, node.inputs, [out.type() for out in node.outputs])


def _late(node: Apply, **kwargs: Any) -> Callable[..., Any]:
    """Get the function for inputs that are not all known."""
    if isinstance(node.op, Reshape):
        return lambda x, shape: jnp.reshape(x, tuple(int(n) for n in np.asarray(shape)))
    if isinstance(node.op, Split):
        axis = node.op.axis
        return lambda x, sizes: jnp.split(x, np.cumsum(np.asarray(sizes))[:-1], axis=axis)
    try:
        function = jax_funcify(node.op, node=node, **kwargs)
    except NotImplementedError as error:
        message = str(error)

        def refuse(*inputs: Any) -> Any:
            raise NotImplementedError(message)

        return refuse

    def given(value: Any, variable: Any) -> Any:
        # JAX has methods that arrays of NumPy do not have, and numbers of Python are float64.
        known = isinstance(value, (np.ndarray, float))
        return jnp.asarray(value, variable.type.dtype) if known else value

    return lambda *inputs: function(*map(given, inputs, node.inputs))


def is_number(variable: Any) -> bool:
    """Tell whether a variable is an integer, or a vector of some, also with axes of length 1."""
    if not isinstance(variable.type, TensorType | ScalarType):
        return False
    axes = [n for n in variable.type.shape if n != 1]
    return variable.type.dtype.startswith(("int", "uint", "bool")) and len(axes) <= 1


def _wants(node: Apply) -> bool:
    if isinstance(node.op, Reshape | Split):
        return not isinstance(node.inputs[1], Constant)
    if isinstance(node.op, _OTHERS):
        return False
    if isinstance(node.op, (*_UNTYPED, *_METHODS)):
        return True
    return all(map(is_number, [*node.inputs, *node.outputs]))


_OTHERS = (Shape, Shape_i, JAXShapeTuple, RandomVariable, HasInnerGraph, Early)


def use_early(fgraph: FunctionGraph) -> None:
    """Replace all that may be known early in a graph."""
    for node in fgraph.toposort():
        if isinstance(node.op, Scan):
            op: Op = _with_early_steps(node.op)
        elif _wants(node):
            op = Early(node.op)
        else:
            continue
        pairs = list(zip(node.outputs, op.make_node(*node.inputs).outputs, strict=True))
        fgraph.replace_all(pairs, reason=SIZES, import_missing=True)


def _with_early_steps(op: Scan) -> Scan:
    """Get a scan in whose steps all that may be known early is replaced.

    Where the steps can be changed, PyTensor rewrites them once more for JAX. What comes
    of that is replaced after it, see `jax`, which finds the graph by what is in it.
    """
    if hasattr(op, "clone_with_inner_graph"):
        steps = op.fgraph.unfreeze()
        use_early(steps)
        return op.clone_with_inner_graph(steps)
    clone = op.clone()
    use_early(clone.fgraph)
    return clone


class _UseEarly(GraphRewriter):
    def apply(self, fgraph: FunctionGraph) -> None:
        use_early(fgraph)


# After all else, so that no rewrite has to know of it.
optdb.register(SIZES, _UseEarly(), position=1000)
