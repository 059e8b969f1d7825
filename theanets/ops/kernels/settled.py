"""What an algorithm makes of gradients is not rewritten: it is written as it is to be computed.

There is such an expression for each parameter, so that they are half of the graph of a step.
They lie in one operation while PyTensor simplifies the rest, and come back before it fuses
what is computed entry by entry, and before anything is done in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pytensor.compile.mode import optdb
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import GraphRewriter
from pytensor.graph.traversal import ancestors
from pytensor.scalar.basic import Second
from pytensor.tensor.elemwise import CAReduce, DimShuffle, Elemwise
from pytensor.tensor.shape import SpecifyShape

from ...expressions import Expression

#: What the two rewrites are called in PyTensor's database.
SETTLED = "theanets_settled"
#: What is computed as well as it is written. An algorithm with anything else is rewritten.
PLAIN = (Elemwise, DimShuffle, CAReduce, SpecifyShape)


def settle(variables: Iterable[Expression]) -> None:
    """Say that what updates make of some variables needs no rewriting; they do themselves."""
    for variable in variables:
        variable.tag.theanets_settles = True


def _settles(variable: Variable) -> bool:
    return getattr(variable.tag, "theanets_settles", False)


def _is_plain(node: Apply) -> bool:
    # PyTensor simplifies `Second` away in all cases, so that not every linker knows it.
    fills = isinstance(node.op, Elemwise) and isinstance(node.op.scalar_op, Second)
    return isinstance(node.op, PLAIN) and not fills


class Settled(Op):
    """A part of a graph as one operation, which is never computed.

    Parameters
    ----------
    inputs, outputs : list of variables
        Those of the part.
    nodes : list of Apply
        What is in it, in an order in which it can be computed.
    """

    def __init__(
        self, inputs: Sequence[Variable], outputs: Sequence[Variable], nodes: Sequence[Apply]
    ) -> None:
        self.inputs, self.outputs, self.nodes = list(inputs), list(outputs), list(nodes)
        # An output that others in the part read is replaced there too, in the nodes themselves.
        self.read = [list(node.inputs) for node in nodes]

    def make_node(self, *inputs: Variable) -> Apply:
        """Take the inputs of the part."""
        return Apply(self, list(inputs), [output.type() for output in self.outputs])

    def perform(self, node: Apply, inputs: Sequence[Any], outputs: list[list[Any]]) -> None:
        """Refuse: the part itself comes back before anything is computed."""
        raise NotImplementedError("a part of a graph was not put back")

    def opened(self, inputs: Sequence[Variable]) -> list[Variable]:
        """Get the outputs from other inputs; what is equal is there once."""
        found: dict[Variable, Variable] = dict(zip(self.inputs, inputs, strict=True))
        known: dict[Any, list[Variable]] = {}
        for node, read in zip(self.nodes, self.read, strict=True):
            arguments = [found.get(x, x) for x in read]
            signature = [x.signature() if isinstance(x, Constant) else x for x in arguments]
            key = (node.op, *signature)
            if key not in known:
                known[key] = _folded(node.clone_with_new_inputs(arguments))
            found.update(zip(node.outputs, known[key], strict=True))
        return [found[output] for output in self.outputs]


def _folded(node: Apply) -> list[Variable]:
    """Get the outputs of a node, as constants where it only gives a constant more axes."""
    if not isinstance(node.op, DimShuffle) or not isinstance(node.inputs[0], Constant):
        return list(node.outputs)
    storage: list[list[Any]] = [[None]]
    node.op.perform(node, [node.inputs[0].data], storage)
    (output,) = node.outputs
    return [output.type.make_constant(storage[0][0])]


class _Settle(GraphRewriter):
    """Puts what updates make of `settle`d variables into one operation."""

    def apply(self, fgraph: FunctionGraph) -> None:
        """Replace the part, if there is one, and if it is made of plain operations alone."""
        later: set[Variable] = set()
        nodes = fgraph.toposort()
        for node in nodes:
            if any(x in later or _settles(x) for x in node.inputs):
                later.update(node.outputs)
        updated = [x for i, x in enumerate(fgraph.outputs) if i in (fgraph.update_mapping or {})]
        moved = {x for x in updated if x in later}
        outside = [x for x in fgraph.outputs if x not in moved]
        # These themselves are rewritten, and what they are made of.
        outside += [x for x in fgraph.variables if _settles(x)]
        kept = {x.owner for x in ancestors(outside)}
        part = [node for node in nodes if node not in kept]
        if not part or not all(map(_is_plain, part)):
            return
        made = {x for node in part for x in node.outputs}
        read = dict.fromkeys(x for node in part for x in node.inputs if x not in made)
        inputs = [x for x in read if not isinstance(x, Constant)]
        outputs = [x for x in dict.fromkeys(updated) if x in made]
        found = Settled(inputs, outputs, part)(*inputs, return_list=True)
        fgraph.replace_all(list(zip(outputs, found, strict=True)), reason=SETTLED)


class _Open(GraphRewriter):
    """Puts parts back in their places."""

    def apply(self, fgraph: FunctionGraph) -> None:
        """Replace each of the operations by what is in it."""
        for node in fgraph.toposort():
            if isinstance(node.op, Settled):
                pairs = zip(node.outputs, node.op.opened(node.inputs), strict=True)
                fgraph.replace_all(list(pairs), reason=SETTLED)


# Before anything else (at -0.01); before what is for fusion and for single linkers (from 48 on).
optdb.register(f"{SETTLED}_in_one", _Settle(), SETTLED, position=-0.5)
optdb.register(f"{SETTLED}_opened", _Open(), SETTLED, position=47.9)
