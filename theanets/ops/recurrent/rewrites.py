"""What is changed in graphs with recurrences before they are compiled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytensor.compile.mode import optdb
from pytensor.graph.basic import Apply
from pytensor.graph.rewriting.basic import in2out, node_rewriter
from pytensor.tensor.rewriting.basic import register_canonicalize

from .cell import with_cotangents
from .operation import RecurrentBackward, RecurrentForward
from .plan import backward_plan


@register_canonicalize
@node_rewriter([RecurrentForward])
def drop_unused_outputs(fgraph: Any, node: Apply) -> Any:
    """Do not make outputs that nothing uses."""
    op = node.op
    many = sum(op.kept)
    used = iter([bool(fgraph.clients[out]) for out in node.outputs[:many]])
    kept = tuple(yes and next(used) for yes in op.kept)
    if kept == op.kept:
        return False
    return _replaced([node], kept)


@register_canonicalize
@node_rewriter([RecurrentForward])
def share_steps(fgraph: Any, node: Apply) -> Any:
    """Make the outputs of two that differ in nothing else by one.

    There are two once a graph was rewritten and then differentiated.
    """
    op = node.op
    for client, _ in fgraph.clients[node.inputs[0]]:
        other = client.op
        if client is node or not isinstance(other, RecurrentForward):
            continue
        kept = tuple(map(any, zip(op.kept, other.kept, strict=False)))
        if client.inputs == node.inputs and other.keeping(kept) == op.keeping(kept):
            return _replaced([node, client], kept)
    return False


def _replaced(nodes: Sequence[Apply], kept: tuple[bool, ...]) -> dict[Any, Any]:
    """Get what the outputs of some nodes become where one Op makes all that are kept."""
    many = sum(kept)
    results = nodes[0].op.keeping(kept)(*nodes[0].inputs, return_list=True)
    arrays = iter(results[:many])
    new = [next(arrays) if yes else None for yes in kept]
    found: dict[Any, Any] = {}
    for node in nodes:
        of_op = [variable for variable, yes in zip(new, node.op.kept, strict=True) if yes]
        pairs = zip(node.outputs, [*of_op, *results[many:]], strict=True)
        found.update((old, variable) for old, variable in pairs if variable is not None)
    return found


@node_rewriter([RecurrentBackward])
def overwrite_input(fgraph: Any, node: Apply) -> Any:
    """Let the gradient with respect to ``z`` take its place, where it is not read."""
    op = node.op
    if op.inplace or not node.inputs[0].owner:
        return False
    cell = with_cotangents(op.cell, op.given)
    if any(cell.values[i].op == "x" for i in backward_plan(cell).loads()):
        return False
    new = RecurrentBackward(
        op.cell, op.dtype, op.given, op.final, op.reverse, op.limit, inplace=True
    )
    return new(*node.inputs, return_list=True)


optdb.register("recurrent_inplace", in2out(overwrite_input), "fast_run", "inplace", position=70)
