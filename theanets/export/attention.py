"""Attention: products, a softmax and masks, as `ops.attention` has them as an expression."""

from __future__ import annotations

from collections.abc import Sequence

from pytensor.graph.basic import Apply

from ..ops.attention import Attend, attended
from .writer import Writer, translate


@translate.register
def _(op: Attend, node: Apply, write: Writer) -> Sequence[str | None]:
    used = [output in write.used for output in node.outputs]
    found = attended(*node.inputs)
    names = iter(write.run([x for x, yes in zip(found, used, strict=True) if yes]))
    return [next(names) if yes else None for yes in used]
